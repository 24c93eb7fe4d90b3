"""Clients that try many ports: their attempts are told as one scan, whatever the answers were."""

from __future__ import annotations

import numpy as np

from pcapflow.anomalies.cite import proof
from pcapflow.anomalies.hits import per_group
from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import distinct, indices, side
from pcapflow.anomalies.lookup.groups import Groups, group, group_keys, host_keys
from pcapflow.anomalies.lookup.timeline import last_rows
from pcapflow.anomalies.model import LIKELY, MAX_FLOWS, BoolArray, Finding, Hits, IntArray, Severity
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp.states import CLIENT, RST_RX, SERVER, SYN_SENT
from pcapflow.text.phrases import counted, duration


def refused(tables: Tables) -> BoolArray:
    """Flows whose SYN was answered by an acceptable RST."""
    row = last_rows(tables, endpoint=CLIENT, old=SYN_SENT, event=RST_RX)
    return (row >= 0) & (side(tables.flows, SERVER, "rsts") > 0)


@cached_per_tables
def scans(tables: Tables, config: Config) -> Groups:
    """Failed attempts of clients that tried many ports: groups of flows by client."""
    f = tables.flows
    silent = (f["client_state"] == SYN_SENT) & (side(f, SERVER, "packets") == 0) & (side(f, CLIENT, "syns") > 0)
    failed = indices(silent | refused(tables))
    by_client = group(failed, host_keys(tables, CLIENT)[failed])
    scanning = [
        members
        for members in by_client.at_least(config.scan_ports)
        # Many tries at one port are no scan, whatever their number.
        if distinct(group_keys(side(f, SERVER, "lo")[members], f["server_port"][members])) >= config.scan_ports
        and distinct(f["server_port"][members]) >= min(config.scan_ports, len(members) // 2)
    ]
    members = np.concatenate(scanning) if scanning else np.zeros(0, dtype=np.int64)
    return Groups(
        members, np.concatenate(([0], np.cumsum([len(m) for m in scanning], dtype=np.int64))).astype(np.int64)
    )


def scan_hits(tables: Tables, flows: IntArray, outcome: str, *, weight: int) -> Hits:
    """One hit for each client among those whose scans these flows are of.

    ``outcome`` is how the attempts ended, in words; ``weight`` is the hits'.
    """
    by_client = group(flows, host_keys(tables, CLIENT)[flows])

    def finding(client: int) -> Finding:
        return _scan(tables, by_client.of(client), outcome)

    return per_group(range(len(by_client)), finding, weight=np.full(len(by_client), weight))


def _scan(tables: Tables, members: IntArray, outcome: str) -> Finding:
    f = tables.flows
    first = int(members[0])
    ports = distinct(f["server_port"][members])
    hosts = distinct(host_keys(tables, SERVER)[members])
    span = int(f["start_ns"][members].max() - f["start_ns"][members].min())
    return Finding(
        severity=Severity.LOW,
        endpoint=CLIENT,
        time_ns=int(f["start_ns"][members].min()),
        frames=proof(f["first_frame"][members[:8]].tolist()),
        detail=(
            f"{tables.ip(first, CLIENT)} tried {counted(ports, 'port')} of {counted(hosts, 'host')} in "
            f"{duration(span)} and {outcome}: a port scan"
        ),
        confidence=LIKELY,
        alternatives=("a client that looks for a service on many ports",),
        count=len(members),
        flows=tuple(members[:MAX_FLOWS].tolist()),
    )
