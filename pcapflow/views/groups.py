"""Anomalies that say the same of several connections, gathered: what becomes one card of the report."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Final

from pcapflow.anomalies.model import Anomaly
from pcapflow.tables.table import Tables
from pcapflow.tcp.states import CLIENT

MOST_FLOWS: Final = 1000
"""Connections of one group that are named at all; the rest is counted."""


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """All anomalies of one rule with the same cause and on the same side.

    Attributes:
        anomalies: worst first, as the rules gave them.
        flows: connections they name, each once, worst first.
        count: connections they stand for, named or not.
    """

    anomalies: tuple[Anomaly, ...]
    flows: tuple[int, ...]
    count: int

    @property
    def worst(self) -> Anomaly:
        """The anomaly that is shown when one has to do."""
        return self.anomalies[0]

    def frames_of(self, flow: int) -> frozenset[int]:
        """The frames that prove it on one connection."""
        return frozenset(
            frame for a in self.anomalies if a.flow == flow or (a.flow < 0 and flow in a.flows) for frame in a.frames
        )


def gathered(anomalies: Iterable[Anomaly]) -> list[Group]:
    """The anomalies by rule, cause and side, in the order in which the first of each appears (worst first)."""
    groups: dict[tuple[str, str, int, int], list[Anomaly]] = {}
    for anomaly in anomalies:
        key = (anomaly.code, anomaly.cause, anomaly.endpoint, anomaly.severity)
        groups.setdefault(key, []).append(anomaly)
    return [_finding(members) for members in groups.values()]


def _finding(members: Sequence[Anomaly]) -> Group:
    named: dict[int, None] = {}
    for anomaly in members:
        for flow in (anomaly.flow, *anomaly.flows):
            if flow >= 0 and len(named) < MOST_FLOWS:
                named[flow] = None
    single = len({a.flow for a in members if a.flow >= 0})
    summaries = sum(max(a.count, len(a.flows)) for a in members if a.flow < 0)
    return Group(tuple(members), tuple(named), max(single + summaries, len(named)))


def blamed(tables: Tables, finding: Group) -> list[str]:
    """Who is at fault, most often first: ``address:port`` of servers, addresses of clients.

    Where a rule blames nobody these are the servers concerned.
    """
    is_client = finding.worst.endpoint == CLIENT
    names = ("client_hi", "client_lo") if is_client else ("server_hi", "server_lo", "server_port")
    columns = [tables.flows[name][list(finding.flows)].tolist() for name in ("family", *names)]
    members: dict[tuple[int, ...], list[int]] = {}
    for flow, *who in zip(finding.flows, *columns, strict=True):
        members.setdefault(tuple(who), []).append(flow)
    often = sorted(members.values(), key=lambda flows: -len(flows))
    return [tables.ip(flows[0], CLIENT) if is_client else tables.server(flows[0]) for flows in often]
