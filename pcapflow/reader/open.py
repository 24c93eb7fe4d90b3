"""Opens inputs as one capture: which engine and which file format reads each, and what is known at the end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Literal, TypeGuard, final

from pcapflow.errors import CaptureError, EmptyCapture, UnknownFormat
from pcapflow.reader import segment_batch as batch_module
from pcapflow.reader.capture import Capture, Undecoded
from pcapflow.reader.decode.decoder import Decoder
from pcapflow.reader.decode.fragments import WHOLE_BYTES
from pcapflow.reader.pcap import PcapRecords, is_pcap
from pcapflow.reader.pcapng import PcapngRecords, is_pcapng
from pcapflow.reader.records import CLOCK_STEP_NS
from pcapflow.reader.segment_batch import SegmentBatch
from pcapflow.reader.source import Source, open_source
from pcapflow.reader.waypoints import Waypoint, Waypoints
from pcapflow.text.escape import path_text
from pcapflow.text.times import rfc3339

if TYPE_CHECKING:
    from pcapflow.reader.records import Records

Input = str | os.PathLike[str] | IO[bytes]
Engine = Literal["auto", "native", "pyshark"]

MAX_FILES: Final = 100_000
ENDED_BY_USER: Final = "the reading was ended by the user; what came until then is all here"
SHORTEST: Final = 16
"""No format has a shorter header; Wireshark would take such a file for a frame of its own."""


@final
class OpenCapture:
    """One capture being read, from one or several files one after another.

    Attributes:
        engine: ``native``, ``pyshark``, or ``native and pyshark`` where members differ: what has read it so far.
        bytes_read: bytes of the inputs read so far, as they lie on disk.
        waypoints: where another reading can go on; the native engine notes one for each batch.
    """

    def __init__(self, inputs: Sequence[Input], engine: Engine, sizes: Sequence[int]) -> None:
        self.bytes_read = 0
        self.waypoints = Waypoints()
        self._asked = engine
        self._inputs = list(inputs)
        self._sizes = list(sizes)
        self._decoder = Decoder()
        self._done: list[Records] = []
        self._places: list[int] = []
        self._engines: set[str] = set()
        self._engine_now = ""
        self._notes: list[str] = []
        self._source: Source | None = None
        self._records: Records | None = None
        self._next = 0
        self._closed_bytes = 0
        # The decoder as it was before the member at hand, as long as that one may still be given to pyshark.
        self._decoder_before: Decoder | None = None
        self._open_next()

    def read(self, batch: SegmentBatch) -> bool:
        """Fills the batch anew.

        Returns:
            Whether there may be more.

        Raises:
            CaptureError: a later file of the list cannot be read, or begins before the one before it ended, or an
                interface has a link type that only Wireshark knows and Wireshark is not there.
        """
        batch.clear()
        records = self._records
        if records is None:
            return False
        begins = self._decoder.frames == records.frames_before
        here = Waypoint(int(self._decoder.frames), self._next - 1, records.offset, records.section)
        before_ns = batch.last_ns, batch.latest_ns
        more = records.fill(batch)
        decoder_before, self._decoder_before = self._decoder_before, None
        # pcapng declares its interfaces on the way: the first batch tells, before anything was handed on.
        if decoder_before is not None and records.unknown_link_type >= 0:
            batch.clear()
            batch.last_ns, batch.latest_ns = before_ns
            self._fall_back(records.unknown_link_type, decoder_before)
            return True
        self._engines.add(self._engine_now)
        if begins or self._engine_now == "native":
            self.waypoints.note(here)
        if begins:
            self._check_order(records)
        self.bytes_read = self._closed_bytes + records.position
        if more:
            return True
        self._finish_file()
        if self._next < len(self._inputs) and not self._was_ended:
            self._open_next()
        if self._records is not None:
            return True
        self._decoder.finish()
        return False

    @property
    def engine(self) -> str:
        """``native``, ``pyshark``, or ``native and pyshark``: what has read the members until now."""
        return " and ".join(sorted(self._engines))

    @property
    def frames(self) -> int:
        """Frames read or leapt over so far: the number of the newest."""
        return int(self._decoder.frames)

    @property
    def first_ns(self) -> int:
        """The earliest time stamp met so far, -1 without frames."""
        open_now = [] if self._records is None else [self._records]
        return min((int(r.first_ns) for r in (*self._done, *open_now) if r.first_ns >= 0), default=-1)

    @property
    def last_ns(self) -> int:
        """The latest time stamp of the files that are read to their end, -1 without frames."""
        return max((int(records.last_ns) for records in self._done), default=-1)

    @property
    def can_be_read_twice(self) -> bool:
        """Whether another process can open the inputs too, and read the first of them as quickly: it is plain."""
        is_plain = self._source is not None and not self._source.is_compressed
        return self._engines == {"native"} and is_plain and all(map(is_file, self._inputs))

    def keep_payload(self, batch: SegmentBatch) -> None:
        """Has the bytes kept that segments carry: in the batch, and of fragmented datagrams.

        Only the native engine has any to give. To be called before the first :meth:`read`.
        """
        batch.keeps_payload = True
        self._decoder.fragments.head_bytes = WHOLE_BYTES

    def skip_to(self, frame: int, waypoints: Waypoints) -> None:
        """Leaps towards a frame that lies ahead, as far as another reading's waypoints allow; may be called any time.

        The next batch begins at that frame or before it. What spans the gap, a fragmented datagram, is lost.

        Raises:
            CaptureError: a later file of the list cannot be read.
        """
        place = waypoints.before(frame)
        if place is None or place.frames <= self._decoder.frames or self._records is None:
            return
        while self._next <= place.file:
            self._finish_file()
            self._decoder.frames = waypoints.first_frames[self._next]
            self._open_next()
        if place.frames > self._decoder.frames:
            # Only what was read natively has a waypoint in its midst: there is nothing left to decide.
            self._decoder_before = None
            self._records.jump(place.offset, place.section, place.frames)

    def capture(self) -> Capture:
        """What is known of the capture; complete once :meth:`read` returned False."""
        done = self._done
        decoder = self._decoder
        names = tuple(_name(item) for item in self._inputs)
        firsts = [r.first_ns for r in done if r.first_ns >= 0]
        snaplens = [r.snaplen for r in done if r.snaplen]
        drops = [r.dropped for r in done if r.dropped >= 0]
        steps = [r for r in done if r.clock_steps]
        return Capture(
            paths=names,
            name=Path(names[0]).name if len(names) == 1 else f"{Path(names[0]).name} and {len(names) - 1} more",
            size_bytes=self.bytes_read,
            format=", ".join(dict.fromkeys(r.format for r in done)),
            reader=self.engine,
            compiled=is_compiled(),
            link_types=tuple(dict.fromkeys(name for r in done for name in r.link_types)),
            frames=int(decoder.frames),
            segments=int(decoder.segments),
            other=int(decoder.other),
            first_ns=int(min(firsts, default=-1)),
            last_ns=self.last_ns,
            snaplen=min(snaplens, default=0),
            cut_frames=int(sum(r.cut_frames for r in done)),
            truncated="; ".join(self._named(i, r.truncated) for i, r in enumerate(done) if r.truncated),
            undecoded=tuple(
                Undecoded(layer, reason, count, first) for (layer, reason), (count, first) in decoder.skips.items()
            ),
            dropped=sum(drops) if drops else -1,
            clock_steps=int(sum(r.clock_steps for r in done)),
            first_clock_step_frame=int(steps[0].first_clock_step_frame) if steps else 0,
            tunnels=tuple(decoder.tunnels),
            notes=(*self._notes, *((ENDED_BY_USER,) if self._was_ended else ())),
        )

    @property
    def _was_ended(self) -> bool:
        """Whether the user ended the reading of a stream."""
        return any(getattr(item, "is_ended", False) for item in self._inputs)

    def close(self) -> None:
        """Closes what is still open; reading may end early."""
        if self._source is not None:
            self._source.close()
            self._source = None
        if self._records is not None:
            self._records.close()
            self._records = None

    def _open_next(self) -> None:
        """Opens the next member; one without a byte is noted and passed over, unless it is the last hope."""
        while True:
            item, size = self._inputs[self._next], self._sizes[self._next]
            self._next += 1
            try:
                self._open(item, size)
            except EmptyCapture as empty:
                is_last = self._next == len(self._inputs)
                if is_last and not self._done:
                    raise
                self._notes.append(f"{empty.path}: {empty.reason}")
                if is_last:
                    return
            else:
                return

    def _open(self, item: Input, size: int) -> None:
        """Opens a member with the engine asked for; with "auto" the native one, or pyshark where that knows no way."""
        if self._asked == "pyshark":
            self._open_with_tshark(item, size)
            return
        try:
            self._open_natively(item, size)
        except UnknownFormat as unknown:
            if self._asked == "native" or not is_file(item):
                raise
            try:
                self._open_with_tshark(item, size)
            except CaptureError as error:
                raise CaptureError(unknown.path, f"{unknown.reason}; {error.reason}") from error

    def _open_natively(self, item: Input, size: int) -> None:
        source = open_source(item, size)
        self._source = source
        try:
            if is_pcap(source.head):
                self._records = PcapRecords(source, self._decoder)
            elif is_pcapng(source.head):
                self._records = PcapngRecords(source, self._decoder)
            else:
                raise _unknown(source)
            unknown = self._records.unknown_link_type
            if unknown >= 0 and self._asked == "auto":
                raise UnknownFormat(source.name, _unknown_link(unknown))
        except CaptureError:
            self.close()
            raise
        self._engine_now = "native"
        self._decoder_before = self._decoder.copy() if self._asked == "auto" and is_file(item) else None

    def _open_with_tshark(self, item: Input, size: int) -> None:
        from pcapflow.reader.tshark.records import WiresharkRecords

        self._records = WiresharkRecords(item, self._decoder, size)
        self._engine_now = "pyshark"

    def _fall_back(self, link_type: int, decoder_before: Decoder) -> None:
        """Starts the member anew with pyshark: an interface has a link type that the native reader does not know."""
        self.close()
        self._decoder = decoder_before
        try:
            self._open_with_tshark(self._inputs[self._next - 1], self._sizes[self._next - 1])
        except CaptureError as error:
            raise CaptureError(error.path, f"{_unknown_link(link_type)}; {error.reason}") from error

    def _check_order(self, records: Records) -> None:
        """Sees to it that a member begins when those before it have ended.

        Raises:
            CaptureError: it does not: they are no ring of files, and numbers and verdicts would be wrong.
        """
        before_ns = self.last_ns
        if records.first_ns < 0 or before_ns - records.first_ns <= CLOCK_STEP_NS:
            return
        earlier, this = _name(self._inputs[self._next - 2]), _name(self._inputs[self._next - 1])
        raise CaptureError(
            this,
            f"begins at {rfc3339(int(records.first_ns))}, before what comes ahead of it ends ({earlier}, "
            f"{rfc3339(before_ns)}): they overlap, or the clock was set back. Merge them by time first (mergecap -w "
            "all.pcapng FILE...), or analyse them one by one",
        )

    def _named(self, done: int, text: str) -> str:
        """What is said of a member, with its name where there are several."""
        return text if len(self._inputs) == 1 else f"{_name(self._inputs[self._places[done]])}: {text}"

    def _finish_file(self) -> None:
        records = self._records
        if records is not None:
            self._done.append(records)
            self._places.append(self._next - 1)
            self._closed_bytes += records.position
            self.bytes_read = self._closed_bytes
            if records.first_ns < 0 and len(self._inputs) > 1:
                self._notes.append(f"{_name(self._inputs[self._next - 1])}: holds no frame")
        self.close()


def open_capture(inputs: Sequence[Input], engine: Engine = "auto", sizes: Sequence[int] = ()) -> OpenCapture:
    """Opens one or more inputs as one capture.

    Args:
        inputs: paths, ``-`` for standard input, or binary files, in order (:mod:`pcapflow.reader.members`).
        engine: ``native``, ``pyshark``, or ``auto``: native, and pyshark where the format or link type is unknown.
        sizes: for each input how many of its bytes to read, -1 for all; without them, all that are there when it is
            opened.

    Raises:
        CaptureError: an input does not exist, cannot be read, is empty, or is no capture.
    """
    if not inputs:
        raise CaptureError("-", "no capture was named")
    if len(inputs) > MAX_FILES:
        raise CaptureError(_name(inputs[0]), f"more than {MAX_FILES} files cannot be one capture")
    return OpenCapture(inputs, engine, sizes or [-1] * len(inputs))


def is_file(item: Input) -> TypeGuard[str | os.PathLike[str]]:
    """Whether an input can be read a second time: a pipe cannot, though it may have a path."""
    return isinstance(item, (str, os.PathLike)) and item != "-" and Path(item).is_file()


def is_compiled() -> bool:
    """Whether reader and tracker run as compiled modules."""
    return not str(batch_module.__file__).endswith(".py")


def _unknown_link(link_type: int) -> str:
    return f"link type {link_type} is not known to the native reader"


def _unknown(source: Source) -> CaptureError:
    """The error for a file that begins like no capture; one that no program could know is not worth a second try."""
    if not source.head:
        return UnknownFormat(source.name, source.failure or "the file is empty inside its compression")
    reason = f"not a capture that is known here (it begins with {source.head[:4].hex(' ')})"
    if len(source.head) < SHORTEST:
        return CaptureError(source.name, reason)
    return UnknownFormat(source.name, reason)


def _name(item: Input) -> str:
    if isinstance(item, (str, os.PathLike)):
        return path_text(item)
    return str(getattr(item, "name", "<file>"))
