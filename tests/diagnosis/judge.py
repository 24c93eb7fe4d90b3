"""Compares what an analysis says of a capture with what a person wrote down for it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from fixtures.programs.expectation import Expectation, Expected
from pcapflow.anomalies.model import Anomaly, Severity
from pcapflow.diagnosis.model import Incident


def disagreements(
    expectation: Expectation, incidents: Sequence[Incident], anomalies: Sequence[Anomaly]
) -> Iterator[str]:
    """A sentence for each point in which they differ; incidents and anomalies are worst first."""
    told = [f"{incident.severity.label} {incident.pattern}: {incident.headline}" for incident in incidents]
    for incident in incidents:
        if incident.pattern in expectation.never:
            yield f"{incident.pattern} is wrong here: {incident.headline}"
    if expectation.quiet:
        yield from (f"not quiet: {text}" for text, i in zip(told, incidents, strict=True) if i.severity > Severity.INFO)
        for anomaly in anomalies:
            if anomaly.severity > Severity.INFO:
                yield f"not quiet: {anomaly.severity.label} {anomaly.code} {anomaly.name}: {anomaly.detail}"
    for expected in expectation.incidents:
        yield from _missed(expected, incidents, told)
    first = expectation.incidents[0] if expectation.incidents else None
    if first is not None and not expectation.quiet:
        named = [incident.pattern in first.patterns for incident in incidents]
        if any(named) and not named[0]:
            yield f"{' or '.join(first.patterns)} does not come first: {told[0]}"


def _missed(expected: Expected, incidents: Sequence[Incident], told: Sequence[str]) -> Iterator[str]:
    named = [incident for incident in incidents if incident.pattern in expected.patterns]
    if not named:
        yield f"{' or '.join(expected.patterns)} is not told, but {told or 'nothing'}"
        return
    # Of several incidents of a pattern one must be as expected.
    differences = [list(_differences(expected, incident)) for incident in named]
    yield from min(differences, key=len)


def _differences(expected: Expected, incident: Incident) -> Iterator[str]:
    name = incident.pattern
    severity = incident.severity
    if not Severity.named(expected.at_least) <= severity <= Severity.named(expected.at_most):
        yield f"{name} is {severity.label}, not {expected.at_least} to {expected.at_most}: {incident.headline}"
    if not any(is_blamed(blame, incident) for blame in expected.blames):
        yield f"{name} blames {incident.blame.text}, not {' or '.join(expected.blames)}"
    if expected.flows is not None and not expected.flows[0] <= incident.count <= expected.flows[1]:
        yield f"{name} counts {incident.count} connections, not {expected.flows[0]} to {expected.flows[1]}"
    said = " ".join(
        (
            incident.headline,
            *(seen.text for seen in incident.why),
            *(step.text for step in incident.remedy),
            *incident.against,
        )
    ).lower()
    for words in expected.says:
        choice = (words,) if isinstance(words, str) else words
        if not any(word.lower() in said for word in choice):
            yield f"{name} does not say {' or '.join(choice)}: {said}"


def is_blamed(expected: str, incident: Incident) -> bool:
    """Whether an incident blames whom a person would."""
    kind, _, who = expected.partition(" ")
    blame = incident.blame
    if kind in {"capture", "nobody"}:
        return blame.kind == kind
    if kind == "path":
        return blame.kind == "path" and all(_names(blame.who, address) for address in who.split())
    if kind in {"host", "device"}:
        return blame.kind in {"host", "path"} and _names(blame.who, who)
    # ``client ADDRESS`` is the program there, whatever its ports; ``server ADDRESS:PORT`` is what listens there.
    return blame.kind in {"endpoint", "host"} and blame.side == kind and _names(blame.who, who)


def _names(text: str, address: str) -> bool:
    bare = text.replace("[", "").replace("]", "")
    return re.search(rf"(?<![\w.:]){re.escape(address)}(?![\w.])", bare) is not None
