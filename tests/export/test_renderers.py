"""JSON, CSV, JUnit, SARIF and anonymous output of one small capture, by their documented shapes."""

from __future__ import annotations

import csv
import dataclasses
import importlib.util
import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pandas as pd
import pytest

import pcapflow
from fixtures.captures import kernel_capture
from pcapflow.analysis import Analysis
from pcapflow.anonymize import anonymized
from pcapflow.config import Config
from pcapflow.errors import PcapflowError
from pcapflow.export import json as json_export
from pcapflow.export.csv import write_tables
from pcapflow.export.junit import to_junit
from pcapflow.export.ladder_text import print_ladder
from pcapflow.export.sarif import to_sarif
from pcapflow.export.terminal import print_summary
from pcapflow.gate import Gate
from pcapflow.outcome import Outcome
from pcapflow.report.templating import environment
from pcapflow.text.escape import printable
from tests.samples import CLIENT_IP, CLOSED, NO_FINAL_ACK, REFUSED, SERVER_IP, capture

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return capture(tmp_path_factory.mktemp("captures") / "bad.pcap", CLOSED, NO_FINAL_ACK, REFUSED)


@pytest.fixture(scope="module")
def analysis(path: Path) -> Analysis:
    return pcapflow.analyze(path)


@pytest.fixture(scope="module")
def outcomes(analysis: Analysis) -> list[Outcome]:
    return [
        Outcome("in/bad one.pcap", "bad one", "bad one.html", "", json_export.document(analysis)),
        Outcome("in/\x00broken.pcap", "broken", "", "not a capture \x1b[2J", {}),
    ]


def test_json_has_the_documented_members(analysis: Analysis) -> None:
    document = json.loads(analysis.to_json())
    assert json_export.__doc__ is not None
    for members in (document, document["summary"], document["anomalies"][0], document["flows"][0]):
        for name in members:
            general = re.sub(r"^(client|server)_(packets|bytes|retransmitted|rtt_ms)$", r"*_\2", name)
            assert f"``{general}``" in json_export.__doc__, name
    capture_members = {field.name for field in dataclasses.fields(analysis.capture)}
    coded = {"first_ns", "last_ns", "checksum"}
    assert set(document["capture"]) == capture_members - coded | {"first", "last", "sha256"}


def test_json_says_what_the_tables_say(analysis: Analysis) -> None:
    document = json.loads(analysis.to_json())
    assert [row["code"] for row in document["anomalies"]] == list(analysis.anomalies["code"])
    assert [row["frames"] for row in document["anomalies"]] == list(analysis.anomalies["frames"])
    assert all(TIME.fullmatch(row["time"]) for row in document["anomalies"])
    named = {row["flow"] for row in document["anomalies"]} - {None}
    assert {row["flow"] for row in document["flows"]} == named
    (late,) = (row for row in document["flows"] if row["flow"] == 1)
    assert late["server"] == f"{SERVER_IP}:80"
    assert late["server_state"] == "LAST_ACK"
    assert document["summary"]["flows"] == len(analysis.flows) == 3


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        (1, (2, 1, 1, 1, 0.84, "ack", "client", 0.001, 0.006)),
        (2, (None, None, None, 0, 0.001, "ack", "server", None, None)),
    ],
    ids=["no final ACK", "refused"],
)
def test_frames_and_json_say_the_same_of_a_conversation(
    analysis: Analysis, flow: int, expected: tuple[float | str | None, ...]
) -> None:
    """In the units of their names, and null where there is none."""
    names = ("handshake_ms", "first_byte_ms", "answer_ms", "turns", "idle_s", "idle_owed", "idle_owed_by", "pause_s",
             "quiet_before_close_s")  # fmt: skip
    (told,) = (row for row in json.loads(analysis.to_json())["flows"] if row["flow"] == flow)
    row = [analysis.flows[name][flow] for name in names]

    assert tuple(told[name] for name in names) == expected
    assert tuple(None if pd.isna(value) else value for value in row) == expected


