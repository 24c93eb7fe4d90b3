"""What every file format shares: a buffer over a source, the clock, and how a file can end early."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64, mypyc_attr

from pcapflow.reader.decode.decoder import Decoder
from pcapflow.reader.decode.link import LINK_TYPES
from pcapflow.reader.segment_batch import SegmentBatch
from pcapflow.reader.source import Source

MAX_RECORD_BYTES: Final = 16 << 20
"""The longest frame believed. Wireshark's limit for ordinary link types is 256 KiB; beyond this a file is damaged."""

CLOCK_STEP_NS: Final = 10_000_000
"""Frames from several queues or interfaces may be written out of order by milliseconds; more is a clock set back."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Records:
    """A capture file being read: subclasses know its format and hand each frame to the decoder.

    Attributes:
        decoder: takes the frames; it may have seen other files before this one.
        format: name of the format.
        link_types: names of the link types declared, in order.
        unknown_link_type: number of the first declared link type that nothing here decodes, -1 if all are known.
        snaplen: the smallest snap length declared, 0 unlimited or unknown.
        cut_frames: frames captured shorter than on the wire.
        dropped: packets the capturing program says it lost, -1 where it does not say.
        truncated: how the file ends early, "" when it does not.
        first_ns, last_ns: the earliest and latest time stamp, -1 without frames.
        clock_steps: how often the time went back; ``first_clock_step_frame`` is where it first did.
        frames_before: frames of the files that came before this one.
    """

    def __init__(self, source: Source, decoder: Decoder, format_name: str) -> None:
        self.decoder = decoder
        self.frames_before: i64 = decoder.frames
        self.format = format_name
        self.link_types: list[str] = []
        self.unknown_link_type = -1
        self.snaplen = 0
        self.cut_frames: i64 = 0
        self.dropped = -1
        self.truncated = ""
        self.first_ns: i64 = -1
        self.last_ns: i64 = -1
        self.clock_steps: i64 = 0
        self.first_clock_step_frame: i64 = 0
        self._source = source
        self._data = b""
        self._at: i64 = 0
        self._consumed: i64 = 0
        self._clock_ns: i64 = -1
        self._done = False

    def fill(self, batch: SegmentBatch) -> bool:
        """Decodes frames until the batch is full or the file ends.

        Returns:
            Whether there may be more; False once the file has ended.
        """
        raise NotImplementedError

    @property
    def position(self) -> int:
        """Bytes of the file read so far, as they lie on disk."""
        return self._source.position

    @property
    def offset(self) -> int:
        """Where in the file, decompressed, the next record begins."""
        return int(self._consumed + self._at)

    @property
    def section(self) -> object:
        """What :meth:`jump` must know of the file at this place, besides where it is."""
        return None

    def jump(self, offset: int, section: object, frames: int) -> bool:  # noqa: ARG002 -- some formats need it
        """Goes on at a record that another reading of the same file has met.

        Args:
            offset, section: what :attr:`offset` and :attr:`section` were there.
            frames: frames that lie before it.

        Returns:
            False where this source cannot be read from any byte: nothing has changed then.
        """
        if not self._source.jump(offset):
            return False
        self._data = b""
        self._at = 0
        self._consumed = offset
        self._done = False
        self.decoder.frames = frames
        return True

    def close(self) -> None:
        """Ends the reading early and releases what it holds; the source is whoever opened it to close."""
        self._done = True

    def more(self, at: i64, need: i64) -> bool:
        """Makes ``need`` bytes from offset ``at`` available, at offset 0 of the buffer.

        Returns:
            False where the file ends before; ``truncated`` then says so, unless it ends just at ``at``.
        """
        data = self._data[at:]
        self._consumed += at
        if self._source.step_back(len(data)):
            # A plain file gives these bytes again, with those after them: to join the two would copy both.
            data = self._source.read()
        pieces = [data]
        have: i64 = len(data)
        while have < need:
            chunk = self._source.read()
            if not chunk:
                break
            pieces.append(chunk)
            have += len(chunk)
        self._data = b"".join(pieces) if len(pieces) > 1 else data
        self._at = 0
        if have >= need:
            return True
        if self._source.failure:
            self.truncated = f"{self._source.failure} after {self._last_frame()}"
        elif have and not self._source.was_ended:
            self.truncated = (
                f"the file ends inside the record after {self._last_frame()}, {have} bytes after byte {self._consumed}"
            )
        return False

    def skip_bytes(self, at: i64, count: i64) -> bool:
        """Moves on by ``count`` bytes from ``at`` without keeping them; False where the file ends before."""
        available: i64 = len(self._data) - at
        while count > available:
            self._consumed += len(self._data)
            count -= available
            at = 0
            self._data = self._source.read()
            available = len(self._data)
            if not available:
                self._at = 0
                if not self._source.was_ended:
                    self.truncated = f"the file ends inside a block after {self._last_frame()}"
                return False
        self._at = at + count
        return True

    def damage(self, at: i64, what: str) -> None:
        """Ends the reading at a record that cannot be right; everything before it stands."""
        self.truncated = (
            f"the record after {self._last_frame()}, at byte {self._consumed + at}, {what}: the file is damaged there"
        )
        self._done = True

    def _last_frame(self) -> str:
        """The newest frame: its number in this file and, where others came before, in the whole capture."""
        frames: i64 = self.decoder.frames
        if self.frames_before == 0:
            return f"frame {frames}"
        return f"its frame {frames - self.frames_before} (frame {frames} of all)"

    def note_timestamp(self, time_ns: i64) -> None:
        """Notes the time stamp of a frame that is out of line: the first, or one before its predecessor."""
        if self.first_ns < 0 or time_ns < self.first_ns:
            self.first_ns = time_ns
        if self._clock_ns - time_ns > CLOCK_STEP_NS:
            self.clock_steps += 1
            if not self.first_clock_step_frame:
                self.first_clock_step_frame = self.decoder.frames + 1

    def declare_link_type(self, link_type: int) -> None:
        """Notes a link type that the file declares."""
        name = LINK_TYPES.get(link_type)
        if name is None:
            name = f"link type {link_type}"
            if self.unknown_link_type < 0:
                self.unknown_link_type = link_type
        if name not in self.link_types and len(self.link_types) < 64:
            self.link_types.append(name)

    def declare_snaplen(self, snaplen: int) -> None:
        """Notes a snap length that the file declares."""
        if snaplen and (not self.snaplen or snaplen < self.snaplen):
            self.snaplen = snaplen
