"""The flow table: which connection a segment belongs to, and what became of each.

Flows are found by a hash over both ends that does not depend on direction, in an open-addressing table of integers.
A SYN with another sequence number than the one its flow began with is a new incarnation of the tuple, and a new flow.

A table follows all connections or one shard of them: nothing that happens to one has to do with another, so the two
shards can be followed by two processes, each of which reads the whole capture.

A connection passes through up to three forms: an embryo while nothing but a SYN and its answer has passed, a
:class:`Flow` while it is followed, and a row of the log soon after both ends have closed. Memory thus follows the
connections that are open at one time, not those of the whole capture.
"""

from __future__ import annotations

import os
from typing import Final, final

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
    COL_PAYLOAD_LEN,
    COL_PORTS,
    COL_SACK_LEFT,
    COL_SEQ,
    COL_SRC_HI,
    COL_SRC_LO,
    COL_SYN_OPTIONS,
    COL_TIME_NS,
    COL_TSECR,
    COL_TSVAL,
    COL_TTL,
    COL_TUNNEL,
    COL_VLAN,
    COL_WINDOW,
    COLUMNS,
    ICMP_QUOTE,
    IS_IPV6,
    SegmentBatch,
    shard_of,
)
from pcapflow.tcp.flags import ACK, FIN, RST, SYN, TCP_FLAGS
from pcapflow.tcp.marks import MARK_DATA_AFTER_CLOSE, MARK_ICMP_UNREACHABLE, MARK_RESET_AFTER_CLOSE, PORT_REUSE
from pcapflow.tcp.seq import delta
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.tracker.closed_queue import Lingering
from pcapflow.tracker.counts import completeness
from pcapflow.tracker.endpoint import Endpoint
from pcapflow.tracker.flow import Flow
from pcapflow.tracker.flow_log import ROWS, FlowLog
from pcapflow.tracker.late import Late
from pcapflow.tracker.log import MarkLog, TransitionLog
from pcapflow.tracker.syn_cache import Embryos, fits

FIRST_SLOTS: Final = 1 << 12
M31: Final = 0x7FFF_FFFF
M32: Final = 0xFFFF_FFFF
MAX_QUOTED_FIRST: Final = 50_000
"""Tuples remembered that no connection has yet and an ICMP error quoted."""
WIRESHARK_MIN_QUOTE: Final = 16
"""TCP bytes that an ICMP error must quote for Wireshark to open a stream for it."""

LINGER_NS: Final = 15_000_000_000
"""A connection that both ends have closed is followed for this long after its last segment: several retransmission
time-outs, within which a repeated FIN would show that its ACK was lost."""
LONG_LINGER_NS: Final = 120_000_000_000
"""The same for one with a repeated FIN, whose next repeat may be far off, or with a RST, which whoever goes on sending
did not get (TCP_RTO_MAX of Linux)."""
MAX_LINGERING: Final = 1 << 14
"""Closed connections followed at once; past it the one closed first is written early."""

# What a connection is now, in the low two bits of its place; the rest is where.
EMBRYO: Final = 0
LIVE: Final = 1
WRITTEN: Final = 2
LET_GO: Final = 3

WIDTH: Final = 6
"""Numbers of one connection: client address (two), server address (two), ports, family and tunnel in one, and its
place, which is looked at whenever these are."""
PLACE: Final = 5


