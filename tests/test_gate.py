"""What --fail-on takes, and what it makes fail."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.catalogue import catalogue
from pcapflow.gate import Gate


@pytest.mark.parametrize("text", ["high", "HIGH", " high "])
def test_a_severity_and_worse(text: str) -> None:
    gate = Gate.parse(text)
    assert gate == Gate("high")
    assert gate.matches("PF201", "high")
    assert not gate.matches("PF201", "medium")


def test_the_lowest_of_several_severities_counts() -> None:
    assert Gate.parse("high,low") == Gate("low")


def test_rules_by_code_and_by_name_however_mild() -> None:
    gate = Gate.parse("pf904,missing-final-ack")
    assert gate == Gate("", frozenset({"PF904", "PF201"}))
    assert gate.matches("PF904", "info")
    assert gate.matches("PF201", "low")
    assert not gate.matches("PF202", "high")


def test_a_name_that_a_pattern_shares_with_a_rule_means_both() -> None:
    gate = Gate.parse("close-wait-leak")
    assert gate.matches("PI201", "low")
    assert gate.matches("PF204", "low")


def test_the_capture_itself_counts_by_code_alone() -> None:
    assert not Gate.parse("info").matches("PF904", "high")
    assert Gate.parse("info,PF904").matches("PF904", "low")
    assert Gate.parse("high,truncated-capture").matches("PF904", "low")


@pytest.mark.parametrize("text", ["", "high,", "bad", "PF000", "high,PF2"])
def test_what_is_unknown_is_told_what_there_is(text: str) -> None:
    with pytest.raises(ValueError, match="is no severity, pattern or rule") as caught:
        Gate.parse(text)
    for word in ("info", "low", "medium", "high", *(rule.code for rule in catalogue())):
        assert word in str(caught.value)
