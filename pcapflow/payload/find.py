"""Which connections a text passes in: a reading of the whole capture with the bytes that its segments carry."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from pcapflow.engine.second_pass import Way, ends_of, folded, rewind
from pcapflow.errors import CaptureError
from pcapflow.payload.stream import Match, Piece, Stream
from pcapflow.reader import open_capture
from pcapflow.reader.segment_batch import (
    COL_DST_HI,
    COL_DST_LO,
    COL_FLAGS,
    COL_FRAME,
    COL_PAYLOAD_LEN,
    COL_PORTS,
    COL_SEQ,
    COL_SRC_HI,
    COL_SRC_LO,
    COL_TIME_NS,
    COLUMNS,
    ICMP_QUOTE,
    SegmentBatch,
)
from pcapflow.tcp.flags import FIN, RST, SYN
from pcapflow.text.escape import printable
from pcapflow.text.phrases import shortened

if TYPE_CHECKING:
    from pcapflow.reader.open import Engine, Input
    from pcapflow.tables.table import Tables

MOST_FOUND: Final = 1000
"""Directions of connections that are named; the others are counted."""
MOST_STREAMS: Final = 1 << 18
"""Directions that are followed at once. Beyond it the one that began first is forgotten: its text is still found
within a segment, and no longer across a border that is open at that moment."""
MOST_WAITING_BYTES: Final = 64 << 20
"""Bytes of all directions that may wait for what comes before them."""
LONGEST_TEXT: Final = 1000
"""Bytes of a text that is looked for: each direction keeps as many."""
_MOST_OF_A_TEXT: Final = 60
_MOST_AROUND: Final = 30
"""Characters of a text, and on either side of it, that are shown."""
_M32: Final = 0xFFFF_FFFF
_UNKNOWN: Final = -1
"""In place of a first sequence number: the capture begins after it."""
_FOUND: Final = -2
"""In place of a stream: the text was found in it, the rest is passed over."""


class Found(NamedTuple):
    """A text in one direction of a connection.

    Attributes:
        flow: the connection.
        endpoint: who sent it, 0 client or 1 server.
        frame: where its first byte passed first.
        last_frame: where its last byte passed.
        time_ns: when.
        around: the line that it is in, printable and short.
    """

    flow: int
    endpoint: int
    frame: int
    last_frame: int
    time_ns: int
    around: str


class Finds(NamedTuple):
    """Where a text passes.

    Attributes:
        found: a row for each connection and direction, in order of frames, at most :data:`MOST_FOUND`.
        more: directions in which it passes too.
    """

    found: list[Found]
    more: int


def find_text(tables: Tables, inputs: Sequence[Input], engine: Engine, text: bytes) -> Finds:
    """Looks for a text in the payload of all connections; upper and lower case of ASCII are the same.

    Args:
        tables: of the capture.
        inputs: what they were made from.
        engine: the engine that was asked for.
        text: the bytes, at least one and at most :data:`LONGEST_TEXT`.

    Raises:
        CaptureError: the input cannot be read a second time, or not by the native reader.
    """
    capture = tables.capture
    if capture.reader != "native":
        raise CaptureError(capture.paths[0], "the bytes of segments are read by the native reader only, not by tshark")
    if not rewind(inputs):
        raise CaptureError(
            capture.paths[0], "cannot be read a second time, which --find needs: write it to a file first"
        )
    matches, more = _matches(inputs, engine, text.lower())
    found = _named(tables, matches)
    return Finds(found, more)


def _matches(inputs: Sequence[Input], engine: Engine, needle: bytes) -> tuple[list[tuple[Way, Match]], int]:
    """The first match of each direction, and how many directions beyond :data:`MOST_FOUND` have one."""
    finder = _Finder(needle)
    with contextlib.closing(open_capture(inputs, engine=engine)) as opened:
        batch = SegmentBatch()
        opened.keep_payload(batch)
        more = True
        while more:
            more = opened.read(batch)
            for row, payload in _telling_rows(batch):
                finder.take(row, payload)
    finder.finish()
    return finder.matches, finder.more


def _telling_rows(batch: SegmentBatch) -> Iterator[tuple[list[int], bytes]]:
    """The rows of a batch that carry payload, or begin or end a stream."""
    rows = np.frombuffer(memoryview(batch.cells), np.int64).reshape(-1, COLUMNS)[: batch.size]
    flags = rows[:, COL_FLAGS]
    places = np.flatnonzero(
        ((rows[:, COL_PAYLOAD_LEN] > 0) | (flags & (SYN | FIN | RST) != 0)) & (flags & ICMP_QUOTE == 0)
    )
    for place, row in zip(places.tolist(), rows[places].tolist(), strict=True):
        yield row, batch.payloads.get(place, b"")


class _Finder:
    """All streams under way.

    Attributes:
        matches: the first of each direction, at most :data:`MOST_FOUND`.
        more: directions with a match beyond those.
    """

    def __init__(self, needle: bytes) -> None:
        self.matches: list[tuple[Way, Match]] = []
        self.more = 0
        self._needle = needle
        # In place of a stream that has carried nothing yet, its first sequence number: a flood has millions of those.
        # A dictionary that forgets its first key again and again must be an ordered one, or it looks for the next.
        self._streams: collections.OrderedDict[Way, Stream | int] = collections.OrderedDict()
        self._waiting_bytes = 0

    def take(self, row: list[int], payload: bytes) -> None:
        """The next segment that carries something, or begins or ends a stream."""
        way = (row[COL_SRC_HI], row[COL_SRC_LO], row[COL_DST_HI], row[COL_DST_LO], row[COL_PORTS])
        flags, seq = row[COL_FLAGS], row[COL_SEQ]
        if flags & SYN:
            seq = (seq + 1) & _M32
            self._end(way)
            self._streams[way] = seq
        length = row[COL_PAYLOAD_LEN]
        # What a RST carries is no part of the stream (RFC 9293, 3.5.3).
        if length and not flags & RST:
            self._follow(way, Piece(seq, length, payload, row[COL_FRAME], row[COL_TIME_NS]))
        if flags & (FIN | RST):
            stream = self._streams.get(way)
            if flags & RST or not (isinstance(stream, Stream) and stream.waiting_bytes):
                self._end(way)
        if flags & RST:
            self._end((*way[2:4], *way[:2], (way[4] & 0xFFFF) << 16 | way[4] >> 16))
        while len(self._streams) > MOST_STREAMS:
            self._end(next(iter(self._streams)))

    def finish(self) -> None:
        """The capture ends: nothing more is waited for."""
        for way in list(self._streams):
            self._end(way)

    def _follow(self, way: Way, piece: Piece) -> None:
        stream = self._streams.get(way, _UNKNOWN)
        if stream == _FOUND:
            return
        if isinstance(stream, int):
            stream = self._streams[way] = Stream(self._needle, stream)
        before = stream.waiting_bytes
        match = stream.take(piece)
        self._waiting_bytes += stream.waiting_bytes - before
        if match is None and self._waiting_bytes > MOST_WAITING_BYTES:
            before = stream.waiting_bytes
            match = stream.give_up()
            self._waiting_bytes += stream.waiting_bytes - before
        if match is not None:
            self._waiting_bytes -= stream.waiting_bytes
            self._streams[way] = _FOUND
            self._note(way, match)

    def _end(self, way: Way) -> None:
        stream = self._streams.pop(way, _UNKNOWN)
        if isinstance(stream, int):
            return
        self._waiting_bytes -= stream.waiting_bytes
        if match := stream.give_up():
            self._note(way, match)

    def _note(self, way: Way, match: Match) -> None:
        if len(self.matches) < MOST_FOUND:
            self.matches.append((way, match))
        else:
            self.more += 1


def _named(tables: Tables, matches: Sequence[tuple[Way, Match]]) -> list[Found]:
    """The connections that matches lie in, each direction once."""
    if not matches:
        return []
    t = tables.flows
    keys = folded(t["client_lo"], t["server_lo"], t["client_port"].astype(np.int64), t["server_port"].astype(np.int64))
    wanted = {int(folded(way[1], way[3], way[4] >> 16, way[4] & 0xFFFF)) for way, _ in matches}
    candidates = np.flatnonzero(np.isin(keys, np.array(sorted(wanted), dtype=np.int64))).tolist()
    ends = ends_of(tables, candidates)
    found: dict[tuple[int, int], Found] = {}
    for way, match in sorted(matches, key=lambda item: item[1].frame):
        for flow, endpoint in ends.get(way, ()):
            if t["first_frame"][flow] <= match.frame <= t["last_frame"][flow]:
                place = (match.frame, match.last_frame, match.time_ns)
                found.setdefault((flow, endpoint), Found(flow, endpoint, *place, _line(match)))
    return list(found.values())


def _line(match: Match) -> str:
    """A text in its line; it is the line that is cut where both are long."""
    before, text, after = (
        printable(part.decode("utf-8", "backslashreplace")) for part in (match.before, match.text, match.after)
    )
    text = shortened(text, _MOST_OF_A_TEXT)
    return before.lstrip()[-_MOST_AROUND:] + text + after.rstrip()[:_MOST_AROUND]