def test_csv_has_the_columns_and_rows_of_the_frames(analysis: Analysis, tmp_path: Path) -> None:
    for path in write_tables(analysis, tmp_path / "tables"):
        frame = getattr(analysis, path.stem)
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        assert header == list(frame.columns)
        assert len(rows) == len(frame)
        for name in ("time", "start", "end"):
            if name in header:
                assert all(TIME.fullmatch(row[header.index(name)]) for row in rows), path
    with (tmp_path / "tables" / "anomalies.csv").open(newline="", encoding="utf-8") as file:
        first = next(csv.DictReader(file))
    assert [int(frame) for frame in first["frames"].split()] == analysis.anomalies["frames"][0]


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is not None, reason="pyarrow is installed")
def test_parquet_without_pyarrow_says_what_to_install(analysis: Analysis, tmp_path: Path) -> None:
    with pytest.raises(PcapflowError, match=r"pip install 'pcapflow\[parquet\]'"):
        write_tables(analysis, tmp_path, "parquet")


def test_junit_counts_and_fails_at_the_threshold(outcomes: list[Outcome]) -> None:
    root = ET.fromstring(to_junit(outcomes, Gate.parse("medium")))
    good, broken = root.findall("testsuite")
    for suite in (good, broken):
        assert int(suite.get("tests", "")) == len(suite.findall("testcase"))
        assert int(suite.get("failures", "")) == len(suite.findall("testcase/failure"))
        assert int(suite.get("errors", "")) == len(suite.findall("testcase/error"))
    failed = {case.get("name", "")[:5] for case in good.findall("testcase") if case.find("failure") is not None}
    passed = {case.get("name", "")[:5] for case in good.findall("testcase") if case.find("failure") is None}
    assert "PF201" in failed
    assert "PF102" in passed
    assert root.get("errors") == broken.get("errors") == "1"


def test_sarif_points_at_rules_and_files(outcomes: list[Outcome]) -> None:
    log = json.loads(to_sarif(outcomes))
    (run,) = log["runs"]
    assert log["version"] == "2.1.0"
    rules = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"error", "warning", "note"}
        uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert uri == "in/bad%20one.pcap"
    (invocation,) = run["invocations"]
    assert not invocation["executionSuccessful"]
    assert len(invocation["toolExecutionNotifications"]) == 1


def test_anonymous_outputs_keep_the_story(analysis: Analysis) -> None:
    other = anonymized(analysis)
    text = other.to_json() + other.to_html()
    assert CLIENT_IP not in text
    assert SERVER_IP not in text
    assert str(analysis.capture.sha256) not in text
    assert [a.code for a in other.findings] == [a.code for a in analysis.findings]
    assert list(other.flows["client_ip"]) == ["10.0.0.1"] * 3
    assert list(other.flows["server_ip"]) == ["10.0.0.2"] * 3
    assert list(other.flows["server_state"]) == list(analysis.flows["server_state"])
    assert other.segments([1]) == analysis.segments([1])


def test_hosts_are_a_table_a_member_of_json_and_a_section(analysis: Analysis, tmp_path: Path) -> None:
    rows = json.loads(analysis.to_json())["hosts"]
    assert [row["host"] for row in rows] == list(analysis.hosts["host"]) == [CLIENT_IP, SERVER_IP]
    assert set(rows[0]) == set(analysis.hosts.columns)
    assert json_export.__doc__ is not None
    assert all(f"``{name}``" in json_export.__doc__ for name in rows[0])
    for row, (_, columns) in zip(rows, analysis.hosts.iterrows(), strict=True):
        assert row == {name: None if pd.isna(value) else value for name, value in columns.items()}
    write_tables(analysis, tmp_path)
    with (tmp_path / "hosts.csv").open(encoding="utf-8", newline="") as file:
        client, server = csv.DictReader(file)
    assert (client["host"], client["as_client"], client["as_server"], client["stack"]) == (CLIENT_IP, "3", "0", "")
    assert (server["ephemeral_ports"], server["time_wait_s"], server["time_wait_basis"]) == ("", "60.0", "assumed")
    assert "What is assumed is Linux&#39;s" in analysis.to_html()


def test_anonymous_hosts_keep_the_stacks_that_are_configured_for_them(path: Path) -> None:
    config = dataclasses.replace(Config(), stack_hosts=((f"{SERVER_IP}/32", "windows"), ("203.0.113.0/24", "macos")))

    other = anonymized(pcapflow.analyze(path, config=config))

    assert list(other.hosts["host"]) == ["10.0.0.1", "10.0.0.2"]
    assert list(other.hosts["time_wait_s"]) == [60.0, 120.0]
    assert list(other.hosts["time_wait_basis"]) == ["assumed", "configured"]
    assert other.config.stack_hosts == (("10.0.0.2", "windows"),)


