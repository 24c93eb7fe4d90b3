"""The flow table: which connection a segment belongs to, and what became of each.

Flows are found by a hash over both ends that does not depend on direction, in an open-addressing table of integers.
A SYN with another sequence number than the one its flow began with is a new incarnation of the tuple, and a new flow;
so it is in Wireshark, whose ``tcp.stream`` is counted along.
"""

from __future__ import annotations

import os
from typing import Final, final

from librt.vecs import vec
from mypy_extensions import i64

from pcapflow.reader.batch import ACK, ICMP_QUOTE, IS_IPV6, SYN, Batch
from pcapflow.tracker.endpoint import Endpoint
from pcapflow.tracker.flow import Flow
from pcapflow.tracker.flowlog import FlowLog
from pcapflow.tracker.log import MarkLog, TransitionLog
from pcapflow.tracker.marks import PORT_REUSE
from pcapflow.tracker.seq import delta
from pcapflow.tracker.states import CLIENT, SERVER

FIRST_SLOTS: Final = 1 << 12
M31: Final = 0x7FFF_FFFF
MAX_RESERVED: Final = 100_000
WIRESHARK_MIN_QUOTE: Final = 16
"""TCP bytes that an ICMP error must quote for Wireshark to open a stream for it."""


@final
class FlowTable:
    """All connections of one capture.

    Attributes:
        flows, transitions, marks: the logs.
        last_ns: the latest time stamp of a segment.
        evicted: connections let go because there were too many at once.
    """

    def __init__(self, marks_per_flow: int, max_open_flows: int, rto_ns: int) -> None:
        self.flows = FlowLog()
        self.transitions = TransitionLog()
        self.marks = MarkLog()
        self.last_ns: i64 = -1
        self.evicted: i64 = 0
        self._marks_per_flow: i64 = marks_per_flow
        self._max_open: i64 = max(max_open_flows, 1)
        self._rto_ns: i64 = rto_ns
        self._open: list[Flow | None] = []
        self._open_count: i64 = 0
        self._oldest: i64 = 0
        self._streams: i64 = 0
        self._reserved: dict[tuple[int, int, int, int, int, int], i64] = {}
        # A slot holds `hash << 32 | flow + 1`; 0 is empty. One flow per tuple: a new incarnation takes over its slot.
        self._slots: vec[i64] = vec[i64]([0] * FIRST_SLOTS)
        self._mask: i64 = FIRST_SLOTS - 1
        self._used: i64 = 0
        # Odd multipliers nobody outside can know: a capture cannot be made to fill one chain.
        self._k1: i64 = int.from_bytes(os.urandom(4), "big") >> 1 | 1
        self._k2: i64 = int.from_bytes(os.urandom(4), "big") >> 1 | 1
        self._k3: i64 = int.from_bytes(os.urandom(4), "big") >> 1 | 1

    def consume(self, batch: Batch) -> None:
        """Takes every segment of a batch."""
        size: i64 = batch.size
        frames = batch.frame
        times = batch.time_ns
        src_his = batch.src_hi
        src_los = batch.src_lo
        dst_his = batch.dst_hi
        dst_los = batch.dst_lo
        portses = batch.ports
        seqs = batch.seq
        acks = batch.ack
        flagses = batch.flags
        windows = batch.window
        payload_lens = batch.payload_len
        ip_ids = batch.ip_id
        ttls = batch.ttl
        vlans = batch.vlan
        tunnels = batch.tunnel
        options = batch.syn_options
        tsvals = batch.tsval
        tsecrs = batch.tsecr
        sack_lefts = batch.sack_left
        last_ns: i64 = self.last_ns
        i: i64 = 0
        while i < size:
            time_ns: i64 = times[i]
            last_ns = max(last_ns, time_ns)
            src_hi: i64 = src_his[i]
            src_lo: i64 = src_los[i]
            dst_hi: i64 = dst_his[i]
            dst_lo: i64 = dst_los[i]
            sport: i64 = portses[i] >> 16
            dport: i64 = portses[i] & 0xFFFF
            flags: i64 = flagses[i]
            tunnel: i64 = tunnels[i]
            hashed: i64 = (self._hash(src_hi, src_lo, sport) + self._hash(dst_hi, dst_lo, dport)) & M31
            slot: i64 = self._find(hashed, src_hi, src_lo, sport, dst_hi, dst_lo, dport, flags & IS_IPV6 != 0, tunnel)
            entry: i64 = self._slots[slot]
            if flags & ICMP_QUOTE:
                if entry == 0 and payload_lens[i] >= WIRESHARK_MIN_QUOTE:
                    self._reserve_stream(src_hi, src_lo, sport, dst_hi, dst_lo, dport)
                elif entry != 0:
                    flow = self._open[(entry & 0xFFFF_FFFF) - 1]
                    if flow is not None:
                        quoted = flow.client if self._is_from(flow.client, src_hi, src_lo, sport) else flow.server
                        flow.icmp(quoted, frames[i], time_ns, windows[i])
                i += 1
                continue
            flow = None
            alive: Flow | None = None
            if entry != 0:
                flow = self._open[(entry & 0xFFFF_FFFF) - 1]
                if flow is not None:
                    if flags & (SYN | ACK) == SYN:
                        known = flow.client if self._is_from(flow.client, src_hi, src_lo, sport) else flow.server
                        if known.isn >= 0 and known.isn != seqs[i]:
                            alive = flow if flow.ended_ns < 0 else None
                            flow = None
                    elif flow.before is not None:
                        flow = self._sort_out(flow, flow.before, src_hi, src_lo, sport, seqs[i], acks[i], flags)
            is_reuse = entry != 0 and flow is None
            if flow is None:
                flow = self._new(
                    frames[i],
                    time_ns,
                    src_hi,
                    src_lo,
                    sport,
                    dst_hi,
                    dst_lo,
                    dport,
                    flags,
                    slot,
                    hashed,
                    vlans[i],
                    tunnel,
                )
                flow.before = alive
                if is_reuse:
                    flow.mark(frames[i], time_ns, flow.client, PORT_REUSE, 0)
            if self._is_from(flow.client, src_hi, src_lo, sport):
                x = flow.client
                y = flow.server
            else:
                x = flow.server
                y = flow.client
            flow.segment(
                x,
                y,
                frames[i],
                time_ns,
                seqs[i],
                acks[i],
                flags & 0x1FF,
                windows[i],
                payload_lens[i],
                ip_ids[i],
                ttls[i],
                options[i],
                tsvals[i],
                tsecrs[i],
                sack_lefts[i],
            )
            i += 1
        self.last_ns = last_ns

    def finish(self, last_ns: int) -> None:
        """Settles and writes all open flows; ``last_ns`` is the time of the capture's last frame."""
        end_ns: i64 = max(self.last_ns, last_ns)
        for flow in self._open:
            if flow is not None:
                self._close(flow, end_ns)
        self._open = []

    def _close(self, flow: Flow, end_ns: i64) -> None:
        flow.finish(end_ns, self._rto_ns)
        self.flows.write(flow)
        self._open_count -= 1

    def _new(
        self,
        frame: i64,
        time_ns: i64,
        src_hi: i64,
        src_lo: i64,
        sport: i64,
        dst_hi: i64,
        dst_lo: i64,
        dport: i64,
        flags: i64,
        slot: i64,
        hashed: i64,
        vlan: i64,
        tunnel: i64,
    ) -> Flow:
        """Opens a flow in a slot; who is the client is told by a SYN, else guessed from the ports."""
        if self._open_count >= self._max_open:
            self._evict()
        from_server = False
        roles_assumed = False
        if flags & SYN:
            from_server = flags & ACK != 0
        else:
            roles_assumed = True
            if sport < 1024 <= dport:
                from_server = True
            elif dport < 1024 <= sport:
                from_server = False
            elif sport < 32768 <= dport:
                from_server = True
        if from_server:
            client = Endpoint(CLIENT, dst_hi, dst_lo, dport)
            server = Endpoint(SERVER, src_hi, src_lo, sport)
        else:
            client = Endpoint(CLIENT, src_hi, src_lo, sport)
            server = Endpoint(SERVER, dst_hi, dst_lo, dport)
        stream: i64 = self._streams
        if self._reserved and self._slots[slot] == 0:
            reserved = self._reserved.pop(_ends(src_hi, src_lo, sport, dst_hi, dst_lo, dport), None)
            if reserved is not None:
                stream = reserved
                self._streams -= 1
        self._streams += 1
        number: i64 = len(self._open)
        flow = Flow(
            number,
            stream,
            client,
            server,
            flags & IS_IPV6 != 0,
            frame,
            time_ns,
            self.transitions,
            self.marks,
            self._marks_per_flow,
        )
        flow.roles_assumed = roles_assumed
        flow.vlan = vlan
        flow.tunnel = tunnel
        self._open.append(flow)
        self._open_count += 1
        if self._slots[slot] == 0:
            self._used += 1
        self._slots[slot] = hashed << 32 | number + 1
        if self._used * 3 > self._mask * 2:
            self._grow()
        return flow

    def _reserve_stream(self, src_hi: i64, src_lo: i64, sport: i64, dst_hi: i64, dst_lo: i64, dport: i64) -> None:
        """Wireshark opens a stream for a segment only quoted in an ICMP error; a flow may come into it later."""
        ends = _ends(src_hi, src_lo, sport, dst_hi, dst_lo, dport)
        if ends not in self._reserved and len(self._reserved) < MAX_RESERVED:
            self._reserved[ends] = self._streams
            self._streams += 1

    def _evict(self) -> None:
        """Lets the flow go that was opened first; its next segment, if any, begins a new one."""
        at: i64 = self._oldest
        while at < len(self._open):
            flow = self._open[at]
            if flow is not None:
                self._close(flow, self.last_ns)
                self._open[at] = None
                self.evicted += 1
                break
            at += 1
        self._oldest = at

    def _sort_out(self, flow: Flow, before: Flow, hi: i64, lo: i64, port: i64, seq: i64, ack: i64, flags: i64) -> Flow:
        """Which of two connections of one tuple a segment belongs to, while the newer one's SYN is unanswered.

        The older one's numbers go on where the other side answers the SYN with a challenge ACK (RFC 5961, 4.2).
        """
        if flags & SYN:
            flow.before = None
            return flow
        x = flow.client if self._is_from(flow.client, hi, lo, port) else flow.server
        y = flow.server if x is flow.client else flow.client
        if flags & ACK and y.isn >= 0 and ack == (y.isn + y.next_rel) & 0xFFFF_FFFF:
            return flow
        older = before.client if self._is_from(before.client, hi, lo, port) else before.server
        if older.isn < 0:
            return flow
        if x.isn < 0:
            return before
        off: i64 = delta(seq, (x.isn + x.next_rel) & 0xFFFF_FFFF)
        off_older: i64 = delta(seq, (older.isn + older.next_rel) & 0xFFFF_FFFF)
        return flow if off * off <= off_older * off_older else before

    def _is_from(self, x: Endpoint, hi: i64, lo: i64, port: i64) -> bool:
        return x.port == port and x.lo == lo and x.hi == hi

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
        self,
        hashed: i64,
        src_hi: i64,
        src_lo: i64,
        sport: i64,
        dst_hi: i64,
        dst_lo: i64,
        dport: i64,
        is_ipv6: bool,
        tunnel: i64,
    ) -> i64:
        """The slot of the tuple, in either direction, or the empty slot where it belongs."""
        slots = self._slots
        slot: i64 = hashed & self._mask
        entry: i64 = slots[slot]
        while entry != 0:
            if entry >> 32 == hashed:
                flow = self._open[(entry & 0xFFFF_FFFF) - 1]
                if flow is None:
                    # Evicted: nothing is known of it any more, and its slot may be taken over.
                    return slot
                client = flow.client
                server = flow.server
                if flow.is_ipv6 == is_ipv6 and flow.tunnel == tunnel:
                    if self._is_from(client, src_hi, src_lo, sport) and self._is_from(server, dst_hi, dst_lo, dport):
                        return slot
                    if self._is_from(client, dst_hi, dst_lo, dport) and self._is_from(server, src_hi, src_lo, sport):
                        return slot
            slot = (slot + 1) & self._mask
            entry = slots[slot]
        return slot

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


def _ends(
    src_hi: i64, src_lo: i64, sport: i64, dst_hi: i64, dst_lo: i64, dport: i64
) -> tuple[int, int, int, int, int, int]:
    """Both ends of a tuple, in an order that does not depend on direction."""
    if (src_hi, src_lo, sport) <= (dst_hi, dst_lo, dport):
        return src_hi, src_lo, sport, dst_hi, dst_lo, dport
    return dst_hi, dst_lo, dport, src_hi, src_lo, sport
