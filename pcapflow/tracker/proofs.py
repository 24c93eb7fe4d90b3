"""What a segment proves about its sender: what that had received, and that a RST did not end it."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from pcapflow.tcp.flags import FIN
from pcapflow.tcp.marks import MARK_TAKEN_BACK
from pcapflow.tcp.seq import delta
from pcapflow.tcp.states import (
    ACK_OF_FIN_RX,
    ACK_OF_SYN_RX,
    ASSUMED,
    CLOSE_WAIT,
    FIN_RX,
    FIN_WAIT_2,
    PROVEN,
    RST_RX,
    RST_TX,
    SYN_RCVD,
)
from pcapflow.tracker.conversation import begin_close, do_not_close
from pcapflow.tracker.endpoint import DELAY_NS, TICK_NS, Endpoint
from pcapflow.tracker.flow import Flow
from pcapflow.tracker.incoming_fin import fin_arrived, fin_waits_again
from pcapflow.tracker.opening import has_left_syn_rcvd, prove_syn
from pcapflow.tracker.pending import IncomingFin
from pcapflow.tracker.resets import reset_did_not_count
from pcapflow.tracker.segment import TapSegment

REORDER_NS: Final = 3_000_000
"""Segments of one sender may overtake each other by about this much."""

LANDED: Final = 0
RST_IN_FLIGHT: Final = 1
FIN_AND_RST_IN_FLIGHT: Final = 2


def prove(flow: Flow, x: Endpoint, y: Endpoint, s: TapSegment) -> None:
    """What ``x`` had received when it sent a segment with this ACK."""
    if x.syn_seen_ns >= 0 and s.ack_rel >= 1:
        prove_syn(flow, x, s)
    if x.state == SYN_RCVD and y.acked_rel >= 1 and has_left_syn_rcvd(s):
        # It had repeated its SYN-ACK, so what was sent to it last has arrived, at the latest.
        flow.take(x, ACK_OF_SYN_RX, y.last_ns, y.previous_frame, PROVEN)
    if x.unsure:
        _judge_assumption(flow, x, y, s)
    if x.incoming.seen_ns >= 0:
        _judge_fin(flow, x, y, s)


def _judge_assumption(flow: Flow, x: Endpoint, y: Endpoint, s: TapSegment) -> None:
    """Confirms the last transition of ``x``, which is assumed, or takes it back, where this segment tells."""
    log = flow.log
    event: i64 = x.last_event(log)
    ack_rel: i64 = s.ack_rel
    if event == ACK_OF_SYN_RX:
        if has_left_syn_rcvd(s):
            x.confirm(log)
    elif event == FIN_RX and x.state == CLOSE_WAIT and ack_rel > y.fin_rel:
        x.own_incoming().proven_frame = s.frame
        x.confirm(log)
    elif event == ACK_OF_FIN_RX and y.fin_rel >= 0 and ack_rel > y.fin_rel and x.state == FIN_WAIT_2:
        x.confirm(log)
    elif (
        event == ACK_OF_FIN_RX
        and ack_rel == x.fin_acker_rel >= x.acked_rel
        and s.rel == x.next_rel
        and log.frame(x.last_row) == y.last_frame
        and 0 <= y.longest_rtt_ns < x.would_pass_ns(s.tsval, s.time_ns) - log.time_ns(x.last_row)
    ):
        # It still asks for the data or FIN that brought the ACK along, which was lost then.
        flow.take_back(x, s.frame, s.time_ns)


def _judge_fin(flow: Flow, x: Endpoint, y: Endpoint, s: TapSegment) -> None:
    """Whether the peer's FIN, which has passed, had reached ``x``."""
    fin = x.incoming
    ack_rel: i64 = s.ack_rel
    would_pass_ns: i64 = x.would_pass_ns(s.tsval, s.time_ns)
    if ack_rel > y.fin_rel:
        _prove_fin(flow, x, y, s, would_pass_ns)
    elif ack_rel >= x.acked_rel:
        # One that acknowledges less than another before it is older than that, and tells nothing new.
        fin.gap_reported_ns = would_pass_ns
        fin.not_acked_ns = would_pass_ns
        # A challenge answers the RST that was sent after the FIN.
        fin.not_acked_late = 0 <= y.longest_rtt_ns < would_pass_ns - fin.seen_ns or x.challenge_frame == s.frame
        # A block below the ACK tells of a duplicate, not of a gap (RFC 2883, 4).
        fin.not_acked_by_sack = s.sack_left >= 0 and y.rel(s.sack_left) > ack_rel
        if fin.not_acked_late and fin.own_acked_frame == fin.frame:
            # What came with the FIN was lost with it.
            fin.own_acked_ns = -1
        fin.earlier_ns = -1
        fin.was_bare = False


