"""A RST: whether its receiver accepts it (RFC 9293, 3.5.3 and 3.10.7; RFC 5961, 3.2), and what it ends."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from pcapflow.tcp.endings import (
    GOODBYE,
    NEXT_IP_ID,
    NO_GOODBYE,
    NOT_DRAWN,
    OTHER_IP_ID,
    OTHER_TTL,
    PERHAPS_GOODBYE,
    SAME_TTL,
    SAME_WINDOW,
    STAMPED,
)
from pcapflow.tcp.flags import ACK, FIN, TCP_FLAGS
from pcapflow.tcp.marks import MARK_RESET, MARK_RESET_AFTER_CLOSE, MARK_RESET_IGNORED
from pcapflow.tcp.states import (
    ACK_OF_FIN_RX,
    ASSUMED,
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_RX,
    FIN_TX,
    FIN_WAIT_2,
    LAST_ACK,
    PROVEN,
    RST_RX,
    RST_TX,
    SENT,
    SYN_ACK_RX,
    SYN_SENT,
    UNKNOWN,
)
from pcapflow.tracker.conversation import begin_close
from pcapflow.tracker.endpoint import Endpoint
from pcapflow.tracker.flow import Flow
from pcapflow.tracker.incoming_fin import fin_arrived, fin_was_lost, waiting_ack_arrived
from pcapflow.tracker.pending import NO_RESET, CountedReset
from pcapflow.tracker.segment import TapSegment

IP_ID_STEP: Final = 256
"""A host that counts all that it sends sent so few packets in between; a random identification is seldom so near."""
FIN_REPEATS: Final = 3
"""A FIN that was sent again so often in vain did not arrive: its receiver would have answered one of them."""


def reset_sent(flow: Flow, x: Endpoint, y: Endpoint, s: TapSegment) -> None:
    """A RST from ``x`` to ``y``."""
    x.rst_count += 1
    s.ack_rel = -1
    if s.has_ack and y.isn >= 0:
        s.ack_rel = y.rel(s.ack)
    s.rel = 0
    if x.isn >= 0:
        s.rel = x.rel(s.seq)
    rel: i64 = s.rel
    _describe(x, y, s)
    if y.state == CLOSED and y.last_row >= 0 and x.state != ESTABLISHED:
        flow.mark(s.frame, s.time_ns, x, MARK_RESET_AFTER_CLOSE, s.ttl)
        _sender_is_gone(flow, x, y, s)
        return
    if not _is_accepted(x, y, s):
        _reset_ignored(flow, x, y, s)
        return
    was_over = flow.is_over()
    was_gone = x.state == CLOSED
    fin_passed = x.fin_rel >= 0 and y.incoming.seen_ns >= 0 and rel >= x.fin_rel
    if fin_passed and not fin_was_lost(y) and not _is_in_vain(flow, x, y):
        fin_arrived(flow, y, ASSUMED, False)
    waiting_ack_arrived(flow, y)
    _sender_is_gone(flow, x, y, s)
    ends = flow.take(y, RST_RX, s.time_ns, s.frame, ASSUMED)
    if ends:
        y.reset_rel = rel
        y.reset_end_rel = x.next_rel
    if was_over or not (ends or y.state == UNKNOWN):
        flow.mark(s.frame, s.time_ns, x, MARK_RESET_AFTER_CLOSE, s.ttl)
        return
    if flow.reset is not NO_RESET and not flow.reset_not_taken:
        return
    flow.mark(s.frame, s.time_ns, x, MARK_RESET, s.pending)
    if flow.first_closer < 0:
        begin_close(flow, x, y, s.time_ns)
    if flow.reset_not_taken:
        flow.reset_not_taken = False
        if was_gone and flow.reset.by == x.which and flow.reset.flags & ACK and not s.has_ack:
            # x had reset it before, and y had not got that: this one merely answers what y sent since.
            flow.ended_ns = s.time_ns
            return
    _count_reset(flow, x, y, s)
    if flow.is_over():
        flow.ended_ns = s.time_ns


def continuity(x: Endpoint, s: TapSegment) -> i64:
    """What of a RST goes on from the segment of ``x`` before it, which ``x`` still holds as its previous one.

    Whatever host or device sent that, its stack counts the IP identification up, for the connection or for all that it
    sends; Linux begins anew where no socket answers.
    """
    bits: i64 = 0
    if s.tsval >= 0:
        bits |= STAMPED
    if x.packets < 2:
        return bits
    bits |= SAME_TTL if s.ttl == x.previous_ttl else OTHER_TTL
    if x.previous_ip_id > 0:
        step: i64 = (s.ip_id - x.previous_ip_id) & 0xFFFF
        bits |= NEXT_IP_ID if s.ip_id > 0 and 0 < step <= IP_ID_STEP else OTHER_IP_ID
    if s.window > 0 and s.window == x.ws_window:
        bits |= SAME_WINDOW
    return bits


def _describe(x: Endpoint, y: Endpoint, s: TapSegment) -> None:
    """Notes what a RST destroys, and what drew it, before anything is made of it."""
    s.gap = 0
    if y.acked_rel >= 0:
        s.gap = s.rel - y.acked_rel
    s.drew_frame = _drawn_by(x, y, s)
    s.pending = 0
    if y.isn >= 0:
        acked_rel: i64 = x.acked_rel
        if x.fin_rel < 0 or s.drew_frame < 0:
            acked_rel = max(s.ack_rel, acked_rel)
        s.pending = y.payload_between(acked_rel, y.next_rel)


def _drawn_by(x: Endpoint, y: Endpoint, s: TapSegment) -> i64:
    """The frame of the segment that drew a RST; :data:`NOT_DRAWN` where nothing did, -1 where this is not known.

    One without ACK answers a segment for which there is no socket, and takes its number from the acknowledgment of that
    (RFC 9293, 3.10.7.1). Old Windows resets by itself in the same form: the field of the acknowledgment is filled all
    the same, or its host has acknowledged all that it was sent, or has not been told of the number that the RST bears.
    One with ACK may be drawn too where what came last brought data that nothing but the RST acknowledges: if its sender
    has closed, Windows, lwIP and gVisor reset so, since nobody reads it; lwIP does where it has no socket.
    """
    if y.packets == 0 or x.isn < 0:
        return -1
    if s.flags & ACK:
        if y.previous_len > 0 and y.rel(y.previous_seq) + y.previous_len > x.acked_rel:
            return y.previous_frame
        return -1
    if s.ack != 0 or 0 <= y.acked_rel < s.rel <= x.next_rel:
        return NOT_DRAWN
    if (
        x.last_frame > y.previous_frame
        and (y.previous_len > 0 or y.previous_flags & FIN != 0)
        and x.acked_rel >= y.next_rel
    ):
        return NOT_DRAWN
    return y.previous_frame if y.previous_ack == s.seq else -1


def _is_in_vain(flow: Flow, x: Endpoint, y: Endpoint) -> bool:
    """Whether ``x`` sent its FIN so often without hearing anything from ``y`` that none of them can have arrived."""
    return (
        x.fin_count > FIN_REPEATS
        and y.packets > 0
        and x.last_event(flow.log) == FIN_TX
        and y.last_ns <= flow.log.time_ns(x.last_row)
    )


def _is_accepted(x: Endpoint, y: Endpoint, s: TapSegment) -> bool:
    """Whether ``y`` takes the RST of ``x``: see the module's sources."""
    if y.state == SYN_SENT:
        return s.has_ack and 0 < s.ack_rel <= y.next_rel
    if y.acked_rel < 0 or y.state == UNKNOWN:
        return True
    if s.rel == y.acked_rel - 1 and (y.state == CLOSE_WAIT or y.state == LAST_ACK or y.state == CLOSING):
        # A RST that does not count its own FIN is accepted too (Linux, tcp_reset_check).
        return True
    return y.acked_rel <= s.rel <= max(x.next_rel, y.acked_rel)


