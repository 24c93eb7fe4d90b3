"""What a pattern proposes and what becomes of it: explanations, incidents."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

from pcapflow.anomalies.cite import proof
from pcapflow.anomalies.model import CERTAIN, Anomaly, Confidence
from pcapflow.anomalies.severity import Severity

MAX_FLOWS: Final = 1000
"""Connections that an incident names at most, worst first; how many it has is counted apart."""
MAX_HOSTS: Final = 20
"""Hosts that an incident names at most."""


class Blame(NamedTuple):
    """Whose it is.

    Attributes:
        kind: an endpoint (address and port), a host (address), the path between two hosts, the capture, or nobody.
        who: the endpoint, host or path in words; "" for the capture and for nobody.
        side: which side of its connections it is on, where it is a side.
    """

    kind: Literal["endpoint", "host", "path", "capture", "nobody"]
    who: str = ""
    side: Literal["client", "server", ""] = ""

    @property
    def text(self) -> str:
        """In words: ``server 10.0.0.2:80``, ``the path between 10.0.0.1 and 10.0.0.2``, ``nobody``."""
        return {
            "endpoint": f"{self.side} {self.who}".strip(),
            "host": f"{self.side} {self.who}".strip(),
            "path": self.who or "the network",
            "capture": "the capture",
            "nobody": "nobody",
        }[self.kind]


NOBODY: Final = Blame("nobody")
CAPTURE: Final = Blame("capture")


class Observation(NamedTuple):
    """One thing that was seen, in a sentence with its figures, and the frames in which a reader can check it."""

    text: str
    frames: tuple[int, ...] = ()


class Remedy(NamedTuple):
    """What one side can do about this very cause; the text names the setting and what to set it to."""

    side: Literal["Client", "Server", "Network", "Capture"]
    text: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a pattern says happened.

    Attributes:
        severity: how much it matters.
        confidence: ``certain`` (the capture shows it), ``likely`` or ``possible`` (it fits, and so do others).
        headline: one sentence that can be forwarded: who did what, to how many, since when.
        blame: whose it is.
        start_ns, end_ns: from when to when, nanoseconds since 1970.
        flows: connections it is about, worst first, at most :data:`MAX_FLOWS`.
        count: how many connections those are, named or not.
        hosts: addresses of the hosts concerned, at most :data:`MAX_HOSTS`.
        explains: positions of the anomalies behind it in the list that the patterns were given.
        why: what it rests on, the strongest first.
        against: what speaks against it, and what else fits.
        remedy: what to do, the side that should act first.
    """

    severity: Severity
    confidence: Confidence = CERTAIN
    headline: str
    blame: Blame = NOBODY
    start_ns: int
    end_ns: int
    flows: tuple[int, ...] = ()
    count: int = 0
    hosts: tuple[str, ...] = ()
    explains: frozenset[int] = frozenset()
    why: tuple[Observation, ...]
    against: tuple[str, ...] = ()
    remedy: tuple[Remedy, ...] = ()

    @property
    def frames(self) -> tuple[int, ...]:
        """The frames that prove it, those of all observations."""
        return proof(self._cited())

    def _cited(self) -> Iterator[int]:
        for observation in self.why:
            yield from observation.frames


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Incident(Explanation):
    """An explanation that was accepted: a row of the ``incidents`` table.

    Attributes:
        number: 0 for the worst.
        code: of its pattern, ``PI`` and three digits.
        pattern: its name, words with hyphens.
    """

    number: int
    code: str
    pattern: str


def unexplained(anomalies: Sequence[Anomaly], incidents: Sequence[Incident]) -> list[Anomaly]:
    """The anomalies that stand alone, in their order."""
    explained = frozenset().union(*(incident.explains for incident in incidents))
    return [anomaly for place, anomaly in enumerate(anomalies) if place not in explained]
