"""PF210: a client that uses up its ports."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pcapflow.anomalies.cite import proof
from pcapflow.anomalies.hits import no_hits, per_group
from pcapflow.anomalies.lookup.columns import indices
from pcapflow.anomalies.lookup.groups import group, group_keys, host_keys, peak, server_keys
from pcapflow.anomalies.lookup.timeline import (
    last_times,
)
from pcapflow.anomalies.model import LIKELY, MAX_FLOWS, Finding, Hits, IntArray, Severity
from pcapflow.anomalies.rule import Doubt, Lead, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp.completeness import COMPLETE_ACK
from pcapflow.tcp.states import (
    CLIENT,
    CLOSED,
    TIME_WAIT,
)
from pcapflow.text.phrases import counted
from pcapflow.text.times import time_of_day, to_ns


class Busy(NamedTuple):
    """Connections of one client to one server and port, and how many of its ports they held at most, since when."""

    flows: IntArray
    top: int
    when_ns: int


@rule(
    "PF210",
    "port-exhaustion-pressure",
    title="A client that runs out of ports",
    doubts=Doubt.CLOCK,
    lead=Lead("{who} [is|are] running out of ports"),
)
def port_exhaustion_pressure(tables: Tables, config: Config) -> Hits:
    """One client has nearly all its ephemeral ports in use towards one server and port.

    Means: each connection, open or in TIME_WAIT, occupies one of the client's ports for that server address and port.
        When none is left, connect() fails with "cannot assign requested address" until a TIME_WAIT ends.
    Do:
        Client: pool and reuse connections; widen `net.ipv4.ip_local_port_range`, allow `net.ipv4.tcp_tw_reuse`, or use
            more source addresses.
        Server: listen on more addresses or ports, or let idle connections live longer.
    Else: behind a NAT the ports counted here are those of the NAT, whose range may be smaller or shared.
    Source: RFC 6056; the number of ports is the setting ephemeral_ports (Linux: 32768 to 60999).
    """
    f = tables.flows
    least = max(config.ephemeral_ports // 2, 1)
    # An attempt that nobody answers gives its port back soon.
    opened = indices((f["completeness"] & COMPLETE_ACK) > 0)
    if len(opened) < least:
        return no_hits()
    owners = group_keys(host_keys(tables, CLIENT)[opened], server_keys(tables)[opened])
    pairs = group(opened, owners).at_least(least)
    waits = last_times(tables, CLIENT, new=TIME_WAIT) if pairs else f["end_ns"]
    busy = []
    for flows in pairs:
        state = f["client_state"][flows]
        until = np.where(state == CLOSED, f["end_ns"][flows], tables.capture.last_ns + 1)
        until = np.where(state == TIME_WAIT, waits[flows] + to_ns(config.msl2_s), until)
        top, when = peak(f["start_ns"][flows], np.maximum(until, f["start_ns"][flows] + 1))
        if top >= least:
            busy.append(Busy(flows, top, when))

    def finding(client: Busy) -> Finding:
        flows, top, when = client
        share = top / config.ephemeral_ports
        first = int(flows[0])
        severity = Severity.HIGH if share >= 0.95 else Severity.MEDIUM if share >= 0.75 else Severity.LOW
        return Finding(
            severity=severity,
            endpoint=CLIENT,
            time_ns=when,
            frames=proof(f["first_frame"][flows[:8]].tolist()),
            detail=(
                f"{tables.ip(first, CLIENT)} had {counted(top, 'port')} in use towards {tables.server(first)} "
                f"at {time_of_day(when)}, open or in TIME_WAIT, {share:.0%} of {config.ephemeral_ports:,}"
            ),
            confidence=LIKELY,
            alternatives=("the client's port range is wider, or it reuses TIME_WAIT ports",),
            count=len(flows),
            flows=tuple(flows[:MAX_FLOWS].tolist()),
        )

    return per_group(busy, finding, weight=[client.top for client in busy])
