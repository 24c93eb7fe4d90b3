"""Connections of which nothing but a SYN, and perhaps its SYN-ACK, has passed: kept as a few numbers each.

A flood is millions of these and nothing else, and a port scan likewise. What was kept is replayed to a
:class:`~pcapflow.tracker.flow.Flow` as soon as anything more passes, or when the capture ends: one place decides what
segments mean, and it does not know that they were kept here. The name is that of BSD's and Linux's SYN caches.
"""

from __future__ import annotations

from typing import Final, final

from librt.vecs import append, pop, vec
from mypy_extensions import i64

from pcapflow.reader.segment_batch import (
    COL_ACK,
    COL_FLAGS,
    COL_FRAME,
    COL_IP_ID,
    COL_PAYLOAD_LEN,
    COL_SACK_LEFT,
    COL_SEQ,
    COL_SYN_OPTIONS,
    COL_TIME_NS,
    COL_TSECR,
    COL_TSVAL,
    COL_TTL,
    COL_VLAN,
    COL_WINDOW,
    SegmentBatch,
)
from pcapflow.tcp.flags import TCP_FLAGS
from pcapflow.tracker.endpoint import Endpoint
from pcapflow.tracker.flow import Flow
from pcapflow.tracker.segment import TapSegment
from pcapflow.tracker.segment_arrives import segment_arrives

ROWS: Final = 1024
"""Connections in one block of memory."""
SEGMENT: Final = 6
WIDTH: Final = 2 * SEGMENT
"""Numbers of one connection: six a segment."""

M32: Final = 0xFFFF_FFFF
MAX_IP_ID: Final = 0xFFFE
MAX_OPTIONS: Final = 1 << 30
NO_SEGMENT: Final = -1
REUSE: Final = 0x8000_0000_0000


def fits(batch: SegmentBatch, cell: i64) -> bool:
    """Whether a SYN or SYN-ACK is as plain as nearly all are, so that six numbers hold it.

    ``cell``, here and below, is where its row begins in ``batch.cells``.
    """
    cells = batch.cells
    return (
        cells[cell + COL_PAYLOAD_LEN] == 0
        and cells[cell + COL_SACK_LEFT] < 0
        and cells[cell + COL_IP_ID] <= MAX_IP_ID
        and cells[cell + COL_SYN_OPTIONS] < MAX_OPTIONS
    )


