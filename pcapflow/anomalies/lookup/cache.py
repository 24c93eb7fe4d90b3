"""What several rules ask alike is computed once per tables."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar, cast

from pcapflow.tables.table import Tables

T = TypeVar("T")
P = ParamSpec("P")

_cache: weakref.WeakKeyDictionary[Tables, dict[object, object]] = weakref.WeakKeyDictionary()


def cached_per_tables(function: Callable[Concatenate[Tables, P], T]) -> Callable[Concatenate[Tables, P], T]:
    """Keeps what several rules ask alike, until :func:`clear` or until the tables are gone."""

    def ask(tables: Tables, /, *parameters: P.args, **named: P.kwargs) -> T:
        computed = _cache.setdefault(tables, {})
        key = (function, parameters, tuple(sorted(named.items())))
        if key not in computed:
            computed[key] = function(tables, *parameters, **named)
        return cast("T", computed[key])

    return ask


def clear(tables: Tables) -> None:
    """Drops all that was computed for these tables."""
    _cache.pop(tables, None)
