"""Captures whose names are no text, hold line breaks, or are as long as a name can be: real ones, on disk."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree as ET

import pytest

from tests.processes import ASCII, run
from tests.samples import CLOSED, NO_FINAL_ACK, capture

NAMES = {
    "not UTF-8": (b"caf\xe9.pcap", r"caf\xe9.pcap", "caf_"),
    "line breaks": (b"two\nlines\r.pcap", r"two\nlines\r.pcap", "two_lines_"),
    "commands": (b"\x1b[2J<b>&amp;.pcap", r"\x1b[2J<b>&amp;.pcap", "_[2J<b>&amp;"),
    "one that turns the text": ("a\u202eb.pcap".encode(), r"a\u202eb.pcap", "a_b"),
    "as long as can be": (b"n" * 250 + b".pcap", "n" * 250 + ".pcap", "n" * 232),
    "long in letters of three bytes": ("語".encode() * 83 + b".pcap", "語" * 83 + ".pcap", "語" * 77),
}
"""By what they are: the bytes, how they are shown, and what the names of the outputs begin with."""


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[bytes, str, str]:
    """Bytes, text, and the stem of the outputs of a capture that lies in a directory called ``in``."""
    raw, shown, begin = NAMES[request.param]
    (tmp_path / "in").mkdir()
    try:
        capture(tmp_path / "in" / os.fsdecode(raw), CLOSED, NO_FINAL_ACK)
    except OSError:
        pytest.skip("this file system has no such names")
    mark = hashlib.sha256(b"in/" + raw).hexdigest()[:8]
    return b"in/" + raw, f"in/{shown}", f"{begin}-{mark}"


def text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "strict")


def test_analyze_writes_everything_under_names_that_are_text(name: tuple[bytes, str, str], tmp_path: Path) -> None:
    path, shown, stem = name
    status, out, err = run(tmp_path, "analyze", path, "--json", "j/", "--tables", "t", "-o", "r/")
    assert (status, err) == (0, f"tables: t\nreport: r/{stem}.html\n")
    assert out.startswith(shown.removeprefix("in/") + ": pcap, ")
    document = json.loads(text_of(tmp_path / "j" / f"{stem}.json"))
    assert document["capture"]["paths"] == [shown]
    assert document["capture"]["name"] == shown.removeprefix("in/")
    page = text_of(tmp_path / "r" / f"{stem}.html")
    assert page.endswith("</html>")
    assert shown.removeprefix("in/").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in page
    assert {text_of(table)[:4] for table in (tmp_path / "t").iterdir()} == {"flow", "code", "inci", "host"}


def test_analyze_without_a_name_for_the_report(name: tuple[bytes, str, str], tmp_path: Path) -> None:
    path, _, stem = name
    status, _, err = run(tmp_path, "analyze", path)
    assert (status, err) == (0, f"report: {stem}.pcapflow.html\n")
    assert {entry.name for entry in tmp_path.iterdir()} == {"in", f"{stem}.pcapflow.html"}
    assert all(len(os.fsencode(entry.name)) <= 255 for entry in tmp_path.iterdir())


def test_json_on_standard_output_is_utf_8(name: tuple[bytes, str, str], tmp_path: Path) -> None:
    status, out, err = run(tmp_path, "analyze", name[0], "--json", "-", "--no-report")
    assert (status, err) == (0, "")
    assert json.loads(out)["capture"]["paths"] == [name[1]]


def test_json_on_standard_output_is_utf_8_whatever_the_terminal_has(tmp_path: Path) -> None:
    capture(tmp_path / "café.pcap", CLOSED)
    arguments = ("analyze", "café.pcap".encode(), "--json", "-", "--no-report")
    status, out, err = run(tmp_path, *arguments, env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"})
    assert (status, err) == (0, "")
    assert json.loads(out)["capture"]["name"] == "café.pcap"


def test_batch_lists_and_links_every_name(name: tuple[bytes, str, str], tmp_path: Path) -> None:
    path, shown, stem = name
    (tmp_path / "in" / "broken.pcap").write_text("no capture")
    (tmp_path / "in" / os.fsdecode(b"br\xf6ken.pcap")).write_text("no capture")
    status, out, err = run(
        tmp_path, "batch", "in", "-o", "out", "--junit", "j.xml", "--sarif", "s.json", "--fail-on", "high"
    )
    assert status == 3
    assert r"pcapflow: in/br\xf6ken.pcap: " in err
    (line,) = (line for line in out.splitlines() if line.startswith(shown))
    assert "2 connections" in line
    summary = json.loads(text_of(tmp_path / "out" / "summary.json"))
    by_path = {item["path"]: item for item in summary["captures"]}
    assert by_path.keys() == {shown, "in/broken.pcap", r"in/br\xf6ken.pcap"}
    item = by_path[shown]
    assert (item["report"], item["json"]) == (f"{stem}.html", f"{stem}.json")
    links = re.findall(r'href="([^"]*)"', text_of(tmp_path / "out" / "index.html"))
    assert [unquote_to_bytes(link) for link in links] == [f"{stem}.html".encode()]
    assert (tmp_path / "out" / os.fsdecode(unquote_to_bytes(links[0]))).is_file()
    assert {suite.get("name") for suite in ET.fromstring(text_of(tmp_path / "j.xml"))} == by_path.keys()
    (log,) = json.loads(text_of(tmp_path / "s.json"))["runs"]
    uris = {
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for result in log["results"]
        if result["level"] != "none"
    }
    assert {unquote_to_bytes(uri) for uri in uris} == {path}


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["analyze", "ä.pcap", "-o", "ö.html", "--tables", "ü"], 0, ["tables: ü", "report: ö.html"]),
        (["analyze", "gone-ä"], 3, ["pcapflow: gone-ä: no such file"]),
        (["analyze", "ä.pcap", "-o", "gone-ä/ö.html"], 4, ["there is no directory gone-ä"]),
        (["analyze", "ä.pcap", "-o", "ä.pcap/ö.html"], 4, ["ä.pcap is not a directory"]),
        (["analyze", "ä.pcap", "--tables", "ä.pcap/ü"], 4, ["ä.pcap is not a directory"]),
        (["analyze", "ä.pcap", "-o", "ä.pcap"], 2, ["ä.pcap is a capture itself"]),
        (["analyze", "ä.pcap", "ö.pcap", "-o", "ü"], 2, ["ü would hold several captures; name a directory (ü/)"]),
        (["analyze", "ä.pcap", "-o", "ü.x", "--json", "ü.x"], 2, ["ü.x would hold both"]),
        (["analyze", "ä.pcap", "ö.pcap", "--merge"], 3, ["ö.pcap: is named twice, as ä.pcap too"]),
        (["analyze", "ä.pcap", "--config", "ü.toml"], 2, ["ü.toml: cannot be read as TOML"]),
        (["batch", "ü", "ä", "-o", "out"], 3, ["pcapflow: no capture in ü, ä"]),
        (["batch", "ä.pcap", "-o", "öut"], 0, ["index: öut/index.html"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_every_message_reads_names_as_utf_8_whatever_the_locale(
    arguments: list[str], status: int, said: list[str], tmp_path: Path
) -> None:
    capture(tmp_path / "ä.pcap", CLOSED)
    (tmp_path / "ö.pcap").hardlink_to(tmp_path / "ä.pcap")
    if arguments[0] == "batch":
        (tmp_path / "ü").mkdir()
        (tmp_path / "ä").mkdir()
    (tmp_path / "ü.toml").write_text("=")
    ended, _, err = run(tmp_path, *arguments, env=ASCII)
    assert ended == status
    assert all(text in err for text in said), err


def test_errors_show_such_names_on_one_line(tmp_path: Path) -> None:
    status, _, err = run(tmp_path, "analyze", b"gone\xe9\n\x1b.pcap")
    assert (status, err) == (3, "pcapflow: gone\\xe9\\n\\x1b.pcap: no such file\n")
    status, _, err = run(tmp_path, "analyze", b"a", b"b", "-o", b"one\xe9")
    assert status == 2
    assert r"one\xe9 would hold several captures" in err
