"""IPv4, and IPv6 with its extension headers: addresses, the packet's end, and what the packet carries.

TCP and ICMP end the walk here; everything else is named to the caller. A fragment of a TCP segment is held until its
datagram is whole.

Source: RFC 791, 3.1; RFC 8200, 3 and 4; RFC 4302, 2.2.
"""

from __future__ import annotations

from typing import Final

from librt.strings import read_i16_be, read_i32_be, read_i64_be
from mypy_extensions import i64

from pcapflow.reader.decode.decoder import MAX_HEADERS, Decoder
from pcapflow.reader.decode.icmp import icmp, icmpv6
from pcapflow.reader.decode.protocols import (
    DONE,
    M16,
    M32,
    PROTO_AUTHENTICATION,
    PROTO_DESTINATION,
    PROTO_FRAGMENT,
    PROTO_HOP_BY_HOP,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_MOBILITY,
    PROTO_ROUTING,
    PROTO_TCP,
)
from pcapflow.reader.decode.segment import write_segment
from pcapflow.reader.segment_batch import IS_IPV6, SegmentBatch

IPV6_HEADER_BYTES: Final = 40

_MORE_FRAGMENTS: Final = 0x2000
_FRAGMENT_OFFSET: Final = 0x1FFF


def ipv4(decoder: Decoder, data: bytes, at: i64, end: i64, batch: SegmentBatch) -> i64:
    """An IPv4 header at ``at``; a segment or a quote goes to the batch.

    Returns:
        As described in :mod:`pcapflow.reader.decode.protocols`.
    """
    if at + 20 > end:
        decoder.skip("ipv4", "truncated header")
        return DONE
    word: i64 = read_i64_be(data, at)
    header_len: i64 = (word >> 54) & 0x3C
    if (word >> 60) & 0xF != 4 or header_len < 20:
        decoder.skip("ipv4", "bad version or header length")
        return DONE
    total: i64 = (word >> 32) & M16
    limit: i64 = decoder.limit
    if total != 0:
        # Total length 0 is a segment that the card was still to cut up (TSO): the frame's end counts.
        if total < header_len:
            decoder.skip("ipv4", "total length below header length")
            return DONE
        limit = min(limit, at + total)
    fragment: i64 = word & (_MORE_FRAGMENTS | _FRAGMENT_OFFSET)
    ip_id: i64 = (word >> 16) & M16
    word = read_i64_be(data, at + 8)
    proto: i64 = (word >> 48) & 0xFF
    decoder.src_hi = 0
    decoder.src_lo = word & M32
    decoder.dst_hi = 0
    decoder.dst_lo = read_i64_be(data, at + 12) & M32
    decoder.facts = 0
    decoder.ip_id = ip_id
    decoder.ttl = (word >> 56) & 0xFF
    if fragment:
        decoder.limit = limit
        _fragment(decoder, data, data[at + 12 : at + 20], at + header_len, end, proto, ip_id, fragment, batch)
        return DONE
    if proto == PROTO_TCP:
        write_segment(decoder, data, at + header_len, end, limit, batch)
        return DONE
    if proto == PROTO_ICMP:
        icmp(decoder, data, at + header_len, end, batch)
        return DONE
    decoder.limit = limit
    return proto << 16 | header_len


def ipv6(decoder: Decoder, data: bytes, at: i64, end: i64, batch: SegmentBatch) -> i64:
    """An IPv6 header at ``at`` with its extension headers; a segment or a quote goes to the batch.

    Returns:
        As described in :mod:`pcapflow.reader.decode.protocols`.
    """
    if at + IPV6_HEADER_BYTES > end:
        decoder.skip("ipv6", "truncated header")
        return DONE
    word: i64 = read_i64_be(data, at)
    if (word >> 60) & 0xF != 6:
        decoder.skip("ipv6", "bad version")
        return DONE
    total: i64 = (word >> 16) & M16
    # Length 0 is that of a jumbogram (RFC 2675), or of a segment that the card was still to cut up.
    if total != 0 and at + IPV6_HEADER_BYTES + total < decoder.limit:
        decoder.limit = at + IPV6_HEADER_BYTES + total
    decoder.src_hi = read_i64_be(data, at + 8)
    decoder.src_lo = read_i64_be(data, at + 16)
    decoder.dst_hi = read_i64_be(data, at + 24)
    decoder.dst_lo = read_i64_be(data, at + 32)
    decoder.facts = IS_IPV6
    decoder.ip_id = -1
    decoder.ttl = word & 0xFF
    proto: i64 = (word >> 8) & 0xFF
    headers_len: i64 = IPV6_HEADER_BYTES
    if proto != PROTO_TCP:
        step: i64 = _extension_headers(decoder, data, at, end, proto, batch)
        if step < 0:
            return DONE
        proto = step >> 16
        headers_len = step & M16
    if proto == PROTO_TCP:
        write_segment(decoder, data, at + headers_len, end, decoder.limit, batch)
        return DONE
    if proto == PROTO_ICMPV6:
        icmpv6(decoder, data, at + headers_len, end, batch)
        return DONE
    return proto << 16 | headers_len


