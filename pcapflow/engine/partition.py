"""What one flow table came to, as plain columns that one process can hand to another.

:class:`~pcapflow.engine.collect.Collector` makes it, and :func:`pcapflow.engine.join.join` makes tables of one or more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from pcapflow.tables.schema import Column, Schema

JOINED_LATER: Final = frozenset({"stream"})
"""Columns of flows that can be filled only when all connections are together."""

TRANSITIONS_LOGGED: Final[Schema] = {"codes": np.int64, "time_ns": np.int64, "frame": np.int64}
MARKS_LOGGED: Final[Schema] = {"codes": np.int64, "frame": np.int64, "time_ns": np.int64, "value": np.int64}
"""Columns as the logs have them (:mod:`pcapflow.tracker.log`); their codes are taken apart when all are in order."""


@dataclasses.dataclass
class PartitionResult:
    """What one flow table logged. Its connections have numbers of its own, in order of their first frames.

    Attributes:
        flows: by name, the columns of flows, in no order of rows, without those of :data:`JOINED_LATER`; ``flow`` is
            the number.
        transitions, marks: by name, the columns of :data:`TRANSITIONS_LOGGED` and :data:`MARKS_LOGGED`, as logged.
        opened_before, quoted_only: ``opened_before`` and ``frames`` of
            :class:`~pcapflow.tracker.quoted_tuples.QuotedTuples`.
        in_stream_of: as of :class:`~pcapflow.tracker.flow_table.FlowTable`.
        evicted: connections given up because too many were open at once.
    """

    flows: dict[str, Column]
    transitions: dict[str, Column]
    marks: dict[str, Column]
    opened_before: dict[int, int]
    quoted_only: list[int]
    in_stream_of: dict[int, int]
    evicted: int


def serialize(partition: PartitionResult) -> Iterator[object]:
    """The result in pieces for another process: arrays, and small objects that say which arrays follow.

    Each array is freed once it has been yielded. :func:`deserialize` reads the pieces.
    """
    for columns in (partition.flows, partition.transitions, partition.marks):
        rows = len(next(iter(columns.values())))
        # A column that is the same in all rows is sent as one number.
        parts = {name: column[:1] if column.strides == (0,) else column for name, column in columns.items()}
        columns.clear()
        yield rows, [(name, part.dtype, len(part)) for name, part in parts.items()]
        for name in list(parts):
            yield np.ascontiguousarray(parts.pop(name))
    yield partition.opened_before, partition.quoted_only, partition.in_stream_of, partition.evicted


def deserialize(receive: Callable[[], Any], column: Callable[[np.dtype[Any], int], Column]) -> PartitionResult:
    """The result that another process took apart with :func:`serialize`.

    Args:
        receive: gives the next object.
        column: gives the next array, which has this type and length.
    """

    def columns() -> dict[str, Column]:
        rows, parts = receive()
        found: dict[str, Column] = {}
        for name, dtype, length in parts:
            part = column(dtype, length)
            found[name] = part if length == rows else np.broadcast_to(part[0], (rows,))
        return found

    flows, transitions, marks = columns(), columns(), columns()
    return PartitionResult(flows, transitions, marks, *receive())
