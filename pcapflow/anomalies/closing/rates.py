"""How fast TIME_WAITs come, and what that leads to: how many there are in the end, and when no port is left."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pcapflow.anomalies.model import IntArray
from pcapflow.config import Config
from pcapflow.text.phrases import duration
from pcapflow.text.times import NS_PER_S, to_ns


class Rate(NamedTuple):
    """Connections that went into TIME_WAIT one after another.

    Attributes:
        number: how many, two or more.
        start_ns: when the first did.
        span_ns: for how long they kept coming, at least 1.
    """

    number: int
    start_ns: int
    span_ns: int

    @property
    def per_s(self) -> float:
        """How many a second."""
        return (self.number - 1) * NS_PER_S / self.span_ns

    def at_once(self, config: Config) -> int:
        """How many there are at once, should it go on: where as many end as begin."""
        return round(self.per_s * config.msl2_s)

    def share(self, config: Config) -> float:
        """The share of a client's ports towards one server that these take, should it go on; above 1 they run out."""
        return self.at_once(config) / max(config.ephemeral_ports, 1)

    def exhaustion_ns(self, config: Config) -> int:
        """After what time a client has no port left towards a server, should it go on."""
        return to_ns(config.ephemeral_ports / self.per_s)

    def words(self) -> str:
        """``2,500 within 300 ms, 8,330 a second``."""
        per_s = f"{self.per_s:,.1f}" if self.per_s < 100 else f"{self.per_s:,.0f}"
        return f"{self.number:,} within {duration(self.span_ns)}, {per_s} a second"


def busiest(times_ns: IntArray, config: Config) -> Rate | None:
    """The rate at which connections went into TIME_WAIT: of all, or of the densest run if that leads to more.

    Args:
        times_ns: when each did, in any order.
        config: a rate is taken of ``time_wait_many`` connections or more: fewer do not tell what would go on.
    """
    least = max(config.time_wait_many, 2)
    if len(times_ns) < least:
        return None
    ordered = np.sort(times_ns)
    whole = Rate(len(ordered), int(ordered[0]), max(int(ordered[-1] - ordered[0]), 1))
    if whole.share(config) >= 1:
        return whole
    spans = ordered[least - 1 :] - ordered[: len(ordered) - least + 1]
    at = int(np.argmin(spans))
    run = Rate(least, int(ordered[at]), max(int(spans[at]), 1))
    return max(run, whole, key=lambda rate: rate.per_s)
