"""From the trackers' logs to tables: the one place where compiled columns become numpy arrays.

Each flow table has a :class:`Collector`; what it gathered is a :class:`Harvest`, plain columns that can go from one
process to another; and :func:`join` makes the tables of one or more of these.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import operator
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pcapflow.reader.capture import Capture
from pcapflow.tables.schema import FLOWS, MARKS, TRANSITIONS, Column, Schema
from pcapflow.tables.table import Table, Tables
from pcapflow.tcp.states import ENDPOINT_NAMES
from pcapflow.tracker.flow_log import NARROW_COLUMNS, ROWS, WIDE_COLUMNS
from pcapflow.tracker.log import (
    BASIS_BITS,
    BLOCK_ROWS,
    CODE_BITS,
    ENDPOINT_SHIFT,
    EVENT_SHIFT,
    FLOW_SHIFT,
    MARK_BITS,
    MARK_ENDPOINT_SHIFT,
    MARK_FLOW_SHIFT,
    NEW_SHIFT,
    OLD_SHIFT,
    WIDTH,
    WITHDRAWN,
    Log,
)

if TYPE_CHECKING:
    from pcapflow.reader.segment_batch import Batch
    from pcapflow.tracker.flow_table import FlowTable
    from pcapflow.tracker.late import Late

ENOUGH: Final = ROWS // 2
"""Rows that make draining the log of flows worth while."""
JOINED: Final = frozenset({"stream"})
"""Columns of flows that can be told only when all connections are together."""

TRANSITIONS_LOGGED: Final[Schema] = {"codes": np.int64, "time_ns": np.int64, "frame": np.int64}
MARKS_LOGGED: Final[Schema] = {"codes": np.int64, "frame": np.int64, "time_ns": np.int64, "value": np.int64}
"""Columns as the logs have them (:mod:`pcapflow.tracker.log`); their codes are taken apart when all are in order."""


@dataclasses.dataclass
class Harvest:
    """What one flow table logged. Its connections have numbers of its own, in order of their first frames.

    Attributes:
        flows: by name, the columns of flows, rows in no order, but for those of :data:`JOINED`; ``flow`` is the number.
        transitions, marks: by name, the columns of :data:`TRANSITIONS_LOGGED` and :data:`MARKS_LOGGED`, as logged.
        opened_before, quoted_only: see :class:`~pcapflow.tracker.flow_table.FlowTable`.
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
        harvest = Harvest(
            flows=flows,
            transitions=_transitions(table),
            marks=_marks(table),
            opened_before=dict(table.opened_before),
            quoted_only=table.quoted_only,
            evicted=int(table.evicted),
        )
        _give_back_memory()
        return harvest

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


def _give_back_memory() -> None:
    """Has the C library return to the kernel what was freed piece by piece, a hundred megabytes after a flood."""
    if sys.platform == "linux":
        # Not every C library has it (malloc_trim(3) is glibc's), and it is no loss where it is not there.
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


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
    """The harvest in pieces for another process: arrays, and small objects that tell what arrays follow.

    An array is let go when it has been told. :func:`received` reads them.
    """
    for columns in (harvest.flows, harvest.transitions, harvest.marks):
        rows = len(next(iter(columns.values())))
        # What is the same in all rows is told once.
        parts = {name: column[:1] if column.strides == (0,) else column for name, column in columns.items()}
        columns.clear()
        yield rows, [(name, part.dtype, len(part)) for name, part in parts.items()]
        for name in list(parts):
            yield np.ascontiguousarray(parts.pop(name))
    yield harvest.opened_before, harvest.quoted_only, harvest.evicted


def received(receive: Callable[[], Any], column: Callable[[np.dtype[Any], int], Column]) -> Harvest:
    """The harvest that :func:`told` another process.

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
    # By harvest: the row in the tables of each of its rows, and the number there of each of its connections.
    places = np.split(numbers, np.cumsum([len(harvest.flows["flow"]) for harvest in harvests])[:-1])
    ranks: list[Column] = []
    for harvest, place in zip(harvests, places, strict=True):
        rank = np.empty(len(place), dtype=np.int64)
        rank[harvest.flows["flow"]] = place
        ranks.append(rank)
        harvest.flows["flow"] = place
        for columns, shift in ((harvest.transitions, FLOW_SHIFT), (harvest.marks, MARK_FLOW_SHIFT)):
            columns["codes"] = _renumbered(columns["codes"], shift, rank)
    streams = _streams(first_frames[order], harvests, ranks)
    flows = _joined(FLOWS, [harvest.flows for harvest in harvests], places)
    transitions = _joined(TRANSITIONS_LOGGED, [harvest.transitions for harvest in harvests])
    marks = _joined(MARKS_LOGGED, [harvest.marks for harvest in harvests])
    return Tables(
        flows=Table("flows", FLOWS, {**flows, "stream": streams}),
        transitions=_transitions_table(transitions),
        marks=_marks_table(marks),
        capture=dataclasses.replace(capture, evicted=sum(harvest.evicted for harvest in harvests)),
    )


def _renumbered(codes: Column, shift: int, rank: Column) -> Column:
    """The codes of a log with each connection's number in the tables for its number in the flow table."""
    flows: Column = rank[codes >> shift]
    flows <<= shift
    flows |= codes & ((1 << shift) - 1)
    return flows


