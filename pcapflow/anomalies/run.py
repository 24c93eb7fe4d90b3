"""Runs the catalogue over the tables: finds, keeps the worst, describes, weighs by the capture's quality, sorts."""

from __future__ import annotations

import dataclasses
import operator

import numpy as np

from pcapflow.anomalies.capture_quality import CaptureQuality, quality
from pcapflow.anomalies.catalogue import catalogue
from pcapflow.anomalies.cite import proof
from pcapflow.anomalies.lookup.columns import distinct
from pcapflow.anomalies.lookup.groups import host_keys, server_keys
from pcapflow.anomalies.model import (
    CERTAIN,
    LIKELY,
    MANY,
    MAX_FLOWS,
    POSSIBLE,
    Anomaly,
    Confidence,
    Finding,
    Hits,
    IntArray,
    Severity,
)
from pcapflow.anomalies.rule import Doubt, Rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp.states import SERVER
from pcapflow.text.phrases import counted
from pcapflow.text.times import time_of_day

_FIELDS = tuple(field.name for field in dataclasses.fields(Finding))
_values = operator.attrgetter(*_FIELDS)
_LESS_SURE: dict[Confidence, Confidence] = {CERTAIN: LIKELY, LIKELY: POSSIBLE, POSSIBLE: POSSIBLE}


def find_anomalies(tables: Tables, config: Config) -> list[Anomaly]:
    """Everything the catalogue finds, worst first; rows of equal severity are in order of code.

    A rule that found more than ``config.rows_per_rule`` gives its worst rows and one more that counts the rest.
    """
    known = quality(tables)
    found: list[Anomaly] = []
    for rule in catalogue():
        found += run_rule(rule, tables, config, known)
    # The sort is stable: within a rule and a severity the rule's own order stays.
    return sorted(found, key=lambda anomaly: (-anomaly.severity, anomaly.code))


def run_rule(rule: Rule, tables: Tables, config: Config, known: CaptureQuality) -> list[Anomaly]:
    """What one rule finds, its worst first."""
    hits = rule(tables, config)
    if Doubt.ONE_WAY in rule.doubts:
        hits = _heard(hits, known)
    order = np.argsort(-hits.weight, kind="stable")
    kept, rest = order[: config.rows_per_rule], order[config.rows_per_rule :]
    if not len(kept):
        return []
    findings = [_weighed(rule, finding, tables, known) for finding in hits.describe(kept)]
    if len(rest):
        findings.append(_summary(tables, findings[-1], hits.flows[rest]))
    return [
        Anomaly(code=rule.code, name=rule.name, **dict(zip(_FIELDS, _values(finding), strict=True)))
        for finding in findings
    ]


def _heard(hits: Hits, known: CaptureQuality) -> Hits:
    silent = np.zeros(len(hits.flows), dtype=bool)
    named = hits.flows >= 0
    silent[named] = known.unheard[hits.flows[named]]
    if not silent.any():
        return hits
    left = np.flatnonzero(~silent)
    return Hits(hits.flows[left], lambda positions: hits.describe(left[positions]), hits.weight[left])


def _weighed(rule: Rule, finding: Finding, tables: Tables, known: CaptureQuality) -> Finding:
    """The finding as the capture's quality allows it: lowered where it rests on what the capture may lack."""
    severity, confidence, remarks = finding.severity, finding.confidence, []
    if Doubt.GAPS in rule.doubts:
        lack = _lack(finding, known)
        if lack:
            if severity > Severity.INFO:
                severity = Severity(severity - 1)
                lack = f"lowered from {finding.severity.label}, because {lack}"
            remarks.append(lack)
            confidence = _LESS_SURE[confidence]
        elif tables.capture.dropped > 0:
            confidence = _LESS_SURE[confidence]
            remarks.append(f"less sure, because the capturing program lost {counted(tables.capture.dropped, 'packet')}")
    if Doubt.DUPLICATES in rule.doubts and _touched(finding, known.duplicates):
        confidence = _LESS_SURE[confidence]
        remarks.append("less sure, because the capture holds copies of its packets")
    if Doubt.CLOCK in rule.doubts and tables.capture.clock_steps > 0:
        confidence = _LESS_SURE[confidence]
        remarks.append("less sure of the time, because the capture's clock went back")
    if not remarks:
        return finding
    detail = f"{finding.detail} ({'; '.join(remarks)})"
    return dataclasses.replace(finding, severity=severity, confidence=confidence, detail=detail)


def _touched(finding: Finding, fault: IntArray) -> int:
    """How many of the connections that a finding names have this fault, where that weakens it: half of them or more."""
    if finding.flow >= 0:
        return 1 if fault[finding.flow] else 0
    flows = np.array(finding.flows, dtype=np.int64)
    touched = int(np.count_nonzero(fault[flows]))
    return touched if touched * 2 >= len(flows) else 0


def _lack(finding: Finding, known: CaptureQuality) -> str:
    """What the capture lacks of the connections that a finding names, if that weakens it."""
    touched = _touched(finding, known.unseen)
    if not touched:
        return ""
    if finding.flow >= 0:
        return f"the capture lacks {counted(int(known.unseen[finding.flow]), 'byte')} of it"
    return f"the capture lacks bytes of {counted(touched, 'of these connections', 'of these connections')}"


def _summary(tables: Tables, mildest: Finding, flows: IntArray) -> Finding:
    """One row for all that is not listed."""
    named = flows[flows >= 0]
    if not len(named):
        text = f"{counted(len(flows), 'more row')} of this kind, not listed"
        return dataclasses.replace(
            mildest, flow=MANY, detail=text, count=len(flows), cause="", alternatives=(), flows=()
        )
    _, first, sizes = np.unique(server_keys(tables)[named], return_index=True, return_counts=True)
    top = int(np.argmax(sizes))
    server = tables.server(int(named[first[top]]))
    others = f", the others to {_elsewhere(tables, named, int(named[first[top]]))}" if len(sizes) > 1 else ""
    most = f"{sizes[top]:,} of them" if sizes[top] < len(flows) else "all"
    starts = tables.flows["start_ns"][named]
    return dataclasses.replace(
        mildest,
        flow=MANY,
        time_ns=int(starts.min()),
        frames=proof(tables.flows["first_frame"][named[:3]]),
        detail=(
            f"{counted(len(flows), 'more connection')} of this kind, not listed, {most} to {server}{others}, "
            f"opened between {time_of_day(int(starts.min()))} and {time_of_day(int(starts.max()))}"
        ),
        cause="",
        alternatives=(),
        count=len(flows),
        flows=tuple(named[:MAX_FLOWS].tolist()),
    )


def _elsewhere(tables: Tables, flows: IntArray, top: int) -> str:
    """Where else than to one flow's server these flows go: other hosts are counted as hosts."""
    keys = host_keys(tables, SERVER)
    more = distinct(keys[flows]) - 1
    return counted(more, "more host") if more else f"other ports of {tables.ip(top, SERVER)}"
