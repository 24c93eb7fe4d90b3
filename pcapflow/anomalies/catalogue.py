"""The list of all rules."""

from __future__ import annotations

import functools

from pcapflow.anomalies import aborts, capture, closing, opening, transfer
from pcapflow.anomalies.rule import Rule


@functools.cache
def catalogue() -> tuple[Rule, ...]:
    """All rules, by code."""
    modules = (opening, closing, aborts, transfer, capture)
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Rule)]
    rules = {rule.code: rule for rule in found}
    if len(rules) < len(found):
        raise ValueError("two rules have the same code")
    return tuple(rules[code] for code in sorted(rules))


def rule_of(code: str) -> Rule:
    """The rule with this code, in any case, or with this name.

    Raises:
        KeyError: there is none.
    """
    for candidate in catalogue():
        if code.upper() == candidate.code or code.lower() == candidate.name:
            return candidate
    raise KeyError(code)
