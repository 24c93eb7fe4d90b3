"""Compressed captures are told by their first bytes and read as streams, wherever they come from."""

from __future__ import annotations

import bz2
import gzip
import importlib
import lzma
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lz4.frame
import pytest

import pcapflow
from fixtures.containers import pcap
from pcapflow.reader.source import open_source
from tests.reader.frames import ethernet, ipv4, read, tcp
from tests.samples import CLOSED, capture

zstd: Any = importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")

SECOND = 1_000_000_000
COUNT = 3000
CAPTURE = pcap([(n * SECOND, ethernet(ipv4(tcp(os.urandom(50), seq=n)))) for n in range(COUNT)])
SKIPPABLE = b"\x57\x2a\x4d\x18\x04\x00\x00\x00skip"

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd.compress,
    "lz4": lz4.frame.compress,
}
every = pytest.mark.parametrize("kind", COMPRESSORS)


@every
def test_a_capture_is_read_from_its_compressed_form(kind: str) -> None:
    assert [row.seq for row in read(COMPRESSORS[kind](CAPTURE)).rows] == list(range(COUNT))


@every
def test_pieces_that_were_compressed_one_by_one_are_one_file(kind: str) -> None:
    compress = COMPRESSORS[kind]
    middle = len(CAPTURE) // 2
    assert len(read(compress(CAPTURE[:middle]) + compress(CAPTURE[middle:])).rows) == COUNT


@every
def test_what_is_before_a_cut_stands_and_the_cut_is_told(kind: str) -> None:
    # In two pieces, since bzip2 and lz4 are made of blocks so large that the whole of it is within one.
    compress, middle = COMPRESSORS[kind], len(CAPTURE) // 2
    reading = read(compress(CAPTURE[:middle]) + compress(CAPTURE[middle:])[:-100])
    assert COUNT // 2 - 1 <= len(reading.rows) < COUNT
    assert [row.seq for row in reading.rows] == list(range(len(reading.rows)))
    assert "the file cannot be read further" in reading.capture.truncated


@every
def test_what_follows_and_is_no_compressed_data_is_told(kind: str) -> None:
    reading = read(COMPRESSORS[kind](CAPTURE) + b"\x01garbage" * 10)
    assert len(reading.rows) in {COUNT, COUNT - 1}
    # Python's readers of bzip2 and xz pass over what follows the last stream.
    assert ("cannot be read further" in reading.capture.truncated) == (kind not in {"bzip2", "xz"})


@pytest.mark.parametrize("kind", ["zstd", "lz4"])
def test_frames_that_hold_no_data_are_passed_over(kind: str) -> None:
    """Files of pzstd begin with one. In a file of lz4 frames they may stand anywhere but there."""
    packed = COMPRESSORS[kind](CAPTURE)
    data = SKIPPABLE + packed if kind == "zstd" else packed + SKIPPABLE
    assert len(read(data).rows) == COUNT


@pytest.mark.parametrize("kind", ["zstd", "lz4"])
def test_standard_input_may_be_compressed(kind: str, tmp_path: Path) -> None:
    packed = COMPRESSORS[kind](capture(tmp_path / "a.pcap", CLOSED).read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "pcapflow", "analyze", "-", "--no-report"],
        input=packed,
        capture_output=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"1 connection: 1 closed" in done.stdout
    assert b"native reader" in done.stdout


@pytest.mark.parametrize("kind", ["zstd", "lz4"])
def test_a_ladder_is_drawn_from_a_compressed_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pcap.packed"
    path.write_bytes(COMPRESSORS[kind](capture(tmp_path / "a.pcap", CLOSED).read_bytes()))
    assert len(pcapflow.analyze(path).segments([0])[0]) > 5


@every
def test_a_file_that_expands_a_thousandfold_is_read_in_small_pieces(kind: str, tmp_path: Path) -> None:
    """Hostile compression: memory does not follow what the file claims to become."""
    path = tmp_path / "bomb"
    zeros = bytes(64 << 20)
    path.write_bytes(COMPRESSORS[kind](zeros))
    assert path.stat().st_size < len(zeros) // 100
    source = open_source(path)
    try:
        size = 0
        while piece := source.read():
            assert len(piece) <= 4 << 20
            size += len(piece)
    finally:
        source.close()
    assert size == len(zeros)


def test_a_window_larger_than_is_reasonable_is_refused() -> None:
    """Zstd --ultra --long=31 asks its reader for two gigabytes."""
    options = {zstd.CompressionParameter.window_log: 28, zstd.CompressionParameter.enable_long_distance_matching: 1}
    compressor = zstd.ZstdCompressor(options=options)
    packed = compressor.compress(CAPTURE) + compressor.flush()
    reading_or_error = None
    try:
        reading_or_error = read(packed).capture.truncated
    except pcapflow.CaptureError as error:
        reading_or_error = error.reason
    assert "cannot be read further" in reading_or_error
