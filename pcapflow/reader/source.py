"""Where bytes come from: a path, standard input or a binary file, compressed or not."""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final, Protocol, final

from pcapflow.errors import CaptureError, EmptyCapture, reason_of
from pcapflow.reader.compression import decompressed
from pcapflow.reader.stream import StandardInput

CHUNK_BYTES: Final = 128 * 1024
"""What a read asks for. It stays in the second-level cache; megabytes were slower, by page faults."""

_MAGIC_BYTES: Final = 6

UNLIMITED: Final = -1


class Readable(Protocol):
    """Anything with a binary ``read``."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most ``size``; empty at the end."""
        ...


@final
class _Rewound(io.RawIOBase):
    """A stream whose first bytes were already looked at; counts what is read, and decompressors can read from it.

    Attributes:
        position: bytes read so far.
        is_short: the stream ended before its limit.
    """

    def __init__(self, head: bytes, stream: Readable, limit: int) -> None:
        """``limit`` is where the stream ends, or :data:`UNLIMITED`: bytes beyond it are not read."""
        self._head = head
        self._stream = stream
        self._limit = limit
        self.position = 0
        self.is_short = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self.chunk(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    @property
    def was_ended(self) -> bool:
        """Whether the stream can be ended from outside, and was."""
        return bool(getattr(self._stream, "is_ended", False))

    def jump(self, offset: int) -> None:
        """Goes to a byte of the stream, which must be able to."""
        self._stream.seek(offset)  # type: ignore[attr-defined]
        self._head = b""
        self.position = offset

    def chunk(self, size: int) -> bytes:
        """The next bytes, at most ``size``; empty at the end."""
        if self._limit >= 0:
            size = min(size, self._limit - self.position)
            if size <= 0:
                return b""
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
        else:
            data = self._stream.read(size)
            self.is_short = not data and self._limit >= 0
        self.position += len(data)
        return data


@final
class Source:
    """A stream of capture bytes.

    Attributes:
        name: the input as the user named it.
        size: bytes of the file that are read, compressed as it is; -1 unknown. What is appended to a file while it is
            read lies beyond.
        failure: how decompression or reading failed, "" when it did not; what came before stands.
    """

    def __init__(self, name: str, stream: Readable, size: int = -1, close: Callable[[], None] = lambda: None) -> None:
        """Looks at the first bytes and sets up decompression; ``close`` is called by :meth:`close`.

        Raises:
            EmptyCapture: the stream is empty.
            CaptureError: it is compressed in a way that cannot be decompressed here.
        """
        self.name = name
        self.size = size
        self.failure = ""
        self.head = b""
        self._close = close
        head = _at_least(stream, _MAGIC_BYTES)
        if not head:
            raise EmptyCapture(name, "the file is empty")
        self._raw = _Rewound(head, stream, size if size > 0 else UNLIMITED)
        self._decompressed = decompressed(name, head, self._raw)
        self.head = self.read()

    @property
    def position(self) -> int:
        """Bytes of the file read so far, before decompression."""
        return self._raw.position

    @property
    def is_compressed(self) -> bool:
        """Whether what is read is decompressed."""
        return self._decompressed is not None

    @property
    def was_ended(self) -> bool:
        """Whether the user ended the reading: what is cut off then is no fault of the capture's."""
        return self._raw.was_ended

    def read(self) -> bytes:
        """The next bytes, about :data:`CHUNK_BYTES`; empty at the end, or where ``failure`` says why."""
        if self.head:
            data, self.head = self.head, b""
            return data
        try:
            if self._decompressed is not None:
                # One read of the compressed file at a time: a longer one that fails would take with it what it had.
                return self._decompressed.read1(CHUNK_BYTES)
            data = self._raw.chunk(CHUNK_BYTES)
            if data or not self._raw.is_short:
                return data
            self.failure = self._cut_short()
        # Each decompressor has errors of its own, not all of them documented.
        except Exception as error:  # noqa: BLE001
            if self._raw.is_short:
                self.failure = self._cut_short()
            elif not self.was_ended:
                self.failure = f"the file cannot be read further ({reason_of(error)})"
        return b""

    def _cut_short(self) -> str:
        return f"the file was cut short while it was read: {self._raw.position:,} of {self.size:,} bytes were there"

    def step_back(self, count: int) -> bool:
        """Makes the last ``count`` bytes read the next to be read; False where that cannot be, as for :meth:`jump`."""
        return count > 0 and not self.head and self.jump(self._raw.position - count)

    def jump(self, offset: int) -> bool:
        """Makes a byte of the file the next to be read; False where that cannot be: in a pipe, in a compressed file."""
        if self._decompressed is not None or self.size < 0:
            return False
        try:
            self._raw.jump(offset)
        except OSError:
            return False
        self.head = b""
        return True

    def close(self) -> None:
        """Closes what :func:`open_source` opened."""
        self._close()


def open_source(path: str | os.PathLike[str] | IO[bytes], size: int = -1) -> Source:
    """Opens a path, ``-`` for standard input, or a binary file that the caller keeps.

    Args:
        path: what to open.
        size: of a file, how many of its bytes to read; without it, as many as there are now.

    Raises:
        EmptyCapture: it is empty.
        CaptureError: it does not exist, is a directory, or may not be read.
    """
    if not isinstance(path, (str, os.PathLike)):
        return _stream_source(str(getattr(path, "name", "<file>")), path)
    name = os.fspath(path)
    if name == "-":
        if sys.stdin is None:
            raise CaptureError("-", "standard input is closed")
        return _stream_source("-", StandardInput())
    try:
        if Path(name).is_dir():
            raise CaptureError(name, "is a directory; name a capture in it, or use `pcapflow batch`")
        stream = Path(name).open("rb", buffering=0)  # noqa: SIM115 - closed by Source.close
    except (OSError, ValueError) as error:
        raise CaptureError.of(name, error) from error
    try:
        now = os.fstat(stream.fileno())
        if not stat.S_ISREG(now.st_mode):
            return Source(name, stream, -1, stream.close)
        return Source(name, stream, now.st_size if size < 0 else size, stream.close)
    except OSError as error:
        stream.close()
        raise CaptureError.of(name, error) from error
    except CaptureError:
        stream.close()
        raise


def _stream_source(name: str, stream: Readable) -> Source:
    """A source over a stream that somebody else opened and will close."""
    try:
        return Source(name, stream)
    except (OSError, ValueError) as error:
        raise CaptureError.of(name, error) from error


def _at_least(stream: Readable, count: int) -> bytes:
    """Reads ``count`` bytes or up to the end: a pipe may give them one by one."""
    data = stream.read(CHUNK_BYTES)
    while data and len(data) < count:
        piece = stream.read(CHUNK_BYTES)
        if not piece:
            break
        data += piece
    return data or b""
