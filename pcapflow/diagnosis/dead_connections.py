"""Connections that are found dead after a silence: what is sent then is not answered, or draws a RST."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.lookup.columns import SIDES, indices, side
from pcapflow.anomalies.lookup.timeline import count_marks, last_times, rows_with
from pcapflow.anomalies.model import BoolArray, IntArray
from pcapflow.config import Config
from pcapflow.diagnosis.idle import closes
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.endings import NOT_DRAWN
from pcapflow.tcp.flags import ACK
from pcapflow.tcp.states import CLIENT, FIN_TX
from pcapflow.text.times import NS_PER_S, to_ns

ASKS_AGAIN: Final = (
    marks.RETRANSMISSION,
    marks.FAST_RETRANSMISSION,
    marks.SPURIOUS_RETRANSMISSION,
    marks.KEEP_ALIVE,
    marks.MARK_FIN_REPEATED,
)
_AGAIN: Final = 2
"""Who sends something again this often had no answer."""
_ANSWER_NS: Final = NS_PER_S
"""A RST within this time of the segment that broke a silence is its answer."""


class Dead(NamedTuple):
    """Connections that were found dead after a silence, in parallel columns.

    ``senders`` broke the silence of ``idle_ns`` at ``asked_ns``; ``foreign`` tells which drew a RST with another TTL
    than the peer's, ``reset`` which drew any.
    """

    flows: IntArray
    senders: IntArray
    idle_ns: IntArray
    asked_ns: IntArray
    reset: BoolArray
    foreign: BoolArray

    def take(self, rows: IntArray) -> Dead:
        """Some of them."""
        return Dead(self.flows[rows], self.senders[rows], self.idle_ns[rows], self.asked_ns[rows], self.reset[rows],
                     self.foreign[rows])  # fmt: skip


def find_dead(tables: Tables, config: Config) -> Dead:
    """Connections that were found dead after a silence of ``timeout_s`` or more, each once, in order of number."""
    f = tables.flows
    known = (f["midstream"] > 0) | (closes(tables, config).moments.established_ns >= 0)
    parts = []
    for sender in SIDES:
        asked = _asked_in_vain(tables, sender)
        silent = asked - side(f, 1 - sender, "last_ns")
        reset, reset_idle, foreign = _drew_reset(tables, sender)
        idle = np.where(reset, reset_idle, np.where(asked >= 0, silent, -1))
        flows = indices(known & (idle >= to_ns(config.timeout_s)))
        when = np.where(reset, f["reset_ns"], asked)[flows]
        parts.append(Dead(flows, np.full(len(flows), sender), idle[flows], when, reset[flows], foreign[flows]))
    both = joined(parts)
    # Where both sides ask in vain, the first tells how long the silence was.
    order = np.lexsort((both.asked_ns, both.flows))
    first = order[np.diff(both.flows[order], prepend=-1) != 0]
    return both.take(first)


def joined(parts: Sequence[Dead]) -> Dead:
    """Those of all parts, one part after another."""
    return Dead(
        np.concatenate([part.flows for part in parts]),
        np.concatenate([part.senders for part in parts]),
        np.concatenate([part.idle_ns for part in parts]),
        np.concatenate([part.asked_ns for part in parts]),
        np.concatenate([part.reset for part in parts]),
        np.concatenate([part.foreign for part in parts]),
    )


def _asked_in_vain(tables: Tables, sender: int) -> IntArray:
    """When this side first sent something after the last segment of its peer, and sent it again in vain; or -1."""
    f, t = tables.flows, tables.marks
    found = np.full(len(f), -1, dtype=np.int64)
    # Whoever gives up asking may say so by a RST.
    unreset = (f["reset_frame"] <= 0) | (f["reset_by"] == sender)
    flows = indices((count_marks(tables, *ASKS_AGAIN, endpoint=sender) >= _AGAIN) & unreset)
    flows = flows[last_times(tables, 1 - sender, event=FIN_TX)[flows] < 0]
    if not len(flows):
        return found
    heard, said = side(f, 1 - sender, "last_ns"), side(f, sender, "data_ns")
    never = np.iinfo(np.int64).max
    probes = np.full(len(f), never, dtype=np.int64)
    rows = rows_with(tables, marks.KEEP_ALIVE)
    rows = rows[(t["endpoint"][rows] == sender) & (t["time_ns"][rows] > heard[t["flow"][rows]])]
    np.minimum.at(probes, t["flow"][rows], t["time_ns"][rows])
    first, heard, said, pause = probes[flows], heard[flows], said[flows], f["pause_end_ns"][flows]
    fin = last_times(tables, sender, event=FIN_TX)[flows]
    for moments in (np.where(pause <= said, pause, -1), said, fin):
        first = np.minimum(first, np.where(moments > heard, moments, never))
    found[flows] = np.where((first < never) & (heard >= 0), first, -1)
    again = count_marks(tables, *ASKS_AGAIN, endpoint=sender, after_ns=found) >= _AGAIN
    return np.where(again, found, -1)


def _drew_reset(tables: Tables, sender: int) -> tuple[BoolArray, IntArray, BoolArray]:
    """Which connections a RST ended when this side broke a silence, how long that was, and whether its TTL is foreign.

    A RST with a foreign TTL may also break the silence itself.
    """
    f = tables.flows
    peer = 1 - sender
    by_peer = f["reset_by"] == peer
    if not by_peer.any():
        nowhere = np.zeros(len(f), dtype=bool)
        return nowhere, f["idle_ns"], nowhere
    usual, ttl = side(f, peer, "ttl"), f["reset_ttl"]
    foreign: BoolArray = by_peer & (usual >= 0) & (ttl >= 0) & (usual != ttl)
    passive = (f["reset_flags"] & ACK == 0) & (f["reset_window"] == 0)
    passive &= f["reset_drew_frame"] != NOT_DRAWN
    asked = (side(f, sender, "data_ns") >= f["idle_end_ns"]) | (
        count_marks(tables, marks.KEEP_ALIVE, endpoint=sender, after_ns=f["idle_end_ns"] - 1) > 0
    )
    answers = asked & (f["idle_endpoint"] == sender) & (f["reset_ns"] >= f["idle_end_ns"])
    answers &= f["reset_ns"] - f["idle_end_ns"] <= _ANSWER_NS
    by_itself = foreign & (f["idle_frame"] == f["reset_frame"])
    reset: BoolArray = by_peer & ((answers & (foreign | passive)) | by_itself)
    for endpoint in SIDES:
        reset &= last_times(tables, endpoint, event=FIN_TX) < 0
    return reset, f["idle_ns"], foreign & reset


def longest_outlived(tables: Tables, dead: Dead, others: IntArray) -> int:
    """The longest silence, in nanoseconds, that did no harm: of other connections, and of the dead before; 0 unknown.

    Of others it is the longest time without any segment after which both sides were heard. Of the dead that is not
    kept, but it was no shorter than their average.
    """
    f = tables.flows
    idle, ended, reset = (f[name][others] for name in ("idle_ns", "idle_end_ns", "reset_ns"))
    peer_ns = np.where(f["idle_endpoint"][others] == CLIENT, f["server_last_ns"][others], f["client_last_ns"][others])
    drew_reset = (reset >= ended) & (reset - ended <= _ANSWER_NS)
    outlived = (idle > 0) & (peer_ns >= ended) & ~drew_reset
    alive = dead.asked_ns - dead.idle_ns - f["start_ns"][dead.flows]
    pauses = (f["turns"][dead.flows] - 1) // 2
    average = np.where(pauses > 0, alive // np.maximum(pauses, 1), 0)
    return max(int(idle[outlived].max(initial=0)), int(average.max(initial=0)))