def _streams(first_frames: Column, harvests: Sequence[Harvest], ranks: Sequence[Column]) -> Column:
    """Wireshark's ``tcp.stream`` of each connection: how many streams were opened before its own."""
    if not any(harvest.opened_before or harvest.quoted_only for harvest in harvests):
        return np.arange(len(first_frames))
    opened = first_frames.copy()
    for harvest, rank in zip(harvests, ranks, strict=True):
        for number, frame in harvest.opened_before.items():
            opened[rank[number]] = frame
    quoted = np.array([frame for harvest in harvests for frame in harvest.quoted_only], dtype=np.int64)
    streams: Column = np.searchsorted(np.sort(np.concatenate((opened, quoted))), opened)
    return streams


def _joined(
    schema: Schema, parts: Sequence[dict[str, Column]], places: Sequence[Column] | None = None
) -> dict[str, Column]:
    """The columns of several parts, which are taken out of these: one after another, or each row in its place.

    One column is made after another: two copies of one are there at a time, not of all.
    """
    rows = sum(len(next(iter(part.values()))) for part in parts)
    whole: dict[str, Column] = {}
    for name, dtype in schema.items():
        if name not in parts[0]:
            continue
        pieces = [part.pop(name) for part in parts]
        values = {int(piece[0]) for piece in pieces if len(piece)}
        if len(values) == 1 and all(len(piece) <= 1 or piece.strides == (0,) for piece in pieces):
            whole[name] = np.broadcast_to(dtype(values.pop()), (rows,))
        elif places is None:
            whole[name] = np.concatenate(pieces)
        else:
            column = np.empty(rows, dtype)
            for place, piece in zip(places, pieces, strict=True):
                column[place] = piece
            whole[name] = column
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
    columns = dict(zip(TRANSITIONS_LOGGED, _columns(log.rows), strict=False))
    if log.withdrawn:
        _reorder(columns, np.flatnonzero(columns["codes"] & BASIS_BITS != WITHDRAWN))
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


def _transitions_table(columns: dict[str, Column]) -> Table:
    """The table of transitions. A proven one is dated at the packet that passed the tap, and logged with its proof."""
    _reorder(columns, _stable_order(columns["time_ns"]))
    codes = columns.pop("codes")
    # All but the flow lies in the lowest 24 bits.
    low = codes.astype(np.uint32)
    columns |= {
        "flow": codes >> FLOW_SHIFT,
        "endpoint": (low >> ENDPOINT_SHIFT & 1).astype(np.uint8),
        "old": (low >> OLD_SHIFT & CODE_BITS).astype(np.uint8),
        "new": (low >> NEW_SHIFT & CODE_BITS).astype(np.uint8),
        "event": (low >> EVENT_SHIFT & CODE_BITS).astype(np.uint8),
        "basis": (low & BASIS_BITS).astype(np.uint8),
    }
    return Table("transitions", TRANSITIONS, columns)


def _marks_table(columns: dict[str, Column]) -> Table:
    """The table of marks, by flow and frame."""
    _reorder(columns, np.lexsort((columns["frame"], columns["codes"] >> MARK_FLOW_SHIFT)))
    codes = columns.pop("codes")
    columns |= {
        "flow": codes >> MARK_FLOW_SHIFT,
        "endpoint": (codes >> MARK_ENDPOINT_SHIFT & 1).astype(np.uint8),
        "mark": (codes & MARK_BITS).astype(np.uint8),
    }
    return Table("marks", MARKS, columns)


def _stable_order(values: Column) -> Column:
    """What ``argsort(kind="stable")`` gives, in a fifth of its time where the values do not lie too far apart.

    Value and position then fit into one number, and the fastest sort will do.
    """
    bits = len(values).bit_length()
    if not len(values) or (int(values.max()) - int(values.min())).bit_length() + bits >= 64:
        return np.argsort(values, kind="stable")
    both: Column = (values - values.min()) << bits | np.arange(len(values))
    both.sort()
    both &= (1 << bits) - 1
    return both


def _reorder(columns: dict[str, Column], rows: Column) -> None:
    """Takes rows of every column, one column after another."""
    for name in list(columns):
        columns[name] = columns.pop(name)[rows]
