"""Segments of connections that were already written: counted, and no longer followed.

Both ends had been closed for a while when such a segment came, so it changes no state. It still belongs to its
connection, as it does in Wireshark, and what it adds to the connection's row is kept here until the rows are joined.
"""

from __future__ import annotations

from typing import final

from mypy_extensions import i64

from pcapflow.reader.segment_batch import COL_FLAGS, COL_FRAME, COL_PAYLOAD_LEN, COL_TIME_NS, COL_TTL, SegmentBatch
from pcapflow.tcp.flags import FIN, RST
from pcapflow.tcp.marks import MARK_DATA_AFTER_CLOSE, MARK_RESET_AFTER_CLOSE
from pcapflow.tcp.states import CLIENT
from pcapflow.tracker.counts import completeness
from pcapflow.tracker.log import MarkLog


@final
class LateSide:
    """What one endpoint sent late."""

    def __init__(self) -> None:
        self.packets: i64 = 0
        self.bytes: i64 = 0
        self.last_ns: i64 = -1
        self.fins: i64 = 0
        self.rsts: i64 = 0


@final
class Late:
    """What came late for one connection."""

    def __init__(self) -> None:
        self.frame: i64 = -1
        self.time_ns: i64 = -1
        self.completeness: i64 = 0
        self.client = LateSide()
        self.server = LateSide()

    def count(self, endpoint: i64, frame: i64, time_ns: i64, flags: i64, payload_len: i64, completeness: i64) -> None:
        """Adds one segment."""
        self.frame = frame
        self.time_ns = max(self.time_ns, time_ns)
        self.completeness |= completeness
        side = self.client if endpoint == CLIENT else self.server
        side.packets += 1
        side.bytes += payload_len
        side.last_ns = time_ns
        side.fins += 1 if flags & FIN else 0
        side.rsts += 1 if flags & RST else 0


@final
class LateSegments:
    """What came late, of all connections of a flow table.

    Attributes:
        of: by number of the connection; one of which nothing came late is not in it.
    """

    def __init__(self, marks: MarkLog) -> None:
        self.of: dict[int, Late] = {}
        self._marks = marks

    def take(self, number: i64, endpoint: i64, batch: SegmentBatch, row: i64) -> None:
        """Counts a segment of a connection that was written, and marks what should not have come any more."""
        cells = batch.cells
        frame: i64 = cells[row + COL_FRAME]
        time_ns: i64 = cells[row + COL_TIME_NS]
        flags: i64 = cells[row + COL_FLAGS]
        payload_len: i64 = cells[row + COL_PAYLOAD_LEN]
        late = self.of.get(number)
        if late is None:
            late = Late()
            self.of[number] = late
        late.count(endpoint, frame, time_ns, flags, payload_len, completeness(flags, payload_len))
        if flags & RST:
            self._marks.add(number, frame, time_ns, endpoint, MARK_RESET_AFTER_CLOSE, cells[row + COL_TTL])
        elif payload_len > 0:
            self._marks.add(number, frame, time_ns, endpoint, MARK_DATA_AFTER_CLOSE, payload_len)
