"""The log of finished flows: a row each, in two growable arrays, one of 64-bit and one of 32-bit numbers."""

from __future__ import annotations

from typing import Final, final

from librt.vecs import append, vec
from mypy_extensions import i32, i64

from pcapflow.tracker.endpoint import Endpoint
from pcapflow.tracker.flow import Flow
from pcapflow.tracker.states import CLIENT, CLOSED, SYN_RCVD, SYN_SENT, TIME_WAIT, UNKNOWN

OPEN: Final = 0
CLOSING: Final = 1
CLOSED_GRACEFULLY: Final = 2
ABORTED: Final = 3
REFUSED: Final = 4
UNANSWERED: Final = 5
HALF_OPEN: Final = 6

_WIDE_SIDE: Final = (
    "hi", "lo", "bytes", "rtt_ns", "first_frame", "last_ns", "data_ns", "sent", "acked", "after_fin", "unseen",
    "zero_ns", "zero_frame",
)  # fmt: skip
_NARROW_SIDE: Final = (
    "port", "state", "packets", "retransmitted", "syns", "fins", "rsts", "mss", "wscale", "ttl", "timestamps",
)  # fmt: skip
WIDE_COLUMNS: Final = (
    "flow", "first_frame", "last_frame", "start_ns", "end_ns", "history_1", "history_2", "idle_ns", "idle_end_ns",
    "idle_frame", "reset_frame", "reset_ns", "reset_gap", "reset_pending", "reset_drew_frame",
    *(f"client_{name}" for name in _WIDE_SIDE),
    *(f"server_{name}" for name in _WIDE_SIDE),
)  # fmt: skip
"""Names of the 64-bit columns, in the order in which :meth:`FlowLog.write` appends them."""
NARROW_COLUMNS: Final = (
    "stream", "family", "vlan", "tunnel", "closed_by", "end_reason", "completeness", "midstream", "roles_assumed",
    "idle_endpoint", "reset_by", "reset_flags", "reset_window", "reset_ttl", "reset_options",
    *(f"client_{name}" for name in _NARROW_SIDE),
    *(f"server_{name}" for name in _NARROW_SIDE),
)  # fmt: skip
"""Names of the 32-bit columns, likewise."""


@final
class FlowLog:
    """Rows of flows in the order in which they were finished; ``wide`` and ``narrow`` hold them one after another."""

    def __init__(self) -> None:
        self.wide: vec[i64] = vec[i64]()
        self.narrow: vec[i32] = vec[i32]()

    def write(self, flow: Flow) -> None:
        """Appends the row of a flow."""
        w = self.wide
        w = append(w, flow.number)
        w = append(w, flow.first_frame)
        w = append(w, flow.last_frame)
        w = append(w, flow.start_ns)
        w = append(w, flow.end_ns)
        w = append(w, flow.history_1)
        w = append(w, flow.history_2)
        w = append(w, flow.idle_ns)
        w = append(w, flow.idle_end_ns)
        w = append(w, flow.idle_frame)
        w = append(w, flow.reset_frame)
        w = append(w, flow.reset_ns)
        w = append(w, flow.reset_gap)
        w = append(w, flow.reset_pending)
        w = append(w, flow.reset_drew_frame)
        w = _wide_side(w, flow.client)
        self.wide = _wide_side(w, flow.server)
        n = self.narrow
        n = append(n, i32(flow.stream))
        n = append(n, i32(6 if flow.is_ipv6 else 4))
        n = append(n, i32(flow.vlan))
        n = append(n, i32(flow.tunnel))
        n = append(n, i32(closed_by(flow)))
        n = append(n, i32(end_reason(flow)))
        n = append(n, i32(flow.completeness))
        n = append(n, i32(flow.is_midstream))
        n = append(n, i32(flow.roles_assumed))
        n = append(n, i32(flow.idle_endpoint))
        n = append(n, i32(flow.reset_by))
        n = append(n, i32(flow.reset_flags))
        n = append(n, i32(flow.reset_window))
        n = append(n, i32(flow.reset_ttl))
        n = append(n, i32(flow.reset_options))
        n = _narrow_side(n, flow.client)
        self.narrow = _narrow_side(n, flow.server)


def closed_by(flow: Flow) -> i64:
    """Who sent the first FIN or RST: 0 nobody, 1 client, 2 server, 3 both (their FINs crossed)."""
    if flow.first_closer < 0:
        return 0
    if flow.both_closed_first:
        return 3
    return 1 if flow.first_closer == CLIENT else 2


def end_reason(flow: Flow) -> i64:
    """How far the connection came, as a code into ``tables.END_REASONS``."""
    client: i64 = flow.client.state
    server: i64 = flow.server.state
    if flow.reset_frame >= 0:
        return REFUSED if flow.server.packets > 0 and flow.server.syn_count == 0 and not flow.is_midstream else ABORTED
    if client == SYN_SENT and server == UNKNOWN:
        return UNANSWERED
    if client == SYN_SENT or client == SYN_RCVD or server == SYN_RCVD:
        return HALF_OPEN
    over = (client == CLOSED or client == TIME_WAIT) and (server == CLOSED or server == TIME_WAIT)
    if over:
        return CLOSED_GRACEFULLY
    return CLOSING if flow.client.fin_rel >= 0 or flow.server.fin_rel >= 0 else OPEN


def _wide_side(w: vec[i64], x: Endpoint) -> vec[i64]:
    w = append(w, x.hi)
    w = append(w, x.lo)
    w = append(w, x.payload_bytes)
    w = append(w, x.rtt_ns)
    w = append(w, x.first_frame)
    w = append(w, x.last_ns)
    w = append(w, x.data_ns)
    w = append(w, x.next_rel)
    w = append(w, x.acked_rel)
    w = append(w, x.after_fin)
    w = append(w, x.unseen)
    w = append(w, x.zero_ns)
    return append(w, x.zero_frame)


def _narrow_side(n: vec[i32], x: Endpoint) -> vec[i32]:
    n = append(n, i32(x.port))
    n = append(n, i32(x.state))
    n = append(n, i32(x.packets))
    n = append(n, i32(x.retransmitted))
    n = append(n, i32(x.syn_count))
    n = append(n, i32(x.fin_count))
    n = append(n, i32(x.rst_count))
    n = append(n, i32(x.mss))
    n = append(n, i32(x.wscale))
    n = append(n, i32(x.ttl))
    return append(n, i32(x.timestamps))
