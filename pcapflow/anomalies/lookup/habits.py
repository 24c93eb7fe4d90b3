"""What hosts do that others do not: measured in the capture, or as the configuration says; the rest is assumed.

Rules ask here, and never for a guess at the name of a host's stack: habits that show are measured, and those that do
not are configured by name (:mod:`pcapflow.stacks`).
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import among, everywhere, indices, side, unique
from pcapflow.anomalies.lookup.groups import host_keys
from pcapflow.anomalies.model import BoolArray, IntArray
from pcapflow.config import Config
from pcapflow.stacks import ASSUMED, STACKS, Stack
from pcapflow.tables.table import Tables
from pcapflow.tcp.states import CLIENT
from pcapflow.text.times import to_ns

Halves = npt.NDArray[np.uint64]

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
    taken = unique(side(tables.flows, CLIENT, "port")[host_keys(tables, CLIENT) == host])
    return ports_by(config, tables.ip(flow, CLIENT), int(taken[0]), int(taken[-1]), len(taken))


def ports_by(config: Config, address: str, first: int, last: int, taken: int) -> ClientPorts:
    """The ports that a host has, by the lowest and the highest that it took, and how many different ones those were."""
    own = config.of_host(address)
    stack = STACKS[own.stack or ASSUMED]
    is_default = own.ephemeral_ports == stack.ports
    basis = "configured" if own.stack or not is_default else "assumed"
    known = ClientPorts(own.ephemeral_ports, *(_range(stack) if is_default else (-1, -1)), basis)
    fitting = [other for other in STACKS.values() if other.first_port <= first and last <= other.last_port]
    # Of a few, a program may have chosen some itself.
    if not is_default or not fitting or taken < _FEW:
        return known
    closest = min(fitting, key=lambda other: other.ports)
    overlap = min(closest.last_port, stack.last_port) - max(closest.first_port, stack.first_port) + 1
    outside = first < stack.first_port or last > stack.last_port
    by_chance = 0.0 if outside else (max(overlap, 0) / stack.ports) ** taken
    if closest.ports == stack.ports or by_chance > _SURE:
        return known
    return ClientPorts(closest.ports, *_range(closest), "measured")


def time_wait_of(config: Config, address: str) -> tuple[float, str]:
    """How long TIME_WAIT lasts at a host, in seconds, and whether that is ``configured`` or ``assumed``."""
    own = config.of_host(address)
    is_assumed = not own.stack and own.msl2_s == STACKS[ASSUMED].time_wait_s
    return own.msl2_s, "assumed" if is_assumed else "configured"


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
    sizes = {(network.version, network.prefixlen, name) for network, name in networks}
    for version, length, name in sorted(sizes, key=lambda size: size[1]):
        bases = [n for n, other in networks if (n.version, n.prefixlen, other) == (version, length, name)]
        lasts[indices(_within(tables, endpoint, bases))] = to_ns(STACKS[name].time_wait_s)
    lasts.flags.writeable = False
    return lasts


def _within(
    tables: Tables, endpoint: int, networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]
) -> BoolArray:
    """Whose address at one side lies in one of these networks, which are of one version and one size."""
    mask = int(networks[0].netmask)
    bases = np.array([_halves(int(network.network_address)) for network in networks], dtype=np.uint64)
    parts = zip(("hi", "lo"), _halves(mask), strict=True)
    bits = [side(tables.flows, endpoint, half).view(np.uint64) & part for half, part in parts]
    with np.errstate(over="ignore"):
        found: BoolArray = among(_mixed(*bits), _mixed(bases[:, 0], bases[:, 1]))
    found &= tables.flows["family"] == networks[0].version
    return found


def _halves(number: int) -> tuple[np.uint64, np.uint64]:
    return np.uint64(number >> 64), np.uint64(number & (1 << 64) - 1)


def _mixed(high: Halves, low: Halves) -> IntArray:
    """One number of both halves of an address; those of IPv4 have nothing in the first."""
    return (high * np.uint64(0x9E3779B97F4A7C15) ^ low).view(np.int64)