def test_the_ladder_leaves_out_the_middle_and_says_so(tmp_path: Path) -> None:
    data = [(100 + i, ">", 0x18, 1 + i, 1, b"x") for i in range(500)]
    analysis = pcapflow.analyze(capture(tmp_path / "long.pcap", [*CLOSED[:3], *data]))
    out = io.StringIO()
    print_ladder(analysis, 0, out)
    lines = out.getvalue().splitlines()
    (gap,) = (number for number, line in enumerate(lines) if "303 segments are left out" in line)
    assert lines[gap - 1].split()[0] == "100"
    assert lines[gap + 1].split()[0] == "404"


def test_the_ladder_gives_every_transition_its_reason_and_every_anomaly_its_frames(analysis: Analysis) -> None:
    out = io.StringIO()
    print_ladder(analysis, 1, out)
    text = out.getvalue()
    rows = text[text.index("known because") :].split("\n\n")[0]
    reasons = re.findall(r"(?:sent|proven|assumed)  +(?:its own )?frame \d+ (?:is|acknowledges|carries|passed)", rows)
    assert len(reasons) == len(analysis.tables.transitions_of(1))
    for anomaly in analysis.findings:
        if anomaly.flow == 1 and anomaly.frames:
            assert f"{', '.join(map(str, anomaly.frames))}; pcapflow rules {anomaly.code} explains it" in text


def test_the_ladder_shows_what_is_told_of_several_connections() -> None:
    analysis = pcapflow.analyze(kernel_capture("close_wait_leak", "server"))
    (leak,) = (anomaly for anomaly in analysis.findings if anomaly.code == "PF204")
    out = io.StringIO()
    print_ladder(analysis, leak.flows[1], out)
    assert "PF204 close-wait-leak" in out.getvalue()


def test_segments_are_numbered_as_wireshark_numbers_them(analysis: Analysis) -> None:
    rows = analysis.segments([1])[1]
    assert [(row.frame, row.rel_seq, row.rel_ack, row.payload_len) for row in rows[:5]] == [
        (11, 0, -1, 0),
        (12, 0, 1, 0),
        (13, 1, 1, 0),
        (14, 1, 1, 5),
        (15, 1, 6, 5),
    ]


def test_the_limit_keeps_both_ends_and_the_frames_asked_for(analysis: Analysis) -> None:
    rows = analysis.segments([0], limit=4, frames={5})[0]
    assert [row.frame for row in rows] == [1, 2, 5, 9, 10]


def test_an_open_file_is_read_twice_and_a_closed_one_is_not(path: Path) -> None:
    with path.open("rb") as file:
        analysis = pcapflow.analyze(file)
        assert len(analysis.segments([0])[0]) == 10
    assert analysis.segments([0]) == {}


def test_the_summary_obeys_nothing_in_a_name(analysis: Analysis) -> None:
    evil = dataclasses.replace(analysis.capture, name="[red]\x1b[2Jname\n.pcap")
    changed = dataclasses.replace(analysis, tables=dataclasses.replace(analysis.tables, capture=evil))
    out = io.StringIO()
    print_summary(changed, out)
    assert out.getvalue().startswith("[red]\\x1b[2Jname\\n.pcap: ")


def test_templates_are_compiled_once() -> None:
    assert environment() is environment()
    assert environment().get_template("page.html") is environment().get_template("page.html")


def test_bytes_that_are_no_text_reach_no_output(analysis: Analysis) -> None:
    evil = dataclasses.replace(
        analysis.capture, name="caf\udce9", paths=("in/caf\udce9",), truncated="caf\udce9 is cut off"
    )
    changed = dataclasses.replace(analysis, tables=dataclasses.replace(analysis.tables, capture=evil))
    for text in (changed.to_html(), changed.to_json()):
        text.encode()
        assert r"caf\\xe9 is cut off" in text or r"caf\xe9 is cut off" in text
    assert json.loads(changed.to_json())["capture"]["paths"] == [r"in/caf\xe9"]


def test_printable_keeps_letters_and_escapes_commands() -> None:
    assert printable("Grüße 東京.pcap") == "Grüße 東京.pcap"
    assert printable("a\x1b\u202eb\udcff") == "a\\x1b\\u202eb\\xff"
