"""Listeners whose program does not accept in time: all connections of one address and port are judged together."""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np

from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import among, side, unique
from pcapflow.anomalies.lookup.groups import host_keys, largest_servers, server_numbers
from pcapflow.anomalies.lookup.timeline import last_times
from pcapflow.anomalies.model import BoolArray, IntArray
from pcapflow.anomalies.resets.at_once import reset_at_once
from pcapflow.config import Config
from pcapflow.tables.moments import Moments
from pcapflow.tables.table import Tables
from pcapflow.tcp.completeness import COMPLETE_ACK, COMPLETE_SYN_ACK
from pcapflow.tcp.endings import BY_BOTH, BY_SERVER, UNANSWERED
from pcapflow.tcp.states import CLIENT, SERVER, SYN_ACK_RX
from pcapflow.text.times import to_ns

MAX_SERVERS: Final = 500
"""Listeners that are looked at, those with the most connections in trouble first."""
_AT_ONCE_NS: Final = 10_000_000
"""A kernel answers within this time, beside the round trip."""
LEAST_SHARE: Final = 0.2
"""Of the connections that begin while others wait, more than this share must be in trouble: more than loss explains."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Starving:
    """One listener that does not accept in time; its connections by what became of them, each in order of number.

    Attributes:
        server: a connection to it.
        waiting: taken by the kernel, asked for something, and not answered by the end, or until the client left.
        late: answered, but only after a time in which a SYN would have been sent again.
        unheard: their SYNs got no answer, at first or at all.
        ignored: their handshake was complete for the client, and what it sent then was not acknowledged.
        reset: reset by the server's host within a round trip of the end of their handshake.
        served: answered at once.
        tried: all that began while others waited.
        since_ns, until_ns: when the first of those in trouble began, and when the last of them was in trouble still.
        queued: how many waited when the first was turned away.
        is_alive: the host was heard after that.
        is_over: connections were answered after the last that was turned away.
    """

    server: int
    waiting: IntArray
    late: IntArray
    unheard: IntArray
    ignored: IntArray
    reset: IntArray
    served: IntArray
    tried: int
    since_ns: int
    until_ns: int
    queued: int
    is_alive: bool
    is_over: bool

    @property
    def turned_away(self) -> IntArray:
        """Those that did not get into the queue at once, in order of number."""
        return unique(np.concatenate((self.unheard, self.ignored, self.reset)))

    @property
    def flows(self) -> IntArray:
        """All connections in trouble, those that were turned away first."""
        away = self.turned_away
        rest = np.concatenate((self.waiting, self.late))
        return np.concatenate((away, rest[~among(rest, away)]))


class _View:
    """What each connection shows, as masks and times as long as ``flows``."""

    def __init__(self, tables: Tables, config: Config) -> None:
        f = tables.flows
        self.tables = tables
        self.start_ns = f["start_ns"]
        moments = Moments(tables)
        retry_ns = to_ns(config.rto_s) * 9 // 10
        client_bytes, server_bytes = side(f, CLIENT, "bytes"), side(f, SERVER, "bytes")
        has_syn_ack = (f["completeness"] & COMPLETE_SYN_ACK) > 0
        complete = has_syn_ack & ((f["completeness"] & COMPLETE_ACK) > 0) & (f["midstream"] == 0)
        accepted = last_times(tables, CLIENT, event=SYN_ACK_RX)
        self.accepted_ns = np.where(has_syn_ack, np.where(accepted >= 0, accepted, self.start_ns), -1)
        by_server = among(f["closed_by"], (BY_SERVER, BY_BOTH))
        close = np.where(f["close_ns"] >= 0, f["close_ns"], tables.capture.last_ns)
        asked = side(f, CLIENT, "first_data_ns")
        acked = side(f, SERVER, "acked") > 1
        self.answered_ns = side(f, SERVER, "first_data_ns")
        self.is_waiting = complete & (client_bytes > 0) & (server_bytes == 0) & acked & ~by_server
        self.is_waiting &= close - asked >= retry_ns
        self.is_late = complete & (moments.first_byte_ns >= retry_ns)
        alone = (f["end_reason"] == UNANSWERED) & (side(f, SERVER, "packets") == 0)
        self.is_unheard = (alone & (side(f, CLIENT, "syns") > 1)) | (
            has_syn_ack & (self.accepted_ns - self.start_ns >= retry_ns) & (side(f, CLIENT, "syns") > 1)
        )
        repeats = side(f, CLIENT, "retransmitted") - np.maximum(side(f, CLIENT, "syns") - 1, 0)
        never = (side(f, SERVER, "acked") <= 1) & (server_bytes == 0) & ~by_server
        self.is_ignored = complete & (client_bytes > 0) & (repeats >= 2) & never
        self.is_reset = reset_at_once(tables, config)
        ends = np.where(self.is_waiting, close, np.where(f["close_ns"] >= 0, f["close_ns"], f["end_ns"]))
        self.until_ns = np.where(self.answered_ns >= 0, self.answered_ns, ends)
        self.is_served = complete & (server_bytes > 0) & ~self.is_late

    @property
    def is_turned_away(self) -> BoolArray:
        """It did not get into the queue at once."""
        away: BoolArray = self.is_unheard | self.is_ignored | self.is_reset
        return away


@cached_per_tables
def starving(tables: Tables, config: Config) -> tuple[Starving, ...]:
    """All listeners of the capture that do not accept in time."""
    if not np.any(side(tables.flows, CLIENT, "bytes") > 0):
        return ()  # nobody asked for anything: SYNs alone
    view = _View(tables, config)
    keys = server_numbers(tables)
    away = np.flatnonzero(view.is_turned_away)
    held = view.is_waiting | view.is_late
    away = away[among(keys[away], keys[held])]
    found = (_judged(view, flows) for flows in largest_servers(tables, away, MAX_SERVERS, least=2))
    return tuple(listener for listener in found if listener is not None)


def _judged(view: _View, flows: IntArray) -> Starving | None:
    start, until = view.start_ns, view.until_ns
    held = flows[view.is_waiting[flows] | view.is_late[flows]]
    first_held, last_held = int(start[held].min()), int(until[held].max())
    meanwhile = flows[(start[flows] >= first_held) & (start[flows] <= last_held)]
    away = meanwhile[view.is_turned_away[meanwhile]]
    if len(away) < 2 or len(away) <= LEAST_SHARE * len(meanwhile):
        return None
    since = int(start[away].min())
    waiting = held[(start[held] <= start[away].max()) & (until[held] >= since)]
    if not len(waiting):
        return None
    hosts = host_keys(view.tables, SERVER)
    heard = side(view.tables.flows, SERVER, "last_ns")[hosts == hosts[flows[0]]]
    settled = view.answered_ns[flows] > until[away].max()
    return Starving(
        server=int(flows[0]),
        waiting=waiting[view.is_waiting[waiting]],
        late=waiting[view.is_late[waiting]],
        unheard=away[view.is_unheard[away]],
        ignored=away[view.is_ignored[away]],
        reset=away[view.is_reset[away]],
        served=meanwhile[view.is_served[meanwhile] & ~view.is_turned_away[meanwhile]],
        tried=len(meanwhile),
        since_ns=since,
        until_ns=int(until[np.concatenate((away, waiting))].max()),
        queued=int(np.count_nonzero((start[waiting] <= since) & (until[waiting] >= since))),
        is_alive=bool(heard.max() > since + _AT_ONCE_NS),
        is_over=bool(settled.any()),
    )
