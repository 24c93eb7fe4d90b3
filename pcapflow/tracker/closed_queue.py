"""Closed connections that are still followed, first in, first out."""

from __future__ import annotations

from typing import final

from mypy_extensions import i64

from pcapflow.tracker.flow import Flow


@final
class ClosedQueue:
    """A queue of flows, which are linked to one another: this costs no memory beside theirs.

    Attributes:
        first: the flow that has been in it for longest.
        size: how many there are.
    """

    def __init__(self) -> None:
        self.first: Flow | None = None
        self.size: i64 = 0
        self._last: Flow | None = None

    def push(self, flow: Flow) -> None:
        """Puts a flow, which must not be in any queue, at the end; its last segment until now is noted."""
        flow.queued_ns = flow.end_ns
        if self._last is None:
            self.first = flow
        else:
            self._last.next_closed = flow
        self._last = flow
        self.size += 1

    def clear(self) -> None:
        """Takes all out, one by one: a long chain of objects is not left to free itself."""
        while self.size > 0:
            self.pop()

    def pop(self) -> None:
        """Takes the first flow out."""
        flow = self.first
        if flow is None:
            return
        self.first = flow.next_closed
        flow.next_closed = None
        flow.queued_ns = -1
        if self.first is None:
            self._last = None
        self.size -= 1
