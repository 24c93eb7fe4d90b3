"""Which connection is given up where more are open at once than may be followed."""

from __future__ import annotations

from typing import final

from mypy_extensions import i64

from pcapflow.tracker.index import IN_SYN_CACHE, LIVE, ConnectionIndex


@final
class EvictionOrder:
    """That of the SYN cache that was opened first, since a flood consists of these, or else the one opened first.

    Both searches only go forward: a connection that is neither in the cache nor followed does not come back.
    """

    def __init__(self) -> None:
        self._oldest_syn: i64 = 0
        self._oldest: i64 = 0

    def next(self, index: ConnectionIndex) -> i64:
        """The number of the next connection to give up; one must be open."""
        at: i64 = self._oldest_syn
        while at < index.count and index.place(at) & 3 != IN_SYN_CACHE:
            at += 1
        self._oldest_syn = at
        if at < index.count:
            return at
        at = self._oldest
        while index.place(at) & 3 != LIVE:
            at += 1
        self._oldest = at
        return at
