"""Classic pcap: every variant, times to the nanosecond, and what a file says of itself."""

from __future__ import annotations

import struct

import pytest

from fixtures.containers import pcap
from pcapflow.reader.records import CLOCK_STEP_NS, MAX_RECORD_BYTES
from tests.reader.frames import ethernet, ipv4, read, tcp

SECOND = 1_000_000_000
START_NS = 1_700_000_000 * SECOND


def frame(seq: int) -> bytes:
    return ethernet(ipv4(tcp(b"data", seq=seq)))


RECORDS = [(START_NS + n * 1_234_567, frame(n)) for n in range(5)]


def kuznetzov(order: str) -> bytes:
    """The modified format: 24-byte record headers that also tell the interface and the protocol."""
    parts = [struct.pack(order + "IHHiIII", 0xA1B2CD34, 2, 4, 0, 0, 65_535, 1)]
    for time_ns, data in RECORDS:
        seconds, fraction = divmod(time_ns, SECOND)
        head = struct.pack(order + "IIIIIHBB", seconds, fraction // 1000, len(data), len(data), 3, 0x0800, 0, 0)
        parts.append(head + data)
    return b"".join(parts)


FILES = {
    "microseconds, little endian": (pcap(RECORDS), 1000),
    "microseconds, big endian": (pcap(RECORDS, order=">"), 1000),
    "nanoseconds, little endian": (pcap(RECORDS, nanoseconds=True), 1),
    "nanoseconds, big endian": (pcap(RECORDS, order=">", nanoseconds=True), 1),
    "modified, little endian": (kuznetzov("<"), 1000),
    "modified, big endian": (kuznetzov(">"), 1000),
}


@pytest.mark.parametrize("name", FILES)
def test_every_variant_gives_the_same_segments(name: str) -> None:
    data, unit = FILES[name]
    reading = read(data)
    assert [(row.frame, row.time_ns, row.seq) for row in reading.rows] == [
        (n + 1, time_ns // unit * unit, n) for n, (time_ns, _) in enumerate(RECORDS)
    ]
    capture = reading.capture
    assert (capture.format, capture.link_types, capture.truncated, capture.dropped) == ("pcap", ("ETHERNET",), "", -1)
    assert (capture.first_ns, capture.last_ns) == (reading.rows[0].time_ns, reading.rows[-1].time_ns)


def test_times_beyond_2038_and_the_last_one_there_is() -> None:
    last = (2**32 - 1) * SECOND + 999_999_999
    rows = read(pcap([(2**31 * SECOND, frame(0)), (last, frame(1))], nanoseconds=True)).rows
    assert [row.time_ns for row in rows] == [2**31 * SECOND, last]


def test_a_fraction_of_more_than_a_second_is_added_up_not_refused() -> None:
    data = bytearray(pcap([(START_NS, frame(0))]))
    struct.pack_into("<I", data, 24 + 4, 0xFFFF_FFFF)
    assert read(bytes(data)).rows[0].time_ns == START_NS + 0xFFFF_FFFF * 1000


def test_the_snap_length_and_the_frames_it_cut_are_told() -> None:
    records = [(START_NS, frame(0)), (START_NS, ethernet(ipv4(tcp(b"x" * 500))))]
    capture = read(pcap(records, snaplen=100)).capture
    assert (capture.snaplen, capture.cut_frames) == (100, 1)


def test_no_packets_is_a_capture_all_the_same() -> None:
    reading = read(pcap([]))
    assert (reading.rows, reading.capture.frames, reading.capture.first_ns, reading.capture.truncated) == (
        [],
        0,
        -1,
        "",
    )


def test_frames_out_of_order_by_little_are_no_clock_step() -> None:
    records = [(START_NS, frame(0)), (START_NS - CLOCK_STEP_NS, frame(1)), (START_NS + 1, frame(2))]
    capture = read(pcap(records, nanoseconds=True)).capture
    assert (capture.clock_steps, capture.first_clock_step_frame) == (0, 0)
    assert (capture.first_ns, capture.last_ns) == (START_NS - CLOCK_STEP_NS, START_NS + 1)


def test_a_clock_set_back_is_counted_and_its_first_frame_told() -> None:
    times = [0, 1, -10, -9, -20]
    records = [(START_NS + t * SECOND, frame(n)) for n, t in enumerate(times)]
    capture = read(pcap(records)).capture
    assert (capture.clock_steps, capture.first_clock_step_frame) == (2, 3)
    assert (capture.first_ns, capture.last_ns) == (START_NS - 20 * SECOND, START_NS + SECOND)


def test_a_captured_length_above_the_original_is_believed() -> None:
    """Some writers leave the original length at what a snap length would have made of it."""
    data = bytearray(pcap([(START_NS, ethernet(ipv4(tcp(b"x" * 500))))]))
    struct.pack_into("<I", data, 24 + 12, 10)
    reading = read(bytes(data))
    assert (reading.rows[0].payload_len, reading.capture.cut_frames) == (500, 0)


@pytest.mark.parametrize("length", [MAX_RECORD_BYTES + 1, 2**31, 2**32 - 1])
def test_a_record_of_an_impossible_length_ends_the_reading_there(length: int) -> None:
    data = bytearray(pcap(RECORDS))
    at = 24 + 2 * (16 + len(frame(0)))
    struct.pack_into("<I", data, at + 8, length)
    reading = read(bytes(data))
    assert [row.seq for row in reading.rows] == [0, 1]
    assert f"at byte {at}" in reading.capture.truncated
    assert str(length) in reading.capture.truncated


def test_large_frames_span_many_reads() -> None:
    """A record longer than what is read at a time, between short ones."""
    large = ethernet(ipv4(tcp(b"x" * 65_000), total_len=0)) + bytes(1_000_000)
    records = [(START_NS, frame(0)), (START_NS, large), (START_NS, frame(2))]
    assert [row.payload_len for row in read(pcap(records, snaplen=2_000_000)).rows] == [4, 1_065_000, 4]


def test_more_frames_than_a_batch_holds() -> None:
    rows = read(pcap([(START_NS, frame(n)) for n in range(5000)])).rows
    assert [row.seq for row in rows] == list(range(5000))
