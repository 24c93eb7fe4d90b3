"""Connections that a server accepts and ends at once, without a word of either side."""

from __future__ import annotations

from typing import Final

import numpy as np

from pcapflow.anomalies.lookup.columns import SIDES, side
from pcapflow.anomalies.model import BoolArray
from pcapflow.tables.table import Tables
from pcapflow.tcp.completeness import COMPLETE_HANDSHAKE
from pcapflow.tcp.endings import BY_SERVER
from pcapflow.tcp.states import CLIENT, SERVER

_AT_ONCE_NS: Final = 100_000_000
"""A program that takes a connection and closes it does so within this time, and some round trips."""
_ROUND_TRIPS: Final = 3


def closed_without_a_word(tables: Tables) -> BoolArray:
    """Which connections the server closed right after the handshake, before either side had said anything."""
    f = tables.flows
    mute = (side(f, CLIENT, "bytes") == 0) & (side(f, SERVER, "bytes") == 0)
    trips = np.sum([np.maximum(side(f, endpoint, "rtt_ns"), 0) for endpoint in SIDES], axis=0)
    soon = (f["close_ns"] >= 0) & (f["close_ns"] - f["start_ns"] <= _AT_ONCE_NS + _ROUND_TRIPS * trips)
    opened = (f["completeness"] & COMPLETE_HANDSHAKE) == COMPLETE_HANDSHAKE
    closed: BoolArray = mute & soon & opened & (f["closed_by"] == BY_SERVER)
    return closed
