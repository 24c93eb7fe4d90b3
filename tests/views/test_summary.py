"""The figures that every renderer shows are counted once, and are the same wherever they are shown."""

from __future__ import annotations

import dataclasses

import pytest

from pcapflow.anomalies.severity import Severity
from pcapflow.outcome import SEVERITY_ORDER
from pcapflow.views.groups import anomaly_groups
from pcapflow.views.summary import end_reasons, summarise
from tests.report.scenes import checkout


def test_every_connection_is_counted_by_its_end_and_by_the_state_of_each_side() -> None:
    tables = checkout()[0].tables()

    summary = summarise(tables, [])

    assert summary.end_reasons == end_reasons(tables)
    assert sum(summary.end_reasons.values()) == summary.flows == len(tables.flows)
    assert [sum(side.values()) for side in summary.states] == [summary.flows] * 2


def test_anomalies_are_counted_by_code_and_by_severity_and_so_are_the_cards() -> None:
    scene, found = checkout()

    summary = summarise(scene.tables(), found)

    assert [(code.code, code.severity, code.count) for code in summary.codes] == [
        ("PF204", Severity.HIGH, 25),
        ("PF305", Severity.MEDIUM, 2),
        ("PF201", Severity.LOW, 1),
    ]
    assert summary.severities == {"high": 25, "medium": 2, "low": 1, "info": 0}
    assert [group.count for group in anomaly_groups(found)] == [code.count for code in summary.codes]


def test_one_code_with_two_severities_is_counted_apart() -> None:
    scene, found = checkout()
    milder = dataclasses.replace(found[1], severity=Severity.INFO)

    codes = summarise(scene.tables(), [found[1], milder]).codes

    assert [(code.severity, code.count, code.worst) for code in codes] == [
        (Severity.MEDIUM, 1, found[1]),
        (Severity.INFO, 1, milder),
    ]


def test_severities_are_named_and_ordered_in_one_place() -> None:
    assert SEVERITY_ORDER == ("info", "low", "medium", "high")
    assert [Severity.named(label) for label in SEVERITY_ORDER] == sorted(Severity)
    with pytest.raises(KeyError):
        Severity.named("HIGH")
