"""Compressed captures: told by their first bytes, decompressed as streams."""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Callable
from typing import Final, Protocol

from pcapflow.errors import CaptureError

BUFFER_BYTES: Final = 128 * 1024
"""Compressed bytes that are read at once."""

SKIPPABLE: Final = b"\x2a\x4d\x18"
"""How a frame that holds no data goes on, after a first byte of 0x50 to 0x5f (RFC 8878, 3.1.2). LZ4 has the same; pzstd
begins its files with one."""


class Decompressor(Protocol):
    """What all decompressing files have in common."""

    def read1(self, size: int = -1, /) -> bytes:
        """The next bytes, at most ``size``, by one read of the compressed file at most; empty at the end."""
        ...


def decompressed(name: str, head: bytes, raw: io.RawIOBase) -> Decompressor | None:
    """A decompressor over a stream where its first bytes ask for one.

    Args:
        name: of the input, for an error.
        head: its first bytes.
        raw: the stream, from its first byte on.

    Raises:
        CaptureError: the library that knows this compression is not installed.
    """
    for magic, kind, opener in _FORMATS:
        if head.startswith(magic):
            return _open(name, kind, opener, raw)
    if head[:1] in {bytes([byte]) for byte in range(0x50, 0x60)} and head[1:4] == SKIPPABLE:
        return _open(name, "zstd", _zstd, raw)
    return None


def _open(name: str, kind: str, opener: Callable[[io.BufferedReader], Decompressor], raw: io.RawIOBase) -> Decompressor:
    try:
        return opener(io.BufferedReader(raw, BUFFER_BYTES))
    except ImportError as error:
        library = "backports.zstd" if kind == "zstd" else kind
        reason = f"is compressed by {kind}, for which {library} is needed: python3 -m pip install {library}"
        raise CaptureError(name, reason) from error


# The modules are imported when a file asks for them: most captures are not compressed.


def _gzip(stream: io.BufferedReader) -> Decompressor:
    return _file("gzip", "GzipFile")(fileobj=stream)


def _bzip2(stream: io.BufferedReader) -> Decompressor:
    return _file("bz2", "BZ2File")(stream)


def _xz(stream: io.BufferedReader) -> Decompressor:
    return _file("lzma", "LZMAFile")(stream)


def _zstd(stream: io.BufferedReader) -> Decompressor:
    module = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    return _file(module, "ZstdFile")(stream)


def _lz4(stream: io.BufferedReader) -> Decompressor:
    return _file("lz4.frame", "LZ4FrameFile")(stream)


def _file(module: str, name: str) -> Callable[..., Decompressor]:
    opener: Callable[..., Decompressor] = getattr(importlib.import_module(module), name)
    return opener


_FORMATS: Final = (
    (b"\x1f\x8b", "gzip", _gzip),
    (b"BZh", "bzip2", _bzip2),
    (b"\xfd7zXZ\x00", "xz", _xz),
    (b"\x28\xb5\x2f\xfd", "zstd", _zstd),
    (b"\x04\x22\x4d\x18", "lz4", _lz4),
)
"""First bytes, name, and what opens it."""
