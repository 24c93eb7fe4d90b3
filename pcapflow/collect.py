"""From the trackers' logs to tables: the one place where compiled columns become numpy arrays."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pcapflow.capture import Capture
from pcapflow.tables import FLOWS, MARKS, TRANSITIONS, Column, Table, Tables
from pcapflow.tracker.flowlog import NARROW_COLUMNS, ROWS, WIDE_COLUMNS
from pcapflow.tracker.log import WITHDRAWN
from pcapflow.tracker.states import ENDPOINT_NAMES

if TYPE_CHECKING:
    from pcapflow.reader.batch import Batch
    from pcapflow.tracker.flowtable import FlowTable
    from pcapflow.tracker.late import Late

ENOUGH: Final = ROWS // 2
"""Rows that make draining the log of flows worth while."""


class Collector:
    """Feeds a flow table, takes the rows of finished flows from it as they come, and makes the tables in the end."""

    def __init__(self, table: FlowTable) -> None:
        self._table = table
        self._columns = {name: _Growing(dtype) for name, dtype in FLOWS.items()}

    def consume(self, batch: Batch) -> None:
        """Gives the flow table a batch."""
        self._table.consume(batch)
        if self._table.flows.rows >= ENOUGH:
            self._drain()

    def finish(self, last_ns: int) -> None:
        """Has the flow table settle all that is open; ``last_ns`` is the time of the capture's last frame."""
        while self._table.finish(last_ns):
            self._drain()
        self._drain()

    def tables(self, capture: Capture) -> Tables:
        """Makes the three tables of a finished flow table, which gives up its logs."""
        table, growing = self._table, self._columns
        self._columns = {}
        return Tables(
            flows=_flows(growing, table.late), transitions=_transitions(table), marks=_marks(table), capture=capture
        )

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


class _Growing:
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


def _flows(growing: dict[str, _Growing], late: dict[int, Late]) -> Table:
    columns = {name: column.column() for name, column in growing.items()}
    flow = columns["flow"]
    if np.any(flow[1:] < flow[:-1]):
        # Flows that ended early were written before older ones that lived on.
        _reorder(columns, np.argsort(flow, kind="stable"))
    if late:
        _add_late(columns, late)
    return Table("flows", FLOWS, columns)


def _add_late(columns: dict[str, Column], late: dict[int, Late]) -> None:
    """Adds what came for connections after they were written; their numbers are the positions of their rows."""
    rows = np.fromiter(late, dtype=np.int64, count=len(late))

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


def _transitions(table: FlowTable) -> Table:
    log = table.transitions
    columns: dict[str, Column] = {
        "flow": _array(log.flow, np.int64),
        "endpoint": _array(log.endpoint, np.uint8),
        "old": _array(log.old, np.uint8),
        "new": _array(log.new, np.uint8),
        "time_ns": _array(log.time_ns, np.int64),
        "frame": _array(log.frame, np.int64),
        "event": _array(log.event, np.uint8),
        "basis": _array(log.basis, np.uint8),
    }
    if log.withdrawn:
        _reorder(columns, np.flatnonzero(columns["basis"] != WITHDRAWN))
    times = columns["time_ns"]
    if np.any(times[1:] < times[:-1]):
        # A proven transition is dated at the packet that passed the tap, and logged when its proof did.
        _reorder(columns, np.argsort(times, kind="stable"))
    return Table("transitions", TRANSITIONS, columns)


def _marks(table: FlowTable) -> Table:
    log = table.marks
    columns: dict[str, Column] = {
        "flow": _array(log.flow, np.int64),
        "frame": _array(log.frame, np.int64),
        "time_ns": _array(log.time_ns, np.int64),
        "endpoint": _array(log.endpoint, np.uint8),
        "mark": _array(log.mark, np.uint8),
        "value": _array(log.value, np.int64),
    }
    _reorder(columns, np.lexsort((columns["frame"], columns["flow"])))
    return Table("marks", MARKS, columns)


def _reorder(columns: dict[str, Column], rows: Column) -> None:
    """Takes rows of every column, one column after another: two copies of one are there at a time, not of all."""
    for name in list(columns):
        column = columns.pop(name)
        columns[name] = column if column.strides == (0,) else column[rows]


def _array(column: Any, dtype: type[np.generic]) -> Column:
    return np.frombuffer(memoryview(column), dtype=dtype) if len(column) else np.empty(0, dtype=dtype)
