"""Classic pcap: a 24-byte file header, then records; both byte orders, micro- and nanoseconds.

Source: draft-ietf-opsawg-pcap; the modified format with 24-byte record headers is what libpcap calls
``KUZNETZOV_TCPDUMP_MAGIC``. :mod:`pcapflow.reader.pcap_variants` tells formats apart that share a magic number.
"""

from __future__ import annotations

from typing import Final, final

from librt.strings import read_i32_be, read_i32_le, read_i64_be, read_i64_le
from mypy_extensions import i64

from pcapflow.reader.decode.decoder import Decoder
from pcapflow.reader.decode.frame import decode_frame
from pcapflow.reader.pcap_variants import FORMATS, record_header_bytes
from pcapflow.reader.records import MAX_RECORD_BYTES, Records
from pcapflow.reader.segment_batch import CAPACITY, SegmentBatch
from pcapflow.reader.source import Source

FILE_HEADER_BYTES: Final = 24
MICROSECONDS: Final = 1000
M32: Final = 0xFFFF_FFFF

_MAGICS: Final[dict[bytes, tuple[bool, int, int]]] = {
    # magic: (big endian, nanoseconds per unit of the fraction, record header length)
    b"\xa1\xb2\xc3\xd4": (True, 1000, 16),
    b"\xd4\xc3\xb2\xa1": (False, 1000, 16),
    b"\xa1\xb2\x3c\x4d": (True, 1, 16),
    b"\x4d\x3c\xb2\xa1": (False, 1, 16),
    b"\xa1\xb2\xcd\x34": (True, 1000, 24),
    b"\x34\xcd\xb2\xa1": (False, 1000, 24),
}


def is_pcap(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a classic pcap."""
    return head[:4] in _MAGICS


@final
class PcapRecords(Records):
    """Reads one classic pcap file from a source."""

    def __init__(self, source: Source, decoder: Decoder) -> None:
        super().__init__(source, decoder, "pcap")
        self._big = False
        self._unit: i64 = 1000
        self._header_len: i64 = 16
        self._link_type: i64 = 1
        if not self.more(0, FILE_HEADER_BYTES):
            self.truncated = f"the file ends inside its header, at byte {len(self._data)}"
            self._done = True
            return
        big, unit, header_len = _MAGICS[self._data[:4]]
        self._big = big
        self._unit = unit
        read = read_i32_be if big else read_i32_le
        self.declare_snaplen(int(i64(read(self._data, 16)) & M32))
        # The upper bits tell whether a frame check sequence follows; lengths come from the IP header, so it is moot.
        self._link_type = i64(read(self._data, 20)) & 0xFFFF
        self.declare_link_type(int(self._link_type))
        self._at = FILE_HEADER_BYTES
        self._header_len = header_len
        if unit == MICROSECONDS:
            self._header_len = record_header_bytes(self._data, big, header_len, self._link_type)
            self.format = FORMATS[int(self._header_len), header_len]

    def fill(self, batch: SegmentBatch) -> bool:
        """See :meth:`Records.fill`."""
        if self._done:
            return False
        decoder = self.decoder
        data = self._data
        at: i64 = self._at
        size: i64 = len(data)
        header_len: i64 = self._header_len
        unit: i64 = self._unit
        big = self._big
        link_type: i64 = self._link_type
        clock_ns: i64 = self._clock_ns
        last_ns: i64 = self.last_ns
        while batch.seen < CAPACITY:
            if at + header_len > size:
                if not self.more(at, header_len):
                    self._done = True
                    break
                data = self._data
                at = 0
                size = len(data)
            if big:
                stamp: i64 = read_i64_be(data, at)
                seconds: i64 = (stamp >> 32) & M32
                fraction: i64 = stamp & M32
                lengths: i64 = read_i64_be(data, at + 8)
                captured: i64 = (lengths >> 32) & M32
                wire_len: i64 = lengths & M32
            else:
                stamp = read_i64_le(data, at)
                seconds = stamp & M32
                fraction = (stamp >> 32) & M32
                lengths = read_i64_le(data, at + 8)
                captured = lengths & M32
                wire_len = (lengths >> 32) & M32
            if at + header_len + captured > size:
                if captured > MAX_RECORD_BYTES:
                    self.damage(at, f"claims to hold {captured} bytes")
                    break
                if not self.more(at, header_len + captured):
                    self._done = True
                    break
                data = self._data
                at = 0
                size = len(data)
            time_ns: i64 = seconds * 1_000_000_000 + fraction * unit
            if time_ns < clock_ns or clock_ns < 0:
                self._clock_ns = clock_ns
                self.note_timestamp(time_ns)
            last_ns = max(last_ns, time_ns)
            clock_ns = time_ns
            if wire_len > captured:
                self.cut_frames += 1
            else:
                wire_len = captured
            at += header_len
            decode_frame(decoder, data, at, at + captured, wire_len, link_type, time_ns, batch)
            at += captured
        self._at = at
        self._clock_ns = clock_ns
        self.last_ns = last_ns
        return not self._done
