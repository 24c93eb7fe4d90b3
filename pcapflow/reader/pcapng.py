"""pcapng: blocks in sections, several interfaces each with its own link type, snap length and clock.

Packets come in Enhanced, Simple and (obsolete) Packet Blocks; systemd journal and sysdig event blocks are frames
without a packet, which Wireshark numbers too. Unknown blocks are skipped without being held in memory.

Source: draft-ietf-opsawg-pcapng.
"""

from __future__ import annotations

from typing import Final, final

from librt.strings import read_i32_be, read_i32_le
from mypy_extensions import i64

from pcapflow.reader.decode.decoder import Decoder
from pcapflow.reader.decode.frame import decode_frame
from pcapflow.reader.records import MAX_RECORD_BYTES, Records
from pcapflow.reader.segment_batch import CAPACITY, SegmentBatch
from pcapflow.reader.source import Source

SECTION_HEADER: Final = 0x0A0D0D0A
INTERFACE_DESCRIPTION: Final = 1
PACKET: Final = 2
SIMPLE_PACKET: Final = 3
INTERFACE_STATISTICS: Final = 5
ENHANCED_PACKET: Final = 6
JOURNAL_EXPORT: Final = 9
SYSDIG_EVENTS: Final = (0x204, 0x208, 0x216, 0x221, 0x222)

OPTION_TSRESOL: Final = 9
OPTION_TSOFFSET: Final = 14
OPTION_ISB_IFDROP: Final = 5

MAX_INTERFACES: Final = 65_536
MAX_OPTIONS: Final = 1000
MAX_OFFSET_S: Final = 1 << 32
M16: Final = 0xFFFF
M32: Final = 0xFFFF_FFFF
LARGEST: Final = (1 << 62) - 1


