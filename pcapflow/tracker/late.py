"""Segments of connections that were already written: counted, and no longer followed.

Both ends had been closed for a while when such a segment came, so it changes no state. It still belongs to its
connection, as it does in Wireshark, and what it adds to the connection's row is kept here until the rows are joined.
"""

from __future__ import annotations

from typing import final

from mypy_extensions import i64

from pcapflow.reader.batch import FIN, RST
from pcapflow.tracker.states import CLIENT


@final
class Late:
    """What came late for one connection; per-side numbers of the client, then of the server."""

    def __init__(self) -> None:
        self.frame: i64 = -1
        self.time_ns: i64 = -1
        self.completeness: i64 = 0
        self.client_packets: i64 = 0
        self.server_packets: i64 = 0
        self.client_bytes: i64 = 0
        self.server_bytes: i64 = 0
        self.client_last_ns: i64 = -1
        self.server_last_ns: i64 = -1
        self.client_fins: i64 = 0
        self.server_fins: i64 = 0
        self.client_rsts: i64 = 0
        self.server_rsts: i64 = 0

    def count(self, endpoint: i64, frame: i64, time_ns: i64, flags: i64, payload_len: i64, completeness: i64) -> None:
        """Adds one segment."""
        self.frame = frame
        self.time_ns = max(self.time_ns, time_ns)
        self.completeness |= completeness
        fins: i64 = 1 if flags & FIN else 0
        rsts: i64 = 1 if flags & RST else 0
        if endpoint == CLIENT:
            self.client_packets += 1
            self.client_bytes += payload_len
            self.client_last_ns = time_ns
            self.client_fins += fins
            self.client_rsts += rsts
        else:
            self.server_packets += 1
            self.server_bytes += payload_len
            self.server_last_ns = time_ns
            self.server_fins += fins
            self.server_rsts += rsts
