"""Text from outside, made safe to print: file names and captures are written by strangers."""

from __future__ import annotations

import contextlib


def printable(text: str) -> str:
    """The text with everything that a terminal might obey, or cannot show, written as an escape."""
    if text.isprintable():
        return text
    with contextlib.suppress(UnicodeEncodeError):
        # Bytes of a file name that the locale did not take for text.
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
