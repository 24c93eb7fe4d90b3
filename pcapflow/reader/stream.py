"""Streams as sources of bytes: standard input and named pipes, and how their reading can be ended from outside.

Not compiled: the interpreter looks for Ctrl-C between its steps, compiled code does not.
"""

from __future__ import annotations

import io
import os
import stat
import sys
import time
from pathlib import Path
from typing import Final, cast, final

LAST_READS_S: Final = 2.0
"""How long a stream that was ended is still read: a program that the same Ctrl-C ends writes what it holds first."""


@final
class StandardInput:
    """Gives what the pipe holds. A read that goes on until it has all it asked for hears no Ctrl-C in between."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most ``size``; empty at the end."""
        return cast("io.BufferedReader", sys.stdin.buffer).read1(size)


@final
class EndableStream(io.RawIOBase):
    """Standard input or a named pipe whose reading somebody may end, a signal handler for example.

    Nothing is opened before the first read, so that one pipe after another can be waited for.

    Attributes:
        name: ``-`` or the path, as the user named it.
        is_ended: whether :meth:`end` was called before the stream came to its end.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.is_ended = False
        self._descriptor = -1
        self._until = 0.0
        self._is_over = False
        self._can_wait = True
        self._is_blocked = False
        # A byte in this pipe ends the waiting: a signal that comes just before it begins is not missed.
        self._wakes, self._wake = os.pipe()

    @property
    def is_being_read(self) -> bool:
        """Whether its reading has begun and has not come to the end."""
        return self._descriptor >= 0 and not self._is_over

    def readable(self) -> bool:
        """Always."""
        return True

    def end(self) -> None:
        """Ends the reading: what comes until the end or within :data:`LAST_READS_S` is still given, then the end.

        May be called from a signal handler of this thread, at any time. Where the system can wait for sockets alone,
        it interrupts the read that waits, and what has not come by then is lost.

        Raises:
            KeyboardInterrupt: only there; :meth:`read` takes it.
        """
        self.is_ended = True
        self._until = time.monotonic() + LAST_READS_S
        os.write(self._wake, b"\0")
        if self._is_blocked:
            raise KeyboardInterrupt

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most ``size``; empty at the end.

        Raises:
            OSError: it cannot be opened or read.
        """
        if self._descriptor < 0:
            # Opening a pipe waits for whoever writes to it.
            self._descriptor = sys.stdin.fileno() if self.name == "-" else os.open(self.name, os.O_RDONLY)
        data = b"" if self._is_over or not self._wait() else self._take(size if size >= 0 else io.DEFAULT_BUFFER_SIZE)
        self._is_over = not data
        return data

    def close(self) -> None:
        """Closes what was opened here; standard input stays open."""
        if not self.closed:
            os.close(self._wakes)
            os.close(self._wake)
            if self._descriptor >= 0 and self.name != "-":
                os.close(self._descriptor)
        super().close()

    def _wait(self) -> bool:
        """Waits until there is something to read, or the end; False when it was ended and the time is up."""
        # It comes late: most captures are files.
        import select

        while self._can_wait:
            left = self._until - time.monotonic()
            if self.is_ended and left <= 0:
                return False
            try:
                if self.is_ended:
                    return bool(select.select([self._descriptor], [], [], left)[0])
                if self._descriptor in select.select([self._descriptor, self._wakes], [], [])[0]:
                    return True
            except (OSError, ValueError):
                # Windows waits for sockets alone, and select for low descriptors alone.
                self._can_wait = False
        return not self.is_ended

    def _take(self, size: int) -> bytes:
        try:
            self._is_blocked = not self._can_wait
            return os.read(self._descriptor, size)
        except KeyboardInterrupt:
            if not self.is_ended:
                raise
            return b""
        finally:
            self._is_blocked = False


def is_stream(path: str) -> bool:
    """Whether a path is standard input or a named pipe, and can be read by its descriptor."""
    if path == "-":
        try:
            return sys.stdin is not None and sys.stdin.fileno() >= 0
        except (AttributeError, OSError, ValueError):
            # A program may have put anything in its place.
            return False
    try:
        return stat.S_ISFIFO(Path(path).stat().st_mode)
    except (OSError, ValueError):
        return False
