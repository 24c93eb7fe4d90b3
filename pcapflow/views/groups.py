"""Anomalies that say the same of several connections, or that one incident explains: each group is a card."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from pcapflow.anomalies.model import Anomaly
from pcapflow.diagnosis.model import Incident, unexplained
from pcapflow.tables.table import Tables
from pcapflow.tcp.states import CLIENT

MOST_FLOWS: Final = 1000
"""Connections of one group that are named at all; the rest is counted."""
_FLOWS_ASKED: Final = 200
_SERVERS_COUNTED: Final = 3


@dataclasses.dataclass(frozen=True, slots=True)
class AnomalyGroup:
    """All anomalies of one rule with the same cause and on the same side, or all that one incident explains.

    Attributes:
        anomalies: worst first, as the rules gave them; an incident may explain none.
        flows: connections they name, each once, worst first.
        count: connections they stand for, named or not.
        cited: frames that an incident cites besides.
    """

    anomalies: tuple[Anomaly, ...]
    flows: tuple[int, ...]
    count: int
    cited: frozenset[int] = frozenset()

    @property
    def worst(self) -> Anomaly:
        """The anomaly that is shown when one has to do."""
        return self.anomalies[0]

    def frames_of(self, flow: int) -> frozenset[int]:
        """The frames that prove it on one connection."""
        return self.cited.union(
            frame for a in self.anomalies if a.flow == flow or (a.flow < 0 and flow in a.flows) for frame in a.frames
        )


def anomaly_groups(anomalies: Iterable[Anomaly]) -> list[AnomalyGroup]:
    """The anomalies by rule, cause and side, in the order in which the first of each appears (worst first)."""
    groups: dict[tuple[str, str, int, int], list[Anomaly]] = {}
    for anomaly in anomalies:
        key = (anomaly.code, anomaly.cause, anomaly.endpoint, anomaly.severity)
        groups.setdefault(key, []).append(anomaly)
    return [_group(members) for members in groups.values()]


def card_groups(
    anomalies: Sequence[Anomaly], incidents: Sequence[Incident]
) -> tuple[list[AnomalyGroup], list[AnomalyGroup]]:
    """The groups behind the cards of a report: one for each incident, and those of the anomalies that stand alone."""
    explained = [_incident_group(incident, anomalies) for incident in incidents]
    return explained, anomaly_groups(unexplained(anomalies, incidents))


def _incident_group(incident: Incident, anomalies: Sequence[Anomaly]) -> AnomalyGroup:
    """The anomalies that an incident explains, out of all of the capture."""
    return AnomalyGroup(
        tuple(anomalies[place] for place in sorted(incident.explains)),
        incident.flows[:MOST_FLOWS],
        incident.count,
        frozenset(incident.frames),
    )


def _group(members: Sequence[Anomaly]) -> AnomalyGroup:
    named: dict[int, None] = {}
    for anomaly in members:
        for flow in (anomaly.flow, *anomaly.flows):
            if flow >= 0 and len(named) < MOST_FLOWS:
                named[flow] = None
    single = len({a.flow for a in members if a.flow >= 0})
    summaries = sum(max(a.count, len(a.flows)) for a in members if a.flow < 0)
    return AnomalyGroup(tuple(members), tuple(named), max(single + summaries, len(named)))


def blamed(tables: Tables, group: AnomalyGroup) -> list[str]:
    """Who is at fault, most often first: ``address:port`` of servers, addresses of clients.

    Where a rule blames nobody these are the servers concerned.
    """
    is_client = group.worst.endpoint == CLIENT
    names = ("client_hi", "client_lo") if is_client else ("server_hi", "server_lo", "server_port")
    columns = [tables.flows[name][list(group.flows)].tolist() for name in ("family", *names)]
    members: dict[tuple[int, ...], list[int]] = {}
    for flow, *who in zip(group.flows, *columns, strict=True):
        members.setdefault(tuple(who), []).append(flow)
    often = sorted(members.values(), key=lambda flows: -len(flows))
    return [tables.ip(flows[0], CLIENT) if is_client else tables.server(flows[0]) for flows in often]


def flows_to_same_servers(tables: Tables, group: AnomalyGroup) -> int:
    """How many connections of the capture go to the servers that a group concerns.

    Where that is more than a few servers these are all connections of the capture.
    """
    f = tables.flows
    asked = group.flows[:_FLOWS_ASKED]
    servers = {(int(f["server_hi"][i]), int(f["server_lo"][i]), int(f["server_port"][i])) for i in asked}
    if not servers or len(servers) > _SERVERS_COUNTED:
        return len(f)
    same = np.zeros(len(f), dtype=bool)
    for hi, lo, port in servers:
        same |= (f["server_lo"] == lo) & (f["server_port"] == port) & (f["server_hi"] == hi)
    return int(np.count_nonzero(same))
