"""Tuples that an ICMP error quoted before a segment of theirs passed: Wireshark opens a stream at the error."""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from pcapflow.reader.segment_batch import COL_FRAME, COL_PAYLOAD_LEN, SegmentBatch
from pcapflow.tracker.tuples import ends

MAX_QUOTED_FIRST: Final = 50_000
"""Tuples remembered that no connection has yet and an ICMP error quoted."""
WIRESHARK_MIN_QUOTE: Final = 16
"""TCP bytes that an ICMP error must quote for Wireshark to open a stream for it."""


@final
class QuotedTuples:
    """The frames of the first such errors.

    Attributes:
        opened_before: by number of the connection that got such a tuple later, the frame of the error.
    """

    def __init__(self) -> None:
        self.opened_before: dict[int, int] = {}
        self._frames: dict[tuple[int, int, int, int, int, int], int] = {}

    def note(self, batch: SegmentBatch, row: i64) -> None:
        """Takes a quote whose tuple has no connection."""
        if batch.cells[row + COL_PAYLOAD_LEN] < WIRESHARK_MIN_QUOTE:
            return
        tuple_ends = ends(batch, row)
        if tuple_ends not in self._frames and len(self._frames) < MAX_QUOTED_FIRST:
            self._frames[tuple_ends] = batch.cells[row + COL_FRAME]

    def give_to(self, number: i64, batch: SegmentBatch, row: i64) -> None:
        """Takes note that a tuple has a connection now, the first of it."""
        if not self._frames:
            return
        frame = self._frames.pop(ends(batch, row), None)
        if frame is not None:
            self.opened_before[number] = frame

    @property
    def frames(self) -> list[int]:
        """Those of tuples of which no segment passed."""
        return list(self._frames.values())
