"""IPv4, IPv6, TCP and ICMP: what a row of the batch holds, and how bad headers are counted."""

from __future__ import annotations

import struct

import pytest

from fixtures.frames import Segment, unreachable
from pcapflow.reader.decode.decoder import MAX_HEADERS, MAX_REASONS, Decoder
from pcapflow.reader.segment_batch import CUT_OPTIONS, ICMP_QUOTE, IS_IPV6
from tests.reader.frames import (
    ACK,
    AUTHENTICATION,
    CLIENT,
    CLIENT6,
    DESTINATION,
    DONT,
    FIN,
    HOP_BY_HOP,
    ICMP,
    IPV4,
    PSH,
    ROUTING,
    RST,
    SERVER,
    SERVER6,
    SYN,
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

MSS, SACK_PERMITTED, WSCALE = b"\x02\x04\x05\xb4", b"\x04\x02", b"\x03\x03\x07"
TIMES = b"\x08\x0a" + struct.pack("!II", 0x8000_0001, 0xFFFF_FFFF)
SACK = b"\x05\x12" + struct.pack("!IIII", 0xFFFF_FFF0, 16, 500, 600)
NOP, END = b"\x01", b"\x00"


# What is read


def test_every_column_of_an_ipv4_segment() -> None:
    segment = tcp(
        b"hello", sport=65_535, dport=1, seq=0xFFFF_FFFF, ack=0x8000_0000, flags=PSH | ACK | FIN, window=65_535
    )
    row = one(ethernet(ipv4(segment, ttl=255, ident=0xABCD, fragment=DONT)))
    assert (row.src, row.dst, row.sport, row.dport) == (CLIENT, SERVER, 65_535, 1)
    assert (row.seq, row.ack, row.flags, row.window) == (0xFFFF_FFFF, 0x8000_0000, PSH | ACK | FIN, 65_535)
    assert (row.payload_len, row.ip_id, row.ttl, row.vlan, row.tunnel) == (5, 0xABCD, 255, -1, "")
    assert (row.syn_options, row.tsval, row.tsecr, row.sack_left, row.sack_right) == (0, -1, -1, -1, -1)


def test_every_column_of_an_ipv6_segment() -> None:
    row = one(ethernet(ipv6(tcp(b"hello"), hop_limit=3)))
    assert (row.src, row.dst, row.payload_len, row.ip_id, row.ttl) == (CLIENT6, SERVER6, 5, -1, 3)
    assert row.flags == ACK | IS_IPV6


def test_all_nine_flags_are_kept_and_reserved_bits_are_not() -> None:
    assert one(ethernet(ipv4(tcp(flags=0xFFF)))).flags == 0x1FF


def test_frames_are_numbered_from_one_whatever_they_hold() -> None:
    arp = ethernet(bytes(28), 0x0806)
    reading = decode([arp, ethernet(ipv4(tcp())), arp, ethernet(ipv4(tcp()))])
    assert [(row.frame, row.time_ns) for row in reading.rows] == [(2, 1_000_000_000), (4, 3_000_000_000)]
    assert (reading.capture.frames, reading.capture.segments, reading.capture.other) == (4, 2, 2)


def test_a_column_holds_no_trace_of_the_row_before() -> None:
    rich = ethernet(ipv4(tcp(flags=SYN, options=MSS + WSCALE + TIMES + SACK)))
    row = decode([rich, ethernet(ipv4(tcp()))]).rows[1]
    assert (row.syn_options, row.tsval, row.tsecr, row.sack_left, row.sack_right) == (0, -1, -1, -1, -1)


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


# TCP and its options


def test_the_options_of_a_syn() -> None:
    row = one(ethernet(ipv4(tcp(flags=SYN, options=MSS + SACK_PERMITTED + TIMES + NOP + WSCALE))))
    assert row.syn_options == 1460 | (7 + 1) << 16 | 1 << 24
    assert (row.tsval, row.tsecr) == (0x8000_0001, 0xFFFF_FFFF)


def test_a_window_scale_of_zero_is_told_from_none() -> None:
    with_zero = one(ethernet(ipv4(tcp(flags=SYN, options=b"\x03\x03\x00"))))
    without = one(ethernet(ipv4(tcp(flags=SYN, options=MSS))))
    assert (with_zero.syn_options >> 16 & 0xFF, without.syn_options >> 16 & 0xFF) == (1, 0)


def test_options_of_a_syn_count_on_no_other_segment() -> None:
    assert one(ethernet(ipv4(tcp(options=MSS + WSCALE + SACK_PERMITTED)))).syn_options == 0


@pytest.mark.parametrize("options", [NOP + NOP + TIMES, TIMES + NOP + NOP, TIMES + END, NOP + TIMES], ids=repr)
def test_time_stamps_are_found_wherever_they_stand(options: bytes) -> None:
    row = one(ethernet(ipv4(tcp(options=options))))
    assert (row.tsval, row.tsecr) == (0x8000_0001, 0xFFFF_FFFF)


def test_the_first_sack_block() -> None:
    row = one(ethernet(ipv4(tcp(options=NOP + NOP + SACK))))
    assert (row.sack_left, row.sack_right) == (0xFFFF_FFF0, 16)


@pytest.mark.parametrize(
    "options",
    [
        b"\x08\x00" + TIMES,
        b"\x08\x01" + TIMES,
        b"\xfd\x00\x00\x00",
        b"\x08\xff" + bytes(10),
        END + NOP + TIMES,
        b"\x01\x01\x01\x08",
        b"\x08\x09" + bytes(8),
        b"\x05\x02" + NOP + NOP,
    ],
    ids=[
        "length 0",
        "length 1",
        "unknown, length 0",
        "length beyond",
        "after the end",
        "no length",
        "wrong",
        "no block",
    ],
)
def test_options_that_make_no_sense_end_the_walk_and_keep_the_segment(options: bytes) -> None:
    row = one(ethernet(ipv4(tcp(b"abc", seq=4, options=options))))
    assert (row.seq, row.payload_len, row.tsval, row.sack_left) == (4, 3, -1, -1)


def test_options_cut_off_by_the_snap_length_are_unknown_not_absent() -> None:
    frame = ethernet(ipv4(tcp(b"payload", flags=SYN, options=MSS + SACK_PERMITTED + TIMES + NOP + WSCALE)))
    row = one(frame, snaplen=14 + 20 + 20 + 6)
    assert row.flags == SYN | CUT_OPTIONS
    assert row.syn_options == 1460 | 1 << 24
    assert (row.tsval, row.payload_len) == (-1, 7)


@pytest.mark.parametrize("kept", range(16, 21))
def test_a_header_cut_after_its_window_is_enough(kept: int) -> None:
    row = one(ethernet(ipv4(tcp(b"payload", seq=8))), snaplen=14 + 20 + kept)
    assert (row.seq, row.payload_len) == (8, 7)


@pytest.mark.parametrize("kept", range(16))
def test_a_header_cut_before_is_counted(kept: int) -> None:
    reading = decode([ethernet(ipv4(tcp()))], snaplen=14 + 20 + kept)
    assert (reading.rows, reading.undecoded) == ([], {("tcp", "truncated header"): (1, 1)})


@pytest.mark.parametrize(("header_len", "flags"), [(0, 0), (16, 0), (24, ACK), (60, ACK)])
def test_a_header_length_that_lies_leaves_a_segment_without_payload(header_len: int, flags: int) -> None:
    """Wireshark counts such a frame in its stream, so it must have a row; it is counted as undecoded too.

    Beyond a length that no header can have nothing is read, neither by Wireshark nor here.
    """
    reading = decode([ethernet(ipv4(tcp(seq=6, header_len=header_len)))])
    (row,) = reading.rows
    assert (row.seq, row.payload_len, row.syn_options, row.flags) == (6, 0, 0, flags)
    assert reading.undecoded == {("tcp", "bad header length"): (1, 1)}


# ICMP


QUOTED = Segment("192.0.2.1", "198.51.100.2", 50_000, 80, 4_000_000_000, flags=SYN, window=1)
QUOTED6 = Segment("2001:db8::1", "2001:db8::2", 50_000, 80, 4_000_000_000, flags=SYN | RST, window=1)


def test_an_icmp_error_gives_the_head_of_what_it_quotes() -> None:
    row = one(ethernet(unreachable("203.0.113.9", QUOTED, code=13)))
    assert row.flags & ICMP_QUOTE
    assert (row.src, row.dst, row.sport, row.dport, row.seq) == (CLIENT, SERVER, 50_000, 80, 4_000_000_000)
    assert (row.window, row.payload_len) == (3 << 8 | 13, 20)


def test_an_icmpv6_error_likewise() -> None:
    row = one(ethernet(unreachable("2001:db8::9", QUOTED6, code=4)))
    assert (row.flags, row.window, row.seq) == (ICMP_QUOTE | IS_IPV6, 1 << 8 | 4, 4_000_000_000)
    assert (row.src, row.dst) == (CLIENT6, SERVER6)


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


# Counting


def test_reasons_are_bounded_and_nothing_is_lost_from_the_sum() -> None:
    decoder = Decoder()
    for number in range(10 * MAX_REASONS):
        decoder.frames += 1
        decoder.skip("layer", f"reason {number}")
    assert len(decoder.skips) <= MAX_REASONS + 1
    assert sum(count for count, _ in decoder.skips.values()) == 10 * MAX_REASONS
