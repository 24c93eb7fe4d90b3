"""What one segment means to its connection, step by step (RFC 9293, 3.10.7, seen from a tap).

A segment on the wire is two events. Its sender did it, which is certain: its transition is made at once (``sent``).
Its receiver may have got it, which is not: the event waits until a segment of the receiver's own shows that it arrived
(``proven``). What no later segment could show is ``assumed`` at once, and taken back when the endpoint acts as if it
had never arrived. The steps follow from this, in this order:

1. :mod:`pcapflow.tracker.counts`, :mod:`pcapflow.tracker.wireshark`: what the tables count, whatever it means;
2. :mod:`pcapflow.tracker.proofs`: what the segment proves about its sender: what that had received, that it is alive;
3. :mod:`pcapflow.tracker.sender`: what its sender does: data and FIN, with the SYN in :mod:`pcapflow.tracker.opening`
   (a RST goes its own way, in :mod:`pcapflow.tracker.resets`);
4. :mod:`pcapflow.tracker.receiver`: what its receiver is sent by it.

In all of them ``x`` is the sender, ``y`` the receiver and ``s`` the segment.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from pcapflow.tcp.flags import ACK, FIN, RST, SYN
from pcapflow.tcp.marks import MARK_DUPLICATE_PACKET, MARK_ICMP_UNREACHABLE, MARK_UNEXPECTED
from pcapflow.tcp.states import ASSUMED, CLOSED, RST_RX, SYN_SENT
from pcapflow.tracker.counts import count, count_data, note_window, note_wireshark
from pcapflow.tracker.endpoint import Endpoint
from pcapflow.tracker.flow import Flow
from pcapflow.tracker.incoming_fin import fin_arrived, fin_was_lost, waiting_ack_arrived
from pcapflow.tracker.older import is_of_older, note_older
from pcapflow.tracker.opening import pick_up, syn_ack_not_captured, syn_sent
from pcapflow.tracker.pending import IcmpError
from pcapflow.tracker.proofs import FIN_AND_RST_IN_FLIGHT, LANDED, is_alive, prove
from pcapflow.tracker.receiver import ack_passed, ack_with_fin_passed, fin_passed
from pcapflow.tracker.resets import continuity, reset_sent
from pcapflow.tracker.segment import COPY_NS, TapSegment
from pcapflow.tracker.sender import data_sent, fin_sent, move_on
from pcapflow.tracker.wireshark import wireshark_marks

FAR: Final = 1 << 30
"""A sequence number this far from all others of its sender is not of this connection (the largest window)."""
FRAGMENTATION_NEEDED: Final = 3 << 8 | 4
"""Type and code of the ICMP error that tells a path's MTU (RFC 1191, 4)."""
PACKET_TOO_BIG: Final = 2
"""The type of the ICMPv6 error that does (RFC 4443, 3.2)."""


def segment_arrives(flow: Flow, x: Endpoint, y: Endpoint, s: TapSegment) -> None:
    """Takes one segment sent by ``x`` towards ``y``."""
    first_rtt_ns: i64 = flow.first_rtt_ns
    flags: i64 = s.flags
    s.has_ack = flags & ACK != 0
    count(flow, x, s)
    s.is_copy = _is_copy(x, s)
    if flags & RST:
        s.continues = continuity(x, s)
    _note_previous(x, s)
    if s.is_copy:
        flow.mark(s.frame, s.time_ns, x, MARK_DUPLICATE_PACKET, 0)
    is_of_another = is_of_older(x, y, s)
    if not is_of_another:
        _learn_isns(x, y, s)
    ws: i64 = 0
    if not is_of_another or flags & RST == 0:
        # By the number of such a RST, all that its sender says next could seem to be sent again.
        ws = wireshark_marks(x, y, s, first_rtt_ns)
    if ws:
        note_wireshark(flow, x, s, ws)
    if is_of_another:
        note_older(flow, x, y, s)
        x.last_ns = s.time_ns
        return
    if s.payload_len > 0 and not s.is_copy:
        count_data(flow, x, y, s, ws)
    note_window(flow, x, y, s)
    if flow.packets == 1 and not flags & SYN:
        pick_up(flow, x, y, s)
    if flags & RST:
        reset_sent(flow, x, y, s)
        x.last_ns = s.time_ns
        return
    _number(x, y, s)
    if s.rel - x.next_rel > FAR or x.next_rel - s.rel > FAR or s.ack_rel - y.next_rel > FAR:
        flow.mark(s.frame, s.time_ns, x, MARK_UNEXPECTED, 0)
        x.last_ns = s.time_ns
        return

    in_flight: i64 = LANDED
    closed_ns: i64 = -1
    closed_frame: i64 = -1
    if x.state == CLOSED and x.last_row >= 0:
        closed_ns = flow.log.time_ns(x.last_row)
        closed_frame = flow.log.frame(x.last_row)
        in_flight = is_alive(flow, x, y, s)
    if s.has_ack:
        goes_on = s.rel == x.next_rel or s.rel == x.challenged_rel >= 0
        if x.state == SYN_SENT and x.syn_seen_ns < 0 and goes_on and not flags & SYN:
            syn_ack_not_captured(flow, x, y, s)
        prove(flow, x, y, s)

    x.fin_was_last = flags & FIN != 0 and x.fin_count == 0
    if flags & SYN:
        syn_sent(flow, x, y, s)
    if s.payload_len > 0:
        data_sent(flow, x, y, s)
    is_fin = flags & FIN != 0 and fin_sent(flow, x, y, s)
    if in_flight != LANDED:
        # It was sent before the RST arrived, which now comes after what it showed.
        if in_flight == FIN_AND_RST_IN_FLIGHT and x.incoming.seen_ns >= 0 and not fin_was_lost(x):
            fin_arrived(flow, x, ASSUMED, False)
        waiting_ack_arrived(flow, x)
        flow.take(x, RST_RX, closed_ns, closed_frame, ASSUMED)
    move_on(flow, x, y, s)

    if s.has_ack:
        ack_passed(flow, x, y, s)
    if is_fin:
        fin_passed(y, s)
    elif flags & FIN:
        ack_with_fin_passed(y, s)
    x.last_ns = s.time_ns
    x.last_frame = s.frame
    if is_fin or s.payload_len > 0 or flags & SYN:
        x.last_needs_ack_ns = s.time_ns
    if flow.ended_ns < 0 and flow.is_over():
        flow.ended_ns = s.time_ns


