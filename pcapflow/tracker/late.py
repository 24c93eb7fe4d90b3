"""Segments of connections that were already written: counted, and no longer followed.

Both ends had been closed for a while when such a segment came, so it changes no state. It still belongs to its
connection, as it does in Wireshark, and what it adds to the connection's row is kept here until the rows are joined.
"""

from __future__ import annotations

from typing import final

from mypy_extensions import i64

from pcapflow.tcp.flags import FIN, RST
from pcapflow.tcp.states import CLIENT


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
