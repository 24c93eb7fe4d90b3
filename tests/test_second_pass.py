"""The second pass finds the segments of a few connections, and leaps over what lies between them."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import pcapflow
from fixtures.containers import Section, pcap
from pcapflow.analysis import Analysis
from pcapflow.reader import waypoints
from pcapflow.reader.open import OpenCapture
from pcapflow.reader.segment_batch import CAPACITY, SegmentBatch
from pcapflow.reader.waypoints import Waypoint, Waypoints
from pcapflow.result import SEGMENTS_PER_FLOW
from tests.reader.frames import CLIENT, SERVER, ethernet, ipv4, tcp

PACKETS = 10
CONNECTIONS = CAPACITY  # of ten packets each: ten batches


def connection(number: int) -> list[bytes]:
    """The frames of one connection, each direction in turn."""
    port = 10_000 + number % 50_000
    there = [ipv4(tcp(sport=port, dport=80, seq=100 + i, payload=b"x")) for i in range(PACKETS // 2)]
    back = [ipv4(tcp(sport=80, dport=port, seq=900, ack=101 + i), src=SERVER, dst=CLIENT) for i in range(PACKETS // 2)]
    return [ethernet(packet) for pair in zip(there, back, strict=True) for packet in pair]


FRAMES = [frame for number in range(CONNECTIONS) for frame in connection(number)]
WANTED = [3, CONNECTIONS // 2, CONNECTIONS - 1]


def timed(frames: Sequence[bytes], before: int = 0) -> list[tuple[int, bytes]]:
    """Records a microsecond apart, of which some came before."""
    return [((1_700_000_000_000_000 + before + i) * 1000, frame) for i, frame in enumerate(frames)]


def section(frames: Sequence[bytes], order: str, before: int = 0) -> bytes:
    """A pcapng section of one byte order, which declares another interface for every thousand packets."""
    made = Section(order)
    for at, record in enumerate(timed(frames, before)):
        if at % 1000 == 0:
            interface = made.interface()
        made.packet(record, interface)
    return made.to_bytes()


def batches_read(analysis: Analysis, flows: Sequence[int], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, int]:
    """The segments of these connections, and how many batches it took to find them."""
    reads = 0
    read = OpenCapture.read

    def counted(self: OpenCapture, batch: SegmentBatch) -> bool:
        nonlocal reads
        reads += 1
        return read(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(OpenCapture, "read", counted)
        return analysis.segments(flows), reads


def captures(tmp_path: Path) -> dict[str, list[Path]]:
    """The same frames in every form that is read differently."""
    half = len(FRAMES) // 2
    forms: dict[str, list[bytes]] = {
        "pcap": [pcap(timed(FRAMES))],
        "two sections": [section(FRAMES[:half], "<") + section(FRAMES[half:], ">", half)],
        "three files": [
            pcap(timed(FRAMES[:100])),
            section(FRAMES[100:half], ">", 100),
            pcap(timed(FRAMES[half:], half)),
        ],
        "compressed": [gzip.compress(pcap(timed(FRAMES)), 1)],
    }
    paths: dict[str, list[Path]] = {}
    for name, contents in forms.items():
        for number, content in enumerate(contents):
            path = tmp_path / f"{name}.{number}"
            path.write_bytes(content)
            paths.setdefault(name, []).append(path)
    return paths


@pytest.mark.parametrize("form", ["pcap", "two sections", "three files", "compressed"])
def test_what_lies_between_is_leapt_over_and_the_segments_are_the_same(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    analysis = pcapflow.analyze(captures(tmp_path)[form])
    leaping, few = batches_read(analysis, WANTED, monkeypatch)
    analysis.waypoints = Waypoints()
    walking, many = batches_read(analysis, WANTED, monkeypatch)
    assert leaping == walking
    assert [len(leaping[flow]) for flow in WANTED] == [PACKETS] * len(WANTED)
    assert [leaping[flow][0].frame for flow in WANTED] == [flow * PACKETS + 1 for flow in WANTED]
    # A compressed file has no bytes to go to: it is read as far as the last connection.
    assert few == many if form == "compressed" else few <= 2 * len(WANTED) < many


def long_connection(pace: Callable[[int], int], segments: int = 4000) -> list[bytes]:
    """The connections of all frames, and among them one whose segment ``i`` comes before frame ``pace(i)``."""
    frames = []
    due = 0
    for at, frame in enumerate(FRAMES):
        while due < segments and pace(due) <= at:
            frames.append(ethernet(ipv4(tcp(sport=9, dport=80, seq=100 + due, payload=b"z"))))
            due += 1
        frames.append(frame)
    return frames


@pytest.mark.parametrize(
    ("pace", "most"),
    [(lambda i: i * 5, 8), (lambda i: 0 if i < 3990 else len(FRAMES) - 1, None), (lambda i: i // 2000 * 9000, None)],
    ids=["even", "all but a few at the beginning", "two bursts"],
)
def test_the_midst_of_a_long_connection_is_leapt_over(
    pace: Callable[[int], int], most: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its pace is even; where it is not, the whole of it is read once more. The segments are the same."""
    path = tmp_path / "long.pcap"
    path.write_bytes(pcap(timed(long_connection(pace))))
    analysis = pcapflow.analyze(path)
    ports = analysis.tables.flows["client_port"].tolist()
    leaping, few = batches_read(analysis, [ports.index(9)], monkeypatch)
    analysis.waypoints = Waypoints()
    walking, many = batches_read(analysis, [ports.index(9)], monkeypatch)
    assert leaping == walking
    assert len(leaping[ports.index(9)]) == SEGMENTS_PER_FLOW
    assert most is None or few <= most < many


