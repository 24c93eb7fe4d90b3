"""Where bytes come from: paths, pipes, open files, compression, and the line that says what is wrong."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import pytest

from fixtures.containers import pcap
from pcapflow.errors import CaptureError, UnknownFormat
from pcapflow.reader import open_capture
from pcapflow.reader.source import CHUNK_BYTES, open_source
from tests.reader.frames import Reading, ethernet, ipv4, read, read_input, read_inputs, tcp

RECORD = 16 + 14 + 20 + 20 + 30
COUNT = 3000
NOISE = random.Random(5)
CAPTURE = pcap([(n, ethernet(ipv4(tcp(NOISE.randbytes(30), seq=n)))) for n in range(COUNT)])


class Trickle(io.RawIOBase):
    """A stream that gives a few bytes at a time, as a slow pipe may."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data = data
        self._at = 0
        self._step = step

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        step = self._step if size is None or size < 0 else min(self._step, size)
        piece = self._data[self._at : self._at + step]
        self._at += len(piece)
        return piece


def seqs(reading: Reading) -> list[int]:
    return [row.seq for row in reading.rows]


@pytest.mark.parametrize("step", [1, 7, 4096])
def test_a_pipe_may_give_its_bytes_in_any_pieces(step: int) -> None:
    data = CAPTURE[: 24 + 50 * RECORD]
    reading = read_input(Trickle(data, step), "native")  # type: ignore[arg-type]
    assert seqs(reading) == list(range(50))


@pytest.mark.parametrize("step", [1, 4096])
def test_compressed_bytes_may_trickle_too(step: int) -> None:
    data = gzip.compress(CAPTURE[: 24 + 50 * RECORD])
    assert seqs(read_input(Trickle(data, step), "native")) == list(range(50))  # type: ignore[arg-type]


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_compression_is_known_by_its_magic(compress: type[bytes], tmp_path: Path) -> None:
    path = tmp_path / "name-without-a-suffix"
    path.write_bytes(compress(CAPTURE))
    reading = read_input(str(path), "native")
    assert seqs(reading) == list(range(COUNT))
    assert (reading.capture.truncated, reading.capture.size_bytes) == ("", path.stat().st_size)


