"""Writing results: a file is complete or it is not there, and two captures never write to the same one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

CAPTURE_SUFFIXES: Final = (".pcap", ".pcapng", ".cap", ".dmp", ".snoop", ".erf", ".trc")
PACKING_SUFFIXES: Final = (".gz", ".bz2", ".xz", ".zst", ".lz4")


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; it takes its place when the block ends well, and is removed when not.

    Raises:
        OSError: the directory does not exist or may not be written.
    """
    # It comes late: nothing has been read yet where this module is imported.
    import tempfile

    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes a private file; a report has the permissions that the user's umask gives every other file.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Writes a text file at once and whole, in UTF-8."""
    if path.exists() and not path.is_file():
        # A device or a pipe (/dev/stdout, a named pipe) cannot be replaced, only written to.
        path.write_text(text, encoding="utf-8", newline="\n")
        return
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def stem(capture: str) -> str:
    """The name of a capture without its directory and the suffixes that say what it is."""
    if capture == "-":
        return "stdin"
    name = Path(capture).name
    for suffixes in (PACKING_SUFFIXES, CAPTURE_SUFFIXES):
        for suffix in suffixes:
            if name.lower().endswith(suffix) and len(name) > len(suffix):
                name = name[: -len(suffix)]
                break
    return name or "capture"


def unique_stems(captures: Iterable[str]) -> list[str]:
    """A name for each capture, in order; what would collide gets a number, also where letter case is ignored."""
    taken: set[str] = set()
    names = []
    for capture in captures:
        base = name = stem(capture)
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{base}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names
