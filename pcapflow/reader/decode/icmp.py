"""ICMP and ICMPv6 errors: each quotes the head of the packet it answers, which may be a TCP segment.

Source: RFC 792; RFC 1812, 4.3.2.3; RFC 4443, 2.4 and 3.
"""

from __future__ import annotations

from typing import Final

from librt.strings import read_i16_be, read_i32_be, read_i64_be
from mypy_extensions import i64

from pcapflow.reader.decode.decoder import Decoder
from pcapflow.reader.decode.protocols import M32, PROTO_TCP
from pcapflow.reader.decode.segment import write_quote
from pcapflow.reader.segment_batch import IS_IPV6, SegmentBatch

DESTINATION_UNREACHABLE: Final = 3
SOURCE_QUENCH: Final = 4
REDIRECT: Final = 5
TIME_EXCEEDED: Final = 11
PARAMETER_PROBLEM: Final = 12

FIRST_ICMPV6_INFORMATION: Final = 128
"""ICMPv6 messages of lower types are errors (RFC 4443, 2.1)."""


def icmp(decoder: Decoder, data: bytes, at: i64, end: i64, batch: SegmentBatch) -> None:
    """Counts an ICMP message at ``at``; a segment that it quotes goes to the batch."""
    decoder.other += 1
    if at + 8 + 20 > end:
        return
    kind: i64 = i64(data[at])
    if not is_icmp_error(kind):
        return
    ip_at: i64 = at + 8
    word: i64 = i64(read_i32_be(data, ip_at))
    header_len: i64 = (word >> 22) & 0x3C
    if (word >> 28) & 0xF != 4 or header_len < 20 or data[ip_at + 9] != PROTO_TCP:
        return
    # A later fragment does not begin with the TCP header.
    if read_i16_be(data, ip_at + 6) & 0x1FFF:
        return
    from_lo: i64 = decoder.src_lo
    decoder.src_hi = 0
    decoder.src_lo = i64(read_i32_be(data, ip_at + 12)) & M32
    decoder.dst_hi = 0
    decoder.dst_lo = i64(read_i32_be(data, ip_at + 16)) & M32
    decoder.facts = 0
    write_quote(decoder, data, ip_at + header_len, end, kind << 8 | i64(data[at + 1]), 0, from_lo, batch)


def icmpv6(decoder: Decoder, data: bytes, at: i64, end: i64, batch: SegmentBatch) -> None:
    """Counts an ICMPv6 message at ``at``; a segment that it quotes goes to the batch."""
    decoder.other += 1
    if at + 8 + 40 > end or data[at] >= FIRST_ICMPV6_INFORMATION or data[at + 8 + 6] != PROTO_TCP:
        return
    ip_at: i64 = at + 8
    from_hi: i64 = decoder.src_hi
    from_lo: i64 = decoder.src_lo
    decoder.src_hi = read_i64_be(data, ip_at + 8)
    decoder.src_lo = read_i64_be(data, ip_at + 16)
    decoder.dst_hi = read_i64_be(data, ip_at + 24)
    decoder.dst_lo = read_i64_be(data, ip_at + 32)
    decoder.facts = IS_IPV6
    code: i64 = i64(data[at]) << 8 | i64(data[at + 1])
    write_quote(decoder, data, ip_at + 40, end, code, from_hi, from_lo, batch)


def is_icmp_error(kind: i64) -> bool:
    """Whether ICMP messages of this type quote a packet."""
    return (
        kind == DESTINATION_UNREACHABLE
        or kind == SOURCE_QUENCH
        or kind == REDIRECT
        or kind == TIME_EXCEEDED
        or kind == PARAMETER_PROBLEM
    )
