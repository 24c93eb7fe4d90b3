"""Variants of classic pcap that only their records tell apart, and ordinary files that must not be taken for one."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from fixtures.containers import pcap
from tests.reader.frames import ethernet, ipv4, read, tcp

SECOND = 1_000_000_000
START_NS = 1_400_000_000 * SECOND
RECORDS = [(START_NS + n * 1_234_567_000, ethernet(ipv4(tcp(b"x" * (7 * n), seq=n)))) for n in range(5)]

VARIANTS = {
    # name: (magic number, bytes after the usual sixteen of a record's header)
    "pcap": (0xA1B2C3D4, b""),
    "pcap (Nokia)": (0xA1B2C3D4, b"\x00\x00\x00\x11"),
    "pcap (ss990417, Red Hat 6.1)": (0xA1B2C3D4, struct.pack("<IHBB", 3, 0x0800, 4, 0)),
    "modified": (0xA1B2CD34, struct.pack("<IHBB", 3, 0x0800, 4, 0)),
    "pcap (ss990915, SuSE 6.3)": (0xA1B2CD34, struct.pack("<IHBBBBBB", 3, 0x0800, 4, 0, 1, 2, 3, 0)),
}


def file_of(name: str, records: Sequence[tuple[int, bytes]], order: str = "<", link: int = 1) -> bytes:
    magic, more = VARIANTS[name]
    parts = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65_535, link)]
    for time_ns, frame in records:
        seconds, rest = divmod(time_ns, SECOND)
        parts.append(struct.pack(order + "IIII", seconds, rest // 1000, len(frame), len(frame)) + more + frame)
    return b"".join(parts)


@pytest.mark.parametrize("order", ["<", ">"], ids=["little endian", "big endian"])
@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_variant_is_read_whole(name: str, order: str, count: int) -> None:
    reading = read(file_of(name, RECORDS[:count], order))
    assert [(row.seq, row.time_ns) for row in reading.rows] == [(n, RECORDS[n][0]) for n in range(count)]
    assert reading.capture.format == ("pcap" if name == "modified" else name)
    assert reading.capture.truncated == ""


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "pcap"])
def test_a_variant_that_is_cut_off_keeps_what_came_before(name: str) -> None:
    reading = read(file_of(name, RECORDS)[:-5])
    assert [row.seq for row in reading.rows] == [0, 1, 2, 3]
    assert "inside the record after frame 4" in reading.capture.truncated


def cut(count: int, more: int) -> bytes:
    """An ordinary file of so many records that ends a few bytes after them."""
    return file_of("pcap", RECORDS[:count]) + file_of("pcap", RECORDS)[24 : 24 + more]


ORDINARY = {
    "empty": pcap([]),
    "one record": pcap(RECORDS[:1]),
    "one record, cut inside": pcap(RECORDS[:1])[:-3],
    "one record and four bytes of the next": cut(1, 4),
    "one record and eight bytes of the next": cut(1, 8),
    "two records and four bytes of the next": cut(2, 4),
    "frames without a byte": pcap([(time_ns, b"") for time_ns, _ in RECORDS]),
    "no snap length": pcap(RECORDS, snaplen=0),
    "nanoseconds": pcap(RECORDS, nanoseconds=True),
    "the clock was set from 1970": pcap([(0, RECORDS[0][1]), *RECORDS[1:]]),
    "raw IP": pcap([(time_ns, frame[14:]) for time_ns, frame in RECORDS], 101),
    "raw IP, one record and four bytes": pcap([(RECORDS[0][0], RECORDS[0][1][14:])], 101) + bytes(4),
    "a record of four gigabytes after two": pcap(RECORDS[:2]) + struct.pack("<IIII", 0, 0, 2**32 - 1, 60) + bytes(90),
    "nanoseconds under the magic number of microseconds": file_of("pcap", [])
    + b"".join(struct.pack("<IIII", 1_400_000_000, 999_999_999, len(f), len(f)) + f for _, f in RECORDS),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_file_is_taken_for_no_variant(name: str) -> None:
    assert read(ORDINARY[name]).capture.format == "pcap"


@pytest.mark.skipif(shutil.which("editcap") is None, reason="editcap is not installed")
@pytest.mark.parametrize("kind", ["nokiapcap", "rh6_1pcap", "suse6_3pcap", "modpcap"])
def test_what_wireshark_writes_is_read_as_wireshark_reads_it(kind: str, tmp_path: Path) -> None:
    source, path = tmp_path / "source.pcap", tmp_path / kind
    source.write_bytes(pcap(RECORDS))
    subprocess.run(["editcap", "-F", kind, source, path], check=True)
    fields = ["-T", "fields", "-e", "frame.number", "-e", "frame.time_epoch", "-e", "tcp.seq_raw", "-e", "tcp.len"]
    done = subprocess.run(
        ["tshark", "-n", "-r", path, *fields],
        env={**os.environ, "TZ": "UTC"},
        capture_output=True,
        text=True,
        check=True,
    )
    reading = read(path.read_bytes())
    rows = [f"{row.frame}\t{row.time_ns / SECOND:.6f}000\t{row.seq}\t{row.payload_len}" for row in reading.rows]
    assert rows == done.stdout.splitlines()
