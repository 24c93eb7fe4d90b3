"""The log of finished flows: a row each, in columns of 64-bit and of 32-bit numbers."""

from __future__ import annotations

from typing import Final, final

from librt.vecs import vec
from mypy_extensions import i32, i64

from pcapflow.tcp.endings import (
    ABORTED,
    BY_BOTH,
    BY_CLIENT,
    BY_SERVER,
    CLOSED_GRACEFULLY,
    CLOSING,
    HALF_OPEN,
    NOBODY,
    OPEN,
    REFUSED,
    UNANSWERED,
)
from pcapflow.tcp.owed import NOTHING
from pcapflow.tcp.states import CLIENT, CLOSED, SYN_RCVD, SYN_SENT, TIME_WAIT, UNKNOWN
from pcapflow.tracker.endpoint import Endpoint
from pcapflow.tracker.flow import Flow

_WIDE_SIDE: Final = (
    "hi", "lo", "bytes", "rtt_ns", "first_frame", "last_ns", "data_ns", "first_data_ns", "sent", "acked", "after_fin",
    "unseen", "zero_ns", "zero_frame", "data_segments", "data_segments_again", "largest",
)  # fmt: skip
_NARROW_SIDE: Final = (
    "port", "state", "packets", "retransmitted", "syns", "fins", "rsts", "mss", "wscale", "ttl", "timestamps",
    "syn_form", "clock_hz",
)  # fmt: skip
WIDE_COLUMNS: Final = (
    "flow", "first_frame", "last_frame", "start_ns", "end_ns", "history_1", "history_2", "idle_ns", "idle_end_ns",
    "idle_frame", "pause_ns", "pause_end_ns", "answer_ns", "answer_frame", "turns", "close_ns", "quiet_ns",
    "reset_frame", "reset_ns", "reset_gap", "reset_pending", "reset_drew_frame", "icmp_frame", "icmp_hi", "icmp_lo",
    *(f"client_{name}" for name in _WIDE_SIDE),
    *(f"server_{name}" for name in _WIDE_SIDE),
)  # fmt: skip
"""Names of the 64-bit columns, in the order in which :meth:`FlowLog.write` writes them."""
NARROW_COLUMNS: Final = (
    "family", "vlan", "tunnel", "closed_by", "end_reason", "completeness", "midstream", "roles_assumed",
    "idle_endpoint", "idle_owed", "idle_owed_by", "reset_by", "reset_flags", "reset_window", "reset_ttl",
    "reset_options", "reset_goodbye", "reset_continues",
    *(f"client_{name}" for name in _NARROW_SIDE),
    *(f"server_{name}" for name in _NARROW_SIDE),
)  # fmt: skip
"""Names of the 32-bit columns, likewise."""
ROWS: Final = (1 << 12) + 8
"""Rows that the log holds: more than a batch can end, and no power of two, by which the columns of one row would all
contend for the same places of the processor's cache."""
N_WIDE: Final = 59
N_NARROW: Final = 44


@final
class FlowLog:
    """Rows of flows in the order in which they were finished; whoever reads it drains it from time to time.

    Attributes:
        rows: rows written since it was last drained, at most :data:`ROWS`.
        wide, narrow: the columns one after another, :data:`ROWS` numbers each, ``rows`` of them filled.
    """

    def __init__(self) -> None:
        self.rows: i64 = 0
        self.wide: vec[i64] = vec[i64]([0] * (ROWS * N_WIDE))
        self.narrow: vec[i32] = vec[i32]([0] * (ROWS * N_NARROW))

    def write(self, flow: Flow) -> None:
        """Appends the row of a flow.

        Raises:
            IndexError: it is full.
        """
        if self.rows >= ROWS:
            raise IndexError("the log of flows is full")
        w = self.wide
        at: i64 = self.rows
        w[at] = flow.number
        at += ROWS
        w[at] = flow.first_frame
        at += ROWS
        w[at] = flow.last_frame
        at += ROWS
        w[at] = flow.start_ns
        at += ROWS
        w[at] = flow.end_ns
        at += ROWS
        w[at] = flow.history_1
        at += ROWS
        w[at] = flow.history_2
        at += ROWS
        w[at] = flow.idle_ns
        at += ROWS
        w[at] = flow.idle_end_ns
        at += ROWS
        w[at] = flow.idle_frame
        at += ROWS
        w[at] = flow.pause_ns
        at += ROWS
        w[at] = flow.pause_end_ns
        at += ROWS
        w[at] = flow.answer_ns
        at += ROWS
        w[at] = flow.answer_frame
        at += ROWS
        w[at] = flow.turns
        at += ROWS
        w[at] = flow.close_ns
        at += ROWS
        w[at] = flow.quiet_ns
        at += ROWS
        w[at] = flow.reset.frame
        at += ROWS
        w[at] = flow.reset.time_ns
        at += ROWS
        w[at] = flow.reset.gap
        at += ROWS
        w[at] = flow.reset.pending
        at += ROWS
        w[at] = flow.reset.drew_frame
        at += ROWS
        w[at] = flow.icmp_error.frame
        at += ROWS
        w[at] = flow.icmp_error.hi
        at += ROWS
        w[at] = flow.icmp_error.lo
        at = _wide_side(w, at, flow.client)
        _wide_side(w, at, flow.server)
        n = self.narrow
        at = self.rows
        n[at] = i32(6 if flow.is_ipv6 else 4)
        at += ROWS
        n[at] = i32(flow.vlan)
        at += ROWS
        n[at] = i32(flow.tunnel)
        at += ROWS
        n[at] = i32(closed_by(flow))
        at += ROWS
        n[at] = i32(end_reason(flow))
        at += ROWS
        n[at] = i32(flow.completeness)
        at += ROWS
        n[at] = i32(flow.is_midstream)
        at += ROWS
        n[at] = i32(flow.roles_assumed)
        at += ROWS
        n[at] = i32(flow.idle_endpoint)
        at += ROWS
        n[at] = i32(flow.idle_owed >> 1)
        at += ROWS
        n[at] = i32(owed_by(flow))
        at += ROWS
        n[at] = i32(flow.reset.by)
        at += ROWS
        n[at] = i32(flow.reset.flags)
        at += ROWS
        n[at] = i32(flow.reset.window)
        at += ROWS
        n[at] = i32(flow.reset.ttl)
        at += ROWS
        n[at] = i32(flow.reset.options)
        at += ROWS
        n[at] = i32(flow.reset.goodbye)
        at += ROWS
        n[at] = i32(flow.reset.continues)
        at = _narrow_side(n, at, flow.client)
        _narrow_side(n, at, flow.server)
        self.rows += 1


