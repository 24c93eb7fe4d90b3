"""What the trackers write while they follow: rows of four numbers, which :mod:`pcapflow.engine.collect` collects."""

from __future__ import annotations

from typing import Final, final

from librt.vecs import vec
from mypy_extensions import i64

WITHDRAWN: Final = 255
"""Basis of a transition that was taken back: it is left out of the table."""

BLOCK_ROWS: Final = 4096
"""Rows of one block; a log grows by blocks, so that nothing is copied when it grows."""
WIDTH: Final = 4
"""Numbers of one row. Small ones share the first, so that a row is one piece of memory."""
EMPTY_BLOCK: Final = vec[i64]([0] * (BLOCK_ROWS * WIDTH))
"""What a block is a copy of: to make one of a list takes a hundred times as long."""

# The first number of a transition, from its lowest bit: basis, event, new state, old state, endpoint, flow.
BASIS_BITS: Final = 0xFF
EVENT_SHIFT: Final = 8
NEW_SHIFT: Final = 12
OLD_SHIFT: Final = 16
ENDPOINT_SHIFT: Final = 20
FLOW_SHIFT: Final = 24
CODE_BITS: Final = 0xF
"""Of event and states, after their shift."""

# The first number of a mark: kind, endpoint, flow.
MARK_BITS: Final = 0xFF
MARK_ENDPOINT_SHIFT: Final = 8
MARK_FLOW_SHIFT: Final = 9


@final
class Log:
    """Rows of four numbers, in the order in which they were added.

    Attributes:
        size: how many there are.
        blocks: memory of :data:`BLOCK_ROWS` rows each, the last one filled in part.
    """

    def __init__(self) -> None:
        self.size: i64 = 0
        self.blocks: list[vec[i64]] = []
        self._newest: vec[i64] = vec[i64]()

    def add(self, first: i64, second: i64, third: i64, fourth: i64) -> i64:
        """Appends a row and returns its position."""
        row: i64 = self.size
        at: i64 = (row & (BLOCK_ROWS - 1)) * WIDTH
        if at == 0:
            self._newest = EMPTY_BLOCK[:]
            self.blocks.append(self._newest)
        block = self._newest
        block[at] = first
        block[at + 1] = second
        block[at + 2] = third
        block[at + 3] = fourth
        self.size = row + 1
        return row

    def get(self, row: i64, column: i64) -> i64:
        """One number."""
        return self.blocks[row // BLOCK_ROWS][(row & (BLOCK_ROWS - 1)) * WIDTH + column]

    def set(self, row: i64, column: i64, value: i64) -> None:
        """Changes one number."""
        self.blocks[row // BLOCK_ROWS][(row & (BLOCK_ROWS - 1)) * WIDTH + column] = value


@final
class TransitionLog:
    """Transitions in the order they became known: codes, time, frame, and the same endpoint's transition before."""

    def __init__(self) -> None:
        self.rows = Log()
        self.withdrawn: i64 = 0

    def add(
        self,
        flow: i64,
        endpoint: i64,
        old: i64,
        new: i64,
        time_ns: i64,
        frame: i64,
        event: i64,
        basis: i64,
        previous: i64,
    ) -> i64:
        """Appends a transition and returns its row."""
        codes: i64 = flow << FLOW_SHIFT | endpoint << ENDPOINT_SHIFT | old << OLD_SHIFT | new << NEW_SHIFT
        return self.rows.add(codes | event << EVENT_SHIFT | basis, time_ns, frame, previous)

    def old(self, row: i64) -> i64:
        """The state it led out of."""
        return self.rows.get(row, 0) >> OLD_SHIFT & CODE_BITS

    def event(self, row: i64) -> i64:
        """What caused it."""
        return self.rows.get(row, 0) >> EVENT_SHIFT & CODE_BITS

    def basis(self, row: i64) -> i64:
        """How it is known."""
        return self.rows.get(row, 0) & BASIS_BITS

    def time_ns(self, row: i64) -> i64:
        """When it was."""
        return self.rows.get(row, 1)

    def frame(self, row: i64) -> i64:
        """The frame of its event."""
        return self.rows.get(row, 2)

    def previous(self, row: i64) -> i64:
        """The row of the same endpoint's transition before it, -1 of the first."""
        return self.rows.get(row, 3)

    def set_basis(self, row: i64, basis: i64) -> None:
        """Changes how it is known."""
        self.rows.set(row, 0, (self.rows.get(row, 0) & ~BASIS_BITS) | basis)

    def withdraw(self, row: i64) -> None:
        """Takes a transition out of the record."""
        self.set_basis(row, WITHDRAWN)
        self.withdrawn += 1


@final
class MarkLog:
    """Marks in the order of their frames: codes, frame, time, value."""

    def __init__(self) -> None:
        self.rows = Log()

    def add(self, flow: i64, frame: i64, time_ns: i64, endpoint: i64, mark: i64, value: i64) -> None:
        """Appends a mark."""
        self.rows.add(flow << MARK_FLOW_SHIFT | endpoint << MARK_ENDPOINT_SHIFT | mark, frame, time_ns, value)
