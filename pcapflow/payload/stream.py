"""One direction of a connection as a stream of bytes in which a text is looked for, across segment borders.

Bytes count once and in the order of their sequence numbers (RFC 9293, 3.10.7.4): what is sent again is not doubled, and
what comes too early waits, within bounds, for what it follows. Where bytes are missing no text is put together over
the hole.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

MOST_WAITING: Final = 64
"""Segments of one direction that wait for what comes before them."""
MOST_WAITING_BYTES: Final = 256 << 10
"""Their bytes. The hole is given up beyond either."""
_M32: Final = 0xFFFF_FFFF
_HALF: Final = 1 << 31
_AROUND: Final = 60
"""Bytes on either side of a text that are kept with it."""
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")


class Piece(NamedTuple):
    """The payload of one segment.

    Attributes:
        seq: number of its first byte.
        length: bytes on the wire.
        data: those of them that were captured, from the first on.
        frame: the frame it came in.
        time_ns: when.
    """

    seq: int
    length: int
    data: bytes
    frame: int
    time_ns: int


class Match(NamedTuple):
    """A text that was found.

    Attributes:
        frame: where its first byte passed.
        last_frame: where its last byte passed.
        time_ns: when its first byte passed.
        before, text, after: the text in its line, as bytes of the capture; a line ends at any control character.
    """

    frame: int
    last_frame: int
    time_ns: int
    before: bytes
    text: bytes
    after: bytes


class Stream:
    """What one endpoint sends, searched for one text; of what has passed only the end is kept.

    Attributes:
        waiting_bytes: bytes that wait for what comes before them.
    """

    __slots__ = ("_needle", "_next", "_tail", "_tail_of", "_waiting", "waiting_bytes")

    def __init__(self, needle: bytes, first_seq: int = -1) -> None:
        """``needle`` is in lower case; ``first_seq`` is the number of the first byte, -1 where that is not known."""
        self._needle = needle
        self._next = first_seq
        self._tail = b""
        # Where the bytes of the tail came from: frame, time, how many.
        self._tail_of: list[tuple[int, int, int]] = []
        self._waiting: dict[int, Piece] = {}
        self.waiting_bytes = 0

    def take(self, piece: Piece) -> Match | None:
        """The next segment as it passed the tap; gives the text where it is found with it."""
        if self._next < 0:
            self._next = piece.seq
        ahead = (piece.seq - self._next) & _M32
        if ahead == 0:
            match = self._follow(piece)
            return match or (self._release() if self._waiting else None)
        if ahead >= _HALF:
            return self._again(piece, _M32 + 1 - ahead)
        longer = self._waiting.get(piece.seq)
        if longer is None or longer.length < piece.length:
            self.waiting_bytes += len(piece.data) - (len(longer.data) if longer else 0)
            self._waiting[piece.seq] = piece
        if len(self._waiting) > MOST_WAITING or self.waiting_bytes > MOST_WAITING_BYTES:
            return self.give_up()
        return None

    def give_up(self) -> Match | None:
        """Waits no longer for what is missing: gives the text where what has waited holds it."""
        while self._waiting:
            nearest = min(self._waiting, key=lambda seq: (seq - self._next) & _M32)
            self._leap(nearest)
            if match := self._release():
                return match
        return None

    def _again(self, piece: Piece, behind: int) -> Match | None:
        """A segment that begins before what was seen last: sent again, all or a part of it, or late."""
        if match := self._search(b"", piece):
            # Its bytes may have been missing where a hole was given up.
            return match
        if behind >= piece.length:
            return None
        rest = piece._replace(seq=self._next, length=piece.length - behind, data=piece.data[behind:])
        match = self._follow(rest)
        return match or (self._release() if self._waiting else None)

    def _release(self) -> Match | None:
        """Takes what has waited and now follows."""
        while self._waiting:
            ready = next((seq for seq in self._waiting if (seq - self._next) & _M32 == 0), -1)
            if ready < 0:
                behind = [seq for seq in self._waiting if (seq - self._next) & _M32 >= _HALF]
                if not behind:
                    return None
                ready = behind[0]
            piece = self._waiting.pop(ready)
            self.waiting_bytes -= len(piece.data)
            overlap = (self._next - piece.seq) & _M32
            if overlap >= piece.length:
                continue
            rest = piece._replace(seq=self._next, length=piece.length - overlap, data=piece.data[overlap:])
            if match := self._follow(rest):
                return match
        return None

    def _leap(self, seq: int) -> None:
        self._next = seq
        self._tail = b""
        self._tail_of = []

    def _follow(self, piece: Piece) -> Match | None:
        """Takes the very next bytes."""
        match = self._search(self._tail, piece)
        if len(piece.data) < piece.length:
            # A snap length left bytes out.
            self._leap((piece.seq + piece.length) & _M32)
            return match
        self._next = (piece.seq + piece.length) & _M32
        keep = len(self._needle) - 1
        self._tail = (self._tail + piece.data)[-keep:] if keep else b""
        self._tail_of.append((piece.frame, piece.time_ns, len(piece.data)))
        surplus = sum(count for _, _, count in self._tail_of) - len(self._tail)
        while self._tail_of and surplus >= self._tail_of[0][2]:
            surplus -= self._tail_of.pop(0)[2]
        if surplus > 0:
            frame, time_ns, count = self._tail_of[0]
            self._tail_of[0] = (frame, time_ns, count - surplus)
        return match

    def _search(self, tail: bytes, piece: Piece) -> Match | None:
        window = tail + piece.data
        at = window.lower().find(self._needle)
        if at < 0:
            return None
        frame, time_ns = piece.frame, piece.time_ns
        if at < len(tail):
            place = 0
            for earlier, when, count in self._tail_of:
                place += count
                if at < place:
                    frame, time_ns = earlier, when
                    break
        end = at + len(self._needle)
        before = _CONTROL.split(window[max(at - _AROUND, 0) : at])[-1]
        after = _CONTROL.split(window[end : end + _AROUND], maxsplit=1)[0]
        return Match(frame, piece.frame, time_ns, before, window[at:end], after)
