"""What can go wrong with an input or an output, in one family, so that a caller needs one ``except``."""

from __future__ import annotations

import os
import sys
from typing import Final

from pcapflow.text.escape import path_text

TRACEBACK_VARIABLE: Final = "PCAPFLOW_TRACEBACK"
OUT_OF_MEMORY: Final = "out of memory: there is less than this capture needs; free some, or analyse a part of it"


class PcapflowError(Exception):
    """Base of everything pcapflow raises on purpose; its text is one line for the user."""


class CaptureError(PcapflowError):
    """An input that cannot be read as a capture: what is wrong, in which file, and what to do.

    Attributes:
        path: the input as the user named it.
        reason: what is wrong, without the path.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path_text(path)}: {reason}")
        self.path = path
        self.reason = reason

    @classmethod
    def of(cls, path: str, error: Exception) -> CaptureError:
        """The same fault as the system tells it, under the name that the user gave."""
        return cls(path, reason_of(error))


class EmptyCapture(CaptureError):
    """An input without a byte, as a ring of files has one where the next file was just begun."""


class UnknownFormat(CaptureError):
    """The native reader does not know this file format or link type; another engine might."""


class ConfigError(PcapflowError):
    """A setting with an unknown name or an impossible value."""


class OutputError(PcapflowError):
    """An output that cannot be written.

    Attributes:
        path: the output as the user named it; ``standard output`` is one too.
        reason: what is wrong, without the path.
    """

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        self.path = os.fspath(path)
        self.reason = reason
        super().__init__(f"{path_text(self.path)}: cannot be written: {reason}")

    @classmethod
    def of(cls, path: str | os.PathLike[str], error: OSError) -> OutputError:
        """The same fault as the system tells it, under the name that the user gave."""
        return cls(path, _first_lower(error.strerror or str(error)) or type(error).__name__)


def reason_of(error: Exception) -> str:
    """What an input's fault is in a few words, as the system or a library tells it."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, PermissionError):
        return "permission denied"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return _first_lower(text).rstrip(".") or type(error).__name__


def fault_line(error: BaseException) -> str:
    """One line about an exception that nothing should have raised: that it is a fault in pcapflow, what, and where.

    Where the environment variable PCAPFLOW_TRACEBACK is set and not empty, the traceback is printed to standard error.
    """
    import traceback

    if os.environ.get(TRACEBACK_VARIABLE):
        traceback.print_exception(error, file=sys.stderr)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "pcapflow" in frame.filename] or list(frames)
    where = f" at {own[-1].filename}:{own[-1].lineno}" if own else ""
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return f"this is a fault in pcapflow: {what}{where}; {TRACEBACK_VARIABLE}=1 shows the traceback"


def _first_lower(text: str) -> str:
    return text[:1].lower() + text[1:]
