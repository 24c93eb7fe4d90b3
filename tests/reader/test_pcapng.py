"""pcapng: sections, interfaces with their own clocks, every kind of packet block, and what must be skipped."""

from __future__ import annotations

import struct

import pytest

from fixtures.containers import Resolution, Section, option
from pcapflow.reader.pcapng import LARGEST
from pcapflow.reader.records import MAX_RECORD_BYTES
from tests.reader.frames import ethernet, ipv4, read, tcp

SECOND = 1_000_000_000
START_NS = 1_700_000_000 * SECOND + 123_456_789


def frame(seq: int) -> bytes:
    return ethernet(ipv4(tcp(b"data", seq=seq)))


def seqs(data: bytes) -> list[int]:
    return [row.seq for row in read(data).rows]


@pytest.fixture(params=["<", ">"], ids=["little endian", "big endian"])
def order(request: pytest.FixtureRequest) -> str:
    assert isinstance(request.param, str)
    return request.param


# Clocks


@pytest.mark.parametrize("code", [0, 3, 6, 9, 10, 0x80, 0x80 | 10, 0x80 | 20, 0x80 | 31, 0x80 | 32, 0x80 | 33])
def test_every_resolution_keeps_the_time_as_finely_as_it_can(order: str, code: int) -> None:
    section = Section(order)
    section.interface(resolution=Resolution(code))
    section.packet((START_NS, frame(0)))
    per_second = 1 << (code & 0x7F) if code & 0x80 else 10**code
    (row,) = read(section.to_bytes()).rows
    assert 0 <= START_NS - row.time_ns <= max(SECOND // per_second, 1)


@pytest.mark.parametrize("code", [11, 12, 15, 18, 0x80 | 34, 0x80 | 40, 0x80 | 50])
def test_units_finer_than_64_bits_can_count_from_1970_count_from_an_offset(order: str, code: int) -> None:
    section = Section(order)
    section.interface(resolution=Resolution(code, START_NS // SECOND))
    section.packet((START_NS, frame(0)))
    (row,) = read(section.to_bytes()).rows
    assert 0 <= START_NS - row.time_ns <= 1


def test_without_a_resolution_time_counts_microseconds(order: str) -> None:
    section = Section(order)
    section.interface()
    section.packet((START_NS, frame(0)))
    assert read(section.to_bytes()).rows[0].time_ns == START_NS // 1000 * 1000


@pytest.mark.parametrize("offset_s", [1_600_000_000, -1_000_000_000, 1])
def test_an_offset_is_added(order: str, offset_s: int) -> None:
    section = Section(order)
    section.interface(resolution=Resolution(9, offset_s))
    section.packet((START_NS, frame(0)))
    assert read(section.to_bytes()).rows[0].time_ns == START_NS


def test_interfaces_have_clocks_and_link_types_of_their_own(order: str) -> None:
    section = Section(order)
    wired, raw = section.interface(resolution=Resolution(9)), section.interface(101, Resolution(0x80 | 30))
    section.packet((START_NS, frame(0)), wired)
    section.packet((START_NS, ipv4(tcp(seq=1))), raw)
    reading = read(section.to_bytes())
    assert [(row.seq, START_NS - row.time_ns < 2) for row in reading.rows] == [(0, True), (1, True)]
    assert reading.capture.link_types == ("ETHERNET", "RAW")


@pytest.mark.parametrize("code", [0, 1, 9, 27, 28, 127, 0x80, 0x81, 0xA0, 0xBE, 0xBF, 0xFF])
@pytest.mark.parametrize("offset_s", [0, 2**63 - 1, -(2**63)])
def test_times_that_no_clock_can_show_are_clamped(code: int, offset_s: int) -> None:
    section = Section()
    section.block(1, struct.pack("<HHI", 1, 0, 0), [option(9, bytes([code])), option(14, struct.pack("<q", offset_s))])
    data = frame(0) + bytes(-len(frame(0)) % 4)
    for ticks in (0, 1, 2**63 - 1, 2**64 - 1):
        section.block(6, struct.pack("<IIIII", 0, ticks >> 32, ticks & 0xFFFF_FFFF, len(data), len(data)) + data)
    rows = read(section.to_bytes()).rows
    assert len(rows) == 4
    assert all(0 <= row.time_ns <= LARGEST for row in rows)


# Blocks


def test_every_kind_of_packet_block(order: str) -> None:
    section = Section(order)
    section.interface(resolution=Resolution(9))
    section.packet((START_NS, frame(0)))
    section.obsolete_packet((START_NS, frame(1)))
    section.simple_packet(frame(2))
    assert [(row.seq, row.time_ns) for row in read(section.to_bytes()).rows] == [(0, START_NS), (1, START_NS), (2, 0)]


def test_a_simple_packet_is_cut_at_the_snap_length_of_the_first_interface() -> None:
    section = Section()
    section.interface(snaplen=60)
    whole = ethernet(ipv4(tcp(b"x" * 1000)))
    section.block(3, struct.pack("<I", len(whole)) + whole[:60])
    reading = read(section.to_bytes())
    assert (reading.rows[0].payload_len, reading.capture.cut_frames, reading.capture.snaplen) == (1000, 1, 60)


def test_unknown_blocks_are_skipped_and_get_no_number(order: str) -> None:
    section = Section(order)
    section.interface()
    section.block(0x0BAD, b"?" * 1000)
    section.packet((START_NS, frame(0)))
    section.block(0x4000_0001, b"")
    section.block(4, b"names")
    section.packet((START_NS, frame(1)))
    assert [(row.frame, row.seq) for row in read(section.to_bytes()).rows] == [(1, 0), (2, 1)]


def test_an_unknown_block_larger_than_the_memory_we_would_give_it_is_skipped() -> None:
    section = Section()
    section.interface()
    section.block(0x0BAD, bytes(MAX_RECORD_BYTES + 4))
    section.packet((START_NS, frame(7)))
    assert seqs(section.to_bytes()) == [7]


def test_journal_and_event_blocks_are_frames_to_wireshark() -> None:
    section = Section()
    section.interface()
    section.block(9, b"MESSAGE=hello\n\n")
    section.block(0x204, bytes(32))
    section.packet((START_NS, frame(0)))
    reading = read(section.to_bytes())
    assert (reading.rows[0].frame, reading.capture.frames, reading.capture.other) == (3, 3, 2)


def test_options_of_packets_are_skipped() -> None:
    section = Section()
    section.interface(name="eth0")
    section.packet((START_NS, frame(0)), comment="a comment that is no packet")
    section.packet((START_NS, frame(1)))
    assert seqs(section.to_bytes()) == [0, 1]


# Sections


def test_sections_of_different_byte_order_with_interfaces_of_their_own() -> None:
    first, second = Section("<"), Section(">")
    first.interface(101)
    second.interface(1)
    first.packet((START_NS, ipv4(tcp(seq=0))))
    second.packet((START_NS, frame(1)))
    assert seqs(first.to_bytes() + second.to_bytes()) == [0, 1]


def test_an_interface_of_the_section_before_is_forgotten() -> None:
    first, second = Section(), Section()
    first.interface()
    first.packet((START_NS, frame(0)))
    packet = first.to_bytes()[-(32 + len(frame(0)) + -len(frame(0)) % 4) :]
    reading = read(first.to_bytes() + second.to_bytes() + packet)
    assert [row.seq for row in reading.rows] == [0]
    assert reading.undecoded == {("pcapng", "packet of an undeclared interface"): (1, 2)}


def test_drops_are_summed_over_interfaces_and_sections_and_the_last_count_of_each_is_taken(order: str) -> None:
    sections = []
    for counts in ([3, 5], [2]):
        section = Section(order)
        section.interface()
        section.interface()
        for count in counts:
            section.drops(0, count, START_NS)
        section.drops(1, 10, START_NS)
        sections.append(section.to_bytes())
    assert read(b"".join(sections)).capture.dropped == 5 + 10 + 2 + 10


def test_no_drops_and_no_word_of_drops_are_told_apart() -> None:
    silent, none = Section(), Section()
    silent.interface()
    none.interface()
    none.drops(0, 0, START_NS)
    assert (read(silent.to_bytes()).capture.dropped, read(none.to_bytes()).capture.dropped) == (-1, 0)


# Damage


def damaged(section: Section) -> str:
    reading = read(section.to_bytes())
    assert [row.seq for row in reading.rows] == [0], "what came before the damage stands"
    return reading.capture.truncated


def good_start(order: str = "<") -> Section:
    section = Section(order)
    section.interface()
    section.packet((START_NS, frame(0)))
    return section


@pytest.mark.parametrize("length", [0, 1, 11])
def test_a_block_shorter_than_a_block_ends_the_reading(order: str, length: int) -> None:
    section = good_start(order)
    section.raw(struct.pack(order + "III", 6, length, length) + bytes(100))
    assert f"block of {length} bytes" in damaged(section)


@pytest.mark.parametrize("kind", [1, 2, 3, 5, 6, 0x0A0D0D0A])
@pytest.mark.parametrize("length", [MAX_RECORD_BYTES + 4, 2**32 - 1])
def test_a_known_block_of_an_impossible_length_ends_the_reading(kind: int, length: int) -> None:
    section = good_start()
    section.raw(struct.pack("<III", kind, length, 0x1A2B3C4D) + bytes(100))
    assert "the file is damaged there" in damaged(section)


def test_an_unknown_block_of_4_gib_is_a_file_that_ends_early() -> None:
    section = good_start()
    section.raw(struct.pack("<II", 0x0BAD, 2**32 - 1) + bytes(100))
    assert "ends inside a block" in damaged(section)


@pytest.mark.parametrize(("kind", "length"), [(6, 28), (3, 12), (2, 28), (1, 16)])
def test_a_block_too_short_for_its_kind_ends_the_reading(kind: int, length: int) -> None:
    section = good_start()
    section.raw(struct.pack("<II", kind, length) + bytes(length - 8) + bytes(100))
    assert f"Block of {length} bytes" in damaged(section)


def test_a_section_without_a_byte_order_ends_the_reading() -> None:
    section = good_start()
    section.raw(struct.pack("<III", 0x0A0D0D0A, 28, 0xDEADBEEF) + bytes(16))
    assert "byte-order magic" in damaged(section)


def test_packets_that_do_not_fit_are_counted_and_the_rest_is_read() -> None:
    section = good_start()
    section.block(6, struct.pack("<IIIII", 0, 0, 0, 5000, 5000) + bytes(40))
    section.block(6, struct.pack("<IIIII", 9, 0, 0, 40, 40) + bytes(40))
    section.packet((START_NS, frame(1)))
    reading = read(section.to_bytes())
    assert [(row.frame, row.seq) for row in reading.rows] == [(1, 0), (4, 1)]
    assert reading.undecoded == {
        ("pcapng", "packet longer than its block"): (1, 2),
        ("pcapng", "packet of an undeclared interface"): (1, 3),
    }


def test_a_length_that_forgets_its_padding_is_rounded_up() -> None:
    section = good_start()
    data = frame(1)
    assert len(data) % 4, "the frame needs padding for this test to show anything"
    body = struct.pack("<IIIII", 0, 0, 0, len(data), len(data)) + data
    length = 12 + len(body)
    section.raw(struct.pack("<II", 6, length) + body + bytes(-len(body) % 4) + struct.pack("<I", length))
    section.packet((START_NS, frame(2)))
    assert seqs(section.to_bytes()) == [0, 1, 2]


def test_options_that_lie_about_their_length_end_the_options_only() -> None:
    section = Section()
    section.block(1, struct.pack("<HHI", 1, 0, 0) + struct.pack("<HH", 9, 60_000))
    section.raw(good_start().to_bytes())
    assert seqs(section.to_bytes()) == [0]
