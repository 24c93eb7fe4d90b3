"""Wireshark's fields of a frame become a TCP header again, which the decoder turns into a row like any other."""

from __future__ import annotations

import contextlib
import datetime
import socket
import struct
from typing import Final

from pcapflow.reader.decode.decoder import Decoder
from pcapflow.reader.decode.icmp import FIRST_ICMPV6_INFORMATION, is_icmp_error
from pcapflow.reader.decode.segment import MIN_TCP_HEADER_BYTES, write_quote, write_segment
from pcapflow.reader.decode.tls import RECORD_HEADER_BYTES
from pcapflow.reader.pcapng import LARGEST
from pcapflow.reader.segment_batch import IS_IPV6, SegmentBatch
from pcapflow.reader.tshark.layout import Layout

Fields = dict[str, list[str]]
"""Wireshark's fields of one frame, ``_`` for ``.`` in their names, with the values in the order of the headers."""

FIELDS: Final = (
    "frame.number",
    "frame.time_epoch",
    "frame.len",
    "frame.cap_len",
    "frame.protocols",
    "vlan.id",
    "ieee8021ad.id",
    "ip.src",
    "ip.dst",
    "ip.id",
    "ip.ttl",
    "ipv6.src",
    "ipv6.dst",
    "ipv6.hlim",
    "icmp.type",
    "icmp.code",
    "icmpv6.type",
    "icmpv6.code",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.seq",
    "tcp.ack",
    "tcp.hdr_len",
    "tcp.flags",
    "tcp.window_size_value",
    "tcp.len",
    "tcp.options",
    "tcp.payload",
    "tcp.stream",
    "_ws.malformed",
)
"""What tshark is asked for."""

_QUOTE_WITH_STREAM: Final = 20
_QUOTE_WITHOUT_STREAM: Final = 8
"""Bytes of a quoted TCP header, which Wireshark does not give: by whether it counts the frame in a stream."""


def segment_of_fields(fields: Fields, layout: Layout, decoder: Decoder, batch: SegmentBatch) -> None:
    """Puts the TCP header of a frame together and has its row written; the decoder knows the time of the frame.

    Raises:
        LookupError, ValueError, OSError, struct.error: a field is missing, or is not what it should be.
    """
    header_len = number(fields, "tcp_hdr_len") if "tcp_hdr_len" in fields else 0
    ack = flags = window = 0
    if "tcp_window_size_value" in fields:
        ack, window = number(fields, "tcp_ack"), number(fields, "tcp_window_size_value")
        flags = number(fields, "tcp_flags") & 0xFFF
    elif not 0 < header_len < MIN_TCP_HEADER_BYTES:
        decoder.skip("tcp", "truncated header")
        return
    header = struct.pack(
        "!HHIIHHI",
        number(fields, "tcp_srcport"),
        number(fields, "tcp_dstport"),
        number(fields, "tcp_seq"),
        ack,
        header_len << 10 | flags,
        window,
        0,
    )
    if header_len > len(header):
        # Where the snap length left none of them tshark prints words in place of bytes.
        with contextlib.suppress(ValueError):
            options = bytes.fromhex(fields.get("tcp_options", [""])[0].replace(":", ""))
            header += options[: header_len - len(header)]
    if header_len == len(header):
        # The decoder looks at the first bytes alone: tshark 4.0 can be asked for nothing less than all of them.
        header += bytes.fromhex(fields.get("tcp_payload", [""])[0][: 2 * RECORD_HEADER_BYTES])
    # Without a length Wireshark found the header longer than its packet, and so will the decoder.
    wire_len = header_len + number(fields, "tcp_len") if "tcp_len" in fields else 0
    _set_addresses(fields, layout, decoder)
    is_ipv6 = layout.ip == "ipv6"
    decoder.ip_id = -1 if is_ipv6 else number(fields, "ip_id", layout.ip_at)
    decoder.ttl = number(fields, "ipv6_hlim" if is_ipv6 else "ip_ttl", layout.ip_at)
    decoder.vlan = number(fields, layout.vlan, layout.vlan_at) if layout.vlan else -1
    decoder.enter_tunnel(layout.tunnel)
    write_segment(decoder, header, 0, len(header), wire_len, batch)


def quote_of_fields(fields: Fields, layout: Layout, decoder: Decoder, batch: SegmentBatch) -> None:
    """Puts the head of a segment together that an ICMP error quotes, and has its row written.

    Raises:
        LookupError, ValueError, OSError, struct.error: as :func:`segment_of_fields`.
    """
    is_ipv6 = layout.ip == "ipv6"
    icmp = "icmpv6" if is_ipv6 else "icmp"
    kind = number(fields, f"{icmp}_type", layout.icmp_at)
    if kind >= FIRST_ICMPV6_INFORMATION if is_ipv6 else not is_icmp_error(kind):
        return
    head = struct.pack("!HHI", *(number(fields, name) for name in ("tcp_srcport", "tcp_dstport", "tcp_seq")))
    sender = _address(fields[f"{layout.ip}_src"][layout.ip_at - 1])
    _set_addresses(fields, layout, decoder)
    quoted_len = _QUOTE_WITH_STREAM if "tcp_stream" in fields else _QUOTE_WITHOUT_STREAM
    code = kind << 8 | number(fields, f"{icmp}_code", layout.icmp_at)
    write_quote(decoder, head, 0, quoted_len, code, *sender, batch)


def _set_addresses(fields: Fields, layout: Layout, decoder: Decoder) -> None:
    decoder.facts = 0 if layout.ip == "ip" else IS_IPV6
    decoder.src_hi, decoder.src_lo = _address(fields[f"{layout.ip}_src"][layout.ip_at])
    decoder.dst_hi, decoder.dst_lo = _address(fields[f"{layout.ip}_dst"][layout.ip_at])


def _address(text: str) -> tuple[int, int]:
    """An address as the two halves that a batch has of it."""
    if ":" in text:
        high, low = struct.unpack("!qq", socket.inet_pton(socket.AF_INET6, text))
        return high, low
    return 0, struct.unpack("!I", socket.inet_aton(text))[0]


def number(fields: Fields, name: str, at: int = 0) -> int:
    """A field's value; tshark prints some in hexadecimal."""
    return int(fields[name][at], 0)


def time_ns_of(text: str) -> int:
    """Nanoseconds of a time stamp: seconds with a fraction, or from Wireshark 4.2 on a date of RFC 3339."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    is_date = "T" in whole
    seconds = int(datetime.datetime.fromisoformat(f"{whole}+00:00").timestamp()) if is_date else int(whole)
    return min(max(seconds * 1_000_000_000 + int(fraction[:9].ljust(9, "0") or "0"), 0), LARGEST)
