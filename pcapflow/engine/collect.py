"""From a flow table's logs to columns: the one place where compiled columns become numpy arrays."""

from __future__ import annotations

import contextlib
import ctypes
import operator
import sys
from typing import Final

import numpy as np

from pcapflow.engine.partition import JOINED_LATER, MARKS_LOGGED, TRANSITIONS_LOGGED, PartitionResult
from pcapflow.reader.segment_batch import SegmentBatch
from pcapflow.tables.schema import FLOWS, Column
from pcapflow.tables.sorting import reorder
from pcapflow.tcp.states import ENDPOINT_NAMES
from pcapflow.tracker.flow_log import NARROW_COLUMNS, ROWS, WIDE_COLUMNS
from pcapflow.tracker.flow_table import FlowTable
from pcapflow.tracker.late import Late
from pcapflow.tracker.log import BASIS_BITS, BLOCK_ROWS, WIDTH, WITHDRAWN, Log

ENOUGH: Final = ROWS // 2
"""Rows that make draining the log of flows worth while."""


class Collector:
    """Feeds a flow table, and takes the rows of finished flows from it as they come."""

    def __init__(self, table: FlowTable) -> None:
        self._table = table
        self._columns = {name: GrowingColumn(dtype) for name, dtype in FLOWS.items() if name not in JOINED_LATER}

    def consume(self, batch: SegmentBatch) -> None:
        """Gives the flow table a batch."""
        self._table.consume(batch)
        if self._table.flows.rows >= ENOUGH:
            self._drain()

    def finish(self, last_ns: int) -> PartitionResult:
        """Has the flow table settle all that is open, and takes its logs.

        Args:
            last_ns: the time of the capture's last frame.
        """
        table = self._table
        while table.finish(last_ns):
            self._drain()
        self._drain()
        growing, self._columns = self._columns, {}
        flows = {name: column.column() for name, column in growing.items()}
        if table.late.of:
            add_late(flows, table.late.of)
        partition = PartitionResult(
            flows=flows,
            transitions=_transitions(table),
            marks=_marks(table),
            opened_before=dict(table.quoted.opened_before),
            quoted_only=table.quoted.frames,
            in_stream_of=dict(table.in_stream_of),
            evicted=int(table.evicted),
        )
        _give_back_memory()
        return partition

    def _drain(self) -> None:
        log = self._table.flows
        rows = int(log.rows)
        if not rows:
            return
        wide = np.frombuffer(memoryview(log.wide), dtype=np.int64).reshape(len(WIDE_COLUMNS), ROWS)
        narrow = np.frombuffer(memoryview(log.narrow), dtype=np.int32).reshape(len(NARROW_COLUMNS), ROWS)
        columns: list[Column] = [*wide, *narrow]
        for name, column in zip(WIDE_COLUMNS + NARROW_COLUMNS, columns, strict=True):
            self._columns[name].add(column[:rows])
        log.rows = 0


def _transitions(table: FlowTable) -> dict[str, Column]:
    log = table.transitions
    columns = dict(zip(TRANSITIONS_LOGGED, _columns(log.rows), strict=False))
    if log.withdrawn:
        reorder(columns, np.flatnonzero(columns["codes"] & BASIS_BITS != WITHDRAWN))
    return columns


def _marks(table: FlowTable) -> dict[str, Column]:
    return dict(zip(MARKS_LOGGED, _columns(table.marks.rows), strict=True))


def _columns(log: Log) -> list[Column]:
    """The four columns of a log, which is emptied block by block."""
    size, blocks = int(log.size), log.blocks
    columns: list[Column] = [np.empty(size, dtype=np.int64) for _ in range(WIDTH)]
    for at in range(0, size, BLOCK_ROWS):
        rows = np.frombuffer(memoryview(blocks[0]), np.int64).reshape(BLOCK_ROWS, WIDTH)[: size - at]
        for column, numbers in zip(columns, rows.T, strict=True):
            column[at : at + len(rows)] = numbers
        del rows, blocks[0]
    return columns


def add_late(columns: dict[str, Column], late: dict[int, Late]) -> None:
    """Adds what came for connections after they were written."""
    row_of = np.empty(len(columns["flow"]), dtype=np.int64)
    row_of[columns["flow"]] = np.arange(len(row_of))
    rows = row_of[np.fromiter(late, dtype=np.int64, count=len(late))]

    def numbers(attribute: str) -> Column:
        return np.fromiter(map(operator.attrgetter(attribute), late.values()), dtype=np.int64, count=len(late))

    def change(name: str, values: Column) -> None:
        column = columns[name].copy()
        column[rows] = values
        columns[name] = column

    change("last_frame", np.maximum(columns["last_frame"][rows], numbers("frame")))
    change("end_ns", np.maximum(columns["end_ns"][rows], numbers("time_ns")))
    change("completeness", columns["completeness"][rows] | numbers("completeness").astype(np.uint8))
    for side in ENDPOINT_NAMES:
        for name in ("packets", "bytes", "fins", "rsts"):
            change(f"{side}_{name}", columns[f"{side}_{name}"][rows] + numbers(f"{side}.{name}"))
        change(f"{side}_last_ns", np.maximum(columns[f"{side}_last_ns"][rows], numbers(f"{side}.last_ns")))


class GrowingColumn:
    """A column as it grows. What is the same in all rows, as most is in a flood, is kept once.

    It grows in a ``bytearray``, which becomes the column as it is: large ones are moved by the kernel, not copied.
    """

    def __init__(self, dtype: type[np.generic]) -> None:
        self._dtype = dtype
        self._rows = 0
        self._same: Column = np.empty(0, dtype)
        self._bytes = bytearray()

    def add(self, piece: Column) -> None:
        """Appends a copy of these rows."""
        if not self._rows:
            self._same = piece[:1].astype(self._dtype)
        if self._bytes or not (piece == self._same).all():
            if not self._bytes:
                self._bytes += np.repeat(self._same, self._rows).data
            self._bytes += piece.astype(self._dtype, copy=False).data
        self._rows += len(piece)

    def column(self) -> Column:
        """The whole column; read-only where all rows are the same. Nothing can be added afterwards."""
        if self._bytes:
            return np.frombuffer(self._bytes, self._dtype)
        return np.broadcast_to(self._same, (self._rows,)) if self._rows else self._same


def _give_back_memory() -> None:
    """Has the C library return to the kernel what was freed piece by piece, a hundred megabytes after a flood."""
    if sys.platform == "linux":
        # Not every C library has it (malloc_trim(3) is glibc's), and it is no loss where it is not there.
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
