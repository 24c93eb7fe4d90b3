"""Resets that meet a client at the end of its handshake."""

from __future__ import annotations

from typing import Final

import numpy as np

from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import side
from pcapflow.anomalies.lookup.timeline import last_times
from pcapflow.anomalies.model import BoolArray
from pcapflow.anomalies.resets.causes import resets
from pcapflow.config import Config
from pcapflow.tables.moments import Moments
from pcapflow.tables.table import Tables
from pcapflow.tcp.completeness import COMPLETE_ACK, COMPLETE_SYN_ACK
from pcapflow.tcp.states import CLIENT, SERVER, SYN_ACK_RX

_AT_ONCE_NS: Final = 10_000_000
"""A kernel answers within this time, beside the round trip."""


@cached_per_tables
def reset_at_once(tables: Tables, config: Config) -> BoolArray:
    """For each flow whether the server's kernel answered the end of the handshake by a RST, as if it had no connection.

    That is what a full accept queue does with the final ACK under ``tcp_abort_on_overflow`` (Linux, tcp_check_req). A
    RST with the marks of a device is none of the server's.
    """
    f = tables.flows
    found = resets(tables, config)
    own = found.passive & (found.senders == SERVER) & ~found.sender_closed & ~found.foreign & (found.signs == 0)
    drew = found.flows[own]
    at_once = np.zeros(len(f), dtype=bool)
    if not len(drew):
        return at_once
    complete = ((f["completeness"][drew] & COMPLETE_SYN_ACK) > 0) & ((f["completeness"][drew] & COMPLETE_ACK) > 0)
    complete &= (f["midstream"][drew] == 0) & (side(f, SERVER, "bytes")[drew] == 0)
    established = Moments(tables).established_ns[drew]
    accepted = last_times(tables, CLIENT, event=SYN_ACK_RX)[drew]
    trip = np.maximum(side(f, CLIENT, "rtt_ns")[drew], 0) + np.maximum(side(f, SERVER, "rtt_ns")[drew], 0)
    begun = np.where(established >= 0, established, np.where(accepted >= 0, accepted, f["start_ns"][drew]))
    at_once[drew[complete & (f["close_ns"][drew] - begun <= 2 * trip + _AT_ONCE_NS)]] = True
    return at_once
