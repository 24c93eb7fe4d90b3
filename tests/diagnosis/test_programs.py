"""Captures of real programs, in trouble and in health: what is told of each is what a person wrote down before."""

from __future__ import annotations

import functools

import pytest

import pcapflow
from fixtures.programs.record import cases
from fixtures.programs.recording import Case
from pcapflow.analysis import Analysis
from tests.diagnosis.judge import disagreements

CASES = cases()
_WORDS = "needs the words of the payload, which tshark dissects, and there is no tshark"


@functools.cache
def analysis(case: Case) -> Analysis:
    return pcapflow.analyze(case.recording.path, reader="native")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.recording.path.stem)
def test_what_is_told_is_what_a_person_expects(case: Case) -> None:
    found = analysis(case)

    assert list(disagreements(case.expectation, found.diagnosis, found.findings)) == []


def test_there_are_many_captures_and_a_third_of_them_is_quiet() -> None:
    assert len(CASES) >= 40
    assert 3 * sum(case.expectation.quiet for case in CASES) >= len(CASES)