def test_gzip_members_one_after_another_are_one_file() -> None:
    half = len(CAPTURE) // 2
    assert seqs(read(gzip.compress(CAPTURE[:half]) + gzip.compress(CAPTURE[half:]))) == list(range(COUNT))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_gzip_that_ends_early_gives_all_it_holds(share: float) -> None:
    whole = gzip.compress(CAPTURE)
    cut = whole[: int(len(whole) * share)]
    there = len(zlib.decompressobj(31).decompress(cut))
    reading = read(cut)
    assert seqs(reading) == list(range((there - 24) // RECORD))
    assert "cannot be read further" in reading.capture.truncated


def test_a_gzip_with_a_wrong_checksum_gives_all_and_says_so() -> None:
    damaged = bytearray(gzip.compress(CAPTURE))
    damaged[-5] ^= 0xFF
    damaged[-6] ^= 0xFF
    reading = read(bytes(damaged))
    assert len(reading.rows) == COUNT
    assert "cannot be read further" in reading.capture.truncated


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress])
def test_damage_in_the_middle_keeps_what_came_before(compress: type[bytes]) -> None:
    damaged = bytearray(compress(CAPTURE))
    middle = len(damaged) // 2
    damaged[middle : middle + 50] = b"\xff" * 50
    reading = read(bytes(damaged))
    assert reading.capture.truncated
    assert len(reading.rows) > COUNT // 4
    assert seqs(reading)[: COUNT // 4] == list(range(COUNT // 4))


def test_bzip2_keeps_the_blocks_before_the_damage() -> None:
    """A block of bzip2 holds up to 900 kB and is decoded as a whole: damage in the first leaves nothing."""
    blocks = bz2.compress(CAPTURE), bytearray(bz2.compress(CAPTURE[24:]))
    blocks[1][len(blocks[1]) // 2] ^= 0xFF
    reading = read(b"".join(blocks))
    assert seqs(reading)[:COUNT] == list(range(COUNT))
    assert reading.capture.truncated


def test_standard_input_is_read_as_it_comes() -> None:
    code = (
        "from pcapflow.reader import open_capture\n"
        "from pcapflow.reader.segment_batch import COL_SEQ, COLUMNS, SegmentBatch\n"
        "opened, batch, seqs, more = open_capture(['-']), SegmentBatch(), [], True\n"
        "while more:\n    more = opened.read(batch)\n"
        "    seqs += [batch.cells[i * COLUMNS + COL_SEQ] for i in range(batch.size)]\n"
        "print(*seqs)"
    )
    data = CAPTURE[: 24 + 5 * RECORD]
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for byte in data:
            process.stdin.write(bytes([byte]))
            process.stdin.flush()
        process.stdin.close()
        assert process.stdout.read().split() == [b"0", b"1", b"2", b"3", b"4"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_read_once(tmp_path: Path) -> None:
    """As `pcapflow analyze <(ssh host tcpdump ...)` passes one; the checksum of a file must not drink from it."""
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(CAPTURE,))
    writer.start()
    reading = read_input(str(fifo), "native")
    writer.join()
    assert seqs(reading) == list(range(COUNT))


def test_an_open_file_is_read_from_where_it_stands_and_left_open() -> None:
    stream = io.BytesIO(b"prefix" + CAPTURE)
    stream.seek(6)
    assert len(read_input(stream, "native").rows) == COUNT
    assert not stream.closed


def test_the_file_of_a_path_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(CAPTURE)
    source = open_source(path)
    assert len(source.read()) == CHUNK_BYTES
    source.close()
    assert source.read() == b""
    assert "closed file" in source.failure


def test_a_ring_of_files_is_one_capture(tmp_path: Path) -> None:
    paths = []
    for n in range(3):
        path = tmp_path / f"{n}.pcap"
        path.write_bytes(pcap([(n, ethernet(ipv4(tcp(seq=n))))]))
        paths.append(str(path))
    reading = read_inputs(paths, "native")
    assert [(row.frame, row.seq) for row in reading.rows] == [(1, 0), (2, 1), (3, 2)]
    assert reading.capture.frames == 3


# What is wrong


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"#!/bin/sh\necho hello\n", "not a capture that is known here (it begins with 23 21 2f 62)"),
        (b"\xd4", "not a capture that is known here (it begins with d4)"),
        (gzip.compress(b""), "empty inside its compression"),
        (gzip.compress(b"text"), "not a capture that is known here (it begins with 74 65 78 74)"),
        (b"\x1f\x8b" + b"\xff" * 50, "cannot be read further"),
        (b"BZh9" + b"\xff" * 50, "cannot be read further"),
        (b"\xfd7zXZ\x00" + b"\xff" * 50, "cannot be read further"),
    ],
    ids=["empty", "a script", "one byte", "empty gzip", "text in gzip", "bad gzip", "bad bzip2", "bad xz"],
)
def test_what_is_no_capture_is_named(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(CaptureError) as caught:
        open_capture([str(path)], "native")
    assert reason in caught.value.reason
    assert caught.value.path == str(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_directory(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="no such file"):
        open_capture([str(tmp_path / "missing.pcap")])
    with pytest.raises(CaptureError, match="is a directory"):
        open_capture([str(tmp_path)])


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "secret.pcap"
    path.write_bytes(CAPTURE)
    path.chmod(0)
    with pytest.raises(CaptureError, match="permission denied"):
        open_capture([str(path)])


def test_a_name_that_no_file_can_have() -> None:
    with pytest.raises(CaptureError):
        open_capture(["a\0b"])


def test_standard_input_that_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(CaptureError, match="standard input is closed"):
        open_capture(["-"])


def test_a_stream_that_fails_at_once_is_an_error_and_later_a_capture_cut_short() -> None:
    class Failing(Trickle):
        def read(self, size: int | None = -1, /) -> bytes:
            if self._at >= self._step * 2:
                raise OSError(5, "Input/output error")
            return super().read(size)

    with pytest.raises(CaptureError, match="input/output error"):
        open_capture([Failing(CAPTURE, 0)], "native")  # type: ignore[list-item]
    reading = read_input(Failing(CAPTURE, 24 + 10 * RECORD), "native")  # type: ignore[arg-type]
    assert len(reading.rows) == 20
    assert "input/output error" in reading.capture.truncated


def test_an_unknown_format_is_told_apart_so_that_another_engine_can_try(tmp_path: Path) -> None:
    path = tmp_path / "a.erf"
    path.write_bytes(bytes(100))
    with pytest.raises(UnknownFormat):
        open_capture([str(path)], "native")
