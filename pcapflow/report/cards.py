"""The cards: each shows one group of anomalies, its evidence drawn, what it means, what to do, and who else has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from pcapflow.anomalies.severity import Severity
from pcapflow.report.instances import Instance, instances_of, ladder_anchor, more_words
from pcapflow.report.ladder import Ladder
from pcapflow.report.prose import Advice, Prose, RuleText, prose, side_words
from pcapflow.tables.table import Tables
from pcapflow.text.phrases import counted, listed, number, sentence
from pcapflow.text.times import Clock
from pcapflow.views import display_filter
from pcapflow.views.groups import AnomalyGroup, blamed, flows_to_same_servers

_ALTERNATIVES: Final = 5
_MOST_FILTERED: Final = 20
"""Streams or frames that a display filter names."""


class Card(NamedTuple):
    """One group of anomalies: the ladder of its worst connection, what it means, and its other connections."""

    anchor: str
    severity: str
    title: str
    where: str
    code: str
    name: str
    sure: str
    open: bool
    detail: Prose
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
    texts: Sequence[RuleText],
    ladders: Mapping[int, Ladder],
    used: set[int],
    clock: Clock,
    *,
    first_open: bool,
) -> tuple[Card, ...]:
    """A card for each group, in their order; each ladder is on one card only.

    Args:
        tables: of the capture.
        groups: worst first.
        texts: the words of the rules, one for each group.
        ladders: what was drawn, by flow.
        used: connections whose ladder is on the page already: one in two groups is drawn once, where it weighs most.
        clock: says times.
        first_open: whether the first card is open, unless it is mere information.
    """
    made = []
    for index, group in enumerate(groups):
        first = next((flow for flow in group.flows if flow in ladders and flow not in used), -1)
        if first >= 0:
            used.add(first)
        instances = instances_of(tables, group, first, used, ladders, clock)
        card = _card(tables, index, group, texts[index], first, ladders.get(first), instances)
        made.append(card._replace(open=card.open and first_open))
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
    where = _where(tables, group)
    sure = f"{side_words(worst.endpoint)}, {worst.confidence}"
    alternatives = dict.fromkeys(other for anomaly in group.anomalies for other in anomaly.alternatives)
    return Card(
        anchor=f"finding-{index + 1}",
        severity=worst.severity.label,
        title=text.title,
        where=f"{where} ({worst.cause})" if worst.cause else where,
        code=worst.code,
        name=worst.name,
        sure=f"{sure}, cause: {worst.cause}" if worst.cause else sure,
        open=index == 0 and worst.severity is not Severity.INFO,
        detail=prose(sentence(worst.detail)),
        ladder=drawn,
        ladder_anchor=ladder_anchor(first),
        means=text.means,
        advice=text.advice,
        otherwise=text.otherwise,
        alternatives=tuple(alternatives)[:_ALTERNATIVES],
        display_filter=filter_of(tables, group),
        instances_title="The others" if first >= 0 else "Where",
        instances=instances,
        more=more_words(group, first, instances),
    )


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


def filter_of(tables: Tables, group: AnomalyGroup) -> str:
    """A display filter for the connections of a group, or for the frames of one that names none."""
    if group.flows:
        return display_filter.of_streams(
            sorted({int(tables.flows["stream"][flow]) for flow in group.flows[:_MOST_FILTERED]})
        )
    frames = group.cited or group.worst.frames
    return display_filter.of_frames(sorted(frames)[:_MOST_FILTERED])
