"""What patterns look at: the tables of one capture, its anomalies, and what was said in its connections."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from pcapflow.anomalies.lookup.columns import distinct
from pcapflow.anomalies.lookup.groups import Groups, group, host_keys, server_numbers, servers
from pcapflow.anomalies.model import MAX_FRAMES, Anomaly, BoolArray, IntArray
from pcapflow.config import Config
from pcapflow.diagnosis.hosts import Hosts
from pcapflow.diagnosis.model import MAX_FLOWS, MAX_HOSTS
from pcapflow.diagnosis.settings import Settings, settings_of
from pcapflow.payload.said import NOTHING, Payload, Said
from pcapflow.tables.schema import Column
from pcapflow.tables.table import Tables
from pcapflow.tcp.states import CLIENT

_FIRST_LOOK: Final = 1000
"""So many connections name their hosts as a rule; more are only looked at where these name too few."""


class Case:
    """One capture, as the patterns are given it.

    Attributes:
        tables: flows, transitions and marks.
        anomalies: worst first; patterns name them by their position in this list.
        config: the thresholds.
        payload: what connections said, as far as somebody asked.
    """

    def __init__(
        self, tables: Tables, anomalies: Sequence[Anomaly], config: Config, payload: Payload = NOTHING
    ) -> None:
        self.tables = tables
        self.anomalies = anomalies
        self.config = config
        self.payload = payload

    def __len__(self) -> int:
        """How many connections there are."""
        return len(self.tables.flows)

    def column(self, name: str) -> Column:
        """A column of ``flows``."""
        return self.tables.flows[name]

    @functools.cached_property
    def _by_code(self) -> dict[str, list[int]]:
        places: dict[str, list[int]] = {}
        for position, anomaly in enumerate(self.anomalies):
            places.setdefault(anomaly.code, []).append(position)
        return places

    def anomalies_of(self, *codes: str, flows: IntArray | None = None, endpoint: int | None = None) -> list[int]:
        """Positions of the anomalies with one of these codes, in order.

        Args:
            codes: of rules; none of them means every rule that speaks of connections.
            flows: only those that are about these connections: about this one, or, of a row that stands for many,
                half of those that it names or more.
            endpoint: only those that blame this endpoint.
        """
        places = [place for code in codes or self._by_code for place in self._by_code.get(code, ())]
        places = [place for place in places if self._is_listed(self.anomalies[place])]
        if not codes:
            places = [place for place in places if not self.anomalies[place].about_capture]
        if endpoint is not None:
            places = [place for place in places if self.anomalies[place].endpoint == endpoint]
        if flows is not None:
            members = self.mask(flows)
            places = [place for place in places if self._is_about(self.anomalies[place], members)]
        return sorted(places)

    @staticmethod
    def _is_listed(anomaly: Anomaly) -> bool:
        """Whether it names what it is about: the row that counts what a rule found beyond its limit may not."""
        return anomaly.about_capture or anomaly.flow >= 0 or len(anomaly.flows) > 0

    def _is_about(self, anomaly: Anomaly, members: BoolArray) -> bool:
        if anomaly.flow >= 0:
            return bool(members[anomaly.flow])
        named = np.array(anomaly.flows, dtype=np.int64)
        return len(named) > 0 and 2 * int(np.count_nonzero(members[named])) >= len(named)

    def flows_of(self, positions: Iterable[int]) -> IntArray:
        """The connections that these anomalies name, each once, in order of number."""
        named: set[int] = set()
        for position in positions:
            anomaly = self.anomalies[position]
            named.update(anomaly.flows if anomaly.flow < 0 else (anomaly.flow,))
        return np.array(sorted(named), dtype=np.int64)

    def mask(self, flows: IntArray) -> BoolArray:
        """These connections as a mask over all."""
        members = np.zeros(len(self), dtype=bool)
        members[flows] = True
        return members

    def by_server(self, flows: IntArray) -> Groups:
        """Connections by the address and port they were opened to; in a group they keep their order."""
        return group(flows, server_numbers(self.tables)[flows])

    def by_host(self, flows: IntArray, endpoint: int) -> Groups:
        """Connections by the address of one side; in a group they keep their order."""
        return group(flows, host_keys(self.tables, endpoint)[flows])

    def same_server(self, flow: int) -> IntArray:
        """All connections to the address and port that this one was opened to, in order of number."""
        return servers(self.tables).of(int(server_numbers(self.tables)[flow]))

    def same_client(self, flow: int, among: IntArray) -> IntArray:
        """Those of some connections that the client's host of this one opened."""
        hosts = host_keys(self.tables, CLIENT)
        chosen: IntArray = among[hosts[among] == hosts[flow]]
        return chosen

    def said_to(self, server: str) -> list[Said]:
        """What was said on connections to one ``address:port``, of those that were looked at."""
        return [said for said in self.payload.said.values() if self.tables.server(said.flow) == server]

    def settings(self, flow: int) -> Settings:
        """The settings of the program that this connection was opened to, by what was said to it, or by its port."""
        said = self.said_to(self.tables.server(flow))
        return settings_of(int(self.column("server_port")[flow]), said[0].protocol if said else "")

    def hosts(self, flows: IntArray, endpoint: int) -> Hosts:
        """The addresses of one side of these connections, in order of number."""
        keys = host_keys(self.tables, endpoint)[flows]
        if np.all(keys == keys[:1]):
            return Hosts([self.tables.ip(flow, endpoint) for flow in flows[:1].tolist()], min(len(flows), 1))
        size = _FIRST_LOOK
        while len(groups := group(flows[:size], keys[:size])) < MAX_HOSTS and size < len(flows):
            size *= 10
        first = np.sort(groups.members[groups.starts[:-1]])[:MAX_HOSTS]
        total = len(groups) if size >= len(flows) else distinct(keys)
        return Hosts([self.tables.ip(flow, endpoint) for flow in first.tolist()], total)

    def hosts_of(self, sides: Iterable[tuple[IntArray, int]]) -> Hosts:
        """The addresses of some connections' one side and of others' other side, each once."""
        parts = [(flows, endpoint) for flows, endpoint in sides if len(flows)]
        each = [host_keys(self.tables, endpoint)[flows] for flows, endpoint in parts]
        names = dict.fromkeys(host for flows, endpoint in parts for host in self.hosts(flows, endpoint))
        return Hosts(list(names)[:MAX_HOSTS], distinct(np.concatenate(each)) if each else 0)

    def count_hosts(self, flows: IntArray, endpoint: int) -> int:
        """How many addresses one side of these connections has."""
        return distinct(host_keys(self.tables, endpoint)[flows])

    def frames(self, column: str, flows: IntArray) -> tuple[int, ...]:
        """Frames of these connections from a column that holds them, the first few, as evidence."""
        frames = self.column(column)[flows]
        return tuple(frames[frames > 0][:MAX_FRAMES].tolist())


def named(flows: IntArray) -> tuple[int, ...]:
    """The connections of an explanation, as many as one names."""
    return tuple(flows[:MAX_FLOWS].tolist())
