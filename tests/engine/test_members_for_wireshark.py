"""A merge of which one member has a link type that only Wireshark knows: it alone is read by it, however it is read."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

import pcapflow
from fixtures.containers import Record, Section, pcap
from pcapflow.reader.pcapng import is_pcapng
from pcapflow.reader.segment_batch import CAPACITY
from tests.reader.frames import MORE, Reading, ethernet, ipv4, read_inputs, tcp
from tests.samples import CLOSED, NO_FINAL_ACK, Line, records
from tests.test_engine import fresh

pytestmark = pytest.mark.usefixtures("tshark")

SECOND = 1_000_000_000
ETHERNET, WIRELESS = 1, 105
ETHERNET_HEADER = 14
MANY = CAPACITY // len(CLOSED) + 50
"""Connections that fill more than a batch."""
FEW = 8


def wireless(packet: bytes) -> bytes:
    """A packet in a data frame of IEEE 802.11, with LLC and SNAP."""
    return b"\x08\x00\x00\x00" + bytes(18) + b"\x00\x00" + b"\xaa\xaa\x03\0\0\0\x08\x00" + packet


def connections(first: int, count: int, last: list[Line] = CLOSED) -> list[Record]:
    """Connections one after another, two seconds apart."""
    return [
        record
        for number, lines in enumerate([*[CLOSED] * (count - 1), last], first)
        for record in records(lines, port=1024 + number, after_ms=2000 * number)
    ]


def native(path: Path, first: int) -> Path:
    path.write_bytes(pcap(connections(first, MANY)))
    return path


def foreign(path: Path, first: int) -> Path:
    """The first connections come from Ethernet, and the second interface is described when they have been read."""
    section = Section()
    section.interface(ETHERNET)
    for at, (time_ns, frame) in enumerate(connections(first, FEW, NO_FINAL_ACK)):
        if at == 2 * len(CLOSED):
            section.interface(WIRELESS)
        if at < 2 * len(CLOSED):
            section.packet((time_ns, frame))
        else:
            section.packet((time_ns, wireless(frame[ETHERNET_HEADER:])), 1)
    path.write_bytes(section.to_bytes())
    return path


@pytest.fixture(params=["first", "last", "in the midst"])
def members(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    """Members in order; the test is named after the one that needs Wireshark."""
    a, b, c = (tmp_path / name for name in "abc")
    if request.param == "first":
        return [foreign(a, 0), native(b, FEW)]
    if request.param == "last":
        return [native(a, 0), foreign(b, MANY)]
    return [native(a, 0), foreign(b, MANY), native(c, MANY + FEW)]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no second process")
def test_one_process_and_two_find_what_wireshark_finds(members: list[Path]) -> None:
    """The second process, which the first member may call for, is given up where pyshark begins."""
    code = """
        import os, sys
        from pcapflow import analyze
        from pcapflow.engine import second_process
        begun = []
        class SecondProcess(second_process.SecondProcess):
            def __init__(self, *arguments):
                super().__init__(*arguments)
                begun.append(self)
        second_process.SecondProcess = SecondProcess
        def figures(**options):
            analysis = analyze(sys.argv[1:], **options)
            capture, columns = analysis.capture, analysis.tables.flows.columns.items()
            return capture.frames, capture.undecoded, {name: column.tolist() for name, column in columns}
        two = figures(jobs=2)
        one = figures(jobs=1)
        assert one == two == figures(reader="pyshark")
        print(one[0], one[1], len(begun), [second.end.alive for second in begun])
    """
    printed = fresh("-c", textwrap.dedent(code), *map(str, members))
    frames = sum(map(frames_of, members))
    begun = 0 if members[0].stat().st_size < members[1].stat().st_size else 1
    assert printed == f"{frames} () {begun} {[False] * begun}\n"


def frames_of(path: Path) -> int:
    return len(CLOSED) * (FEW - 1) + len(NO_FINAL_ACK) if is_pcapng(path.read_bytes()) else len(CLOSED) * MANY


def test_the_second_pass_finds_the_segments_of_every_connection(members: list[Path]) -> None:
    analysis = pcapflow.analyze(members, jobs=1)
    assert analysis.capture.reader == "native and pyshark"
    table = analysis.tables.flows
    for flow, (first, end_reason) in enumerate(zip(table["first_frame"], analysis.flows.end_reason, strict=True)):
        if flow % 50 and end_reason == "closed":
            continue
        packets = len(CLOSED if end_reason == "closed" else NO_FINAL_ACK)
        segments = analysis.segments([flow])[flow]
        assert [segment.frame for segment in segments] == [*range(first, first + packets)]


def test_the_report_draws_what_the_second_pass_finds(tmp_path: Path) -> None:
    analysis = pcapflow.analyze([native(tmp_path / "a", 0), foreign(tmp_path / "b", MANY)])
    assert {finding.flow for finding in analysis.findings} == {MANY + FEW - 1}
    payload = ">5 B<"
    assert payload in analysis.to_html()
    (tmp_path / "b").unlink()
    assert payload not in analysis.to_html(), "it is neither a change of state nor a mark"


def read(*members: Path) -> Reading:
    return read_inputs([str(path) for path in members], "auto")


def test_what_the_native_reader_made_of_the_member_is_forgotten(tmp_path: Path) -> None:
    """A datagram of which the member before had the beginning, a frame that is no packet, and a tunnel of its own."""
    whole = tcp(bytes(100), seq=5)
    before, member = tmp_path / "a", Section()
    before.write_bytes(pcap([(SECOND, ethernet(ipv4(whole[:64], fragment=MORE)))]))
    member.interface(ETHERNET)
    member.packet((2 * SECOND, ethernet(ipv4(whole[64:], fragment=8))))
    member.packet((3 * SECOND, b"short"))
    member.packet((4 * SECOND, ethernet(ipv4(ipv4(tcp(seq=6)), 4))))
    member.packet((5 * SECOND, wireless(ipv4(tcp(seq=7)))), member.interface(WIRELESS))
    (tmp_path / "b").write_bytes(member.to_bytes())
    reading = read(before, tmp_path / "b")
    assert [(row.frame, row.seq) for row in reading.rows] == [(4, 6), (5, 7)]
    assert (reading.capture.frames, reading.capture.segments) == (5, 2)
    # The beginning of the datagram is waited for until the end, as it was before.
    assert reading.undecoded[("ip", "fragments without their datagram")] == (1, 1)
    assert ("link", "truncated header") not in reading.undecoded


def test_an_interface_that_comes_after_the_first_batch_leaves_the_member_to_the_native_reader(tmp_path: Path) -> None:
    """Near miss: rows were handed on by then. The second pass, which leaps into its midst, does as the first did."""
    section = Section()
    section.interface(ETHERNET)
    for record in connections(MANY, MANY):
        section.packet(record)
    time_ns = connections(2 * MANY, 1)[0][0]
    section.packet((time_ns, wireless(ipv4(tcp(seq=1)))), section.interface(WIRELESS))
    (tmp_path / "b").write_bytes(section.to_bytes())
    analysis = pcapflow.analyze([native(tmp_path / "a", 0), tmp_path / "b"], jobs=1)
    assert analysis.capture.reader == "native"
    assert [(item.reason, item.count) for item in analysis.capture.undecoded] == [(f"link type {WIRELESS}", 1)]
    last = 2 * MANY - 1
    assert len(analysis.segments([last])[last]) == len(CLOSED)
