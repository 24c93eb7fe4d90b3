"""Lifelines: a connection's two endpoints as two thin bars, state by state against the capture's time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from pcapflow.tcp.states import CLOSED, ENDPOINT_NAMES, LISTEN, STATE_NAMES, TIME_WAIT, UNKNOWN
from pcapflow.text.phrases import duration

WIDTH: Final = 240.0
BAR_HEIGHT: Final = 7.0
BAR_TOPS: Final = (2.0, 11.0)
HEIGHT: Final = 20.0
_LEAST_WIDTH: Final = 3.0
_MOST_STAYS: Final = 24
_NOTHING: Final = (CLOSED, LISTEN, UNKNOWN)


class Stay(NamedTuple):
    """One endpoint in one state, from one moment to another."""

    state: int
    from_ns: int
    to_ns: int


class Bar(NamedTuple):
    """A stretch of a bar; ``y`` says whose."""

    state: int
    x: float
    y: float
    width: float
    title: str


class Lifelines(NamedTuple):
    """Both bars of one connection, and the same in words."""

    bars: tuple[Bar, ...]
    label: str


def stays(transitions: Iterable[Mapping[str, int]], endpoint: int, end_ns: int, time_wait_ns: int) -> list[Stay]:
    """The stays of one endpoint that are connections (not CLOSED, LISTEN or UNKNOWN), in time order.

    Args:
        transitions: of one connection, in time order.
        endpoint: 0 client, 1 server.
        end_ns: the end of the capture.
        time_wait_ns: how long TIME_WAIT lasts.
    """
    moves = [(row["new"], row["time_ns"]) for row in transitions if row["endpoint"] == endpoint]
    result: list[Stay] = []
    for i, (state, from_ns) in enumerate(moves):
        to_ns = moves[i + 1][1] if i + 1 < len(moves) else end_ns
        if state == TIME_WAIT:
            to_ns = min(to_ns, from_ns + time_wait_ns)
        if state not in _NOTHING:
            result.append(Stay(state, from_ns, max(to_ns, from_ns)))
    return result


def lifelines(
    transitions: Sequence[Mapping[str, int]], first_ns: int, last_ns: int, time_wait_ns: Sequence[int]
) -> Lifelines:
    """Both bars of one connection on the capture's time axis; TIME_WAIT lasts ``time_wait_ns`` at each side.

    A stay that would be too short to see is drawn a little longer, so the order of states is always visible; a
    state passed through within one frame is left out.
    """
    bars: list[Bar] = []
    words: list[str] = []
    for endpoint, top in enumerate(BAR_TOPS):
        visits = stays(transitions, endpoint, last_ns, time_wait_ns[endpoint])
        visits = [stay for stay in visits if stay.to_ns > stay.from_ns][-_MOST_STAYS:]
        for stay, (x, width) in zip(visits, _placed(visits, first_ns, last_ns), strict=True):
            title = f"{ENDPOINT_NAMES[endpoint]} {STATE_NAMES[stay.state]} {duration(stay.to_ns - stay.from_ns)}"
            bars.append(Bar(stay.state, x, top, width, title))
        passed = ", ".join(f"{STATE_NAMES[s.state]} {duration(s.to_ns - s.from_ns)}" for s in visits)
        words.append(f"{ENDPOINT_NAMES[endpoint]}: {passed or 'no state seen'}")
    return Lifelines(tuple(bars), "; ".join(words))


def _placed(visits: Sequence[Stay], first_ns: int, last_ns: int) -> list[tuple[float, float]]:
    """Where each stay begins and how wide it is, none narrower than can be seen, all within the axis."""
    scale = WIDTH / max(last_ns - first_ns, 1)
    edges: list[tuple[float, float]] = []
    left = 0.0
    for stay in visits:
        begin = max((stay.from_ns - first_ns) * scale, left)
        left = max((stay.to_ns - first_ns) * scale, begin + _LEAST_WIDTH)
        edges.append((begin, left))
    right = WIDTH
    placed: list[tuple[float, float]] = []
    for begin, end in reversed(edges):
        stop = min(end, right)
        right = max(min(begin, stop - _LEAST_WIDTH), 0.0)
        placed.append((round(right, 1), round(stop - right, 1)))
    return placed[::-1]
