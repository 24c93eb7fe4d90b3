"""How fast TIME_WAITs come, and what that leads to: how many there are in the end, and when no port is left."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pcapflow.anomalies.lookup.groups import peak
from pcapflow.anomalies.model import IntArray
from pcapflow.config import Config
from pcapflow.text.phrases import duration
from pcapflow.text.times import NS_PER_S, to_ns


class Rate(NamedTuple):
    """Connections that went into TIME_WAIT one after another.

    Attributes:
        number: how many.
        start_ns: when the first was opened.
        span_ns: from then until the last went into TIME_WAIT, at least 1.
    """

    number: int
    start_ns: int
    span_ns: int

    @property
    def per_s(self) -> float:
        """How many a second."""
        return self.number * NS_PER_S / self.span_ns

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


def busiest(starts_ns: IntArray, waits_ns: IntArray, config: Config) -> Rate | None:
    """The rate at which connections came and went into TIME_WAIT: of all, or of the densest run if that leads to more.

    Args:
        starts_ns: when each was opened.
        waits_ns: when each went into TIME_WAIT.
        config: ``closing_turns`` and ``time_wait_many`` say how many it takes to speak of a rate. So many parallel
            connections that all end at once are no rate: what counts is how many followed one another.
    """
    if not len(waits_ns):
        return None
    open_at_once, _ = peak(starts_ns, np.maximum(waits_ns, starts_ns + 1))
    least = max(min(config.closing_turns * open_at_once, config.time_wait_many), 2)
    if len(waits_ns) < least:
        return None
    ordered = np.sort(waits_ns)
    # What a connection took belongs to its turn; a few that stay open for long do not make the others slower.
    life = max(int(np.median(waits_ns - starts_ns)), 0)
    whole = _rate(ordered, 0, len(ordered), life)
    if whole.share(config) >= 1 or len(ordered) == least:
        return whole
    spans = ordered[least - 1 :] - ordered[: len(ordered) - least + 1]
    run = _rate(ordered, int(np.argmin(spans)), least, life)
    return max(run, whole, key=lambda rate: rate.per_s)


def _rate(ordered_ns: IntArray, first: int, number: int, life_ns: int) -> Rate:
    start, end = int(ordered_ns[first]) - life_ns, int(ordered_ns[first + number - 1])
    return Rate(number, start, max(end - start, 1))
