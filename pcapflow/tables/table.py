"""The tables: what the trackers logged, as typed columns of numbers.

Rules, report and exporters work on :class:`Table`, plain numpy columns; names and addresses stay coded until somebody
reads them, which is what keeps millions of rows cheap. :mod:`pcapflow.export.frames` makes pandas data frames of them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pcapflow.reader.capture import Capture
from pcapflow.tables.schema import Column, Schema
from pcapflow.tcp.states import CLIENT, ENDPOINT_NAMES, SERVER
from pcapflow.text.addresses import address_text, host_and_port


class Table:
    """Columns of equal length, by name, as a schema lists them."""

    def __init__(self, name: str, schema: Schema, columns: Mapping[str, Column]) -> None:
        """Checks the columns against the schema and keeps them in its order.

        Raises:
            ValueError: a column is missing, unknown, of another length, or cannot be cast without loss of kind.
        """
        if set(columns) != set(schema):
            raise ValueError(f"{name}: columns differ from the schema: {sorted(set(columns) ^ set(schema))}")
        if len({len(column) for column in columns.values()}) > 1:
            raise ValueError(f"{name}: columns of unequal length")
        self.name = name
        self.schema = schema
        self.columns = {
            key: columns[key].astype(dtype, casting="same_kind", copy=False) for key, dtype in schema.items()
        }

    def __getitem__(self, column: str) -> Column:
        return self.columns[column]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def rows(self, positions: Column | Sequence[int]) -> list[dict[str, int]]:
        """Some rows as plain Python numbers, a mapping of column to value each."""
        lists = [column[positions].tolist() for column in self.columns.values()]
        return [dict(zip(self.columns, values, strict=True)) for values in zip(*lists, strict=True)]

    def take(self, rows: Column) -> Table:
        """The rows at these positions, or where this mask is true, as a table of the same schema."""
        return Table(self.name, self.schema, {key: column[rows] for key, column in self.columns.items()})


class Kind(NamedTuple):
    """What many transitions have in common."""

    endpoint: int
    event: int
    old: int
    new: int


@dataclasses.dataclass(frozen=True)
class Tables:
    """What one capture was turned into: the three logged tables and the capture they came from."""

    flows: Table
    transitions: Table
    marks: Table
    capture: Capture

    @functools.cached_property
    def _transitions_by_flow(self) -> tuple[Column, Column]:
        """Positions in ``transitions`` by flow, and where those of each flow begin."""
        # Sorting one number that holds flow and position is several times faster than a stable argsort.
        flow = self.transitions["flow"]
        keys = flow << 32
        keys |= np.arange(len(flow), dtype=np.int64)
        keys.sort()
        keys &= 0xFFFF_FFFF
        starts = np.zeros(len(self.flows) + 1, dtype=np.int64)
        np.cumsum(np.bincount(flow, minlength=len(self.flows)), out=starts[1:])
        return keys.astype(np.uint32), starts

    @functools.cached_property
    def transitions_by_kind(self) -> dict[Kind, Column]:
        """Positions in ``transitions``, in time order, by kind: there are but a few dozen kinds."""
        kinds = self.transitions["endpoint"].astype(np.uint16)
        for column in ("event", "old", "new"):
            kinds <<= 4
            kinds |= self.transitions[column]
        # Sixteen bits are sorted by counting them.
        order = np.argsort(kinds, kind="stable").astype(np.uint32)
        sizes = np.bincount(kinds)
        codes = np.flatnonzero(sizes)
        parts = np.split(order, np.cumsum(sizes[codes]))[:-1]
        return {
            Kind(code >> 12, code >> 8 & 15, code >> 4 & 15, code & 15): rows
            for code, rows in zip(codes.tolist(), parts, strict=True)
        }

    def transitions_of(self, flow: int) -> Column:
        """Positions of this flow's rows in ``transitions``, in time order."""
        order, starts = self._transitions_by_flow
        return order[starts[flow] : starts[flow + 1]]

    def marks_of(self, flow: int) -> Column:
        """Positions of this flow's rows in ``marks``, in order of frames."""
        first, last = np.searchsorted(self.marks["flow"], (flow, flow + 1))
        return np.arange(first, last)

    def ip(self, flow: int, endpoint: int) -> str:
        """The address of one endpoint, as text."""
        side = ENDPOINT_NAMES[endpoint]
        return address_text(
            int(self.flows["family"][flow]), int(self.flows[f"{side}_hi"][flow]), int(self.flows[f"{side}_lo"][flow])
        )

    def name(self, flow: int, endpoint: int) -> str:
        """``address:port`` of one endpoint; an IPv6 address stands in brackets."""
        return host_and_port(self.ip(flow, endpoint), int(self.flows[f"{ENDPOINT_NAMES[endpoint]}_port"][flow]))

    def client(self, flow: int) -> str:
        """``address:port`` of the client."""
        return self.name(flow, CLIENT)

    def server(self, flow: int) -> str:
        """``address:port`` of the server."""
        return self.name(flow, SERVER)
