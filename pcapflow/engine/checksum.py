"""The SHA-256 of a capture's file, by which a report says what it speaks of."""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from pcapflow.reader.open import Input, is_file

PIECE_BYTES: Final = 4 << 20
"""Bytes that are hashed without the interpreter's lock. Between two pieces a thread waits until the reader lets go of
the lock, so that with the quarter of a megabyte that ``hashlib.file_digest`` takes, hashing outlasts the reading."""

WINDOW_BYTES: Final = 4 << 20
"""Bytes that are mapped at once: what is mapped counts as memory of the process."""


def the_only_file(inputs: Sequence[Input]) -> str:
    """The path of the file whose checksum tells what was read: "" of several, of a pipe, of an open file."""
    item = inputs[0] if len(inputs) == 1 else "-"
    return os.fspath(item) if is_file(item) else ""


def sha256_of(path: str) -> str:
    """The SHA-256 of a file in hexadecimal digits; "" where it cannot be read, of which the reader tells."""
    import hashlib

    digest = hashlib.sha256()
    try:
        with Path(path).open("rb", buffering=0) as file:
            piece = memoryview(bytearray(min(PIECE_BYTES, max(os.fstat(file.fileno()).st_size, 1))))
            while size := file.readinto(piece):
                digest.update(piece[:size])
    except OSError:
        return ""
    return digest.hexdigest()


def sha256_by_mapping(path: str) -> str:
    """As :func:`sha256_of`, and a tenth quicker, for a process of which another one notices the end.

    Where the file shrinks meanwhile, the kernel ends it (SIGBUS).
    """
    import hashlib

    digest = hashlib.sha256()
    try:
        with Path(path).open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            for at in range(0, size, WINDOW_BYTES):
                with mmap.mmap(
                    file.fileno(), min(WINDOW_BYTES, size - at), access=mmap.ACCESS_READ, offset=at
                ) as piece:
                    digest.update(piece)
    except OSError:
        return ""
    return digest.hexdigest()


def sha256_beside(path: str) -> Callable[[], str]:
    """Takes the checksum in a thread; what is returned waits for it."""
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(sha256_of(path)), daemon=True)
    thread.start()

    def result() -> str:
        thread.join()
        return found[0] if found else ""

    return result
