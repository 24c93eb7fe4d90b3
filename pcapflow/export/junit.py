"""JUnit XML: a batch as a CI server shows test results.

Each capture is a test suite. Its first case, ``readable``, is an error where the capture could not be analysed. Each
code that fired is a further case, patterns before rules: failed where the gate matches it, else passed with its details
as output. A capture that an interrupted batch left out has the first case alone, skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from xml.etree import ElementTree as ET

from pcapflow.outcome import SEVERITY_ORDER
from pcapflow.text.escape import path_text, printable

if TYPE_CHECKING:
    from pcapflow.gate import Gate
    from pcapflow.outcome import Outcome

DETAILS_SHOWN: Final = 20


def to_junit(outcomes: Sequence[Outcome], gate: Gate, left_out: Sequence[str] = ()) -> str:
    """The outcomes of a batch as JUnit XML.

    Args:
        outcomes: of the captures that were analysed, or could not be.
        gate: says which incidents and anomalies are failures.
        left_out: captures that were not analysed, because the batch was interrupted.
    """
    root = ET.Element("testsuites", name="pcapflow")
    for outcome in outcomes:
        _suite(root, outcome, gate)
    for path in left_out:
        _skipped(root, path)
    for count in ("tests", "failures", "errors", "skipped"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in root)))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(root: ET.Element, outcome: Outcome, gate: Gate) -> None:
    name = outcome.name
    suite = ET.SubElement(root, "testsuite", name=name)
    readable = ET.SubElement(suite, "testcase", classname=name, name="readable")
    if outcome.error:
        ET.SubElement(readable, "error", message=printable(outcome.error))
    cases: dict[str, list[_Entry]] = {}
    for entry in (*map(_of_incident, outcome.incidents), *map(_of_anomaly, outcome.anomalies)):
        cases.setdefault(entry.code, []).append(entry)
    failures = 0
    for code, rows in cases.items():
        case = ET.SubElement(suite, "testcase", classname=name, name=f"{code} {rows[0].name}")
        lines = [printable(line) for row in rows[:DETAILS_SHOWN] for line in row.lines]
        if len(rows) > DETAILS_SHOWN:
            lines.append(f"and {len(rows) - DETAILS_SHOWN} more")
        worst = max(rows, key=lambda row: SEVERITY_ORDER.index(row.severity))
        if gate.matches(code, worst.severity):
            failures += 1
            message = printable(worst.message)
            ET.SubElement(case, "failure", type=worst.severity, message=message).text = "\n".join(lines)
        else:
            ET.SubElement(case, "system-out").text = "\n".join(lines)
    suite.set("tests", str(1 + len(cases)))
    suite.set("failures", str(failures))
    suite.set("errors", str(int(bool(outcome.error))))


def _skipped(root: ET.Element, path: str) -> None:
    name = path_text(path)
    suite = ET.SubElement(root, "testsuite", name=name, tests="1", failures="0", errors="0", skipped="1")
    case = ET.SubElement(suite, "testcase", classname=name, name="readable")
    ET.SubElement(case, "skipped", message="the batch was interrupted before this capture was analysed")


class _Entry(NamedTuple):
    """One incident or anomaly as a case tells it."""

    code: str
    name: str
    severity: str
    message: str
    lines: tuple[str, ...]


def _of_incident(incident: dict[str, Any]) -> _Entry:
    headline = incident["headline"]
    lines = [f"{incident['severity']}: {headline}"]
    lines += [f"  because {seen['text']}" for seen in incident["why"]]
    lines += [f"  {step['side']}: {step['text']}" for step in incident["remedy"]]
    return _Entry(incident["code"], incident["pattern"], incident["severity"], headline, tuple(lines))


def _of_anomaly(anomaly: dict[str, Any]) -> _Entry:
    where = "" if anomaly["flow"] is None else f" flow {anomaly['flow']}"
    frames = f" (frames {', '.join(map(str, anomaly['frames']))})" if anomaly["frames"] else ""
    line = f"{anomaly['severity']}{where}: {anomaly['detail']}{frames}"
    return _Entry(anomaly["code"], anomaly["name"], anomaly["severity"], anomaly["detail"], (line,))
