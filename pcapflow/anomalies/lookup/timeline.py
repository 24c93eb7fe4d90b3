"""Transitions and marks of the connections, in time."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import among, everywhere, indices
from pcapflow.anomalies.lookup.groups import group_keys, host_keys, server_keys
from pcapflow.anomalies.model import BoolArray, IntArray
from pcapflow.tables.schema import Column
from pcapflow.tables.sorting import stable_order
from pcapflow.tables.table import Table, Tables
from pcapflow.tcp.states import CLIENT


def last_rows(
    tables: Tables,
    *,
    endpoint: int | None = None,
    new: int | None = None,
    old: int | None = None,
    event: int | None = None,
) -> IntArray:
    """For each flow the position of its last transition that fits, -1 where none does."""
    fitting = [
        rows
        for kind, rows in tables.transitions_by_kind.items()
        if endpoint in {None, kind.endpoint}
        and new in {None, kind.new}
        and old in {None, kind.old}
        and event in {None, kind.event}
    ]
    if not fitting:
        return everywhere(-1, len(tables.flows))
    found = np.full(len(tables.flows), -1, dtype=np.int64)
    for rows in fitting:
        flows = tables.transitions["flow"][rows]
        # Of a repeated index the last assignment stays, and transitions are in time order.
        found[flows] = np.maximum(found[flows], rows)
    return found


@cached_per_tables
def rows_with(tables: Tables, *marks: int) -> IntArray:
    """Positions in ``marks`` of the frames with one of these marks, in order; to be read only."""
    wanted = np.zeros(256, dtype=bool)
    wanted[list(marks)] = True
    rows = indices(wanted[tables.marks["mark"]])
    rows.flags.writeable = False
    return rows


def count_marks(
    tables: Tables, *marks: int, endpoint: int | None = None, after_ns: IntArray | None = None, least: int | None = None
) -> IntArray:
    """For each flow how many of its frames carry one of these marks.

    With ``endpoint`` only frames that this endpoint sent count, with ``after_ns`` only those later than the flow's
    time, with ``least`` only marks of this value or more.
    """
    t = tables.marks
    rows = rows_with(tables, *marks)
    if not len(rows):
        return everywhere(0, len(tables.flows))
    if endpoint is not None:
        rows = rows[t["endpoint"][rows] == endpoint]
    if least is not None:
        rows = rows[t["value"][rows] >= least]
    flows = t["flow"][rows]
    if after_ns is not None:
        flows = flows[t["time_ns"][rows] > after_ns[flows]]
    return np.bincount(flows, minlength=len(tables.flows)).astype(np.int64)


@cached_per_tables
def last_times(
    tables: Tables, endpoint: int, *, new: int | None = None, old: int | None = None, event: int | None = None
) -> IntArray:
    """For each flow the time of the last transition of this endpoint that fits, -1 where none does; to be read only."""
    rows = last_rows(tables, endpoint=endpoint, new=new, old=old, event=event)
    if not np.any(rows >= 0):
        return everywhere(-1, len(rows))
    times = np.where(rows >= 0, tables.transitions["time_ns"][rows], -1)
    times.flags.writeable = False
    return times


class Step(NamedTuple):
    """One transition of one endpoint."""

    endpoint: int
    old: int
    new: int
    time_ns: int
    frame: int
    event: int
    basis: int


class Mark(NamedTuple):
    """One marked frame; ``endpoint`` sent it."""

    frame: int
    time_ns: int
    endpoint: int
    mark: int
    value: int


class Story:
    """The transitions and marks of a few flows, for describing them."""

    def __init__(self, tables: Tables, flows: IntArray) -> None:
        """Remembers which flows; their transitions and marks are picked out of the tables when first asked for."""
        self._tables = tables
        self._flows = list(dict.fromkeys(flows.tolist()))

    @functools.cached_property
    def _steps(self) -> dict[int, list[Step]]:
        steps: dict[int, list[Step]] = {flow: [] for flow in self._flows}
        positions = map(self._tables.transitions_of, self._flows)
        for flow, *step in _rows(self._tables.transitions, positions, Step._fields):
            steps[flow].append(Step(*step))
        return steps

    @functools.cached_property
    def _marks(self) -> dict[int, list[Mark]]:
        marks: dict[int, list[Mark]] = {flow: [] for flow in self._flows}
        for flow, *mark in _rows(self._tables.marks, map(self._tables.marks_of, self._flows), Mark._fields):
            marks[flow].append(Mark(*mark))
        return marks

    def step(
        self, flow: int, endpoint: int, *, event: int | None = None, new: int | None = None, old: int | None = None
    ) -> Step | None:
        """The last transition of this endpoint that fits."""
        for step in reversed(self._steps[flow]):
            if (
                step.endpoint == endpoint
                and event in (None, step.event)
                and new in (None, step.new)
                and old in (None, step.old)
            ):
                return step
        return None

    def frame(
        self, flow: int, endpoint: int, *, event: int | None = None, new: int | None = None, old: int | None = None
    ) -> int:
        """The frame of :meth:`step`, 0 where there is none."""
        step = self.step(flow, endpoint, event=event, new=new, old=old)
        return 0 if step is None else step.frame

    def marks(self, flow: int, *marks: int, endpoint: int | None = None, after_ns: int = -1) -> list[Mark]:
        """Its frames with one of these marks, in order, optionally of one sender and after a time."""
        return [
            row
            for row in self._marks[flow]
            if row.mark in marks and endpoint in (None, row.endpoint) and row.time_ns > after_ns
        ]


def _rows(table: Table, positions: Iterable[Column], columns: Sequence[str]) -> Iterator[tuple[int, ...]]:
    """The rows of a table at these positions, as plain Python numbers: the flow, and these columns."""
    parts = list(positions)
    rows = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
    return zip(*(table[name][rows].tolist() for name in ("flow", *columns)), strict=True)


def frames_of(marks: Sequence[Mark]) -> list[int]:
    """The frame numbers of these marks."""
    return [mark.frame for mark in marks]


def same_frames(tables: Tables, these: tuple[int, ...], those: tuple[int, ...], *, endpoint: int) -> BoolArray:
    """For each flow whether a frame of this endpoint carries both one of these and one of those marks."""
    t = tables.marks
    found = np.zeros(len(tables.flows), dtype=bool)
    places = []
    for kinds in (these, those):
        rows = rows_with(tables, *kinds)
        rows = rows[t["endpoint"][rows] == endpoint]
        places.append(group_keys(t["flow"][rows], t["frame"][rows]))
        flows = t["flow"][rows]
    found[flows[among(places[1], places[0])]] = True
    return found


def reopened(tables: Tables, flows: IntArray) -> IntArray:
    """For each of these flows the next one between the same addresses and ports, -1 where there is none."""
    return _reopened(tables)[flows]


@cached_per_tables
def _reopened(tables: Tables) -> IntArray:
    f = tables.flows
    tuples = group_keys(host_keys(tables, CLIENT), server_keys(tables), f["client_port"])
    order = stable_order(tuples)
    following = np.full(len(f), -1, dtype=np.int64)
    same = np.flatnonzero(tuples[order][1:] == tuples[order][:-1])
    following[order[same]] = order[same + 1]
    return following
