"""What can go wrong with an input, in one family, so that a caller needs one ``except``."""

from __future__ import annotations

from pcapflow.text.phrases import path_text


class PcapflowError(Exception):
    """Base of everything pcapflow raises on purpose; its text is one line for the user."""


class CaptureError(PcapflowError):
    """An input that cannot be read as a capture: what is wrong, in which file, and what to do.

    Attributes:
        path: the input as the user named it.
        reason: what is wrong, without the path.
    """

    def __init__(self, path: str, reason: str) -> None:
        self.path = path_text(path)
        super().__init__(f"{self.path}: {reason}")
        self.reason = reason


class EmptyCapture(CaptureError):
    """An input without a byte, as a ring of files has one where the next file was just begun."""


class UnknownFormat(CaptureError):
    """The native reader does not know this file format or link type; another engine might."""


class ConfigError(PcapflowError):
    """A setting with an unknown name or an impossible value."""
