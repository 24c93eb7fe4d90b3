"""The list of all patterns: whatever the modules of :mod:`pcapflow.diagnosis.patterns` declare."""

from __future__ import annotations

import functools

from pcapflow.anomalies.catalogue import catalogue as rules
from pcapflow.anomalies.catalogue import declared
from pcapflow.anomalies.rule import Rule
from pcapflow.diagnosis import patterns
from pcapflow.diagnosis.pattern import Pattern


@functools.cache
def catalogue() -> tuple[Pattern, ...]:
    """All patterns, by code.

    Raises:
        ValueError: two patterns have the same code.
    """
    return tuple(pattern for _, pattern in sorted(declared((patterns,), Pattern).items()))


def everything() -> tuple[Pattern | Rule, ...]:
    """All that is looked for: patterns, then rules, each by code."""
    return (*catalogue(), *rules())


def entries_of(code: str) -> tuple[Pattern | Rule, ...]:
    """The pattern or rule with this code, in any case; or all with this name: a pattern and a rule may share one."""
    return tuple(entry for entry in everything() if code.upper() == entry.code or code.lower() == entry.name)
