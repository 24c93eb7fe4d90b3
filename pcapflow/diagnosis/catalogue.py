"""The list of all patterns: whatever the modules of :mod:`pcapflow.diagnosis.patterns` declare."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from pcapflow.diagnosis import patterns
from pcapflow.diagnosis.pattern import Pattern


@functools.cache
def catalogue() -> tuple[Pattern, ...]:
    """All patterns, by code.

    Raises:
        ValueError: two patterns have the same code.
    """
    found: dict[str, Pattern] = {}
    for module in pkgutil.iter_modules(patterns.__path__, f"{patterns.__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, Pattern) and found.setdefault(value.code, value) is not value:
                raise ValueError(f"two patterns have the code {value.code}")
    return tuple(found[code] for code in sorted(found))


def pattern_of(code: str) -> Pattern:
    """The pattern with this code, in any case, or with this name.

    Raises:
        KeyError: there is none.
    """
    for candidate in catalogue():
        if code.upper() == candidate.code or code.lower() == candidate.name:
            return candidate
    raise KeyError(code)
