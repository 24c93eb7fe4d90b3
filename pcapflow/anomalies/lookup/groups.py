"""Connections grouped by host, server or port, and how many intervals hold at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import SIDES, side
from pcapflow.anomalies.model import IntArray
from pcapflow.tables.sorting import stable_order
from pcapflow.tables.table import Tables
from pcapflow.tcp.states import CLIENT, SERVER

_MIX: Final = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], dtype=np.uint64)


def group_keys(*columns: IntArray) -> IntArray:
    """One 64-bit key per row of several columns, for grouping.

    Rows that are equal have equal keys. Different rows share a key with a chance of 2**-64 a pair, which would merge
    two servers in a summary and touch no state: the price of sorting millions of rows once instead of five times.
    """
    key = np.zeros(len(columns[0]), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for column in columns:
            if len(column) and column.min() == column.max():
                continue  # what is the same everywhere tells nothing apart
            key ^= column.astype(np.int64, copy=False).view(np.uint64)
            key *= _MIX[0]
            key ^= key >> np.uint64(29)
            key *= _MIX[1]
            key ^= key >> np.uint64(32)
    return key.view(np.int64)


@cached_per_tables
def host_keys(tables: Tables, endpoint: int) -> IntArray:
    """For each flow a key of one side's address, within its VLAN and tunnel."""
    f = tables.flows
    # Both sides go into the test for sameness, so that an address has the same key on either.
    return _host_keys(tables)[: len(f)] if endpoint == CLIENT else _host_keys(tables)[len(f) :]


@cached_per_tables
def _host_keys(tables: Tables) -> IntArray:
    f = tables.flows
    shared = [np.tile(f[name], 2) for name in ("family", "vlan", "tunnel") if np.any(f[name] != f[name][:1])]
    halves = [np.concatenate([side(f, endpoint, half) for endpoint in SIDES]) for half in ("hi", "lo")]
    return group_keys(*halves, *shared)


@cached_per_tables
def server_keys(tables: Tables) -> IntArray:
    """For each flow a key of the address and port it was opened to."""
    return group_keys(host_keys(tables, SERVER), tables.flows["server_port"])


class Groups(NamedTuple):
    """Members sorted into groups: ``members[starts[i]:starts[i + 1]]`` are those of group ``i``, in order."""

    members: IntArray
    starts: IntArray

    def __len__(self) -> int:
        return len(self.starts) - 1

    def of(self, group: int) -> IntArray:
        """The members of one group."""
        return self.members[self.starts[group] : self.starts[group + 1]]

    def sizes(self) -> IntArray:
        """How many members each group has."""
        return np.diff(self.starts)

    def at_least(self, size: int) -> list[IntArray]:
        """The groups with this many members or more."""
        return [self.of(group) for group in np.flatnonzero(self.sizes() >= size).tolist()]


def group(members: IntArray, member_keys: IntArray) -> Groups:
    """Groups members by key; within a group they keep their order."""
    order = stable_order(member_keys)
    ordered = member_keys[order]
    edges = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    starts = np.concatenate(([0], edges, [len(ordered)])) if len(ordered) else np.zeros(1, dtype=np.int64)
    return Groups(members[order], starts.astype(np.int64))


@cached_per_tables
def servers(tables: Tables) -> Groups:
    """All connections by the address and port they were opened to, in order of number."""
    return group(np.arange(len(tables.flows), dtype=np.int64), server_keys(tables))


@cached_per_tables
def server_numbers(tables: Tables) -> IntArray:
    """For each flow which of :func:`servers` it was opened to; to be read only.

    Such small numbers are grouped by one fast sort (:func:`~pcapflow.tables.sorting.stable_order`), keys by two.
    """
    everyone = servers(tables)
    numbers = np.empty(len(tables.flows), dtype=np.int64)
    numbers[everyone.members] = np.repeat(np.arange(len(everyone)), everyone.sizes())
    numbers.flags.writeable = False
    return numbers


def largest_servers(tables: Tables, chosen: IntArray, most: int, *, least: int = 1) -> Iterator[IntArray]:
    """All connections of each server that has ``least`` of the chosen or more; of those with the most of them."""
    numbers, everyone = server_numbers(tables), servers(tables)
    of_server = group(chosen, numbers[chosen])
    sizes = of_server.sizes()
    first = np.argsort(-sizes, kind="stable")[:most]
    for place in np.sort(first[sizes[first] >= least]).tolist():
        yield everyone.of(int(numbers[of_server.of(place)[0]]))


def peak(starts_ns: IntArray, ends_ns: IntArray) -> tuple[int, int]:
    """How many of these intervals hold at once at most, and since when; ``(0, -1)`` of none."""
    if not len(starts_ns):
        return 0, -1
    moments = np.concatenate((starts_ns, ends_ns))
    steps = np.concatenate((np.ones(len(starts_ns), dtype=np.int64), np.full(len(ends_ns), -1, dtype=np.int64)))
    # At the same moment an end counts before a start: touching intervals do not overlap.
    order = np.lexsort((steps, moments))
    level = np.cumsum(steps[order])
    top = int(np.argmax(level))
    return int(level[top]), int(moments[order][top])
