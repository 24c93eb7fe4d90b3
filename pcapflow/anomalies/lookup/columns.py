"""Columns of the tables, asked for by side of the connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from pcapflow.anomalies.model import BoolArray, IntArray
from pcapflow.tables.table import Table
from pcapflow.tcp.states import CLIENT, ENDPOINT_NAMES, SERVER

SIDES: Final = (CLIENT, SERVER)


def side(flows: Table, endpoint: int, column: str) -> IntArray:
    """A per-side column of ``flows``, for the client (0) or the server (1)."""
    wide: IntArray = flows[f"{ENDPOINT_NAMES[endpoint]}_{column}"].astype(np.int64, copy=False)
    return wide


def cell(flows: Table, flow: int, endpoint: int, column: str) -> int:
    """One number of a per-side column."""
    return int(flows[f"{ENDPOINT_NAMES[endpoint]}_{column}"][flow])


def stream_bytes(flows: Table, flow: int, endpoint: int) -> int:
    """Bytes of payload that a side sent, each counted once however often it was sent again."""
    numbers = cell(flows, flow, endpoint, "sent") - 1 - (cell(flows, flow, endpoint, "fins") > 0)
    return min(cell(flows, flow, endpoint, "bytes"), max(numbers, 0))


def chosen(flows: Table, endpoints: IntArray, column: str) -> IntArray:
    """A per-side column, for each flow of the side that ``endpoints`` names."""
    return np.where(endpoints == CLIENT, side(flows, CLIENT, column), side(flows, SERVER, column))


def everywhere(value: int, length: int) -> IntArray:
    """A column that holds one value, to be read only: it takes no memory however many flows there are."""
    return np.broadcast_to(np.int64(value), (length,))


def among(values: IntArray, members: IntArray | Sequence[int]) -> BoolArray:
    """Which of these values are among the members.

    ``numpy.isin`` says the same of long arrays, and imports numpy's masked arrays for it: that takes as long as a rule.
    """
    if not len(members):
        return np.zeros(len(values), dtype=bool)
    known = np.sort(np.asarray(members))
    found: BoolArray = known[np.minimum(np.searchsorted(known, values), len(known) - 1)] == values
    return found


def distinct(values: IntArray) -> int:
    """How many different values there are."""
    return len(unique(values))


def unique(values: IntArray) -> IntArray:
    """The different values, in order.

    ``numpy.unique`` says the same by a hash table, which takes ten times as long where most of millions differ.
    """
    ordered = np.sort(values)
    if not len(ordered):
        return ordered
    differs = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=differs[1:])
    return ordered[differs]


def indices(mask: BoolArray) -> IntArray:
    """The flow numbers where this mask is true."""
    return np.flatnonzero(mask).astype(np.int64, copy=False)
