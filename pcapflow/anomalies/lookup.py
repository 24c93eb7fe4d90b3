"""Where rules look things up: whole columns at once to find flows, single rows to describe the few that are kept."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Concatenate, Final, NamedTuple, ParamSpec, TypeVar, cast

import numpy as np

from pcapflow.anomalies.model import BoolArray, IntArray
from pcapflow.tables.schema import Column
from pcapflow.tables.table import Table, Tables
from pcapflow.tcp.states import CLIENT, ENDPOINT_NAMES, SERVER

SIDES: Final = (CLIENT, SERVER)

T = TypeVar("T")
P = ParamSpec("P")


def side(flows: Table, endpoint: int, column: str) -> IntArray:
    """A per-side column of ``flows``, for the client (0) or the server (1)."""
    wide: IntArray = flows[f"{ENDPOINT_NAMES[endpoint]}_{column}"].astype(np.int64, copy=False)
    return wide


def cell(flows: Table, flow: int, endpoint: int, column: str) -> int:
    """One number of a per-side column."""
    return int(flows[f"{ENDPOINT_NAMES[endpoint]}_{column}"][flow])


def chosen(flows: Table, endpoints: IntArray, column: str) -> IntArray:
    """A per-side column, for each flow of the side that ``endpoints`` names."""
    return np.where(endpoints == CLIENT, side(flows, CLIENT, column), side(flows, SERVER, column))


def everywhere(value: int, length: int) -> IntArray:
    """A column that holds one value, to be read only: it takes no memory however many flows there are."""
    return np.broadcast_to(np.int64(value), (length,))


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


def count_marks(
    tables: Tables, *marks: int, endpoint: int | None = None, after_ns: IntArray | None = None, least: int | None = None
) -> IntArray:
    """For each flow how many of its frames carry one of these marks.

    With ``endpoint`` only frames that this endpoint sent count, with ``after_ns`` only those later than the flow's
    time,
    with ``least`` only marks of this value or more.
    """
    t = tables.marks
    fits = np.isin(t["mark"], marks)
    if not fits.any():
        return everywhere(0, len(tables.flows))
    if endpoint is not None:
        fits &= t["endpoint"] == endpoint
    if least is not None:
        fits &= t["value"] >= least
    flows = t["flow"][fits]
    if after_ns is not None:
        flows = flows[t["time_ns"][fits] > after_ns[flows]]
    return np.bincount(flows, minlength=len(tables.flows)).astype(np.int64)


_MIX: Final = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], dtype=np.uint64)


def keys(*columns: IntArray) -> IntArray:
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


def among(values: IntArray, members: IntArray) -> BoolArray:
    """Which of these values are among the members.

    ``numpy.isin`` says the same of long arrays, and imports numpy's masked arrays for it: that takes as long as a rule.
    """
    if not len(members):
        return np.zeros(len(values), dtype=bool)
    known = np.sort(members)
    found: BoolArray = known[np.minimum(np.searchsorted(known, values), len(known) - 1)] == values
    return found


def distinct(values: IntArray) -> int:
    """How many different values there are."""
    return int(np.count_nonzero(np.diff(np.sort(values)))) + 1 if len(values) else 0


_remembered: weakref.WeakKeyDictionary[Tables, dict[object, object]] = weakref.WeakKeyDictionary()


def remembered(function: Callable[Concatenate[Tables, P], T]) -> Callable[Concatenate[Tables, P], T]:
    """Keeps what several rules ask alike, until :func:`forget` or until the tables are gone."""

    def ask(tables: Tables, /, *parameters: P.args, **named: P.kwargs) -> T:
        known = _remembered.setdefault(tables, {})
        place = (function, parameters, tuple(sorted(named.items())))
        if place not in known:
            known[place] = function(tables, *parameters, **named)
        return cast("T", known[place])

    return ask


def forget(tables: Tables) -> None:
    """Lets go of all that is remembered of these tables."""
    _remembered.pop(tables, None)


@remembered
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


@remembered
def host_keys(tables: Tables, endpoint: int) -> IntArray:
    """For each flow a key of one side's address, within its VLAN and tunnel."""
    f = tables.flows
    # Both sides go into the test for sameness, so that an address has the same key on either.
    return _host_keys(tables)[: len(f)] if endpoint == CLIENT else _host_keys(tables)[len(f) :]


@remembered
def _host_keys(tables: Tables) -> IntArray:
    f = tables.flows
    shared = [np.tile(f[name], 2) for name in ("family", "vlan", "tunnel") if np.any(f[name] != f[name][:1])]
    halves = [np.concatenate([side(f, endpoint, half) for endpoint in SIDES]) for half in ("hi", "lo")]
    return keys(*halves, *shared)


@remembered
def server_keys(tables: Tables) -> IntArray:
    """For each flow a key of the address and port it was opened to."""
    return keys(host_keys(tables, SERVER), tables.flows["server_port"])


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


def in_order(values: IntArray) -> IntArray:
    """The stable order of these values, as ``argsort(kind="stable")`` gives it, in a fraction of its time.

    The fast sort is not stable: the positions of equal values are put right by a second fast sort.
    """
    quick = np.argsort(values)
    ordered = values[quick]
    rank = np.zeros(len(values), dtype=np.int64)
    np.cumsum(ordered[1:] != ordered[:-1], out=rank[1:])
    rank *= max(len(values), 1)
    rank += quick
    rank.sort()
    rank %= max(len(values), 1)
    return rank


def group(members: IntArray, member_keys: IntArray) -> Groups:
    """Groups members by key; within a group they keep their order."""
    order = in_order(member_keys)
    ordered = member_keys[order]
    edges = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    starts = np.concatenate(([0], edges, [len(ordered)])) if len(ordered) else np.zeros(1, dtype=np.int64)
    return Groups(members[order], starts.astype(np.int64))


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
        """Picks the transitions of these flows out of the tables; their marks when they are asked for."""
        self._tables = tables
        self._steps: dict[int, list[Step]] = {flow: [] for flow in flows.tolist()}
        self._marks: dict[int, list[Mark]] = {}
        for flow, *step in _rows(tables.transitions, map(tables.transitions_of, self._steps), Step._fields):
            self._steps[flow].append(Step(*step))

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
        if not self._marks:
            self._marks = {flow: [] for flow in self._steps}
            for of, *mark in _rows(self._tables.marks, map(self._tables.marks_of, self._steps), Mark._fields):
                self._marks[of].append(Mark(*mark))
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
        fits = np.isin(t["mark"], kinds) & (t["endpoint"] == endpoint)
        places.append(keys(t["flow"][fits], t["frame"][fits]))
        flows = t["flow"][fits]
    found[flows[among(places[1], places[0])]] = True
    return found


def reopened(tables: Tables, flows: IntArray) -> IntArray:
    """For each of these flows the next one between the same addresses and ports, -1 where there is none."""
    return _reopened(tables)[flows]


@remembered
def _reopened(tables: Tables) -> IntArray:
    f = tables.flows
    tuples = keys(host_keys(tables, CLIENT), server_keys(tables), f["client_port"])
    order = in_order(tuples)
    following = np.full(len(f), -1, dtype=np.int64)
    same = np.flatnonzero(tuples[order][1:] == tuples[order][:-1])
    following[order[same]] = order[same + 1]
    return following


def indices(mask: BoolArray) -> IntArray:
    """The flow numbers where this mask is true."""
    return np.flatnonzero(mask).astype(np.int64, copy=False)
