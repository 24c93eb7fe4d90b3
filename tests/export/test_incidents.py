"""Incidents in every output: terminal, JSON, tables, JUnit, SARIF, index, report, and at the gate."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import pcapflow
from pcapflow.analysis import Analysis
from pcapflow.anomalies.model import LIKELY, Severity
from pcapflow.diagnosis.model import Blame, Incident, Observation, Remedy
from pcapflow.export import json as json_export
from pcapflow.export.csv import write_tables
from pcapflow.export.junit import to_junit
from pcapflow.export.ladder_text import print_ladder
from pcapflow.export.sarif import to_sarif
from pcapflow.export.terminal import print_summary
from pcapflow.gate import Gate
from pcapflow.outcome import Outcome
from pcapflow.report.index import render_index
from tests.samples import CLOSED, NO_FINAL_ACK, START_NS, capture

HEADLINE = "The server 198.51.100.7:80 lost <its> \x1b[2J client."


@pytest.fixture
def analysis(tmp_path: Path) -> Analysis:
    """A capture with an anomaly above info, and a made-up incident with hostile text that explains it."""
    found = pcapflow.analyze(capture(tmp_path / "bad.pcap", CLOSED, NO_FINAL_ACK))
    (place,) = (place for place, anomaly in enumerate(found.findings) if anomaly.code == "PF201")
    found.diagnosis = [
        Incident(
            number=0, code="PI105", pattern="refused-port", severity=Severity.MEDIUM, confidence=LIKELY,
            headline=HEADLINE, blame=Blame("endpoint", "198.51.100.7:80", "server"), start_ns=START_NS,
            end_ns=START_NS + 1_000_000, flows=(1,), count=1, hosts=("198.51.100.7", "192.0.2.1"),
            explains=frozenset({place}), why=(Observation("its FIN was sent 4 times (frame 17)", (17,)),),
            against=("it may be another",), remedy=(Remedy("Server", "set `a` to b"),),
        )
    ]  # fmt: skip
    return found


@pytest.fixture
def outcome(analysis: Analysis) -> Outcome:
    return Outcome("in/bad.pcap", "bad", "bad.html", "", json_export.document(analysis))


def test_the_terminal_begins_with_what_happened_and_what_to_do(analysis: Analysis) -> None:
    out = io.StringIO()
    print_summary(analysis, out)
    text = out.getvalue()

    assert r"medium  The server 198.51.100.7:80 lost <its> \x1b[2J client." in text
    assert "PI105 refused-port, server 198.51.100.7:80, likely, 1 connection" in text
    assert "Because: its FIN was sent 4 times (frame 17)" in text
    assert "Do, server: set `a` to b" in text
    assert "But: it may be another" in text
    # What the incident explains is not told a second time.
    assert "PF201" not in text
    assert not re.search(r" +$", text[: text.index("state at the end")], re.MULTILINE)


def test_json_has_the_documented_members(analysis: Analysis) -> None:
    document = json.loads(analysis.to_json())
    (incident,) = document["incidents"]

    assert json_export.__doc__ is not None
    members = json_export.__doc__[json_export.__doc__.index("- ``incidents``") :]
    assert {name for name in incident if f"``{name}``" not in members} == set()
    assert incident["blame"] == {"kind": "endpoint", "who": "198.51.100.7:80", "side": "server"}
    assert [document["anomalies"][place]["code"] for place in incident["anomalies"]] == ["PF201"]
    assert incident["why"] == [{"text": "its FIN was sent 4 times (frame 17)", "frames": [17]}]
    assert incident["frames"] == [17]


def test_the_table_says_what_json_says(analysis: Analysis, tmp_path: Path) -> None:
    frame = analysis.incidents
    write_tables(analysis, tmp_path / "tables")
    with (tmp_path / "tables" / "incidents.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)

    assert list(row) == list(frame.columns)
    assert row["headline"] == r"The server 198.51.100.7:80 lost <its> \x1b[2J client."
    assert row["hosts"] == "198.51.100.7 192.0.2.1"
    assert row["remedy"] == "Server: set `a` to b"
    assert frame["severity"].tolist() == ["medium"]
    assert frame["start"][0].value == START_NS


def test_junit_has_the_incident_before_its_anomalies(outcome: Outcome) -> None:
    suite = ET.fromstring(to_junit([outcome], Gate("medium")))[0]
    names = [case.get("name", "") for case in suite]
    (failure,) = suite.findall("testcase[@name='PI105 refused-port']/failure")

    assert names[:2] == ["readable", "PI105 refused-port"]
    assert failure.get("message") == r"The server 198.51.100.7:80 lost <its> \x1b[2J client."
    assert failure.text is not None
    assert "because its FIN was sent 4 times (frame 17)" in failure.text
    assert "server: set `a` to b" in failure.text


def test_sarif_has_the_incident_before_its_anomalies(outcome: Outcome) -> None:
    (run,) = json.loads(to_sarif([outcome]))["runs"]
    first = run["results"][0]

    assert first["ruleId"] == "PI105"
    assert run["tool"]["driver"]["rules"][first["ruleIndex"]]["id"] == "PI105"
    assert first["properties"]["remedy"] == [{"side": "server", "text": "set `a` to b"}]


def test_the_index_says_what_happened_in_each_capture(outcome: Outcome) -> None:
    page = render_index([outcome])

    assert r"lost &lt;its&gt; \x1b[2J client." in page
    assert "PF201" not in page
    assert outcome.headline == r"The server 198.51.100.7:80 lost <its> \x1b[2J client."


def test_the_report_begins_with_the_headline_and_has_a_card(analysis: Analysis) -> None:
    page = analysis.to_html()

    assert page.index("lost &lt;its&gt;") < page.index('id="incident-1"')
    assert "\x1b" not in page
    assert 'id="finding' not in page
    assert "<b>Server:</b>" in page
    assert "PF201 missing-final-ack" in page


def test_a_connection_names_the_incidents_it_is_part_of(analysis: Analysis) -> None:
    shown, silent = io.StringIO(), io.StringIO()
    print_ladder(analysis, 1, shown)
    print_ladder(analysis, 0, silent)

    assert "PI105 refused-port (likely, server 198.51.100.7:80): The server" in shown.getvalue()
    assert "PI105" not in silent.getvalue()


def test_the_gate_counts_incidents_by_severity_code_and_name(analysis: Analysis) -> None:
    assert Gate.parse("refused-port").matches_any(analysis.found)
    assert Gate.parse("PI105").matches_any(analysis.found)
    assert Gate.parse("medium").matches_any(analysis.found)
