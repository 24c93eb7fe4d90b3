"""Payload in the whole: what is read for it, what outputs show of it, and what happens where there is no tshark."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import pcapflow
from pcapflow.anonymize import anonymized
from pcapflow.cli.main import run
from pcapflow.payload import read as payload_read
from pcapflow.payload.said import NOTHING
from pcapflow.reader.open import OpenCapture
from pcapflow.reader.segment_batch import SegmentBatch
from tests.payload.conversations import Step, Talk, postgres_error, postgres_startup, spoken, written
from tests.reader.frames import ACK, RST, UDP, ethernet, ipv4, tcp, vxlan

EXCHANGE: list[Step] = [
    (">", b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("<", b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"),
]
WHAT = "GET /health -> 500 Internal Server Error"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two connections: one that the server aborts after an answer, and one whose protocol nobody knows."""
    first = spoken(EXCHANGE)
    talk = Talk(client_port=40_001).open()
    talk.say(">", b"\x01\x02\x03")
    last = tcp(
        sport=7000, dport=40_000, seq=5001 + len(EXCHANGE[1][1]), ack=1001 + len(EXCHANGE[0][1]), flags=RST | ACK
    )
    reset = ethernet(ipv4(last, src=b"\xc63d\x02", dst=b"\xc0\0\x02\x01"))
    return written(tmp_path / "a.pcap", [*first, reset, *talk.frames])


def no_programs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes tshark away, wherever it is."""
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("pcapflow.reader.tshark.process.get_process_path", lambda: (_ for _ in ()).throw(OSError()))


def no_tshark_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks what connections said fails."""

    def asked(*_: object) -> None:
        raise AssertionError("somebody asked")

    monkeypatch.setattr(payload_read, "read_payload", asked)


# What is read


def test_nothing_is_asked_unless_somebody_wants_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_tshark_is_started(monkeypatch)
    analysis = pcapflow.analyze(path)
    assert analysis.payload is NOTHING
    assert analysis.flows["what"].isna().all()


@pytest.mark.usefixtures("tshark")
def test_a_compressed_file_and_a_file_object_are_asked_too(path: Path, tmp_path: Path) -> None:
    packed = tmp_path / "b.pcap.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    for item in (packed, io.BytesIO(path.read_bytes())):
        assert pcapflow.analyze(item, payload=True).payload.what(0) == WHAT


@pytest.mark.usefixtures("tshark")
def test_tunnels_and_fragments_are_no_obstacle(tmp_path: Path) -> None:
    talk = Talk(port=443).open()
    talk.say(">", EXCHANGE[0][1])
    answer = tcp(EXCHANGE[1][1], sport=443, dport=40_000, seq=5001, ack=talk.next[0], flags=ACK)
    ends: dict[str, Any] = {"src": b"\xc63d\x02", "dst": b"\xc0\0\x02\x01", "ident": 77}
    pieces = [ipv4(answer[:40], fragment=0x2000, **ends), ipv4(answer[40:], fragment=5, **ends)]
    inner = [*talk.frames, *map(ethernet, pieces)]
    plain = written(tmp_path / "plain.pcap", inner)
    tunnelled = written(tmp_path / "tunnelled.pcap", [ethernet(ipv4(vxlan(frame), UDP)) for frame in inner])
    for capture in (plain, tunnelled):
        assert pcapflow.analyze(capture, payload=True).payload.what(0) == WHAT


def test_an_input_that_cannot_be_read_twice_gives_nothing(path: Path, tshark: str) -> None:
    del tshark

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    payload = pcapflow.analyze(Pipe(path.read_bytes()), payload=True).payload
    assert payload.said == {}
    assert "cannot be read a second time" in payload.note


def test_what_only_tshark_can_read_gives_nothing(path: Path, tshark: str) -> None:
    del tshark
    payload = pcapflow.analyze(path, reader="pyshark", payload=True).payload
    assert payload.said == {}
    assert "by tshark only" in payload.note


@pytest.mark.usefixtures("tshark")
def test_of_a_long_capture_the_ends_of_connections_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    talk = Talk().open()
    talk.say(*EXCHANGE[0])
    noise = Talk(client_port=50_000).open()
    for _ in range(30_000):
        noise.say(">", b"x")
    talk.say(*EXCHANGE[1])
    path = written(tmp_path / "a.pcap", [*talk.frames[:4], *noise.frames, talk.frames[4]])
    analysis = pcapflow.analyze(path)
    reads = 0
    read = OpenCapture.read

    def counted(self: OpenCapture, batch: SegmentBatch) -> bool:
        nonlocal reads
        reads += 1
        return read(self, batch)

    monkeypatch.setattr(OpenCapture, "read", counted)
    analysis.ask([0])
    assert analysis.payload.what(0) == WHAT
    assert reads <= 7  # of fifteen


