"""One endpoint of a connection: what it has sent, what has passed the tap towards it, and the state this puts it in.

Every guard that decides *whether* an event happened is in :mod:`pcapflow.tracker.flow`; an endpoint keeps the facts
that those guards look at, takes the edges of :mod:`pcapflow.tracker.states`, and can take an assumed edge back.
"""

from __future__ import annotations

from typing import final

from mypy_extensions import i64

from pcapflow.tracker.log import TransitionLog
from pcapflow.tracker.seq import unwrap
from pcapflow.tracker.states import ASSUMED, EDGES, N_EVENTS, NO_EDGE, PROVEN, UNKNOWN


@final
class Endpoint:
    """The facts about one endpoint. Numbers named ``*_rel`` are relative to an ISN and do not wrap.

    Attributes:
        state: its state now.
        isn: its initial sequence number, raw; -1 unknown.
        next_rel: the highest sequence number it sent, plus one; SYN and FIN count.
        acked_rel: the highest acknowledgment it sent, in its peer's numbers; -1 none.
        acked_before_rel: the highest before that; -1 none.
        fin_rel: sequence number of its FIN; -1 none.
        fin_acker_rel: where the data or FIN begins that brought along the first ACK of its FIN; -1 of a bare ACK.
        syn_acks: its last SYN carried an ACK.
        syn_heard_ns, syn_heard_frame: a SYN or SYN-ACK of the peer passed and this endpoint has not answered; -1 none.
        syn_heard_bare: what passed first was a SYN without ACK although this endpoint had sent one: the SYNs crossed.
        syn_acked_ns, syn_acked_frame: an ACK of its SYN passed, which it cannot have used yet; -1 none.
        fin_heard_ns, fin_heard_frame: the peer's FIN passed, unproven; -1 none.
        fin_heard_acks: that FIN, as it last passed, acknowledged this endpoint's own.
        fin_heard_tsval: its time stamp, -1 without.
        fin_was_late: that FIN arrived after the ACK of this endpoint's own, as far as anyone can tell.
        fin_before_ns, fin_before_frame, fin_before_acks: the pass before that one; -1 none.
        fin_proven_frame: the segment of this endpoint that showed that the peer's FIN had arrived; -1 none.
        fin_acked_ns, fin_acked_frame: an ACK of its FIN passed and waits behind the peer's unproven FIN; -1 none.
        hole_bytes, hole_start_rel, hole_end_rel: bytes that it must have sent and that have not passed, and between
            which numbers they are.
        missed_fin_rel, missed_fin_ns, missed_fin_frame: a bare ACK of this endpoint stood one above all it was seen to
            send: there it may have sent a FIN that was lost before the tap; -1 none.
        lacked_ns: when it last sent something that showed it had not got what it had been sent, or was sent what it
            lacked; -1 never.
        filled_ns: when it was last sent something that it lacked before a FIN; -1 never.
        denied_ns, denied_by_sack: when it last sent something without acknowledging a FIN of the peer that had passed,
            and whether that told of a gap by a SACK block; -1 never.
    """

    def __init__(self, which: i64, hi: i64, lo: i64, port: i64) -> None:
        self.which: i64 = which
        self.hi: i64 = hi
        self.lo: i64 = lo
        self.port: i64 = port
        self.state: i64 = UNKNOWN
        self.last_row: i64 = -1
        self.changed_ns: i64 = -1
        self.unsure = False
        # What it sent.
        self.isn: i64 = -1
        self.next_rel: i64 = 0
        self.acked_rel: i64 = -1
        self.acked_before_rel: i64 = -1
        self.fin_rel: i64 = -1
        self.fin_acker_rel: i64 = -1
        self.fin_count: i64 = 0
        self.fin_sent_ns: i64 = -1
        self.fin_ip_id: i64 = -1
        self.fin_tsval: i64 = -1
        self.syn_count: i64 = 0
        self.syn_acks = False
        self.syn_sent_ns: i64 = -1
        self.syn_ip_id: i64 = -1
        self.syn_tsval: i64 = -1
        self.rst_count: i64 = 0
        # What passed the tap towards it.
        self.syn_heard_ns: i64 = -1
        self.syn_heard_frame: i64 = -1
        self.syn_heard_bare = False
        self.syn_acked_ns: i64 = -1
        self.syn_acked_frame: i64 = -1
        self.fin_heard_ns: i64 = -1
        self.fin_heard_frame: i64 = -1
        self.fin_heard_acks = False
        self.fin_heard_tsval: i64 = -1
        self.fin_was_late = False
        self.fin_before_ns: i64 = -1
        self.fin_before_frame: i64 = -1
        self.fin_before_acks = False
        self.fin_proven_frame: i64 = -1
        self.fin_acked_ns: i64 = -1
        self.fin_acked_frame: i64 = -1
        self.lacked_ns: i64 = -1
        self.filled_ns: i64 = -1
        self.denied_ns: i64 = -1
        self.denied_by_sack = False
        # What the tables tell of it.
        self.packets: i64 = 0
        self.payload_bytes: i64 = 0
        self.retransmitted: i64 = 0
        self.first_frame: i64 = -1
        self.last_ns: i64 = -1
        self.data_ns: i64 = -1
        self.rtt_ns: i64 = -1
        self.longest_rtt_ns: i64 = -1
        self.timed_rel: i64 = -1
        self.timed_ns: i64 = 0
        self.after_fin: i64 = 0
        self.hole_bytes: i64 = 0
        self.hole_start_rel: i64 = 0
        self.hole_end_rel: i64 = 0
        self.missed_fin_rel: i64 = -1
        self.missed_fin_ns: i64 = -1
        self.missed_fin_frame: i64 = -1
        self.unseen: i64 = 0
        self.mss: i64 = -1
        self.wscale: i64 = -1
        self.ttl: i64 = -1
        self.timestamps: i64 = -1
        self.zero_since_ns: i64 = -1
        self.zero_since_frame: i64 = -1
        self.zero_ns: i64 = 0
        self.zero_frame: i64 = -1
        self.history_seen: i64 = 0
        self.history_rst_seq: i64 = -1
        # Its previous segment, by which copies of a packet are known.
        self.previous_frame: i64 = -1
        self.previous_ip_id: i64 = -1
        self.previous_seq: i64 = -1
        self.previous_tsval: i64 = -1
        self.previous_len: i64 = -1
        self.previous_ack: i64 = -1
        self.previous_flags: i64 = -1
        # Wireshark's view of it, in raw numbers; -1 stands for "not set yet".
        self.ws_next: i64 = -1
        self.ws_next_ns: i64 = 0
        self.ws_max_acked: i64 = -1
        self.ws_last_ack: i64 = -1
        self.ws_last_ack_ns: i64 = 0
        self.ws_window: i64 = -1
        self.ws_wscale: i64 = -1
        self.ws_first_ack = False
        self.ws_dup_acks: i64 = 0
        self.ws_last_marks: i64 = 0

    def rel(self, raw: i64) -> i64:
        """A raw sequence number of this endpoint as a relative one; its ISN must be known."""
        return unwrap(raw, self.isn, self.next_rel)

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
        return -1 if self.last_row < 0 else log.event(self.last_row)

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

    def confirm(self, log: TransitionLog) -> None:
        """What was assumed last turned out to be so."""
        if self.unsure:
            log.set_basis(self.last_row, PROVEN)
            self.unsure = False