def owed_by(flow: Flow) -> i64:
    """Who owed something in the longest silence; -1 nobody."""
    if flow.idle_owed >> 1 == NOTHING:
        return -1
    return flow.idle_owed & 1


def closed_by(flow: Flow) -> i64:
    """Who sent the first FIN or RST, as a code into :data:`~pcapflow.tcp.endings.CLOSED_BY_NAMES`."""
    if flow.first_closer < 0:
        return NOBODY
    if flow.both_closed_first:
        return BY_BOTH
    return BY_CLIENT if flow.first_closer == CLIENT else BY_SERVER


def end_reason(flow: Flow) -> i64:
    """How far the connection came, as a code into :data:`~pcapflow.tcp.endings.END_REASONS`."""
    client: i64 = flow.client.state
    server: i64 = flow.server.state
    if flow.reset.frame >= 0:
        return REFUSED if flow.server.packets > 0 and flow.server.syn_count == 0 and not flow.is_midstream else ABORTED
    if client == SYN_SENT and server == UNKNOWN:
        return UNANSWERED
    if client == SYN_SENT or client == SYN_RCVD or server == SYN_RCVD:
        return HALF_OPEN
    over = (client == CLOSED or client == TIME_WAIT) and (server == CLOSED or server == TIME_WAIT)
    if over:
        return CLOSED_GRACEFULLY
    return CLOSING if flow.client.fin_rel >= 0 or flow.server.fin_rel >= 0 else OPEN


def _wide_side(w: vec[i64], at: i64, x: Endpoint) -> i64:
    """Writes the columns after the one at ``at``; the last one written."""
    at += ROWS
    w[at] = x.hi
    at += ROWS
    w[at] = x.lo
    at += ROWS
    w[at] = x.payload_bytes
    at += ROWS
    w[at] = x.rtt_ns
    at += ROWS
    w[at] = x.first_frame
    at += ROWS
    w[at] = x.last_ns
    at += ROWS
    w[at] = x.data_ns
    at += ROWS
    w[at] = x.first_data_ns
    at += ROWS
    w[at] = x.next_rel
    at += ROWS
    w[at] = x.acked_rel
    at += ROWS
    w[at] = x.after_fin
    at += ROWS
    w[at] = x.unseen
    at += ROWS
    w[at] = x.zero_ns
    at += ROWS
    w[at] = x.zero_frame
    at += ROWS
    w[at] = x.data_segments
    at += ROWS
    w[at] = x.data_segments_again
    at += ROWS
    w[at] = x.largest
    return at


def _narrow_side(n: vec[i32], at: i64, x: Endpoint) -> i64:
    at += ROWS
    n[at] = i32(x.port)
    at += ROWS
    n[at] = i32(x.state)
    at += ROWS
    n[at] = i32(x.packets)
    at += ROWS
    n[at] = i32(x.retransmitted)
    at += ROWS
    n[at] = i32(x.syn_count)
    at += ROWS
    n[at] = i32(x.fin_count)
    at += ROWS
    n[at] = i32(x.rst_count)
    at += ROWS
    n[at] = i32(x.mss)
    at += ROWS
    n[at] = i32(x.wscale)
    at += ROWS
    n[at] = i32(x.ttl)
    at += ROWS
    n[at] = i32(x.timestamps)
    at += ROWS
    n[at] = i32(x.syn_form)
    at += ROWS
    n[at] = i32(x.clock_hz())
    return at
