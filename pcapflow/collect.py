"""From the trackers' logs to tables: the one place where compiled columns become numpy arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pcapflow.capture import Capture
from pcapflow.tables import FLOWS, MARKS, TRANSITIONS, Column, Table, Tables
from pcapflow.tracker.flowlog import NARROW_COLUMNS, WIDE_COLUMNS
from pcapflow.tracker.log import WITHDRAWN

if TYPE_CHECKING:
    from pcapflow.tracker.flowtable import FlowTable


def collect(table: FlowTable, capture: Capture) -> Tables:
    """Makes the three tables of a finished flow table; the flow table gives up its logs."""
    return Tables(flows=_flows(table), transitions=_transitions(table), marks=_marks(table), capture=capture)


def _flows(table: FlowTable) -> Table:
    wide = _array(table.flows.wide, np.int64).reshape(-1, len(WIDE_COLUMNS))
    narrow = _array(table.flows.narrow, np.int32).reshape(-1, len(NARROW_COLUMNS))
    flow = wide[:, 0]
    if np.any(flow[1:] < flow[:-1]):
        # Flows that were let go early were written before older ones that lived on.
        order = np.argsort(flow, kind="stable")
        wide, narrow = wide[order], narrow[order]
    # Rows become columns: what reads one column of millions of flows then reads no other.
    columns: dict[str, Column] = dict(zip(WIDE_COLUMNS, np.ascontiguousarray(wide.T), strict=True))
    columns |= dict(zip(NARROW_COLUMNS, np.ascontiguousarray(narrow.T), strict=True))
    return Table("flows", FLOWS, {name: columns[name].astype(dtype, copy=False) for name, dtype in FLOWS.items()})


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
        kept = columns["basis"] != WITHDRAWN
        columns = {name: column[kept] for name, column in columns.items()}
    times = columns["time_ns"]
    if np.any(times[1:] < times[:-1]):
        # A proven transition is dated at the packet that passed the tap, and logged when its proof did.
        order = np.argsort(times, kind="stable")
        columns = {name: column[order] for name, column in columns.items()}
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
    order = np.lexsort((columns["frame"], columns["flow"]))
    return Table("marks", MARKS, {name: column[order] for name, column in columns.items()})


def _array(column: Any, dtype: type[np.generic]) -> Column:
    return np.frombuffer(memoryview(column), dtype=dtype) if len(column) else np.empty(0, dtype=dtype)
