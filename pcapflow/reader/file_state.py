"""What tells whether a file is still what it was when a run began."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pcapflow.reader.open import Input, is_file


class FileState(NamedTuple):
    """A file at one moment, by its inode: device and number, size in bytes, and when its content last changed."""

    device: int
    inode: int
    size: int
    changed_ns: int


def state_of(item: Input) -> FileState | None:
    """The state of an input now; nothing where it is no regular file, or is gone."""
    if not is_file(item):
        return None
    try:
        status = Path(item).stat()
    except OSError:
        return None
    return FileState(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def change(before: FileState, now: FileState | None) -> str:
    """How a file changed since, in words; "" when it did not."""
    if now == before:
        return ""
    if now is None or (now.device, now.inode) != (before.device, before.inode):
        return "the file was removed or replaced while it was read; what was open is what was analysed"
    if now.size > before.size:
        return (
            f"the file was still being written: its first {before.size:,} bytes were analysed, and it has "
            f"{now.size:,} now"
        )
    if now.size < before.size:
        return f"the file was cut short while it was read: from {before.size:,} bytes to {now.size:,}"
    return "the file was changed while it was read: what was analysed may be neither its old content nor its new"
