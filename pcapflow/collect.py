"""From the trackers' logs to tables: the one place where compiled columns become numpy arrays.

Each flow table has a :class:`Collector`; what it gathered is a :class:`Harvest`, plain columns that can go from one
process to another; and :func:`join` makes the tables of one or more of these.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pcapflow.capture import Capture
from pcapflow.tables import FLOWS, MARKS, TRANSITIONS, Column, Schema, Table, Tables
from pcapflow.tracker.flowlog import NARROW_COLUMNS, ROWS, WIDE_COLUMNS
from pcapflow.tracker.log import WITHDRAWN
from pcapflow.tracker.states import ENDPOINT_NAMES

if TYPE_CHECKING:
    from pcapflow.reader.batch import Batch
    from pcapflow.tracker.flowtable import FlowTable
    from pcapflow.tracker.late import Late

ENOUGH: Final = ROWS // 2
"""Rows that make draining the log of flows worth while."""
JOINED: Final = frozenset({"stream"})
"""Columns of flows that can be told only when all connections are together."""


@dataclasses.dataclass
class Harvest:
    """What one flow table logged. Its connections have numbers of its own, in order of their first frames.

    Attributes:
        flows: by name, the columns of flows, rows in no order, but for those of :data:`JOINED`; ``flow`` is the number.
        transitions, marks: by name, the columns of these tables, in the order logged.
        opened_before, quoted_only: see :class:`~pcapflow.tracker.flowtable.FlowTable`.
        evicted: connections let go.
    """

    flows: dict[str, Column]
    transitions: dict[str, Column]
    marks: dict[str, Column]
    opened_before: dict[int, int]
    quoted_only: list[int]
    evicted: int


class Collector:
    """Feeds a flow table, and takes the rows of finished flows from it as they come."""

    def __init__(self, table: FlowTable) -> None:
        self._table = table
        self._columns = {name: _Growing(dtype) for name, dtype in FLOWS.items() if name not in JOINED}

    def consume(self, batch: Batch) -> None:
        """Gives the flow table a batch."""
        self._table.consume(batch)
        if self._table.flows.rows >= ENOUGH:
            self._drain()

    def finish(self, last_ns: int) -> Harvest:
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
        if table.late:
            _add_late(flows, table.late)
        return Harvest(
            flows=flows,
            transitions=_transitions(table),
            marks=_marks(table),
            opened_before=dict(table.opened_before),
            quoted_only=table.quoted_only,
            evicted=int(table.evicted),
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


def told(harvest: Harvest) -> Iterator[object]:
    """The harvest in pieces for another process, which :func:`received` reads; each is let go when it has been told."""
    for columns in (harvest.flows, harvest.transitions, harvest.marks):
        yield list(columns)
        for name in list(columns):
            column = columns.pop(name)
            # What is the same in all rows is told once.
            yield (column[:1].copy(), len(column)) if column.strides == (0,) else (column, len(column))
    yield harvest.opened_before, harvest.quoted_only, harvest.evicted


def received(receive: Callable[[], Any]) -> Harvest:
    """The harvest that :func:`told` another process; ``receive`` gives the next piece."""

    def columns() -> dict[str, Column]:
        names = receive()
        pieces = (receive() for _ in names)
        return {
            name: column if len(column) == rows else np.broadcast_to(column[0], (rows,))
            for name, (column, rows) in zip(names, pieces, strict=True)
        }

    flows, transitions, marks = columns(), columns(), columns()
    return Harvest(flows, transitions, marks, *receive())


def join(harvests: Sequence[Harvest], capture: Capture) -> Tables:
    """Makes the three tables, and numbers all connections in order of their first frames; the harvests are used up.

    ``capture.evicted`` becomes the sum of theirs.
    """
    first_frames = np.concatenate([harvest.flows["first_frame"] for harvest in harvests])
    # Every first frame is another: a frame holds one segment.
    order = np.argsort(first_frames, kind="stable")
    numbers = np.empty(len(order), dtype=np.int64)
    numbers[order] = np.arange(len(order))
    # By harvest: the number in the tables of each of its connections.
    ranks: list[Column] = []
    for harvest in harvests:
        rank = np.empty(len(harvest.flows["flow"]), dtype=np.int64)
        rank[harvest.flows["flow"]] = numbers[: len(rank)]
        numbers = numbers[len(rank) :]
        ranks.append(rank)
    for harvest, rank in zip(harvests, ranks, strict=True):
        harvest.flows["flow"] = rank[harvest.flows["flow"]]
        for columns in (harvest.transitions, harvest.marks):
            columns["flow"] = rank[columns["flow"]]
    stream = _streams(first_frames[order], harvests, ranks)
    flows = _joined(FLOWS, [harvest.flows for harvest in harvests], in_order=order)
    return Tables(
        flows=Table("flows", FLOWS, {**flows, "stream": stream}),
        transitions=_in_order_of_time(_joined(TRANSITIONS, [harvest.transitions for harvest in harvests])),
        marks=_by_flow(_joined(MARKS, [harvest.marks for harvest in harvests])),
        capture=dataclasses.replace(capture, evicted=sum(harvest.evicted for harvest in harvests)),
    )


def _streams(first_frames: Column, harvests: Sequence[Harvest], ranks: Sequence[Column]) -> Column:
    """Wireshark's ``tcp.stream`` of each connection: how many streams were opened before its own."""
    opened = first_frames.copy()
    for harvest, rank in zip(harvests, ranks, strict=True):
        for number, frame in harvest.opened_before.items():
            opened[rank[number]] = frame
    quoted = np.array([frame for harvest in harvests for frame in harvest.quoted_only], dtype=np.int64)
    streams: Column = np.searchsorted(np.sort(np.concatenate((opened, quoted))), opened)
    return streams


