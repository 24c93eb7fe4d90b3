"""JUnit XML: a batch as a CI server shows test results.

Each capture is a test suite. Its first case, ``readable``, is an error where the capture could not be analysed. Each
code that fired is a further case: failed where the gate matches it, else passed with its details as output. A capture
that an interrupted batch left out has the first case alone, skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final
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
        gate: says which anomalies are failures.
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
    by_code: dict[str, list[dict[str, Any]]] = {}
    for anomaly in outcome.anomalies:
        by_code.setdefault(anomaly["code"], []).append(anomaly)
    failures = 0
    for code, anomalies in by_code.items():
        case = ET.SubElement(suite, "testcase", classname=name, name=f"{code} {anomalies[0]['name']}")
        lines = [printable(_line(anomaly)) for anomaly in anomalies[:DETAILS_SHOWN]]
        if len(anomalies) > DETAILS_SHOWN:
            lines.append(f"and {len(anomalies) - DETAILS_SHOWN} more")
        worst = max(anomalies, key=lambda anomaly: SEVERITY_ORDER.index(anomaly["severity"]))
        if gate.matches(code, worst["severity"]):
            failures += 1
            message = printable(worst["detail"])
            ET.SubElement(case, "failure", type=worst["severity"], message=message).text = "\n".join(lines)
        else:
            ET.SubElement(case, "system-out").text = "\n".join(lines)
    suite.set("tests", str(1 + len(by_code)))
    suite.set("failures", str(failures))
    suite.set("errors", str(int(bool(outcome.error))))


def _skipped(root: ET.Element, path: str) -> None:
    name = path_text(path)
    suite = ET.SubElement(root, "testsuite", name=name, tests="1", failures="0", errors="0", skipped="1")
    case = ET.SubElement(suite, "testcase", classname=name, name="readable")
    ET.SubElement(case, "skipped", message="the batch was interrupted before this capture was analysed")


def _line(anomaly: dict[str, Any]) -> str:
    where = "" if anomaly["flow"] is None else f" flow {anomaly['flow']}"
    frames = f" (frames {', '.join(map(str, anomaly['frames']))})" if anomaly["frames"] else ""
    return f"{anomaly['severity']}{where}: {anomaly['detail']}{frames}"
