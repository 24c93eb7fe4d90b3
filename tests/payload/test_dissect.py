"""tshark as it should not be: it hangs, it fails, it prints what nobody can read; and what is cut out for it."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path

import pytest

from pcapflow.payload.choose import Sent
from pcapflow.payload.cut import FIRST_PORT, MOST_BYTES, Excerpt, Origin, filled, write_capture
from pcapflow.payload.dissect import Dissection, dissect
from pcapflow.payload.stream import Piece
from pcapflow.tcp.states import CLIENT, SERVER
from tests.reader.frames import read


def pretender(folder: Path, script: str) -> str:
    """A program in tshark's place."""
    program = folder / "tshark"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


@pytest.fixture
def excerpt(tmp_path: Path) -> Path:
    path = tmp_path / "excerpt.pcap"
    write_capture(path, [Excerpt(0, ("http", "http"), [Sent(CLIENT, Piece(1, 1, b"x", 1, 1))])])
    return path


def frame(number: object, **layers: object) -> str:
    """A line as tshark prints it."""
    return json.dumps({"timestamp": "0", "layers": {"frame": {"frame_frame_number": number}, **layers}})


@pytest.mark.parametrize(
    "hangs",
    ["exec sleep 60", "sleep 60", "trap '' TERM INT; exec sleep 60", "while :; do echo '{}'; sleep 0.01; done"],
    ids=["one process", "its child holds the pipes", "it ignores signals", "it prints without end"],
)
def test_a_tshark_that_does_not_end_is_killed_at_the_limit(hangs: str, tmp_path: Path, excerpt: Path) -> None:
    begun = time.monotonic()
    found = dissect(pretender(tmp_path, hangs), excerpt, {}, limit_s=0.5)
    assert time.monotonic() - begun < 4
    assert found == Dissection({}, "tshark took longer than 0.5 s and was ended")


def test_what_was_said_before_the_limit_counts(tmp_path: Path, excerpt: Path) -> None:
    lines = "\n".join(frame(str(number + 1), http={"http_http_request_method": "GET"}) for number in range(20))
    (tmp_path / "said").write_text(lines + "\n")
    found = dissect(pretender(tmp_path, f"cat {tmp_path}/said; exec sleep 60"), excerpt, {}, limit_s=1)
    assert len(found.layers) == 16
    assert found.layers[1][0].first("request.method") == "GET"


def test_a_tshark_that_fails_is_quoted(tmp_path: Path, excerpt: Path) -> None:
    script = "echo 'tshark: Unknown protocol -- resp' >&2; exit 1"
    assert dissect(pretender(tmp_path, script), excerpt, {}) == Dissection({}, "Unknown protocol -- resp")
    assert dissect(pretender(tmp_path, "exit 3"), excerpt, {}).fault == "it ended with status 3"


def test_output_that_makes_no_sense_gives_nothing(tmp_path: Path, excerpt: Path) -> None:
    lines = [
        "not json",
        json.dumps({"layers": 7}),
        frame("x", http={}),
        frame(None, http={}),
        frame("3", http=[7, None, ["a"], {"http_http_request_method": [["GET"], {"deep": {"deeper": "x"}}]}]),
        frame("4", http="text", other={"a": 1}),
    ]
    (tmp_path / "said").write_text("\n".join(lines) + "\n")
    found = dissect(pretender(tmp_path, f"exec cat {tmp_path}/said"), excerpt, {})
    assert found.fault == ""
    assert set(found.layers) == {3, 4}
    assert [layer.first("request.method") for layer in found.layers[3]] == ["", "", "", "GET"]


def test_fields_are_bounded_in_number_and_length(tmp_path: Path, excerpt: Path) -> None:
    long = {"http_text": ["x" * 1100] * 70}
    many = {f"http_{n}": "x" for n in range(2100)}
    (tmp_path / "said").write_text(frame("1", http=[long, many, *[{}] * 70]) + "\n")
    found = dissect(pretender(tmp_path, f"exec cat {tmp_path}/said"), excerpt, {}).layers[1]
    assert len(found) == 64
    assert found[0].fields == {"text": ["x" * 1000] * 64}
    assert len(found[1].fields) < 2000


# What is cut out


def test_a_connection_has_addresses_of_its_own_and_a_port_for_its_protocol(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    asked, answered = Piece(0xFFFF_FFFF, 5, b"hello", 7, 1_700_000_000_000_000_001), Piece(5, 2, b"ok", 9, 2)
    other = Piece(1, 1, b"x", 8, 3)
    origins, ports = write_capture(
        path,
        [
            Excerpt(4, ("http", "tls"), [Sent(CLIENT, asked), Sent(SERVER, answered)]),
            Excerpt(2, ("http", "http"), [Sent(CLIENT, other)]),
        ],
    )
    assert origins == [Origin(4, CLIENT, 7), Origin(2, CLIENT, 8), Origin(4, SERVER, 9)]
    assert ports == {"http": FIRST_PORT, "tls": FIRST_PORT + 1}
    rows = read(path.read_bytes()).rows
    assert [(row.sport, row.dport) for row in rows] == [
        (40_000, FIRST_PORT),
        (40_000, FIRST_PORT),
        (FIRST_PORT + 1, 40_000),
    ]
    assert rows[0].src != rows[1].src
    assert (rows[0].seq, rows[0].payload_len, rows[0].time_ns) == (0xFFFF_FFFF, 5, 1_700_000_000_000_000_001)


def test_a_segment_of_offload_is_written_cut_short_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    long = Piece(1, 200_000, b"x" * MOST_BYTES, 1, 0)
    write_capture(path, [Excerpt(0, ("http", "http"), [Sent(SERVER, long)])])
    captured, wire = struct.unpack("=II", path.read_bytes()[24 + 8 : 24 + 16])
    assert (captured, wire) == (40 + MOST_BYTES, 65_535)
    (row,) = read(path.read_bytes()).rows
    assert row.payload_len == 65_535 - 40


@pytest.mark.parametrize(
    ("protocol", "sent", "written", "length"),
    [
        ("tls", b"\x16\x03\x01\x02\x00", b"\x16\x03\x01\x02\x00\0\0\0\0\0", 10),
        ("resp", b"-NOAU", b"-NOAU\r\n", 7),
        ("pgsql", b"E\0\0\0\x40", b"E\0\0\0\x40", 10),
    ],
)
def test_what_a_snap_length_cut_off_is_filled_where_tshark_would_wait_for_it(
    protocol: str, sent: bytes, written: bytes, length: int
) -> None:
    piece = filled(Piece(1, 10, sent, 1, 0), protocol)

    assert (piece.data, piece.length) == (written, length)


def test_a_whole_segment_is_left_as_it_is() -> None:
    piece = Piece(1, 5, b"-NOAU", 1, 0)

    assert filled(piece, "resp") is piece
