"""Captures of real programs, in trouble and in health: what is told of each is what a person wrote down before."""

from __future__ import annotations

import shutil

import pytest

from fixtures.programs.record import cases
from fixtures.programs.recording import Case
from tests.diagnosis.judge import disagreements
from tests.sentences import difference, kept, text_of_words, with_words, without_words

CASES = cases()


with_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="there is no tshark to read what was said")


@with_tshark
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.recording.path.stem)
def test_what_is_told_is_what_a_person_expects(case: Case) -> None:
    found = with_words(case.recording.path)

    assert list(disagreements(case.expectation, found.incidents, found.anomalies)) == []


@with_tshark
def test_every_sentence_with_what_was_said_is_the_one_that_was_read() -> None:
    changes = difference(kept()[1], text_of_words())
    assert not changes, changes


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.recording.path.stem)
def test_without_the_words_nothing_wrong_is_told(case: Case) -> None:
    found = without_words(case.recording.path)

    told = {incident.pattern for incident in found.incidents}
    assert told.isdisjoint(case.expectation.never)
    if case.expectation.quiet:
        assert [row.detail for row in found.anomalies if row.severity > 0] == []
        assert [row.headline for row in found.incidents if row.severity > 0] == []


def test_there_are_many_captures_and_a_third_of_them_is_quiet() -> None:
    assert len(CASES) >= 40
    assert 3 * sum(case.expectation.quiet for case in CASES) >= len(CASES)