def _extension_headers(decoder: Decoder, data: bytes, ip_at: i64, end: i64, proto: i64, batch: SegmentBatch) -> i64:
    """Steps over the extension headers that follow an IPv6 header at ``ip_at``, of which ``proto`` names the first.

    Returns:
        As a header function, with the length of the IPv6 header and of all extension headers: that of
        :data:`MAX_HEADERS` of them has no more than 16 bits.
    """
    at: i64 = ip_at + IPV6_HEADER_BYTES
    while proto != PROTO_TCP:
        if proto == PROTO_FRAGMENT:
            if at + 8 > end:
                decoder.skip("ipv6", "truncated extension header")
                return DONE
            word: i64 = i64(read_i32_be(data, at))
            proto = (word >> 24) & 0xFF
            # With no offset and none that follow it is a whole datagram (RFC 6946).
            if word & 0xFFF9:
                fragment: i64 = (word & 0xFFF8) >> 3 | (word & 1) << 13
                ip_id: i64 = i64(read_i32_be(data, at + 4)) & M32
                _fragment(decoder, data, data[ip_at + 8 : ip_at + 40], at + 8, end, proto, ip_id, fragment, batch)
                return DONE
            at += 8
        elif (
            proto == PROTO_HOP_BY_HOP
            or proto == PROTO_ROUTING
            or proto == PROTO_DESTINATION
            or proto == PROTO_MOBILITY
            or proto == PROTO_AUTHENTICATION
        ):
            if at + 8 > end:
                decoder.skip("ipv6", "truncated extension header")
                return DONE
            word = i64(read_i16_be(data, at)) & M16
            # The length of AH counts 4 bytes and omits two of them (RFC 4302, 2.2).
            at += (word & 0xFF) * 4 + 8 if proto == PROTO_AUTHENTICATION else (word & 0xFF) * 8 + 8
            proto = word >> 8
        else:
            break
        decoder.headers += 1
        if decoder.headers >= MAX_HEADERS:
            decoder.skip("ipv6", "endless extension headers")
            return DONE
    return proto << 16 | at - ip_at


def _fragment(
    decoder: Decoder,
    data: bytes,
    addresses: bytes,
    at: i64,
    end: i64,
    proto: i64,
    ip_id: i64,
    fragment: i64,
    batch: SegmentBatch,
) -> None:
    """Takes one IP fragment; the one that makes its datagram whole yields the segment, as in Wireshark.

    Args:
        decoder: knows the addresses, and where the fragment ends on the wire.
        data: holds the frame.
        addresses: both, as in the IP header.
        at: where the fragment's payload begins.
        end: offset after the last captured byte of the frame.
        proto: what the datagram carries.
        ip_id: its identification.
        fragment: the offset in units of 8 bytes, and bit 13 for "more follow".
        batch: where the segment goes.
    """
    if proto != PROTO_TCP:
        decoder.other += 1
        return
    captured_end: i64 = min(decoder.limit, end)
    head = decoder.fragments.add(
        addresses + int(ip_id).to_bytes(4, "big"),
        int(decoder.frames),
        int((fragment & _FRAGMENT_OFFSET) * 8),
        int(decoder.limit - at),
        fragment & _MORE_FRAGMENTS != 0,
        data[at:captured_end] if captured_end > at else b"",
    )
    if head is None:
        decoder.other += 1
        return
    write_segment(decoder, head, 0, len(head), decoder.fragments.length, batch)
