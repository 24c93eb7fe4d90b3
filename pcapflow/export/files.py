"""Writing results: a file is complete or it is not there, and whatever fails names the file that was asked for."""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib
import os
import re
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

from pcapflow.errors import OutputError
from pcapflow.text.escape import path_text

_TEMPORARY: Final = re.compile(r"\.pcapflow-[0-9a-f]{8}\.tmp")
_ABANDONED_S: Final = 86_400
"""Age at which a temporary file counts as left behind where locks cannot tell."""
_OPEN_FILES: Final = ("/dev/fd/", "/dev/stdout", "/dev/stderr", "/proc/")
"""Where the system shows files that a process has open already."""

_swept: set[str] = set()


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; it takes its place when the block ends well, and is removed when not.

    The temporary file is locked as long as it is written. What a run that was killed left in the directory has a lock
    that is free, and is removed by the first call for that directory.

    Raises:
        OutputError: the directory does not exist or may not be written, or writing fails; it names ``path``.
    """
    try:
        # A symbolic link stays one.
        target = Path(os.path.realpath(path)) if path.is_symlink() else path
        directory = os.path.abspath(target.parent)  # noqa: PTH100 -- a key, and links are not followed
        if directory not in _swept:
            _swept.add(directory)
            remove_abandoned(target.parent)
        handle, temporary = _locked_file(target.parent)
        try:
            try:
                yield temporary
                _replace(temporary, target, handle)
            finally:
                with contextlib.suppress(OSError):
                    # Here only where it did not take its place.
                    temporary.unlink(missing_ok=True)
        finally:
            with contextlib.suppress(OSError):
                os.close(handle)
    except OSError as error:
        raise OutputError.of(path, error) from error


def write_text(path: Path, text: str) -> None:
    """Writes a text file at once and whole, in UTF-8.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        if _is_written_through(path):
            path.write_text(text, encoding="utf-8")
            return
    except OSError as error:
        raise OutputError.of(path, error) from error
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def check_file(path: Path) -> None:
    """Makes sure, as far as that can be told before, that a file can be written.

    Raises:
        OutputError: its directory does not exist or may not be written, or it is a directory itself.
    """
    try:
        if path.is_dir():
            raise OutputError(path, "is a directory")
        if _is_written_through(path):
            if not os.access(path, os.W_OK):
                raise OutputError(path, "permission denied")
            return
        parent = path.parent
        if not parent.exists():
            raise OutputError(path, f"there is no directory {path_text(parent)}")
        if not parent.is_dir():
            raise OutputError(path, f"{path_text(parent)} is not a directory")
    except OSError as error:
        # A name that is too long, a directory on the way that may not be searched.
        raise OutputError.of(path, error) from error
    _check_writable(path, parent)


def check_directory(path: Path) -> None:
    """Makes sure, as far as that can be told before, that files can be written into a directory, which may be missing.

    Raises:
        OutputError: it is a file, or it may not be written, or not be made.
    """
    try:
        nearest = path
        while not nearest.exists() and nearest != nearest.parent:
            nearest = nearest.parent
        if not nearest.is_dir():
            what = "is not a directory"
            raise OutputError(path, what if nearest == path else f"{path_text(nearest)} {what}")
    except OSError as error:
        raise OutputError.of(path, error) from error
    _check_writable(path, nearest)


def make_directory(path: Path) -> None:
    """Makes a directory, with those above it, where it does not exist.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError.of(path, error) from error


def remove_abandoned(directory: Path) -> None:
    """Removes temporary files that a killed run left in a directory; those that are being written stay."""
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for name in [entry.name for entry in entries if _TEMPORARY.fullmatch(entry.name)]:
            with contextlib.suppress(OSError):
                _remove_if_abandoned(directory / name)


def _check_writable(path: Path, directory: Path) -> None:
    # What is written goes into a new file beside it, so the directory must be writable even where the file exists.
    if not os.access(directory, os.W_OK | os.X_OK):
        # A read-only file system refuses root too.
        raise OutputError(path, f"the directory {path_text(directory)} may not be written")


def _is_written_through(path: Path) -> bool:
    """Whether it is a device, a pipe, or somebody's open file (/dev/stdout): it cannot be replaced, only written to."""
    if not path.exists():
        return False
    return not path.is_file() or os.path.abspath(path).startswith(_OPEN_FILES)  # noqa: PTH100 -- links are not followed


def _locked_file(directory: Path) -> tuple[int, Path]:
    """A new file with the permissions that the user's umask gives, open and locked."""
    while True:
        path = directory / f".pcapflow-{os.urandom(4).hex()}.tmp"
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o666)
        except FileExistsError:
            continue
        locks = _locks()
        if locks is None:
            return handle, path
        with contextlib.suppress(OSError):  # a file system without locks
            locks.flock(handle, locks.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle, path
        # Another run removed it between the two calls, when it was not locked yet.
        os.close(handle)


def _replace(temporary: Path, target: Path, handle: int) -> None:
    if sys.platform == "win32":
        # It renames no file that is open.
        os.close(handle)
    temporary.replace(target)


def _remove_if_abandoned(path: Path) -> None:
    handle = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or _is_in_use(handle, time.time() - found.st_mtime):
            return
        if sys.platform != "win32":
            # While it is locked: see _locked_file.
            path.unlink()
    finally:
        os.close(handle)
    if sys.platform == "win32":
        path.unlink()


def _is_in_use(handle: int, age_s: float) -> bool:
    """Whether somebody is writing a file; takes its lock where nobody is."""
    locks = _locks()
    if locks is None:
        return age_s < _ABANDONED_S
    try:
        locks.flock(handle, locks.LOCK_EX | locks.LOCK_NB)
    except OSError as error:
        return error.errno in (errno.EWOULDBLOCK, errno.EACCES) or age_s < _ABANDONED_S
    return False


@functools.cache
def _locks() -> ModuleType | None:
    """The module for advisory locks; nothing where the system has none (Windows)."""
    try:
        return importlib.import_module("fcntl")
    except ImportError:
        return None
