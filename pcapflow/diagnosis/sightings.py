"""When hosts were heard, as far as the tables know: by the times, states and marks of each connection."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pcapflow.anomalies.lookup.columns import SIDES, side
from pcapflow.anomalies.lookup.timeline import last_times
from pcapflow.anomalies.model import BoolArray, IntArray
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.states import CLIENT, FIN_TX, SERVER, SYN_ACK_RX


class Sightings(NamedTuple):
    """Times at which a host is known to have been heard, in order, and the connection of each."""

    times_ns: IntArray
    flows: IntArray


def sightings(tables: Tables, heard: tuple[BoolArray, BoolArray]) -> Sightings:
    """When a host is known to have been heard.

    Args:
        tables: of the capture.
        heard: for client and server the flows on which that side is the host.
    """
    f, m = tables.flows, tables.marks
    times: list[IntArray] = []
    flows: list[IntArray] = []

    def seen(column: IntArray, where: IntArray) -> None:
        times.append(column[where])
        flows.append(where)

    for endpoint in SIDES:
        mine = np.flatnonzero(heard[endpoint])
        for name in ("last_ns", "data_ns", "first_data_ns"):
            seen(side(f, endpoint, name), mine)
        seen(last_times(tables, endpoint, event=FIN_TX), mine)
        seen(f["idle_end_ns"], mine[f["idle_endpoint"][mine] == endpoint])
        seen(f["reset_ns"], mine[f["reset_by"][mine] == endpoint])
        rows = np.flatnonzero((m["endpoint"] == endpoint) & (m["mark"] != marks.MARK_ICMP_UNREACHABLE))
        rows = rows[heard[endpoint][m["flow"][rows]]]
        times.append(m["time_ns"][rows])
        flows.append(m["flow"][rows])
    seen(last_times(tables, CLIENT, event=SYN_ACK_RX), np.flatnonzero(heard[SERVER]))
    seen(f["start_ns"], np.flatnonzero(heard[CLIENT] & (f["midstream"] == 0)))
    when, where = np.concatenate(times).astype(np.int64), np.concatenate(flows).astype(np.int64)
    order = np.argsort(when, kind="stable")
    order = order[when[order] >= 0]
    return Sightings(when[order], where[order])
