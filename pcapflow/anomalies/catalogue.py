"""The list of all rules: whatever the modules of the families declare."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import Final

from pcapflow.anomalies import capture, closing, opening, resets, transfer
from pcapflow.anomalies.rule import Rule

FAMILIES: Final = (opening, closing, resets, transfer, capture)
"""The packages whose modules are looked through for rules."""


@functools.cache
def catalogue() -> tuple[Rule, ...]:
    """All rules, by code.

    Raises:
        ValueError: two rules have the same code.
    """
    rules: dict[str, Rule] = {}
    for family in FAMILIES:
        for module in pkgutil.iter_modules(family.__path__, f"{family.__name__}."):
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(value, Rule) and rules.setdefault(value.code, value) is not value:
                    raise ValueError(f"two rules have the code {value.code}")
    return tuple(rules[code] for code in sorted(rules))


def known_rule(code: str) -> Rule | None:
    """The rule with exactly this code, or nothing: findings may come from a catalogue that has more rules."""
    return next((rule for rule in catalogue() if rule.code == code), None)
