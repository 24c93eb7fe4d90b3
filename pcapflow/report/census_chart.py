"""The census drawn: stacked areas against time, one chart per side, and the same in the words of ``ss``."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pcapflow.config import Config
from pcapflow.report.colours import STATE_LOOKS, StateLook
from pcapflow.tcp.states import (
    CLOSE_WAIT,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    SYN_RCVD,
    SYN_SENT,
    TIME_WAIT,
)
from pcapflow.text.phrases import duration, number
from pcapflow.text.times import Clock, to_ns
from pcapflow.views.census import Census

STACK: Final = (
    ESTABLISHED,
    FIN_WAIT_2,
    CLOSE_WAIT,
    LAST_ACK,
    CLOSING,
    FIN_WAIT_1,
    TIME_WAIT,
    SYN_RCVD,
    SYN_SENT,
)
"""From the bottom up: healthy states are below those that pile up, so that both heights can be read."""

WIDTH: Final = 720.0
HEIGHT: Final = 172.0
LEFT: Final = 44.0
RIGHT: Final = 8.0
TOP: Final = 12.0
BOTTOM: Final = 20.0
_LEAST_FOR_LETTER: Final = 16.0

_STEPS_S: Final = (
    *(base * 10.0**power for power in range(-6, 1) for base in (1, 2, 5)),
    10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0,
    7200.0, 10800.0, 21600.0, 43200.0, 86400.0, 172800.0, 604800.0,
)  # fmt: skip


class Area(NamedTuple):
    """One state's share of the stack as an SVG path; ``letter`` stands at (x, y) where it fits, or is ""."""

    state: int
    name: str
    path: str
    letter: str
    x: float
    y: float


class Tick(NamedTuple):
    """A mark on an axis: where, and what it says."""

    at: float
    text: str


