"""Asks every pattern for its explanations, and chooses: the fewest causes that explain the most."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from pcapflow.anomalies.codes import is_about_capture
from pcapflow.anomalies.lookup.cache import clear
from pcapflow.anomalies.model import CERTAIN, LIKELY, POSSIBLE, Anomaly, Confidence, Severity
from pcapflow.config import Config
from pcapflow.diagnosis.case import Case
from pcapflow.diagnosis.catalogue import catalogue
from pcapflow.diagnosis.model import Explanation, Incident, Observation
from pcapflow.diagnosis.pattern import Pattern
from pcapflow.diagnosis.words import said_on
from pcapflow.payload.said import NOTHING, Payload
from pcapflow.tables.table import Tables

_WEIGHT: Final = {Severity.INFO: 0.25, Severity.LOW: 1.0, Severity.MEDIUM: 3.0, Severity.HIGH: 9.0}
"""What an anomaly weighs in an explanation: one of a higher severity more than two of the next lower."""
_FIT: Final[dict[Confidence, float]] = {CERTAIN: 1.0, LIKELY: 0.8, POSSIBLE: 0.5}
_TIE: Final = 0.9
"""An explanation of the same anomalies that weighs this share of the accepted one, or more, is told as its
alternative."""
_MOST_ALTERNATIVES: Final = 3


class _Candidate(NamedTuple):
    pattern: Pattern
    explanation: Explanation


class _Accepted(NamedTuple):
    candidate: _Candidate
    explains: frozenset[int]
    weight: float
    alternatives: list[str]


def diagnose(
    tables: Tables, anomalies: Sequence[Anomaly], config: Config, payload: Payload = NOTHING
) -> list[Incident]:
    """The incidents of a capture, worst first; each anomaly belongs to one of them at most.

    Args:
        tables: of the capture.
        anomalies: what the rules found, worst first.
        config: the thresholds.
        payload: what connections said, as far as somebody asked.
    """
    case = Case(tables, anomalies, config, payload)
    candidates = [
        _Candidate(pattern, explanation)
        for pattern in catalogue()
        for explanation in (pattern(case) if len(case) else ())
    ]
    clear(tables)
    accepted = _choose(candidates, anomalies)
    accepted.sort(key=_rank)
    return [_incident(number, choice, payload) for number, choice in enumerate(accepted)]


def _choose(candidates: Sequence[_Candidate], anomalies: Sequence[Anomaly]) -> list[_Accepted]:
    """Takes the explanation that explains most of what is still unexplained, again and again.

    One that is left with less than half of what it would explain says nothing that the others do not: it is dropped,
    and told as an alternative where it would have explained the same about as well. One that rests on no anomaly is
    dropped where most of its connections belong to an incident that is no milder.
    """
    accepted: list[_Accepted] = []
    free = set(range(len(anomalies)))
    wholes = [_weight(candidate.explanation, candidate.explanation.explains, anomalies) for candidate in candidates]
    # What is left to an explanation only becomes less: one that still weighs what it did when it was put into the heap
    # is the heaviest of all.
    heap = [(-whole, -candidates[place].explanation.severity, place) for place, whole in enumerate(wholes)]
    heapq.heapify(heap)
    while heap:
        known, severity, place = heapq.heappop(heap)
        candidate, whole = candidates[place], wholes[place]
        own = candidate.explanation.explains
        left = own & free
        weight = _weight(candidate.explanation, left, anomalies)
        if weight < -known:
            heapq.heappush(heap, (-weight, severity, place))
        elif own and weight * 2 < whole:
            _note_alternative(candidate, whole, accepted)
        elif own or not _is_covered(candidate.explanation, accepted):
            accepted.append(_Accepted(candidate, left, weight, []))
            free -= left
    return accepted


def _weight(explanation: Explanation, explained: frozenset[int], anomalies: Sequence[Anomaly]) -> float:
    return sum(_WEIGHT[anomalies[place].severity] for place in explained) * _FIT[explanation.confidence]


def _is_covered(explanation: Explanation, accepted: Sequence[_Accepted]) -> bool:
    flows = frozenset(explanation.flows)
    return any(
        choice.candidate.explanation.severity >= explanation.severity
        and 2 * len(flows.intersection(choice.candidate.explanation.flows)) > len(flows)
        for choice in accepted
    )


def _note_alternative(candidate: _Candidate, weight: float, accepted: Sequence[_Accepted]) -> None:
    own = candidate.explanation.explains
    for choice in accepted:
        shared = own & choice.explains
        if 2 * len(shared) > len(own) and weight >= _TIE * choice.weight:
            if len(choice.alternatives) < _MOST_ALTERNATIVES:
                choice.alternatives.append(candidate.explanation.headline)
            return


def _rank(choice: _Accepted) -> tuple[float, ...]:
    """What went wrong first, then what the capture lacks, then what is harmless; the worst of each first."""
    explanation = choice.candidate.explanation
    about_capture = is_about_capture(choice.candidate.pattern.code)
    part = 2 if explanation.severity is Severity.INFO else int(about_capture)
    return (part, -explanation.severity, -choice.weight, -explanation.count, explanation.start_ns)


def _incident(number: int, choice: _Accepted, payload: Payload) -> Incident:
    pattern, explanation = choice.candidate
    fields = {field.name: getattr(explanation, field.name) for field in dataclasses.fields(Explanation)}
    fields["explains"] = choice.explains
    fields["why"] = (*explanation.why, *_said(explanation, payload))
    fields["against"] = (*explanation.against, *(f"it could also be this: {text}" for text in choice.alternatives))
    return Incident(number=number, code=pattern.code, pattern=pattern.name, **fields)


def _said(explanation: Explanation, payload: Payload) -> Iterator[Observation]:
    """What was said on the connections of an incident, where that bears on it and is not told yet.

    But for errors it tells what the connections were for, and proves nothing: its frames are not among those of the
    incident. Of a path, and of a capture, it tells nothing at all.
    """
    if explanation.blame.kind in ("path", "capture"):
        return
    cited = {frame for observation in explanation.why for frame in observation.frames}
    is_error = any(payload.said[flow].error for flow in explanation.flows if flow in payload.said)
    for seen in said_on(payload, explanation.flows):
        if not cited.issuperset(seen.frames):
            yield seen if is_error else Observation(seen.text)
