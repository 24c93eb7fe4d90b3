"""When hosts were heard, as far as the tables know: first and last segments, states and marks of each connection."""

from __future__ import annotations

import numpy as np

from pcapflow.anomalies.lookup.columns import SIDES, side
from pcapflow.anomalies.lookup.timeline import last_times
from pcapflow.anomalies.model import BoolArray, IntArray
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.states import CLIENT, FIN_TX, SERVER, SYN_ACK_RX


def sightings(tables: Tables, heard: tuple[BoolArray, BoolArray]) -> IntArray:
    """Times at which a host is known to have been heard, in order.

    Args:
        tables: of the capture.
        heard: for client and server the flows on which that side is the host.
    """
    f, m = tables.flows, tables.marks
    found = []
    for endpoint in SIDES:
        flows = np.flatnonzero(heard[endpoint])
        found += [side(f, endpoint, name)[flows] for name in ("last_ns", "data_ns", "first_data_ns")]
        found.append(last_times(tables, endpoint, event=FIN_TX)[flows])
        found.append(f["idle_end_ns"][flows[f["idle_endpoint"][flows] == endpoint]])
        found.append(f["reset_ns"][flows[f["reset_by"][flows] == endpoint]])
        rows = np.flatnonzero((m["endpoint"] == endpoint) & (m["mark"] != marks.MARK_ICMP_UNREACHABLE))
        found.append(m["time_ns"][rows[heard[endpoint][m["flow"][rows]]]])
    opened = np.flatnonzero(heard[SERVER])
    found.append(last_times(tables, CLIENT, event=SYN_ACK_RX)[opened])
    clients = np.flatnonzero(heard[CLIENT])
    found.append(f["start_ns"][clients[f["midstream"][clients] == 0]])
    times = np.concatenate(found).astype(np.int64)
    return np.sort(times[times >= 0])
