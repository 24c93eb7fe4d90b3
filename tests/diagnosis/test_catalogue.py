"""The catalogue: every pattern has its help, its place and its tests."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

from pcapflow.anomalies.docstrings import SIDES
from pcapflow.diagnosis.catalogue import catalogue, entries_of
from pcapflow.diagnosis.pattern import Pattern
from tests.anomalies.cases import FIRING, SPARING

for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
    if module.name != "test_catalogue":
        importlib.import_module(f"tests.diagnosis.{module.name}")

PATTERNS = catalogue()


def test_codes_and_names_are_unique_and_in_order() -> None:
    codes = [pattern.code for pattern in PATTERNS]

    assert codes == sorted(set(codes))
    assert len({pattern.name for pattern in PATTERNS}) == len(PATTERNS)
    assert all(re.fullmatch(r"PI[1-69]\d\d", code) for code in codes)


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.code)
def test_every_pattern_has_its_help_and_its_tests(pattern: Pattern) -> None:
    text = pattern.help

    assert text.summary.endswith(".")
    assert all((text.seen, text.unless, text.means, text.otherwise, text.source, pattern.title))
    assert all(side in SIDES and advice for side, advice in text.do)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", pattern.name)
    assert FIRING[pattern.code], f"no test shows {pattern.code} at work"
    assert SPARING[pattern.code], f"no test shows what {pattern.code} spares"


def test_a_pattern_is_in_a_module_of_its_name() -> None:
    for pattern in PATTERNS:
        module = pattern.explain.__module__.rpartition(".")[2]
        assert module == pattern.name.replace("-", "_")


def test_patterns_and_rules_are_found_by_code_or_name() -> None:
    assert entries_of("pi105") == entries_of("refused-port")
    assert [entry.code for entry in entries_of("close-wait-leak")] == ["PI201", "PF204"]
    assert entries_of("PI999") == ()