def _prove_fin(flow: Flow, x: Endpoint, y: Endpoint, s: TapSegment, would_pass_ns: i64) -> None:
    """The peer's FIN is acknowledged: which pass of it arrived, and in which order with the ACK of x's own FIN."""
    fin = x.incoming
    if fin.earlier_ns >= 0 and (
        s.sack_left >= 0
        or (s.time_ns - fin.seen_ns < y.rtt_ns // 2 and not fin.earlier_lost)
        or (fin.earlier_tsval >= 0 and s.tsecr >= 0 and _echoes_earlier(fin, s.tsecr))
    ):
        # It was an earlier FIN that arrived: a duplicate SACK says so (RFC 2883, 4), or the answer to the last one came
        # sooner than any answer could, or it echoes the earlier one's time stamp (RFC 7323, 4.3).
        fin.seen_ns = fin.earlier_ns
        fin.frame = fin.earlier_frame
        fin.acks_own = fin.earlier_acks_own
        fin.earlier_ns = -1
        if not fin.earlier_acks_own:
            fin.was_bare = False
    if (
        fin.again_ns >= 0
        and 0 <= y.longest_rtt_ns < s.time_ns - fin.seen_ns
        and s.time_ns - fin.again_ns >= y.rtt_ns - y.rtt_ns // 8
    ):
        # The ACK that bore it once more brought it: the first pass would have been answered before.
        fin.seen_ns = fin.again_ns
        fin.frame = fin.again_frame
        fin.acks_own = fin.again_acks_own
    fin.proven_frame = s.frame
    # What arrives is answered at once, and nothing but the FIN was still under way: had it come before the ACK of x's
    # own, the answer would have passed by now. Or else it was the answer that took its time, as its time stamp tells.
    longest_ns: i64 = y.longest_rtt_ns
    if s.tsval >= 0 and y.rtt_ns >= 0 and not x.clock_is_slow:
        longest_ns = min(longest_ns, y.rtt_ns + TICK_NS)
    is_late = not s.flags & FIN and fin.own_acked_ns >= y.last_needs_ack_ns and y.longest_rtt_ns >= 0
    if is_late and longest_ns < s.time_ns - fin.own_acked_ns:
        fin_arrived(flow, x, ASSUMED, would_pass_ns == s.time_ns)
    else:
        fin_arrived(flow, x, PROVEN, False)


def _echoes_earlier(fin: IncomingFin, tsecr: i64) -> bool:
    """Whether a time stamp that is echoed is of the pass before the last, or of what came since.

    One older than both says nothing: gVisor acknowledges a FIN before it takes over its time stamp.
    """
    return delta(tsecr, fin.tsval) < 0 <= delta(tsecr, fin.earlier_tsval)


def is_alive(flow: Flow, x: Endpoint, y: Endpoint, s: TapSegment) -> i64:
    """A segment without RST from an endpoint that was thought closed by one.

    Returns:
        Whether it may have been sent before the RST arrived (``RST_IN_FLIGHT``), and the FIN before the RST
        (``FIN_AND_RST_IN_FLIGHT``): what it shows then comes before those, which the caller applies again. ``LANDED``
        where neither.
    """
    log = flow.log
    event: i64 = x.last_event(log)
    since_ns: i64 = x.would_pass_ns(s.tsval, s.time_ns) - log.time_ns(x.last_row)
    if event == RST_TX:
        # An endpoint that sent a RST has nothing more to send; overtaken segments are old ones.
        if s.end_rel > x.next_rel or s.ack_rel > x.acked_rel or since_ns > REORDER_NS:
            flow.take_back(x, s.frame, s.time_ns)
            if flow.first_closer == x.which and x.fin_count == 0:
                do_not_close(flow)
                if y.fin_count > 0:
                    begin_close(flow, y, x, y.fin_sent_ns)
    elif event == RST_RX and x.unsure:
        return _outlives_reset(flow, x, y, s, since_ns)
    return LANDED


def _outlives_reset(flow: Flow, x: Endpoint, y: Endpoint, s: TapSegment, since_ns: i64) -> i64:
    """See :func:`is_alive`: ``x`` was assumed to have taken a RST ``since_ns`` ago."""
    log = flow.log
    ack_rel: i64 = s.ack_rel
    is_repeat = s.rel == s.end_rel == x.next_rel and ack_rel == x.acked_rel and s.sack_left < 0
    flight_ns: i64 = 2 * y.rtt_ns + REORDER_NS if y.rtt_ns >= 0 else DELAY_NS
    is_of_later = x.reset_end_rel < ack_rel <= y.next_rel
    # An ACK that says nothing new, a round trip after a RST that is ahead of it, challenges this (RFC 5961, 3).
    is_challenge = is_repeat and ack_rel < x.reset_rel and 0 <= y.rtt_ns <= since_ns
    if since_ns <= flight_ns and not is_of_later and not is_challenge:
        x.take_back(log)
        if x.unsure and x.last_event(log) == ACK_OF_FIN_RX:
            # It waits again for the peer's FIN, if one passed, behind which it is to be sorted in.
            fin = x.own_incoming()
            fin.own_acked_ns = log.time_ns(x.last_row)
            fin.own_acked_frame = x.take_back(log)
        return FIN_AND_RST_IN_FLIGHT if fin_waits_again(flow, x, y, ack_rel) else RST_IN_FLIGHT
    # It shows that the RST was not accepted: it was sent when that must have been there.
    flow.take_back(x, s.frame, s.time_ns)
    if fin_waits_again(flow, x, y, ack_rel):
        flow.mark(s.frame, s.time_ns, x, MARK_TAKEN_BACK, x.incoming.frame)
    if is_challenge:
        x.challenge_frame = s.frame
    reset_did_not_count(flow, y)
    return LANDED
