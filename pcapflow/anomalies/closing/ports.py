"""PF210 and PF211: ports of a client that are used up, or used again early."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pcapflow.anomalies.cite import in_frame, in_frames, proof
from pcapflow.anomalies.hits import Hit, no_hits, per_flow, per_group
from pcapflow.anomalies.lookup.columns import SIDES, indices
from pcapflow.anomalies.lookup.groups import group, group_keys, host_keys, peak, server_keys
from pcapflow.anomalies.lookup.timeline import (
    Story,
    count_marks,
    frames_of,
    last_times,
    reopened,
)
from pcapflow.anomalies.model import CERTAIN, LIKELY, MAX_FLOWS, Finding, Hits, IntArray, Severity
from pcapflow.anomalies.rule import Doubt, Lead, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.completeness import COMPLETE_ACK, COMPLETE_SYN_ACK
from pcapflow.tcp.states import (
    CLIENT,
    CLOSED,
    ENDPOINT_NAMES,
    SYN_SENT,
    TIME_WAIT,
)
from pcapflow.text.phrases import counted, duration
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


@rule(
    "PF211",
    "port-reused-early",
    title="Ports reused within TIME_WAIT",
    doubts=Doubt.CLOCK,
    lead=Lead("{who} reused a port too early", "{who} [reuses|reuse] ports too early"),
)
def port_reused_early(tables: Tables, config: Config) -> Hits:
    """The same addresses and ports were used again before the old connection's TIME_WAIT was over.

    Means: the client opened a new connection from a port that was still remembered. A server accepts that when the new
        sequence number or time stamp is beyond the old one; else it answers with the ACK of the old connection, the
        client resets that, and must try again; a firewall may drop it altogether.
    Do:
        Client: do not bind to a fixed source port; pool connections.
        Server: nothing; it behaves as the standard asks.
        Network: look for a NAT or a load balancer with too few ports, or whose time-outs are shorter than TIME_WAIT.
    Else: an accepted reuse is legal and told as information.
    Source: RFC 9293, 3.6.1; RFC 6191; Linux tcp_timewait_state_process.
    """
    f = tables.flows
    waits = np.maximum(*(last_times(tables, endpoint, new=TIME_WAIT) for endpoint in SIDES))
    old = indices(waits >= 0)
    if not len(old):
        return no_hits()
    anew = reopened(tables, old)
    challenged = count_marks(tables, marks.MARK_CHALLENGE_ACK, after_ns=waits)[old] > 0
    soon = (anew >= 0) & (f["start_ns"][anew] - waits[old] < to_ns(config.msl2_s))
    early = soon | (challenged & (count_marks(tables, marks.PORT_REUSE, after_ns=waits)[old] > 0))
    old, anew, challenged, soon = old[early], anew[early], challenged[early], soon[early]
    flows = np.where(soon, anew, old)
    dropped = soon & (f["client_state"][anew] == SYN_SENT) & (f["server_packets"][anew] == 0)
    severity = np.where(dropped, int(Severity.MEDIUM), np.where(challenged, int(Severity.LOW), int(Severity.INFO)))

    def finding(story: Story, hit: Hit) -> Finding:
        row, flow, _ = hit
        before = int(old[row])
        tw = max((s for e in SIDES if (s := story.step(before, e, new=TIME_WAIT))), key=lambda s: s.time_ns)
        acks = story.marks(before, marks.MARK_CHALLENGE_ACK, after_ns=tw.time_ns)
        when = int(f["start_ns"][flow]) if soon[row] else acks[0].time_ns
        frame = int(f["first_frame"][flow]) if soon[row] else acks[0].frame
        if dropped[row]:
            taken = "the new SYN was not answered"
        elif challenged[row]:
            taken = f"the answer was the ACK of the old connection{in_frames(frames_of(acks))}"
        else:
            taken = "it was accepted" if f["completeness"][flow] & COMPLETE_SYN_ACK else "it was not accepted"
        return Finding(
            severity=Severity(int(severity[row])),
            flow=flow,
            endpoint=CLIENT,
            time_ns=when,
            frames=proof([tw.frame, frame, *frames_of(acks)]),
            detail=(
                f"{tables.client(flow)} opened a connection to {tables.server(flow)}{in_frame(frame)} "
                f"{duration(when - tw.time_ns)} after the last one between the same ports had entered "
                f"TIME_WAIT at the {ENDPOINT_NAMES[tw.endpoint]}{in_frame(tw.frame)}; {taken}"
            ),
            confidence=CERTAIN if not dropped[row] else LIKELY,
            alternatives=("the server did not answer for another reason",) if dropped[row] else (),
        )

    return per_flow(tables, flows, finding, weight=severity, evidence=old)
