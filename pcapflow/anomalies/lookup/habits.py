"""What hosts do that others do not: measured in the capture, or as the configuration says; the rest is assumed.

Rules ask here, and never for a guess at the name of a host's stack: habits that show are measured, and those that do
not are configured by name (:mod:`pcapflow.stacks`).
"""

from __future__ import annotations

import dataclasses
import ipaddress
from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import everywhere, indices, side, unique
from pcapflow.anomalies.lookup.groups import host_keys
from pcapflow.anomalies.model import BoolArray, IntArray
from pcapflow.config import Config
from pcapflow.stacks import ASSUMED, STACKS, Stack
from pcapflow.tables.table import Tables
from pcapflow.tcp.states import CLIENT
from pcapflow.text.times import to_ns

_FEW: Final = 20
"""Fewer ports tell no range."""
_SURE: Final = 1e-6
"""Ports that lie so unlikely by chance within another stack's range are taken from that range."""


class ClientPorts(NamedTuple):
    """The ports that a host takes for its own connections.

    Attributes:
        number: how many there are.
        first, last: between which they lie; -1 where the number alone is configured.
        basis: ``measured``, ``configured`` or ``assumed``.
    """

    number: int
    first: int
    last: int
    basis: str

    def words(self) -> str:
        """The number, and where it is from, for a sentence: ``16,384 (49152 to 65535, as those it took)``."""
        if self.basis == "measured":
            return f"{self.number:,} ({self.first} to {self.last}, by those it took)"
        return f"{self.number:,}" if self.basis == "configured" else f"{self.number:,} (assumed)"


def client_ports(tables: Tables, config: Config, flow: int) -> ClientPorts:
    """The ports that the client of this connection has, by those that it took in the whole capture.

    The ranges of the known stacks are tried. Another one than the configured counts where a port lies outside of that,
    or where so many would hardly all lie within the other by chance.
    """
    return _client_ports(tables, config, int(host_keys(tables, CLIENT)[flow]), flow)


@cached_per_tables
def _client_ports(tables: Tables, config: Config, host: int, flow: int) -> ClientPorts:
    own = config.of_host(tables.ip(flow, CLIENT))
    taken = unique(side(tables.flows, CLIENT, "port")[host_keys(tables, CLIENT) == host])
    first, last = int(taken[0]), int(taken[-1])
    stack = STACKS[own.stack]
    is_default = own.ephemeral_ports == stack.ports
    basis = "assumed" if own == config and own.stack == ASSUMED and is_default else "configured"
    known = ClientPorts(own.ephemeral_ports, *(_range(stack) if is_default else (-1, -1)), basis)
    fitting = [other for other in STACKS.values() if other.first_port <= first and last <= other.last_port]
    if not is_default or not fitting:
        return known
    closest = min(fitting, key=lambda other: other.ports)
    overlap = min(closest.last_port, stack.last_port) - max(closest.first_port, stack.first_port) + 1
    outside = first < stack.first_port or last > stack.last_port
    by_chance = 0.0 if outside else (max(overlap, 0) / stack.ports) ** len(taken)
    # Of a few, a program may have chosen some itself.
    if closest.ports == stack.ports or by_chance > _SURE or len(taken) < _FEW:
        return known
    return ClientPorts(closest.ports, *_range(closest), "measured")


def _range(stack: Stack) -> tuple[int, int]:
    return stack.first_port, stack.last_port


def of_client(tables: Tables, config: Config, flow: int) -> Config:
    """The settings for the client of a connection, with the number of ports that it has."""
    own = config.of_host(tables.ip(flow, CLIENT))
    return dataclasses.replace(own, ephemeral_ports=client_ports(tables, config, flow).number)


@cached_per_tables
def time_wait_ns(tables: Tables, config: Config, endpoint: int) -> IntArray:
    """For each flow how long TIME_WAIT lasts at one side; to be read only."""
    lasts = everywhere(to_ns(config.msl2_s), len(tables.flows))
    if not config.stack_hosts:
        return lasts
    lasts = lasts.copy()
    networks = [(ipaddress.ip_network(network), name) for network, name in config.stack_hosts]
    for network, name in sorted(networks, key=lambda each: each[0].prefixlen):
        lasts[indices(_within(tables, endpoint, network))] = to_ns(STACKS[name].time_wait_s)
    lasts.flags.writeable = False
    return lasts


def _within(tables: Tables, endpoint: int, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> BoolArray:
    """Whose address at one side lies in a network."""
    found: BoolArray = tables.flows["family"] == network.version
    mask, base = int(network.netmask), int(network.network_address)
    for half, shift in (("hi", 64), ("lo", 0)):
        bits = side(tables.flows, endpoint, half).view(np.uint64)
        found &= bits & np.uint64(mask >> shift & (1 << 64) - 1) == np.uint64(base >> shift & (1 << 64) - 1)
    return found
