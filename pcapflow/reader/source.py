"""Where bytes come from: a path, standard input or a binary file, compressed or not."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final, Protocol, final

from pcapflow.errors import CaptureError
from pcapflow.reader.stream import StandardInput

CHUNK_BYTES: Final = 128 * 1024
"""What a read asks for. It stays in the second-level cache; megabytes were slower, by page faults."""

_MAGIC_BYTES: Final = 6


class Readable(Protocol):
    """Anything with a binary ``read``."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most ``size``; empty at the end."""
        ...


@final
class _Rewound(io.RawIOBase):
    """A stream whose first bytes were already looked at; counts what is read, and decompressors can read from it."""

    def __init__(self, head: bytes, stream: Readable) -> None:
        self._head = head
        self._stream = stream
        self.position = 0

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
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
        else:
            data = self._stream.read(size)
        self.position += len(data)
        return data


@final
class Source:
    """A stream of capture bytes.

    Attributes:
        name: the input as the user named it.
        size: bytes of the file, compressed as it is; -1 unknown.
        failure: how decompression or reading failed, "" when it did not; what came before stands.
    """

    def __init__(self, name: str, stream: Readable, size: int = -1, close: Callable[[], None] = lambda: None) -> None:
        """Looks at the first bytes and sets up decompression; ``close`` is called by :meth:`close`.

        Raises:
            CaptureError: the stream is empty.
        """
        self.name = name
        self.size = size
        self.failure = ""
        self.head = b""
        self._close = close
        head = _at_least(stream, _MAGIC_BYTES)
        if not head:
            raise CaptureError(name, "the file is empty")
        self._raw = _Rewound(head, stream)
        self._decompressed = _decompressed(head, self._raw)
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
            return self._raw.chunk(CHUNK_BYTES)
        except (EOFError, zlib.error, lzma.LZMAError, OSError, MemoryError) as error:
            if not self.was_ended:
                self.failure = f"the file cannot be read on ({_reason(error)})"
            return b""

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


def open_source(path: str | os.PathLike[str] | IO[bytes]) -> Source:
    """Opens a path, ``-`` for standard input, or a binary file that the caller keeps.

    Raises:
        CaptureError: it does not exist, is a directory, may not be read, or is empty.
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
        raise CaptureError(name, _reason(error)) from error
    try:
        return Source(name, stream, os.fstat(stream.fileno()).st_size, stream.close)
    except OSError as error:
        stream.close()
        raise CaptureError(name, _reason(error)) from error
    except CaptureError:
        stream.close()
        raise


def _stream_source(name: str, stream: Readable) -> Source:
    """A source over a stream that somebody else opened and will close."""
    try:
        return Source(name, stream)
    except (OSError, ValueError) as error:
        raise CaptureError(name, _reason(error)) from error


def _decompressed(head: bytes, raw: _Rewound) -> gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile | None:
    """A decompressor over the stream where its magic asks for one."""
    if head[:2] == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=io.BufferedReader(raw, CHUNK_BYTES))
    if head[:3] == b"BZh":
        return bz2.BZ2File(io.BufferedReader(raw, CHUNK_BYTES))
    if head[:6] == b"\xfd7zXZ\x00":
        return lzma.LZMAFile(io.BufferedReader(raw, CHUNK_BYTES))
    return None


def _at_least(stream: Readable, count: int) -> bytes:
    """Reads ``count`` bytes or up to the end: a pipe may give them one by one."""
    data = stream.read(CHUNK_BYTES)
    while data and len(data) < count:
        piece = stream.read(CHUNK_BYTES)
        if not piece:
            break
        data += piece
    return data or b""


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, PermissionError):
        return "permission denied"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text[:1].lower() + text[1:].rstrip(".") if text else type(error).__name__
