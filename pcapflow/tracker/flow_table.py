"""The flow table: all connections of a capture, and what becomes of each.

A SYN with another sequence number than the one its flow began with is a new incarnation of the tuple, and a new flow;
one with the same number is where it was sent after the flow's end (:mod:`pcapflow.tracker.reuse`).

A table follows all connections or one shard of them: nothing that happens to one has to do with another, so the shards
can be followed by several processes, each of which reads the whole capture.

A connection passes through up to three forms: a row of the SYN cache while nothing but a SYN and its answer has passed,
a :class:`Flow` while it is followed, and a row of the log soon after both ends have closed. Memory thus follows the
connections that are open at one time, not those of the whole capture.
"""

from __future__ import annotations

from typing import final

from librt.vecs import append, pop, vec
from mypy_extensions import i64

from pcapflow.reader.segment_batch import (
    ALL_SHARDS,
    CAPACITY,
    COL_ACK,
    COL_DST_HI,
    COL_DST_LO,
    COL_FLAGS,
    COL_FRAME,
    COL_IP_ID,
    COL_PORTS,
    COL_SEQ,
    COL_SRC_HI,
    COL_SRC_LO,
    COL_TIME_NS,
    COL_TSECR,
    COL_TSVAL,
    COL_TUNNEL,
    COL_VLAN,
    COL_WINDOW,
    COLUMNS,
    ICMP_QUOTE,
    IS_IPV6,
    SegmentBatch,
    shard_of,
)
from pcapflow.tcp.flags import ACK, FIN, RST, SYN
from pcapflow.tcp.marks import MARK_ICMP_UNREACHABLE
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.tracker.closed_queue import MAX_CLOSED, ClosedConnections
from pcapflow.tracker.end_of_capture import settle
from pcapflow.tracker.eviction import EvictionOrder
from pcapflow.tracker.flow import Flow
from pcapflow.tracker.flow_log import ROWS, FlowLog
from pcapflow.tracker.index import EVICTED, IN_SYN_CACHE, ISN_BITS, LIVE, WRITTEN, ConnectionIndex
from pcapflow.tracker.late import LateSegments
from pcapflow.tracker.log import MarkLog, TransitionLog
from pcapflow.tracker.new_flows import NewFlows
from pcapflow.tracker.pending import IcmpError
from pcapflow.tracker.quoted_tuples import QuotedTuples
from pcapflow.tracker.reuse import age_of_last, is_sent_after
from pcapflow.tracker.segment import TapSegment
from pcapflow.tracker.segment_arrives import icmp_error_arrives, segment_arrives
from pcapflow.tracker.syn_cache import SynCache, fits
from pcapflow.tracker.tuples import is_at, nearer, roles


