"""The cards: each shows one group of anomalies, its evidence drawn, what it means, what to do, and who else has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from pcapflow.anomalies.severity import Severity
from pcapflow.report.ladder import Ladder
from pcapflow.report.prose import Advice, Prose, RuleText, prose, side_words
from pcapflow.tables.table import Tables
from pcapflow.text.phrases import counted, listed, number, sentence
from pcapflow.text.times import Clock
from pcapflow.views import display_filter
from pcapflow.views.groups import AnomalyGroup, blamed, flows_to_same_servers

_ROWS_PER_CARD: Final = 12
_ALTERNATIVES: Final = 5
_MOST_FILTERED: Final = 20
"""Streams or frames that a display filter names."""


class Instance(NamedTuple):
    """One more connection of a card: when it began or went wrong.

    ``ladder`` is there where one is drawn below the row; an ``anchor`` without it leads to where it is drawn.
    """

    anchor: str
    who: str
    at: str
    detail: str
    ladder: Ladder | None


class Card(NamedTuple):
    """One group of anomalies: the ladder of its worst connection, what it means, and its other connections."""

    anchor: str
    severity: str
    title: str
    where: str
    code: str
    name: str
    side: str
    confidence: str
    open: bool
    detail: Prose
    cause: str
    ladder: Ladder | None
    ladder_anchor: str
    means: Prose
    advice: tuple[Advice, ...]
    otherwise: Prose
    alternatives: tuple[str, ...]
    display_filter: str
    instances_title: str
    instances: tuple[Instance, ...]
    more: str


def cards(
    tables: Tables,
    groups: Sequence[AnomalyGroup],
    texts: Mapping[str, RuleText],
    ladders: Mapping[int, Ladder],
    clock: Clock,
) -> tuple[Card, ...]:
    """A card for each group, in their order; each ladder is on one card only.

    Args:
        tables: of the capture.
        groups: worst first; the first card is open unless it is mere information.
        texts: the words of the rules, by code.
        ladders: what was drawn, by flow.
        clock: says times.
    """
    made = []
    used: set[int] = set()  # a connection in two groups is drawn once, where it weighs most
    for index, group in enumerate(groups):
        first = next((flow for flow in group.flows if flow in ladders and flow not in used), -1)
        if first >= 0:
            used.add(first)
        instances = _instances(tables, group, first, used, ladders, clock)
        made.append(_card(tables, index, group, texts[group.worst.code], first, ladders.get(first), instances))
    return tuple(made)


def _card(
    tables: Tables,
    index: int,
    group: AnomalyGroup,
    text: RuleText,
    first: int,
    drawn: Ladder | None,
    instances: tuple[Instance, ...],
) -> Card:
    """The card of a group; ``first`` is the connection that it draws, -1 for none."""
    worst = group.worst
    alternatives = dict.fromkeys(other for anomaly in group.anomalies for other in anomaly.alternatives)
    return Card(
        anchor=f"finding-{index + 1}",
        severity=worst.severity.label,
        title=text.title,
        where=_where(tables, group),
        code=worst.code,
        name=worst.name,
        side=side_words(worst.endpoint),
        confidence=worst.confidence,
        open=index == 0 and worst.severity is not Severity.INFO,
        detail=prose(sentence(worst.detail)),
        cause=worst.cause,
        ladder=drawn,
        ladder_anchor=ladder_anchor(first),
        means=text.means,
        advice=text.advice,
        otherwise=text.otherwise,
        alternatives=tuple(alternatives)[:_ALTERNATIVES],
        display_filter=_display_filter(tables, group),
        instances_title="The others" if first >= 0 else "Where",
        instances=instances,
        more=_more(group, first, instances),
    )


def ladder_anchor(flow: int) -> str:
    """Where on the page the ladder of a connection is."""
    return f"ladder-{flow}"


def _instances(
    tables: Tables, group: AnomalyGroup, first: int, used: set[int], ladders: Mapping[int, Ladder], clock: Clock
) -> tuple[Instance, ...]:
    """The connections of a group beyond the one that its card draws; adds those that are drawn to ``used``."""
    own = {a.flow: a for a in group.anomalies if a.flow >= 0}
    instances = []
    others = [flow for flow in group.flows if flow != first]
    for flow in [flow for i, flow in enumerate(others) if i < _ROWS_PER_CARD or flow in ladders]:
        drawn = ladders.get(flow) if flow not in used else None
        if drawn is not None:
            used.add(flow)
        instances.append(
            Instance(
                anchor=ladder_anchor(flow) if flow in ladders else "",
                who=f"{tables.client(flow)} to {tables.server(flow)}",
                at=clock.text(own[flow].time_ns if flow in own else int(tables.flows["start_ns"][flow])),
                detail=sentence(own[flow].detail) if flow in own else "",
                ladder=drawn,
            )
        )
    return tuple(instances)


def _more(group: AnomalyGroup, first: int, instances: Sequence[Instance]) -> str:
    hidden = group.count - len(instances) - (first >= 0)
    return f"and {counted(hidden, 'more connection')}; the tables hold all" if instances and hidden > 0 else ""


def _where(tables: Tables, group: AnomalyGroup) -> str:
    if not group.flows:
        return ""
    who = blamed(tables, group)
    total = flows_to_same_servers(tables, group)
    places = listed(who, 2)
    if group.count == 1:
        return f"1 connection, {places}"
    if len(who) == 1 and group.worst.endpoint >= 0 and total >= group.count:
        return f"{number(group.count)} of {number(total)} on {places}"
    return f"{counted(group.count, 'connection')}, {places}"


def _display_filter(tables: Tables, group: AnomalyGroup) -> str:
    if group.flows:
        return display_filter.of_streams(
            sorted({int(tables.flows["stream"][flow]) for flow in group.flows[:_MOST_FILTERED]})
        )
    return display_filter.of_frames(group.worst.frames[:_MOST_FILTERED])
