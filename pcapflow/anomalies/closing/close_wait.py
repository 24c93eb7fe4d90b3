"""PF203 and PF204: one side has been told that the other closed, and does not close."""

from __future__ import annotations

import numpy as np

from pcapflow.anomalies.cite import in_frame, proof
from pcapflow.anomalies.closing.fin_wait_2 import not_stuck
from pcapflow.anomalies.closing.leaks import Leak, leaks
from pcapflow.anomalies.closing.waiting import Waiting, ended_waits, unclosed, wait_severity
from pcapflow.anomalies.hits import Hit, per_flow, per_group
from pcapflow.anomalies.lookup.timeline import Step, Story
from pcapflow.anomalies.model import CERTAIN, LIKELY, MAX_FLOWS, POSSIBLE, Finding, Hits, Severity
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
    RST_RX,
    SERVER,
)
from pcapflow.text.phrases import duration
from pcapflow.text.times import time_of_day, to_ns


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
    Else: a half-close whose answer takes long looks the same until data flows. A wait that was as long and then ended,
        by a late FIN or because what was sent at last drew a RST, is told with less weight. Who is in FIN_WAIT_2 on the
        other side is not at fault (PF202 is the same wait seen from there).
    Source: RFC 9293, 3.6; RFC 1122, 4.2.2.13.
    """
    still, ended = unclosed(tables, config), ended_waits(tables, config)
    waiting = Waiting(*(np.concatenate(columns) for columns in zip(still, ended, strict=True)))
    flows, endpoints = waiting.flows, waiting.endpoints
    is_over = np.arange(len(flows)) >= len(still.flows)
    leaking = np.zeros((2, len(tables.flows)), dtype=np.int64)
    for leak in leaks(tables, config):
        leaking[leak.endpoint, leak.flows] = len(leak.flows)
    part_of = leaking[endpoints, flows]
    severity = wait_severity(waiting.waited_ns, config)
    stuck = (waiting.waited_ns >= to_ns(config.stuck_s)) & ~is_over
    severity = np.where(stuck & (part_of == 0), int(Severity.MEDIUM), severity)

    def finding(story: Story, hit: Hit) -> Finding:
        row, flow, endpoint = hit
        peer = 1 - endpoint
        fin, ack = story.frame(flow, peer, event=FIN_TX), story.step(flow, peer, event=ACK_OF_FIN_RX)
        fin = fin or story.frame(flow, endpoint, event=FIN_RX)
        waited = int(waiting.waited_ns[row])
        end = story.step(flow, endpoint, old=CLOSE_WAIT) if is_over[row] else None
        one_of = f"; one of {part_of[row]:,} such connections that PF204 tells of" if part_of[row] else ""
        return Finding(
            severity=Severity(int(severity[row])),
            flow=flow,
            endpoint=endpoint,
            time_ns=int(waiting.since_ns[row]),
            frames=proof([fin, ack.frame if ack else 0, end.frame if end else 0]),
            detail=(
                f"{tables.name(flow, endpoint)} {'acknowledged' if ack else 'got'} the FIN of "
                f"{tables.name(flow, peer)}{in_frame(fin)} and sent neither data nor a FIN of its own for "
                f"{duration(waited)}, {_until(tables, flow, endpoint, end)}{one_of}"
            ),
            confidence=CERTAIN if waited >= to_ns(config.stuck_s) and ack else LIKELY if part_of[row] else POSSIBLE,
            alternatives=not_stuck(waited, config),
        )

    return per_flow(tables, flows, finding, weight=severity * 1e12 + waiting.waited_ns / 1e9, endpoints=endpoints)


def _until(tables: Tables, flow: int, endpoint: int, end: Step | None) -> str:
    """How a wait in CLOSE_WAIT ended."""
    if end is None:
        return "to the end of the capture"
    if end.event == FIN_TX:
        return f"until it closed{in_frame(end.frame)}"
    who = tables.name(flow, 1 - endpoint) if end.event == RST_RX else "it"
    return f"until {who} reset the connection{in_frame(end.frame)}"


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
        drain before the end are left out; those that all end in one moment after different waits did not drain, but
        ended with their process.
    Source: RFC 9293, 3.6; the number is the setting leak_flows.
    """
    found = leaks(tables, config)

    def finding(leak: Leak) -> Finding:
        story = Story(tables, leak.flows[:6])
        frames = []
        for flow in leak.flows[:6].tolist():
            frames += [story.frame(flow, 1 - leak.endpoint, event=FIN_TX)]
            frames += [story.frame(flow, 1 - leak.endpoint, event=ACK_OF_FIN_RX)]
        first = int(leak.flows[0])
        server, client = tables.server(first), tables.ip(first, CLIENT)
        who, where = (server, "") if leak.endpoint == SERVER else (client, f" to {server}")
        number = f"all {leak.total:,}" if leak.at_end == leak.total else f"{leak.at_end:,} of {leak.total:,}"
        top = "" if leak.peak == leak.at_end else f", {leak.peak:,} at the peak"
        is_over = leak.end_ns >= 0
        certain = leak.stuck >= config.leak_flows
        waiting = len(leak.flows)
        share = "all" if waiting == leak.at_end else f"{waiting:,} of these"
        least, most = duration(int(leak.waited_ns.min())), duration(int(leak.waited_ns[0]))
        until = "at the end of the capture"
        if is_over:
            within = f" within {duration(leak.span_ns)}" if leak.span_ns else ""
            until = f"until {time_of_day(leak.end_ns)}, when they ended together{within}"
        return Finding(
            severity=Severity.HIGH if certain and not is_over else Severity.MEDIUM,
            endpoint=leak.endpoint,
            time_ns=int(leak.since_ns.min()),
            frames=proof(frames),
            detail=(
                f"{who} {'did' if is_over else 'does'} not close its connections: {number}{where} were "
                f"in CLOSE_WAIT {until}{top}; on {share} it "
                f"{'had' if is_over else 'has'} had the {ENDPOINT_NAMES[1 - leak.endpoint]}'s FIN for {least}"
                f"{' or longer' if most != least else ''} and sent none of its own, "
                f"{f'on the oldest for {most}, ' if most != least else ''}since {time_of_day(int(leak.since_ns[0]))}"
            ),
            confidence=CERTAIN if certain else LIKELY,
            alternatives=()
            if certain
            else ("a program that ends soon and leaves that to the end",)
            if is_over
            else ("closes that are under way when the capture ends",),
            count=len(leak.flows),
            flows=tuple(leak.flows[:MAX_FLOWS].tolist()),
        )

    weight = [len(leak.flows) + 1e9 * (leak.stuck >= config.leak_flows and leak.end_ns < 0) for leak in found]
    return per_group(found, finding, weight=weight)
