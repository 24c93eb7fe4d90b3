"""PF209 and PF212: endpoints in TIME_WAIT, many of them or cut short."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pcapflow.anomalies.cite import in_frame, proof
from pcapflow.anomalies.closing.ports import PRESSING, busy_clients
from pcapflow.anomalies.closing.rates import Rate, busiest
from pcapflow.anomalies.hits import Hit, no_hits, per_flow, per_group
from pcapflow.anomalies.lookup.columns import SIDES, among
from pcapflow.anomalies.lookup.groups import group, host_keys, peak
from pcapflow.anomalies.lookup.timeline import Story, last_rows
from pcapflow.anomalies.model import LIKELY, MAX_FLOWS, NOBODY, BoolArray, Finding, Hits, IntArray, Severity
from pcapflow.anomalies.resets.ttl import usual_ttls
from pcapflow.anomalies.rule import Doubt, Lead, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp.marks import MARK_RESET_AFTER_CLOSE
from pcapflow.tcp.states import (
    CLIENT,
    CLOSING,
    ENDPOINT_NAMES,
    FIN_WAIT_1,
    LAST_ACK,
    RST_RX,
    RST_TX,
    SERVER,
    TIME_WAIT,
)
from pcapflow.text.phrases import counted, duration
from pcapflow.text.times import time_of_day, to_ns


class Crowd(NamedTuple):
    """Rows of ``transitions`` into TIME_WAIT at one host, its settings, how fast they came, and how many at once."""

    members: IntArray
    config: Config
    rate: Rate
    top: int
    when_ns: int


@rule(
    "PF209",
    "time-wait-accumulation",
    title="Many connections in TIME_WAIT",
    doubts=Doubt.CLOCK,
    lead=Lead("TIME_WAIT piles up at {who}"),
)
def time_wait_accumulation(tables: Tables, config: Config) -> Hits:
    """A host closes connections so fast that it keeps as many in TIME_WAIT as a client has ports.

    Means: this host closes first, and so keeps each connection in TIME_WAIT for two maximum segment lifetimes (60 s on
        Linux). TIME_WAIT is right and cheap, and a steady rate keeps as many as close within that time. So many that
        half of a client's ports towards one server would be taken say that connections are short and many.
    Do:
        Client: keep connections alive and pool them; `net.ipv4.tcp_tw_reuse` lets a client reuse its own ports after a
            second.
        Server: let clients close first, or keep connections open longer; SO_REUSEADDR lets it restart at once.
    Else: not a fault as such, whatever the number: a thousand at eight a second are health. A client that runs out of
        ports shows PF210.
    Source: RFC 9293, 3.4.2 and 3.6.1; the duration is the setting msl2_s, since TIME_WAIT's end is not on the wire.
    """
    t = tables.transitions
    rows = np.flatnonzero(t["new"] == TIME_WAIT)
    least = max(config.time_wait_many, 2)
    if len(rows) < least:
        return no_hits()
    flows, endpoints = t["flow"][rows], t["endpoint"][rows].astype(np.int64)
    hosts = np.where(endpoints == CLIENT, host_keys(tables, CLIENT)[flows], host_keys(tables, SERVER)[flows])
    many = []
    for members in group(np.arange(len(rows)), hosts).at_least(least):
        times = t["time_ns"][rows[members]]
        own = config.of_host(tables.ip(int(flows[members[0]]), int(endpoints[members[0]])))
        rate = busiest(tables.flows["start_ns"][flows[members]], times, own)
        if rate is not None and rate.share(own) >= PRESSING:
            many.append(Crowd(members, own, rate, *peak(times, times + to_ns(own.msl2_s))))
    by_ports = np.zeros(len(tables.flows), dtype=bool)
    for client in busy_clients(tables, config):
        by_ports[client.flows] = True

    def shown_by_ports(crowd: IntArray) -> bool:
        return bool(by_ports[flows[crowd]].mean() > 0.5)

    def finding(host: Crowd) -> Finding:
        crowd, own, rate, top, when = host
        as_client = int(np.count_nonzero(endpoints[crowd] == CLIENT))
        endpoint = CLIENT if as_client * 2 >= len(crowd) else SERVER
        first = int(flows[crowd[0]])
        who = tables.ip(first, int(endpoints[crowd[0]]))
        part = "; PF210 tells what it leads to" if shown_by_ports(crowd) else ""
        return Finding(
            severity=Severity.LOW if rate.share(own) >= 1 and not part else Severity.INFO,
            endpoint=endpoint,
            time_ns=rate.start_ns,
            frames=proof(t["frame"][rows[crowd[:8]]].tolist()),
            detail=(
                f"{who}, as the {ENDPOINT_NAMES[endpoint]}, was the first to close "
                f"{counted(len(crowd), 'connection')}, {rate.words()}; at {duration(to_ns(own.msl2_s))} each, "
                f"up to {top:,} were in TIME_WAIT at once ({time_of_day(when)}), and {rate.at_once(own):,} would be "
                f"at that rate, where a client has {own.ephemeral_ports:,} ports for one server{part}"
            ),
            confidence=LIKELY,
            alternatives=("its system keeps TIME_WAIT shorter than assumed, see the setting msl2_s",),
            count=len(crowd),
            flows=tuple(flows[crowd[:MAX_FLOWS]].tolist()),
        )

    weight = [
        host.top + 1e12 * (host.rate.share(host.config) >= 1 and not shown_by_ports(host.members)) for host in many
    ]
    return per_group(many, finding, weight=weight)


@rule(
    "PF212",
    "time-wait-assassinated",
    title="TIME_WAIT cut short by a reset",
    lead=Lead(
        "{who} cut its peer's TIME_WAIT short with a reset",
        "{who} [cuts|cut] [its|their] peers' TIME_WAIT short with resets",
    ),
)
def time_wait_assassinated(tables: Tables, config: Config) -> Hits:
    """A RST was accepted by an endpoint in TIME_WAIT.

    Means: TIME_WAIT protects a new connection on the same ports from old segments, and the RST ended it early. Usually
        the peer got a late segment for a connection it had already forgotten and answered with a RST.
    Do:
        Client: nothing; with `net.ipv4.tcp_rfc1337=1` Linux ignores such resets.
        Server: likewise.
    Else: harmless unless the same ports are used again at once while old segments are still on their way. A side that
        resets before anything answered its FIN, as an abort on purpose right after a close, cuts nothing short.
    Source: RFC 1337.
    """
    del config
    t = tables.transitions
    rows = np.flatnonzero((t["old"] == TIME_WAIT) & (t["event"] == RST_RX))
    rows = rows[~_by_a_socket(tables, rows)]
    flows = t["flow"][rows]
    usual_ttl = usual_ttls(tables, flows, 1 - t["endpoint"][rows].astype(np.int64))

    def finding(story: Story, hit: Hit) -> Finding:
        row, flow, _ = hit
        endpoint = int(t["endpoint"][rows[row]])
        frame, when = int(t["frame"][rows[row]]), int(t["time_ns"][rows[row]])
        entered = story.step(flow, endpoint, new=TIME_WAIT)
        ttl = next((mark.value for mark in story.marks(flow, MARK_RESET_AFTER_CLOSE) if mark.frame == frame), -1)
        usual = int(usual_ttl[row])
        foreign = usual >= 0 and ttl > 0 and ttl != usual
        whose = (
            f"; the RST's TTL is {ttl} where that of its other packets is {usual}: a device on the way may have sent it"
        )
        after = duration(when - entered.time_ns) if entered else "a while"
        return Finding(
            severity=Severity.INFO,
            flow=flow,
            endpoint=NOBODY if foreign else 1 - endpoint,
            time_ns=when,
            frames=proof([entered.frame if entered else 0, frame]),
            detail=(
                f"{tables.name(flow, 1 - endpoint)} sent a RST{in_frame(frame)} to "
                f"{tables.name(flow, endpoint)}, which had entered TIME_WAIT {after} before{whose if foreign else ''}"
            ),
            confidence=LIKELY,
            alternatives=(f"{tables.name(flow, endpoint)} ignores resets in TIME_WAIT (`net.ipv4.tcp_rfc1337=1`)",),
        )

    return per_flow(tables, flows, finding, weight=np.zeros(len(flows), dtype=np.int64))


def _by_a_socket(tables: Tables, rows: IntArray) -> BoolArray:
    """Whether who sent the RST still waited for the ACK of its own FIN then: its own abort, and no answer of nobody.

    ``rows`` are transitions of who took the RST.
    """
    t = tables.transitions
    by_itself = np.zeros(len(rows), dtype=bool)
    for endpoint in SIDES:
        sent = last_rows(tables, endpoint=endpoint, event=RST_TX)[t["flow"][rows]]
        waited = among(t["old"][sent], (FIN_WAIT_1, CLOSING, LAST_ACK)) & (t["frame"][sent] == t["frame"][rows])
        by_itself |= (sent >= 0) & waited & (t["endpoint"][rows] != endpoint)
    return by_itself
