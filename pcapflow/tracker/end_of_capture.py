"""Settles what is still open in a connection when the capture ends, or when the connection is not followed any more."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from pcapflow.tcp.states import ACK_OF_FIN_RX, ACK_OF_SYN_RX, ASSUMED, SYN_ACK_RX, SYN_RX, SYN_SENT
from pcapflow.tracker.counts import zero_window_ends
from pcapflow.tracker.endpoint import Endpoint
from pcapflow.tracker.flow import Flow
from pcapflow.tracker.incoming_fin import fin_arrived, fin_was_lost, waiting_ack_arrived
from pcapflow.tracker.opening import has_syn_ack_at_end
from pcapflow.tracker.pending import NO_RESET
from pcapflow.tracker.sender import infer_fin

LOST_IN_A_ROW: Final = 3
"""After so many lost ACKs the next is not assumed to have arrived: even a path that loses every second segment loses
three in a row only once in eight times."""
GIVES_UP_AFTER: Final = 5
"""After so many repeats silence may mean that nobody is left to repeat (Linux: tcp_synack_retries)."""


def settle(flow: Flow, last_ns: i64, rto_ns: i64) -> None:
    """Settles what both endpoints may have received until ``last_ns``.

    A FIN or SYN-ACK that passed once, shorter before the end than a retransmission time-out, is assumed to have
    arrived; one that was repeated without an answer is not. Nor is the last ACK of several, where those before it were
    lost.
    """
    _settle_last_ack(flow, flow.client, last_ns, rto_ns)
    _settle_last_ack(flow, flow.server, last_ns, rto_ns)
    _settle_side(flow, flow.client, flow.server, last_ns, rto_ns)
    _settle_side(flow, flow.server, flow.client, last_ns, rto_ns)
    _count_unseen(flow.client)
    _count_unseen(flow.server)
    if flow.reset_not_taken:
        flow.reset_not_taken = False
        flow.reset = NO_RESET


def _settle_last_ack(flow: Flow, x: Endpoint, last_ns: i64, rto_ns: i64) -> None:
    """Takes back that the last ACK of the SYN-ACK, or of the FIN, of ``x`` arrived, where the path lost all before it.

    Where its next repeat is long overdue it arrived after all; unless ``x`` has repeated so often that it gave up.
    """
    event: i64 = x.last_event(flow.log)
    if not x.unsure or x.acks_lost < LOST_IN_A_ROW or (event != ACK_OF_FIN_RX and event != ACK_OF_SYN_RX):
        return
    sent_ns: i64 = x.fin_sent_ns if event == ACK_OF_FIN_RX else x.syn_sent_ns
    is_overdue = last_ns - sent_ns > 2 * x.longest_pause_ns + rto_ns
    if not is_overdue or x.acks_lost >= GIVES_UP_AFTER:
        x.take_back(flow.log)


def _settle_side(flow: Flow, x: Endpoint, y: Endpoint, last_ns: i64, rto_ns: i64) -> None:
    if x.syn_seen_ns >= 0 and x.state == SYN_SENT and has_syn_ack_at_end(x, y, last_ns, rto_ns):
        flow.take(x, SYN_RX if x.syn_seen_bare else SYN_ACK_RX, x.syn_seen_ns, x.syn_seen_frame, ASSUMED)
    fin = x.incoming
    if fin.seen_ns >= 0:
        # Behind a hole it does not count (RFC 9293, 3.10.7.4).
        is_whole = y.hole_bytes == 0 or y.hole_start_rel > y.fin_rel
        if y.fin_count == 1 and last_ns - fin.seen_ns < rto_ns and is_whole and not fin_was_lost(x):
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
