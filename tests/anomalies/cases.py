"""Says of a test which rule it makes fire, or which it spares: the catalogue's test asks that both exist for each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

from pcapflow.anomalies.model import Anomaly

F = TypeVar("F", bound=Callable[..., object])

FIRING: defaultdict[str, list[str]] = defaultdict(list)
SPARING: defaultdict[str, list[str]] = defaultdict(list)


def fires(*codes: str) -> Callable[[F], F]:
    """The test shows when these rules speak."""
    return _noted(FIRING, codes)


def spares(*codes: str) -> Callable[[F], F]:
    """The test shows when these rules, though it looks similar, stay silent."""
    return _noted(SPARING, codes)


def _noted(where: defaultdict[str, list[str]], codes: Sequence[str]) -> Callable[[F], F]:
    def note(test: F) -> F:
        for code in codes:
            where[code].append(test.__name__)
        return test

    return note


def told(anomalies: Sequence[Anomaly], code: str) -> list[Anomaly]:
    """The rows with this code."""
    return [anomaly for anomaly in anomalies if anomaly.code == code]


def only(anomalies: Sequence[Anomaly], code: str) -> Anomaly:
    """The one row with this code."""
    rows = told(anomalies, code)
    assert len(rows) == 1, [(row.code, row.detail) for row in anomalies]
    return rows[0]


def codes(anomalies: Sequence[Anomaly]) -> set[str]:
    """The codes of all rows."""
    return {anomaly.code for anomaly in anomalies}