def _reset_ignored(flow: Flow, x: Endpoint, y: Endpoint, s: TapSegment) -> None:
    flow.mark(s.frame, s.time_ns, x, MARK_RESET_IGNORED, s.gap)
    if not s.has_ack and x.fin_rel >= 0 and s.rel == y.acked_before_rel:
        # It answers an older segment of y, whose acknowledgment is its number: nobody is there any more.
        _sender_is_gone(flow, x, y, s)
        return
    if s.rel > x.next_rel and (s.ack_rel == x.acked_rel or s.ack_rel == y.next_rel) and s.has_ack:
        # No stranger knows what to acknowledge: it is x's own, and ahead of something that was lost.
        _sender_is_gone(flow, x, y, s)
        if flow.reset is NO_RESET:
            flow.reset_not_taken = True
            _count_reset(flow, x, y, s)


def _count_reset(flow: Flow, x: Endpoint, y: Endpoint, s: TapSegment) -> None:
    """Notes a RST of ``x`` as the one that ends the connection."""
    flow.reset = CountedReset(
        s.frame,
        s.time_ns,
        x.which,
        s.flags & TCP_FLAGS,
        s.window,
        s.ttl,
        1 if s.tsval >= 0 else 0,
        s.gap,
        s.pending,
        s.drew_frame,
        s.continues,
        _goodbye(x, y, s),
    )


