"""IPv4 and IPv6: lengths, options and extension headers, and how bad headers are counted."""

from __future__ import annotations

import struct

import pytest

from pcapflow.reader.decode.decoder import MAX_HEADERS
from tests.reader.frames import (
    AUTHENTICATION,
    DESTINATION,
    HOP_BY_HOP,
    IPV4,
    ROUTING,
    TCP,
    authentication,
    decode,
    ethernet,
    extension,
    ipv4,
    ipv6,
    one,
    tcp,
)

# IPv4


@pytest.mark.parametrize("length", [4, 20, 40])
def test_ipv4_options_are_stepped_over(length: int) -> None:
    row = one(ethernet(ipv4(tcp(b"abc", seq=9), options=bytes([1]) * length)))
    assert (row.seq, row.payload_len) == (9, 3)


def test_total_length_zero_means_the_frame_tells_the_length() -> None:
    """A card that cuts up large segments (TSO) is handed packets whose total length nobody has filled in."""
    assert one(ethernet(ipv4(tcp(b"x" * 4000), total_len=0))).payload_len == 4000


def test_the_length_comes_from_the_ip_header_even_where_the_frame_was_cut() -> None:
    row = one(ethernet(ipv4(tcp(b"x" * 1400))), snaplen=60)
    assert row.payload_len == 1400


def test_a_total_length_beyond_the_frame_ends_at_the_frame() -> None:
    assert one(ethernet(ipv4(tcp(b"abc"), total_len=65_535))).payload_len == 3


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (ipv4(tcp())[:19], "truncated header"),
        (ipv4(tcp(), header_len=16), "bad version or header length"),
        (b"\x65" + ipv4(tcp())[1:], "bad version or header length"),
        (ipv4(tcp(), total_len=19), "total length below header length"),
    ],
)
def test_bad_ipv4_headers_are_counted(packet: bytes, reason: str) -> None:
    reading = decode([ethernet(packet, IPV4)])
    assert (reading.rows, reading.undecoded) == ([], {("ipv4", reason): (1, 1)})


# IPv6


def test_an_extension_chain_is_followed() -> None:
    chain = extension(
        ROUTING,
        extension(AUTHENTICATION, authentication(DESTINATION, extension(TCP, tcp(b"abcd", seq=3), data=bytes(30)))),
    )
    row = one(ethernet(ipv6(chain, HOP_BY_HOP)))
    assert (row.seq, row.payload_len) == (3, 4)


def test_a_chain_longer_than_any_real_one_is_given_up() -> None:
    chain, following = tcp(), TCP
    for _ in range(10 * MAX_HEADERS):
        chain, following = extension(following, chain), DESTINATION
    reading = decode([ethernet(ipv6(chain, following))])
    assert (reading.rows, reading.undecoded) == ([], {("ipv6", "endless extension headers"): (1, 1)})


def test_an_extension_header_that_is_cut_off_is_counted() -> None:
    frame = ethernet(ipv6(extension(TCP, tcp()), HOP_BY_HOP))
    reading = decode([frame], snaplen=14 + 40 + 7)
    assert reading.undecoded == {("ipv6", "truncated extension header"): (1, 1)}


def test_payload_length_zero_means_the_frame_tells_the_length() -> None:
    assert one(ethernet(ipv6(tcp(b"x" * 3000), payload_len=0))).payload_len == 3000


def test_an_atomic_fragment_is_no_fragment() -> None:
    """A fragment header with offset 0 and nothing to follow (RFC 6946)."""
    carried = struct.pack("!BBHI", TCP, 0, 0, 1) + tcp(seq=5)
    assert one(ethernet(ipv6(carried, 44))).seq == 5


def test_bad_ipv6_headers_are_counted() -> None:
    short, wrong = ipv6(tcp())[:39], b"\x40" + ipv6(tcp())[1:]
    reading = decode([ethernet(short, 0x86DD), ethernet(wrong, 0x86DD)])
    assert reading.undecoded == {("ipv6", "truncated header"): (1, 1), ("ipv6", "bad version"): (1, 2)}
