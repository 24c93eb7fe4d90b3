"""IP fragments of TCP segments: which datagrams are whole, and the first bytes of each.

Only the head of a datagram is kept, enough for every TCP header; of the rest it is only known which bytes came. A
second pass that looks at payload has all of it kept. Both the datagrams under way and the pieces of one are bounded, so
that hostile input cannot fill the memory.

Source: RFC 791, 3.2 (reassembly); RFC 8200, 4.5.
"""

from __future__ import annotations

from typing import Final, final

HEAD_BYTES: Final = 60
"""The longest TCP header."""
WHOLE_BYTES: Final = 65_535
"""The longest datagram."""
MAX_DATAGRAMS: Final = 1024
MAX_PIECES: Final = 256


@final
class _Datagram:
    """One datagram under way: the intervals received, merged and sorted, and its head."""

    def __init__(self, first_frame: int, head_bytes: int) -> None:
        self.first_frame = first_frame
        self._head_bytes = head_bytes
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.total = -1
        self._head = bytearray(head_bytes)
        # A bit for each byte of the head that was captured.
        self._captured = 0

    def add(self, start: int, end: int, captured: bytes) -> None:
        if start < self._head_bytes and captured:
            piece = captured[: self._head_bytes - start]
            self._head[start : start + len(piece)] = piece
            self._captured |= ((1 << len(piece)) - 1) << start
        at = 0
        while at < len(self.starts) and self.ends[at] < start:
            at += 1
        last = at
        while last < len(self.starts) and self.starts[last] <= end:
            start = min(start, self.starts[last])
            end = max(end, self.ends[last])
            last += 1
        self.starts[at:last] = [start]
        self.ends[at:last] = [end]

    def copy(self) -> _Datagram:
        other = _Datagram(self.first_frame, self._head_bytes)
        other.starts = self.starts.copy()
        other.ends = self.ends.copy()
        other.total = self.total
        other._head = self._head.copy()
        other._captured = self._captured
        return other

    def head(self) -> bytes:
        """The first bytes, up to the first one that a snap length left out."""
        first_hole = ~self._captured & (self._captured + 1)
        return bytes(self._head[: first_hole.bit_length() - 1])

    def is_whole(self) -> bool:
        return self.total >= 0 and self.starts == [0] and self.ends[0] >= self.total


@final
class Fragments:
    """The datagrams under way of one capture.

    Attributes:
        length: payload bytes of the datagram that :meth:`add` last completed.
        head_bytes: bytes kept of each datagram, :data:`HEAD_BYTES` or :data:`WHOLE_BYTES`.
    """

    def __init__(self) -> None:
        self.length = 0
        self.head_bytes = HEAD_BYTES
        self._open: dict[bytes, _Datagram] = {}
        self._given_up: list[int] = []

    def add(self, key: bytes, frame: int, offset: int, length: int, more: bool, captured: bytes) -> bytes | None:
        """Adds a fragment.

        Args:
            key: what identifies the datagram: addresses and identification.
            frame: number of the frame it came in.
            offset: of its first byte in the datagram's payload.
            length: its bytes on the wire.
            more: whether others follow it.
            captured: those of its bytes that were captured.

        Returns:
            The head of the datagram when this fragment made it whole, else None.
        """
        datagram = self._open.get(key)
        if datagram is None:
            if len(self._open) >= MAX_DATAGRAMS:
                oldest = next(iter(self._open))
                self._give_up(self._open.pop(oldest))
            datagram = self._open[key] = _Datagram(frame, self.head_bytes)
        if length > 0:
            datagram.add(offset, offset + length, captured)
        if not more:
            datagram.total = offset + max(length, 0)
        if datagram.is_whole():
            del self._open[key]
            self.length = datagram.total
            return datagram.head()
        if len(datagram.starts) > MAX_PIECES:
            self._give_up(self._open.pop(key))
        return None

    def copy(self) -> Fragments:
        """The same datagrams, to go on with apart from these."""
        other = Fragments()
        other.length = self.length
        other._open = {key: datagram.copy() for key, datagram in self._open.items()}
        other._given_up = self._given_up.copy()
        return other

    def unfinished(self) -> list[int]:
        """The first frames of all datagrams that never became whole; the list is bounded, the newest are kept."""
        return self._given_up + [datagram.first_frame for datagram in self._open.values()]

    def _give_up(self, datagram: _Datagram) -> None:
        if len(self._given_up) < MAX_DATAGRAMS:
            self._given_up.append(datagram.first_frame)