def icmp_error_arrives(flow: Flow, x: Endpoint, y: Endpoint, error: IcmpError, code: i64) -> None:
    """Takes an ICMP error that quotes a segment of ``x`` to ``y``; ``code`` is ``type << 8 | code``."""
    flow.mark(error.frame, error.time_ns, x, MARK_ICMP_UNREACHABLE, code)
    if code == FRAGMENTATION_NEEDED or (flow.is_ipv6 and code >> 8 == PACKET_TOO_BIG):
        x.too_big_rel = x.next_rel
    if flow.icmp_error.frame < 0 or y.last_ns > flow.icmp_error.time_ns:
        flow.icmp_error = error


def _is_copy(x: Endpoint, s: TapSegment) -> bool:
    """Whether this packet is the sender's previous one once more, copied on the way."""
    if s.ip_id != x.previous_ip_id or s.seq != x.previous_seq or s.tsval != x.previous_tsval:
        return False
    return (
        s.payload_len == x.previous_len
        and s.ack == x.previous_ack
        and s.flags == x.previous_flags
        and (s.ip_id > 0 or s.tsval >= 0 or s.payload_len > 0)
        and s.time_ns - x.last_ns < COPY_NS
        and (s.ip_id > 0 or s.flags & (SYN | FIN) != 0 or s.payload_len > 0)
    )


def _note_previous(x: Endpoint, s: TapSegment) -> None:
    x.previous_frame = s.frame
    x.previous_ip_id = s.ip_id
    x.previous_ttl = s.ttl
    x.previous_seq = s.seq
    x.previous_tsval = s.tsval
    x.previous_len = s.payload_len
    x.previous_ack = s.ack
    x.previous_flags = s.flags


def _learn_isns(x: Endpoint, y: Endpoint, s: TapSegment) -> None:
    """Where the numbers begin: a SYN says so; without one, the first byte seen has relative number 1."""
    flags: i64 = s.flags
    if x.packets == 1 and flags & SYN:
        # What its peer acknowledged before was none of this connection's.
        x.isn = s.seq
        x.next_rel = 0
        y.acked_rel = -1
    elif x.isn < 0 and not (flags & RST and x.packets == 1 and y.packets > 0):
        x.isn = s.seq if flags & SYN else (s.seq - 1) & 0xFFFF_FFFF
        x.next_rel = 0 if flags & SYN else 1
    if y.isn < 0 and s.has_ack:
        y.isn = (s.ack - 1) & 0xFFFF_FFFF
        y.next_rel = 1


def _number(x: Endpoint, y: Endpoint, s: TapSegment) -> None:
    """Makes the segment's numbers relative.

    It is written with statements in place of conditional expressions: mypyc makes objects of a native number and a
    literal that meet in one.
    """
    flags: i64 = s.flags
    s.rel = x.rel(s.seq)
    end_rel: i64 = s.rel + s.payload_len
    if flags & SYN:
        end_rel += 1
    if flags & FIN:
        end_rel += 1
    s.end_rel = end_rel
    s.ack_rel = -1
    if s.has_ack:
        s.ack_rel = y.rel(s.ack)
