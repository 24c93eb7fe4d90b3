"""Batches: what counts as a capture, what each gets, and that one bad capture stops none of the others."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from pcapflow.batch.run import analyse_all, analyse_one, find_captures, write_index
from pcapflow.config import Config
from tests.samples import CLOSED, NO_FINAL_ACK, REFUSED, capture


@pytest.fixture
def captures(tmp_path: Path) -> Path:
    """A directory with captures, one below another, and files that are none."""
    root = tmp_path / "in"
    (root / "deep" / "er").mkdir(parents=True)
    capture(root / "good.pcap", CLOSED)
    capture(root / "deep" / "good.pcap", REFUSED)
    capture(root / "deep" / "er" / "rotated.pcap3", NO_FINAL_ACK)
    (root / "broken.pcap").write_bytes(b"not a capture at all")
    (root / "notes.txt").write_text("no capture either")
    return root


def hashed(path: Path) -> str:
    """What is added to a report's name that cannot be the capture's alone."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:8]


def batch(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pcapflow", "batch", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_captures_are_found_by_name_or_by_magic_number(captures: Path, tmp_path: Path) -> None:
    found, missing = find_captures([str(captures)], tmp_path / "out")
    names = [str(Path(path).relative_to(captures)) for path in found]
    assert names == ["broken.pcap", "deep/er/rotated.pcap3", "deep/good.pcap", "good.pcap"]
    assert missing == []


def test_the_output_directory_is_not_searched(captures: Path) -> None:
    capture(captures / "deep" / "copy.pcap", CLOSED)
    found, _ = find_captures([str(captures)], captures / "deep")
    assert not any("deep" in path for path in found)


def test_a_missing_path_is_reported_and_the_others_are_found(captures: Path, tmp_path: Path) -> None:
    found, missing = find_captures([str(captures / "good.pcap"), str(tmp_path / "nowhere")], tmp_path / "out")
    assert [Path(path).name for path in found] == ["good.pcap"]
    assert [str(error) for error in missing] == [f"{tmp_path / 'nowhere'}: no such file"]


def test_two_captures_of_one_name_get_two_reports_and_none_takes_the_index(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    paths = [
        capture(tmp_path / "a" / "x.pcap", CLOSED),
        capture(tmp_path / "b" / "x.pcapng", CLOSED),
        capture(tmp_path / "b" / "index.pcap", CLOSED),
    ]
    out = tmp_path / "out"
    out.mkdir()
    outcomes = list(analyse_all([*map(str, paths)], out, reader="native", config=Config(), jobs=1))
    reports = {outcome.path: outcome.report for outcome in outcomes}
    names = ("x", "x", "index")
    assert reports == {str(p): f"{name}-{hashed(p)}.html" for name, p in zip(names, paths, strict=True)}
    assert all((out / outcome.report).is_file() for outcome in outcomes)


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_bad_capture_stops_none_of_the_others(captures: Path, tmp_path: Path, jobs: int) -> None:
    out = tmp_path / "out"
    done = batch(captures, "-o", out, "--jobs", str(jobs), cwd=tmp_path)
    assert done.returncode == 3
    complaints = [line for line in done.stderr.splitlines() if line.startswith("pcapflow: ")]
    assert len(complaints) == 1
    assert complaints[0].startswith(f"pcapflow: {captures / 'broken.pcap'}: ")
    assert "Traceback" not in done.stderr
    summary = json.loads((out / "summary.json").read_text())
    by_name = {Path(item["path"]).name + str(len(Path(item["path"]).parts)): item for item in summary["captures"]}
    assert len(by_name) == 4
    assert [item["path"] for item in summary["captures"] if item["error"]] == [str(captures / "broken.pcap")]
    for item in summary["captures"]:
        if not item["error"]:
            assert item["flows"] == 1
            assert "<html" in (out / item["report"]).read_text()
            assert json.loads((out / item["json"]).read_text())["capture"]["paths"] == [item["path"]]
    codes = {code for item in summary["captures"] for code in item["codes"]}
    assert {"PF102", "PF201"} <= codes
    index = (out / "index.html").read_text()
    assert "rotated.pcap3.html" in index
    assert "broken.pcap" in index


def test_fail_on_is_about_any_capture(captures: Path, tmp_path: Path) -> None:
    (captures / "broken.pcap").unlink()
    assert batch(captures, "-o", tmp_path / "out", "--fail-on", "medium", cwd=tmp_path).returncode == 1
    assert batch(captures / "good.pcap", "-o", tmp_path / "out", "--fail-on", "info", cwd=tmp_path).returncode == 0


def test_a_directory_without_captures_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = batch("empty", "-o", "out", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr == "pcapflow: no capture in empty\n"


def test_the_index_escapes_the_names_of_captures(tmp_path: Path) -> None:
    evil = capture(tmp_path / "<script>alert(1)<!--.pcap", CLOSED)
    outcome = analyse_one(str(evil), "evil", tmp_path, "native", Config())
    page = write_index([outcome], tmp_path).read_text()
    assert "&lt;script&gt;" in page
    assert "<script>alert" not in page


def test_a_fault_of_ours_is_one_captures_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = capture(tmp_path / "a.pcap", CLOSED)

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("pcapflow.analysis.analyze", fail)
    outcome = analyse_one(str(path), "a", tmp_path, "native", Config())
    assert "ZeroDivisionError" in outcome.error
    assert outcome.report == ""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_what_is_no_file_is_listed_with_its_reason_and_never_opened(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    os.mkfifo(tmp_path / "in" / "inside.pcap")
    (tmp_path / "in" / "link.pcap").symlink_to("inside.pcap")
    os.mkfifo(tmp_path / "pipe.pcap")
    with socket.socket(socket.AF_UNIX) as listening:
        capture(tmp_path / "in" / "good.pcap", CLOSED)
        listening.bind(os.path.relpath(tmp_path / "socket.pcap"))
        done = batch("in", "pipe.pcap", "socket.pcap", os.devnull, "-o", "out", cwd=tmp_path)
    assert done.returncode == 3
    reasons = {
        "pipe.pcap": "is a named pipe; batch reads files",
        "socket.pcap": "is a socket; batch reads files",
        os.devnull: "is a device; batch reads files",
    }
    assert done.stderr.splitlines()[:-1] == [f"pcapflow: {name}: {reason}" for name, reason in reasons.items()]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    errors = {item["path"]: item["error"] for item in summary["captures"]}
    assert errors == {**reasons, "in/good.pcap": None}


def test_what_was_asked_for_and_fired_is_not_hidden_by_what_cannot_be_read(captures: Path, tmp_path: Path) -> None:
    done = batch(captures, "-o", tmp_path / "out", "--fail-on", "medium", cwd=tmp_path)
    assert done.returncode == 1
    assert f"pcapflow: {captures / 'broken.pcap'}: " in done.stderr
    assert batch(captures, "-o", tmp_path / "out", "--fail-on", "high", cwd=tmp_path).returncode == 3


def test_junit_fails_what_the_gate_fails(captures: Path, tmp_path: Path) -> None:
    def failures(*arguments: str) -> set[str]:
        batch(captures, "-o", "out", "--junit", "junit.xml", *arguments, cwd=tmp_path)
        cases = ET.parse(tmp_path / "junit.xml").getroot().iter("testcase")
        return {case.get("name", "")[:5] for case in cases if case.find("failure") is not None}

    cut = captures / "cut.pcap"
    cut.write_bytes(capture(cut, CLOSED).read_bytes()[:-20])
    assert "PF904" not in failures()
    assert "PF904" not in failures("--fail-on", "info")
    assert failures("--fail-on", "PF904,connection-refused") == {"PF904", "PF102"}


def test_a_line_of_the_table_is_whole_where_nobody_looks(tmp_path: Path) -> None:
    path = tmp_path / ("d" * 120) / ("e" * 120) / "broken.pcap"
    path.parent.mkdir(parents=True)
    path.write_text("no capture")
    done = batch(path, "-o", "out", cwd=tmp_path)
    (line,) = (line for line in done.stdout.splitlines() if line.startswith(str(path)))
    reason = json.loads((tmp_path / "out" / "summary.json").read_text())["captures"][0]["error"]
    assert line.split(maxsplit=2)[2].rstrip() == reason


def test_names_that_the_logs_have_are_no_reports(tmp_path: Path) -> None:
    path = capture(tmp_path / "log.pcap", CLOSED)
    assert batch(path, "-o", "out", "--sarif", "out/log.json", cwd=tmp_path).returncode == 0
    name = f"log-{hashed(path)}"
    assert {entry.name for entry in (tmp_path / "out").iterdir()} == {
        "index.html",
        "summary.json",
        "log.json",
        f"{name}.html",
        f"{name}.json",
    }
    assert "runs" in json.loads((tmp_path / "out" / "log.json").read_text())
