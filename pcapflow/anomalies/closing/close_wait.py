"""PF203 and PF204: one side has been told that the other closed, and does not close."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pcapflow.anomalies.capture_quality import quality
from pcapflow.anomalies.cite import in_frame, proof
from pcapflow.anomalies.closing.fin_wait_2 import not_stuck
from pcapflow.anomalies.closing.waiting import Waiting, unclosed, wait_severity
from pcapflow.anomalies.hits import Hit, per_flow, per_group
from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import SIDES, indices
from pcapflow.anomalies.lookup.groups import group, group_keys, host_keys, peak, server_keys
from pcapflow.anomalies.lookup.timeline import (
    Story,
    last_times,
)
from pcapflow.anomalies.model import CERTAIN, LIKELY, MAX_FLOWS, POSSIBLE, Finding, Hits, IntArray, Severity
from pcapflow.anomalies.rule import Doubt, Lead, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp.states import (
    ACK_OF_FIN_RX,
    CLIENT,
    CLOSE_WAIT,
    ENDPOINT_NAMES,
    FIN_RX,
    FIN_TX,
    SERVER,
)
from pcapflow.text.phrases import duration
from pcapflow.text.times import time_of_day, to_ns


class Leak(NamedTuple):
    """Connections that one application does not close."""

    endpoint: int
    flows: IntArray
    since_ns: IntArray
    waited_ns: IntArray
    total: int
    at_end: int
    peak: int
    stuck: int


@cached_per_tables
def _leaks(tables: Tables, config: Config) -> list[Leak]:
    """Applications with several connections in CLOSE_WAIT that do not drain."""
    waiting = unclosed(tables, config)
    found = []
    for endpoint in SIDES:
        mine = np.flatnonzero((waiting.endpoints == endpoint) & ~quality(tables).unheard[waiting.flows])
        if len(mine) < config.leak_flows:
            continue
        owners = server_keys(tables)
        if endpoint == CLIENT:
            owners = group_keys(host_keys(tables, CLIENT), owners)
        entered = last_times(tables, endpoint, new=CLOSE_WAIT)
        left = last_times(tables, endpoint, old=CLOSE_WAIT)
        passed = indices(entered >= 0)
        by_owner = {int(owners[flows[0]]): flows for flows in group(passed, owners[passed]).at_least(config.leak_flows)}
        for members in group(mine, owners[waiting.flows[mine]]).at_least(config.leak_flows):
            owner = int(owners[waiting.flows[members[0]]])
            flows = by_owner[owner]
            leak = _leak(tables, config, endpoint, waiting, members, entered[flows], left[flows])
            if leak:
                found.append(leak._replace(total=int(np.count_nonzero(owners == owner))))
    return found


def _leak(
    tables: Tables,
    config: Config,
    endpoint: int,
    waiting: Waiting,
    members: IntArray,
    entered: IntArray,
    left: IntArray,
) -> Leak | None:
    gone = left >= entered
    longest_drained = int((left - entered)[gone].max()) if gone.any() else 0
    waited = waiting.waited_ns[members]
    # In a short capture a slow but working close looks stuck; it is not where others took as long and closed.
    members = members[(waited >= to_ns(config.stuck_s)) | (waited > longest_drained)]
    if len(members) < config.leak_flows:
        return None
    at_end = int(np.count_nonzero(~gone))
    top, _ = peak(entered, np.where(gone, left, tables.capture.last_ns + 1))
    if at_end * 2 < top:
        return None
    oldest = members[np.argsort(-waiting.waited_ns[members], kind="stable")]
    return Leak(
        endpoint,
        waiting.flows[oldest],
        waiting.since_ns[oldest],
        waiting.waited_ns[oldest],
        total=0,
        at_end=at_end,
        peak=top,
        stuck=int(np.count_nonzero(waiting.waited_ns[oldest] >= to_ns(config.stuck_s))),
    )


@rule(
    "PF203",
    "stuck-close-wait",
    title="Connections stuck in CLOSE_WAIT",
    doubts=Doubt.ONE_WAY | Doubt.GAPS | Doubt.CLOCK,
    lead=Lead(
        "{who} does not close its side of a connection", "{who} [does|do] not close [its|their] side of connections"
    ),
)
def stuck_close_wait(tables: Tables, config: Config) -> Hits:
    """An endpoint got its peer's FIN and does not send its own.

    Means: the peer has ended its stream. The endpoint's kernel acknowledged that at once; from then on the connection
        waits for the endpoint's application to call close(), which it does not do. Nothing in the network can change
        that, and no time-out ends it.
    Do:
        Server: if it is the side in CLOSE_WAIT, close the socket on every path, errors too; a read of 0 bytes is the
            end of the stream. `ss -tnp state close-wait` names the process.
        Client: if it is the side in CLOSE_WAIT (often a connection pool), let the pool look for closed connections
            before reuse, and set an idle time shorter than the server's.
    Else: a half-close whose answer takes long looks the same until data flows. Who is in FIN_WAIT_2 on the other side
        is not at fault (PF202 is the same wait seen from there).
    Source: RFC 9293, 3.6; RFC 1122, 4.2.2.13.
    """
    waiting = unclosed(tables, config)
    flows, endpoints = waiting.flows, waiting.endpoints
    leaks = _leaks(tables, config)
    leaking = np.zeros((2, len(tables.flows)), dtype=np.int64)
    for leak in leaks:
        leaking[leak.endpoint, leak.flows] = len(leak.flows)
    part_of = leaking[endpoints, flows]
    severity = wait_severity(waiting.waited_ns, config)
    severity = np.where((waiting.waited_ns >= to_ns(config.stuck_s)) & (part_of == 0), int(Severity.MEDIUM), severity)

    def finding(story: Story, hit: Hit) -> Finding:
        row, flow, endpoint = hit
        peer = 1 - endpoint
        fin, ack = story.frame(flow, peer, event=FIN_TX), story.step(flow, peer, event=ACK_OF_FIN_RX)
        fin = fin or story.frame(flow, endpoint, event=FIN_RX)
        waited = int(waiting.waited_ns[row])
        one_of = f"; one of {part_of[row]:,} such connections that PF204 tells of" if part_of[row] else ""
        return Finding(
            severity=Severity(int(severity[row])),
            flow=flow,
            endpoint=endpoint,
            time_ns=int(waiting.since_ns[row]),
            frames=proof([fin, ack.frame if ack else 0]),
            detail=(
                f"{tables.name(flow, endpoint)} {'acknowledged' if ack else 'got'} the FIN of "
                f"{tables.name(flow, peer)}{in_frame(fin)} and sent neither data nor a FIN of its own for "
                f"{duration(waited)}, to the end of the capture{one_of}"
            ),
            confidence=CERTAIN if waited >= to_ns(config.stuck_s) and ack else LIKELY if part_of[row] else POSSIBLE,
            alternatives=not_stuck(waited, config),
        )

    return per_flow(tables, flows, finding, weight=severity * 1e12 + waiting.waited_ns / 1e9, endpoints=endpoints)


@rule(
    "PF204",
    "close-wait-leak",
    title="Connections left in CLOSE_WAIT",
    doubts=Doubt.GAPS | Doubt.CLOCK,
    lead=Lead("{who} [does|do] not close [its|their] connections"),
)
def close_wait_leak(tables: Tables, config: Config) -> Hits:
    """An application leaves many of its connections in CLOSE_WAIT.

    Means: on one endpoint several connections whose peer has closed are kept open, and they do not drain: the
        application loses track of its sockets. Each holds a file descriptor and memory; in the end it fails with "too
        many open files".
    Do:
        Server: close the socket on every path, errors and time-outs too; `ss -tnp state close-wait` names the process,
            and its descriptors show which sockets it forgot.
        Client: if it is the side that leaks, look at its connection pool: evict connections the server has closed.
    Else: an intended half-close would still send data; connections that do are not counted. Endpoints whose CLOSE_WAITs
        drain before the end are left out.
    Source: RFC 9293, 3.6; the number is the setting leak_flows.
    """
    leaks = _leaks(tables, config)

    def finding(leak: Leak) -> Finding:
        story = Story(tables, leak.flows[:6])
        frames = []
        for flow in leak.flows[:6].tolist():
            frames += [story.frame(flow, 1 - leak.endpoint, event=FIN_TX)]
            frames += [story.frame(flow, 1 - leak.endpoint, event=ACK_OF_FIN_RX)]
        first = int(leak.flows[0])
        server, client = tables.server(first), tables.ip(first, CLIENT)
        who, where = (server, "") if leak.endpoint == SERVER else (client, f" to {server}")
        certain = leak.stuck >= config.leak_flows
        waiting = len(leak.flows)
        share = "all" if waiting == leak.at_end else f"{waiting:,} of these"
        return Finding(
            severity=Severity.HIGH if certain else Severity.MEDIUM,
            endpoint=leak.endpoint,
            time_ns=int(leak.since_ns.min()),
            frames=proof(frames),
            detail=(
                f"{who} does not close its connections: {leak.at_end:,} of {leak.total:,}{where} were in "
                f"CLOSE_WAIT at the end of the capture, {leak.peak:,} at the peak; on {share} it has had the "
                f"{ENDPOINT_NAMES[1 - leak.endpoint]}'s FIN for {duration(int(leak.waited_ns.min()))} or "
                f"longer and sent none of its own, on the oldest for {duration(int(leak.waited_ns[0]))}, since "
                f"{time_of_day(int(leak.since_ns[0]))}"
            ),
            confidence=CERTAIN if certain else LIKELY,
            alternatives=() if certain else ("closes that are under way when the capture ends",),
            count=len(leak.flows),
            flows=tuple(leak.flows[:MAX_FLOWS].tolist()),
        )

    weight = [len(leak.flows) + 1e9 * (leak.stuck >= config.leak_flows) for leak in leaks]
    return per_group(leaks, finding, weight=weight)