def is_pcapng(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a pcapng."""
    return head[:4] == b"\x0a\x0d\x0d\x0a"


@final
class Interface:
    """One interface of a section: how its packets are framed and its time stamps are counted."""

    def __init__(self, link_type: i64, snaplen: i64, resolution: int, offset_s: int) -> None:
        self.link_type: i64 = link_type
        self.snaplen: i64 = snaplen
        self.offset_ns: i64 = offset_s * 1_000_000_000
        # Time = ticks * scale / divisor, or with a binary resolution ticks / 2**shift seconds.
        self.scale: i64 = 1
        self.divisor: i64 = 1
        self.shift: i64 = 0
        if resolution & 0x80:
            self.shift = min(resolution & 0x7F, 62)
            self.scale = 0
        elif resolution <= 9:
            self.scale = 10 ** (9 - resolution)
        else:
            self.divisor = 10 ** (min(resolution, 27) - 9)
        self.dropped = -1

    def time_ns(self, high: i64, low: i64) -> i64:
        """Nanoseconds since 1970 of a time stamp in two halves; what no 64-bit clock can show is clamped."""
        shift: i64 = self.shift
        divisor: i64 = self.divisor
        if shift >= 32:
            seconds: i64 = high >> shift - 32
            fraction: i64 = (high - (seconds << shift - 32)) << 64 - shift | low >> shift - 32
            ns: i64 = seconds * 1_000_000_000 + (fraction * 1_000_000_000 >> 32)
        elif self.scale == 0:
            if high >> shift:
                return LARGEST
            seconds = high << 32 - shift | low >> shift
            fraction = low - (low >> shift << shift)
            ns = seconds * 1_000_000_000 + (fraction * 1_000_000_000 >> shift)
        elif divisor > M32:
            # Units this small cannot reach far: a clock of theirs runs over within seconds.
            ns = ((high & 0x3FFF_FFFF) << 32 | low) // divisor
        elif divisor > 1:
            # 64 bits by at most 30, as in long division: no step of it needs more than 63.
            ns = (high // divisor << 32) + (high % divisor << 32 | low) // divisor
        elif high >> 30 or (high << 32 | low) > LARGEST // self.scale:
            return LARGEST
        else:
            ns = (high << 32 | low) * self.scale
        ns += self.offset_ns
        return min(max(ns, 0), LARGEST)


@final
class PcapngRecords(Records):
    """Reads one pcapng file from a source."""

    def __init__(self, source: Source, decoder: Decoder) -> None:
        super().__init__(source, decoder, "pcapng")
        self._big = False
        self._interfaces: list[Interface] = []
        # What was declared of each, in a list that grows with the section and that waypoints hold.
        self._declared: list[tuple[int, int, int, int]] = []
        self._past_dropped = -1

    @property
    def section(self) -> object:
        """See :attr:`Records.section`: the byte order, and what the interfaces of the section declared."""
        return self._big, self._declared

    def jump(self, offset: int, section: object, frames: int) -> bool:
        """See :meth:`Records.jump`."""
        if not super().jump(offset, section, frames):
            return False
        assert isinstance(section, tuple)
        self._big = section[0]
        self._declared = list(section[1])
        self._interfaces = [Interface(*declared) for declared in self._declared]
        return True

    def fill(self, batch: SegmentBatch) -> bool:
        """See :meth:`Records.fill`."""
        if self._done:
            return False
        while batch.seen < CAPACITY:
            if not self._block(batch):
                self._done = True
                self._close_section()
                break
        return not self._done

    def _block(self, batch: SegmentBatch) -> bool:
        """Reads one block, or steps over it; False at the end of the file or of what can be read of it."""
        at: i64 = self._at
        if at + 12 > len(self._data):
            if not self.more(at, 12):
                return False
            at = 0
        kind: i64 = self._u32(self._data, at)
        if kind == SECTION_HEADER and not self._byte_order(at):
            return False
        length: i64 = self._u32(self._data, at + 4)
        if length < 12:
            self.damage(at, f"is a block of {length} bytes")
            return False
        # Some writers forget to count the padding; like Wireshark, go on at the next multiple of four.
        length = (length + 3) & ~3
        is_known = (
            kind == ENHANCED_PACKET
            or kind == SECTION_HEADER
            or kind == INTERFACE_DESCRIPTION
            or kind == SIMPLE_PACKET
            or kind == PACKET
            or kind == INTERFACE_STATISTICS
        )
        if not is_known:
            if kind == JOURNAL_EXPORT or kind in SYSDIG_EVENTS:
                self.decoder.frames += 1
                self.decoder.other += 1
            return self.skip_bytes(at, length)
        if at + length > len(self._data):
            if length > MAX_RECORD_BYTES:
                self.damage(at, f"is a block of {length} bytes")
                return False
            if not self.more(at, length):
                return False
            at = 0
        self._at = at + length
        return self._contents(self._data, kind, at, length, batch)

    def _contents(self, data: bytes, kind: i64, at: i64, length: i64, batch: SegmentBatch) -> bool:
        """Takes a block of a known kind, all of which is at ``at``; False where it is too short for its kind."""
        end: i64 = at + length - 4
        if kind == ENHANCED_PACKET:
            if length < 32:
                self.damage(at, f"is an Enhanced Packet Block of {length} bytes")
                return False
            self._packet(
                data, self._u32(data, at + 8), self._u32(data, at + 12), self._u32(data, at + 16), at + 28, end,
                self._u32(data, at + 20), self._u32(data, at + 24), batch,
            )  # fmt: skip
        elif kind == SIMPLE_PACKET:
            if length < 16:
                self.damage(at, f"is a Simple Packet Block of {length} bytes")
                return False
            wire_len: i64 = self._u32(data, at + 8)
            captured: i64 = min(wire_len, end - at - 12)
            if self._interfaces and 0 < self._interfaces[0].snaplen < captured:
                captured = self._interfaces[0].snaplen
            self._packet(data, 0, 0, 0, at + 12, end, captured, wire_len, batch)
        elif kind == PACKET:
            if length < 32:
                self.damage(at, f"is a Packet Block of {length} bytes")
                return False
            self._packet(
                data, self._u16(data, at + 8), self._u32(data, at + 12), self._u32(data, at + 16), at + 28, end,
                self._u32(data, at + 20), self._u32(data, at + 24), batch,
            )  # fmt: skip
        elif kind == INTERFACE_DESCRIPTION:
            if length < 20:
                self.damage(at, f"is an Interface Description Block of {length} bytes")
                return False
            self._interface(data, at, end)
        elif kind == INTERFACE_STATISTICS:
            self._statistics(data, at, end)
        return True

    def _byte_order(self, at: i64) -> bool:
        """Begins a section: its byte order counts from here on, its interfaces are its own."""
        magic = self._data[at + 8 : at + 12]
        if magic == b"\x1a\x2b\x3c\x4d":
            self._big = True
        elif magic == b"\x4d\x3c\x2b\x1a":
            self._big = False
        else:
            self.damage(at, "is a section header with a bad byte-order magic")
            return False
        self._close_section()
        return True

    def _close_section(self) -> None:
        for interface in self._interfaces:
            if interface.dropped >= 0:
                self._past_dropped = max(self._past_dropped, 0) + interface.dropped
        self._interfaces = []
        self._declared = []
        self.dropped = self._past_dropped

    def _packet(
        self,
        data: bytes,
        interface_id: i64,
        time_high: i64,
        time_low: i64,
        at: i64,
        end: i64,
        captured: i64,
        wire_len: i64,
        batch: SegmentBatch,
    ) -> None:
        decoder = self.decoder
        if interface_id >= len(self._interfaces):
            decoder.frames += 1
            decoder.skip("pcapng", "packet of an undeclared interface")
            return
        if captured > end - at:
            decoder.frames += 1
            decoder.skip("pcapng", "packet longer than its block")
            return
        interface = self._interfaces[interface_id]
        time_ns: i64 = interface.time_ns(time_high, time_low)
        if time_ns < self._clock_ns or self._clock_ns < 0:
            self.note_timestamp(time_ns)
        self.last_ns = max(self.last_ns, time_ns)
        self._clock_ns = time_ns
        if wire_len > captured:
            self.cut_frames += 1
        else:
            wire_len = captured
        decode_frame(decoder, data, at, at + captured, wire_len, interface.link_type, time_ns, batch)

    def _interface(self, data: bytes, at: i64, end: i64) -> None:
        if len(self._interfaces) >= MAX_INTERFACES:
            return
        link_type: i64 = self._u16(data, at + 8)
        snaplen: i64 = self._u32(data, at + 12)
        resolution = 6
        offset_s = 0
        option: i64 = at + 16
        for _ in range(MAX_OPTIONS):
            if option + 4 > end:
                break
            code: i64 = self._u16(data, option)
            length: i64 = self._u16(data, option + 2)
            if code == 0 or option + 4 + length > end:
                break
            if code == OPTION_TSRESOL and length == 1:
                resolution = int(data[option + 4])
            elif code == OPTION_TSOFFSET and length == 8:
                raw = data[option + 4 : option + 12]
                offset_s = int.from_bytes(raw, "big" if self._big else "little", signed=True)
                offset_s = min(max(offset_s, -MAX_OFFSET_S), MAX_OFFSET_S)
            option += 4 + (length + 3 & ~3)
        self._interfaces.append(Interface(link_type, snaplen, resolution, offset_s))
        self._declared.append((int(link_type), int(snaplen), resolution, offset_s))
        self.declare_link_type(int(link_type))
        self.declare_snaplen(int(snaplen))

    def _statistics(self, data: bytes, at: i64, end: i64) -> None:
        if at + 24 > end:
            return
        interface_id: i64 = self._u32(data, at + 8)
        if interface_id >= len(self._interfaces):
            return
        option: i64 = at + 20
        for _ in range(MAX_OPTIONS):
            if option + 4 > end:
                break
            code: i64 = self._u16(data, option)
            length: i64 = self._u16(data, option + 2)
            if code == 0 or option + 4 + length > end:
                break
            if code == OPTION_ISB_IFDROP and length == 8:
                raw = data[option + 4 : option + 12]
                self._interfaces[interface_id].dropped = int.from_bytes(raw, "big" if self._big else "little")
            option += 4 + (length + 3 & ~3)

    def _u32(self, data: bytes, at: i64) -> i64:
        return (i64(read_i32_be(data, at)) if self._big else i64(read_i32_le(data, at))) & M32

    def _u16(self, data: bytes, at: i64) -> i64:
        word: i64 = i64(data[at])
        other: i64 = i64(data[at + 1])
        return word << 8 | other if self._big else other << 8 | word
