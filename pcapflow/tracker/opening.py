"""How a connection opens: the SYNs and their ACK, and connections that were open before the capture."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from pcapflow.tcp.flags import FIN, RST, SYN
from pcapflow.tcp.marks import MARK_SYN_REPEATED
from pcapflow.tcp.states import (
    ACK_OF_SYN_RX,
    ASSUMED,
    MIDSTREAM,
    PROVEN,
    SENT,
    SYN_ACK_RX,
    SYN_RCVD,
    SYN_RX,
    SYN_SENT,
    SYN_TX,
    UNKNOWN,
)
from pcapflow.tracker.endpoint import DELAY_NS, Endpoint
from pcapflow.tracker.flow import Flow
from pcapflow.tracker.segment import TapSegment
from pcapflow.tracker.sender import is_copy_of

OLD_RTO: Final = 3
"""What the first time-out once was, in those of today."""


def pick_up(flow: Flow, x: Endpoint, y: Endpoint, s: TapSegment) -> None:
    """The first segment of a connection that began before the capture: both ends are assumed ESTABLISHED."""
    flow.is_midstream = True
    if s.flags & RST:
        return
    flow.take(x, MIDSTREAM, s.time_ns, s.frame, ASSUMED)
    flow.take(y, MIDSTREAM, s.time_ns, s.frame, ASSUMED)
    x.unsure = False
    y.unsure = False


def syn_sent(flow: Flow, x: Endpoint, y: Endpoint, s: TapSegment) -> None:
    """A SYN or a SYN-ACK of ``x``."""
    has_ack = s.has_ack
    x.syn_count += 1
    # Where the SYNs cross, a SYN-ACK follows a SYN and repeats nothing.
    is_repeat = x.syn_count > 1 and x.syn_acks == has_ack and not s.is_copy
    x.syn_acks = has_ack
    if is_repeat and not is_copy_of(x.syn_sent_ns, x.syn_ip_id, x.syn_tsval, s):
        _syn_repeated(flow, x, s)
    x.syn_sent_ns = s.time_ns
    x.syn_ip_id = s.ip_id
    x.syn_tsval = s.tsval
    if has_ack:
        if x.state == UNKNOWN:
            # The SYN was not captured; its answer proves it.
            flow.is_midstream = True
            if y.state == UNKNOWN:
                flow.take(y, SYN_TX, s.time_ns, s.frame, PROVEN)
            x.begin(SYN_RX)
            flow.take(x, SYN_RX, s.time_ns, s.frame, PROVEN)
        if x.state == SYN_RCVD and x.syn_acked_ns >= 0:
            flow.take(x, ACK_OF_SYN_RX, x.syn_acked_ns, x.syn_acked_frame, ASSUMED)
            x.syn_acked_ns = -1
    elif x.state == UNKNOWN:
        x.begin(SYN_TX)
        flow.take(x, SYN_TX, s.time_ns, s.frame, SENT)
        x.syn_seen_bare = x.syn_seen_ns >= 0
    if (y.state == SYN_SENT or y.state == UNKNOWN) and not (y.syn_seen_bare and has_ack):
        y.syn_seen_ns = s.time_ns
        y.syn_seen_frame = s.frame
        y.syn_seen_bare = y.state == SYN_SENT and not has_ack


def _syn_repeated(flow: Flow, x: Endpoint, s: TapSegment) -> None:
    flow.mark(s.frame, s.time_ns, x, MARK_SYN_REPEATED, x.syn_count)
    if s.has_ack:
        # It would not repeat its SYN-ACK had the ACK of it arrived.
        if x.unsure and x.last_event(flow.log) == ACK_OF_SYN_RX:
            flow.take_back(x, s.frame, s.time_ns)
            x.lost_ack(s.time_ns - x.syn_sent_ns)
        x.syn_acked_ns = -1
    elif s.time_ns - x.syn_seen_ns > DELAY_NS:
        # Nor its SYN, had the other's SYN or SYN-ACK arrived that passed a while ago.
        x.syn_seen_ns = -1
        x.syn_seen_bare = False


def prove_syn(flow: Flow, x: Endpoint, s: TapSegment) -> None:
    """The peer's SYN or SYN-ACK, which had passed, had reached ``x`` when it sent this."""
    if s.flags & SYN:
        x.begin(SYN_RX)
        flow.take(x, SYN_RX, x.syn_seen_ns, x.syn_seen_frame, PROVEN)
    elif x.state == SYN_SENT:
        if x.syn_seen_bare and x.syn_acked_ns >= 0:
            # Its SYN-ACK was lost before the tap, or the other's SYN before it reached it, or it takes no crossed SYN
            # (lwIP); the first is the order in which they passed.
            flow.take(x, SYN_RX, x.syn_seen_ns, x.syn_seen_frame, ASSUMED)
            flow.take(x, ACK_OF_SYN_RX, x.syn_acked_ns, x.syn_acked_frame, ASSUMED)
            x.syn_acked_ns = -1
        else:
            flow.take(x, SYN_ACK_RX, x.syn_seen_ns, x.syn_seen_frame, PROVEN)
    x.syn_seen_ns = -1


def has_left_syn_rcvd(s: TapSegment) -> bool:
    """Whether a segment is none that a socket in SYN_RCVD sends: data, a FIN or an ACK beyond the SYN."""
    return s.flags & SYN == 0 and (s.payload_len > 0 or s.flags & FIN != 0 or s.ack_rel > 1)


def syn_ack_not_captured(flow: Flow, x: Endpoint, y: Endpoint, s: TapSegment) -> None:
    """A segment that goes on from its sender's SYN: there was a SYN-ACK, and it did not pass the tap."""
    if y.state == UNKNOWN:
        y.begin(SYN_RX)
        flow.take(y, SYN_RX, s.time_ns, s.frame, PROVEN)
    flow.take(x, SYN_ACK_RX, s.time_ns, s.frame, PROVEN)


def ack_of_syn_passed(flow: Flow, x: Endpoint, y: Endpoint, s: TapSegment) -> None:
    """An ACK of the SYN of ``y`` passed."""
    if y.state == SYN_RCVD:
        flow.take(y, ACK_OF_SYN_RX, s.time_ns, s.frame, ASSUMED)
    elif x.state == SYN_RCVD and y.syn_acked_ns < 0:
        # The SYNs crossed: y has yet to show that it got the other's SYN.
        y.syn_acked_ns = s.time_ns
        y.syn_acked_frame = s.frame


def has_syn_ack_at_end(x: Endpoint, y: Endpoint, last_ns: i64, rto_ns: i64) -> bool:
    """Whether a SYN-ACK that drew no answer until the capture ends at ``last_ns`` is assumed to have arrived.

    It is where it passed once, and too late for a retransmission; and where ``x`` sent one SYN and did not repeat it
    when its time-out came: its ACKs are what is lost. Stacks older than RFC 6298 wait three times as long before they
    repeat a SYN (RFC 1122, 4.2.3.1).
    """
    if y.syn_count == 1 and last_ns - x.syn_seen_ns < rto_ns:
        return True
    return x.syn_count == 1 and last_ns - x.syn_sent_ns > OLD_RTO * (rto_ns + rto_ns // 20)
