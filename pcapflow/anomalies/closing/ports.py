"""PF210: a client that uses up its ports, or would."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.cite import proof
from pcapflow.anomalies.closing.rates import Rate, busiest
from pcapflow.anomalies.hits import per_group
from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import indices
from pcapflow.anomalies.lookup.groups import group, group_keys, host_keys, peak, server_keys
from pcapflow.anomalies.lookup.habits import client_ports, of_client
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
from pcapflow.text.phrases import counted, duration
from pcapflow.text.times import time_of_day, to_ns

PRESSING: Final = 0.5
"""A client that has, or is about to have, half its ports in use is worth telling."""


class Busy(NamedTuple):
    """Connections of one client to one server and port.

    Attributes:
        flows: the connections.
        config: the settings for the client: how many ports it has, and for how long each is held.
        top, when_ns: how many ports they held at most, and since when.
        rate: how fast they went into TIME_WAIT; None where there were too few to tell.
    """

    flows: IntArray
    config: Config
    top: int
    when_ns: int
    rate: Rate | None


@cached_per_tables
def busy_clients(tables: Tables, config: Config) -> list[Busy]:
    """Clients that use up their ports towards one server, or would at the rate at which they close."""
    f = tables.flows
    least = min(
        max(int(config.ephemeral_ports * PRESSING), 1), max(min(config.closing_turns, config.time_wait_many), 2)
    )
    # An attempt that nobody answers gives its port back soon.
    opened = indices((f["completeness"] & COMPLETE_ACK) > 0)
    if len(opened) < least:
        return []
    owners = group_keys(host_keys(tables, CLIENT)[opened], server_keys(tables)[opened])
    pairs = group(opened, owners).at_least(least)
    waits = last_times(tables, CLIENT, new=TIME_WAIT) if pairs else f["end_ns"]
    busy = []
    for flows in pairs:
        own = of_client(tables, config, int(flows[0]))
        state = f["client_state"][flows]
        until = np.where(state == CLOSED, f["end_ns"][flows], tables.capture.last_ns + 1)
        until = np.where(state == TIME_WAIT, waits[flows] + to_ns(own.msl2_s), until)
        top, when = peak(f["start_ns"][flows], np.maximum(until, f["start_ns"][flows] + 1))
        closed = flows[waits[flows] >= 0]
        rate = busiest(f["start_ns"][closed], waits[closed], own)
        half = max(int(own.ephemeral_ports * PRESSING), 1)
        if top >= half or (rate is not None and _presses(tables, own, rate)):
            busy.append(Busy(flows, own, top, when, rate))
    return busy


def _presses(tables: Tables, config: Config, rate: Rate) -> bool:
    """Whether a rate is worth telling: that of a few connections only as long as nothing shows that it did not last."""
    return rate.share(config) >= PRESSING and (
        rate.number >= config.time_wait_many or not _is_over(tables, config, rate)
    )


@rule(
    "PF210",
    "port-exhaustion-pressure",
    title="A client that runs out of ports",
    doubts=Doubt.CLOCK,
    lead=Lead("{who} [is|are] running out of ports"),
)
def port_exhaustion_pressure(tables: Tables, config: Config) -> Hits:
    """One client uses up its ephemeral ports towards one server and port, or would at the rate at which it closes.

    Means: each connection, open or in TIME_WAIT, occupies one of the client's ports for that server address and port.
        When none is left, connect() fails with "cannot assign requested address" until a TIME_WAIT ends. A steady rate
        holds as many ports as connections close within a TIME_WAIT: below 470 a second, 28,232 ports are enough.
    Do:
        Client: pool and reuse connections; widen `net.ipv4.ip_local_port_range`, allow `net.ipv4.tcp_tw_reuse`, or use
            more source addresses.
        Server: listen on more addresses or ports, or let idle connections live longer.
    Else: behind a NAT the ports counted here are those of the NAT, whose range may be smaller or shared. A burst that
        is over leads nowhere, and is told with less weight.
    Source: RFC 6056. The ports that the client took tell its range, or else the setting ephemeral_ports (Linux: 32768
        to 60999) is assumed; how long each is held is the setting msl2_s, or that of the stack that [stack] names.
    """
    f = tables.flows
    busy = busy_clients(tables, config)

    def finding(client: Busy) -> Finding:
        flows, own, top, when, rate = client
        share = top / max(own.ephemeral_ports, 1)
        first = int(flows[0])
        percent = f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"
        detail = (
            f"{tables.ip(first, CLIENT)} had {counted(top, 'port')} in use towards {tables.server(first)} "
            f"at {time_of_day(when)}, open or in TIME_WAIT, {percent} of {client_ports(tables, config, first).words()}"
        )
        return Finding(
            severity=_pressure(tables, client),
            endpoint=CLIENT,
            time_ns=when if share >= PRESSING or rate is None else rate.start_ns,
            frames=proof(f["first_frame"][flows[:8]].tolist()),
            detail=f"{detail}{_leads_to(tables, own, rate)}",
            confidence=LIKELY,
            alternatives=("the client's port range is wider, or it reuses TIME_WAIT ports",),
            count=len(flows),
            flows=tuple(flows[:MAX_FLOWS].tolist()),
        )

    weight = [_pressure(tables, client) * 1e12 + client.top for client in busy]
    return per_group(busy, finding, weight=weight)


def _pressure(tables: Tables, client: Busy) -> Severity:
    config = client.config
    share = client.top / max(config.ephemeral_ports, 1)
    if share >= 0.95:
        return Severity.HIGH
    rate = client.rate
    runs_out = rate is not None and rate.number >= config.time_wait_many and rate.share(config) >= 1
    if share >= 0.75 or (rate is not None and runs_out and not _is_over(tables, config, rate)):
        return Severity.MEDIUM
    return Severity.LOW


def _is_over(tables: Tables, config: Config, rate: Rate) -> bool:
    """Whether the capture goes on, past the moment when no port would have been left, at no such rate."""
    return tables.capture.last_ns > rate.start_ns + max(rate.exhaustion_ns(config), 2 * rate.span_ns)


def _leads_to(tables: Tables, config: Config, rate: Rate | None) -> str:
    """What a rate leads to, as the end of a sentence."""
    if rate is None or rate.share(config) < PRESSING:
        return ""
    text = f"; it closed {rate.words()}"
    if rate.share(config) >= 1:
        text += (
            f": at that rate the {config.ephemeral_ports:,} ports are used up in "
            f"{duration(rate.exhaustion_ns(config))}, before the first TIME_WAIT ends"
        )
    else:
        text += f": at that rate {rate.share(config):.0%} of its ports are always in TIME_WAIT"
    return f"{text}; it did not go on so" if _is_over(tables, config, rate) else text
