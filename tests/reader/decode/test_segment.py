"""A TCP header becomes a row: every column, options, and headers that are cut or lie."""

from __future__ import annotations

import struct

import pytest

from pcapflow.reader.segment_batch import CUT_ALERT, CUT_OPTIONS, IS_IPV6, SYN_ORDER_SHIFT
from pcapflow.tcp.syn_options import LINUX, MOST_ORDERS, ORDERS, order_text
from tests.reader.frames import (
    ACK,
    CLIENT,
    CLIENT6,
    DONT,
    FIN,
    PSH,
    SERVER,
    SERVER6,
    SYN,
    decode,
    ethernet,
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


# TCP and its options


def test_the_options_of_a_syn() -> None:
    row = one(ethernet(ipv4(tcp(flags=SYN, options=MSS + SACK_PERMITTED + TIMES + NOP + WSCALE))))
    assert row.syn_options & (1 << SYN_ORDER_SHIFT) - 1 == 1460 | (7 + 1) << 16 | 1 << 24
    assert (row.tsval, row.tsecr) == (0x8000_0001, 0xFFFF_FFFF)


def _order(options: bytes, **words: int) -> int:
    return ORDERS[one(ethernet(ipv4(tcp(flags=SYN, options=options))), **words).syn_options >> SYN_ORDER_SHIFT]


def test_the_order_of_a_syns_options_is_known_by_its_number() -> None:
    assert _order(MSS + SACK_PERMITTED + TIMES + NOP + WSCALE) == LINUX
    assert order_text(ORDERS.index(LINUX)) == "mss,sackOK,ts,nop,ws"
    assert _order(MSS + NOP + WSCALE + NOP + NOP + TIMES + SACK_PERMITTED + END + END) == 0o21311546


def test_an_order_that_nobody_knows_or_that_was_cut_off_has_no_number() -> None:
    assert _order(WSCALE + MSS) == 0
    assert _order(b"") == 0
    assert _order(MSS + SACK_PERMITTED + TIMES + NOP + WSCALE, snaplen=14 + 20 + 20 + 4) == 0
    assert _order(NOP * 40) == 0


def test_every_order_is_there_once_and_a_number_fits_its_five_bits() -> None:
    assert len(set(ORDERS)) == len(ORDERS) <= MOST_ORDERS


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
    assert row.flags & ~CUT_ALERT == SYN | CUT_OPTIONS
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