def _joined(schema: Schema, parts: Sequence[dict[str, Column]], in_order: Column | None = None) -> dict[str, Column]:
    """The columns of several parts one after another, or in the order given, which are taken out of the parts.

    One column is made after another: two copies of one are there at a time, not of all.
    """
    sorted_already = in_order is None or bool(np.all(in_order[1:] > in_order[:-1]))
    whole: dict[str, Column] = {}
    for name in schema:
        if name not in parts[0]:
            continue
        pieces = [part.pop(name) for part in parts]
        values = {int(piece[0]) for piece in pieces if len(piece)}
        if len(values) == 1 and all(len(piece) <= 1 or piece.strides == (0,) for piece in pieces):
            whole[name] = np.broadcast_to(schema[name](values.pop()), (sum(map(len, pieces)),))
            continue
        column = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        del pieces
        whole[name] = column if sorted_already else column[in_order]
    return whole


def _add_late(columns: dict[str, Column], late: dict[int, Late]) -> None:
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


def _transitions(table: FlowTable) -> dict[str, Column]:
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
    return columns


def _in_order_of_time(columns: dict[str, Column]) -> Table:
    times = columns["time_ns"]
    if np.any(times[1:] < times[:-1]):
        # A proven transition is dated at the packet that passed the tap, and logged when its proof did.
        _reorder(columns, np.argsort(times, kind="stable"))
    return Table("transitions", TRANSITIONS, columns)


def _marks(table: FlowTable) -> dict[str, Column]:
    log = table.marks
    return {
        "flow": _array(log.flow, np.int64),
        "frame": _array(log.frame, np.int64),
        "time_ns": _array(log.time_ns, np.int64),
        "endpoint": _array(log.endpoint, np.uint8),
        "mark": _array(log.mark, np.uint8),
        "value": _array(log.value, np.int64),
    }


def _by_flow(columns: dict[str, Column]) -> Table:
    _reorder(columns, np.lexsort((columns["frame"], columns["flow"])))
    return Table("marks", MARKS, columns)


def _reorder(columns: dict[str, Column], rows: Column) -> None:
    """Takes rows of every column, one column after another."""
    for name in list(columns):
        columns[name] = columns.pop(name)[rows]


def _array(column: Any, dtype: type[np.generic]) -> Column:
    """A compiled column as a numpy array over the same memory; without rows it has none."""
    return np.frombuffer(memoryview(column), dtype=dtype) if len(column) else np.zeros(0, dtype=dtype)
