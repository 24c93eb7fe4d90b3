"""Figures in words: counts, lengths of time, sizes, lists, sentences. Whatever a person reads is phrased here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_NO_WORD: Final = frozenset(":./=_@")
"""What stands within an address, a name of a host, a path or a setting, and in no word."""


def number(value: int) -> str:
    """A whole number with its thousands apart: ``48,211``."""
    return f"{value:,}"


def counted(value: int, one: str, several: str = "") -> str:
    """``1 byte``, ``1,448 bytes``; a noun that takes more than an s needs its plural."""
    return f"{number(value)} {one if value == 1 else several or one + 's'}"


def were(value: int, one: str) -> str:
    """``1 byte was``, ``2 bytes were``."""
    return f"{counted(value, one)} {'was' if value == 1 else 'were'}"


def how_often(value: int) -> str:
    """``never``, ``once``, ``twice``, ``5 times``."""
    return ("never", "once", "twice")[value] if value < 3 else f"{number(value)} times"


def duration(ns: int) -> str:
    """A length of time: ``0.8 ms``, ``12 ms``, ``226.3 s``, ``12 min 5 s``, ``2 h 5 min``; negative counts as none."""
    ms = max(ns, 0) / 1e6
    if ms == 0:
        return "0 s"
    if ms < 9.95:
        return f"{ms:.2g} ms"
    if ms < 999.5:
        return f"{ms:.0f} ms"
    if ms < 599_950:
        return f"{ms / 1e3:.1f}".removesuffix(".0") + " s"
    seconds = round(ms / 1e3)
    if seconds < 7200:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{number(seconds // 3600)} h {seconds % 3600 // 60} min"


def roughly(ns: int) -> str:
    """A length of time that is only estimated: ``about 3.4 s``, ``about 8 min``, ``about 5 h``, ``about 12 days``."""
    seconds = max(ns, 0) / 1e9
    for unit, length in (("days", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"about {seconds / length:.0f} {unit}"
    return f"about {seconds:.2g} s" if seconds < 10 else f"about {seconds:.0f} s"


def size(count: int) -> str:
    """A count of bytes: ``412 B``, ``1.2 kB``, ``3.4 MB``."""
    if count < 1000:
        return f"{count} B"
    power = min((len(str(count)) - 1) // 3, 4)
    value, unit = count / 1000**power, ("kB", "MB", "GB", "TB")[power - 1]
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"


def listed(texts: Sequence[str], most: int = 0) -> str:
    """``a``, ``a and b``, ``a, b and c``; with ``most``, only so many of them and how many more there are."""
    if 0 < most < len(texts):
        return f"{', '.join(texts[:most])} and {number(len(texts) - most)} more"
    return " and ".join(filter(None, (", ".join(texts[:-1]), *texts[-1:])))


def sentence(text: str) -> str:
    """The text as a sentence: a capital first (unless an address, a code or a digit is first) and a full stop last."""
    text = text.strip()
    if not text:
        return ""
    first = text.split(maxsplit=1)[0].rstrip(",.:;!?")
    capital = text[0] if _NO_WORD.intersection(first) else text[0].upper()
    return capital + text[1:] + ("" if text[-1] in ".!?" else ".")


def shortened(text: str, most: int) -> str:
    """The text, or its two ends around an ellipsis when it is longer than ``most``."""
    if len(text) <= most:
        return text
    left = (most - 1) // 2
    return f"{text[:left]}…{text[len(text) - (most - 1 - left) :]}"
