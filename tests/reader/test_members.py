"""Several files are one capture: in order of time, each once, whatever their containers are."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

import pcapflow
from fixtures.containers import Section, pcap
from pcapflow.errors import CaptureError
from pcapflow.reader.members import in_order_of_time
from pcapflow.tcp.flags import ACK, FIN, PSH, SYN
from tests.reader.frames import CLIENT, SERVER, ethernet, ipv4, tcp

SECOND = 1_000_000_000
START_NS = 1_700_000_000 * SECOND


def client(seq: int, flags: int, ack: int = 0, payload: bytes = b"") -> bytes:
    return ethernet(ipv4(tcp(payload, sport=40000, dport=80, seq=seq, ack=ack, flags=flags)))


def server(seq: int, flags: int, ack: int = 0, payload: bytes = b"") -> bytes:
    return ethernet(ipv4(tcp(payload, sport=80, dport=40000, seq=seq, ack=ack, flags=flags), src=SERVER, dst=CLIENT))


CONVERSATION = [
    client(0, SYN),
    server(0, SYN | ACK, 1),
    client(1, ACK, 1),
    client(1, PSH | ACK, 1, b"request"),
    server(1, PSH | ACK, 8, b"answer"),
    client(8, FIN | ACK, 7),
    server(7, FIN | ACK, 9),
    client(9, ACK, 8),
]
"""A connection that closes as it should; in any other order it does not."""
RECORDS = [(START_NS + n * SECOND, frame) for n, frame in enumerate(CONVERSATION)]


def pieces(directory: Path, *names: str) -> list[Path]:
    """The conversation, cut into as many files of two records as there are names."""
    paths = []
    for number, name in enumerate(names):
        path = directory / name
        path.write_bytes(pcap(RECORDS[2 * number : 2 * number + 2]))
        paths.append(path)
    return paths


def end_of(paths: Sequence[object]) -> tuple[str, int]:
    analysis = pcapflow.analyze(paths)  # type: ignore[arg-type]
    return analysis.flows.end_reason[0], analysis.capture.frames


def test_the_names_of_tcpdump_c_are_put_in_order_of_time(tmp_path: Path) -> None:
    """A shell gives r.pcap10 before r.pcap2."""
    paths = pieces(tmp_path, "r.pcap", "r.pcap2", "r.pcap10", "r.pcap11")
    by_glob = sorted(paths)
    assert by_glob != paths
    assert list(in_order_of_time(by_glob)) == paths
    assert end_of(by_glob) == ("closed", 8)


def test_a_ring_that_has_wrapped_begins_in_its_midst(tmp_path: Path) -> None:
    paths = pieces(tmp_path, "w.pcap2", "w.pcap3", "w.pcap0", "w.pcap1")
    analysis = pcapflow.analyze(sorted(paths))
    assert analysis.flows.end_reason[0] == "closed"
    assert analysis.capture.paths == tuple(map(str, paths))
    assert analysis.transitions.frame.is_monotonic_increasing


@pytest.mark.parametrize("link", ["same name", "hard link", "symbolic link"])
def test_a_file_that_is_named_twice_is_refused(link: str, tmp_path: Path) -> None:
    (path, *_) = pieces(tmp_path, "a.pcap")
    again = path if link == "same name" else tmp_path / "b.pcap"
    if link == "hard link":
        again.hardlink_to(path)
    elif link == "symbolic link":
        again.symlink_to(path)
    with pytest.raises(CaptureError, match="is named twice"):
        pcapflow.analyze([path, again])


def test_files_that_overlap_are_refused_with_both_times(tmp_path: Path) -> None:
    first, second = tmp_path / "first.pcap", tmp_path / "second.pcap"
    first.write_bytes(pcap([RECORDS[0], RECORDS[4]]))
    second.write_bytes(pcap([RECORDS[2], RECORDS[6]]))
    with pytest.raises(CaptureError) as caught:
        pcapflow.analyze([second, first])
    assert caught.value.path == str(second)
    assert "begins at 2023-11-14T22:13:22.000000000Z" in caught.value.reason
    assert f"{first}, 2023-11-14T22:13:24.000000000Z" in caught.value.reason
    assert "mergecap -w" in caught.value.reason
    assert "\n" not in caught.value.reason


def test_a_copy_of_a_file_overlaps_with_it(tmp_path: Path) -> None:
    (path, *_) = pieces(tmp_path, "a.pcap")
    with pytest.raises(CaptureError, match="overlap"):
        pcapflow.analyze([path, shutil.copy(path, tmp_path / "copy.pcap")])


def test_a_few_milliseconds_across_a_border_are_no_overlap(tmp_path: Path) -> None:
    """Near miss: frames of several queues are written slightly out of order."""
    first, second = tmp_path / "first.pcap", tmp_path / "second.pcap"
    first.write_bytes(pcap(RECORDS[:4]))
    second.write_bytes(pcap([(RECORDS[3][0] - 9_000_000, RECORDS[4][1]), *RECORDS[5:]]))
    assert end_of([first, second]) == ("closed", 8)


@pytest.mark.parametrize("content", [b"", pcap([])], ids=["no byte", "no frame"])
@pytest.mark.parametrize("place", [0, 1, 4])
def test_an_empty_member_is_a_note_and_not_the_end(content: bytes, place: int, tmp_path: Path) -> None:
    paths = pieces(tmp_path, "1.pcap", "2.pcap", "3.pcap", "4.pcap")
    empty = tmp_path / "empty.pcap"
    empty.write_bytes(content)
    paths.insert(place, empty)
    analysis = pcapflow.analyze(paths)
    assert (analysis.capture.frames, analysis.flows.end_reason[0]) == (8, "closed")
    assert [note for note in analysis.capture.notes if str(empty) in note]
    assert analysis.capture.truncated == ""
    assert len(analysis.segments([0])[0]) == 8


def test_nothing_but_empty_members_is_an_error(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.pcap", "b.pcap")]
    for path in paths:
        path.touch()
    with pytest.raises(CaptureError, match="the file is empty"):
        pcapflow.analyze(paths)


def test_containers_may_differ(tmp_path: Path) -> None:
    section = Section("<")
    interface = section.interface()
    for record in RECORDS[4:6]:
        section.packet(record, interface)
    contents = {
        "d.pcap": pcap(RECORDS[:2]),
        "c.pcap.gz": gzip.compress(pcap(RECORDS[2:4])),
        "b.pcapng": section.to_bytes(),
        "a.pcap": pcap(RECORDS[6:], order=">"),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    analysis = pcapflow.analyze(sorted(tmp_path.iterdir()))
    assert (analysis.capture.frames, analysis.flows.end_reason[0]) == (8, "closed")
    assert analysis.capture.format == "pcap, pcapng"
    assert len(analysis.segments([0])[0]) == 8


@pytest.mark.skipif(shutil.which("editcap") is None, reason="editcap is not installed")
def test_a_member_that_only_wireshark_knows_is_read_by_it_alone(tmp_path: Path) -> None:
    first, second, third = pieces(tmp_path, "1.pcap", "2.pcap", "3.pcap")
    last = tmp_path / "4.pcap"
    last.write_bytes(pcap(RECORDS[6:]))
    foreign = tmp_path / "2.snoop"
    assert os.spawnlp(os.P_WAIT, "editcap", "editcap", "-F", "snoop", str(second), str(foreign)) == 0
    analysis = pcapflow.analyze([last, foreign, third, first])
    assert (analysis.capture.frames, analysis.flows.end_reason[0]) == (8, "closed")
    assert analysis.capture.reader == "native and pyshark"
    assert [segment.frame for segment in analysis.segments([0])[0]] == list(range(1, 9))


def test_the_member_that_is_cut_off_is_named_with_its_frame(tmp_path: Path) -> None:
    paths = pieces(tmp_path, "1.pcap", "2.pcap", "3.pcap", "4.pcap")
    os.truncate(paths[1], paths[1].stat().st_size - 5)
    truncated = pcapflow.analyze(paths).capture.truncated
    assert truncated.startswith(f"{paths[1]}: the file ends inside the record after its frame 1 (frame 3 of all)")


def test_what_can_be_read_only_once_keeps_its_place(tmp_path: Path) -> None:
    paths = pieces(tmp_path, "a.pcap", "b.pcap", "c.pcap", "d.pcap")
    stream = io.BytesIO(paths[0].read_bytes())
    assert in_order_of_time([stream, paths[3], paths[1], paths[2]]) == (stream, paths[1], paths[2], paths[3])
    with pytest.raises(CaptureError, match="overlap"):
        pcapflow.analyze([paths[1], stream])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_among_files_is_not_looked_at_beforehand(tmp_path: Path) -> None:
    paths = pieces(tmp_path, "a.pcap", "b.pcap", "c.pcap", "d.pcap")
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(paths[0].read_bytes(),))
    writer.start()
    assert end_of([fifo, *paths[1:]]) == ("closed", 8)
    writer.join()