@pytest.mark.usefixtures("tshark")
def test_the_words_of_more_connections_than_are_shown_are_not_asked(tmp_path: Path) -> None:
    frames = [frame for n in range(450) for frame in spoken(EXCHANGE, client_port=10_000 + n)]
    payload = pcapflow.analyze(written(tmp_path / "a.pcap", frames), payload=True).payload
    assert (payload.flows, payload.frames, len(payload.said)) == (200, 400, 200)
    assert set(payload.said) == set(range(200))


@pytest.mark.usefixtures("tshark")
def test_ports_used_by_several_protocols_are_each_understood(tmp_path: Path) -> None:
    database: list[Step] = [
        (">", postgres_startup(b"a", b"b")),
        ("<", postgres_error(b"FATAL", b"57P03", b"the database system is starting up")),
    ]
    # The same tuple twice, and port 80 for a database.
    frames = [*spoken(EXCHANGE, port=80), *spoken(database, port=80, seq=900_000_000)]
    payload = pcapflow.analyze(written(tmp_path / "a.pcap", frames), payload=True).payload
    assert [payload.what(flow) for flow in (0, 1)] == [
        WHAT,
        "postgres: FATAL 57P03 the database system is starting up",
    ]


# Without tshark


def test_without_tshark_the_report_is_whole_and_says_how_to_get_it(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_programs(tmp_path, monkeypatch)
    analysis = pcapflow.analyze(path, payload=True)
    assert analysis.payload.said == {}
    assert "apt install tshark" in analysis.payload.note
    page, plain = analysis.to_html(), pcapflow.analyze(path).to_html()
    assert page.replace(f'<p class="aside">{analysis.payload.note}</p>\n', "") == plain


@pytest.mark.usefixtures("tshark")
def test_a_tshark_that_fails_leaves_a_note(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "tshark"
    program.write_text("#!/bin/sh\necho 'tshark: \x1b[31mno' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    payload = pcapflow.analyze(path, payload=True).payload
    assert payload.note == r"What the connections said is not told, or only in part: \x1b[31mno."


# In outputs


@pytest.mark.usefixtures("tshark")
def test_outputs_have_the_words(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["analyze", str(path), "-o", "a.html", "--json", "a.json", "--tables", "tables", "-q"]) == 0
    page = Path("a.html").read_text()
    assert "GET /health -&gt; 500 Internal Server Error" in page
    flows = json.loads(Path("a.json").read_text())["flows"]
    assert [flow["what"] for flow in flows if flow["flow"] == 0] == [WHAT]
    table = pd.read_csv("tables/flows.csv")
    assert table["what"].tolist()[0] == WHAT
    assert pd.isna(table["what"].tolist()[1])


@pytest.mark.parametrize("option", ["--no-payload", "--anonymize", "--no-report"])
def test_outputs_that_are_to_have_none_start_no_program(
    option: str, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    no_tshark_is_started(monkeypatch)
    assert run(["analyze", str(path), option, "-q"]) == 0
    assert all("/health" not in page.read_text() for page in tmp_path.glob("*.html"))


@pytest.mark.usefixtures("tshark")
def test_an_anonymous_analysis_has_no_words(path: Path) -> None:
    analysis = anonymized(pcapflow.analyze(path, payload=True))
    assert analysis.payload is NOTHING
    assert "/health" not in analysis.to_html() + analysis.to_json()
    analysis.ask()
    assert analysis.payload is NOTHING


@pytest.mark.usefixtures("tshark")
def test_show_tells_what_its_connection_said(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", str(path), "0"]) == 0
    assert f"\nsaid: {WHAT}\n" in capsys.readouterr().out
    assert run(["show", str(path), "0", "--no-payload"]) == 0
    assert "said:" not in capsys.readouterr().out
    assert run(["show", str(path), "1"]) == 0
    assert "said:" not in capsys.readouterr().out


@pytest.mark.usefixtures("tshark")
@pytest.mark.parametrize("count", [1, 2])
def test_a_batch_tells_it_where_it_is_asked(count: int, path: Path, tmp_path: Path) -> None:
    captures = tmp_path / "captures"
    captures.mkdir()
    for number in range(count):
        (captures / f"{number}.pcap").write_bytes(path.read_bytes())
    for options, expected in ((["--payload"], WHAT), ([], None)):
        output = tmp_path / f"out{len(options)}"
        command = [sys.executable, "-m", "pcapflow", "batch", str(captures), "-o", str(output), "-q", *options]
        assert subprocess.run(command, check=False).returncode == 0
        for number in range(count):
            flows = json.loads((output / f"{number}.json").read_text())["flows"]
            assert [flow["what"] for flow in flows if flow["flow"] == 0] == [expected]