@final
class FlowTable:
    """All connections of one capture, or one shard of them; they are numbered from 0 in order of their first frame.

    Attributes:
        flows, transitions, marks: the logs. :class:`~pcapflow.engine.collect.Collector` drains ``flows`` after each
            call of :meth:`consume` and :meth:`finish`, which never fill it in one go.
        late: by number of the connection, what came after it was written.
        opened_before: by number of the connection, the earlier frame that opened Wireshark's stream for it: an ICMP
            error that quotes a segment of its tuple.
        last_ns: the latest time stamp of a segment.
        evicted: connections let go because there were too many at once.
    """

    def __init__(
        self,
        marks_per_flow: int,
        max_open_flows: int,
        rto_ns: int,
        max_lingering: int = MAX_LINGERING,
        shard: int = ALL_SHARDS,
    ) -> None:
        self.flows = FlowLog()
        self.transitions = TransitionLog()
        self.marks = MarkLog()
        self.late: dict[int, Late] = {}
        self.opened_before: dict[int, int] = {}
        self.last_ns: i64 = -1
        self.evicted: i64 = 0
        self._marks_per_flow: i64 = marks_per_flow
        self._max_open: i64 = max(max_open_flows, 1)
        self._rto_ns: i64 = rto_ns
        self._max_lingering: i64 = max_lingering
        self._shard: i64 = shard
        self._open_count: i64 = 0
        self._quoted_first: dict[tuple[int, int, int, int, int, int], int] = {}
        # By number of the connection: what and where it is, and its two ends.
        self._count: i64 = 0
        self._rows: vec[i64] = vec[i64]()
        self._embryos = Embryos()
        self._live: list[Flow | None] = []
        self._free: vec[i64] = vec[i64]()
        # Closed connections in the order in which they were, and where the search for victims stands.
        self._lingering = Lingering()
        self._lingering_long = Lingering()
        self._oldest_embryo: i64 = 0
        self._oldest: i64 = 0
        self._finished: i64 = 0
        # A slot holds `hash << 32 | number + 1`; 0 is empty. One flow per tuple: a new incarnation takes over its slot.
        self._slots: vec[i64] = vec[i64]([0] * FIRST_SLOTS)
        self._mask: i64 = FIRST_SLOTS - 1
        self._used: i64 = 0
        # Odd multipliers nobody outside can know: a capture cannot be made to fill one chain.
        self._k1: i64 = int.from_bytes(os.urandom(4), "big") >> 1 | 1
        self._k2: i64 = int.from_bytes(os.urandom(4), "big") >> 1 | 1
        self._k3: i64 = int.from_bytes(os.urandom(4), "big") >> 1 | 1

    def consume(self, batch: SegmentBatch) -> None:
        """Takes those segments of a batch that are of its shard; writes connections that have been closed for long."""
        cells = batch.cells
        # A batch that holds this shard alone need not be sifted.
        shard: i64 = ALL_SHARDS if batch.shard == self._shard else self._shard
        end: i64 = batch.size * COLUMNS
        row: i64 = -COLUMNS
        while row + COLUMNS < end:
            row += COLUMNS
            src_lo: i64 = cells[row + COL_SRC_LO]
            dst_lo: i64 = cells[row + COL_DST_LO]
            sport: i64 = cells[row + COL_PORTS] >> 16
            dport: i64 = cells[row + COL_PORTS] & 0xFFFF
            if shard >= 0 and shard_of(src_lo ^ dst_lo ^ sport ^ dport) != shard:
                continue
            src_hi: i64 = cells[row + COL_SRC_HI]
            dst_hi: i64 = cells[row + COL_DST_HI]
            time_ns: i64 = cells[row + COL_TIME_NS]
            if time_ns > self.last_ns:
                self.last_ns = time_ns
            flags: i64 = cells[row + COL_FLAGS]
            tag: i64 = (flags & IS_IPV6) << 20 | cells[row + COL_TUNNEL] << 33
            hashed: i64 = (self._hash(src_hi, src_lo, sport) + self._hash(dst_hi, dst_lo, dport)) & M31
            found: i64 = self._find(
                hashed, src_hi, src_lo, dst_hi, dst_lo, sport << 16 | dport | tag, dport << 16 | sport | tag
            )
            slot: i64 = found >> 1
            is_client = found & 1 != 0
            number: i64 = (self._slots[slot] & M32) - 1
            place: i64 = LET_GO
            if number >= 0:
                place = self._place(number)
            kind: i64 = place & 3
            if flags & ICMP_QUOTE:
                if number >= 0:
                    self._quoted(
                        number,
                        CLIENT if is_client else SERVER,
                        cells[row + COL_FRAME],
                        time_ns,
                        cells[row + COL_WINDOW],
                    )
                elif cells[row + COL_PAYLOAD_LEN] >= WIRESHARK_MIN_QUOTE:
                    ends = _ends(src_hi, src_lo, sport, dst_hi, dst_lo, dport)
                    if ends not in self._quoted_first and len(self._quoted_first) < MAX_QUOTED_FIRST:
                        self._quoted_first[ends] = cells[row + COL_FRAME]
                continue

            if kind == EMBRYO:
                if not is_client and flags & (SYN | ACK | FIN | RST) == SYN | ACK:
                    if self._embryos.answer(place >> 2, batch, row):
                        continue
                self._hatch(number)
                place = self._place(number)
                kind = LIVE
            flow: Flow | None = None
            before: Flow | None = None
            is_reuse = False
            if kind == LIVE:
                flow = self._live[place >> 2]
                assert flow is not None
                if flags & (SYN | ACK) == SYN:
                    known = flow.client if is_client else flow.server
                    if known.isn >= 0 and known.isn != cells[row + COL_SEQ]:
                        before = flow if flow.ended_ns < 0 else None
                        self._supersede(flow)
                        is_reuse = True
                        flow = None
                elif flow.before is not None:
                    if flow.before.is_written:
                        flow.before = None
                    else:
                        flow = self._sort_out(
                            flow, flow.before, is_client, cells[row + COL_SEQ], cells[row + COL_ACK], flags
                        )
                        is_client = _is_at(flow.client, src_hi, src_lo, sport)
            elif kind == WRITTEN:
                # The place still holds the client's first number: a copy of the old SYN is no new connection.
                if flags & (SYN | ACK) != SYN or (is_client and place >> 2 == cells[row + COL_SEQ] + 1):
                    self._come_late(
                        number,
                        CLIENT if is_client else SERVER,
                        cells[row + COL_FRAME],
                        time_ns,
                        flags,
                        cells[row + COL_PAYLOAD_LEN],
                    )
                    continue
                is_reuse = True

            if flow is None:
                from_client, roles_assumed = _roles(flags, sport, dport)
                is_client = from_client
                if self._open_count >= self._max_open:
                    self._evict()
                opened_before: int | None = None
                if self._quoted_first and number < 0:
                    opened_before = self._quoted_first.pop(_ends(src_hi, src_lo, sport, dst_hi, dst_lo, dport), None)
                if from_client:
                    number = self._new(src_hi, src_lo, dst_hi, dst_lo, sport << 16 | dport | tag, slot, hashed)
                else:
                    number = self._new(dst_hi, dst_lo, src_hi, src_lo, dport << 16 | sport | tag, slot, hashed)
                if opened_before is not None:
                    self.opened_before[number] = opened_before
                if before is None and flags & (SYN | ACK | FIN | RST) == SYN and fits(batch, row):
                    self._move(number, self._embryos.add(batch, row, is_reuse) << 2 | EMBRYO)
                    continue
                flow = self._flow(number, cells[row + COL_FRAME], time_ns, cells[row + COL_VLAN], is_reuse)
                self._settle(flow)
                flow.roles_assumed = roles_assumed
                flow.before = before
            if is_client:
                x = flow.client
                y = flow.server
            else:
                x = flow.server
                y = flow.client
            flow.segment(
                x,
                y,
                cells[row + COL_FRAME],
                time_ns,
                cells[row + COL_SEQ],
                cells[row + COL_ACK],
                flags & TCP_FLAGS,
                cells[row + COL_WINDOW],
                cells[row + COL_PAYLOAD_LEN],
                cells[row + COL_IP_ID],
                cells[row + COL_TTL],
                cells[row + COL_SYN_OPTIONS],
                cells[row + COL_TSVAL],
                cells[row + COL_TSECR],
                cells[row + COL_SACK_LEFT],
            )
            if flow.ended_ns >= 0 and flow.queued_ns < 0:
                self._lingering.push(flow)
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
        self._slots = vec[i64]()
        self._lingering.clear()
        self._lingering_long.clear()
        number: i64 = self._finished
        while number < self._count and self.flows.rows < ROWS:
            place: i64 = self._place(number)
            if place & 3 == EMBRYO:
                flow = self._replayed(number, place >> 2)
                self._embryos.drop(place >> 2, is_last_use=True)
                self._write(flow, end_ns)
            elif place & 3 == LIVE:
                live = self._live[place >> 2]
                assert live is not None
                self._leave(live, end_ns)
            number += 1
        self._finished = number
        if number < self._count:
            return True
        self._rows = vec[i64]()
        return False

    @property
    def quoted_only(self) -> list[int]:
        """Frames of the ICMP errors that opened a stream in Wireshark for a tuple of which no segment passed."""
        return list(self._quoted_first.values())

    # Finding.

    def _hash(self, hi: i64, lo: i64, port: i64) -> i64:
        """31 bits of one end; every step stays below 2**63, so that compiled and interpreted agree.

        Address and port are multiplied one after the other: mixed before a secret multiplier was applied, they could
        be chosen to cancel each other.
        """
        h: i64 = (lo & M31) * self._k1
        h = (h >> 17) & M31 ^ (lo >> 31) & M31
        if hi:
            h = h * self._k2
            h = (h >> 17) & M31 ^ (hi & M31)
            h = h * self._k3
            h = (h >> 17) & M31 ^ (hi >> 31) & M31
            h = h * self._k1
            h = (h >> 17) & M31
        h = (h ^ port) * self._k2
        return (h >> 23) & M31

    def _find(
        self, hashed: i64, src_hi: i64, src_lo: i64, dst_hi: i64, dst_lo: i64, forward: i64, backward: i64
    ) -> i64:
        """Finds a tuple in either direction.

        Returns:
            Its slot, or the empty one where it belongs, times two; plus one where its client is the source.
        """
        slots = self._slots
        rows = self._rows
        slot: i64 = hashed & self._mask
        entry: i64 = slots[slot]
        while entry != 0:
            if entry >> 32 == hashed:
                at: i64 = ((entry & M32) - 1) * WIDTH
                last: i64 = rows[at + 4]
                if last == forward and rows[at + 1] == src_lo and rows[at + 3] == dst_lo:
                    if rows[at] == src_hi and rows[at + 2] == dst_hi:
                        return slot << 1 | 1
                if last == backward and rows[at + 1] == dst_lo and rows[at + 3] == src_lo:
                    if rows[at] == dst_hi and rows[at + 2] == src_hi:
                        return slot << 1
            slot = (slot + 1) & self._mask
            entry = slots[slot]
        return slot << 1

    def _grow(self) -> None:
        old = self._slots
        size: i64 = (self._mask + 1) * 2
        slots = vec[i64]([0] * int(size))
        mask: i64 = size - 1
        for at in range(len(old)):
            entry: i64 = old[at]
            if entry != 0:
                slot: i64 = entry >> 32 & mask
                while slots[slot] != 0:
                    slot = (slot + 1) & mask
                slots[slot] = entry
        self._slots = slots
        self._mask = mask

    def _place(self, number: i64) -> i64:
        """What a connection is now, and where."""
        return self._rows[number * WIDTH + PLACE]

    def _move(self, number: i64, place: i64) -> None:
        self._rows[number * WIDTH + PLACE] = place

    # Beginning.

    def _new(
        self, client_hi: i64, client_lo: i64, server_hi: i64, server_lo: i64, tag: i64, slot: i64, hash_: i64
    ) -> i64:
        """Gives a connection a number, and its tuple to it."""
        number: i64 = self._count
        self._count += 1
        self._open_count += 1
        rows = append(self._rows, client_hi)
        rows = append(rows, client_lo)
        rows = append(rows, server_hi)
        rows = append(rows, server_lo)
        rows = append(rows, tag)
        self._rows = append(rows, LET_GO)
        if self._slots[slot] == 0:
            self._used += 1
        self._slots[slot] = hash_ << 32 | number + 1
        if self._used * 3 > self._mask * 2:
            self._grow()
        return number

    def _flow(self, number: i64, frame: i64, time_ns: i64, vlan: i64, is_reuse: bool) -> Flow:
        """A flow that has yet to see its first segment."""
        at: i64 = number * WIDTH
        tag: i64 = self._rows[at + 4]
        client = Endpoint(CLIENT, self._rows[at], self._rows[at + 1], (tag >> 16) & 0xFFFF)
        server = Endpoint(SERVER, self._rows[at + 2], self._rows[at + 3], tag & 0xFFFF)
        flow = Flow(
            number,
            client,
            server,
            (tag >> 20) & IS_IPV6 != 0,
            frame,
            time_ns,
            self.transitions,
            self.marks,
            self._marks_per_flow,
        )
        flow.vlan = vlan
        flow.tunnel = tag >> 33
        if is_reuse:
            flow.mark(frame, time_ns, client, PORT_REUSE, 0)
        return flow

    def _settle(self, flow: Flow) -> None:
        """Finds a flow its place among the living."""
        if len(self._free) > 0:
            self._free, flow.place = pop(self._free)
            self._live[flow.place] = flow
        else:
            flow.place = len(self._live)
            self._live.append(flow)
        self._move(flow.number, flow.place << 2 | LIVE)

    def _replayed(self, number: i64, row: i64) -> Flow:
        """The flow that an embryo becomes; its row is still to be dropped."""
        embryos = self._embryos
        flow = self._flow(
            number, embryos.frame(row), embryos.time_ns(row), embryos.vlan(row), embryos.is_reuse(row)
        )  # fmt: skip
        embryos.replay(row, flow)
        return flow

    def _hatch(self, number: i64) -> None:
        """Makes a flow of an embryo."""
        row: i64 = self._place(number) >> 2
        self._settle(self._replayed(number, row))
        self._embryos.drop(row, is_last_use=False)

    # In between.

    def _quoted(self, number: i64, endpoint: i64, frame: i64, time_ns: i64, code: i64) -> None:
        """An ICMP error that quotes a segment of this end of a known connection."""
        if self._place(number) & 3 == EMBRYO:
            self._hatch(number)
        place: i64 = self._place(number)
        if place & 3 == WRITTEN:
            self.marks.add(number, frame, time_ns, endpoint, MARK_ICMP_UNREACHABLE, code)
        elif place & 3 == LIVE:
            flow = self._live[place >> 2]
            assert flow is not None
            flow.icmp(flow.client if endpoint == CLIENT else flow.server, frame, time_ns, code)

    def _sort_out(self, flow: Flow, before: Flow, is_client: bool, seq: i64, ack: i64, flags: i64) -> Flow:
        """Which of two connections of one tuple a segment belongs to, while the newer one's SYN is unanswered.

        The older one's numbers go on where the other side answers the SYN with a challenge ACK (RFC 5961, 4.2).
        """
        x = flow.client if is_client else flow.server
        y = flow.server if is_client else flow.client
        older = before.client if _is_at(before.client, x.hi, x.lo, x.port) else before.server
        if flags & SYN:
            if seq == older.isn and y.isn >= 0 and ack != (y.isn + 1) & M32:
                # The older connection's SYN-ACK once more.
                return before
            flow.before = None
            return flow
        if flags & ACK and y.isn >= 0 and ack == (y.isn + y.next_rel) & M32:
            return flow
        if older.isn < 0:
            return flow
        if x.isn < 0:
            return before
        off: i64 = delta(seq, (x.isn + x.next_rel) & M32)
        off_older: i64 = delta(seq, (older.isn + older.next_rel) & M32)
        return flow if off * off <= off_older * off_older else before

    def _come_late(self, number: i64, endpoint: i64, frame: i64, time_ns: i64, flags: i64, payload_len: i64) -> None:
        """Counts a segment of a connection that was written."""
        late = self.late.get(number)
        if late is None:
            late = Late()
            self.late[number] = late
        late.count(endpoint, frame, time_ns, flags, payload_len, completeness(flags, payload_len))
        if flags & RST:
            self.marks.add(number, frame, time_ns, endpoint, MARK_RESET_AFTER_CLOSE, 0)
        elif payload_len > 0:
            self.marks.add(number, frame, time_ns, endpoint, MARK_DATA_AFTER_CLOSE, payload_len)

    # Ending.

    def _supersede(self, flow: Flow) -> None:
        """Another connection takes over the tuple: nothing but what was under way can still reach this one."""
        flow.is_superseded = True
        # What came before it is out of reach, and chains of these must not grow.
        flow.before = None
        if flow.queued_ns < 0:
            self._lingering.push(flow)

    def _write_closed(self, now_ns: i64) -> None:
        """Writes connections that have been closed for long enough, as far as the log has room.

        Now is when the newest segment passed, not the latest time seen: a clock may have been set back.
        """
        self._write_lingering(self._lingering, now_ns, LINGER_NS)
        self._write_lingering(self._lingering_long, now_ns, LONG_LINGER_NS)

    def _write_lingering(self, lingering: Lingering, now_ns: i64, linger_ns: i64) -> None:
        while self.flows.rows < ROWS - CAPACITY:
            flow = lingering.first
            if flow is None:
                break
            if flow.is_written or (flow.ended_ns < 0 and not flow.is_superseded):
                # It was let go, or not over after all.
                lingering.pop()
            elif lingering.size > self._max_lingering or now_ns - flow.end_ns >= linger_ns:
                lingering.pop()
                is_slow = flow.reset_frame >= 0 or flow.client.fin_count > 1 or flow.server.fin_count > 1
                if is_slow and linger_ns == LINGER_NS:
                    self._lingering_long.push(flow)
                else:
                    self._leave(flow, self.last_ns)
            elif flow.end_ns > flow.queued_ns:
                # It was not idle meanwhile: back to the end of the queue.
                lingering.pop()
                lingering.push(flow)
            else:
                break

    def _evict(self) -> None:
        """Lets a connection go; its next segment, if any, begins a new one.

        The embryo opened first, since a flood consists of these, or else the flow opened first.
        """
        at: i64 = self._oldest_embryo
        while at < self._count and self._place(at) & 3 != EMBRYO:
            at += 1
        self._oldest_embryo = at
        if at < self._count:
            self._hatch(at)
        else:
            at = self._oldest
            while self._place(at) & 3 != LIVE:
                at += 1
            self._oldest = at
        flow = self._live[self._place(at) >> 2]
        assert flow is not None
        self._leave(flow, self.last_ns)
        self._move(at, LET_GO)
        self.evicted += 1

    def _leave(self, flow: Flow, end_ns: i64) -> None:
        """Writes a connection that is not followed any more."""
        self._live[flow.place] = None
        self._free = append(self._free, flow.place)
        self._write(flow, end_ns)

    def _write(self, flow: Flow, end_ns: i64) -> None:
        flow.finish(end_ns, self._rto_ns)
        self.flows.write(flow)
        flow.is_written = True
        self._move(flow.number, (flow.client.isn + 1) << 2 | WRITTEN)
        self._open_count -= 1


def _is_at(x: Endpoint, hi: i64, lo: i64, port: i64) -> bool:
    """Whether an endpoint has this address and port."""
    return x.port == port and x.lo == lo and x.hi == hi


def _roles(flags: i64, sport: i64, dport: i64) -> tuple[bool, bool]:
    """Whether the sender of a first segment is the client, which a SYN tells, and whether that had to be guessed."""
    if flags & SYN:
        return flags & ACK == 0, False
    if sport < 1024 <= dport:
        return False, True
    if dport < 1024 <= sport:
        return True, True
    return not sport < 32768 <= dport, True


def _ends(
    src_hi: i64, src_lo: i64, sport: i64, dst_hi: i64, dst_lo: i64, dport: i64
) -> tuple[int, int, int, int, int, int]:
    """Both ends of a tuple, in an order that does not depend on direction."""
    if (src_hi, src_lo, sport) <= (dst_hi, dst_lo, dport):
        return src_hi, src_lo, sport, dst_hi, dst_lo, dport
    return dst_hi, dst_lo, dport, src_hi, src_lo, sport
