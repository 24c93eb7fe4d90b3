"""Points in time, between nanoseconds and text. Floats never hold one: they have no room for nanoseconds."""

from __future__ import annotations

import datetime
import re
from typing import Final

_SECOND: Final = 1_000_000_000
_RELATIVE: Final = re.compile(r"\+?(\d{1,9})(?:\.(\d{1,9}))?")


def rfc3339(time_ns: int) -> str:
    """Nanoseconds since 1970 as text in UTC with nine digits of the second, e.g. ``2026-01-02T03:04:05.000000006Z``."""
    seconds, nanoseconds = divmod(int(time_ns), _SECOND)
    try:
        moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        # A damaged or hostile time stamp lies outside the calendar; it is shown as the number it is.
        return f"{seconds}.{nanoseconds:09d}"
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"


def parse_time(text: str, start_ns: int) -> int:
    """A moment that a user named, as nanoseconds since 1970.

    Args:
        text: seconds after ``start_ns`` (``12.5`` or ``+12.5``), or a date and time as in ISO 8601; without an offset
            it is UTC.
        start_ns: what relative seconds count from.

    Raises:
        ValueError: neither.
    """
    relative = _RELATIVE.fullmatch(text)
    if relative:
        whole, fraction = relative.groups()
        return start_ns + int(whole) * _SECOND + int((fraction or "").ljust(9, "0"))
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    since = moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return (since.days * 86400 + since.seconds) * _SECOND + since.microseconds * 1000


def span(duration_ns: int) -> str:
    """A duration for people: ``0.8 ms``, ``12.3 s``, ``5 min 3 s``, ``2 h 5 min``."""
    seconds = duration_ns / _SECOND
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 120:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
