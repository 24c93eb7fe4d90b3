"""How a rule returns what it found: single connections, groups of them, or one thing about the capture.

A rule picks its rows with whole columns, which is fast however many there are, and gives a function that describes one
of them. That function is called only for the rows that are kept, the worst of each rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from pcapflow.anomalies.lookup.timeline import Story
from pcapflow.anomalies.model import MANY, NOBODY, Finding, Hits, IntArray, Weights
from pcapflow.tables.table import Tables

T = TypeVar("T")


class Hit(NamedTuple):
    """One row that a rule found.

    Attributes:
        row: its position in the rule's own columns.
        flow: the connection.
        endpoint: the side that the rule named with it, -1 where it named none.
    """

    row: int
    flow: int
    endpoint: int


def per_flow(
    tables: Tables,
    flows: IntArray,
    finding: Callable[[Story, Hit], Finding],
    *,
    weight: Weights,
    endpoints: IntArray | None = None,
    evidence: IntArray | None = None,
) -> Hits:
    """Hits of one connection each.

    Args:
        tables: of the capture.
        flows: the connection of each hit; one may occur several times.
        finding: describes one hit; the story holds the transitions and marks of all hits that are kept.
        weight: how bad each hit is, as in :class:`pcapflow.anomalies.model.Hits`.
        endpoints: a side for each hit, where the rule looks at the two sides of a connection separately.
        evidence: the connection that the story of each hit is about, where it is another one.
    """

    def describe(positions: IntArray) -> list[Finding]:
        story = Story(tables, (flows if evidence is None else evidence)[positions])
        sides = np.full(len(positions), NOBODY) if endpoints is None else endpoints[positions]
        columns = (positions.tolist(), flows[positions].tolist(), sides.tolist())
        return [finding(story, Hit(*hit)) for hit in zip(*columns, strict=True)]

    return Hits(flows, describe, weight)


def per_group(
    groups: Sequence[T],
    finding: Callable[[T], Finding],
    *,
    weight: Weights | Sequence[float],
) -> Hits:
    """Hits of many connections each: a server, a host, a scan.

    Args:
        groups: whatever the rule gathered of each; or a range, where it looks them up itself.
        finding: describes one of them.
        weight: how bad each is, as in :class:`pcapflow.anomalies.model.Hits`.
    """

    def describe(positions: IntArray) -> list[Finding]:
        return [finding(groups[position]) for position in positions.tolist()]

    return Hits(np.full(len(groups), MANY), describe, np.asarray(weight))


def joined(first: Hits, second: Hits) -> Hits:
    """The hits of a rule that finds both single connections and groups."""
    split = len(first.flows)

    def describe(positions: IntArray) -> list[Finding]:
        # Each part describes its hits at once and in order; here they get back into the order that was asked for.
        early = iter(first.describe(positions[positions < split]))
        late = iter(second.describe(positions[positions >= split] - split))
        return [next(early if position < split else late) for position in positions.tolist()]

    flows = np.concatenate((first.flows, second.flows))
    weight: Weights = np.concatenate((first.weight, second.weight)).astype(np.float64, copy=False)
    return Hits(flows, describe, weight)


def single(finding: Finding | None) -> Hits:
    """The hits of a rule that says at most one thing, of the whole capture."""
    return per_group([finding] if finding else [], lambda only: only, weight=[0] if finding else [])


def no_hits() -> Hits:
    """What a rule returns that found nothing."""
    return single(None)
