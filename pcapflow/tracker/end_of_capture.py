"""Settles what is still open in a connection when the capture ends, or when the connection is not followed any more."""

from __future__ import annotations

from mypy_extensions import i64

from pcapflow.tcp.states import ASSUMED, SYN_ACK_RX, SYN_RX, SYN_SENT
from pcapflow.tracker.counts import zero_window_ends
from pcapflow.tracker.endpoint import Endpoint
from pcapflow.tracker.flow import Flow
from pcapflow.tracker.incoming_fin import fin_arrived, fin_was_lost, waiting_ack_arrived
from pcapflow.tracker.opening import has_syn_ack_at_end
from pcapflow.tracker.pending import NO_RESET
from pcapflow.tracker.sender import infer_fin


def settle(flow: Flow, last_ns: i64, rto_ns: i64) -> None:
    """Settles what both endpoints may have received until ``last_ns``.

    A FIN or SYN-ACK that passed once, shorter before the end than a retransmission time-out, is assumed to have
    arrived; one that was repeated without an answer is not.
    """
    _settle_side(flow, flow.client, flow.server, last_ns, rto_ns)
    _settle_side(flow, flow.server, flow.client, last_ns, rto_ns)
    _count_unseen(flow.client)
    _count_unseen(flow.server)
    if flow.reset_not_taken:
        flow.reset_not_taken = False
        flow.reset = NO_RESET


def _settle_side(flow: Flow, x: Endpoint, y: Endpoint, last_ns: i64, rto_ns: i64) -> None:
    if x.syn_seen_ns >= 0 and x.state == SYN_SENT and has_syn_ack_at_end(x, y, last_ns, rto_ns):
        flow.take(x, SYN_RX if x.syn_seen_bare else SYN_ACK_RX, x.syn_seen_ns, x.syn_seen_frame, ASSUMED)
    fin = x.incoming
    if fin.seen_ns >= 0:
        if y.fin_count == 1 and last_ns - fin.seen_ns < rto_ns and not fin_was_lost(x):
            fin_arrived(flow, x, ASSUMED, False)
        else:
            waiting_ack_arrived(flow, x)
    if x.inferred.rel >= 0 and x.inferred.is_alone and x.fin_rel < 0:
        infer_fin(flow, x, ASSUMED, False)
    if x.zero_since_ns >= 0:
        zero_window_ends(x, last_ns)


def _count_unseen(x: Endpoint) -> None:
    """Makes bytes of the numbers that have not passed: where nothing came after them, the last may have been a FIN."""
    if x.unseen > 0 and x.fin_rel < 0 and x.unseen_end_rel == x.next_rel:
        x.unseen -= 1
