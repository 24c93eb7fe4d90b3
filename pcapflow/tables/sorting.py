"""Fast stable sorts of columns."""

from __future__ import annotations

import numpy as np

from pcapflow.tables.schema import Column


def stable_order(values: Column) -> Column:
    """What ``argsort(kind="stable")`` gives, in a fifth of its time where the values do not lie too far apart.

    Value and position then fit into one number, and the fastest sort will do.
    """
    bits = len(values).bit_length()
    if not len(values) or (int(values.max()) - int(values.min())).bit_length() + bits >= 64:
        return np.argsort(values, kind="stable")
    both: Column = (values - values.min()) << bits | np.arange(len(values))
    both.sort()
    both &= (1 << bits) - 1
    return both


def reorder(columns: dict[str, Column], rows: Column) -> None:
    """Takes rows of every column, one column after another."""
    for name in list(columns):
        columns[name] = columns.pop(name)[rows]
