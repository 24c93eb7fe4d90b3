"""Closed connections that are still followed for a while, and when each is done with."""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from pcapflow.tracker.flow import Flow
from pcapflow.tracker.pending import NO_RESET

LINGER_NS: Final = 15_000_000_000
"""A connection that both ends have closed is followed for this long after its last segment: several retransmission
time-outs, within which a repeated FIN would show that its ACK was lost."""
LONG_LINGER_NS: Final = 120_000_000_000
"""The same for one with a repeated FIN, whose next repeat may be far off, or with a RST, which whoever goes on sending
did not get (TCP_RTO_MAX of Linux)."""
MAX_CLOSED: Final = 1 << 14
"""Closed connections followed at once; past it the one closed first is written early."""


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


@final
class ClosedConnections:
    """The closed connections of a flow table, in the order in which they closed.

    There are two queues: those whose end was slow wait longer, and must not hold up the others.
    """

    def __init__(self, most: i64) -> None:
        """At most ``most`` connections wait in each queue."""
        self._most: i64 = most
        self._short = ClosedQueue()
        self._long = ClosedQueue()

    def push(self, flow: Flow) -> None:
        """Takes a connection that has closed and is in no queue."""
        self._short.push(flow)

    def clear(self) -> None:
        """Takes all out."""
        self._short.clear()
        self._long.clear()

    def next_done(self, now_ns: i64) -> Flow | None:
        """Takes out the next connection of which nothing more is to be expected; nothing where there is none."""
        flow = self._next(self._short, now_ns, LINGER_NS)
        return flow if flow is not None else self._next(self._long, now_ns, LONG_LINGER_NS)

    def _next(self, queue: ClosedQueue, now_ns: i64, linger_ns: i64) -> Flow | None:
        while True:
            flow = queue.first
            if flow is None:
                return None
            if flow.is_written or (flow.ended_ns < 0 and not flow.is_superseded):
                # It was evicted, or not over after all.
                queue.pop()
            elif queue.size > self._most or now_ns - flow.end_ns >= linger_ns:
                queue.pop()
                is_slow = flow.reset is not NO_RESET or flow.client.fin_count > 1 or flow.server.fin_count > 1
                if not is_slow or linger_ns != LINGER_NS:
                    return flow
                self._long.push(flow)
            elif flow.end_ns > flow.queued_ns:
                # It was not idle meanwhile: back to the end of the queue.
                queue.pop()
                queue.push(flow)
            else:
                return None
