"""The SHA-256 of a capture's file, by which a report says what it speaks of: of the bytes analysed, or none at all."""

from __future__ import annotations

import functools
import mmap
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from pcapflow.reader.file_state import FileState, state_of
from pcapflow.reader.open import Input

PIECE_BYTES: Final = 4 << 20
"""Bytes that are hashed without the interpreter's lock. Between two pieces a thread waits until the reader releases the
lock, so that with the quarter of a megabyte that ``hashlib.file_digest`` takes, hashing outlasts the reading."""

WINDOW_BYTES: Final = 4 << 20
"""Bytes that are mapped at once: what is mapped counts as memory of the process."""


def sha256_of(path: str, size: int) -> str:
    """The SHA-256 of the first ``size`` bytes of a file in hexadecimal digits; "" where they cannot be read."""
    import hashlib

    digest = hashlib.sha256()
    try:
        with Path(path).open("rb", buffering=0) as file:
            piece = memoryview(bytearray(min(PIECE_BYTES, max(size, 1))))
            while size and (count := file.readinto(piece[: min(len(piece), size)])):
                digest.update(piece[:count])
                size -= count
    # A report without a checksum is better than none.
    except (OSError, MemoryError):
        return ""
    return "" if size else digest.hexdigest()


def sha256_by_mapping(path: str, size: int) -> str:
    """As :func:`sha256_of`, and a tenth quicker, for a process of which another one notices the end.

    Where the file shrinks meanwhile, the kernel ends it (SIGBUS).
    """
    import hashlib

    digest = hashlib.sha256()
    try:
        with Path(path).open("rb", buffering=0) as file:
            for at in range(0, size, WINDOW_BYTES):
                length = min(WINDOW_BYTES, size - at)
                with mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ, offset=at) as piece:
                    digest.update(piece)
    # A mapping that would reach beyond the end of the file is a ValueError.
    except (OSError, ValueError):
        return ""
    return digest.hexdigest()


def sha256_beside(path: str, size: int) -> Callable[[], str]:
    """Takes the checksum in a thread; what is returned waits for it, or takes it where the system gives no thread."""
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(sha256_of(path, size)), daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return functools.partial(sha256_of, path, size)

    def result() -> str:
        thread.join()
        return found[0] if found else ""

    return result


def of_what_was_read(checksum: Callable[[], str], inputs: Sequence[Input], states: Sequence[FileState | None]) -> str:
    """A checksum, unless a file has changed since the run began: then nobody knows which bytes were analysed."""
    digits = checksum()
    return digits if all(state_of(item) == state for item, state in zip(inputs, states, strict=True)) else ""
