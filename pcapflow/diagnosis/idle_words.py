"""What patterns say of idle time-outs, in words."""

from __future__ import annotations

from pcapflow.anomalies.model import IntArray
from pcapflow.diagnosis.idle import IdleEnd
from pcapflow.diagnosis.settings import Settings, default_of, is_set_to
from pcapflow.text.phrases import counted, duration
from pcapflow.text.times import NS_PER_S


def server_waits(idle: IdleEnd, server: str, limit_ns: int, settings: Settings) -> str:
    """How long a server lets connections be idle, and in how many closes that was seen."""
    if idle.timer is None:
        return f"{server} closed after {duration(limit_ns)} without a word{default_of(settings, limit_ns)}"
    return f"{server} {time_out_seen(idle, limit_ns)}{is_set_to(limit_ns)}{default_of(settings, limit_ns)}"


def time_out_seen(idle: IdleEnd, limit_ns: int) -> str:
    """In how many closes a time-out was seen: ``closed 6 of 6 idle connections after 2 s without a word ...``."""
    if idle.timer is None:
        return f"closed {counted(len(idle.closed), 'idle connection')}"
    spread = idle.timer.high_ns - idle.timer.low_ns
    alike = f"all within {duration(spread)} of that length" if spread else "none of them longer or shorter"
    return (
        f"closed {len(idle.timer.flows)} of {counted(len(idle.closed), 'idle connection')} after {duration(limit_ns)} "
        f"without a word, {alike}, at "
        f"{counted(idle.timer.moments, 'different time')}: that is its time-out"
    )


def doubts_of(idle: IdleEnd) -> tuple[str, ...]:
    """What speaks against a time-out."""
    if idle.timer is None:
        return ("no second close shows that it came of a time-out: that is inferred from its length",)
    if len(idle.outlived):
        return (f"{counted(len(idle.outlived), 'connection')} outlived a longer silence",)
    return ()


def finely(ns: int) -> str:
    """A length of time to the hundredth of a second where that is worth telling: ``1.98 s``."""
    return f"{ns / NS_PER_S:.2f} s" if ns < 60 * NS_PER_S else duration(ns)


def lengths(values_ns: IntArray) -> str:
    """The least and the greatest of some lengths of time: ``2 s to 3 s``, or one where they are the same in words."""
    low, high = duration(int(values_ns.min())), duration(int(values_ns.max()))
    return low if low == high else f"{low} to {high}"
