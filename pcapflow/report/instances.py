"""The connections of a card beyond the one that it draws: a row each, some with a ladder of their own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from pcapflow.report.ladder import Ladder
from pcapflow.tables.table import Tables
from pcapflow.text.phrases import counted, sentence
from pcapflow.text.times import Clock
from pcapflow.views.groups import AnomalyGroup

_ROWS_PER_CARD: Final = 12
_ALIKE: Final = 3
"""Rows of which the same is told, but for the figures; the others are there to be opened."""
_FIGURES: Final = re.compile(r"\[?[0-9a-f.:]*\d[0-9a-f.:\]]*")
"""Numbers, addresses and lengths of time."""


class Instance(NamedTuple):
    """One more connection of a card: when it began or went wrong.

    ``ladder`` is there where one is drawn below the row; an ``anchor`` without it leads to where it is drawn.
    """

    anchor: str
    who: str
    at: str
    detail: str
    ladder: Ladder | None


def ladder_anchor(flow: int) -> str:
    """Where on the page the ladder of a connection is."""
    return f"ladder-{flow}"


def instances_of(
    tables: Tables, group: AnomalyGroup, first: int, used: set[int], ladders: Mapping[int, Ladder], clock: Clock
) -> tuple[Instance, ...]:
    """The connections of a group beyond the one that its card draws; adds those that are drawn to ``used``.

    What is said of them is told of the first few of which it is the same but for its figures.
    """
    own = {a.flow: a for a in group.anomalies if a.flow >= 0}
    instances = []
    alike: Counter[str] = Counter()
    others = [flow for flow in group.flows if flow != first]
    for flow in [flow for i, flow in enumerate(others) if i < _ROWS_PER_CARD or flow in ladders]:
        drawn = ladders.get(flow) if flow not in used else None
        if drawn is not None:
            used.add(flow)
        detail = sentence(own[flow].detail) if flow in own else ""
        shape = _FIGURES.sub("", detail)
        alike[shape] += 1
        instances.append(
            Instance(
                anchor=ladder_anchor(flow) if flow in ladders else "",
                who=f"{tables.client(flow)} to {tables.server(flow)}",
                at=clock.text(own[flow].time_ns if flow in own else int(tables.flows["start_ns"][flow])),
                detail=detail if alike[shape] <= _ALIKE else "",
                ladder=drawn,
            )
        )
    return tuple(instances)


def more_words(group: AnomalyGroup, first: int, instances: Sequence[Instance]) -> str:
    """How many connections of a group are not on its card, in words."""
    hidden = group.count - len(instances) - (first >= 0)
    return f"and {counted(hidden, 'more connection')}; the tables hold all" if instances and hidden > 0 else ""
