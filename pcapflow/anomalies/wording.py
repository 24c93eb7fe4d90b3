"""Figures as a reader wants them: durations, numbers, lists of frames, times of day."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from typing import Final

from pcapflow.anomalies.model import MAX_FRAMES

NS_PER_S: Final = 1_000_000_000


def to_ns(seconds: float) -> int:
    """Seconds of the configuration in the tables' unit."""
    return round(seconds * NS_PER_S)


def duration(ns: int) -> str:
    """``226.3 s``, ``12 ms``, ``0.8 ms``."""
    if ns >= NS_PER_S:
        return f"{ns / NS_PER_S:,.1f} s"
    if ns >= 10_000_000:
        return f"{ns / 1e6:.0f} ms"
    return f"{ns / 1e6:.1f} ms"


def many(n: int, noun: str, plural: str = "") -> str:
    """``1 byte``, ``1,448 bytes``; a noun that takes more than an s needs its plural."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def were(n: int, noun: str) -> str:
    """``1 byte was``, ``2 bytes were``."""
    return f"{many(n, noun)} {'was' if n == 1 else 'were'}"


def times(n: int) -> str:
    """``once``, ``twice``, ``5 times``."""
    return ("never", "once", "twice")[n] if n < 3 else f"{n:,} times"


def clock(time_ns: int) -> str:
    """The time of day, ``14:02:46 UTC``; a time no calendar holds is given as seconds."""
    try:
        moment = datetime.datetime.fromtimestamp(time_ns // NS_PER_S, tz=datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return f"second {time_ns // NS_PER_S}"
    return f"{moment:%H:%M:%S} UTC"


def in_frame(frame: int) -> str:
    """`` (frame 812)``, or nothing where no frame is known."""
    return f" (frame {frame})" if frame > 0 else ""


def in_frames(frames: Sequence[int]) -> str:
    """`` (frames 3, 5 and 9)``; of more than four, the first three and the last."""
    if len(frames) < 2:
        return in_frame(frames[0]) if frames else ""
    if len(frames) > 4:
        return f" (frames {', '.join(map(str, frames[:3]))} ... {frames[-1]})"
    return f" (frames {', '.join(map(str, frames[:-1]))} and {frames[-1]})"


def proof(frames: Iterable[int]) -> tuple[int, ...]:
    """Frames as evidence: in order, each once, those that exist; of too many, the first ones and the last."""
    known = sorted({int(frame) for frame in frames if frame > 0})
    return tuple(known if len(known) <= MAX_FRAMES else [*known[: MAX_FRAMES - 1], known[-1]])


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
