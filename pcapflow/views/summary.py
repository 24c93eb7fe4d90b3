"""The figures of an analysis that every renderer shows: counted once, here."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pcapflow.anomalies.severity import Severity
from pcapflow.tcp.endings import END_REASONS
from pcapflow.tcp.states import ENDPOINT_NAMES, N_STATES, STATE_NAMES

if TYPE_CHECKING:
    from pcapflow.anomalies.model import Anomaly
    from pcapflow.tables.table import Tables


@dataclasses.dataclass(frozen=True, slots=True)
class CodeCount:
    """How often one rule spoke with one severity: the anomalies of a code, counted.

    Attributes:
        code, name, severity: what they share.
        count: connections they stand for.
        worst: the first of them, in the order of the findings.
    """

    code: str
    name: str
    severity: Severity
    count: int
    worst: Anomaly


class Summary(NamedTuple):
    """What is said of a capture in a few lines.

    Attributes:
        flows: connections.
        end_reasons: connections by how they ended; reasons that do not occur are left out.
        states: per endpoint (client, server) the connections by that side's state at the end, likewise.
        severities: connections named by anomalies, by severity, worst first; all severities are there.
        codes: the anomalies by code and severity, worst first.
    """

    flows: int
    end_reasons: dict[str, int]
    states: tuple[dict[str, int], dict[str, int]]
    severities: dict[str, int]
    codes: tuple[CodeCount, ...]


def summarise(tables: Tables, findings: Sequence[Anomaly]) -> Summary:
    """Counts the connections and the anomalies of an analysis."""
    client, server = (
        np.bincount(tables.flows[f"{side}_state"], minlength=N_STATES).tolist() for side in ENDPOINT_NAMES
    )
    severities = {severity.label: 0 for severity in sorted(Severity, reverse=True)}
    for anomaly in findings:
        severities[anomaly.severity.label] += anomaly.count
    return Summary(
        flows=len(tables.flows),
        end_reasons=end_reasons(tables),
        states=(_present(STATE_NAMES, client), _present(STATE_NAMES, server)),
        severities=severities,
        codes=by_code(findings),
    )


def end_reasons(tables: Tables) -> dict[str, int]:
    """Connections by how they ended; reasons that do not occur are left out."""
    counts = np.bincount(tables.flows["end_reason"], minlength=len(END_REASONS)).tolist()
    return _present(END_REASONS, counts)


def _present(names: Sequence[str], counts: Sequence[int]) -> dict[str, int]:
    return {name: count for name, count in zip(names, counts, strict=False) if count}


def by_code(findings: Sequence[Anomaly]) -> tuple[CodeCount, ...]:
    """The anomalies by code and severity, in the order in which the first of each appears."""
    first: dict[tuple[str, Severity], Anomaly] = {}
    counts: dict[tuple[str, Severity], int] = {}
    for anomaly in findings:
        key = (anomaly.code, anomaly.severity)
        first.setdefault(key, anomaly)
        counts[key] = counts.get(key, 0) + anomaly.count
    return tuple(CodeCount(worst.code, worst.name, worst.severity, counts[key], worst) for key, worst in first.items())
