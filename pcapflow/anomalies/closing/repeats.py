"""How FINs are repeated, and what the end of it tells."""

from __future__ import annotations

from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.text.times import to_ns

PATIENT_REPEATS = 5
"""After so many repeats the silence that follows means giving up, not an answer that was not captured."""


def gave_up_repeating(tables: Tables, config: Config, fin_ns: int, again: list[int]) -> bool:
    """Whether the repeats ended although the next was long due: then an answer came that nobody saw."""
    if len(again) >= PATIENT_REPEATS:
        return False
    pause = again[-1] - (again[-2] if len(again) > 1 else fin_ns)
    return tables.capture.last_ns - again[-1] > 4 * pause + to_ns(config.rto_s)
