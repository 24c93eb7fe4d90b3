"""PF104 and PF106: a handshake that does not come to its end."""

from __future__ import annotations

import numpy as np

from pcapflow.anomalies.cite import in_frame, in_frames, proof
from pcapflow.anomalies.hits import Hit, no_hits, per_flow, per_group
from pcapflow.anomalies.lookup.columns import among, indices
from pcapflow.anomalies.lookup.groups import group, server_numbers
from pcapflow.anomalies.lookup.timeline import Story, count_marks, frames_of, last_rows, same_frames
from pcapflow.anomalies.model import CERTAIN, LIKELY, MAX_FLOWS, Finding, Hits, IntArray, Severity
from pcapflow.anomalies.opening.floods import floods, members_of
from pcapflow.anomalies.opening.scans import scanned
from pcapflow.anomalies.opening.unanswered import graded
from pcapflow.anomalies.resets.at_once import reset_at_once
from pcapflow.anomalies.resets.causes import foreign_resets
from pcapflow.anomalies.rule import Doubt, Lead, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.completeness import COMPLETE_ACK
from pcapflow.tcp.states import CLIENT, RST_TX, SERVER, SYN_RCVD
from pcapflow.text.phrases import counted, duration, how_often, listed
from pcapflow.text.times import to_ns


@rule(
    "PF104",
    "handshake-stuck",
    title="Handshakes that never finish",
    doubts=Doubt.ONE_WAY | Doubt.GAPS | Doubt.DUPLICATES | Doubt.CLOCK,
    lead=Lead("A connection to {server} never got past its handshake", "Connections to {server} hang in the handshake"),
)
def handshake_stuck(tables: Tables, config: Config) -> Hits:
    """The server answered the SYN and waits for the final ACK, which does not come.

    Means: the server holds a half-open connection (SYN_RCVD). The client did not get the SYN-ACK, did not answer it, or
        its answer was lost; a full accept queue looks the same, for there the server drops the ACK itself.
    Do:
        Client: capture there. If the SYN-ACK does not arrive, the way back is broken.
        Server: many of these at once are PF105 (SYN flood) or PF106 (accept queue); see `ss -ltn` (Recv-Q against
            Send-Q) and `nstat -az TcpExtListenOverflows TcpExtTCPReqQFullDoCookies`.
        Network: look for one-way routes and stateful firewalls that see only one direction.
    Else: scanners and spoofed addresses never send the final ACK. A capture that ends within the time-out proves
        nothing, and this rule is silent then.
    Source: RFC 9293, 3.10.7.4; Linux repeats a SYN-ACK after 1, 3, 7, 15 and 31 s (tcp_synack_retries).
    """
    f = tables.flows
    waits = f["server_state"] == SYN_RCVD
    if not waits.any():
        return no_hits()
    repeats = count_marks(tables, marks.MARK_SYN_REPEATED, endpoint=SERVER)
    # The time of the SYN: the SYN-ACK follows at once, and a tap's idea of "at once" is short beside the time-out.
    left = tables.capture.last_ns - f["start_ns"]
    late = (repeats > 0) | (left >= to_ns(config.syn_timeout_s))
    flows = indices(waits & late & ~scanned(tables, config))
    flooded = among(flows, members_of(floods(tables, config)))

    def finding(story: Story, hit: Hit) -> Finding:
        row, flow, _ = hit
        again = story.marks(flow, marks.MARK_SYN_REPEATED, endpoint=SERVER)
        retried = story.marks(flow, marks.MARK_SYN_REPEATED, endpoint=CLIENT)
        first = int(f["server_first_frame"][flow])
        sent = f"sent its SYN-ACK{in_frame(first)}"
        if again:
            sent = f"sent its SYN-ACK {how_often(len(again) + 1)}{in_frames([first, *frames_of(again)])}"
        waited = tables.capture.last_ns - int(f["start_ns"][flow])
        answered = int(f["client_acked"][flow]) >= 1
        if answered:
            end = "the client's ACK passed here, but the server did not act on it"
        elif retried:
            end = f"the client repeated its SYN{in_frames(frames_of(retried))}, so it had not got the SYN-ACK"
        else:
            end = "the client sent nothing more"
            if odd := frames_of(story.marks(flow, marks.MARK_UNEXPECTED, endpoint=CLIENT)):
                end = f"what the client sent then acknowledges other numbers than its{in_frames(odd)}"
        part = "; one of those that PF105 tells of" if flooded[row] else ""
        return Finding(
            severity=Severity.INFO if flooded[row] else graded(len(again) - 1),
            flow=flow,
            time_ns=int(f["start_ns"][flow]),
            frames=proof([int(f["first_frame"][flow]), first, *frames_of(again), *frames_of(retried)]),
            detail=(
                f"{tables.server(flow)} {sent} to {tables.client(flow)} and was still in SYN_RCVD "
                f"after {duration(waited)}, at the end of the capture; {end}{part}"
            ),
            confidence=CERTAIN if again else LIKELY,
            alternatives=_stuck_because(answered=answered, retried=bool(retried)),
        )

    return per_flow(tables, flows, finding, weight=np.where(flooded, 0, 1 + repeats[flows]))


