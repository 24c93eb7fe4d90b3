"""The index page of a batch: which captures need looking at, and a link to the report of each."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from markupsafe import Markup

from pcapflow.outcome import SEVERITY_ORDER, interruption
from pcapflow.report.templating import environment, policy_source
from pcapflow.text.escape import encodable, path_text, printable
from pcapflow.text.phrases import counted
from pcapflow.version import __version__

if TYPE_CHECKING:
    from pcapflow.outcome import Outcome


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A capture that was analysed: its report, its figures, what happened, and the other anomalies by code."""

    name: str
    link: str
    severity: str
    flows: int
    incidents: tuple[str, ...]
    findings: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """A capture that could not be analysed, and why."""

    name: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class IndexView:
    """The page: a sentence, the captures with the worst first, and those that could not be analysed."""

    sentence: str
    rows: tuple[Row, ...]
    failures: tuple[Failure, ...]
    version: str


def render_index(outcomes: Sequence[Outcome], left_out: Sequence[str] = ()) -> str:
    """The index page of a batch, self-contained but for the links to the reports beside it.

    Args:
        outcomes: of the captures that were analysed, or could not be.
        left_out: captures that were not analysed, because the batch was interrupted.
    """
    templates = environment()
    style = templates.get_template("index.css").render()
    page = templates.get_template("index.html").render(
        view=build_index(outcomes, left_out),
        style=Markup(style),  # noqa: S704 -- our own file
        policy=f"default-src 'none'; style-src {policy_source(style)}",
    )
    return encodable(page)


def build_index(outcomes: Sequence[Outcome], left_out: Sequence[str] = ()) -> IndexView:
    """What the page shows, as plain data."""
    analysed = [outcome for outcome in outcomes if not outcome.error]
    analysed.sort(key=lambda outcome: (-_rank(outcome.severity), outcome.name))
    failures = tuple(Failure(o.name, printable(o.error)) for o in outcomes if o.error)
    sentence = _sentence(analysed, len(failures))
    if left_out:
        sentence = f"{sentence} {interruption(outcomes, left_out).capitalize()}."
        failures += tuple(Failure(path_text(path), "left out: the batch was interrupted") for path in left_out)
    return IndexView(
        sentence=sentence,
        rows=tuple(_row(outcome) for outcome in analysed),
        failures=failures,
        version=__version__,
    )


def _row(outcome: Outcome) -> Row:
    counts: dict[str, int] = {}
    for anomaly in outcome.unexplained:
        label = f"{anomaly['code']} {anomaly['name']}"
        counts[label] = counts.get(label, 0) + anomaly["count"]
    return Row(
        name=outcome.name,
        link=quote(os.fsencode(outcome.report)),
        severity=outcome.severity,
        flows=outcome.document["summary"]["flows"],
        incidents=tuple(printable(incident["headline"]) for incident in outcome.incidents),
        findings=tuple(label if count == 1 else f"{label} ({count:,})" for label, count in counts.items()),
    )


def _sentence(analysed: Sequence[Outcome], failures: int) -> str:
    parts = [f"{counted(len(analysed), 'capture')} analysed"]
    for severity in reversed(SEVERITY_ORDER):
        count = sum(outcome.severity == severity for outcome in analysed)
        if count:
            parts.append(f"{count} whose worst is {severity}")
    if failures:
        parts.append(f"{failures} could not be analysed")
    return "; ".join(parts) + "."


def _rank(severity: str) -> int:
    return SEVERITY_ORDER.index(severity) if severity else -1
