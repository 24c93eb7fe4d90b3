"""A capture read through pyshark, as the batches that the native reader makes."""

from __future__ import annotations

import os
import struct
import tempfile
from pathlib import Path
from typing import IO, Final

from pcapflow.errors import CaptureError
from pcapflow.reader.decode.decoder import Decoder
from pcapflow.reader.pcap import is_pcap
from pcapflow.reader.pcapng import is_pcapng
from pcapflow.reader.records import Records
from pcapflow.reader.segment_batch import CAPACITY, SegmentBatch
from pcapflow.reader.source import Source, open_source
from pcapflow.reader.tshark.fields import Fields, number, quote_of_fields, segment_of_fields, time_ns_of
from pcapflow.reader.tshark.layout import layout_of
from pcapflow.reader.tshark.process import Tshark, exit_words, find_tshark

MAX_SPOOLED_BYTES: Final = 64 << 30
"""What is copied at most from an input that tshark cannot open itself; hostile compression has no end."""

_RECORD_BYTES: Final = 16
_FOREIGN: Final = "read by Wireshark"
"""What a capture's format is called that only Wireshark knows; it does not tell the name of it."""


class WiresharkRecords(Records):
    """Reads one capture through pyshark.

    A quoted segment's ``payload_len`` is 20 where Wireshark counts it in a stream and 8 elsewhere, since Wireshark does
    not say how many bytes an ICMP error quotes.
    """

    # Set on the class too: __del__ runs even where the constructor stopped early.
    _tshark: Tshark | None = None
    _spool: Path | None = None

    def __init__(self, item: str | os.PathLike[str] | IO[bytes], decoder: Decoder, size: int = -1) -> None:
        """Starts tshark and waits for its first frames; ``size`` is as for :func:`open_source`.

        Raises:
            CaptureError: tshark is not installed, the input cannot be read, or Wireshark does not know its format.
        """
        program = find_tshark()
        source = open_source(item, size)
        super().__init__(source, decoder, _format_of(source.head))
        self._size = source.size
        self._frame_bytes = 0
        self._name = source.name
        self._chunk: list[Fields] = []
        self._next = 0
        try:
            self._tshark = Tshark(program, self._file(item, source))
            self._more_frames()
        except BaseException:
            self.close()
            raise
        finally:
            source.close()

    @property
    def position(self) -> int:
        """Bytes of the file read so far: at the end its size, before that a guess from the lengths of the frames."""
        if self._size < 0:
            return self._frame_bytes
        return self._size if self._done else min(self._frame_bytes, self._size)

    def fill(self, batch: SegmentBatch) -> bool:
        """See :meth:`Records.fill`."""
        while batch.seen < CAPACITY:
            if self._next == len(self._chunk) and not self._more_frames():
                return False
            fields = self._chunk[self._next]
            self._next += 1
            self._frame(fields, batch)
        return True

    def jump(self, offset: int, section: object, frames: int) -> bool:  # noqa: ARG002 -- tshark reads from the start
        """See :meth:`Records.jump`: tshark reads every file from its start."""
        return False

    def close(self) -> None:
        """Ends tshark and removes the copy it read; may be called at any time."""
        self._done = True
        if self._tshark is not None:
            self._tshark.close()
        if self._spool is not None:
            self._spool.unlink(missing_ok=True)
            self._spool = None

    def __del__(self) -> None:
        self.close()

    def _file(self, item: str | os.PathLike[str] | IO[bytes], source: Source) -> Path:
        """A file that tshark can open and read backwards as well: the input itself, or a copy."""
        if isinstance(item, (str, os.PathLike)) and source.name != "-" and _is_plain_file(source.name):
            return Path(source.name)
        handle, name = tempfile.mkstemp(prefix="pcapflow-", suffix=".cap")
        self._spool = Path(name)
        left = MAX_SPOOLED_BYTES
        try:
            with os.fdopen(handle, "wb") as copy:
                while left > 0 and (piece := source.read()):
                    copy.write(piece)
                    left -= len(piece)
        except OSError as error:
            raise CaptureError(source.name, f"cannot be copied for tshark to {name} ({error.strerror})") from error
        if source.failure:
            self.truncated = source.failure
        elif left <= 0:
            self.truncated = f"only the first {MAX_SPOOLED_BYTES >> 30} GiB were read"
        return self._spool

    def _more_frames(self) -> bool:
        """Waits for the next frames; False at the end, which says whether the file ended early."""
        tshark = self._tshark
        if self._done or tshark is None:
            return False
        chunk = tshark.next_chunk()
        if chunk:
            self._chunk = chunk
            self._next = 0
            return True
        self._end(tshark)
        return False

    def _end(self, tshark: Tshark) -> None:
        self._chunk = []
        self._next = 0
        frames = int(self.decoder.frames - self.frames_before)
        self.close()
        if tshark.failure is not None:
            raise CaptureError(self._name, f"pyshark failed ({tshark.failure})") from tshark.failure
        words = tshark.complaint.replace(str(tshark.path), Path(self._name).name)
        is_damaged = "cut short" in words or "damaged or corrupt" in words
        if not frames and (self.format == _FOREIGN or (tshark.status and not is_damaged)):
            reason = words or (exit_words(tshark.status) if tshark.status else "it finds no frame in it")
            raise CaptureError(self._name, f"tshark cannot read it: {reason}")
        if tshark.status and not self.truncated:
            self.truncated = f"tshark read up to frame {frames}: {words or exit_words(tshark.status)}"

    def _frame(self, fields: Fields, batch: SegmentBatch) -> None:
        decoder = self.decoder
        frame = int(self.frames_before) + number(fields, "frame_number")
        while decoder.frames + 1 < frame:
            decoder.frames += 1
            decoder.skip("pyshark", "output that cannot be parsed")
        time_ns = time_ns_of(fields.get("frame_time_epoch", ["0"])[0])
        if time_ns < self._clock_ns or self._clock_ns < 0:
            self.note_timestamp(time_ns)
        self._clock_ns = time_ns
        self.last_ns = max(self.last_ns, time_ns)
        captured = number(fields, "frame_cap_len")
        self._frame_bytes += captured + _RECORD_BYTES
        if number(fields, "frame_len") > captured:
            self.cut_frames += 1
        decoder.frames = frame
        decoder.time_ns = time_ns
        layout = layout_of(fields.get("frame_protocols", [""])[0])
        if layout.link and layout.link not in self.link_types and len(self.link_types) < 64:
            self.link_types.append(layout.link)
        try:
            if layout.kind == "tcp":
                segment_of_fields(fields, layout, decoder, batch)
                return
            if layout.kind == "quote":
                quote_of_fields(fields, layout, decoder, batch)
        except (LookupError, ValueError, OSError, struct.error):
            decoder.skip(layout.kind, "truncated or malformed")
            return
        if "_ws_malformed" in fields:
            decoder.skip("wireshark", "malformed")
        else:
            decoder.other += 1


def _format_of(head: bytes) -> str:
    if is_pcap(head):
        return "pcap"
    return "pcapng" if is_pcapng(head) else _FOREIGN


def _is_plain_file(name: str) -> bool:
    """Whether tshark can open it: a pipe can only be read once, and tshark knows neither bzip2 nor xz."""
    path = Path(name)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(6)
    return not head.startswith((b"BZh", b"\xfd7zXZ\x00"))
