"""What the receiver of a segment is sent by it: ACKs of what it sent, and the peer's FIN."""

from __future__ import annotations

from mypy_extensions import i64

from pcapflow.tcp.marks import MARK_DUPLICATE_SACK
from pcapflow.tcp.states import (
    ACK_OF_FIN_RX,
    ASSUMED,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    SYN_RCVD,
    SYN_SENT,
)
from pcapflow.tracker.counts import H_GAP, add_letter
from pcapflow.tracker.endpoint import Endpoint
from pcapflow.tracker.flow import Flow
from pcapflow.tracker.incoming_fin import fin_was_lost
from pcapflow.tracker.opening import ack_of_syn_passed
from pcapflow.tracker.segment import TapSegment


def ack_passed(flow: Flow, x: Endpoint, y: Endpoint, s: TapSegment) -> None:
    """An ACK of ``x`` on its way to ``y``: of data, of its SYN, of its FIN."""
    ack_rel: i64 = s.ack_rel
    if s.sack_left >= 0 and s.sack_left == y.again_seq and y.rel(s.sack_left) < ack_rel <= x.acked_rel:
        # A first block below the ACK reports what came twice (RFC 2883, 4). Since the first had been acknowledged, only
        # late, that was sent again needlessly. Where no ACK passed before, it was the ACK that was lost.
        flow.mark(s.frame, s.time_ns, x, MARK_DUPLICATE_SACK, y.rel(s.sack_left))
    if ack_rel > x.acked_rel:
        x.acked_before_rel = x.acked_rel
        x.acked_rel = ack_rel
        if y.timed_rel >= 0 and ack_rel >= y.timed_rel:
            x.check_clock(s.tsval, s.time_ns, y.timed_ns)
            _time_round_trip(y, s)
    if ack_rel > y.next_rel:
        y.unseen += ack_rel - y.next_rel
        y.unseen_end_rel = ack_rel
        add_letter(flow, y, H_GAP)
        y.next_rel = ack_rel
    elif y.hole_bytes > 0 and ack_rel == y.next_rel:
        y.unseen += y.hole_bytes
        y.unseen_end_rel = y.hole_end_rel
        add_letter(flow, y, H_GAP)
        y.hole_bytes = 0
    if ack_rel >= 1 and (y.state == SYN_RCVD or y.state == SYN_SENT):
        ack_of_syn_passed(flow, x, y, s)
    if y.fin_rel >= 0 and ack_rel > y.fin_rel:
        _ack_of_fin_passed(flow, y, s)


def _time_round_trip(y: Endpoint, s: TapSegment) -> None:
    rtt_ns: i64 = s.time_ns - y.timed_ns
    if rtt_ns > y.longest_rtt_ns:
        y.longest_rtt_ns = rtt_ns
    if s.ack_rel == y.timed_rel and rtt_ns >= 0 and (y.rtt_ns < 0 or rtt_ns < y.rtt_ns):
        y.rtt_ns = rtt_ns
    y.timed_rel = -1


def _ack_of_fin_passed(flow: Flow, y: Endpoint, s: TapSegment) -> None:
    fin = y.incoming
    state: i64 = y.state
    if fin.own_acked_ns < 0 and (state == FIN_WAIT_1 or state == LAST_ACK or state == CLOSING):
        y.fin_acker_rel = -1
        y.fin_ack_rel = s.rel
        if s.end_rel > s.rel:
            y.fin_acker_rel = s.rel
    if state == FIN_WAIT_1:
        if fin.own_acked_ns >= 0:
            return
        if fin.seen_ns >= 0 and not fin.acks_own:
            # x's FIN is still on its way, or lost: which of the two came first is settled when y answers.
            fin.own_acked_ns = s.time_ns
            fin.own_acked_frame = s.frame
        else:
            flow.take(y, ACK_OF_FIN_RX, s.time_ns, s.frame, ASSUMED)
    elif state == LAST_ACK or state == CLOSING:
        flow.take(y, ACK_OF_FIN_RX, s.time_ns, s.frame, ASSUMED)


def fin_passed(y: Endpoint, s: TapSegment) -> None:
    """The peer's FIN passed on its way to ``y``; whether it arrives is shown by what ``y`` sends."""
    if not _awaits_fin(y):
        return
    fin = y.own_incoming()
    fin.again_ns = -1
    if fin.seen_ns >= 0 and not s.is_copy:
        fin.earlier_lost = fin_was_lost(y)
        fin.earlier_ns = fin.seen_ns
        fin.earlier_frame = fin.frame
        fin.earlier_tsval = fin.tsval
        fin.earlier_acks_own = fin.acks_own
        if not fin.acks_own and not fin.earlier_lost:
            fin.was_bare = True
    fin.seen_ns = s.time_ns
    fin.tsval = s.tsval
    fin.frame = s.frame
    fin.acks_own = y.fin_rel >= 0 and s.ack_rel > y.fin_rel


def ack_with_fin_passed(y: Endpoint, s: TapSegment) -> None:
    """An ACK that bears the FIN of its sender once more passed: should the first pass have been lost, it brings it."""
    fin = y.incoming
    if fin.seen_ns >= 0 and fin.again_ns < 0:
        fin.again_ns = s.time_ns
        fin.again_frame = s.frame
        fin.again_acks_own = y.fin_rel >= 0 and s.ack_rel > y.fin_rel


def _awaits_fin(y: Endpoint) -> bool:
    state: i64 = y.state
    return state == ESTABLISHED or state == FIN_WAIT_1 or state == FIN_WAIT_2 or state == SYN_RCVD or state == SYN_SENT