def _stuck_because(*, answered: bool, retried: bool) -> tuple[str, ...]:
    if answered:
        return "the accept queue is full and the server drops the ACK", "the ACK was lost beyond this tap"
    if retried:
        return (
            "the SYN-ACK is lost on its way back",
            "a firewall at the client drops the SYN-ACK",
            "the client's address is spoofed",
        )
    return (
        "the SYN-ACK is lost on its way back",
        "the client's address is spoofed, or the client is a scanner",
        "the client went away",
    )


@rule(
    "PF106",
    "accept-queue-overflow",
    title="A server that does not accept in time",
    doubts=Doubt.GAPS | Doubt.DUPLICATES,
    lead=Lead("{server} did not accept a connection in time", "{server} cannot accept connections fast enough"),
)
def accept_queue_overflow(tables: Tables, config: Config) -> Hits:
    """On several connections a server ignored or reset the ACK that completes the handshake.

    Means: the client finished the handshake, but the server went on as if it had not: it repeated its SYN-ACK, or sent
        a RST. That is what Linux does when the listener's accept queue is full: the application does not call accept()
        fast enough, or its backlog is too small.
    Do:
        Server: compare Recv-Q with Send-Q of the listener (`ss -ltn`), watch `nstat -az TcpExtListenOverflows`; accept
            faster, raise the backlog of listen() and `net.core.somaxconn`.
        Client: nothing; its first request may be delayed by a second or more.
    Else: a lost ACK makes one connection look so; several on one server within a short time are rarely chance.
    Source: Linux tcp_v4_syn_recv_sock, tcp_check_req and the setting tcp_abort_on_overflow.
    """
    f = tables.flows
    acked = (f["completeness"] & COMPLETE_ACK) > 0
    reset_row = last_rows(tables, endpoint=SERVER, old=SYN_RCVD, event=RST_TX)
    # A SYN-ACK repeated after the ACK of it had passed takes the server's ESTABLISHED back; before it, it does not.
    repeated = same_frames(tables, (marks.MARK_TAKEN_BACK,), (marks.MARK_SYN_REPEATED,), endpoint=SERVER)
    # A RST with another TTL than the server's packets have is a device's.
    was_reset = ((reset_row >= 0) & ~foreign_resets(tables, config)) | reset_at_once(tables, config)
    flows = indices(acked & (repeated | was_reset))
    servers = group(flows, server_numbers(tables)[flows]).at_least(config.overflow_flows)

    def finding(members: IntArray) -> Finding:
        shown = members[:4]
        story = Story(tables, shown)
        frames: list[int] = []
        for flow in shown.tolist():
            again = story.marks(flow, marks.MARK_SYN_REPEATED, endpoint=SERVER)
            frames += [int(f["server_first_frame"][flow]), *frames_of(again)[:1]]
            frames.append(int(f["reset_frame"][flow]) if was_reset[flow] else 0)
        resets = int(np.count_nonzero(was_reset[members]))
        did = [f"repeated its SYN-ACK on {len(members) - resets:,}"] if resets < len(members) else []
        did += [f"sent a RST on {resets:,}"] if resets else []
        return Finding(
            severity=Severity.MEDIUM,
            endpoint=SERVER,
            time_ns=int(f["start_ns"][members].min()),
            frames=proof(frames),
            detail=(
                f"on {counted(len(members), 'connection')} {tables.server(int(members[0]))} did not take the ACK that "
                f"completes the handshake: it {listed(did)}"
            ),
            confidence=LIKELY,
            alternatives=("the ACKs are lost between this tap and the server",),
            count=len(members),
            flows=tuple(members[:MAX_FLOWS].tolist()),
        )

    return per_group(servers, finding, weight=[len(members) for members in servers])
