"""The rows of a few connections, picked out of tables that may hold millions."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from pcapflow.tables import Table, Tables


class Selection:
    """Transitions of some connections, by connection; one pass over the table, whatever its size."""

    def __init__(self, tables: Tables, flows: Collection[int]) -> None:
        chosen = np.zeros(len(tables.flows), dtype=bool)
        chosen[list(flows)] = True
        picked = tables.transitions.take(np.flatnonzero(chosen[tables.transitions["flow"]]))
        self.transitions: Table = picked.take(np.argsort(picked["flow"], kind="stable"))

    def transitions_of(self, flow: int) -> list[dict[str, int]]:
        """The transitions of one of the connections, in time order, a mapping of column to value each."""
        first, last = np.searchsorted(self.transitions["flow"], (flow, flow + 1))
        return rows_of(self.transitions, np.arange(first, last))


def rows_of(table: Table, rows: npt.NDArray[Any]) -> list[dict[str, int]]:
    """Some rows of a table as plain Python numbers."""
    lists = {name: column[rows].tolist() for name, column in table.columns.items()}
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]