def test_a_frame_asked_for_in_the_midst_is_found(tmp_path: Path) -> None:
    path = tmp_path / "long.pcap"
    path.write_bytes(pcap(timed(long_connection(lambda i: i * 5))))
    analysis = pcapflow.analyze(path)
    flow = analysis.tables.flows["client_port"].tolist().index(9)
    middle = 12_001  # every sixth frame is the connection's
    found = [segment.frame for segment in analysis.segments([flow], frames={middle})[flow]]
    assert middle in found
    assert len(found) == SEGMENTS_PER_FLOW + 1


def test_reading_ends_with_the_last_connection_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    analysis = pcapflow.analyze(captures(tmp_path)["pcap"])
    _, reads = batches_read(analysis, [0, 1], monkeypatch)
    assert reads == 1


def test_a_fragmented_segment_after_a_leap_is_found_whole(tmp_path: Path) -> None:
    segment = tcp(sport=1234, dport=80, payload=b"y" * 64)
    first = ethernet(ipv4(segment[:40], ident=7, fragment=0x2000))
    second = ethernet(ipv4(segment[40:], ident=7, fragment=5))
    path = tmp_path / "fragments.pcap"
    path.write_bytes(pcap(timed([*FRAMES[: CAPACITY * 3 - 1], first, second])))
    analysis = pcapflow.analyze(path)
    flow = len(analysis.tables.flows) - 1
    assert [(s.frame, s.payload_len) for s in analysis.segments([flow])[flow]] == [(CAPACITY * 3 + 1, 64)]


def test_a_file_object_is_read_again_from_its_beginning() -> None:
    analysis = pcapflow.analyze(io.BytesIO(pcap(timed(FRAMES))))
    assert [segment.frame for segment in analysis.segments([1])[1]] == list(range(PACKETS + 1, 2 * PACKETS + 1))


def test_waypoints_of_a_long_capture_are_thinned_out() -> None:
    points = Waypoints()
    for number in range(5 * waypoints.MAX_WAYPOINTS):
        points.note(Waypoint(frames=number * 10, file=0, offset=number, section=None))
    for frame in (1, 11, 12_345, 5 * waypoints.MAX_WAYPOINTS * 10):
        found = points.before(frame)
        assert found is not None
        assert frame - 16 * 10 <= found.frames < frame
    assert points.before(0) is None
