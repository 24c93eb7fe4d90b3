"""One connection: its two endpoints, and the guards that turn segments into their transitions.

A segment on the wire is two events. Its sender did it, which is certain: its transition is made at once (``sent``).
Its receiver may have got it, which is not: the event waits in that endpoint's inbox until a segment of its own shows
that it arrived (``proven``). What no later segment could show is ``assumed`` at once, and taken back when the endpoint
acts as if it had never arrived. The four parts of :meth:`Flow.segment` follow from this, in this order:

1. what the segment proves about its sender: what it had received, and that it is alive;
2. what its sender does: SYN, FIN (a RST has :meth:`Flow._reset`);
3. what its receiver hears;
4. the counts and marks of the tables, which are in :mod:`pcapflow.tracker.counts`.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64, mypyc_attr

from pcapflow.tcp.flags import ACK, FIN, RST, SYN, TCP_FLAGS
from pcapflow.tcp.marks import (
    MARK_DATA_AFTER_CLOSE,
    MARK_DATA_AFTER_FIN,
    MARK_DUPLICATE_PACKET,
    MARK_FIN_REPEATED,
    MARK_ICMP_UNREACHABLE,
    MARK_RESET,
    MARK_RESET_AFTER_CLOSE,
    MARK_RESET_IGNORED,
    MARK_SYN_REPEATED,
    MARK_TAKEN_BACK,
    MARK_UNEXPECTED,
)
from pcapflow.tcp.seq import delta
from pcapflow.tcp.states import (
    ACK_OF_FIN_RX,
    ACK_OF_SYN_RX,
    ASSUMED,
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_RX,
    FIN_TX,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    LISTEN,
    MIDSTREAM,
    PROVEN,
    RST_RX,
    RST_TX,
    SENT,
    SYN_ACK_RX,
    SYN_RCVD,
    SYN_RX,
    SYN_SENT,
    SYN_TX,
    TIME_WAIT,
    UNKNOWN,
)
from pcapflow.tracker.counts import H_GAP, add_letter, count, note_window, note_wireshark, zero_window_ends
from pcapflow.tracker.endpoint import DELAY_NS, TICK_NS, Endpoint
from pcapflow.tracker.log import MarkLog, TransitionLog
from pcapflow.tracker.wireshark import wireshark_marks

COPY_NS: Final = 50_000_000
"""A segment repeated with the same IP identification and time stamp within this is a copy made on the way, not a
retransmission: the shortest retransmission time-out of Linux is 200 ms, and a retransmission has its own time stamp."""
REORDER_NS: Final = 3_000_000
"""Segments of one sender may overtake each other by about this much."""
FAR: Final = 1 << 30
"""A sequence number this far from all others of its sender is not of this connection (the largest window)."""
LANDED: Final = 0
RST_IN_FLIGHT: Final = 1
FIN_AND_RST_IN_FLIGHT: Final = 2


# The garbage collector need not know it: flows form a ring only by the queue of those that linger, which their flow
# table takes apart.
@final
@mypyc_attr(acyclic=True)
class Flow:
    """One connection being followed.

    Attributes:
        number: the flow's own, in its flow table.
        client, server: its endpoints.
        ended_ns: when it had nothing left to do (both ends CLOSED or in TIME_WAIT), -1 before.
        before: the connection of the same tuple that was alive when this one's SYN came, until that SYN is answered.
        place, queued_ns, next_lingering, is_superseded, is_written: the flow table's own notes on it.
    """

    def __init__(
        self,
        number: i64,
        client: Endpoint,
        server: Endpoint,
        is_ipv6: bool,
        frame: i64,
        time_ns: i64,
        transitions: TransitionLog,
        marks: MarkLog,
        marks_left: i64,
    ) -> None:
        # What every segment looks at lies together, as in an endpoint.
        self.client = client
        self.server = server
        self.before: Flow | None = None
        self._log = transitions
        self._marks = marks
        self.number: i64 = number
        self.last_frame: i64 = frame
        self.end_ns: i64 = time_ns
        self.ended_ns: i64 = -1
        self.queued_ns: i64 = -1
        self.packets: i64 = 0
        self.completeness: i64 = 0
        self.first_completeness: i64 = 0
        self.syn_ns: i64 = -1
        self.first_rtt_ns: i64 = 0
        # The longest silence.
        self.idle_ns: i64 = 0
        self.idle_end_ns: i64 = -1
        self.idle_frame: i64 = -1
        self.idle_endpoint: i64 = -1
        self.is_ipv6 = is_ipv6
        self.is_midstream = False
        self.roles_assumed = False
        self.both_closed_first = False
        self.is_superseded = False
        self.is_written = False
        # Whether the RST below is known not to have been taken by its receiver.
        self.reset_unheard = False
        self.next_lingering: Flow | None = None
        self.place: i64 = -1
        self.vlan: i64 = -1
        self.tunnel: i64 = 0
        self.first_frame: i64 = frame
        self.start_ns: i64 = time_ns
        self.first_closer: i64 = -1
        self.history_1: i64 = 0
        self.history_2: i64 = 0
        self.history_len: i64 = 0
        self._marks_left: i64 = marks_left
        # The RST that ended it.
        self.reset_frame: i64 = -1
        self.reset_ns: i64 = -1
        self.reset_by: i64 = -1
        self.reset_flags: i64 = -1
        self.reset_window: i64 = -1
        self.reset_ttl: i64 = -1
        self.reset_options: i64 = -1
        self.reset_gap: i64 = -1
        self.reset_pending: i64 = -1
        self.reset_drew_frame: i64 = -1

    def segment(
        self,
        x: Endpoint,
        y: Endpoint,
        frame: i64,
        time_ns: i64,
        seq: i64,
        ack: i64,
        flags: i64,
        window: i64,
        payload_len: i64,
        ip_id: i64,
        ttl: i64,
        syn_options: i64,
        tsval: i64,
        tsecr: i64,
        sack_left: i64,
    ) -> None:
        """Takes one segment sent by ``x`` towards ``y``."""
        first_rtt_ns: i64 = self.first_rtt_ns
        count(self, x, frame, time_ns, seq, flags, payload_len, ttl, tsval)
        is_copy = False
        if ip_id == x.previous_ip_id and seq == x.previous_seq and tsval == x.previous_tsval:
            is_copy = (
                payload_len == x.previous_len
                and ack == x.previous_ack
                and flags == x.previous_flags
                and (ip_id > 0 or tsval >= 0 or payload_len > 0)
                and time_ns - x.last_ns < COPY_NS
                and (ip_id > 0 or flags & (SYN | FIN) != 0 or payload_len > 0)
            )
        x.previous_frame = frame
        x.previous_ip_id = ip_id
        x.previous_seq = seq
        x.previous_tsval = tsval
        x.previous_len = payload_len
        x.previous_ack = ack
        x.previous_flags = flags
        if is_copy:
            self.mark(frame, time_ns, x, MARK_DUPLICATE_PACKET, 0)

        # Where the numbers begin: a SYN says so; without one, the first byte seen has relative number 1.
        if x.packets == 1 and flags & SYN:
            # What its peer acknowledged before was none of this connection's.
            x.isn = seq
            x.next_rel = 0
            y.acked_rel = -1
        elif x.isn < 0 and not (flags & RST and x.packets == 1 and y.packets > 0):
            x.isn = seq if flags & SYN else (seq - 1) & 0xFFFF_FFFF
            x.next_rel = 0 if flags & SYN else 1
        has_ack = flags & ACK != 0
        if y.isn < 0 and has_ack:
            y.isn = (ack - 1) & 0xFFFF_FFFF
            y.next_rel = 1

        ws: i64 = wireshark_marks(x, y, seq, ack, flags, window, payload_len, time_ns, first_rtt_ns)
        if ws:
            note_wireshark(self, x, frame, time_ns, ws, payload_len)
        note_window(self, x, flags, window, syn_options, frame, time_ns)

        if self.packets == 1 and not flags & SYN:
            self._pick_up(x, y, flags, frame, time_ns)
        if flags & RST:
            self._reset(x, y, frame, time_ns, seq, ack, flags, window, ttl, tsval)
            x.last_ns = time_ns
            return

        rel: i64 = x.rel(seq)
        end_rel: i64 = rel + payload_len
        if flags & SYN:
            end_rel += 1
        if flags & FIN:
            end_rel += 1
        ack_rel: i64 = -1
        if has_ack:
            ack_rel = y.rel(ack)
        if rel - x.next_rel > FAR or x.next_rel - rel > FAR or ack_rel - y.next_rel > FAR:
            self.mark(frame, time_ns, x, MARK_UNEXPECTED, 0)
            x.last_ns = time_ns
            return

        # 1. What this proves about x.
        in_flight: i64 = LANDED
        closed_ns: i64 = -1
        closed_frame: i64 = -1
        if x.state == CLOSED and x.last_row >= 0:
            closed_ns = self._log.time_ns(x.last_row)
            closed_frame = self._log.frame(x.last_row)
            in_flight = self._alive(
                x,
                y,
                frame,
                time_ns,
                x.would_pass_ns(tsval, time_ns),
                end_rel > x.next_rel or ack_rel > x.acked_rel,
                rel == end_rel == x.next_rel and ack_rel == x.acked_rel and sack_left < 0,
                ack_rel,
            )
        if has_ack:
            if x.state == SYN_SENT and x.syn_heard_ns < 0 and rel == x.next_rel and not flags & SYN:
                self._unseen_syn_ack(x, y, frame, time_ns)
            self._proves(x, y, frame, time_ns, flags, rel, payload_len, ack_rel, tsval, tsecr, sack_left)

        # 2. What x does.
        x.fin_was_last = flags & FIN != 0 and x.fin_count == 0
        if flags & SYN:
            self._syn(x, y, frame, time_ns, flags, ip_id, tsval, is_copy)
        if payload_len > 0:
            self._data(x, y, frame, time_ns, rel, payload_len)
        if flags & FIN:
            self._fin(x, y, frame, time_ns, rel + payload_len, ack_rel, ip_id, tsval, is_copy)
        if in_flight != LANDED:
            if in_flight == FIN_AND_RST_IN_FLIGHT and x.fin_heard_ns >= 0 and not self._has_lost_fin(x):
                self._fin_arrived(x, ASSUMED, False)
            self._waiting_ack_arrived(x)
            x.take(self._log, self.number, RST_RX, closed_ns, closed_frame, ASSUMED)
        if end_rel > x.next_rel:
            if rel > x.next_rel and x.packets > 1:
                if x.hole_bytes == 0:
                    x.hole_start_rel = x.next_rel
                x.hole_end_rel = rel
                x.hole_bytes += rel - x.next_rel
                if payload_len == 0 and x.fin_rel < 0:
                    x.missed_fin_rel = rel - 1
                    x.missed_fin_ns = time_ns
                    x.missed_fin_frame = frame
                    x.missed_fin_alone = rel == x.next_rel + 1
                    x.missed_fin_unasked = sack_left < 0 and (y.fin_count < 2 or (x.permits_sack and y.permits_sack))
            x.next_rel = end_rel
            if x.timed_rel < 0:
                x.timed_rel = end_rel
                x.timed_ns = time_ns
        elif end_rel > rel:
            if x.timed_rel >= 0 and rel < x.timed_rel and not is_copy:
                # Which of the two an ACK answers cannot be known (Karn's algorithm, RFC 6298, 3).
                x.timed_rel = -1
            if (
                payload_len > 0
                and y.fin_heard_ns >= 0
                and rel >= y.acked_rel
                and (x.hole_bytes > 0 or y.lacked_ns >= y.fin_heard_ns)
            ):
                # A FIN that arrived before data counts when the hole is filled (RFC 9293, 3.10.7.4).
                y.lacked_ns = time_ns
                y.filled_ns = time_ns
            if x.hole_bytes > 0:
                filled: i64 = min(end_rel, x.hole_end_rel) - max(rel, x.hole_start_rel)
                if filled > 0:
                    x.hole_bytes = max(x.hole_bytes - filled, 0)

        # 3. What y hears.
        if has_ack:
            if ack_rel > x.acked_rel:
                x.acked_before_rel = x.acked_rel
                x.acked_rel = ack_rel
                if y.timed_rel >= 0 and ack_rel >= y.timed_rel:
                    rtt_ns: i64 = time_ns - y.timed_ns
                    if rtt_ns > y.longest_rtt_ns:
                        y.longest_rtt_ns = rtt_ns
                    if ack_rel == y.timed_rel and rtt_ns >= 0 and (y.rtt_ns < 0 or rtt_ns < y.rtt_ns):
                        y.rtt_ns = rtt_ns
                    y.timed_rel = -1
            if ack_rel > y.next_rel:
                y.unseen += ack_rel - y.next_rel
                add_letter(self, y, H_GAP)
                y.next_rel = ack_rel
            elif y.hole_bytes > 0 and ack_rel == y.next_rel:
                y.unseen += y.hole_bytes
                add_letter(self, y, H_GAP)
                y.hole_bytes = 0
            if ack_rel >= 1 and (y.state == SYN_RCVD or y.state == SYN_SENT):
                self._ack_of_syn(x, y, frame, time_ns)
            if y.fin_rel >= 0 and ack_rel > y.fin_rel:
                self._ack_of_fin(y, frame, time_ns, rel if end_rel > rel else -1)
        if flags & FIN and self._awaits_fin(y):
            if y.fin_heard_ns >= 0 and not is_copy:
                y.fin_before_lost = self._has_lost_fin(y)
                y.fin_before_ns = y.fin_heard_ns
                y.fin_before_frame = y.fin_heard_frame
                y.fin_before_acks = y.fin_heard_acks
                if not y.fin_heard_acks and not y.fin_before_lost:
                    y.fin_was_bare = True
            y.fin_heard_ns = time_ns
            y.fin_heard_tsval = tsval
            y.fin_heard_frame = frame
            y.fin_heard_acks = y.fin_rel >= 0 and ack_rel > y.fin_rel
        x.last_ns = time_ns
        x.spoke_frame = frame
        if end_rel > rel:
            x.asked_ns = time_ns
        if self.ended_ns < 0 and self._is_over():
            self.ended_ns = time_ns

    def icmp(self, x: Endpoint, frame: i64, time_ns: i64, code: i64) -> None:
        """Takes an ICMP error that quotes a segment of ``x``."""
        self.mark(frame, time_ns, x, MARK_ICMP_UNREACHABLE, code)

    def mark(self, frame: i64, time_ns: i64, x: Endpoint, mark: i64, value: i64) -> None:
        """Logs a mark on a frame of ``x``; beyond the limit of one flow they are left out."""
        if self._marks_left > 0:
            self._marks_left -= 1
            self._marks.add(self.number, frame, time_ns, x.which, mark, value)

    def finish(self, last_ns: i64, rto_ns: i64) -> None:
        """Settles what is still open when the capture ends at ``last_ns``.

        A FIN or SYN-ACK that passed once, shorter before the end than a retransmission time-out, is assumed to have
        arrived; one that was repeated without an answer is not.
        """
        self._settle(self.client, self.server, last_ns, rto_ns)
        self._settle(self.server, self.client, last_ns, rto_ns)
        if self.reset_unheard:
            self._forget_reset()

    def _settle(self, x: Endpoint, y: Endpoint, last_ns: i64, rto_ns: i64) -> None:
        """Settles what ``x`` may have received: see :meth:`finish`."""
        if x.syn_heard_ns >= 0 and x.state == SYN_SENT and self._has_syn_ack(x, y, last_ns, rto_ns):
            x.take(
                self._log,
                self.number,
                SYN_RX if x.syn_heard_bare else SYN_ACK_RX,
                x.syn_heard_ns,
                x.syn_heard_frame,
                ASSUMED,
            )
        if x.fin_heard_ns >= 0:
            if y.fin_count == 1 and last_ns - x.fin_heard_ns < rto_ns and not self._has_lost_fin(x):
                self._fin_arrived(x, ASSUMED, False)
            else:
                self._waiting_ack_arrived(x)
        if x.missed_fin_rel >= 0 and x.missed_fin_alone and x.fin_rel < 0:
            self._missed_fin(x, ASSUMED, False)
        if x.zero_since_ns >= 0:
            zero_window_ends(x, last_ns)

    def _has_syn_ack(self, x: Endpoint, y: Endpoint, last_ns: i64, rto_ns: i64) -> bool:
        """Whether a SYN-ACK that drew no answer is assumed to have arrived: see :meth:`finish`.

        So it is too where ``x`` sent one SYN and did not repeat it when its time-out came: its ACKs are what is lost.
        """
        if y.syn_count == 1 and last_ns - x.syn_heard_ns < rto_ns:
            return True
        return x.syn_count == 1 and last_ns - x.syn_sent_ns > rto_ns + rto_ns // 20

    # 1. Proofs.

    def _proves(
        self,
        x: Endpoint,
        y: Endpoint,
        frame: i64,
        time_ns: i64,
        flags: i64,
        rel: i64,
        payload_len: i64,
        ack_rel: i64,
        tsval: i64,
        tsecr: i64,
        sack_left: i64,
    ) -> None:
        """What ``x`` had received when it sent a segment that acknowledges up to ``ack_rel``."""
        log = self._log
        if x.syn_heard_ns >= 0 and ack_rel >= 1:
            if flags & SYN:
                if x.state == UNKNOWN:
                    x.state = LISTEN
                x.take(log, self.number, SYN_RX, x.syn_heard_ns, x.syn_heard_frame, PROVEN)
            elif x.state == SYN_SENT:
                if x.syn_heard_bare and x.syn_acked_ns >= 0:
                    # Its SYN-ACK was lost before the tap, or the other's SYN before it reached it; the first is the
                    # order in which they passed.
                    x.take(log, self.number, SYN_RX, x.syn_heard_ns, x.syn_heard_frame, ASSUMED)
                    x.take(log, self.number, ACK_OF_SYN_RX, x.syn_acked_ns, x.syn_acked_frame, ASSUMED)
                    x.syn_acked_ns = -1
                else:
                    x.take(log, self.number, SYN_ACK_RX, x.syn_heard_ns, x.syn_heard_frame, PROVEN)
            x.syn_heard_ns = -1
        if x.state == SYN_RCVD and y.acked_rel >= 1 and self._has_left_syn_rcvd(flags, payload_len, ack_rel):
            # It had repeated its SYN-ACK, so what was sent to it last has arrived, at the latest.
            x.take(log, self.number, ACK_OF_SYN_RX, y.last_ns, y.previous_frame, PROVEN)
        if x.unsure:
            event: i64 = x.last_event(log)
            if event == ACK_OF_SYN_RX:
                if self._has_left_syn_rcvd(flags, payload_len, ack_rel):
                    x.confirm(log)
            elif event == FIN_RX and x.state == CLOSE_WAIT and ack_rel > y.fin_rel:
                x.fin_proven_frame = frame
                x.confirm(log)
            elif event == ACK_OF_FIN_RX and y.fin_rel >= 0 and ack_rel > y.fin_rel and x.state == FIN_WAIT_2:
                x.confirm(log)
            elif (
                event == ACK_OF_FIN_RX
                and ack_rel == x.fin_acker_rel >= x.acked_rel
                and rel == x.next_rel
                and log.frame(x.last_row) == y.spoke_frame
                and 0 <= y.longest_rtt_ns < x.would_pass_ns(tsval, time_ns) - log.time_ns(x.last_row)
            ):
                # It still asks for the data or FIN that brought the ACK along, which was lost then.
                self._take_back(x, frame, time_ns)
        if x.fin_heard_ns >= 0:
            would_pass_ns: i64 = x.would_pass_ns(tsval, time_ns)
            if ack_rel > y.fin_rel:
                if x.fin_before_ns >= 0 and (
                    sack_left >= 0
                    or (time_ns - x.fin_heard_ns < y.rtt_ns // 2 and not x.fin_before_lost)
                    or (tsecr >= 0 and x.fin_heard_tsval >= 0 and delta(tsecr, x.fin_heard_tsval) < 0)
                ):
                    # It was an earlier FIN that arrived: a duplicate SACK says so (RFC 2883, 4), or the answer to the
                    # last one came sooner than any answer could, or it echoes an older time stamp (RFC 7323, 4.3).
                    x.fin_heard_ns = x.fin_before_ns
                    x.fin_heard_frame = x.fin_before_frame
                    x.fin_heard_acks = x.fin_before_acks
                    x.fin_before_ns = -1
                    if not x.fin_before_acks:
                        x.fin_was_bare = False
                x.fin_proven_frame = frame
                # What arrives is answered at once, and nothing but the FIN was still under way: had it come before the
                # ACK of x's own, the answer would have passed by now. Or else it was the answer that took its time,
                # which its time stamp tells.
                longest_ns: i64 = y.longest_rtt_ns
                if tsval >= 0 and y.rtt_ns >= 0:
                    longest_ns = min(longest_ns, y.rtt_ns + TICK_NS)
                is_late = not flags & FIN and x.fin_acked_ns >= y.asked_ns and y.longest_rtt_ns >= 0
                if is_late and longest_ns < time_ns - x.fin_acked_ns:
                    self._fin_arrived(x, ASSUMED, would_pass_ns == time_ns)
                else:
                    self._fin_arrived(x, PROVEN, False)
            elif ack_rel >= x.acked_rel:
                # One that acknowledges less than another before it is older than that, and tells nothing new.
                x.lacked_ns = would_pass_ns
                x.denied_ns = would_pass_ns
                # A challenge answers the RST that was sent after the FIN.
                x.denied_late = 0 <= y.longest_rtt_ns < would_pass_ns - x.fin_heard_ns or x.challenge_frame == frame
                # A block below the ACK tells of a duplicate, not of a gap (RFC 2883, 4).
                x.denied_by_sack = sack_left >= 0 and y.rel(sack_left) > ack_rel
                if x.denied_late and x.fin_acked_frame == x.fin_heard_frame:
                    # What came with the FIN was lost with it.
                    x.fin_acked_ns = -1
                x.fin_before_ns = -1
                x.fin_was_bare = False

    def _has_left_syn_rcvd(self, flags: i64, payload_len: i64, ack_rel: i64) -> bool:
        """Whether a segment is none that a socket in SYN_RCVD sends: data, a FIN or an ACK beyond the SYN."""
        return flags & SYN == 0 and (payload_len > 0 or flags & FIN != 0 or ack_rel > 1)

    def _unseen_syn_ack(self, x: Endpoint, y: Endpoint, frame: i64, time_ns: i64) -> None:
        """A segment that goes on from its sender's SYN: there was a SYN-ACK, and it did not pass the tap."""
        if y.state == UNKNOWN:
            y.state = LISTEN
            y.take(self._log, self.number, SYN_RX, time_ns, frame, PROVEN)
        x.take(self._log, self.number, SYN_ACK_RX, time_ns, frame, PROVEN)

    def _waiting_ack_arrived(self, x: Endpoint) -> None:
        """The ACK of the FIN of ``x``, if one waits behind the peer's unproven FIN, waits no longer."""
        if x.fin_acked_ns >= 0:
            x.take(self._log, self.number, ACK_OF_FIN_RX, x.fin_acked_ns, x.fin_acked_frame, ASSUMED)
            x.fin_acked_ns = -1

    def _fin_arrived(self, x: Endpoint, basis: i64, is_late: bool) -> None:
        """The peer's FIN reached ``x``, late if after the ACK that waits behind it; the two are sorted in."""
        log = self._log
        heard_ns: i64 = x.fin_heard_ns
        heard_ns = max(heard_ns, x.lacked_ns)
        if x.fin_acked_ns >= 0 and x.filled_ns > x.fin_acked_ns:
            # A hole before the FIN was still open when the ACK came.
            is_late = True
        x.fin_was_late = is_late and not x.fin_heard_acks
        if x.state == FIN_WAIT_1 and (x.fin_heard_acks or is_late):
            # The FIN brought the ACK along: the ACK is looked at first (RFC 9293, 3.10.7.4). An earlier FIN had passed
            # without it; that one arrived and its answer was lost, or it was lost: nobody here can know.
            if x.fin_was_bare:
                basis = ASSUMED
            if x.fin_acked_ns >= 0:
                x.take(log, self.number, ACK_OF_FIN_RX, x.fin_acked_ns, x.fin_acked_frame, basis)
            else:
                x.take(log, self.number, ACK_OF_FIN_RX, heard_ns, x.fin_heard_frame, basis)
            x.fin_acked_ns = -1
        x.take(log, self.number, FIN_RX, heard_ns, x.fin_heard_frame, basis)
        self._waiting_ack_arrived(x)
        x.fin_heard_ns = -1
        x.fin_before_ns = -1
        x.fin_was_bare = False

    def _has_lost_fin(self, x: Endpoint) -> bool:
        """Whether ``x`` showed that the FIN of its peer which passed last had not reached it.

        It sent something without acknowledging it when the FIN must have been there, or told of a gap before it (SACK)
        that nothing has filled since.
        """
        return (x.denied_late and x.denied_ns >= x.fin_heard_ns) or (x.denied_by_sack and x.lacked_ns == x.denied_ns)

    def _alive(
        self,
        x: Endpoint,
        y: Endpoint,
        frame: i64,
        time_ns: i64,
        would_pass_ns: i64,
        is_new: bool,
        is_repeat: bool,
        ack_rel: i64,
    ) -> i64:
        """A segment without RST from an endpoint that was thought closed by one.

        Returns:
            Whether it may have been sent before the RST arrived, and the FIN before the RST: what it shows then comes
            before those, which the caller applies again.
        """
        event: i64 = x.last_event(self._log)
        since_ns: i64 = would_pass_ns - self._log.time_ns(x.last_row)
        if event == RST_TX:
            # An endpoint that sent a RST has nothing more to send; overtaken segments are old ones.
            if is_new or since_ns > REORDER_NS:
                self._take_back(x, frame, time_ns)
                if self.first_closer == x.which and x.fin_count == 0:
                    self.first_closer = y.which if y.fin_count > 0 else -1
        elif event == RST_RX and x.unsure:
            flight_ns: i64 = 2 * y.rtt_ns + REORDER_NS if y.rtt_ns >= 0 else DELAY_NS
            is_of_later = x.reset_end_rel < ack_rel <= y.next_rel
            # An ACK that says nothing new, a round trip after a RST that is ahead of it, challenges this (RFC 5961, 3).
            is_challenge = is_repeat and ack_rel < x.reset_rel and 0 <= y.rtt_ns <= since_ns
            if since_ns <= flight_ns and not is_of_later and not is_challenge:
                x.take_back(self._log)
                if x.unsure and x.last_event(self._log) == ACK_OF_FIN_RX:
                    # It waits again for the peer's FIN, if one passed, behind which it is to be sorted in.
                    x.fin_acked_ns = self._log.time_ns(x.last_row)
                    x.fin_acked_frame = x.take_back(self._log)
                return FIN_AND_RST_IN_FLIGHT if self._fin_is_on_its_way(x, y, ack_rel) else RST_IN_FLIGHT
            # It shows that the RST was not accepted: it was sent when that must have been there.
            self._take_back(x, frame, time_ns)
            if self._fin_is_on_its_way(x, y, ack_rel):
                self.mark(frame, time_ns, x, MARK_TAKEN_BACK, x.fin_heard_frame)
            if is_challenge:
                x.challenge_frame = frame
            self._reset_did_not_count(y)
        return LANDED

    def _fin_is_on_its_way(self, x: Endpoint, y: Endpoint, ack_rel: i64) -> bool:
        """Takes back that the FIN of ``y`` had arrived: a RST made that likely, and this ACK does not cover it."""
        if not x.unsure or x.last_event(self._log) != FIN_RX or ack_rel > y.fin_rel:
            return False
        x.fin_heard_ns = self._log.time_ns(x.last_row)
        x.fin_heard_frame = x.take_back(self._log)
        return True

    def _reset_did_not_count(self, sender: Endpoint) -> None:
        """The RST noted as the end was not accepted, or never arrived."""
        if self.reset_frame >= 0:
            self.mark(self.reset_frame, self.reset_ns, sender, MARK_RESET_IGNORED, self.reset_gap)
            self.reset_unheard = True
        self.ended_ns = -1

    def _forget_reset(self) -> None:
        self.reset_unheard = False
        self.reset_frame = -1
        self.reset_ns = -1
        self.reset_by = -1
        self.reset_flags = -1
        self.reset_window = -1
        self.reset_ttl = -1
        self.reset_options = -1
        self.reset_gap = -1
        self.reset_pending = -1
        self.reset_drew_frame = -1

    def _take_back(self, x: Endpoint, frame: i64, time_ns: i64) -> None:
        withdrawn: i64 = x.take_back(self._log)
        self.mark(frame, time_ns, x, MARK_TAKEN_BACK, withdrawn)
        self.ended_ns = -1

    # 2. What the sender does.

    def _pick_up(self, x: Endpoint, y: Endpoint, flags: i64, frame: i64, time_ns: i64) -> None:
        """The first segment of a connection that began before the capture: both ends are assumed ESTABLISHED."""
        self.is_midstream = True
        if flags & RST:
            return
        x.take(self._log, self.number, MIDSTREAM, time_ns, frame, ASSUMED)
        y.take(self._log, self.number, MIDSTREAM, time_ns, frame, ASSUMED)
        x.unsure = False
        y.unsure = False

    def _syn(
        self, x: Endpoint, y: Endpoint, frame: i64, time_ns: i64, flags: i64, ip_id: i64, tsval: i64, is_copy: bool
    ) -> None:
        log = self._log
        x.syn_count += 1
        # Where the SYNs cross, a SYN-ACK follows a SYN and repeats nothing.
        is_repeat = x.syn_count > 1 and x.syn_acks == (flags & ACK != 0) and not is_copy
        x.syn_acks = flags & ACK != 0
        if is_repeat and not self._is_copy(x.syn_sent_ns, x.syn_ip_id, x.syn_tsval, time_ns, ip_id, tsval):
            self.mark(frame, time_ns, x, MARK_SYN_REPEATED, x.syn_count)
            if flags & ACK:
                # It would not repeat its SYN-ACK had the ACK of it arrived.
                if x.unsure and x.last_event(log) == ACK_OF_SYN_RX:
                    self._take_back(x, frame, time_ns)
                x.syn_acked_ns = -1
            elif time_ns - x.syn_heard_ns > DELAY_NS:
                # Nor its SYN, had the other's SYN or SYN-ACK arrived that passed a while ago.
                x.syn_heard_ns = -1
                x.syn_heard_bare = False
        x.syn_sent_ns = time_ns
        x.syn_ip_id = ip_id
        x.syn_tsval = tsval
        if flags & ACK:
            if x.state == UNKNOWN:
                # The SYN was not captured; its answer proves it.
                self.is_midstream = True
                if y.state == UNKNOWN:
                    y.take(log, self.number, SYN_TX, time_ns, frame, PROVEN)
                x.state = LISTEN
                x.take(log, self.number, SYN_RX, time_ns, frame, PROVEN)
            if x.state == SYN_RCVD and x.syn_acked_ns >= 0:
                x.take(log, self.number, ACK_OF_SYN_RX, x.syn_acked_ns, x.syn_acked_frame, ASSUMED)
                x.syn_acked_ns = -1
        elif x.state == UNKNOWN:
            x.state = CLOSED
            x.take(log, self.number, SYN_TX, time_ns, frame, SENT)
            x.syn_heard_bare = x.syn_heard_ns >= 0
        if (y.state == SYN_SENT or y.state == UNKNOWN) and not (y.syn_heard_bare and flags & ACK):
            y.syn_heard_ns = time_ns
            y.syn_heard_frame = frame
            y.syn_heard_bare = y.state == SYN_SENT and not flags & ACK

    def _data(self, x: Endpoint, y: Endpoint, frame: i64, time_ns: i64, rel: i64, payload_len: i64) -> None:
        new_bytes: i64 = rel + payload_len - x.next_rel
        if rel + payload_len > x.missed_fin_rel:
            # What was missing there was data.
            x.missed_fin_rel = -1
        if new_bytes <= 0:
            return
        new_bytes = min(new_bytes, payload_len)
        x.data_ns = time_ns
        if x.fin_rel >= 0 and rel + payload_len > x.fin_rel + 1:
            self.mark(frame, time_ns, x, MARK_DATA_AFTER_FIN, rel + payload_len - x.fin_rel)
        if y.fin_rel >= 0:
            x.after_fin += new_bytes
        if y.state == CLOSED and y.last_row >= 0:
            self.mark(frame, time_ns, x, MARK_DATA_AFTER_CLOSE, new_bytes)

    def _fin(
        self,
        x: Endpoint,
        y: Endpoint,
        frame: i64,
        time_ns: i64,
        fin_rel: i64,
        ack_rel: i64,
        ip_id: i64,
        tsval: i64,
        is_copy: bool,
    ) -> None:
        log = self._log
        x.fin_count += 1
        if x.fin_count == 1 or fin_rel > x.fin_rel:
            x.fin_rel = fin_rel
        if x.fin_count == 1:
            if fin_rel == x.missed_fin_rel >= 0:
                self._missed_fin(x, PROVEN, ack_rel <= y.fin_rel)
            else:
                x.take(log, self.number, FIN_TX, time_ns, frame, SENT)
            if self.first_closer < 0:
                self.first_closer = x.which
            elif ack_rel <= y.fin_rel and self.first_closer != x.which and self.reset_by < 0:
                self.both_closed_first = True
        elif not is_copy and not self._is_copy(x.fin_sent_ns, x.fin_ip_id, x.fin_tsval, time_ns, ip_id, tsval):
            self.mark(frame, time_ns, x, MARK_FIN_REPEATED, x.fin_count)
            # It would not repeat its FIN had the ACK of it arrived.
            x.fin_acked_ns = -1
            if x.state == TIME_WAIT and x.fin_was_late:
                # Nor is it in TIME_WAIT: the peer's FIN came before the ACK.
                x.fin_was_late = False
                heard_ns: i64 = log.time_ns(x.last_row)
                heard_frame: i64 = x.take_back(log)
                self._take_back(x, frame, time_ns)
                x.take(log, self.number, FIN_RX, heard_ns, heard_frame, PROVEN)
            elif x.unsure and x.last_event(log) == ACK_OF_FIN_RX:
                self._take_back(x, frame, time_ns)
        x.fin_sent_ns = time_ns
        x.fin_ip_id = ip_id
        x.fin_tsval = tsval

    def _missed_fin(self, x: Endpoint, basis: i64, crossed: bool) -> None:
        """A FIN that was lost before the tap, or overtaken, known by the number of the bare ACK that came after it.

        Where that ACK, or the FIN itself when it comes, does not cover the peer's FIN, the FINs crossed. So they did
        where that ACK was the first to cover it and answers no repeated segment: had the peer's come first, ours would
        have carried its ACK, and nothing had called for a second one.
        """
        log = self._log
        if x.last_event(log) == FIN_RX and (
            crossed
            or x.fin_proven_frame > x.missed_fin_frame
            or (x.fin_proven_frame == x.missed_fin_frame and x.missed_fin_unasked)
        ):
            heard_ns: i64 = x.changed_ns
            heard_basis: i64 = log.basis(x.last_row)
            heard_frame: i64 = x.take_back(log)
            x.take(log, self.number, FIN_TX, x.missed_fin_ns, x.missed_fin_frame, basis)
            x.take(log, self.number, FIN_RX, heard_ns, heard_frame, heard_basis)
        else:
            x.take(log, self.number, FIN_TX, x.missed_fin_ns, x.missed_fin_frame, basis)
        x.missed_fin_rel = -1

    def _is_copy(self, sent_ns: i64, old_id: i64, old_tsval: i64, time_ns: i64, ip_id: i64, tsval: i64) -> bool:
        """Whether a repeated SYN or FIN is a copy of the last one rather than a retransmission."""
        return time_ns - sent_ns < COPY_NS and ip_id == old_id and tsval == old_tsval and (ip_id > 0 or tsval >= 0)

    # 3. What the receiver hears.

    def _ack_of_syn(self, x: Endpoint, y: Endpoint, frame: i64, time_ns: i64) -> None:
        if y.state == SYN_RCVD:
            y.take(self._log, self.number, ACK_OF_SYN_RX, time_ns, frame, ASSUMED)
        elif x.state == SYN_RCVD and y.syn_acked_ns < 0:
            # The SYNs crossed: y has yet to show that it got the other's SYN.
            y.syn_acked_ns = time_ns
            y.syn_acked_frame = frame

    def _ack_of_fin(self, y: Endpoint, frame: i64, time_ns: i64, acker_rel: i64) -> None:
        if y.fin_acked_ns < 0 and (y.state == FIN_WAIT_1 or y.state == LAST_ACK or y.state == CLOSING):
            y.fin_acker_rel = acker_rel
        if y.state == FIN_WAIT_1:
            if y.fin_acked_ns >= 0:
                return
            if y.fin_heard_ns >= 0 and not y.fin_heard_acks:
                # x's FIN is still on its way, or lost: which of the two came first is settled when y answers.
                y.fin_acked_ns = time_ns
                y.fin_acked_frame = frame
            else:
                y.take(self._log, self.number, ACK_OF_FIN_RX, time_ns, frame, ASSUMED)
        elif y.state == LAST_ACK or y.state == CLOSING:
            y.take(self._log, self.number, ACK_OF_FIN_RX, time_ns, frame, ASSUMED)

    def _awaits_fin(self, y: Endpoint) -> bool:
        state: i64 = y.state
        return (
            state == ESTABLISHED or state == FIN_WAIT_1 or state == FIN_WAIT_2 or state == SYN_RCVD or state == SYN_SENT
        )

    # Resets.

    def _reset(
        self,
        x: Endpoint,
        y: Endpoint,
        frame: i64,
        time_ns: i64,
        seq: i64,
        ack: i64,
        flags: i64,
        window: i64,
        ttl: i64,
        tsval: i64,
    ) -> None:
        """A RST from ``x``; whether ``y`` accepts it is RFC 9293, 3.5.3 and 3.10.7.4, and RFC 5961, 3.2."""
        log = self._log
        x.rst_count += 1
        has_ack = flags & ACK != 0
        ack_rel: i64 = y.rel(ack) if has_ack and y.isn >= 0 else -1
        rel: i64 = x.rel(seq) if x.isn >= 0 else 0
        gap: i64 = rel - y.acked_rel if y.acked_rel >= 0 else 0
        if y.state == CLOSED and y.last_row >= 0 and x.state != ESTABLISHED:
            self.mark(frame, time_ns, x, MARK_RESET_AFTER_CLOSE, 0)
            self._reset_sent(x, y, frame, time_ns, rel, ack_rel)
            return
        if y.state == SYN_SENT:
            accepted = has_ack and 0 < ack_rel <= y.next_rel
        elif y.acked_rel < 0 or y.state == UNKNOWN:
            accepted = True
        else:
            accepted = y.acked_rel <= rel <= max(x.next_rel, y.acked_rel)
            if rel == y.acked_rel - 1 and (y.state == CLOSE_WAIT or y.state == LAST_ACK or y.state == CLOSING):
                # A RST that does not count its own FIN is accepted too (Linux, tcp_reset_check).
                accepted = True
        pending: i64 = y.next_rel - max(ack_rel, x.acked_rel, 0) if y.isn >= 0 else 0
        if not accepted:
            self.mark(frame, time_ns, x, MARK_RESET_IGNORED, gap)
            if not has_ack and x.fin_rel >= 0 and rel == y.acked_before_rel:
                # It answers an older segment of y, whose acknowledgment is its number: nobody is there any more.
                self._reset_sent(x, y, frame, time_ns, rel, ack_rel)
                return
            if rel > x.next_rel and (ack_rel == x.acked_rel or ack_rel == y.next_rel) and has_ack:
                # No stranger knows what to acknowledge: it is x's own, and ahead of something that was lost.
                self._reset_sent(x, y, frame, time_ns, rel, ack_rel)
                if self.reset_frame < 0:
                    self.reset_unheard = True
                    self._note_reset(x, y, frame, time_ns, seq, flags, window, ttl, tsval, gap, pending)
            return
        was_over = self._is_over()
        was_gone = x.state == CLOSED
        if x.fin_rel >= 0 and y.fin_heard_ns >= 0 and rel >= x.fin_rel and not self._has_lost_fin(y):
            self._fin_arrived(y, ASSUMED, False)
        self._waiting_ack_arrived(y)
        self._reset_sent(x, y, frame, time_ns, rel, ack_rel)
        ends = y.take(log, self.number, RST_RX, time_ns, frame, ASSUMED)
        if ends:
            y.reset_rel = rel
            y.reset_end_rel = x.next_rel
        if was_over or not (ends or y.state == UNKNOWN):
            self.mark(frame, time_ns, x, MARK_RESET_AFTER_CLOSE, 0)
            return
        if self.reset_frame >= 0 and not self.reset_unheard:
            return
        self.mark(frame, time_ns, x, MARK_RESET, max(0, pending))
        if self.first_closer < 0:
            self.first_closer = x.which
        if self.reset_unheard:
            self.reset_unheard = False
            if was_gone and self.reset_by == x.which and self.reset_flags & ACK and not has_ack:
                # x had reset it before, and y had not got that: this one merely answers what y sent since.
                self.ended_ns = time_ns
                return
        self._note_reset(x, y, frame, time_ns, seq, flags, window, ttl, tsval, gap, pending)
        if self._is_over():
            self.ended_ns = time_ns

    def _note_reset(
        self,
        x: Endpoint,
        y: Endpoint,
        frame: i64,
        time_ns: i64,
        seq: i64,
        flags: i64,
        window: i64,
        ttl: i64,
        tsval: i64,
        gap: i64,
        pending: i64,
    ) -> None:
        """Notes a RST of ``x`` as the one that ends the connection."""
        self.reset_frame = frame
        self.reset_ns = time_ns
        self.reset_by = x.which
        self.reset_flags = flags & TCP_FLAGS
        self.reset_window = window
        self.reset_ttl = ttl
        self.reset_options = 1 if tsval >= 0 else 0
        self.reset_gap = gap
        self.reset_pending = max(0, pending)
        # The segment that drew a RST without ACK is the one whose acknowledgment it took for its number.
        self.reset_drew_frame = y.previous_frame if flags & ACK == 0 and y.previous_ack == seq else -1

    def _reset_sent(self, x: Endpoint, y: Endpoint, frame: i64, time_ns: i64, rel: i64, ack_rel: i64) -> None:
        """The sender's side of a RST: nothing is left of its connection."""
        log = self._log
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
                x.take(log, self.number, RST_RX, closed_ns, closed_frame, ASSUMED)
        if x.unsure and x.last_event(log) == ACK_OF_FIN_RX:
            if ack_rel >= 0:
                # It may have crossed an ACK that passed just before, or lacks the data that brought this along.
                came_first = time_ns - log.time_ns(x.last_row) < y.rtt_ns or (
                    ack_rel == x.fin_acker_rel and log.frame(x.last_row) == y.previous_frame
                )
            elif rel <= x.fin_rel:
                # Its number is what the segment that drew it acknowledged: where that is not beyond the FIN, and not of
                # an old segment that passed since, it was sent before this ACK.
                came_first = x.rel(y.previous_ack) != rel
            else:
                # This ACK itself drew it, as soon as an answer comes: from no socket, since none aborts for a bare ACK,
                # nor for a FIN unless it lacks what was sent before that (Linux, tcp_rcv_state_process). In LAST_ACK
                # one such ACK ends the socket, and a copy of it finds none.
                came_first = (
                    x.state == FIN_WAIT_2
                    and log.frame(x.last_row) == y.previous_frame
                    and time_ns - y.last_ns <= y.longest_rtt_ns
                    and y.previous_len == 0
                    and (y.previous_flags & FIN == 0 or y.fin_rel == x.acked_rel)
                )
            if came_first:
                x.take_back(log)
        if x.fin_heard_ns >= 0 and ack_rel > y.fin_rel:
            self._fin_arrived(x, PROVEN, False)
        elif (
            x.fin_before_ns >= 0
            and ack_rel < 0
            and (x.denied_ns < 0 or (y.fin_count == 2 and x.denied_ns - x.fin_before_ns <= y.longest_rtt_ns))
        ):
            # No socket answers a FIN that was repeated, and the first one drew nothing that was not on its way already:
            # it arrived, more likely than not, and x then aborted by a RST that was lost with the ACK.
            x.fin_heard_ns = x.fin_before_ns
            x.fin_heard_frame = x.fin_before_frame
            self._fin_arrived(x, ASSUMED, False)
        if ack_rel < 0 and rel > x.fin_rel:
            # What drew it acknowledged the FIN of x, and the peer's own FIN, before which that was to be sorted in, did
            # not arrive.
            self._waiting_ack_arrived(x)
        if x.syn_heard_ns >= 0 and x.state == SYN_SENT and ack_rel >= 1:
            x.take(log, self.number, SYN_ACK_RX, x.syn_heard_ns, x.syn_heard_frame, PROVEN)
        if x.state == UNKNOWN and not self.is_midstream:
            # Nobody listens there: there never was a connection to abort.
            x.state = CLOSED
        else:
            x.take(log, self.number, RST_TX, time_ns, frame, SENT)
        x.fin_heard_ns = -1
        x.syn_heard_ns = -1

    def _is_over(self) -> bool:
        client: i64 = self.client.state
        server: i64 = self.server.state
        if client == UNKNOWN:
            return server == CLOSED
        return (client == CLOSED or client == TIME_WAIT) and (
            server == CLOSED or server == TIME_WAIT or server == UNKNOWN
        )
