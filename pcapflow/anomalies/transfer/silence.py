"""PF402 and PF403: a peer that is not heard any more."""

from __future__ import annotations

import numpy as np

from pcapflow.anomalies.cite import in_frames, proof
from pcapflow.anomalies.hits import Hit, per_flow
from pcapflow.anomalies.lookup.columns import SIDES, among, cell, indices, side
from pcapflow.anomalies.lookup.timeline import Story, count_marks, frames_of
from pcapflow.anomalies.model import CERTAIN, LIKELY, Finding, Hits, Severity
from pcapflow.anomalies.opening.icmp import SEE_ICMP, ended_by_icmp
from pcapflow.anomalies.rule import Doubt, Lead, rule
from pcapflow.anomalies.transfer.repeats import REPEATS, both
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.states import CLOSED, SYN_RCVD, SYN_SENT, TIME_WAIT
from pcapflow.text.phrases import counted, duration


@rule(
    "PF402",
    "peer-vanished",
    title="Peers that vanish",
    doubts=Doubt.ONE_WAY | Doubt.GAPS | Doubt.DUPLICATES,
    lead=Lead(
        "One side of a connection to {server} vanished in the middle of it",
        "One side of connections to {server} vanishes in the middle of them",
    ),
)
def peer_vanished(tables: Tables, config: Config) -> Hits:
    """One side repeated its data again and again, and nothing came back.

    Means: in the middle of the connection the other host, or the path to it, went away. The sender repeats with growing
        pauses until it gives up, on Linux after about 15 minutes.
    Do:
        Client: if it waits for too long, set TCP_USER_TIMEOUT or a time-out in the application; `net.ipv4.tcp_retries2`
            (15) does it for the whole host.
        Server: see whether the silent host was restarted, moved or lost its link at that time.
        Network: see whether routes or firewall states changed at that time (`ip monitor route`, `conntrack -E`);
            compare with other connections to the host.
    Else: where only large segments are repeated it may be the path's MTU (PF405); where the silence before was long, a
        forgotten state (PF305).
    Source: RFC 6298; RFC 9293, 3.8.3; Linux tcp_retries2.
    """
    f = tables.flows
    per_side, repeats = [], []
    for endpoint in SIDES:
        heard = side(f, 1 - endpoint, "last_ns")
        # A repeated SYN or FIN has rules of its own.
        again = count_marks(tables, *REPEATS, endpoint=endpoint, after_ns=heard, least=1)
        states = side(f, endpoint, "state")
        open_ = ~among(states, (SYN_SENT, SYN_RCVD)) & ((f["reset_frame"] <= 0) | (states == CLOSED))
        flows = indices((again >= config.vanished_retries) & open_ & (states != TIME_WAIT) & (heard >= 0))
        per_side.append(flows)
        repeats.append(again[flows])
    flows, endpoints = both(per_side)
    explained = ended_by_icmp(tables, config)[flows]

    def finding(story: Story, hit: Hit) -> Finding:
        row, flow, endpoint = hit
        heard = cell(f, flow, 1 - endpoint, "last_ns")
        again = [row for row in story.marks(flow, *REPEATS, endpoint=endpoint, after_ns=heard) if row.value > 0]
        other = tables.name(flow, 1 - endpoint)
        return Finding(
            severity=Severity.INFO if explained[row] else Severity.MEDIUM,
            flow=flow,
            time_ns=again[0].time_ns,
            frames=proof(frames_of(again)),
            detail=(
                f"{tables.name(flow, endpoint)} repeated its data "
                f"{counted(len(again), 'time')}{in_frames(frames_of(again))} over "
                f"{duration(again[-1].time_ns - again[0].time_ns)} without any answer; {other} was last heard "
                f"{duration(again[0].time_ns - heard)} before the first repeat"
                f"{SEE_ICMP if explained[row] else ''}"
            ),
            confidence=LIKELY,
            alternatives=() if explained[row] else (f"{other} is gone", "the path is broken in one direction or both"),
        )

    weight = np.where(explained, 0, np.concatenate(repeats))
    return per_flow(tables, flows, finding, weight=weight, endpoints=endpoints)


@rule(
    "PF403",
    "keepalive-failed",
    title="Keep-alives without an answer",
    doubts=Doubt.ONE_WAY | Doubt.GAPS | Doubt.DUPLICATES,
    lead=Lead(
        "Keep-alives on a connection to {server} were not answered",
        "Keep-alives on connections to {server} are not answered",
    ),
)
def keepalive_failed(tables: Tables, config: Config) -> Hits:
    """Keep-alives were sent and not answered.

    Means: the connection was idle, and when one side asked whether the other was still there, nothing came back. After
        the last try it resets the connection or drops it silently.
    Do:
        Client: if it probes, keep-alives did what they are for: reconnect.
        Server: likewise; if it is the silent side, see whether its host or the path was down.
        Network: look for a firewall or NAT that forgot the idle connection; keep-alives must come more often than its
            time-out (TCP_KEEPIDLE, `net.ipv4.tcp_keepalive_time`, 7200 s unless set).
    Else: one unanswered keep-alive is chance and not told; answered keep-alives are ordinary.
    Source: RFC 9293, 3.8.4; Linux tcp_keepalive_probes (9) and tcp_keepalive_intvl (75 s).
    """
    f = tables.flows
    per_side, probes = [], []
    for endpoint in SIDES:
        heard = side(f, 1 - endpoint, "last_ns")
        asked = count_marks(tables, marks.KEEP_ALIVE, endpoint=endpoint, after_ns=heard)
        flows = indices((asked >= config.keepalive_probes) & (heard >= 0))
        per_side.append(flows)
        probes.append(asked[flows])
    flows, endpoints = both(per_side)

    def finding(story: Story, hit: Hit) -> Finding:
        _, flow, endpoint = hit
        asked = story.marks(flow, marks.KEEP_ALIVE, endpoint=endpoint, after_ns=cell(f, flow, 1 - endpoint, "last_ns"))
        reset = story.marks(flow, marks.MARK_RESET, endpoint=endpoint, after_ns=asked[-1].time_ns)
        who, other = tables.name(flow, endpoint), tables.name(flow, 1 - endpoint)
        end = f"; then {who} reset the connection{in_frames(frames_of(reset))}" if reset else ""
        return Finding(
            severity=Severity.MEDIUM,
            flow=flow,
            time_ns=asked[0].time_ns,
            frames=proof([*frames_of(asked), *frames_of(reset)]),
            detail=(
                f"{who} sent {counted(len(asked), 'keep-alive')}{in_frames(frames_of(asked))} over "
                f"{duration(asked[-1].time_ns - asked[0].time_ns)}, and {other} answered none of them{end}"
            ),
            confidence=CERTAIN,
            alternatives=(f"{other} is gone", "a device in between forgot the connection"),
        )

    return per_flow(tables, flows, finding, weight=np.concatenate(probes), endpoints=endpoints)
