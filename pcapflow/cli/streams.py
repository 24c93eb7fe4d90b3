"""Ctrl-C while a stream is read: the first one ends the reading and not the work, the second one ends the work.

A capture that is still being taken (``tcpdump -U -w - | pcapflow analyze -``) has no other end.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import IO, TYPE_CHECKING, Any, Self, cast

from pcapflow.batch.stop import SIGNAL_STATUS, Terminated

if TYPE_CHECKING:
    from pcapflow.reader.open import Input
    from pcapflow.reader.stream import EndableStream


class Streams:
    """The streams among a command's inputs. As a context it gives the signals back when the command ends.

    Signals are taken from the first stream on, and only in the main thread; what is ignored stays ignored.

    Attributes:
        status: the exit status for having been ended, 0 when no stream was.
    """

    def __init__(self) -> None:
        self.status = 0
        self._streams: list[EndableStream] = []
        self._before: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        for stream in self._streams:
            stream.close()

    def opened(self, captures: Sequence[str]) -> list[Input]:
        """The captures, with streams in place of the names of streams."""
        # The reader comes late: `pcapflow --help` has no need of it.
        from pcapflow.reader.stream import EndableStream, is_stream

        inputs: list[Input] = []
        for capture in captures:
            if not is_stream(capture):
                inputs.append(capture)
                continue
            stream = EndableStream(capture)
            self._streams.append(stream)
            inputs.append(cast("IO[bytes]", stream))
        if self._streams and not self._before:
            self._take_signals()
        return inputs

    def was_ended(self, inputs: Sequence[Input]) -> bool:
        """Whether the reading of one of these was ended."""
        return any(getattr(item, "is_ended", False) for item in inputs)

    def _take_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.getsignal(number)
            if before is signal.SIG_IGN:
                continue
            # Outside the main thread signals are somebody else's.
            with contextlib.suppress(ValueError):
                signal.signal(number, self._signalled)
                self._before[number] = before

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        del frame
        stream = next((stream for stream in self._streams if stream.is_being_read), None)
        if stream is not None and not self.status:
            self.status = SIGNAL_STATUS + number
            stream.end()
        else:
            raise Terminated if number == signal.SIGTERM else KeyboardInterrupt
