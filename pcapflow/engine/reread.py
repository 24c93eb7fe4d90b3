"""A second pass over a capture: the segments of the few connections that somebody looks at.

Memory of the first pass grows with connections, not with packets, so segments are not kept there. This pass decodes
the capture again and keeps a bounded number of rows of the connections asked for.
"""

from __future__ import annotations

import collections
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from pcapflow.engine.second_pass import Span, rewind, rows_of_flows
from pcapflow.errors import CaptureError
from pcapflow.reader.segment_batch import (
    COL_ACK,
    COL_FLAGS,
    COL_FRAME,
    COL_PAYLOAD_LEN,
    COL_SEQ,
    COL_TIME_NS,
    COL_WINDOW,
)
from pcapflow.tables.segments import Segment
from pcapflow.tcp.flags import ACK, SYN

if TYPE_CHECKING:
    from pcapflow.reader.open import Engine, Input
    from pcapflow.reader.waypoints import Waypoints
    from pcapflow.tables.table import Tables

_M32: Final = 0xFFFF_FFFF
_FLAG_BITS: Final = 0xFF
_SLACK: Final = 4
"""How many times as long as an even pace asks for a window is."""


def read_segments(
    tables: Tables,
    inputs: Sequence[Input],
    engine: Engine,
    flows: Collection[int],
    limit: int,
    frames: frozenset[int],
    waypoints: Waypoints,
) -> dict[int, list[Segment]]:
    """The segments of some connections: the first and last of each, at most ``limit``, and those of ``frames``.

    What lies between these connections, and in the midst of long ones, is leapt over by the first pass's ``waypoints``.
    A connection whose pace is so uneven that too few are found at its ends is read whole.

    Returns:
        Segments by flow, in order of frames; empty where the input cannot be read a second time.
    """
    if not flows or not rewind(inputs):
        return {}
    windows = {flow: _window(tables, flow, limit) for flow in sorted(flows)}
    found = _read(tables, inputs, engine, windows, limit, frames, waypoints)
    short = {flow: window.whole() for flow, window in windows.items() if flow in found and found[flow].is_short()}
    if short and rewind(inputs):
        found |= _read(tables, inputs, engine, short, limit, frames, waypoints)
    return {flow: rows.segments() for flow, rows in found.items()}


def _read(
    tables: Tables,
    inputs: Sequence[Input],
    engine: Engine,
    windows: Mapping[int, _Window],
    limit: int,
    frames: frozenset[int],
    waypoints: Waypoints,
) -> dict[int, _Rows]:
    """Reads what lies in the windows of some connections; nothing where the file cannot be read any more."""
    rows_of = {flow: _Rows(limit, frames, window) for flow, window in windows.items()}
    spans = {span for window in windows.values() for span in window.spans(frames)}
    try:
        for flow, endpoint, row, _ in rows_of_flows(tables, inputs, engine, list(windows), spans, waypoints):
            rows_of[flow].add(row, endpoint)
    except CaptureError:
        # The file was readable a moment ago and is not now: the reader of a report loses the pictures, not the facts.
        return {}
    return rows_of


class _Window(NamedTuple):
    """Where the segments of one connection are looked for.

    Attributes:
        first, last: its first and its last frame.
        head_to, tail_from: between these two it is leapt over, but for the frames asked for.
    """

    first: int
    last: int
    head_to: int
    tail_from: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing is leapt over."""
        return self.head_to >= self.tail_from

    def whole(self) -> _Window:
        """The same without a gap."""
        return self._replace(head_to=self.last, tail_from=self.first)

    def spans(self, frames: frozenset[int]) -> list[Span]:
        """The first and last frames to be read: before the gap, after it, and each one asked for within."""
        if self.is_whole:
            return [(self.first, self.last)]
        named = [(frame, frame) for frame in frames if self.head_to < frame < self.tail_from]
        return [(self.first, self.head_to), (self.tail_from, self.last), *named]


def _window(tables: Tables, flow: int, limit: int) -> _Window:
    """Where to look for the first and the last ``limit / 2`` segments, if it sends at a more or less even pace."""
    table = tables.flows
    first, last = int(table["first_frame"][flow]), int(table["last_frame"][flow])
    packets = int(table["client_packets"][flow] + table["server_packets"][flow])
    reach = (last - first) * limit * _SLACK // (2 * max(packets, 1))
    return _Window(first, last, min(first + reach, last), max(last - reach, first))


class _Rows:
    """What is kept of one connection: its first segments, its last ones, and those of the frames asked for."""

    def __init__(self, limit: int, frames: frozenset[int], window: _Window) -> None:
        self.window = window
        self._head_limit = limit - limit // 2
        self._head: list[Segment] = []
        self._named: list[Segment] = []
        self._tail_limit = limit // 2
        self._tail: collections.deque[Segment] = collections.deque(maxlen=self._tail_limit)
        self._frames = frames
        self._bases = [-1, -1]

    def is_short(self) -> bool:
        """Whether the window held fewer segments than are kept, and leapt over others."""
        window = self.window
        if window.is_whole:
            return False
        # A head or a tail that reaches into the gap was filled up with what another connection's window held.
        return (
            sum(segment.frame <= window.head_to for segment in self._head) < self._head_limit
            or sum(segment.frame >= window.tail_from for segment in self._tail) < self._tail_limit
        )

    def add(self, row: list[int], endpoint: int) -> None:
        """Takes a row of this connection, sent by ``endpoint``; rows come in order of frames."""
        flags = row[COL_FLAGS]
        seq, ack = row[COL_SEQ], row[COL_ACK]
        bases = self._bases
        # Wireshark counts from 0 with a SYN, and from 1 where the capture begins without one.
        if flags & SYN or bases[endpoint] < 0:
            bases[endpoint] = seq if flags & SYN else (seq - 1) & _M32
        if flags & ACK and bases[1 - endpoint] < 0:
            bases[1 - endpoint] = (ack - 1) & _M32
        segment = Segment(
            frame=row[COL_FRAME],
            time_ns=row[COL_TIME_NS],
            endpoint=endpoint,
            flags=flags & _FLAG_BITS,
            rel_seq=(seq - bases[endpoint]) & _M32,
            rel_ack=(ack - bases[1 - endpoint]) & _M32 if flags & ACK else -1,
            payload_len=row[COL_PAYLOAD_LEN],
            window=row[COL_WINDOW],
        )
        if len(self._head) < self._head_limit:
            self._head.append(segment)
            return
        if segment.frame in self._frames:
            self._named.append(segment)
        self._tail.append(segment)

    def segments(self) -> list[Segment]:
        """What is kept, in order of frames."""
        chosen = {segment.frame: segment for segment in (*self._head, *self._named, *self._tail)}
        return [chosen[frame] for frame in sorted(chosen)]
