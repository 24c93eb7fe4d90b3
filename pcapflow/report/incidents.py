"""The cards of incidents: what happened, what says so, what to do, and the connections and anomalies behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pcapflow.diagnosis.catalogue import catalogue
from pcapflow.diagnosis.model import Incident
from pcapflow.report.cards import filter_of
from pcapflow.report.instances import Instance, instances_of, ladder_anchor, more_words
from pcapflow.report.ladder import Ladder
from pcapflow.report.prose import Advice, Prose, blame_words, prose
from pcapflow.tables.table import Tables
from pcapflow.text.phrases import counted, sentence
from pcapflow.text.times import Clock
from pcapflow.views.groups import AnomalyGroup
from pcapflow.views.summary import by_code


class Behind(NamedTuple):
    """The anomalies of one rule that an incident explains: how many connections they stand for, and the worst.

    ``detail`` is "" where the incident says the same.
    """

    severity: str
    code: str
    name: str
    stands_for: str
    detail: str


class IncidentCard(NamedTuple):
    """One incident: the ladder of its worst connection, what it rests on, what to do, and what is behind it."""

    anchor: str
    severity: str
    title: str
    where: str
    code: str
    name: str
    sure: str
    open: bool
    headline: Prose
    why: tuple[Prose, ...]
    advice: tuple[Advice, ...]
    against: tuple[Prose, ...]
    behind: tuple[Behind, ...]
    ladder: Ladder | None
    ladder_anchor: str
    display_filter: str
    instances_title: str
    instances: tuple[Instance, ...]
    more: str


def incident_cards(
    tables: Tables,
    incidents: Sequence[Incident],
    groups: Sequence[AnomalyGroup],
    ladders: Mapping[int, Ladder],
    used: set[int],
    clock: Clock,
) -> tuple[IncidentCard, ...]:
    """A card for each incident, in their order.

    Args:
        tables: of the capture.
        incidents: worst first; the first card is open.
        groups: the anomalies and connections of each.
        ladders: what was drawn, by flow.
        used: connections whose ladder is on the page already; those of the cards are added.
        clock: says times.
    """
    titles = {pattern.code: pattern.title for pattern in catalogue()}
    made = []
    for incident, group in zip(incidents, groups, strict=True):
        first = next((flow for flow in group.flows if flow in ladders and flow not in used), -1)
        if first >= 0:
            used.add(first)
        instances = instances_of(tables, group, first, used, ladders, clock)
        title = titles.get(incident.code, sentence(incident.pattern.replace("-", " ")).rstrip("."))
        made.append(_card(tables, incident, title, group, first, ladders.get(first), instances, clock))
    return tuple(made)


def _card(
    tables: Tables,
    incident: Incident,
    title: str,
    group: AnomalyGroup,
    first: int,
    drawn: Ladder | None,
    instances: tuple[Instance, ...],
    clock: Clock,
) -> IncidentCard:
    """The card of an incident; ``first`` is the connection that it draws, -1 for none."""
    start, end = clock.text(incident.start_ns), clock.text(incident.end_ns)
    when = start if start == end else f"{start} to {end}"
    where = (blame_words(incident.blame), counted(incident.count, "connection") if incident.count else "")
    return IncidentCard(
        anchor=f"incident-{incident.number + 1}",
        severity=incident.severity.label,
        title=title,
        where=", ".join(filter(None, where)),
        code=incident.code,
        name=incident.pattern,
        sure=f"{when}, {incident.confidence}",
        open=incident.number == 0,
        headline=prose(incident.headline),
        why=tuple(prose(sentence(seen.text)) for seen in incident.why),
        advice=tuple(Advice(step.side, prose(sentence(step.text))) for step in incident.remedy),
        against=tuple(prose(sentence(text)) for text in incident.against),
        behind=tuple(
            Behind(
                found.severity.label, found.code, found.name, counted(found.count, "connection"),
                "" if _is_told(found.worst.detail, incident) else sentence(found.worst.detail),
            )
            for found in by_code(group.anomalies)
        ),
        ladder=drawn,
        ladder_anchor=ladder_anchor(first),
        display_filter=filter_of(tables, group) if group.flows or group.cited else "",
        instances_title="The others" if first >= 0 else "Where",
        instances=instances,
        more=more_words(group, first, instances),
    )  # fmt: skip


def _is_told(detail: str, incident: Incident) -> bool:
    """Whether the incident says the same as an anomaly, or as the figures that it gives after a colon."""
    figures = detail.partition(": ")[2]
    texts = [seen.text for seen in incident.why]
    return any(detail in text or (figures and figures in text) for text in texts)
