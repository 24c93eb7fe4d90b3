"""What became of one capture of a batch: small, and free to travel between processes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from pcapflow.anomalies.severity import Severity
from pcapflow.text.escape import path_text
from pcapflow.text.phrases import counted

SEVERITY_ORDER: Final = tuple(severity.label for severity in Severity)
"""The names of all severities, the mildest first."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """One capture of a batch.

    Attributes:
        path: the capture as it was found.
        stem: the unique name that its output files begin with.
        report: file name of its report, beside the index; "" where there is none.
        error: why it could not be analysed, "" when it was.
        document: what :func:`pcapflow.export.json.document` made of it; empty after an error.
        is_unwritten: the error is an output's: the capture could be read, and its report or JSON not be written.
    """

    path: str
    stem: str
    report: str
    error: str
    document: dict[str, Any]
    is_unwritten: bool = False

    @property
    def name(self) -> str:
        """The path as outputs name it."""
        return path_text(self.path)

    @property
    def anomalies(self) -> list[dict[str, Any]]:
        """The anomalies as in the JSON document, worst first."""
        anomalies: list[dict[str, Any]] = self.document.get("anomalies", [])
        return anomalies

    @property
    def incidents(self) -> list[dict[str, Any]]:
        """The incidents as in the JSON document, worst first."""
        incidents: list[dict[str, Any]] = self.document.get("incidents", [])
        return incidents

    @property
    def unexplained(self) -> list[dict[str, Any]]:
        """The anomalies that belong to no incident, worst first."""
        explained = {place for incident in self.incidents for place in incident["anomalies"]}
        return [anomaly for place, anomaly in enumerate(self.anomalies) if place not in explained]

    @property
    def found(self) -> list[tuple[str, str]]:
        """Code and severity of every incident and anomaly, as a gate asks for them."""
        return [(row["code"], row["severity"]) for row in (*self.incidents, *self.anomalies)]

    @property
    def severity(self) -> str:
        """The worst severity of an incident or anomaly, "" without any."""
        return max((severity for _, severity in self.found), key=SEVERITY_ORDER.index, default="")

    @property
    def headline(self) -> str:
        """One line: the error, the worst incident where nothing that stands alone is worse, or the figures."""
        if self.error:
            return self.error
        if self.incidents and self.incidents[0]["severity"] == self.severity != SEVERITY_ORDER[0]:
            more = len(self.incidents) - 1
            headline: str = self.incidents[0]["headline"]
            return f"{headline} ({counted(more, 'more incident')})" if more else headline
        summary = self.document["summary"]
        named = [f"{count} {label}" for label, count in summary["severities"].items() if count]
        connections = counted(summary["flows"], "connection")
        return f"{connections}; {', '.join(named)}" if named else f"{connections}; nothing to report"


def interruption(outcomes: Sequence[Outcome], left_out: Sequence[str]) -> str:
    """What to say of a batch that ended before all its captures were analysed."""
    done = sum(not outcome.error for outcome in outcomes)
    return f"interrupted: {done:,} of {len(outcomes) + len(left_out):,} captures were analysed"
