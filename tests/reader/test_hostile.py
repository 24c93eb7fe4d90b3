"""Captures nobody meant to write: nothing but `CaptureError` may come of them, soon, and what is whole is read."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.containers import Resolution, Section, pcap
from pcapflow.errors import CaptureError
from tests.reader.decode import test_tunnels
from tests.reader.frames import (
    DESTINATION,
    FRAGMENT,
    MORE,
    Reading,
    Row,
    ethernet,
    extension,
    fragment6,
    ipv4,
    ipv6,
    read,
    tcp,
    vlan,
)

FRAMES = [
    ethernet(ipv4(tcp(b"abc", seq=1, options=b"\x02\x04\x05\xb4\x01\x03\x03\x07"))),
    ethernet(ipv6(extension(6, tcp(seq=2)), DESTINATION)),
    ethernet(vlan(3, ipv4(tcp(b"x" * 50, seq=3))), 0x8100),
    ethernet(ipv4(tcp(bytes(60), seq=4)[:40], fragment=MORE)),
    ethernet(ipv4(tcp(bytes(60), seq=4)[40:], fragment=5)),
    ethernet(ipv6(fragment6(6, tcp(seq=5), offset=0, more=True), FRAGMENT)),
    *(frame for _, frame in test_tunnels.FRAMES.values()),
]
LINKS = [0, 1, 9, 12, 14, 50, 101, 104, 108, 113, 228, 229, 276]


def as_pcap(frames: list[bytes]) -> bytes:
    return pcap([(n * 1000, frame) for n, frame in enumerate(frames)])


def as_pcapng(frames: list[bytes]) -> bytes:
    section = Section(">")
    section.interface(resolution=Resolution(9))
    section.block(0x0BAD, b"unknown")
    for n, frame in enumerate(frames):
        section.packet((n * 1000, frame))
    section.drops(0, 3, 5)
    return section.to_bytes()


def survive(data: bytes) -> Reading | None:
    """Reads; None where the file is refused. Anything but a refusal fails the test."""
    try:
        reading = read(data)
    except CaptureError:
        return None
    capture = reading.capture
    # Every frame is accounted for once: as a segment or a quote, as other traffic, or as undecoded. A fragment is
    # other traffic and may be undecoded besides; a segment with a bad header length likewise.
    seen = {row.frame for row in reading.rows}
    undecoded = sum(count for count, _ in reading.undecoded.values())
    assert capture.frames <= len(seen) + capture.other + undecoded
    assert len(reading.rows) <= capture.frames
    for row in reading.rows:
        assert_in_range(row, capture.frames)
    return reading


def assert_in_range(row: Row, frames: int) -> None:
    assert 1 <= row.frame <= frames
    assert 0 <= row.time_ns < 2**63
    assert 0 <= row.seq < 2**32
    assert 0 <= row.ack < 2**32
    assert 0 <= row.window < 2**16
    assert 0 <= row.payload_len < 2**33
    assert -1 <= row.vlan < 2**12
    assert -1 <= row.ttl < 2**8
    assert -1 <= row.tsval < 2**32
    assert -1 <= row.sack_left < 2**32


@pytest.mark.parametrize("make", [as_pcap, as_pcapng])
def test_a_file_cut_at_any_byte_still_gives_every_whole_record_before(make: Callable[[list[bytes]], bytes]) -> None:
    frames = FRAMES[:3]
    whole = make(frames)
    # Where the file is whole with so many of its frames.
    ends = [whole.index(frame) + len(frame) for frame in frames]
    for cut in range(1, len(whole)):
        reading = survive(whole[:cut])
        if reading is None:
            assert cut < 4, "only a file without its magic is refused"
            continue
        rows = [row.seq for row in reading.rows]
        expected = [n + 1 for n, end in enumerate(ends) if end <= cut]
        assert rows in (expected, expected[:-1]), cut
        if len(rows) < len(frames):
            at_an_edge = any(whole[:cut] == make(frames[:n]) for n in range(len(frames)))
            assert at_an_edge or bool(reading.capture.truncated) or is_between_blocks(whole, cut), cut


def is_between_blocks(whole: bytes, cut: int) -> bool:
    """Whether a pcapng is cut just where a block ends: nothing tells that more should follow."""
    at = 0
    while whole[:4] == b"\x0a\x0d\x0d\x0a" and at < cut:
        at += int.from_bytes(whole[at + 4 : at + 8], "big")
    return at == cut


def test_a_pcap_cut_inside_a_record_says_so_and_one_cut_between_records_does_not() -> None:
    whole, between = as_pcap(FRAMES[:2]), as_pcap(FRAMES[:1])
    assert read(between).capture.truncated == ""
    for cut in range(len(between) + 1, len(whole)):
        assert "ends inside the record after frame 1" in read(whole[:cut]).capture.truncated


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_as_a_file(data: bytes) -> None:
    survive(data)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\xa1\xb2\xcd\x34"]), st.binary(max_size=400))
def test_any_bytes_after_a_magic(magic: bytes, data: bytes) -> None:
    survive(magic + data)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from("<>"), st.lists(st.tuples(st.integers(0, 10), st.binary(max_size=120)), max_size=8))
def test_any_blocks_in_a_section(order: str, blocks: list[tuple[int, bytes]]) -> None:
    section = Section(order)
    section.interface()
    for kind, body in blocks:
        section.block(kind, body)
    survive(section.to_bytes())


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(LINKS), st.binary(max_size=200), st.integers(0, 2**32 - 1))
def test_any_bytes_as_a_frame(link: int, frame: bytes, wire_len: int) -> None:
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0, link)
    reading = survive(head + struct.pack("<IIII", 1, 2, len(frame), wire_len) + frame)
    assert reading is not None
    assert reading.capture.frames == 1


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_a_good_frame_with_some_bytes_changed_and_cut(data: st.DataObject) -> None:
    frame = bytearray(data.draw(st.sampled_from(FRAMES)))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    survive(as_pcap([bytes(frame[: data.draw(st.integers(0, len(frame)))]), FRAMES[0]]))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_good_file_with_some_bytes_changed(data: st.DataObject) -> None:
    whole = bytearray(data.draw(st.sampled_from([as_pcap(FRAMES), as_pcapng(FRAMES)])))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(4, len(whole) - 1))] = data.draw(st.integers(0, 255))
    survive(bytes(whole))


def test_the_same_four_bytes_over_and_over_end_soon() -> None:
    """Every value of a word as the whole of a file: no length of it may loop."""
    random_words = random.Random(3).sample(range(2**32), 200)
    for word in [0, 1, 4, 11, 12, 13, 2**31, 2**32 - 1, 0x0A0D0D0A, *random_words]:
        survive(struct.pack("<I", 0xA1B2C3D4) + struct.pack("<I", word) * 500)
        section = Section()
        section.interface()
        section.raw(struct.pack("<I", word) * 500)
        survive(section.to_bytes())


def test_a_hundred_thousand_interfaces_are_bounded() -> None:
    section = Section()
    block = struct.pack("<IIHHII", 1, 20, 1, 0, 0, 20)
    section.raw(block * 100_000)
    reading = survive(section.to_bytes())
    assert reading is not None
    assert reading.capture.link_types == ("ETHERNET",)


def test_link_types_without_end_are_named_up_to_a_bound() -> None:
    section = Section()
    for link in range(1000, 3000):
        section.interface(link)
    reading = survive(section.to_bytes())
    assert reading is not None
    assert len(reading.capture.link_types) <= 64
