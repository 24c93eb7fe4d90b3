"""Numbers, times and short texts in the words that a report uses. Everything is in UTC; nothing reads a clock."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Final, Literal

_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MILLISECONDS_BELOW_NS: Final = 20_000_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """A piece of running text; ``code`` is set in the fixed-width face."""

    text: str
    kind: Literal["plain", "code"] = "plain"


Rich = tuple[Span, ...]


def rich(text: str) -> Rich:
    """Cuts a text at its backquotes: what stands between a pair of them is code."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:  # an unpaired backquote is a character like any other
        pieces[-2:] = ["`".join(pieces[-2:])]
    return tuple(Span(piece, "code" if odd else "plain") for i, piece in enumerate(pieces) if piece for odd in (i % 2,))


def moment(time_ns: int) -> datetime.datetime:
    """A time stamp as a date, to the microsecond; good for every 64-bit count of nanoseconds."""
    return _EPOCH + datetime.timedelta(microseconds=time_ns // 1000)


@dataclasses.dataclass(frozen=True, slots=True)
class Clock:
    """Says times of day as finely, and with the date if need be, as the span of a capture asks for.

    Attributes:
        first_ns, last_ns: the span.
    """

    first_ns: int
    last_ns: int

    def text(self, time_ns: int) -> str:
        """E.g. ``14:02:11``, ``14:02:11.250`` in a capture of a few seconds, ``11-21 14:02:11`` in one of days."""
        when = moment(time_ns)
        day = f"{when:%m-%d} " if moment(self.first_ns).date() != moment(self.last_ns).date() else ""
        fraction = f".{when.microsecond // 1000:03d}" if self.last_ns - self.first_ns < _MILLISECONDS_BELOW_NS else ""
        return f"{day}{when:%H:%M:%S}{fraction}"


def day_and_time(time_ns: int) -> str:
    """E.g. ``2026-11-21 14:02:11``."""
    when = moment(time_ns)
    return f"{when.date().isoformat()} {when:%H:%M:%S}"


def duration(ns: int) -> str:
    """A length of time in one or two units: ``0.8 ms``, ``3.1 s``, ``226 s``, ``12 min 5 s``, ``2 h 5 min``."""
    seconds = max(ns, 0) / 1e9
    if seconds == 0:
        return "0 s"
    if seconds < 0.0995:
        return f"{seconds * 1e3:.2g} ms" if seconds < 0.00995 else f"{seconds * 1e3:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 300:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min {whole % 60} s"
    return f"{number(whole // 3600)} h {whole % 3600 // 60} min"


def number(value: int) -> str:
    """A whole number with its thousands apart: ``48,211``."""
    return f"{value:,}"


def counted(value: int, one: str, many: str = "") -> str:
    """``1 connection``, ``2 connections``."""
    return f"{number(value)} {one if value == 1 else many or one + 's'}"


def size(count: int) -> str:
    """A count of bytes: ``412 B``, ``1.2 kB``, ``3.4 MB``."""
    if count < 1000:
        return f"{count} B"
    power = min((len(str(count)) - 1) // 3, 4)
    value, unit = count / 1000**power, ("kB", "MB", "GB", "TB")[power - 1]
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"


def listed(texts: Sequence[str], most: int) -> str:
    """``a, b and c``, or the first of them and how many more there are."""
    if len(texts) > most:
        return f"{', '.join(texts[:most])} and {number(len(texts) - most)} more"
    return " and ".join(filter(None, (", ".join(texts[:-1]), *texts[-1:])))


def sentence(text: str) -> str:
    """The text as a sentence: a capital first (unless it begins with a code or a digit) and a full stop last."""
    text = text.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


def shortened(text: str, most: int) -> str:
    """The text, or its two ends around an ellipsis when it is longer than ``most``."""
    if len(text) <= most:
        return text
    left = (most - 1) // 2
    return f"{text[:left]}…{text[len(text) - (most - 1 - left) :]}"