@final
class SynCache:
    """Rows of six numbers a segment, in blocks; rows that are given up are used again.

    The six are: time; frame; ``seq``, window and flags; ``ack``, IP identification and TTL; time stamp value and SYN
    options; time stamp echo, and of the SYN also VLAN and whether its tuple was used before.
    """

    def __init__(self) -> None:
        self._blocks: list[vec[i64] | None] = []
        self._counts: vec[i64] = vec[i64]()
        self._free: vec[i64] = vec[i64]()
        self._size: i64 = 0
        self._segment = TapSegment()
        # The block that was used last, as most are used several times in a row; -1 none.
        self._recent: vec[i64] = vec[i64]()
        self._recent_number: i64 = -1

    def add(self, batch: SegmentBatch, cell: i64, is_reuse: bool) -> i64:
        """Keeps a SYN, for which :func:`fits` holds, and returns its row."""
        if len(self._free) > 0:
            self._free, row = pop(self._free)
        else:
            row = self._size
            self._size += 1
            if row % ROWS == 0:
                self._blocks.append(vec[i64]([0] * (ROWS * WIDTH)))
                self._counts = append(self._counts, 0)
        self._counts[row // ROWS] += 1
        self._put(row, 0, batch, cell)
        block = self._block(row)
        at: i64 = row % ROWS * WIDTH
        block[at + 5] |= (batch.cells[cell + COL_VLAN] + 1) << 33
        if is_reuse:
            block[at + 5] |= REUSE
        block[at + SEGMENT] = NO_SEGMENT
        return row

    def answer(self, row: i64, batch: SegmentBatch, cell: i64) -> bool:
        """Keeps a SYN-ACK, if it fits, is the first, and acknowledges this SYN."""
        block = self._block(row)
        at: i64 = row % ROWS * WIDTH
        if block[at + SEGMENT] != NO_SEGMENT or batch.cells[cell + COL_ACK] != ((block[at + 2] & M32) + 1) & M32:
            return False
        if not fits(batch, cell):
            return False
        self._put(row, SEGMENT, batch, cell)
        return True

    def vlan(self, row: i64) -> i64:
        """The VLAN of its SYN, -1 without."""
        return ((self._block(row)[row % ROWS * WIDTH + 5] >> 33) & 0x3FFF) - 1

    def is_reuse(self, row: i64) -> bool:
        """Whether its tuple had belonged to another connection."""
        return self._block(row)[row % ROWS * WIDTH + 5] & REUSE != 0

    def frame(self, row: i64) -> i64:
        """The frame of its SYN."""
        return self._block(row)[row % ROWS * WIDTH + 1]

    def time_ns(self, row: i64) -> i64:
        """The time of its SYN."""
        return self._block(row)[row % ROWS * WIDTH]

    def replay(self, row: i64, flow: Flow) -> None:
        """Gives a new flow the segments that were kept."""
        self._replay(row, 0, flow, flow.client, flow.server)
        if self._block(row)[row % ROWS * WIDTH + SEGMENT] != NO_SEGMENT:
            self._replay(row, SEGMENT, flow, flow.server, flow.client)

    def drop(self, row: i64, *, is_last_use: bool) -> None:
        """Gives up a row.

        Args:
            row: the row.
            is_last_use: nothing will be added any more; memory is freed block by block.
        """
        block: i64 = row // ROWS
        self._counts[block] -= 1
        if not is_last_use:
            self._free = append(self._free, row)
        elif self._counts[block] == 0:
            self._blocks[block] = None
            self._recent = vec[i64]()
            self._recent_number = -1

    def _block(self, row: i64) -> vec[i64]:
        number: i64 = row // ROWS
        if number != self._recent_number:
            block = self._blocks[number]
            assert block is not None
            self._recent = block
            self._recent_number = number
        return self._recent

    def _put(self, row: i64, offset: i64, batch: SegmentBatch, cell: i64) -> None:
        cells = batch.cells
        block = self._block(row)
        at: i64 = row % ROWS * WIDTH + offset
        block[at] = cells[cell + COL_TIME_NS]
        block[at + 1] = cells[cell + COL_FRAME]
        block[at + 2] = (
            cells[cell + COL_SEQ] | cells[cell + COL_WINDOW] << 32 | (cells[cell + COL_FLAGS] & TCP_FLAGS) << 48
        )
        block[at + 3] = cells[cell + COL_ACK] | (cells[cell + COL_IP_ID] + 1) << 32 | cells[cell + COL_TTL] << 49
        block[at + 4] = (cells[cell + COL_TSVAL] + 1) | cells[cell + COL_SYN_OPTIONS] << 33
        block[at + 5] = cells[cell + COL_TSECR] + 1

    def _replay(self, row: i64, offset: i64, flow: Flow, x: Endpoint, y: Endpoint) -> None:
        block = self._block(row)
        at: i64 = row % ROWS * WIDTH + offset
        numbers: i64 = block[at + 2]
        more: i64 = block[at + 3]
        options: i64 = block[at + 4]
        s = self._segment
        s.frame = block[at + 1]
        s.time_ns = block[at]
        s.seq = numbers & M32
        s.ack = more & M32
        s.flags = (numbers >> 48) & TCP_FLAGS
        s.window = (numbers >> 32) & 0xFFFF
        s.payload_len = 0
        s.ip_id = ((more >> 32) & 0x1_FFFF) - 1
        s.ttl = (more >> 49) & 0xFF
        s.syn_options = options >> 33
        s.tsval = (options & 0x1_FFFF_FFFF) - 1
        s.tsecr = (block[at + 5] & 0x1_FFFF_FFFF) - 1
        s.sack_left = -1
        segment_arrives(flow, x, y, s)