@final
class FlowTable:
    """All connections of one capture, or one shard of them; they are numbered from 0 in order of their first frame.

    Attributes:
        flows, transitions, marks: the logs. :class:`~pcapflow.engine.collect.Collector` drains ``flows`` after each
            call of :meth:`consume` and :meth:`finish`, which never fill it in one go.
        late: what came for connections after they were written.
        quoted: the tuples that ICMP errors quoted before a segment of theirs passed.
        in_stream_of: by number, the connection before of those that began with the number of one before.
        last_ns: the latest time stamp of a segment.
        evicted: connections given up because there were too many at once.
    """

    def __init__(
        self,
        marks_per_flow: int,
        max_open_flows: int,
        rto_ns: int,
        max_closed: int = MAX_CLOSED,
        shard: int = ALL_SHARDS,
    ) -> None:
        self.flows = FlowLog()
        self.transitions = TransitionLog()
        self.marks = MarkLog()
        self.late = LateSegments(self.marks)
        self.quoted = QuotedTuples()
        self.in_stream_of: dict[int, int] = {}
        self.last_ns: i64 = -1
        self.evicted: i64 = 0
        self._max_open: i64 = max(max_open_flows, 1)
        self._rto_ns: i64 = rto_ns
        self._shard: i64 = shard
        self._open_count: i64 = 0
        self._index = ConnectionIndex()
        self._new = NewFlows(self._index, self.transitions, self.marks, marks_per_flow)
        self._syn_cache = SynCache()
        self._live: list[Flow | None] = []
        self._free: vec[i64] = vec[i64]()
        self._segment = TapSegment()
        # Whether the sender of the segment at hand is the client.
        self._from_client = False
        # Closed connections in the order in which they closed.
        self._closed = ClosedConnections(max_closed)
        self._eviction_order = EvictionOrder()
        self._finished: i64 = 0

    def consume(self, batch: SegmentBatch) -> None:
        """Takes those segments of a batch that are of its shard; writes connections that have been closed for long."""
        cells = batch.cells
        # A batch that holds this shard alone need not be sifted.
        shard: i64 = ALL_SHARDS if batch.shard == self._shard else self._shard
        end: i64 = batch.size * COLUMNS
        row: i64 = 0
        while row < end:
            if shard >= 0:
                ports: i64 = cells[row + COL_PORTS]
                mixed: i64 = cells[row + COL_SRC_LO] ^ cells[row + COL_DST_LO] ^ ports >> 16 ^ ports & 0xFFFF
                if shard_of(mixed) != shard:
                    row += COLUMNS
                    continue
            self._take(batch, row)
            row += COLUMNS
        if batch.latest_ns > self.last_ns:
            self.last_ns = batch.latest_ns
        if batch.seen > 0:
            self._write_closed(batch.last_ns)

    def finish(self, last_ns: int) -> bool:
        """Settles and writes what is still open; ``last_ns`` is the time of the capture's last frame.

        Returns:
            Whether there is more: the log is full, and must be drained before the next call.
        """
        end_ns: i64 = max(self.last_ns, last_ns)
        self._index.close_slots()
        self._closed.clear()
        number: i64 = self._finished
        while number < self._index.count and self.flows.rows < ROWS:
            place: i64 = self._index.place(number)
            if place & 3 == IN_SYN_CACHE:
                flow = self._replayed(number, place >> 2)
                self._syn_cache.drop(place >> 2, is_last_use=True)
                self._write(flow, end_ns)
            elif place & 3 == LIVE:
                live = self._live[place >> 2]
                assert live is not None
                self._leave(live, end_ns)
            number += 1
        self._finished = number
        if number < self._index.count:
            return True
        self._index.close_rows()
        return False

    # One segment.

    def _take(self, batch: SegmentBatch, row: i64) -> None:
        """Takes the segment whose row begins at a cell of a batch."""
        cells = batch.cells
        time_ns: i64 = cells[row + COL_TIME_NS]
        if time_ns > self.last_ns:
            self.last_ns = time_ns
        flags: i64 = cells[row + COL_FLAGS]
        index = self._index
        found: i64 = index.find(
            cells[row + COL_SRC_HI],
            cells[row + COL_SRC_LO],
            cells[row + COL_DST_HI],
            cells[row + COL_DST_LO],
            cells[row + COL_PORTS],
            (flags & IS_IPV6) << 20 | cells[row + COL_TUNNEL] << 33,
        )
        self._from_client = found & 1 != 0
        number: i64 = found >> 1
        if flags & ICMP_QUOTE:
            self._take_quote(batch, row, number)
            return
        place: i64 = EVICTED
        if number >= 0:
            place = index.place(number)
        if place & 3 == LIVE and flags & (SYN | ACK) != SYN:
            flow = self._live[place >> 2]
            assert flow is not None
            if flow.before is not None:
                flow = self._which_of_two(flow, flow.before, batch, row)
        else:
            flow = self._made_for(batch, row, number, place)
            if flow is None:
                return
        s = self._segment
        s.read(batch, row)
        if self._from_client:
            segment_arrives(flow, flow.client, flow.server, s)
        else:
            segment_arrives(flow, flow.server, flow.client, s)
        if flow.ended_ns >= 0 and flow.queued_ns < 0:
            self._closed.push(flow)

    def _made_for(self, batch: SegmentBatch, row: i64, number: i64, place: i64) -> Flow | None:
        """The flow of a SYN, or of a segment whose connection is not followed; nothing where it needs none."""
        cells = batch.cells
        flags: i64 = cells[row + COL_FLAGS]
        if place & 3 == IN_SYN_CACHE:
            if not self._from_client and flags & (SYN | ACK | FIN | RST) == SYN | ACK:
                if self._syn_cache.answer(place >> 2, batch, row):
                    return None
            self._promote(number)
            place = self._index.place(number)
        before: Flow | None = None
        is_reuse = False
        if place & 3 == LIVE:
            flow = self._live[place >> 2]
            assert flow is not None
            known = flow.client if self._from_client else flow.server
            if flags & (SYN | ACK) != SYN or known.isn < 0:
                return flow
            if known.isn == cells[row + COL_SEQ]:
                if not is_sent_after(age_of_last(known), cells[row + COL_IP_ID], cells[row + COL_TSVAL]):
                    return flow
                self._same_number(number)
            before = flow if flow.ended_ns < 0 else None
            self._supersede(flow)
            is_reuse = True
        elif place & 3 == WRITTEN:
            # The place still holds the client's first number: a copy of the old SYN is no new connection.
            is_same = self._from_client and (place >> 2) & ((1 << ISN_BITS) - 1) == cells[row + COL_SEQ] + 1
            age: i64 = place >> (ISN_BITS + 2)
            is_late = is_same and not is_sent_after(age, cells[row + COL_IP_ID], cells[row + COL_TSVAL])
            if flags & (SYN | ACK) != SYN or is_late:
                self.late.take(number, CLIENT if self._from_client else SERVER, batch, row)
                return None
            if is_same:
                self._same_number(number)
            is_reuse = True
        return self._open(batch, row, number, before, is_reuse)

    def _take_quote(self, batch: SegmentBatch, row: i64, number: i64) -> None:
        """An ICMP error that quotes a segment: of a connection, or of a tuple that has none yet (-1)."""
        cells = batch.cells
        frame: i64 = cells[row + COL_FRAME]
        if number >= 0:
            if self._index.place(number) & 3 == IN_SYN_CACHE:
                self._promote(number)
            place: i64 = self._index.place(number)
            code: i64 = cells[row + COL_WINDOW]
            time_ns: i64 = cells[row + COL_TIME_NS]
            if place & 3 == WRITTEN:
                endpoint: i64 = CLIENT if self._from_client else SERVER
                self.marks.add(number, frame, time_ns, endpoint, MARK_ICMP_UNREACHABLE, code)
            elif place & 3 == LIVE:
                flow = self._live[place >> 2]
                assert flow is not None
                error = IcmpError(frame, time_ns, cells[row + COL_TSVAL], cells[row + COL_TSECR])
                if self._from_client:
                    icmp_error_arrives(flow, flow.client, flow.server, error, code)
                else:
                    icmp_error_arrives(flow, flow.server, flow.client, error, code)
        else:
            self.quoted.note(batch, row)

    def _same_number(self, number: i64) -> None:
        """The connection that is opened next begins with the number of one before: Wireshark has one stream of both."""
        self.in_stream_of[self._index.count] = number

    def _which_of_two(self, flow: Flow, before: Flow, batch: SegmentBatch, row: i64) -> Flow:
        """Which of two connections of one tuple a segment belongs to, while the newer one's SYN is unanswered."""
        if before.is_written:
            flow.before = None
            return flow
        cells = batch.cells
        found = nearer(
            flow, before, self._from_client, cells[row + COL_SEQ], cells[row + COL_ACK], cells[row + COL_FLAGS]
        )
        self._from_client = is_at(
            found.client, cells[row + COL_SRC_HI], cells[row + COL_SRC_LO], cells[row + COL_PORTS] >> 16
        )
        return found

    # Beginning.

    def _open(self, batch: SegmentBatch, row: i64, number: i64, before: Flow | None, is_reuse: bool) -> Flow | None:
        """Opens a connection with its first segment; nothing where the SYN cache takes it.

        Args:
            batch, row: where the segment is.
            number: the connection that had the tuple before, -1 none.
            before: the same where it was alive.
            is_reuse: whether there was one.
        """
        cells = batch.cells
        flags: i64 = cells[row + COL_FLAGS]
        ports: i64 = cells[row + COL_PORTS]
        from_client, roles_assumed = roles(flags, ports >> 16, ports & 0xFFFF)
        self._from_client = from_client
        if self._open_count >= self._max_open:
            self._evict()
        is_first = number < 0
        tag: i64 = (flags & IS_IPV6) << 20 | cells[row + COL_TUNNEL] << 33
        client_hi: i64 = cells[row + COL_SRC_HI]
        client_lo: i64 = cells[row + COL_SRC_LO]
        server_hi: i64 = cells[row + COL_DST_HI]
        server_lo: i64 = cells[row + COL_DST_LO]
        if from_client:
            number = self._index.add(client_hi, client_lo, server_hi, server_lo, ports | tag, EVICTED)
        else:
            ports = (ports & 0xFFFF) << 16 | ports >> 16
            number = self._index.add(server_hi, server_lo, client_hi, client_lo, ports | tag, EVICTED)
        self._open_count += 1
        if is_first:
            self.quoted.give_to(number, batch, row)
        if before is None and flags & (SYN | ACK | FIN | RST) == SYN and fits(batch, row):
            self._index.move(number, self._syn_cache.add(batch, row, is_reuse) << 2 | IN_SYN_CACHE)
            return None
        frame: i64 = cells[row + COL_FRAME]
        flow = self._new.make(number, frame, cells[row + COL_TIME_NS], cells[row + COL_VLAN], is_reuse)
        self._follow(flow)
        flow.roles_assumed = roles_assumed
        flow.before = before
        return flow

    def _follow(self, flow: Flow) -> None:
        """Finds a flow its place among those that are followed."""
        if len(self._free) > 0:
            self._free, flow.place = pop(self._free)
            self._live[flow.place] = flow
        else:
            flow.place = len(self._live)
            self._live.append(flow)
        self._index.move(flow.number, flow.place << 2 | LIVE)

    def _replayed(self, number: i64, row: i64) -> Flow:
        """The flow of a connection in the SYN cache; its row there is still to be dropped."""
        cache = self._syn_cache
        flow = self._new.make(number, cache.frame(row), cache.time_ns(row), cache.vlan(row), cache.is_reuse(row))
        cache.replay(row, flow)
        return flow

    def _promote(self, number: i64) -> None:
        """Makes a flow of a connection in the SYN cache."""
        row: i64 = self._index.place(number) >> 2
        self._follow(self._replayed(number, row))
        self._syn_cache.drop(row, is_last_use=False)

    # Ending.

    def _supersede(self, flow: Flow) -> None:
        """Another connection takes over the tuple: nothing but what was under way can still reach this one."""
        flow.is_superseded = True
        # What came before it is out of reach, and chains of these must not grow.
        flow.before = None
        if flow.queued_ns < 0:
            self._closed.push(flow)

    def _write_closed(self, now_ns: i64) -> None:
        """Writes connections that have been closed for long enough, as far as the log has room.

        Now is when the newest segment passed, not the latest time seen: a clock may have been set back.
        """
        while self.flows.rows < ROWS - CAPACITY:
            flow = self._closed.next_done(now_ns)
            if flow is None:
                break
            self._leave(flow, self.last_ns)

    def _evict(self) -> None:
        """Gives a connection up; its next segment, if any, begins a new one."""
        index = self._index
        at: i64 = self._eviction_order.next(index)
        if index.place(at) & 3 == IN_SYN_CACHE:
            self._promote(at)
        flow = self._live[index.place(at) >> 2]
        assert flow is not None
        self._leave(flow, self.last_ns)
        index.move(at, EVICTED)
        self.evicted += 1

    def _leave(self, flow: Flow, end_ns: i64) -> None:
        """Writes a connection that is not followed any more."""
        self._live[flow.place] = None
        self._free = append(self._free, flow.place)
        self._write(flow, end_ns)

    def _write(self, flow: Flow, end_ns: i64) -> None:
        settle(flow, end_ns, self._rto_ns)
        self.flows.write(flow)
        flow.is_written = True
        age: i64 = age_of_last(flow.client)
        self._index.move(flow.number, age << (ISN_BITS + 2) | (flow.client.isn + 1) << 2 | WRITTEN)
        self._open_count -= 1
