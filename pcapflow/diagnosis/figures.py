"""How sure figures make us: times that agree, moments that are common."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.model import IntArray

TOLERANCE_NS: Final = 60_000_000
"""Two lengths of time may differ by this much and still be one timer: a few scheduler ticks and round trips."""
TOLERANCE_SHARE: Final = 0.02
"""... or by this share of them: timers of many programs are rounded and checked now and then only."""


class Agreement(NamedTuple):
    """The most of some lengths of time that agree.

    Attributes:
        members: positions of those that agree, in order.
        low_ns, high_ns: the least and the greatest of them.
        median_ns: their median.
    """

    members: IntArray
    low_ns: int
    high_ns: int
    median_ns: int


def agreement(lengths_ns: IntArray, *, least: int = 2, slack_ns: int = 0) -> Agreement | None:
    """The largest set of lengths of time that one timer would make; nothing where fewer than ``least`` agree.

    Args:
        lengths_ns: lengths of time, in any order.
        least: how many must agree.
        slack_ns: how much the timer may be late beyond the usual, e.g. where a program looks once a second only.
    """
    order = np.argsort(lengths_ns, kind="stable")
    ordered = lengths_ns[order]
    reach = ordered + np.maximum(TOLERANCE_NS, (ordered * TOLERANCE_SHARE).astype(np.int64)) + slack_ns
    last = np.searchsorted(ordered, reach, side="right")
    sizes = last - np.arange(len(ordered))
    if not len(sizes) or int(sizes.max()) < least:
        return None
    first = int(np.argmax(sizes))
    members = np.sort(order[first : int(last[first])])
    chosen = lengths_ns[members]
    return Agreement(members, int(chosen.min()), int(chosen.max()), int(np.median(chosen)))


class Moment(NamedTuple):
    """Events that fall together.

    Attributes:
        members: positions of the events, in order.
        start_ns, end_ns: of the first and of the last.
        chance: how likely it is at most that so many of them fall together if they come at any time.
    """

    members: IntArray
    start_ns: int
    end_ns: int
    chance: float


def common_moment(times_ns: IntArray, window_ns: int, span_ns: int) -> Moment | None:
    """The window of this length that holds the most of some events; nothing of fewer than two.

    Args:
        times_ns: when they happened, in any order.
        window_ns: how long one moment is.
        span_ns: the time in which they could have happened.
    """
    if len(times_ns) < 2:
        return None
    order = np.argsort(times_ns, kind="stable")
    ordered = times_ns[order]
    last = np.searchsorted(ordered, ordered + window_ns, side="right")
    sizes = last - np.arange(len(ordered))
    first = int(np.argmax(sizes))
    size = int(sizes[first])
    members = np.sort(order[first : first + size])
    start, end = int(ordered[first]), int(ordered[first + size - 1])
    return Moment(members, start, end, _chance(len(ordered), size, max(end - start, 1), max(span_ns, window_ns, 1)))


def _chance(events: int, together: int, window_ns: int, span_ns: int) -> float:
    """A bound for the chance that ``together`` of ``events`` at random times fall into one window of this length.

    The first of them can be any; each of the others falls into the window behind it with the share of the window:
    ``n * C(n - 1, k - 1) * p ** (k - 1)``, in logarithms.
    """
    if together < 2:
        return 1.0
    share = min(window_ns / span_ns, 1.0)
    log = math.log(events) + math.lgamma(events) - math.lgamma(together) - math.lgamma(events - together + 1)
    return math.exp(min(log + (together - 1) * math.log(share), 0.0))