def _goodbye(x: Endpoint, y: Endpoint, s: TapSegment) -> i64:
    """Whether ``y`` ended with TLS alerts, and ``x`` lacks nothing before them."""
    acked_rel: i64 = max(s.ack_rel, x.acked_rel)
    if y.goodbye_rel < 0 or acked_rel < y.goodbye_rel:
        return NO_GOODBYE
    return GOODBYE if y.goodbye_is_sure else PERHAPS_GOODBYE


def reset_did_not_count(flow: Flow, sender: Endpoint) -> None:
    """The RST noted as the end was not accepted, or never arrived."""
    reset = flow.reset
    if reset is not NO_RESET:
        flow.mark(reset.frame, reset.time_ns, sender, MARK_RESET_IGNORED, reset.gap)
        flow.reset_not_taken = True
    flow.ended_ns = -1


def _sender_is_gone(flow: Flow, x: Endpoint, y: Endpoint, s: TapSegment) -> None:
    """The sender's side of a RST: nothing is left of its connection."""
    log = flow.log
    ack_rel: i64 = s.ack_rel
    if x.acked_rel < ack_rel <= y.next_rel:
        x.acked_rel = ack_rel
    if x.unsure and x.last_event(log) == RST_RX:
        closed_ns: i64 = log.time_ns(x.last_row)
        closed_frame: i64 = x.take_back(log)
        # Where it aborts by itself, with what it has received so far, what was assumed to have ended it did not.
        # Where no socket answers, something came after that end: the FIN, if its sender has said nothing since.
        if x.unsure and x.last_event(log) == FIN_RX and ack_rel <= y.fin_rel and (ack_rel >= 0 or y.fin_was_last):
            x.take_back(log)
        if ack_rel < 0:
            flow.take(x, RST_RX, closed_ns, closed_frame, ASSUMED)
    if x.unsure and x.last_event(log) == ACK_OF_FIN_RX and _came_before_ack(flow, x, y, s):
        x.take_back(log)
    fin = x.incoming
    if fin.seen_ns >= 0 and ack_rel > y.fin_rel:
        fin_arrived(flow, x, PROVEN, False)
    elif (
        fin.earlier_ns >= 0
        and ack_rel < 0
        and (fin.not_acked_ns < 0 or (y.fin_count == 2 and fin.not_acked_ns - fin.earlier_ns <= y.longest_rtt_ns))
    ):
        # No socket answers a FIN that was repeated, and the first one drew nothing that was not on its way already: it
        # arrived, more likely than not, and x then aborted by a RST that was lost with the ACK.
        fin.seen_ns = fin.earlier_ns
        fin.frame = fin.earlier_frame
        fin_arrived(flow, x, ASSUMED, False)
    if ack_rel < 0 and s.rel > x.fin_rel:
        # What drew it acknowledged the FIN of x, and the peer's own FIN, before which that was to be sorted in, did not
        # arrive.
        waiting_ack_arrived(flow, x)
    if x.syn_seen_ns >= 0 and x.state == SYN_SENT and ack_rel >= 1:
        flow.take(x, SYN_ACK_RX, x.syn_seen_ns, x.syn_seen_frame, PROVEN)
    if x.state == UNKNOWN and not flow.is_midstream:
        # Nobody listens there: there never was a connection to abort.
        x.begin(RST_TX)
    else:
        flow.take(x, RST_TX, s.time_ns, s.frame, SENT)
    if fin.seen_ns >= 0:
        fin.seen_ns = -1
    x.syn_seen_ns = -1


def _came_before_ack(flow: Flow, x: Endpoint, y: Endpoint, s: TapSegment) -> bool:
    """Whether ``x`` sent this RST before the ACK of its FIN reached it, which is assumed to have arrived."""
    log = flow.log
    if s.ack_rel >= 0:
        # It may have crossed an ACK that passed just before, or lacks the data that brought this along, or covers that.
        if 0 <= x.fin_ack_rel < s.ack_rel:
            return False
        return s.time_ns - log.time_ns(x.last_row) < y.rtt_ns or (
            s.ack_rel == x.fin_acker_rel and log.frame(x.last_row) == y.previous_frame
        )
    if s.rel <= x.fin_rel:
        # Its number is what the segment that drew it acknowledged: where that is not beyond the FIN, and not of an old
        # segment that passed since, it was sent before this ACK.
        return x.rel(y.previous_ack) != s.rel
    # This ACK itself drew it, as soon as an answer comes: from no socket, since none aborts for a bare ACK, nor for a
    # FIN unless it lacks what was sent before that (Linux, tcp_rcv_state_process). In LAST_ACK one such ACK ends the
    # socket, and a copy of it finds none.
    return (
        x.state == FIN_WAIT_2
        and log.frame(x.last_row) == y.previous_frame
        and s.time_ns - y.last_ns <= y.longest_rtt_ns
        and y.previous_len == 0
        and (y.previous_flags & FIN == 0 or y.fin_rel == x.acked_rel)
    )
