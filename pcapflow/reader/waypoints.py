"""Places in the inputs from which a second reading can go on without reading what lies before."""

from __future__ import annotations

import bisect
from typing import Final, NamedTuple, final

MAX_WAYPOINTS: Final = 4096
"""Of a longer capture every second one is kept, then every fourth: memory does not grow with packets."""


class Waypoint(NamedTuple):
    """A record's place.

    Attributes:
        frames: frames that lie before it.
        file: which of the inputs, from 0.
        offset: its first byte there.
        section: what else the format must know to go on (:attr:`pcapflow.reader.records.Records.section`).
    """

    frames: int
    file: int
    offset: int
    section: object


@final
class Waypoints:
    """The waypoints of one reading, in order.

    Attributes:
        first_frames: for each input, how many frames lie before it.
    """

    def __init__(self) -> None:
        self.first_frames: list[int] = []
        self._frames: list[int] = []
        self._points: list[Waypoint] = []
        self._stride = 1
        self._passed = 0

    def note(self, point: Waypoint) -> None:
        """Takes the next place that the reading passes."""
        # A file without a frame passes without a waypoint.
        while len(self.first_frames) <= point.file:
            self.first_frames.append(point.frames)
        if self._passed % self._stride == 0:
            self._points.append(point)
            self._frames.append(point.frames)
            if len(self._points) > MAX_WAYPOINTS:
                del self._points[1::2], self._frames[1::2]
                self._stride *= 2
        self._passed += 1

    def before(self, frame: int) -> Waypoint | None:
        """The last place that lies before a frame, if there is one."""
        at = bisect.bisect_left(self._frames, frame)
        return self._points[at - 1] if at else None
