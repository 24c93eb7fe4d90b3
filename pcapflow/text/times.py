"""Points in time, between nanoseconds and text, in UTC. Floats never hold one, and nothing reads a clock."""

from __future__ import annotations

import datetime
import re
from typing import Final, NamedTuple

NS_PER_S: Final = 1_000_000_000
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MILLISECONDS_BELOW_NS: Final = 20_000_000_000
_MICROSECONDS_BELOW_NS: Final = 10_000_000
_RELATIVE: Final = re.compile(r"\+?(\d{1,9})(?:\.(\d{1,9}))?")


def rfc3339(time_ns: int) -> str:
    """Nanoseconds since 1970 as text in UTC with nine digits of the second, e.g. ``2026-01-02T03:04:05.000000006Z``."""
    seconds, nanoseconds = divmod(int(time_ns), NS_PER_S)
    try:
        when = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        # A damaged or hostile time stamp lies outside the calendar; it is shown as the number it is.
        return f"{seconds}.{nanoseconds:09d}"
    return f"{when:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"


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
        return start_ns + int(whole) * NS_PER_S + int((fraction or "").ljust(9, "0"))
    when = datetime.datetime.fromisoformat(text)
    if when.tzinfo is None:
        when = when.replace(tzinfo=datetime.UTC)
    since = when - _EPOCH
    return (since.days * 86400 + since.seconds) * NS_PER_S + since.microseconds * 1000


def to_ns(seconds: float) -> int:
    """Seconds of the configuration in the tables' unit."""
    return round(seconds * NS_PER_S)


def moment(time_ns: int) -> datetime.datetime:
    """A time stamp as a date, to the microsecond; good for every 64-bit count of nanoseconds."""
    return _EPOCH + datetime.timedelta(microseconds=time_ns // 1000)


def time_of_day(time_ns: int) -> str:
    """E.g. ``14:02:11 UTC``."""
    return f"{moment(time_ns):%H:%M:%S} UTC"


def to_the_millisecond(time_ns: int) -> str:
    """The time of day for what may last no longer than a second: ``14:02:11.250 UTC``."""
    when = moment(time_ns)
    return f"{when:%H:%M:%S}.{when.microsecond // 1000:03d} UTC"


def day_and_time(time_ns: int) -> str:
    """E.g. ``2026-11-21 14:02:11``."""
    when = moment(time_ns)
    return f"{when.date().isoformat()} {when:%H:%M:%S}"


class Clock(NamedTuple):
    """Says times of day as finely, and with the date if need be, as the span of a capture asks for.

    Attributes:
        first_ns, last_ns: the span.
    """

    first_ns: int
    last_ns: int

    def text(self, time_ns: int) -> str:
        """E.g. ``14:02:11``, ``14:02:11.250`` in a capture of a few seconds, ``11-21 14:02:11`` in one of days.

        In a capture of a few milliseconds it is ``14:02:11.250417``.
        """
        when = moment(time_ns)
        day = f"{when:%m-%d} " if moment(self.first_ns).date() != moment(self.last_ns).date() else ""
        span_ns, fraction = self.last_ns - self.first_ns, ""
        if span_ns < _MILLISECONDS_BELOW_NS:
            fine = span_ns < _MICROSECONDS_BELOW_NS and span_ns > 0
            fraction = f".{when.microsecond:06d}" if fine else f".{when.microsecond // 1000:03d}"
        return f"{day}{when:%H:%M:%S}{fraction}"
