"""One connection being followed: a record of its two endpoints and of what the tables tell of it as a whole.

What a segment means to it is decided in :mod:`pcapflow.tracker.segment_arrives` and the steps named there.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from pcapflow.tcp.marks import MARK_TAKEN_BACK
from pcapflow.tcp.states import CLOSED, TIME_WAIT, UNKNOWN
from pcapflow.tracker.endpoint import Endpoint
from pcapflow.tracker.log import MarkLog, TransitionLog
from pcapflow.tracker.pending import CountedReset, IcmpError

USUAL_MSS: Final = 1460
"""What a segment holds over Ethernet and IPv4 (RFC 6691, 2)."""


# Neither this class nor any other of the tracker is ``acyclic`` to mypyc, though none is in a cycle: objects that lack
# the header of the garbage collector are written beside when they are freed from deep inside others (mypyc 2.4).
@final
class Flow:
    """One connection.

    Attributes:
        client, server: its endpoints.
        before: the connection of the same tuple that was alive when this one's SYN came, until that SYN is answered.
        log, mark_log: where its transitions and marks go.
        number: the flow's own, in its flow table.
        last_frame, end_ns: its last segment, and the latest time of one.
        ended_ns: when it had nothing left to do (both ends CLOSED or in TIME_WAIT), -1 before.
        queued_ns: ``end_ns`` when it was put into a queue of closed connections; -1 in none.
        packets: segments of both sides.
        completeness, first_completeness: Wireshark's ``tcp.completeness``, and what its first segment adds to that as
            soon as there is a second.
        syn_ns: its last SYN without ACK; -1 none.
        first_rtt_ns: time from its SYN to the first ACK, as Wireshark takes it; 0 unknown.
        idle_ns, idle_end_ns, idle_frame, idle_endpoint: the longest silence, its end, and the segment that ended it.
        idle_owed: what was owed in it, and by whom (:func:`pcapflow.tracker.conversation.owed`).
        speaker: who sent new payload last; -1 nobody.
        turns: how often that changed from one endpoint to the other.
        pause_ns, pause_end_ns: the longest time between two segments with new payload, of either side, and its end; -1
            none.
        answer_ns, answer_frame: the longest time from the client's last payload to the first of the server's answer,
            and the frame with that; -1 none.
        is_ipv6: the family of its addresses.
        is_midstream: it began before the capture.
        roles_assumed: which end is the client had to be guessed.
        both_closed_first: the first FINs crossed.
        is_superseded: another connection has taken over its tuple.
        is_written: its row is in the log of flows.
        mss: payload that a segment of it holds at most, by what its SYNs offer; :data:`USUAL_MSS` without.
        icmp_error: the first ICMP error about it since the side that it tells last heard its peer; the blank without.
        reset: the RST that ended it; the blank without.
        reset_not_taken: that RST is known not to have been taken by its receiver.
        next_closed: the next one in the queue of closed connections.
        place: where it is among the flows that are followed.
        vlan, tunnel: of its first segment; -1 and 0 without.
        first_frame, start_ns: its first segment.
        first_closer, close_ns: who sent the first FIN or RST, and when; -1 nobody yet.
        quiet_ns: how long no new payload had passed then, closing words aside; -1 without payload.
        history_1, history_2, history_len: Zeek's history, five bits a letter.
        marks_left: how many marks may still be logged of it.
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
        reset: CountedReset,
        icmp_error: IcmpError,
    ) -> None:
        """Nothing has passed: ``reset`` and ``icmp_error`` are the blanks. As in an endpoint, nothing here can fail."""
        # What every segment looks at lies together, as in an endpoint.
        self.client = client
        self.server = server
        self.before: Flow | None = None
        self.log = transitions
        self.mark_log = marks
        self.number: i64 = number
        self.last_frame: i64 = frame
        self.end_ns: i64 = time_ns
        self.ended_ns: i64 = -1
        self.queued_ns: i64 = -1
        self.packets: i64 = 0
        self.mss: i64 = USUAL_MSS
        self.completeness: i64 = 0
        self.first_completeness: i64 = 0
        self.syn_ns: i64 = -1
        self.first_rtt_ns: i64 = 0
        self.idle_ns: i64 = 0
        self.idle_end_ns: i64 = -1
        self.idle_frame: i64 = -1
        self.idle_endpoint: i64 = -1
        self.idle_owed: i64 = 0
        self.speaker: i64 = -1
        self.turns: i64 = 0
        self.pause_ns: i64 = -1
        self.pause_end_ns: i64 = -1
        self.answer_ns: i64 = -1
        self.answer_frame: i64 = -1
        self.is_ipv6 = is_ipv6
        self.is_midstream = False
        self.roles_assumed = False
        self.both_closed_first = False
        self.is_superseded = False
        self.is_written = False
        self.reset_not_taken = False
        self.reset = reset
        self.icmp_error = icmp_error
        self.next_closed: Flow | None = None
        self.place: i64 = -1
        self.vlan: i64 = -1
        self.tunnel: i64 = 0
        self.first_frame: i64 = frame
        self.start_ns: i64 = time_ns
        self.first_closer: i64 = -1
        self.close_ns: i64 = -1
        self.quiet_ns: i64 = -1
        self.history_1: i64 = 0
        self.history_2: i64 = 0
        self.history_len: i64 = 0
        self.marks_left: i64 = marks_left

    def take(self, x: Endpoint, event: i64, time_ns: i64, frame: i64, basis: i64) -> bool:
        """Has an endpoint take the edge of an event; see :meth:`Endpoint.take`."""
        return x.take(self.log, self.number, event, time_ns, frame, basis)

    def take_back(self, x: Endpoint, frame: i64, time_ns: i64) -> None:
        """Withdraws an endpoint's last transition, an assumption that this frame contradicts, and marks that."""
        withdrawn: i64 = x.take_back(self.log)
        self.mark(frame, time_ns, x, MARK_TAKEN_BACK, withdrawn)
        self.ended_ns = -1

    def mark(self, frame: i64, time_ns: i64, x: Endpoint, mark: i64, value: i64) -> None:
        """Logs a mark on a frame of ``x``; beyond the limit of one flow they are left out."""
        if self.marks_left > 0:
            self.marks_left -= 1
            self.mark_log.add(self.number, frame, time_ns, x.which, mark, value)

    def is_over(self) -> bool:
        """Whether neither endpoint has anything left to do."""
        client: i64 = self.client.state
        server: i64 = self.server.state
        if client == UNKNOWN:
            return server == CLOSED
        return (client == CLOSED or client == TIME_WAIT) and (
            server == CLOSED or server == TIME_WAIT or server == UNKNOWN
        )
