"""How incidents are chosen among the explanations that the patterns propose."""

from __future__ import annotations

import dataclasses

import pytest

from pcapflow.anomalies.model import CERTAIN, LIKELY, POSSIBLE, Anomaly, Confidence, Severity
from pcapflow.config import Config
from pcapflow.diagnosis import run
from pcapflow.diagnosis.case import Case
from pcapflow.diagnosis.model import Blame, Explanation, Incident, Observation, unexplained
from pcapflow.diagnosis.pattern import Pattern
from pcapflow.payload.said import NOTHING, Payload, Said
from tests.anomalies.builder import Told


def anomaly(severity: Severity = Severity.MEDIUM) -> Anomaly:
    return Anomaly(code="PF301", name="aborted", severity=severity, flow=0, time_ns=1, frames=(1,), detail="it was")


def explanation(
    headline: str,
    explains: set[int],
    confidence: Confidence = CERTAIN,
    severity: Severity = Severity.MEDIUM,
    flows: tuple[int, ...] = (0,),
) -> Explanation:
    return Explanation(
        severity=severity, confidence=confidence, headline=headline, start_ns=1, end_ns=2, flows=flows,
        count=len(flows), explains=frozenset(explains), why=(Observation("so it was", (1,)),),
    )  # fmt: skip


def choose(
    monkeypatch: pytest.MonkeyPatch, anomalies: list[Anomaly], *proposed: Explanation, payload: Payload = NOTHING
) -> list[Incident]:
    def propose(case: Case) -> tuple[Explanation, ...]:
        assert len(case) == 1
        return proposed

    monkeypatch.setattr(run, "catalogue", lambda: (Pattern("PI999", "proposed", "Proposed", propose),))
    told = Told()
    told.flow().opens()
    return run.diagnose(told.tables(), anomalies, Config(), payload)


def test_the_fewest_causes_that_explain_the_most_win(monkeypatch: pytest.MonkeyPatch) -> None:
    found = choose(
        monkeypatch,
        [anomaly(), anomaly(), anomaly()],
        explanation("one of three", {0}),
        explanation("all", {0, 1, 2}),
        explanation("two of three", {1, 2}),
    )

    assert [incident.headline for incident in found] == ["all"]
    assert unexplained([anomaly()] * 3, found) == []


def test_each_anomaly_belongs_to_one_incident(monkeypatch: pytest.MonkeyPatch) -> None:
    found = choose(
        monkeypatch, [anomaly() for _ in range(5)], explanation("left", {0, 1, 2}), explanation("right", {2, 3, 4})
    )

    assert [(incident.headline, set(incident.explains)) for incident in found] == [
        ("left", {0, 1, 2}),
        ("right", {3, 4}),
    ]


def test_what_fits_surely_is_preferred_to_what_might_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    anomalies = [anomaly(), anomaly()]
    found = choose(monkeypatch, anomalies, explanation("might", {0, 1}, POSSIBLE), explanation("does", {0, 1}, CERTAIN))

    assert [incident.headline for incident in found] == ["does"]
    assert found[0].against == ()


def test_an_equal_explanation_is_told_as_an_alternative(monkeypatch: pytest.MonkeyPatch) -> None:
    anomalies = [anomaly(), anomaly()]
    found = choose(monkeypatch, anomalies, explanation("this", {0, 1}, LIKELY), explanation("that", {0, 1}, LIKELY))

    assert [incident.headline for incident in found] == ["this"]
    assert found[0].against == ("it could also be this: that",)


def test_an_anomaly_that_nothing_explains_stands_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    anomalies = [anomaly(), anomaly(Severity.HIGH)]
    found = choose(monkeypatch, anomalies, explanation("the first", {0}))

    assert unexplained(anomalies, found) == [anomalies[1]]


def test_incidents_are_in_order_of_severity_and_numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    found = choose(
        monkeypatch,
        [anomaly(), anomaly()],
        explanation("mild", {0}, severity=Severity.LOW),
        explanation("grave", {1}, severity=Severity.HIGH),
    )

    assert [(incident.number, incident.headline) for incident in found] == [(0, "grave"), (1, "mild")]


def test_an_incident_without_anomalies_is_told_unless_its_connections_are(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = explanation("no anomaly shows it", set(), severity=Severity.LOW)

    assert [i.headline for i in choose(monkeypatch, [], quiet)] == ["no anomaly shows it"]
    both = choose(monkeypatch, [anomaly()], quiet, explanation("an anomaly shows it", {0}))
    assert [i.headline for i in both] == ["an anomaly shows it"]


def test_what_was_said_tells_what_connections_were_for_and_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Said(flow=0, protocol="http", what="GET / -> 200", request="GET /", request_frame=4)
    words = Payload({0: said})
    there = choose(monkeypatch, [anomaly()], explanation("it is there", {0}), payload=words)[0]
    between = dataclasses.replace(explanation("it is between them", {0}), blame=Blame("path", "the path"))
    nowhere = choose(monkeypatch, [anomaly()], between, payload=words)[0]

    assert [seen.text for seen in there.why[1:]] == [
        "what was said on the one connection whose payload was read: GET / -> 200 (frame 4)"
    ]
    assert there.frames == (1,)
    assert len(nowhere.why) == 1
