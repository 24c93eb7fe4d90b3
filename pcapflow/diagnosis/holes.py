"""Holes in what one side sent, filled by a segment that was sent again: lost before the tap, it is seen once only."""

from __future__ import annotations

import numpy as np

from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import side
from pcapflow.anomalies.model import IntArray
from pcapflow.anomalies.transfer.shares import last_before
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks


@cached_per_tables
def filled_late(tables: Tables, endpoint: int) -> IntArray:
    """For each flow how many segments of this side, in units of the MSS, filled a hole after a round trip or more.

    What is only out of order comes within less: whoever sends again learns first that something is missing, and that
    takes a round trip from the receiver and back.
    """
    f, m = tables.flows, tables.marks
    mine = m["endpoint"] == endpoint
    late = np.flatnonzero(mine & (m["mark"] == marks.OUT_OF_ORDER))
    holes = np.flatnonzero(mine & (m["mark"] == marks.LOST_SEGMENT))
    if not len(late) or not len(holes):
        return np.zeros(len(f), dtype=np.int64)
    seen = last_before(m["flow"][late], m["time_ns"][late], m["flow"][holes], m["time_ns"][holes])
    trip = side(f, 1 - endpoint, "rtt_ns")[m["flow"][late]]
    late = late[(seen >= 0) & (trip > 0) & (m["time_ns"][late] - seen >= trip)]
    flows = m["flow"][late]
    mss = side(f, 1 - endpoint, "mss")[flows]
    units = np.where(mss > 0, -(-m["value"][late] // np.maximum(mss, 1)), 1)
    return np.bincount(flows, weights=units, minlength=len(f)).astype(np.int64)
