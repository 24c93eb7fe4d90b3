"""Fast stable sorts of columns."""

from __future__ import annotations

import numpy as np

from pcapflow.tables.schema import Column


def stable_order(values: Column) -> Column:
    """What ``argsort(kind="stable")`` gives, in a fraction of its time.

    numpy's fast sorts are not stable. Where the values do not lie too far apart, value and position fit one number,
    and a fast sort of these will do. Elsewhere the positions of equal values are put right by a second fast sort.
    """
    bits = len(values).bit_length()
    if not len(values):
        return np.zeros(0, dtype=np.int64)
    lowest = int(values.min())
    if (int(values.max()) - lowest).bit_length() + bits < 64:
        both: Column = (values - lowest).astype(np.int64, copy=False) << bits | np.arange(len(values))
        both.sort()
        both &= (1 << bits) - 1
        return both
    quick = np.argsort(values)
    ordered = values[quick]
    rank = np.zeros(len(values), dtype=np.int64)
    np.cumsum(ordered[1:] != ordered[:-1], out=rank[1:])
    rank *= len(values)
    rank += quick
    rank.sort()
    rank %= len(values)
    return rank


def in_order(values: Column) -> Column:
    """The values in order; times that are in order already, as those of flows mostly are, are not sorted again."""
    return values if np.all(values[1:] >= values[:-1]) else np.sort(values)


def reorder(columns: dict[str, Column], rows: Column) -> None:
    """Takes rows of every column, one column after another."""
    for name in list(columns):
        columns[name] = columns.pop(name)[rows]
