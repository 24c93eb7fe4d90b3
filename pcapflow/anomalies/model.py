"""What a rule finds, and what becomes of it: hits, findings, anomalies."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from pcapflow.anomalies.codes import is_about_capture
from pcapflow.anomalies.severity import Severity as Severity  # noqa: PLC0414 -- named here for the rules as well

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

Weights = npt.NDArray[np.floating] | IntArray
"""How bad each of some hits is, larger is worse."""

Confidence = Literal["certain", "likely", "possible"]
CERTAIN: Final = "certain"
LIKELY: Final = "likely"
POSSIBLE: Final = "possible"

MANY: Final = -1
"""In place of a flow number: the row speaks of many connections, or of the capture."""
NOBODY: Final = -1
"""In place of an endpoint: neither side is to blame, or nobody can know."""

MAX_FRAMES: Final = 12
"""Frames that one finding cites at most."""
MAX_FLOWS: Final = 100
"""Connections that a finding of many names at most."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a rule says of one connection, of one server, or of the capture.

    Attributes:
        severity: how much it matters.
        flow: the connection, or -1 where the row speaks of many.
        endpoint: who is to blame, 0 client, 1 server, -1 nobody or not known.
        time_ns: when it began.
        frames: the frames that prove it, at most :data:`MAX_FRAMES`, in order.
        detail: one sentence with the figures.
        cause: why, where the rule knows causes; "" elsewhere.
        confidence: ``certain`` (the capture shows it), ``likely`` or ``possible`` (it fits, and so do others).
        alternatives: what else fits.
        count: how many connections (for capture rows, see the rule) it stands for.
        flows: connections it stands for, worst first, at most :data:`MAX_FLOWS`.
    """

    severity: Severity
    flow: int = MANY
    endpoint: int = NOBODY
    time_ns: int
    frames: tuple[int, ...]
    detail: str
    cause: str = ""
    confidence: Confidence = CERTAIN
    alternatives: tuple[str, ...] = ()
    count: int = 1
    flows: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly(Finding):
    """A finding under the code and name of its rule: a row of the ``anomalies`` table.

    Attributes:
        code: of the rule, ``PF`` and three digits.
        name: of the rule, words with hyphens.
    """

    code: str
    name: str

    @property
    def about_capture(self) -> bool:
        """Whether it speaks of the capture, and not of the connections in it."""
        return is_about_capture(self.code)


@dataclasses.dataclass(frozen=True, slots=True)
class Hits:
    """Everything one rule found, not yet in words.

    Attributes:
        flows: the flow number of each hit, -1 for one that speaks of many.
        describe: makes the findings of the hits at these positions; called once, with the hits that are kept.
        weight: how bad each hit is, larger is worse; a hit of higher severity must never weigh less.
    """

    flows: IntArray
    describe: Callable[[IntArray], Sequence[Finding]]
    weight: Weights
