"""A new rule is one function in one file: everything that lists, runs, explains or reports rules finds it by itself."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pcapflow.anomalies import opening
from pcapflow.anomalies.catalogue import catalogue
from pcapflow.cli.main import run
from pcapflow.config import Config
from pcapflow.export.sarif import to_sarif
from pcapflow.report.page import build
from tests.anomalies.builder import Told
from tests.anomalies.cases import only

ROOT = Path(__file__).resolve().parents[2]
RULE = '''
import numpy as np

from pcapflow.anomalies.hits import per_flow
from pcapflow.anomalies.model import CERTAIN, Finding, Severity
from pcapflow.anomalies.rule import Lead, rule


@rule(
    "PF199",
    "port-eighty",
    title="Connections to port 80",
    lead=Lead("{server} was asked on port 80", "{server} [is|are] asked on port 80"),
)
def port_eighty(tables, config):
    """A connection went to port 80.

    Means: somebody spoke in the clear.
    Do:
        Client: use port 443.
    Else: it may be meant so.
    Source: RFC 9110, 4.2.1.
    """
    flows = np.flatnonzero(tables.flows["server_port"] == 80)

    def finding(story, hit):
        frame = int(tables.flows["first_frame"][hit.flow])
        return Finding(
            severity=Severity.HIGH,
            flow=hit.flow,
            time_ns=int(tables.flows["start_ns"][hit.flow]),
            frames=(frame,),
            detail=f"{tables.client(hit.flow)} went to port 80",
            confidence=CERTAIN,
        )

    return per_flow(tables, flows, finding, weight=np.ones(len(flows)))
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory whose modules belong to the family of rules about openings."""
    monkeypatch.setattr(opening, "__path__", [*opening.__path__, str(tmp_path)])
    before = set(sys.modules)
    catalogue.cache_clear()
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(opening.__name__ + "."):
            del sys.modules[name]
            vars(opening).pop(name.rpartition(".")[2], None)
    catalogue.cache_clear()


def test_a_rule_in_a_new_file_is_run_and_begins_the_report(folder: Path) -> None:
    (folder / "port_eighty.py").write_text(RULE)
    capture = Told()
    capture.flow().opens()

    found = capture.anomalies()
    view = build(capture.tables(), found, Config())

    assert only(found, "PF199").detail == "10.0.0.1:1000 went to port 80"
    assert view.verdict.lead == "10.0.0.5:80 was asked on port 80."
    assert view.cards[0].title == "Connections to port 80"


def test_of_several_connections_its_lead_speaks_in_the_plural(folder: Path) -> None:
    (folder / "port_eighty.py").write_text(RULE)
    capture = Told()
    for server in ("10.0.0.5:80", "10.0.0.6:80"):
        capture.flow(server=server).opens()

    view = build(capture.tables(), capture.anomalies(), Config())

    assert view.verdict.lead == "2 servers are asked on port 80."


def test_a_rule_in_a_new_file_is_listed_and_explained(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "port_eighty.py").write_text(RULE)

    status = run(["rules", "PF199"])

    shown = capsys.readouterr().out
    assert status == 0
    assert "A connection went to port 80." in shown
    assert "use port 443." in shown
    assert "RFC 9110, 4.2.1." in shown


def test_a_rule_in_a_new_file_is_among_the_rules_of_sarif(folder: Path) -> None:
    (folder / "port_eighty.py").write_text(RULE)

    rules = json.loads(to_sarif([]))["runs"][0]["tool"]["driver"]["rules"]

    assert {rule["id"]: rule["name"] for rule in rules}["PF199"] == "port-eighty"


def test_a_second_rule_with_the_same_code_is_refused(folder: Path) -> None:
    (folder / "port_eighty.py").write_text(RULE.replace("PF199", "PF101"))

    with pytest.raises(ValueError, match="two rules have the code PF101"):
        catalogue()


@pytest.mark.parametrize("package", ["views", "report", "export"])
def test_what_shows_rules_names_none_of_them(package: str) -> None:
    modules = sorted((ROOT / "pcapflow" / package).rglob("*.py"))

    assert modules
    assert not [path.name for path in modules if re.search(r"PF\d", path.read_text(encoding="utf-8"))]
