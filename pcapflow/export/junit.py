"""JUnit XML: a batch as a CI server shows test results.

Each capture is a test suite. Its first case, ``readable``, is an error where the capture could not be analysed. Each
code that fired is a further case: failed at or above the threshold, else passed with its details as output.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

from pcapflow.outcome import SEVERITY_ORDER

if TYPE_CHECKING:
    from pcapflow.outcome import Outcome

DETAILS_SHOWN: Final = 20
_NOT_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0, 2.2 forbids even as a character reference."""


def to_junit(outcomes: Sequence[Outcome], threshold: str) -> str:
    """The outcomes of a batch as JUnit XML; ``threshold`` is the lowest severity that fails."""
    root = ET.Element("testsuites", name="pcapflow")
    for outcome in outcomes:
        _suite(root, outcome, SEVERITY_ORDER.index(threshold))
    for count in ("tests", "failures", "errors"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in root)))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(root: ET.Element, outcome: Outcome, threshold: int) -> None:
    name = _clean(outcome.name)
    suite = ET.SubElement(root, "testsuite", name=name)
    readable = ET.SubElement(suite, "testcase", classname=name, name="readable")
    if outcome.error:
        ET.SubElement(readable, "error", message=_clean(outcome.error))
    by_code: dict[str, list[dict[str, Any]]] = {}
    for anomaly in outcome.anomalies:
        by_code.setdefault(anomaly["code"], []).append(anomaly)
    failures = 0
    for code, anomalies in by_code.items():
        case = ET.SubElement(suite, "testcase", classname=name, name=f"{code} {anomalies[0]['name']}")
        lines = [_clean(_line(anomaly)) for anomaly in anomalies[:DETAILS_SHOWN]]
        if len(anomalies) > DETAILS_SHOWN:
            lines.append(f"and {len(anomalies) - DETAILS_SHOWN} more")
        worst = max(anomalies, key=lambda anomaly: SEVERITY_ORDER.index(anomaly["severity"]))
        if SEVERITY_ORDER.index(worst["severity"]) >= threshold:
            failures += 1
            message = _clean(worst["detail"])
            ET.SubElement(case, "failure", type=worst["severity"], message=message).text = "\n".join(lines)
        else:
            ET.SubElement(case, "system-out").text = "\n".join(lines)
    suite.set("tests", str(1 + len(by_code)))
    suite.set("failures", str(failures))
    suite.set("errors", str(int(bool(outcome.error))))


def _line(anomaly: dict[str, Any]) -> str:
    where = "" if anomaly["flow"] is None else f" flow {anomaly['flow']}"
    frames = f" (frames {', '.join(map(str, anomaly['frames']))})" if anomaly["frames"] else ""
    return f"{anomaly['severity']}{where}: {anomaly['detail']}{frames}"


def _clean(text: str) -> str:
    return _NOT_XML.sub("?", text)
