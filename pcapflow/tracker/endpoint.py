"""One endpoint of a connection: what it has sent, what has passed the tap towards it, and the state this puts it in.

The guards that decide *whether* an event happened are in the steps that :mod:`pcapflow.tracker.segment_arrives` lists;
an endpoint keeps the facts that those look at, takes the edges of :mod:`pcapflow.tcp.states`, and can take an assumed
edge back.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from pcapflow.tcp.seq import delta, unwrap
from pcapflow.tcp.states import ASSUMED, BEGINS_IN, EDGES, N_EVENTS, NO_EDGE, PROVEN, UNKNOWN
from pcapflow.tracker.log import TransitionLog
from pcapflow.tracker.pending import NO_FIN, IncomingFin, InferredFin

TICK_NS: Final = 1_000_000
"""What a time stamp counts (RFC 7323, 5.4; Linux, macOS and FreeBSD)."""
DELAY_NS: Final = 200_000_000
"""A segment that is later than this has been sent again: the shortest retransmission time-out of Linux."""
STALE_NS: Final = 3 * TICK_NS
"""A time stamp may be taken this much earlier than its segment is sent, by a busy host or a clock of whole ticks."""
NS_PER_S: Final = 1_000_000_000
LEAST_TICKS: Final = 8
"""Fewer ticks of a clock do not tell how quick it is."""
DRIFT: Final = 10_000
"""Two clocks part by less than one in this many, those of sender and capture (100 ppm)."""


@final
class Endpoint:
    """The facts about one endpoint. Numbers named ``*_rel`` are relative to an ISN and do not wrap.

    Attributes, in the order in which memory holds them. First what every segment looks at:
        state: its state now.
        isn: its initial sequence number, raw; -1 unknown.
        next_rel: the highest sequence number it sent, plus one; SYN and FIN count.
        acked_rel: the highest acknowledgment it sent, in its peer's numbers; -1 none.
        acked_before_rel: the highest before that; -1 none.
        fin_rel: sequence number of its FIN; -1 none.
        fin_count: how often its FIN passed.
        syn_seen_ns, syn_seen_frame: a SYN or SYN-ACK of the peer passed and this endpoint has not answered; -1 none.
        incoming: the peer's FIN on its way; the blank before one passes.
        inferred: a FIN of its own that was lost before the tap; the blank without.
        hole_bytes, hole_start_rel, hole_end_rel, hole_ns: bytes that it must have sent and that have not passed,
            between which numbers they are, and since when.
        last_ns, last_frame: its last segment; -1 none. A RST has no place in ``last_frame``.
        last_needs_ack_ns: when it last sent something that calls for an acknowledgment; -1 never.
        data_ns, first_data_ns: when it last sent new data, and when first; -1 never.
        goodbye_rel: where the TLS alerts begin that end what it has sent; -1 it did not end with any.
        goodbye_is_sure: the bytes of all of them were seen.
    its clock and its round trips:
        clock_tsval, clock_began_ns: its first time stamp, and when the segment that bore it passed; -1 without.
        clock_ns, clock_set_ns: when the tap would have seen that stamp at the latest, and when the segment passed that
            told this.
        rtt_ns, longest_rtt_ns: the shortest and the longest time from its segments to their ACKs; -1 unknown.
        timed_rel, timed_ns: the number whose ACK is timed, and since when; -1 none.
    what the tables count:
        packets, payload_bytes: all it sent.
        data_segments, data_segments_again: its payload in units of the MSS, and how many of these were sent again,
            what was lost before the tap among them; further repeats of one and the same segment count for neither.
        largest: the most payload of a record with new data, which a card may have merged of several segments.
        again_seq: the raw sequence number of its last repeat; -1 none.
        too_big_rel: its ``next_rel`` when an ICMP error told it last that its segments were too big; -1 never.
        first_frame: its first segment; -1 none.
        history_seen: Zeek's letters that it has earned, as bits.
        zero_since_ns, zero_since_frame: since when its window is shut; -1 open.
        previous_*: its previous segment, by which copies of a packet, and what a RST has of it, are known; -1 none.
        ws_*: Wireshark's view of it, in raw numbers (:mod:`pcapflow.tracker.wireshark`); -1 not set yet.
    what is true or false:
        unsure: its last transition is assumed.
        fin_was_last: the last it sent, but for RSTs, was its first FIN.
        syn_acks: its last SYN carried an ACK.
        syn_seen_bare: what passed first was a SYN without ACK although this endpoint had sent one: the SYNs crossed.
        permits_sack: its SYN permits selective acknowledgments.
        clock_is_slow: its time stamps do not count milliseconds: one of them was older than what the segment answers.
    what changes of state look at:
        which: client or server.
        last_row: the row of its last transition in the log; -1 none.
        changed_ns: when that was.
        fin_acker_rel: where the data or FIN begins that brought along the first ACK of its FIN; -1 of a bare ACK.
        fin_ack_rel: the number, of its peer, of the first ACK of its FIN; -1 none.
        fin_sent_ns, fin_ip_id, fin_tsval: its last FIN; -1 none.
        syn_count, syn_sent_ns, syn_ip_id, syn_tsval: how often its SYN passed, and the last of them; -1 none.
        syn_acked_ns, syn_acked_frame: an ACK of its SYN passed, which it cannot have used yet; -1 none.
        acks_lost, longest_pause_ns: how often in a row it repeated its SYN-ACK, or its FIN, although an ACK of it had
            passed, and its longest pause before that.
        rst_count: how many RSTs it sent.
        reset_rel, reset_end_rel: the number of the RST that ended this endpoint, and the peer's ``next_rel`` when it
            passed; -1 none.
        challenge_frame: its ACK that challenged a RST of the peer (RFC 5961, 3.2); -1 none.
        challenged_rel: what an ACK acknowledged that seemed to challenge its SYN (RFC 5961, 4); -1 none.
    what only the tables tell of it:
        hi, lo, port: its address in two halves, and its port.
        retransmitted: segments that Wireshark calls retransmissions.
        after_fin: bytes it sent after the peer's FIN had passed.
        unseen, unseen_end_rel: how many numbers it must have used that have not passed, and that the peer acknowledged;
            and the one after the last of them, -1 none. Once its end is settled, bytes of payload.
        mss, wscale: what its SYN offers; -1 not seen.
        ttl, timestamps: of its first segment: time to live, and whether it bore a time stamp; -1 none.
        syn_form: of its first SYN: ``window | order << 16``, the window not scaled, and the number of the order of its
            options (:mod:`pcapflow.tcp.syn_options`); -1 not seen.
        zero_ns, zero_frame: the longest time that its window was shut, and the frame that shut it.
        history_rst_seq: the number of its last RST in Zeek's history; -1 none.
    """

    def __init__(self, which: i64, hi: i64, lo: i64, port: i64, incoming: IncomingFin, inferred: InferredFin) -> None:
        """Nothing has passed: ``incoming`` and ``inferred`` are the blanks."""
        # What every segment looks at lies together, since memory comes by cache lines. Nothing here can fail, not even
        # the look at a constant of another module: what is stored in vain until then stays in the compiled code.
        self.state: i64 = UNKNOWN
        self.isn: i64 = -1
        self.next_rel: i64 = 0
        self.acked_rel: i64 = -1
        self.acked_before_rel: i64 = -1
        self.fin_rel: i64 = -1
        self.fin_count: i64 = 0
        self.syn_seen_ns: i64 = -1
        self.incoming = incoming
        self.inferred = inferred
        self.hole_bytes: i64 = 0
        self.last_ns: i64 = -1
        self.last_needs_ack_ns: i64 = -1
        self.data_ns: i64 = -1
        self.first_data_ns: i64 = -1
        self.goodbye_rel: i64 = -1
        self.clock_tsval: i64 = -1
        self.clock_ns: i64 = 0
        self.rtt_ns: i64 = -1
        self.longest_rtt_ns: i64 = -1
        self.timed_rel: i64 = -1
        self.timed_ns: i64 = 0
        self.packets: i64 = 0
        self.payload_bytes: i64 = 0
        self.data_segments: i64 = 0
        self.first_frame: i64 = -1
        self.last_frame: i64 = -1
        self.history_seen: i64 = 0
        self.zero_since_ns: i64 = -1
        self.previous_frame: i64 = -1
        self.previous_ip_id: i64 = -1
        self.previous_ttl: i64 = -1
        self.previous_seq: i64 = -1
        self.previous_tsval: i64 = -1
        self.previous_len: i64 = -1
        self.previous_ack: i64 = -1
        self.previous_flags: i64 = -1
        self.ws_next: i64 = -1
        self.ws_next_ns: i64 = 0
        self.ws_max_acked: i64 = -1
        self.ws_last_ack: i64 = -1
        self.ws_last_ack_ns: i64 = 0
        self.ws_window: i64 = -1
        self.ws_wscale: i64 = -1
        self.ws_dup_acks: i64 = 0
        self.ws_last_marks: i64 = 0
        self.unsure = False
        self.fin_was_last = False
        self.syn_acks = False
        self.syn_seen_bare = False
        self.permits_sack = False
        self.goodbye_is_sure = False
        self.ws_first_ack = False
        self.clock_is_slow = False
        # What changes of state look at.
        self.which: i64 = which
        self.last_row: i64 = -1
        self.changed_ns: i64 = -1
        self.fin_acker_rel: i64 = -1
        self.fin_ack_rel: i64 = -1
        self.fin_sent_ns: i64 = -1
        self.fin_ip_id: i64 = -1
        self.fin_tsval: i64 = -1
        self.syn_count: i64 = 0
        self.syn_sent_ns: i64 = -1
        self.syn_ip_id: i64 = -1
        self.syn_tsval: i64 = -1
        self.acks_lost: i64 = 0
        self.longest_pause_ns: i64 = 0
        self.rst_count: i64 = 0
        self.syn_seen_frame: i64 = -1
        self.syn_acked_ns: i64 = -1
        self.syn_acked_frame: i64 = -1
        self.reset_rel: i64 = -1
        self.reset_end_rel: i64 = -1
        self.challenge_frame: i64 = -1
        self.challenged_rel: i64 = -1
        self.clock_began_ns: i64 = 0
        self.clock_set_ns: i64 = 0
        self.hole_start_rel: i64 = 0
        self.hole_end_rel: i64 = 0
        self.hole_ns: i64 = 0
        # What only the tables tell of it.
        self.hi: i64 = hi
        self.lo: i64 = lo
        self.port: i64 = port
        self.retransmitted: i64 = 0
        self.data_segments_again: i64 = 0
        self.largest: i64 = 0
        self.again_seq: i64 = -1
        self.too_big_rel: i64 = -1
        self.after_fin: i64 = 0
        self.unseen: i64 = 0
        self.unseen_end_rel: i64 = -1
        self.mss: i64 = -1
        self.wscale: i64 = -1
        self.ttl: i64 = -1
        self.timestamps: i64 = -1
        self.syn_form: i64 = -1
        self.zero_since_frame: i64 = -1
        self.zero_ns: i64 = 0
        self.zero_frame: i64 = -1
        self.history_rst_seq: i64 = -1

    def own_incoming(self) -> IncomingFin:
        """The record of the peer's FIN, made now if there is none."""
        if self.incoming is NO_FIN:
            self.incoming = IncomingFin()
        return self.incoming

    def begin(self, event: i64) -> None:
        """Puts it into the state that its first event presupposes, if nothing is known of it."""
        if self.state == UNKNOWN:
            self.state = BEGINS_IN[event]

    def rel(self, raw: i64) -> i64:
        """A raw sequence number of this endpoint as a relative one; its ISN must be known."""
        return unwrap(raw, self.isn, self.next_rel)

    def payload_between(self, from_rel: i64, to_rel: i64) -> i64:
        """Bytes of payload among its numbers from one to before another: SYN and FIN take a number and are none."""
        from_rel = max(from_rel, 1)
        numbers: i64 = to_rel - from_rel
        fin_rel: i64 = self.fin_rel
        if fin_rel < 0:
            fin_rel = self.inferred.rel
        if from_rel <= fin_rel < to_rel:
            numbers -= 1
        return max(numbers, 0)

    def note_tsval(self, tsval: i64, time_ns: i64) -> None:
        """Notes the time stamp of a segment that passes at ``time_ns``: the quickest one sets its clock."""
        if self.clock_tsval < 0:
            self.clock_tsval = tsval
            self.clock_began_ns = time_ns
            self.clock_ns = time_ns
            self.clock_set_ns = time_ns
        else:
            clock_ns: i64 = time_ns - delta(tsval, self.clock_tsval) * TICK_NS
            if clock_ns < self.clock_ns:
                self.clock_ns = clock_ns
                self.clock_set_ns = time_ns

    def clock_hz(self) -> i64:
        """How many times a second the clock of its time stamps ticks; -1 where they are too few or too near to tell.

        Both stamps are rounded down, and either segment may be late: of a second and more that is some percent.
        """
        if self.clock_tsval < 0 or self.previous_tsval < 0:
            return -1
        ticks: i64 = delta(self.previous_tsval, self.clock_tsval)
        span_ns: i64 = self.last_ns - self.clock_began_ns
        if ticks < LEAST_TICKS or span_ns < NS_PER_S:
            return -1
        return (ticks * 1000 + span_ns // 2_000_000) // (span_ns // 1_000_000)

    def check_clock(self, tsval: i64, time_ns: i64, answers_ns: i64) -> None:
        """Whether its clock counts milliseconds, by a segment that acknowledges what passed at ``answers_ns``.

        It was sent after that, however slow it was. A clock that ticks every 4 or 10 ms (Linux with HZ=250 or 100, BSD,
        Windows) soon says that it was sent before.
        """
        if tsval >= 0 and self.clock_tsval >= 0 and self._by_clock_ns(tsval, time_ns) + STALE_NS < answers_ns:
            self.clock_is_slow = True

    def would_pass_ns(self, tsval: i64, time_ns: i64) -> i64:
        """When a segment would have passed the tap at the earliest, had it come as quickly as the quickest.

        Time stamps are taken to be milliseconds, as they are as a rule (RFC 7323, 5.4, allows for others), unless they
        were seen to be others. Where a segment is late by less than a tick, or by more than any wire delays it, they
        say nothing, and it was punctual.
        """
        if tsval < 0 or self.clock_tsval < 0 or self.clock_is_slow:
            return time_ns
        would_ns: i64 = self._by_clock_ns(tsval, time_ns)
        return would_ns if TICK_NS <= time_ns - would_ns < DELAY_NS else time_ns

    def _by_clock_ns(self, tsval: i64, time_ns: i64) -> i64:
        # A clock that goes slow makes all segments late.
        drift_ns: i64 = (time_ns - self.clock_set_ns) // DRIFT
        return self.clock_ns + delta(tsval, self.clock_tsval) * TICK_NS + drift_ns

    def take(self, log: TransitionLog, flow: i64, event: i64, time_ns: i64, frame: i64, basis: i64) -> bool:
        """Takes the edge of an event, if the state has one, and logs it; the time never lies before the last change."""
        new: i64 = EDGES[self.state * N_EVENTS + event]
        if new == NO_EDGE:
            return False
        if time_ns < self.changed_ns:
            time_ns = self.changed_ns
        self.last_row = log.add(flow, self.which, self.state, new, time_ns, frame, event, basis, self.last_row)
        self.changed_ns = time_ns
        self.state = new
        self.unsure = basis == ASSUMED
        return True

    def last_event(self, log: TransitionLog) -> i64:
        """The event of its last transition, -1 without any."""
        if self.last_row < 0:
            return -1
        return log.event(self.last_row)

    def take_back(self, log: TransitionLog) -> i64:
        """Withdraws its last transition, which was an assumption.

        Returns:
            The frame of the event withdrawn.
        """
        row: i64 = self.last_row
        log.withdraw(row)
        self.state = log.old(row)
        self.last_row = log.previous(row)
        # The clock of its changes is left where it was: what comes next did come later.
        self.unsure = self.last_row >= 0 and log.basis(self.last_row) == ASSUMED
        return log.frame(row)

    def lost_ack(self, pause_ns: i64) -> None:
        """Counts an ACK of its SYN-ACK or FIN that did not reach it: after this pause it repeats that all the same."""
        self.acks_lost += 1
        self.longest_pause_ns = max(self.longest_pause_ns, pause_ns)

    def confirm(self, log: TransitionLog) -> None:
        """What was assumed last turned out to be so."""
        if self.unsure:
            log.set_basis(self.last_row, PROVEN)
            self.unsure = False
