"""The census: how many endpoints were in which state, and when; what ``ss`` on each host would have listed.

Clients and servers are counted apart, because ``ss`` shows one host. An endpoint counts from the moment it enters a
state until it leaves it. CLOSED, LISTEN and UNKNOWN are not connections and are not counted. The end of TIME_WAIT is
not on the wire: it is taken to last ``time_wait_s``, as long as the kernel keeps it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pcapflow.anomalies.lookup.habits import time_wait_ns
from pcapflow.config import Config
from pcapflow.tables.table import Table, Tables
from pcapflow.tcp.states import CLOSED, LISTEN, N_STATES, TIME_WAIT, UNKNOWN

Counts = npt.NDArray[np.int64]
_Column = npt.NDArray[Any]

UNCOUNTED: Final = frozenset({CLOSED, LISTEN, UNKNOWN})
SAMPLES: Final = 181


class Census(NamedTuple):
    """Endpoints per state; axis 0 is the side (0 client, 1 server), the last axis the state code.

    Attributes:
        times_ns: shape (samples,), from the capture's first to its last time stamp, evenly.
        counts: shape (2, samples, 12), at each of these times.
        end: shape (2, 12), at the end of the capture.
        peak: shape (2, 12), the largest count of each state at any time, however short.
        peak_ns: shape (2, 12), when that was first reached; 0 where the peak is 0.
    """

    times_ns: Counts
    counts: Counts
    end: Counts
    peak: Counts
    peak_ns: Counts


class _Traffic(NamedTuple):
    """When endpoints of one side entered and left one state, each in time order."""

    entries_ns: _Column
    exits_ns: _Column

    def at(self, times_ns: Counts) -> Counts:
        """How many are in the state after everything up to each of these times."""
        came = np.searchsorted(self.entries_ns, times_ns, side="right")
        went = np.searchsorted(self.exits_ns, times_ns, side="right")
        return came - went

    def peak(self) -> tuple[int, int]:
        """The most at once and when; an endpoint that enters and leaves within one frame does not count."""
        if len(self.entries_ns) == 0:
            return 0, 0
        # A count can only be highest just after an entry; of entries at the same time the last one counts all.
        gone = np.searchsorted(self.exits_ns, self.entries_ns, side="right")
        there = np.arange(1, len(self.entries_ns) + 1) - gone
        at = int(np.argmax(there))
        return (int(there[at]), int(self.entries_ns[at])) if there[at] > 0 else (0, 0)


def census(tables: Tables, config: Config | None = None, *, samples: int = SAMPLES) -> Census:
    """Counts the endpoints in each state over the whole capture.

    Args:
        tables: of one capture; ``transitions`` may be in any order of time.
        config: says how long TIME_WAIT lasts; the defaults without.
        samples: how many moments to count at.
    """
    first_ns, last_ns = tables.capture.first_ns, tables.capture.last_ns
    times_ns = np.linspace(first_ns, last_ns, samples if last_ns > first_ns else 1).astype(np.int64)
    if last_ns > first_ns:
        times_ns[-1] = last_ns
    counts = np.zeros((2, len(times_ns), N_STATES), np.int64)
    peak = np.zeros((2, N_STATES), np.int64)
    peak_ns = np.zeros((2, N_STATES), np.int64)
    for side in (0, 1):
        for state, traffic in _traffic(tables, config or Config(), side).items():
            counts[side, :, state] = traffic.at(times_ns)
            peak[side, state], peak_ns[side, state] = traffic.peak()
    return Census(times_ns, counts, counts[:, -1], peak, peak_ns)


def census_at(tables: Tables, time_ns: int, config: Config | None = None) -> Counts:
    """Endpoints per state at one moment, after everything that happened at it; shape (2, 12)."""
    moment = np.array([time_ns], dtype=np.int64)
    counts = np.zeros((2, N_STATES), np.int64)
    for side in (0, 1):
        for state, traffic in _traffic(tables, config or Config(), side).items():
            counts[side, state] = traffic.at(moment)[0]
    return counts


def _traffic(tables: Tables, config: Config, side: int) -> dict[int, _Traffic]:
    """Entries and exits of one side, by state; states that do not occur are left out."""
    t = tables.transitions
    entered: dict[int, list[_Column]] = {}
    left: dict[int, list[_Column]] = {}
    for kind, rows in tables.transitions_by_kind.items():
        if kind.endpoint == side:
            entered.setdefault(kind.new, []).append(rows)
            left.setdefault(kind.old, []).append(rows)
    traffic = {}
    for state in sorted(entered.keys() - UNCOUNTED):
        entries = _merged(entered[state])
        exits = _merged(left.get(state, []))
        if state == TIME_WAIT:
            over = _time_wait_over(t, entries, exits, time_wait_ns(tables, config, side))
        else:
            over = t["time_ns"][exits]
        traffic[state] = _Traffic(_in_order(t["time_ns"][entries]), _in_order(over))
    return traffic


def _merged(parts: Sequence[_Column]) -> _Column:
    """Positions in one order: each part is in order already."""
    if not parts:
        return np.zeros(0, dtype=np.int64)
    return parts[0] if len(parts) == 1 else np.sort(np.concatenate(parts))


def _in_order(times_ns: _Column) -> _Column:
    """These times in order, as those of transitions are unless a timer ended some."""
    return np.sort(times_ns) if np.any(times_ns[1:] < times_ns[:-1]) else times_ns


def _time_wait_over(t: Table, entries: _Column, exits: _Column, lasts_ns: _Column) -> _Column:
    """When each stay in TIME_WAIT ends: by what the endpoint did next, or by its timer."""
    rows = _merged([entries, exits])
    rows = rows[np.lexsort((t["time_ns"][rows], t["flow"][rows]))]
    flows, times, enters = t["flow"][rows], t["time_ns"][rows], t["new"][rows] == TIME_WAIT
    over = times + lasts_ns[flows]
    left = np.flatnonzero(enters[:-1] & ~enters[1:] & (flows[:-1] == flows[1:]))
    over[left] = np.minimum(over[left], times[left + 1])
    ends: _Column = over[enters]
    return ends
