"""The whole page as plain data: everything that is shown, computed here once, so that a renderer only writes it down.

The order of the fields of :class:`ReportView` is the order of the page. Each part has a module that makes it, and a
template of the same name that writes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pcapflow.anomalies.model import Anomaly
from pcapflow.anomalies.severity import Severity
from pcapflow.config import Config
from pcapflow.diagnosis.model import Incident
from pcapflow.payload.said import NOTHING, Payload
from pcapflow.report.cards import Card, cards
from pcapflow.report.census_chart import CensusView, census_view
from pcapflow.report.colours import STATE_LOOKS, StateLook
from pcapflow.report.connections import Connections, Remark, connections
from pcapflow.report.footer import Fact, facts
from pcapflow.report.hosts import HostsView, hosts_view
from pcapflow.report.incidents import IncidentCard, incident_cards
from pcapflow.report.ladder import Ladder, ladder
from pcapflow.report.ladder_choice import wanted_flows
from pcapflow.report.prose import rule_text
from pcapflow.report.quality import QualityNote, quality_note, vantage
from pcapflow.report.verdict import Verdict, verdict
from pcapflow.tables.segments import Segment
from pcapflow.tables.table import Tables
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, duration
from pcapflow.text.times import Clock, day_and_time
from pcapflow.version import __version__
from pcapflow.views.census import census
from pcapflow.views.groups import AnomalyGroup, card_groups


class ReportView(NamedTuple):
    """One report."""

    title: str
    meta: tuple[str, ...]
    sha256: str
    verdict: Verdict
    quality: QualityNote
    incidents: tuple[IncidentCard, ...]
    harmless: tuple[IncidentCard, ...]
    cards_heading: str
    cards: tuple[Card, ...]
    notices: tuple[Card, ...]
    census: CensusView
    connections: Connections
    hosts: HostsView
    looks: tuple[StateLook, ...]
    facts: tuple[Fact, ...]
    version: str


def build(
    tables: Tables,
    anomalies: Sequence[Anomaly],
    config: Config,
    segments: Mapping[int, Sequence[Segment]] | None = None,
    incidents: Sequence[Incident] = (),
    payload: Payload = NOTHING,
) -> ReportView:
    """Computes everything a report shows.

    Args:
        tables: of one capture.
        anomalies: worst first.
        config: the thresholds that were used.
        segments: of the connections that :func:`pcapflow.report.ladder_choice.wanted_flows` names, as far as they could
            be collected.
        incidents: what happened, worst first; anomalies that they explain are behind their cards.
        payload: what connections said.
    """
    capture = tables.capture
    clock = Clock(capture.first_ns, capture.last_ns)
    explained, groups = card_groups(anomalies, incidents)
    drawn = wanted_flows(tables, (*explained, *groups), config)
    ladders = {flow: _ladder(tables, flow, (*explained, *groups), (segments or {}).get(flow, ())) for flow in drawn}
    texts = [rule_text(group.worst) for group in groups]
    titles = {group.worst.code: text.title for group, text in zip(groups, texts, strict=True)}
    quality = quality_note(tables, anomalies)
    used: set[int] = set()
    happened = incident_cards(tables, incidents, explained, ladders, used, clock)
    shown = cards(tables, groups, texts, ladders, used, clock, first_open=not incidents)
    return ReportView(
        title=capture.name,
        meta=_meta(tables),
        verdict=verdict(tables, groups, titles, clock, incidents, doubtful=not quality.good),
        quality=quality,
        incidents=tuple(card for card in happened if card.severity != Severity.INFO.label),
        harmless=tuple(card for card in happened if card.severity == Severity.INFO.label),
        cards_heading="What else went wrong" if incidents else "What went wrong",
        cards=tuple(card for card in shown if card.severity != Severity.INFO.label),
        notices=tuple(card for card in shown if card.severity == Severity.INFO.label),
        census=census_view(census(tables, config), clock, config),
        connections=connections(tables, _remarks(incidents, explained, groups), drawn, clock, config, payload),
        hosts=hosts_view(tables, config, anomalies, incidents),
        looks=STATE_LOOKS,
        version=__version__,
        # Asked for last: the checksum may still be running in another thread.
        sha256=capture.sha256,
        facts=facts(tables, config),
    )


def _meta(tables: Tables) -> tuple[str, ...]:
    """The line under the title: when, how much, and from where it was seen."""
    capture = tables.capture
    items = []
    if capture.frames:
        first, last = day_and_time(capture.first_ns), day_and_time(capture.last_ns)
        same_day = first[:10] == last[:10]
        span = duration(capture.last_ns - capture.first_ns)
        items.append(f"{first} to {last[11:] if same_day else last} UTC ({span})")
    items += [counted(capture.frames, "packet"), counted(len(tables.flows), "TCP connection"), vantage(tables)]
    return tuple(item for item in items if item)


def _remarks(
    incidents: Sequence[Incident], explained: Sequence[AnomalyGroup], groups: Sequence[AnomalyGroup]
) -> list[Remark]:
    """What the table says of connections: the incidents that they belong to first."""
    sides = {"client": CLIENT, "server": SERVER, "": -1}
    remarks = [
        Remark(group.flows, incident.pattern, incident.severity, sides[incident.blame.side])
        for incident, group in zip(incidents, explained, strict=True)
    ]
    return remarks + [
        Remark(group.flows, group.worst.name, group.worst.severity, group.worst.endpoint) for group in groups
    ]


def _ladder(tables: Tables, flow: int, groups: Sequence[AnomalyGroup], segments: Sequence[Segment]) -> Ladder:
    evidence = frozenset().union(*(group.frames_of(flow) for group in groups))
    return ladder(tables, flow, evidence=evidence, segments=segments)
