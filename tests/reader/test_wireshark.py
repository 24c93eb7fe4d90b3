"""The pyshark engine: the same rows as the native reader's, and what is said where it cannot help."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import io
import os
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.captures import format_capture
from fixtures.containers import Section, pcap
from fixtures.frames import Segment, unreachable
from pcapflow.errors import CaptureError
from pcapflow.reader.decode.decoder import Decoder
from pcapflow.reader.segment_batch import ICMP_QUOTE, SegmentBatch
from pcapflow.reader.tshark.records import WiresharkRecords
from tests.reader.decode import test_link, test_tunnels
from tests.reader.frames import (
    MORE,
    SYN,
    VLAN,
    Reading,
    Row,
    ethernet,
    ipv4,
    ipv6,
    read_input,
    read_inputs,
    tcp,
    vlan,
)

pytestmark = pytest.mark.usefixtures("tshark")

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
SECOND = 1_000_000_000


def both(path: Path) -> tuple[Reading, Reading]:
    """What the native reader and pyshark make of a file."""
    return read_input(str(path), "native"), read_input(str(path), "pyshark")


def comparable(row: Row) -> Row:
    """The row without what Wireshark does not tell: how much of a segment an ICMP error quotes."""
    return replace(row, payload_len=20 if row.payload_len >= 16 else 8) if row.flags & ICMP_QUOTE else row


def assert_same(path: Path) -> int:
    """Checks that both engines give the same rows and the same facts; returns the number of rows."""
    native, wireshark = both(path)
    assert [comparable(row) for row in native.rows] == wireshark.rows
    a, b = native.capture, wireshark.capture
    assert (a.frames, a.segments, a.first_ns, a.last_ns) == (b.frames, b.segments, b.first_ns, b.last_ns)
    assert (a.cut_frames, a.clock_steps, a.first_clock_step_frame) == (
        b.cut_frames,
        b.clock_steps,
        b.first_clock_step_frame,
    )
    assert (a.size_bytes, bool(a.truncated)) == (b.size_bytes, bool(b.truncated))
    assert (a.reader, b.reader) == ("native", "pyshark")
    return len(native.rows)


def write(path: Path, frames: list[bytes], link: int = 1, *, snaplen: int = 262_144, start_s: int = 0) -> Path:
    records = [((start_s + n) * SECOND + 1, frame) for n, frame in enumerate(frames)]
    path.write_bytes(pcap(records, link, snaplen=snaplen))
    return path


# The same rows


REAL = [
    "KimiNewt+pyshark/tests/data/capture_test.pcapng",
    "kbandla+dpkt/examples/data/nb6-http.pcap",
    "seladb+PcapPlusPlus/Tests/Pcap++Test/PcapExamples/pcapng-example.pcapng",
    "OISF+suricata-verify/tests/bug-5633-gre-02/gre-sample.pcap",
    "OISF+suricata-verify/tests/bug-4571-06/ipv4_over_ipv6.pcap",
    "arkime+arkime/tests/pcap/arkime_synthetic.pcap",
]


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of real captures is not here")
@pytest.mark.parametrize("name", REAL)
def test_real_captures_give_the_same_rows(name: str) -> None:
    assert assert_same(CORPUS / name) > 0


def test_every_tunnel_gives_the_same_rows(tmp_path: Path) -> None:
    frames = [frame for _, frame in test_tunnels.FRAMES.values()]
    assert assert_same(write(tmp_path / "tunnels.pcap", frames)) == len(frames)


def test_every_link_layer_gives_the_same_rows(tmp_path: Path) -> None:
    """One file with an interface for each; 12 and 14 mean other things to Wireshark on some systems."""
    section, frames = Section(), [item for item in test_link.FRAMES.values() if item[0] not in (12, 14)]
    for link, frame in frames:
        section.packet((SECOND, frame), section.interface(link))
    path = tmp_path / "links.pcapng"
    path.write_bytes(section.to_bytes())
    assert assert_same(path) == len(frames)


def test_headers_options_quotes_and_fragments_give_the_same_rows(tmp_path: Path) -> None:
    options = b"\x02\x04\x05\xb4\x04\x02\x08\x0a\x00\x00\x00\x01\x00\x00\x00\x02\x01\x03\x03\x07"
    sack = b"\x01\x01\x05\x12" + bytes(range(16))
    quoted = Segment("192.0.2.1", "198.51.100.2", 1, 2, 0x8000_0000, flags=SYN)
    quoted6 = Segment("2001:db8::1", "2001:db8::2", 1, 2, 0xFFFF_FFFF, flags=SYN)
    whole = tcp(bytes(100), seq=5)
    frames = [
        ethernet(ipv4(tcp(seq=0xFFFF_FFFF, ack=0, flags=SYN, options=options))),
        ethernet(ipv4(tcp(b"payload", options=sack), options=b"\x01" * 8)),
        ethernet(ipv6(tcp(flags=0x1FF, window=0))),
        ethernet(ipv4(tcp(b"x" * 3000), total_len=0)),
        ethernet(ipv4(tcp(b"padded"))) + bytes(20),
        ethernet(vlan(300, vlan(7, ipv4(tcp())), VLAN), 0x88A8),
        ethernet(vlan(7, vlan(300, ipv4(tcp()), 0x0800), VLAN), VLAN),
        ethernet(ipv4(whole[:64], fragment=MORE)),
        ethernet(bytes(28), 0x0806),
        ethernet(ipv4(whole[64:], fragment=8)),
        ethernet(unreachable("203.0.113.9", quoted, code=13)),
        ethernet(unreachable("2001:db8::9", quoted6, code=1)),
        ethernet(ipv4(b"\x0b\x00" + bytes(6) + ipv4(tcp(seq=77))[:28], 1)),
        ethernet(ipv4(tcp(header_len=16))),
        ethernet(ipv4(tcp(header_len=24))),
    ]
    assert assert_same(write(tmp_path / "headers.pcap", frames)) == 13


def test_tls_alerts_give_the_same_rows(tmp_path: Path) -> None:
    """Whole, among other data, cut by the snap length, and behind options."""
    alert = bytes.fromhex("15030300020100")
    times = b"\x01\x01\x08\x0a" + bytes([0, 0, 0, 1, 0, 0, 0, 2])
    frames = [
        ethernet(ipv4(tcp(alert))),
        ethernet(ipv6(tcp(alert, options=times))),
        ethernet(ipv4(tcp(alert + b"x"))),
        ethernet(ipv4(tcp(b"SELECT 1 + 1;\n", sport=443))),
        ethernet(ipv4(tcp(bytes.fromhex("1703030013") + bytes(19)))),
        ethernet(ipv4(tcp(b""))) + alert,
    ]
    assert assert_same(write(tmp_path / "alerts.pcap", frames)) == len(frames)
    cut = [frame[:58] for frame in frames[2:5]]
    path = tmp_path / "cut.pcapng"
    section = Section()
    for frame, kept in zip(frames[2:5], cut, strict=True):
        number = section.interface(snaplen=58)
        block = struct.pack("<IIIII", number, 0, 58, 58, len(frame)) + kept + bytes(-58 % 4)
        section.block(6, block)
    path.write_bytes(section.to_bytes())
    assert assert_same(path) == len(cut)


def test_frames_that_were_cut_give_the_same_rows(tmp_path: Path) -> None:
    """Cut after the header, inside its options, after them and inside the payload."""
    times = b"\x01\x01\x08\x0a" + bytes([0, 0, 0, 1, 0, 0, 0, 2])
    section = Section()
    cuts = [(54, b""), (60, b""), (54, times), (58, times), (65, times), (66, times), (67, times), (100, times)]
    for cut, options in cuts:
        frame = ethernet(ipv4(tcp(b"x" * 200, seq=cut, options=options)))
        kept = frame[:cut] + bytes(-cut % 4)
        number = section.interface(snaplen=cut)
        section.block(6, struct.pack("<IIIII", number, 0, cut, cut, len(frame)) + kept)
    path = tmp_path / "cut.pcapng"
    path.write_bytes(section.to_bytes())
    assert assert_same(path) == len(cuts)


@pytest.mark.parametrize("name", ["pcapng_two_sections.pcapng", "pcapng_simple_packets.pcapng", "pcap_gzip.pcap.gz"])
def test_containers_give_the_same_rows(name: str) -> None:
    assert assert_same(format_capture(name)) == 10


def test_more_frames_than_a_batch_and_several_chunks_hold(tmp_path: Path) -> None:
    frames = [ethernet(ipv4(tcp(seq=n))) for n in range(10_000)]
    assert assert_same(write(tmp_path / "many.pcap", frames)) == 10_000


# What only Wireshark reads


def snoop(frames: list[bytes]) -> bytes:
    """A capture of Solaris snoop (RFC 1761), which the native reader does not know."""
    parts = [b"snoop\0\0\0" + (2).to_bytes(4, "big") + (4).to_bytes(4, "big")]
    for frame in frames:
        pad = -len(frame) % 4
        words = (len(frame), len(frame), 24 + len(frame) + pad, 0, 1_700_000_000, 5)
        parts.append(b"".join(word.to_bytes(4, "big") for word in words) + frame + bytes(pad))
    return b"".join(parts)


def test_auto_takes_pyshark_for_a_format_that_only_wireshark_knows(tmp_path: Path) -> None:
    path = tmp_path / "old.snoop"
    path.write_bytes(snoop([ethernet(ipv4(tcp(seq=3)))]))
    reading = read_input(str(path), "auto")
    assert [(row.seq, row.time_ns) for row in reading.rows] == [(3, 1_700_000_000 * SECOND + 5000)]
    assert (reading.capture.reader, reading.capture.format) == ("pyshark", "read by Wireshark")
    assert reading.capture.link_types == ("eth",)


@pytest.mark.parametrize("container", ["pcap", "pcapng"])
def test_auto_takes_pyshark_for_a_link_type_that_only_wireshark_knows(container: str, tmp_path: Path) -> None:
    """IEEE 802.11: a data frame with LLC and SNAP."""
    wireless = b"\x08\x00\x00\x00" + bytes(18) + b"\x00\x00" + b"\xaa\xaa\x03\0\0\0\x08\x00" + ipv4(tcp(seq=8))
    path = tmp_path / "wireless.cap"
    section = Section()
    section.interface(105)
    section.packet((SECOND, wireless))
    path.write_bytes(pcap([(SECOND, wireless)], 105) if container == "pcap" else section.to_bytes())
    reading = read_input(str(path), "auto")
    assert [(row.seq, row.frame, row.time_ns) for row in reading.rows] == [(8, 1, SECOND)]
    assert reading.capture.reader == "pyshark"


def test_a_link_type_that_comes_late_leaves_no_row_twice(tmp_path: Path) -> None:
    section = Section()
    section.interface(1)
    section.packet((SECOND, ethernet(ipv4(tcp(seq=1)))))
    section.interface(105)
    section.packet((SECOND, ethernet(ipv4(tcp(seq=2)))))
    path = tmp_path / "late.pcapng"
    path.write_bytes(section.to_bytes())
    assert [row.seq for row in read_input(str(path), "auto").rows] == [1, 2]


# Where the bytes come from


def test_an_open_file_a_compressed_one_and_a_pipe_are_copied_for_tshark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pcap([(SECOND, ethernet(ipv4(tcp(seq=4))))])
    # A directory of its own, since other tests may be making copies just now.
    (tmp_path / "copies").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "copies"))
    (tmp_path / "a.pcap.bz2").write_bytes(bz2.compress(data))
    assert [row.seq for row in read_input(io.BytesIO(gzip.compress(data)), "pyshark").rows] == [4]
    assert [row.seq for row in read_input(str(tmp_path / "a.pcap.bz2"), "pyshark").rows] == [4]
    assert list((tmp_path / "copies").iterdir()) == []


def test_a_ring_of_files_is_one_capture(tmp_path: Path) -> None:
    paths = [str(write(tmp_path / f"{n}.pcap", [ethernet(ipv4(tcp(seq=10 * n)))] * 2, start_s=2 * n)) for n in range(3)]
    reading = read_inputs(paths, "pyshark")
    assert [(row.frame, row.seq) for row in reading.rows] == [(1, 0), (2, 0), (3, 10), (4, 10), (5, 20), (6, 20)]


@pytest.mark.parametrize("name", ["-r.pcap", "täglich $(touch x).pcap"])
def test_names_are_handed_on_as_they_are(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path(name), [ethernet(ipv4(tcp(seq=4)))])
    assert [row.seq for row in read_input(name, "pyshark").rows] == [4]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_it_runs_inside_another_event_loop(tmp_path: Path) -> None:
    """As in a notebook, where a loop is running already."""
    path = write(tmp_path / "a.pcap", [ethernet(ipv4(tcp(seq=4)))])

    async def inside() -> Reading:
        return read_input(str(path), "pyshark")

    assert [row.seq for row in asyncio.run(inside()).rows] == [4]


# What goes wrong


def test_without_tshark_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "old.snoop"
    path.write_bytes(snoop([ethernet(ipv4(tcp()))]))
    with pytest.raises(CaptureError, match="apt install tshark") as caught:
        read_input(str(path), "auto")
    assert "not a capture that is known here" in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"#!/bin/sh\n" * 50, b"\x28\xb5\x2f\xfd" + bytes(50)], ids=["a script", "bad zstd"]
)
def test_what_wireshark_does_not_know_either_is_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(CaptureError, match="tshark cannot read it") as caught:
        read_input(str(path), "pyshark")
    assert "\n" not in str(caught.value)
    assert "Running as" not in str(caught.value)


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_file_cut_short_gives_what_it_holds_and_says_so(cut: int, tmp_path: Path) -> None:
    path = write(tmp_path / "cut.pcap", [ethernet(ipv4(tcp(seq=n))) for n in range(3)])
    path.write_bytes(path.read_bytes()[:-cut])
    reading = read_input(str(path), "pyshark")
    assert [row.seq for row in reading.rows] == [0, 1]
    assert "cut short" in reading.capture.truncated


def test_a_damaged_file_gives_what_came_before_and_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "damaged.pcap", [ethernet(ipv4(tcp(seq=n))) for n in range(100)])
    path.write_bytes(path.read_bytes() + b"\xff" * 64)
    reading = read_input(str(path), "pyshark")
    assert [row.seq for row in reading.rows] == list(range(100))
    assert "damaged or corrupt" in reading.capture.truncated


def children() -> set[str]:
    """The process identifiers of this process's children called tshark."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = status.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        if name == "tshark" and rest.split()[1] == str(os.getpid()) and rest.split()[0] != "Z":
            found.add(status.parent.name)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")
@pytest.mark.parametrize("wait_s", [0, 2], ids=["at once", "when every buffer is full"])
@pytest.mark.parametrize("how", ["close", "forget"])
def test_tshark_is_ended_when_nobody_reads_on(how: str, wait_s: float, tmp_path: Path) -> None:
    path = write(tmp_path / "long.pcap", [ethernet(ipv4(tcp(seq=n))) for n in range(30_000)])
    records = WiresharkRecords(str(path), Decoder())
    records.fill(SegmentBatch())
    assert children()
    time.sleep(wait_s)
    if how == "close":
        records.close()
    del records
    deadline = time.monotonic() + 10
    while children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not children()


def test_nothing_is_printed_and_no_warning_is_given(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pcap", [ethernet(ipv4(tcp(seq=n))) for n in range(3000)])
    code = (
        "import sys; from pcapflow.reader import open_capture; from pcapflow.reader.segment_batch import SegmentBatch\n"
        f"whole = open_capture([{str(path)!r}], 'pyshark')\nwhile whole.read(SegmentBatch()): pass\n"
        f"part = open_capture([{str(path)!r}], 'pyshark'); part.read(SegmentBatch())\n"
        "sys.exit(0)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, check=False, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