class Chart(NamedTuple):
    """One side's endpoints over time, in units of the view box."""

    side: str
    label: str
    areas: tuple[Area, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


class StateCount(NamedTuple):
    """A row of the table: a state in ``ss``'s word, per side at the end and at its peak."""

    look: StateLook
    state: int
    client_end: str
    client_peak: str
    client_peak_at: str
    server_end: str
    server_peak: str
    server_peak_at: str
    loud: bool


class CensusView(NamedTuple):
    """The charts and the table; ``samples`` is what the table shows for the moment under the pointer."""

    charts: tuple[Chart, ...]
    rows: tuple[StateCount, ...]
    end: str
    time_wait: str
    samples: str
    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float


_LOUD: Final = frozenset({CLOSE_WAIT, SYN_RCVD, LAST_ACK, CLOSING})


def census_view(census: Census, clock: Clock, config: Config) -> CensusView:
    """Draws a census; both charts have the same axes, so that they can be compared."""
    time_wait = duration(to_ns(config.msl2_s))
    if config.stack_hosts:
        time_wait += ", and at hosts that [stack] names as long as at such stacks"
    highest = int(census.counts.sum(axis=2).max(initial=0))
    y_step = _count_step(highest)
    top = max(highest, 1)
    charts = tuple(_chart(census, side, name, top, y_step, clock) for side, name in enumerate(("clients", "servers")))
    rows = tuple(_row(census, state, clock) for state in STACK if census.peak[:, state].any())
    return CensusView(
        charts=charts,
        rows=rows,
        end=clock.text(int(census.times_ns[-1])),
        time_wait=time_wait,
        samples=_samples(census, [row.state for row in rows], clock),
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=WIDTH - RIGHT,
        top=TOP,
        bottom=HEIGHT - BOTTOM,
    )


def _chart(census: Census, side: int, name: str, top: int, y_step: int, clock: Clock) -> Chart:
    counts = census.counts[side]
    x = np.linspace(LEFT, WIDTH - RIGHT, len(counts)) if len(counts) > 1 else np.array([LEFT, WIDTH - RIGHT])
    if len(counts) == 1:
        counts = np.repeat(counts, 2, axis=0)
    scale = (HEIGHT - TOP - BOTTOM) / top
    base = np.zeros(len(counts))
    areas = []
    for state in STACK:
        if counts[:, state].any():
            raised = base + counts[:, state]
            areas.append(_area(state, x, HEIGHT - BOTTOM - base * scale, HEIGHT - BOTTOM - raised * scale))
            base = raised
    peaks = ", ".join(
        f"{STATE_LOOKS[state].name} {number(int(census.peak[side, state]))}"
        for state in STACK
        if census.peak[side, state]
    )
    return Chart(
        side=name,
        label=f"Connections by state over time, on the {name}. Most at once: {peaks or 'none'}.",
        areas=tuple(areas),
        x_ticks=_time_ticks(census.times_ns, clock),
        y_ticks=tuple(
            Tick(round(HEIGHT - BOTTOM - count * scale, 1), _short(count)) for count in range(0, top + 1, y_step)
        ),
    )


def _area(state: int, x: npt.NDArray[Any], low: npt.NDArray[Any], high: npt.NDArray[Any]) -> Area:
    """A closed path over the samples where the state occurs; the rest of its outline has no height."""
    thick = low - high
    present = np.flatnonzero(thick > 0)
    first, last = max(int(present[0]) - 1, 0), min(int(present[-1]) + 2, len(x))
    x, low, high, thick = x[first:last], low[first:last], high[first:last], thick[first:last]
    forth = _line(x, high)
    back = _line(x[::-1], low[::-1])
    inner = np.where((x > LEFT + 8) & (x < WIDTH - RIGHT - 8), thick, 0)
    at = _middle_of_longest(inner >= 0.85 * inner.max())
    look = STATE_LOOKS[state]
    fits = inner[at] >= _LEAST_FOR_LETTER
    return Area(
        state=state,
        name=look.name,
        path=f"M{forth}L{back}Z",
        letter=look.letter if fits else "",
        x=round(float(x[at]), 1),
        y=round(float((low[at] + high[at]) / 2) + 4, 1),
    )


def _middle_of_longest(mask: npt.NDArray[np.bool_]) -> int:
    """The middle of the longest run of true values: where a letter has the most room."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    first, last = edges[np.argmax(edges[:, 1] - edges[:, 0])].tolist()
    return int(first + last - 1) // 2


def _line(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> str:
    """Points of a line; those that lie on it anyway are left out."""
    kept = np.ones(len(x), dtype=bool)
    kept[1:-1] = (np.round(y[1:-1], 1) != np.round(y[:-2], 1)) | (np.round(y[1:-1], 1) != np.round(y[2:], 1))
    return "L".join(f"{a:.1f},{b:.1f}" for a, b in zip(x[kept].tolist(), y[kept].tolist(), strict=True))


def _short(count: int) -> str:
    """A round number in few characters, for an axis: ``5,000``, ``20k``, ``1.5M``."""
    if count >= 1_000_000:
        return f"{count / 1e6:g}M"
    return f"{count / 1000:g}k" if count >= 10_000 else number(count)


def _count_step(highest: int) -> int:
    """A round step that makes two to five ticks."""
    step, factors = 1, (2, 2.5, 2)
    turn = 0
    while highest / step > 4:
        step = int(step * factors[turn % 3])
        turn += 1
    return step


def _time_ticks(times_ns: npt.NDArray[np.int64], clock: Clock) -> tuple[Tick, ...]:
    first, last = int(times_ns[0]), int(times_ns[-1])
    if last <= first:
        return ()
    seconds = (last - first) / 1e9
    step = round(next((s for s in _STEPS_S if seconds / s <= 6), seconds) * 1e9)
    start = -(-first // step) * step
    ticks = []
    for at in range(start, last + 1, max(step, 1)):
        x = LEFT + (at - first) / (last - first) * (WIDTH - LEFT - RIGHT)
        ticks.append(Tick(round(x, 1), clock.text(at)))
    return tuple(ticks)


def _row(census: Census, state: int, clock: Clock) -> StateCount:
    def peak_at(side: int) -> str:
        return clock.text(int(census.peak_ns[side, state])) if census.peak[side, state] else ""

    return StateCount(
        look=STATE_LOOKS[state],
        state=state,
        client_end=number(int(census.end[0, state])),
        client_peak=number(int(census.peak[0, state])),
        client_peak_at=peak_at(0),
        server_end=number(int(census.end[1, state])),
        server_peak=number(int(census.peak[1, state])),
        server_peak_at=peak_at(1),
        loud=state in _LOUD and bool(census.end[:, state].any()),
    )


def _samples(census: Census, states: list[int], clock: Clock) -> str:
    """All counts for the script: per moment ``time|client counts|server counts``, moments apart by ``;``."""
    moments = []
    for i, time_ns in enumerate(census.times_ns.tolist()):
        sides = (",".join(str(int(census.counts[side, i, state])) for state in states) for side in (0, 1))
        moments.append("|".join((clock.text(time_ns), *sides)))
    return ";".join(moments)
