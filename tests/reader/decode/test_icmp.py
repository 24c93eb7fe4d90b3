"""ICMP errors: the segment that they quote is a row too."""

from __future__ import annotations

import struct

import pytest

from fixtures.frames import Segment, unreachable
from pcapflow.reader.segment_batch import ICMP_QUOTE, IS_IPV6
from tests.reader.frames import CLIENT, CLIENT6, ICMP, RST, SERVER, SERVER6, SYN, decode, ethernet, ipv4, ipv6, one, tcp

QUOTED = Segment("192.0.2.1", "198.51.100.2", 50_000, 80, 4_000_000_000, flags=SYN, window=1)
QUOTED6 = Segment("2001:db8::1", "2001:db8::2", 50_000, 80, 4_000_000_000, flags=SYN | RST, window=1)


def test_an_icmp_error_gives_the_head_of_what_it_quotes() -> None:
    row = one(ethernet(unreachable("203.0.113.9", QUOTED, code=13)))
    assert row.flags & ICMP_QUOTE
    assert (row.src, row.dst, row.sport, row.dport, row.seq) == (CLIENT, SERVER, 50_000, 80, 4_000_000_000)
    assert (row.window, row.payload_len) == (3 << 8 | 13, 20)
    assert (row.tsval, row.tsecr) == (0, 0xCB00_7109)


def test_an_icmpv6_error_likewise() -> None:
    row = one(ethernet(unreachable("2001:db8::9", QUOTED6, code=4)))
    assert (row.flags, row.window, row.seq) == (ICMP_QUOTE | IS_IPV6, 1 << 8 | 4, 4_000_000_000)
    assert (row.src, row.dst) == (CLIENT6, SERVER6)
    assert (row.tsval, row.tsecr) == (0x2001_0DB8 << 32, 9)


def test_a_quote_of_eight_bytes_is_enough_and_of_seven_is_not() -> None:
    head = struct.pack("!BBHI", 3, 1, 0, 0) + ipv4(tcp(seq=12))
    assert one(ethernet(ipv4(head[: 8 + 20 + 8], ICMP))).seq == 12
    reading = decode([ethernet(ipv4(head[: 8 + 20 + 7], ICMP))])
    assert (reading.rows, reading.undecoded, reading.capture.other) == ([], {}, 1)


@pytest.mark.parametrize(
    "body",
    [
        struct.pack("!BBHI", 8, 0, 0, 0) + ipv4(tcp()),
        struct.pack("!BBHI", 3, 1, 0, 0) + ipv4(tcp(), 17),
        struct.pack("!BBHI", 3, 1, 0, 0) + ipv4(tcp(), fragment=100),
        struct.pack("!BBHI", 3, 1, 0, 0) + ipv6(tcp()),
        b"\x03",
    ],
    ids=["an echo", "a UDP datagram", "a later fragment", "IPv6 in ICMP", "one byte"],
)
def test_what_quotes_no_tcp_header_gives_no_row(body: bytes) -> None:
    reading = decode([ethernet(ipv4(body, ICMP))])
    assert (reading.rows, reading.undecoded, reading.capture.other) == ([], {}, 1)
