"""The list of all rules: whatever the modules of the families declare."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Iterable
from types import ModuleType
from typing import Final, Protocol, TypeVar

from pcapflow.anomalies import capture, closing, opening, resets, transfer
from pcapflow.anomalies.rule import Rule


class _Coded(Protocol):
    """What has a code."""

    @property
    def code(self) -> str: ...


_Entry = TypeVar("_Entry", bound=_Coded)

FAMILIES: Final = (opening, closing, resets, transfer, capture)
"""The packages whose modules are looked through for rules."""


@functools.cache
def catalogue() -> tuple[Rule, ...]:
    """All rules, by code.

    Raises:
        ValueError: two rules have the same code.
    """
    return tuple(rule for _, rule in sorted(declared(FAMILIES, Rule).items()))


def declared(packages: Iterable[ModuleType], kind: type[_Entry]) -> dict[str, _Entry]:
    """What the modules of some packages declare of one kind, a rule or a pattern, by code.

    Raises:
        ValueError: two have the same code.
    """
    found: dict[str, _Entry] = {}
    for package in packages:
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(value, kind) and found.setdefault(value.code, value) is not value:
                    raise ValueError(f"two {kind.__name__.lower()}s have the code {value.code}")
    return found


def known_rule(code: str) -> Rule | None:
    """The rule with exactly this code, or nothing: findings may come from a catalogue that has more rules."""
    return next((rule for rule in catalogue() if rule.code == code), None)
