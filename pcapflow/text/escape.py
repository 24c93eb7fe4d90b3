"""Text from outside, made safe to show and to write: file names and captures are written by strangers."""

from __future__ import annotations

import os
import re
from typing import Final

_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_UNDECODED: Final = range(0xDC80, 0xDD00)
"""Where ``os.fsdecode`` puts the bytes of a file name that are not UTF-8: PEP 383."""


def printable(text: str) -> str:
    r"""The text with everything that a terminal might obey, or cannot show, written as an escape.

    A byte of a file name that could not be decoded is ``\xff``, as is a control character of ASCII; everything else
    that cannot be shown is ``\u202e``. The result is always valid UTF-8, JSON and XML.
    """
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def path_text(path: str | os.PathLike[str]) -> str:
    """A path as every output names it: read as UTF-8, whatever the locale, and printable."""
    return printable(as_utf8(path))


def as_utf8(path: str | os.PathLike[str]) -> str:
    """A path read as UTF-8, whatever the locale says; bytes that are none stay as they are (PEP 383)."""
    try:
        return os.fsencode(path).decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # It comes from elsewhere than the file system, where it could not be named.
        return os.fspath(path)


def encodable(text: str) -> str:
    """The text as it is, with escapes in place of what cannot be encoded in UTF-8: surrogates, from file names."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return _SURROGATES.sub(lambda match: _escaped(match.group()), text)
    return text


def _escaped(character: str) -> str:
    code = ord(character)
    if code in _UNDECODED:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return character.encode("unicode_escape").decode("ascii")
    # Not \x..: that is a byte.
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
