"""IP fragments: the segment belongs to the frame that makes its datagram whole, as in Wireshark."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcapflow.reader.decode.fragments import HEAD_BYTES, MAX_DATAGRAMS, MAX_PIECES, Fragments
from tests.reader.frames import (
    CLIENT,
    CLIENT6,
    FRAGMENT,
    MORE,
    TCP,
    UDP,
    Reading,
    decode,
    ethernet,
    fragment6,
    ipv4,
    ipv6,
    tcp,
)

TIMES = b"\x01\x01\x08\x0a" + bytes([0, 0, 0, 5, 0, 0, 0, 6])
SEGMENT = tcp(bytes(range(200)), seq=31, options=TIMES)


def piece(start: int, end: int, data: bytes = SEGMENT, *, ident: int = 7, protocol: int = TCP) -> bytes:
    """The IPv4 fragment that carries ``data[start:end]``."""
    more = MORE if end < len(data) else 0
    return ethernet(ipv4(data[start:end], protocol, ident=ident, fragment=more | start // 8))


def piece6(start: int, end: int, data: bytes = SEGMENT) -> bytes:
    """The same in IPv6."""
    carried = fragment6(TCP, data[start:end], offset=start, more=end < len(data))
    return ethernet(ipv6(carried, FRAGMENT))


def assert_whole(reading: Reading, frame: int) -> None:
    (row,) = reading.rows
    assert (row.frame, row.seq, row.payload_len, row.tsval, row.tsecr) == (frame, 31, 200, 5, 6)
    assert reading.undecoded == {}


def assert_none(reading: Reading, first_frame: int = 1) -> None:
    assert reading.rows == []
    assert reading.undecoded == {("ip", "fragments without their datagram"): (1, first_frame)}


@pytest.mark.parametrize("make", [piece, piece6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)], ids=str)
def test_the_frame_that_completes_the_datagram_has_the_segment(make: type, order: Sequence[int]) -> None:
    frames = [make(0, 80), make(80, 160), make(160, len(SEGMENT))]
    assert_whole(decode([frames[n] for n in order]), 3)


def test_the_addresses_and_the_identification_are_kept() -> None:
    (row,) = decode([piece(0, 80), piece(80, len(SEGMENT))]).rows
    assert (row.src, row.ip_id) == (CLIENT, 7)
    (row,) = decode([piece6(0, 80), piece6(80, len(SEGMENT))]).rows
    assert (row.src, row.ip_id) == (CLIENT6, -1)


def test_a_header_in_several_fragments_is_put_together() -> None:
    frames = [piece(start, min(start + 8, len(SEGMENT))) for start in range(0, len(SEGMENT), 8)]
    random.Random(1).shuffle(frames)
    assert_whole(decode(frames), len(frames))


def test_overlapping_fragments_complete_a_datagram_too() -> None:
    assert_whole(decode([piece(0, 120), piece(80, 160), piece(120, len(SEGMENT))]), 3)


def test_a_repeated_fragment_changes_nothing() -> None:
    assert_whole(decode([piece(0, 80), piece(0, 80), piece(80, len(SEGMENT))]), 3)


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_datagram_with_a_hole_gives_nothing_and_is_counted_at_the_end(missing: int) -> None:
    frames = [piece(0, 80), piece(80, 160), piece(160, len(SEGMENT))]
    assert_none(decode([frame for n, frame in enumerate(frames) if n != missing]))


def test_datagrams_of_different_identification_do_not_mix() -> None:
    reading = decode([piece(0, 80, ident=1), piece(80, len(SEGMENT), ident=2)])
    assert reading.undecoded == {("ip", "fragments without their datagram"): (2, 1)}
    assert reading.rows == []


def test_an_identification_used_again_starts_a_new_datagram() -> None:
    again = tcp(b"x" * 100, seq=32)
    frames = [piece(0, 80), piece(80, len(SEGMENT)), piece(0, 80, again), piece(80, len(again), again)]
    assert [(row.frame, row.seq, row.payload_len) for row in decode(frames).rows] == [(2, 31, 200), (4, 32, 100)]


def test_fragments_of_other_protocols_are_other_traffic() -> None:
    reading = decode([piece(0, 80, protocol=UDP), piece(80, 160, protocol=UDP)])
    assert (reading.rows, reading.undecoded, reading.capture.other) == ([], {}, 2)


def test_fragments_cut_by_the_snap_length_are_as_long_as_their_headers_say() -> None:
    (row,) = decode([piece(0, 120), piece(120, len(SEGMENT))], snaplen=14 + 20 + 40).rows
    assert (row.frame, row.seq, row.payload_len, row.tsval) == (2, 31, 200, 5)


def test_a_header_with_a_hole_from_the_snap_length_is_a_truncated_header() -> None:
    reading = decode([piece(0, 120), piece(120, len(SEGMENT))], snaplen=14 + 20 + 12)
    assert (reading.rows, reading.undecoded) == ([], {("tcp", "truncated header"): (1, 2)})


def test_datagrams_under_way_are_bounded() -> None:
    """The oldest is given up; its fragments are counted as undecoded."""
    frames = [ethernet(ipv4(SEGMENT[:80], ident=n & 0xFFFF, fragment=MORE)) for n in range(MAX_DATAGRAMS + 10)]
    reading = decode(frames)
    assert reading.rows == []
    assert reading.undecoded[("ip", "fragments without their datagram")] == (MAX_DATAGRAMS + 10, 1)


def test_pieces_of_one_datagram_are_bounded() -> None:
    fragments = Fragments()
    for n in range(MAX_PIECES + 1):
        assert fragments.add(b"key", n + 1, 16 * n, 8, True, b"x" * 8) is None
    assert fragments.unfinished() == [1]
    assert fragments.add(b"key", 999, 0, 8, True, b"") is None
    assert fragments.unfinished() == [1, 999]


def test_what_was_given_up_is_bounded() -> None:
    fragments = Fragments()
    for n in range(5 * MAX_DATAGRAMS):
        fragments.add(n.to_bytes(4, "big"), n + 1, 0, 8, True, b"x" * 8)
    assert len(fragments.unfinished()) <= 2 * MAX_DATAGRAMS


@given(cuts=st.sets(st.integers(1, 400), max_size=12), data=st.data())
def test_any_cutting_in_any_order_gives_the_head_and_the_length_back(cuts: set[int], data: st.DataObject) -> None:
    whole = random.Random(7).randbytes(401)
    edges = [0, *sorted(cuts), len(whole)]
    spans = data.draw(st.permutations(list(pairwise(edges))))
    fragments = Fragments()
    heads = [fragments.add(b"k", 1, start, end - start, end < len(whole), whole[start:end]) for start, end in spans]
    assert heads[:-1] == [None] * (len(spans) - 1)
    assert heads[-1] == whole[:HEAD_BYTES]
    assert fragments.length == len(whole)
    assert fragments.unfinished() == []
