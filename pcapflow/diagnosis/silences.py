"""Times in which one side of a connection asked again and again and heard nothing: for good, or until it was answered.

Whether a host, a path or a table in a device is behind them shows in what happened to the other connections of the same
hosts at that moment.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.capture_quality import quality
from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import SIDES, side
from pcapflow.anomalies.lookup.timeline import count_marks, last_times, rows_with
from pcapflow.anomalies.model import IntArray
from pcapflow.anomalies.transfer.repeats import REPEATS
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.states import CLIENT, FIN_TX, SERVER, SYN_ACK_RX, SYN_SENT
from pcapflow.text.times import to_ns

_ASKS: Final = (*REPEATS, marks.KEEP_ALIVE, marks.MARK_FIN_REPEATED)
_BACK_OFF: Final = 1.5
"""Who is not answered doubles its pauses (RFC 6298, 5.5); a pause is so much longer than the one before, or more."""
_LEAST: Final = 2
"""Repeats without an answer: one may be lost alone."""
_NEVER: Final = np.iinfo(np.int64).max


class Silences(NamedTuple):
    """Times of asking in vain, in parallel columns.

    Attributes:
        flows: the connection.
        askers: the side that asked; what it did not hear is the other.
        heard_ns: when it had last heard the other before that; -1 never, or not known.
        asked_ns: when it first asked without an answer.
        last_ns: when it last asked.
        again: how often it asked again.
        back_ns: when it heard the other again; -1 not in this capture.
    """

    flows: IntArray
    askers: IntArray
    heard_ns: IntArray
    asked_ns: IntArray
    last_ns: IntArray
    again: IntArray
    back_ns: IntArray

    def take(self, rows: IntArray) -> Silences:
        """Some of them."""
        return Silences(*(column[rows] for column in self))


@cached_per_tables
def silences(tables: Tables, config: Config) -> Silences:
    """All of a capture, in order of the first question."""
    parts = [_for_good(tables, endpoint) for endpoint in SIDES]
    parts += [_attempts(tables), *(_recovered(tables, config, endpoint) for endpoint in SIDES)]
    whole = Silences(*(np.concatenate(columns).astype(np.int64) for columns in zip(*parts, strict=True)))
    return whole.take(np.argsort(whole.asked_ns, kind="stable"))


def _for_good(tables: Tables, asker: int) -> Silences:
    """Connections of which this side asked after the last segment of its peer, and asked again in vain."""
    f, m = tables.flows, tables.marks
    heard, said = side(f, 1 - asker, "last_ns"), side(f, asker, "data_ns")
    rows = rows_with(tables, *_ASKS)
    rows = rows[m["endpoint"][rows] == asker]
    rows = rows[(m["time_ns"][rows] > heard[m["flow"][rows]]) & (heard[m["flow"][rows]] >= 0)]
    of_flow = m["flow"][rows]
    again = np.bincount(of_flow, minlength=len(f))
    unreset = (f["reset_frame"] <= 0) | (f["reset_by"] == asker)
    flows = np.flatnonzero((again >= _LEAST) & unreset & ~quality(tables).unheard)
    if not len(flows):
        return _none()
    first_asked, last_asked = np.full(len(f), _NEVER), np.full(len(f), -1)
    np.minimum.at(first_asked, of_flow, m["time_ns"][rows])
    np.maximum.at(last_asked, of_flow, m["time_ns"][rows])
    first, heard, said, pause = first_asked[flows], heard[flows], said[flows], f["pause_end_ns"][flows]
    fin = last_times(tables, asker, event=FIN_TX)[flows]
    for moments in (np.where(pause <= said, pause, -1), said, fin):
        first = np.minimum(first, np.where(moments > heard, moments, _NEVER))
    return Silences(flows, np.full(len(flows), asker), heard, first, last_asked[flows], again[flows],
                    np.full(len(flows), -1))  # fmt: skip


def _attempts(tables: Tables) -> Silences:
    """Attempts to connect whose SYN was sent again: never answered, or only later."""
    f = tables.flows
    again = count_marks(tables, marks.MARK_SYN_REPEATED, endpoint=CLIENT)
    answered = last_times(tables, CLIENT, event=SYN_ACK_RX)
    unanswered = (f["client_state"] == SYN_SENT) & (side(f, SERVER, "packets") == 0) & ~quality(tables).cut
    flows = np.flatnonzero((again > 0) & (unanswered | (answered > 0)) & (f["midstream"] == 0))
    last = np.full(len(f), -1)
    rows = rows_with(tables, marks.MARK_SYN_REPEATED)
    last[tables.marks["flow"][rows]] = tables.marks["time_ns"][rows]
    return Silences(flows, np.full(len(flows), CLIENT), np.full(len(flows), -1), f["start_ns"][flows], last[flows],
                    again[flows], np.where(unanswered[flows], -1, answered[flows]))  # fmt: skip


def _recovered(tables: Tables, config: Config, asker: int) -> Silences:
    """Connections on which this side asked again with growing pauses, and was heard in the end."""
    f, m = tables.flows, tables.marks
    heard = side(f, 1 - asker, "last_ns")
    rows = rows_with(tables, *REPEATS)
    rows = rows[m["endpoint"][rows] == asker]
    rows = rows[m["time_ns"][rows] <= heard[m["flow"][rows]]]
    if len(rows) <= _LEAST:
        return _none()
    flows, times = m["flow"][rows].astype(np.int64), m["time_ns"][rows].astype(np.int64)
    gaps = np.diff(times, prepend=times[:1])
    same = np.diff(flows, prepend=-1) == 0
    # A repeat goes on with a series where its pause has grown, or where it is the second of the series.
    grown = same & (gaps >= _BACK_OFF * np.concatenate((gaps[:1], gaps[:-1])))
    second = same & ~np.concatenate(([False], same[:-1] & grown[:-1]))
    goes_on = grown | (second & (gaps >= to_ns(config.rto_s) // 10))
    starts = np.flatnonzero(~goes_on)
    sizes = np.diff(np.append(starts, len(rows)))
    long_enough = sizes > _LEAST
    starts, sizes = starts[long_enough], sizes[long_enough]
    last = times[starts + sizes - 1]
    of_flow = flows[starts]
    pause_end = f["pause_end_ns"][of_flow]
    pause_start = pause_end - f["pause_ns"][of_flow]
    # The longest time without new data tells when it asked first and when it was answered.
    inside = (pause_start <= times[starts]) & (pause_end >= last)
    return Silences(
        of_flow, np.full(len(of_flow), asker), np.full(len(of_flow), -1),
        np.where(inside, pause_start, times[starts]), last, sizes, np.where(inside, pause_end, last),
    )  # fmt: skip


def _none() -> Silences:
    return Silences(*(np.zeros(0, dtype=np.int64) for _ in Silences._fields))
