"""Segments of no known connection, and the RSTs they draw."""

from __future__ import annotations

from typing import Final

import numpy as np

from pcapflow.anomalies.capture_quality import quality
from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import SIDES, side
from pcapflow.anomalies.model import BoolArray
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.text.times import to_ns

FEW_SEGMENTS: Final = 10
"""More than so many segments without an answer are no strays: somebody goes on as if there was a connection."""
PROBE_BYTES: Final = 1
"""A keep-alive may carry a byte that is none of the stream's (RFC 1122, 4.2.3.6)."""


@cached_per_tables
def strays(tables: Tables, config: Config) -> BoolArray:
    """Flows that are no connections: segments without payload out of nowhere, which drew a RST, or a RST alone.

    Whoever sends payload without a handshake in the capture has a connection from before it; that is no stray. Nor is
    what broke a long silence: it may have been forgotten meanwhile.
    """
    f = tables.flows
    found = np.zeros(len(f), dtype=bool)
    for endpoint in SIDES:
        only_resets = (side(f, endpoint, "rsts") > 0) & (side(f, endpoint, "rsts") == side(f, endpoint, "packets"))
        other = 1 - endpoint
        bare = (side(f, other, "bytes") <= PROBE_BYTES) & (side(f, other, "packets") <= FEW_SEGMENTS)
        found |= only_resets & bare & (side(f, other, "rsts") == 0)
    found &= (f["midstream"] > 0) & (f["client_syns"] == 0) & (f["server_syns"] == 0)
    found &= (f["idle_ns"] < to_ns(config.idle_s)) & ~quality(tables).cut
    return found
