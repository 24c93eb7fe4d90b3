"""The census: how many endpoints were in which state, and when; what ``ss`` on each host would have listed.

Clients and servers are counted apart, because ``ss`` shows one host. An endpoint counts from the moment it enters a
state until it leaves it. CLOSED, LISTEN and UNKNOWN are not connections and are not counted. The end of TIME_WAIT is
not on the wire: it is taken to last ``time_wait_s``, as long as the kernel keeps it.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pcapflow.tables import Tables
from pcapflow.tracker.states import CLOSED, LISTEN, N_STATES, TIME_WAIT, UNKNOWN

Counts = npt.NDArray[np.int64]
_Column = npt.NDArray[Any]

UNCOUNTED: Final = (CLOSED, LISTEN, UNKNOWN)
SAMPLES: Final = 181


@dataclasses.dataclass(frozen=True, slots=True)
class Census:
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


@dataclasses.dataclass(frozen=True, slots=True)
class _Moves:
    """Entries into and exits from states by the endpoints of one side, in time order."""

    times_ns: _Column
    states: _Column
    steps: _Column


def census(tables: Tables, *, time_wait_s: float = 60.0, samples: int = SAMPLES) -> Census:
    """Counts the endpoints in each state over the whole capture.

    Args:
        tables: of one capture; ``transitions`` may be in any order of time.
        time_wait_s: how long TIME_WAIT lasts.
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
        moves = _moves(tables, side, time_wait_s)
        inside = int(np.searchsorted(moves.times_ns, last_ns, side="right"))
        moves = _Moves(moves.times_ns[:inside], moves.states[:inside], moves.steps[:inside])
        counts[side] = _sampled(moves, times_ns)
        peak[side], peak_ns[side] = _peaks(moves)
    return Census(times_ns, counts, counts[:, -1], peak, peak_ns)


def census_at(tables: Tables, time_ns: int, *, time_wait_s: float = 60.0) -> Counts:
    """Endpoints per state at one moment, after everything that happened at it; shape (2, 12)."""
    moment = np.array([time_ns], dtype=np.int64)
    return np.stack([_sampled(_moves(tables, side, time_wait_s), moment)[0] for side in (0, 1)])


def _moves(tables: Tables, side: int, time_wait_s: float) -> _Moves:
    t = tables.transitions
    rows = np.flatnonzero(t["endpoint"] == side)
    old, new, times = t["old"][rows], t["new"][rows], t["time_ns"][rows]
    over = _time_wait_over(t["flow"][rows], old, new, times, round(time_wait_s * 1e9))
    states = np.concatenate([new, old, np.full(len(over), TIME_WAIT, np.uint8)])
    steps = np.concatenate([np.ones(len(new), np.int8), np.full(len(old) + len(over), -1, np.int8)])
    when = np.concatenate([times, times, over])
    # Exits from TIME_WAIT are all in `over`, timed out or not.
    kept = (states != TIME_WAIT) | (steps > 0)
    kept[len(new) + len(old) :] = True
    for state in UNCOUNTED:
        kept &= states != state
    states, steps, when = states[kept], steps[kept], when[kept]
    order = np.argsort(when, kind="stable")
    return _Moves(when[order], states[order], steps[order])


def _time_wait_over(flows: _Column, old: _Column, new: _Column, times: _Column, lasts_ns: int) -> _Column:
    """When each stay in TIME_WAIT ends: by what the endpoint did next, or by its timer."""
    rows = np.flatnonzero((new == TIME_WAIT) | (old == TIME_WAIT))
    rows = rows[np.argsort(flows[rows], kind="stable")]
    enters = new[rows] == TIME_WAIT
    over = times[rows] + lasts_ns
    left = np.flatnonzero(enters[:-1] & ~enters[1:] & (flows[rows[:-1]] == flows[rows[1:]]))
    over[left] = np.minimum(over[left], times[rows[left + 1]])
    ends: _Column = over[enters]
    return ends


def _sampled(moves: _Moves, times_ns: Counts) -> Counts:
    """The counts after everything up to each of the times; shape (samples, 12)."""
    until = np.searchsorted(moves.times_ns, times_ns, side="right")
    interval = np.repeat(np.arange(len(times_ns)), np.diff(until, prepend=0))
    cell = interval * N_STATES + moves.states[: len(interval)]
    change = np.bincount(cell, weights=moves.steps[: len(interval)], minlength=len(times_ns) * N_STATES)
    counts: Counts = change.astype(np.int64).reshape(-1, N_STATES).cumsum(axis=0)
    return counts


def _peaks(moves: _Moves) -> tuple[Counts, Counts]:
    peak = np.zeros(N_STATES, np.int64)
    peak_ns = np.zeros(N_STATES, np.int64)
    for state in range(N_STATES):
        rows = np.flatnonzero(moves.states == state)
        if len(rows) == 0:
            continue
        times, running = moves.times_ns[rows], np.cumsum(moves.steps[rows], dtype=np.int64)
        # A state passed through within one frame was never there for anybody to see.
        settled = np.append(times[1:] != times[:-1], True)
        at = int(np.argmax(np.where(settled, running, -1)))
        if running[at] > 0:
            peak[state], peak_ns[state] = running[at], times[at]
    return peak, peak_ns
