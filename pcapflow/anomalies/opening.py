"""PF1xx: connections that do not open, or open oddly."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pcapflow.anomalies.capture_quality import quality
from pcapflow.anomalies.cite import in_frame, in_frames, proof
from pcapflow.anomalies.lookup import (
    SIDES,
    Groups,
    Story,
    among,
    count_marks,
    distinct,
    frames_of,
    group,
    host_keys,
    in_order,
    indices,
    keys,
    last_rows,
    remembered,
    reopened,
    same_frames,
    server_keys,
    side,
)
from pcapflow.anomalies.model import (
    CERTAIN,
    LIKELY,
    MANY,
    MAX_FLOWS,
    NOBODY,
    POSSIBLE,
    BoolArray,
    Finding,
    Hits,
    IntArray,
    Severity,
    no_hits,
)
from pcapflow.anomalies.resets import resets, usual_ttls
from pcapflow.anomalies.rule import Doubt, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.endings import END_REASONS
from pcapflow.tcp.states import CLIENT, ESTABLISHED, RST_RX, RST_TX, SERVER, SYN_RCVD, SYN_RX, SYN_SENT, SYN_TX
from pcapflow.text.phrases import counted, duration, how_often, listed
from pcapflow.text.times import time_of_day, to_ns

HAS_SYN = 1
HAS_SYN_ACK = 2
HAS_ACK = 4
"""Bits of Wireshark's ``tcp.completeness``."""

FLOOD_WINDOW_S = 60.0
"""Half-open connections of the last minute count as open at once: Linux gives up a SYN-ACK after 63 s."""
FEW_SOURCES = 10
RECOVERY_S = 5.0
MAX_CHALLENGES = 10
SECOND_TRY_S = 0.3
"""A program that was refused tries the next address of the name within this; RFC 8305, 5 has 250 ms at most."""


class Flood(NamedTuple):
    """Connection attempts to one listening endpoint that were never completed."""

    flows: IntArray
    attempts: int
    at_once: int
    since_ns: int


@rule("PF101", "syn-unanswered", title="Connection attempts without an answer", doubts=Doubt.DUPLICATES | Doubt.CLOCK)
def syn_unanswered(tables: Tables, config: Config) -> Hits:
    """A SYN was sent, and nothing came back.

    Means: the client asked for a connection and got neither a SYN-ACK nor a refusal. Either the SYN did not reach the
        server, or something dropped it there (a firewall that drops, a full queue, an address nobody has), or the
        answer was lost on its way back.
    Do:
        Client: check the address and port, and that the route leads where it should.
        Server: capture there. If the SYN arrives, look at the host's firewall and at its listen queue
            (`nstat -az TcpExtListenDrops`); if it does not, the path drops it.
        Network: look for a rule that drops instead of rejecting; a reject would have told the client at once.
    Else: a capture taken where the answers do not pass shows the same; where one direction is missing altogether, PF902
        says so and this rule is silent.
    Source: RFC 9293, 3.10.7.3; Linux repeats a SYN after 1, 3, 7, 15, 31 and 63 s (tcp_syn_retries).
    """
    f = tables.flows
    alone = (f["client_state"] == SYN_SENT) & (side(f, CLIENT, "syns") > 0) & (side(f, SERVER, "packets") == 0)
    if not alone.any() or quality(tables, config).direction_missing:
        return no_hits()
    repeats = count_marks(tables, marks.MARK_SYN_REPEATED, endpoint=CLIENT)
    left = tables.capture.last_ns - f["start_ns"]
    rejected = count_marks(tables, marks.MARK_ICMP_UNREACHABLE) > 0
    flows = indices(alone & ~rejected & ((repeats > 0) | (left >= to_ns(config.syn_timeout_s))))
    flood, scan = _flooded(tables, config), _scans(tables, config)
    scanned, flooded = among(flows, scan.members), among(flows, _members(flood))
    probes = _scan_groups(tables, flows[scanned])
    flows, flooded = flows[~scanned], flooded[~scanned]
    weight = np.where(flooded, 0, 1 + repeats[flows])

    def describe(positions: IntArray) -> list[Finding]:
        story = Story(tables, flows[positions[positions < len(flows)]])
        found = []
        for position in positions.tolist():
            if position >= len(flows):
                found.append(_scan(tables, probes.of(position - len(flows)), "got no answer from any of them"))
                continue
            flow = int(flows[position])
            again = story.marks(flow, marks.MARK_SYN_REPEATED, endpoint=CLIENT)
            first = int(f["first_frame"][flow])
            tried = f"sent its SYN{in_frame(first)} once"
            if again:
                span = again[-1].time_ns - int(f["start_ns"][flow])
                sent = f"sent its SYN {how_often(len(again) + 1)}{in_frames([first, *frames_of(again)])}"
                tried = f"{sent} over {duration(span)}"
            waited = tables.capture.last_ns - int(f["client_last_ns"][flow])
            part = "; one of the attempts that PF105 tells of" if flooded[position] else ""
            found.append(
                Finding(
                    severity=_graded(len(again), flooded=bool(flooded[position])),
                    flow=flow,
                    time_ns=int(f["start_ns"][flow]),
                    frames=proof([first, *frames_of(again)]),
                    detail=(
                        f"{tables.client(flow)} {tried} to {tables.server(flow)}, and nothing came back "
                        f"in the {duration(waited)} that the capture goes on after it{part}"
                    ),
                    confidence=CERTAIN if again else LIKELY,
                    alternatives=(
                        "the SYN was dropped on the way or at the server",
                        "the answer was lost or takes a path that this capture does not see",
                    ),
                )
            )
        return found

    return Hits(
        np.concatenate((flows, np.full(len(probes), MANY))),
        describe,
        np.concatenate((weight, np.full(len(probes), 1))),
    )


def _graded(repeats: int, *, flooded: bool = False) -> Severity:
    if flooded:
        return Severity.INFO
    return Severity.MEDIUM if repeats >= 2 else Severity.LOW


@rule("PF102", "connection-refused", title="Connections refused")
def connection_refused(tables: Tables, config: Config) -> Hits:
    """A RST that acknowledges the SYN answered it: the attempt was refused.

    Means: the host is up and the path works both ways, but nothing listens on that port, or a firewall rejects with a
        reset. Only a RST whose ACK is the SYN's sequence number plus one refuses; any other is ignored by the client.
    Do:
        Client: check the port; if it is right, retry later, the service may be restarting.
        Server: see whether the service runs and on which address it listens (`ss -ltn`); a service bound to 127.0.0.1
            refuses everybody else.
        Network: if the RST's TTL differs from the host's other packets, look for a device that rejects for it.
    Else: a port scan is refused by design, and is told as one row. A refusal while a service restarts is no fault of
        the network. Where the next connection to that port follows at once over the other IP version and is opened, a
        program tried both addresses of a name, and this is information.
    Source: RFC 9293, 3.10.7.1 (no connection exists) and 3.10.7.3 (acceptable in SYN-SENT); RFC 8305 (both versions).
    """
    f = tables.flows
    flows = indices(refused(tables))
    scanned = among(flows, _scans(tables, config).members)
    probes = _scan_groups(tables, flows[scanned])
    flows = flows[~scanned]
    usual_ttl = usual_ttls(tables, flows)
    instead = _opened_instead(tables, flows)

    def describe(positions: IntArray) -> list[Finding]:
        story = Story(tables, flows[positions[positions < len(flows)]])
        found = []
        for position in positions.tolist():
            if position >= len(flows):
                found.append(_scan(tables, probes.of(position - len(flows)), "was refused by all of them"))
                continue
            flow = int(flows[position])
            step = story.step(flow, CLIENT, event=RST_RX, old=SYN_SENT)
            frame, when = (
                (step.frame, step.time_ns) if step else (int(f["reset_frame"][flow]), int(f["reset_ns"][flow]))
            )
            syn = int(f["first_frame"][flow])
            after = max(when - int(f["start_ns"][flow]), 0)
            usual, ttl = int(usual_ttl[position]), int(f["reset_ttl"][flow])
            foreign = usual >= 0 and ttl >= 0 and ttl != usual
            remark = f"; the RST's TTL is {ttl}, that of the server's other packets {usual}" if foreign else ""
            other, anew = int(instead[position]), 0
            if other >= 0:
                anew = int(f["first_frame"][other])
                remark += f"; then {tables.client(other)} opened one to {tables.server(other)}{in_frame(anew)}"
            found.append(
                Finding(
                    severity=Severity.LOW if other < 0 else Severity.INFO,
                    flow=flow,
                    endpoint=NOBODY if foreign else SERVER,
                    time_ns=when,
                    frames=proof([syn, frame, anew]),
                    detail=(
                        f"{tables.server(flow)} answered the SYN of {tables.client(flow)}{in_frame(syn)} "
                        f"with a RST{in_frame(frame)} after {duration(after)}{remark}"
                    ),
                    cause="firewall-reject" if foreign else "no-listener",
                    confidence=LIKELY,
                    alternatives=("nothing listens on that port",) if foreign else ("a firewall rejects with a RST",),
                )
            )
        return found

    return Hits(
        np.concatenate((flows, np.full(len(probes), MANY))),
        describe,
        np.concatenate((np.where(instead < 0, 1, 0), np.full(len(probes), 2))),
    )


def _opened_instead(tables: Tables, flows: IntArray) -> IntArray:
    """For each of these refused flows the next one to the same port, where that is the same program's second try.

    It is taken for that when it follows at once, over the other IP version, and is opened; -1 elsewhere.
    """
    f = tables.flows
    following = np.full(len(f), -1, dtype=np.int64)
    if not len(flows) or np.all(f["family"] == f["family"][0]):
        return following[flows]
    order = in_order(f["server_port"].astype(np.int64))
    same = np.flatnonzero(f["server_port"][order][1:] == f["server_port"][order][:-1])
    following[order[same]] = order[same + 1]
    after = following[flows]
    wait = f["start_ns"][after] - np.maximum(f["reset_ns"][flows], f["start_ns"][flows])
    second_try = (
        (after >= 0)
        & (f["family"][after] != f["family"][flows])
        & ((f["completeness"][after] & HAS_ACK) > 0)
        & (wait <= to_ns(SECOND_TRY_S))
    )
    return np.where(second_try, after, -1)


def refused(tables: Tables) -> BoolArray:
    """Flows whose SYN was answered by an acceptable RST."""
    row = last_rows(tables, endpoint=CLIENT, old=SYN_SENT, event=RST_RX)
    return (row >= 0) & (side(tables.flows, SERVER, "rsts") > 0)


@remembered
def _scans(tables: Tables, config: Config) -> Groups:
    """Failed attempts of clients that tried many ports: groups of flows by client."""
    f = tables.flows
    silent = (f["client_state"] == SYN_SENT) & (side(f, SERVER, "packets") == 0) & (side(f, CLIENT, "syns") > 0)
    failed = indices(silent | refused(tables))
    by_client = group(failed, host_keys(tables, CLIENT)[failed])
    scanning = [
        members
        for members in by_client.at_least(config.scan_ports)
        # Many tries at one port are no scan, whatever their number.
        if distinct(keys(side(f, SERVER, "lo")[members], f["server_port"][members])) >= config.scan_ports
        and distinct(f["server_port"][members]) >= min(config.scan_ports, len(members) // 2)
    ]
    members = np.concatenate(scanning) if scanning else np.zeros(0, dtype=np.int64)
    return Groups(
        members, np.concatenate(([0], np.cumsum([len(m) for m in scanning], dtype=np.int64))).astype(np.int64)
    )


def _scan_groups(tables: Tables, flows: IntArray) -> Groups:
    return group(flows, host_keys(tables, CLIENT)[flows])


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


@rule("PF103", "rejected-by-icmp", title="Connections rejected by an ICMP message")
def rejected_by_icmp(tables: Tables, config: Config) -> Hits:
    """An ICMP message said that a segment of this connection cannot be delivered.

    Means: a router, a firewall or the host itself told the sender that the network, the host or the port cannot be
        reached or that passing is forbidden. It quotes the segment it speaks of, and the quote fits this connection.
    Do:
        Client: nothing in TCP; the message names the reason.
        Network: find the device that sent the message (the ICMP packet's source) and its rule or missing route.
    Else: a connection that goes on regardless took the message as a hint only (RFC 1122, 4.2.3.9); then this is
        information.
    Source: RFC 792, RFC 4443 and RFC 1122, 4.2.3.9.
    """
    del config
    f = tables.flows
    flows = indices(count_marks(tables, marks.MARK_ICMP_UNREACHABLE) > 0)
    fatal = f["client_state"][flows] == SYN_SENT

    def describe(positions: IntArray) -> list[Finding]:
        story = Story(tables, flows[positions])
        found = []
        for position in positions.tolist():
            flow = int(flows[position])
            told = story.marks(flow, marks.MARK_ICMP_UNREACHABLE)
            what = _icmp(int(f["family"][flow]), told[0].value)
            ended = bool(fatal[position])
            outcome = "the connection was not opened" if ended else "the connection went on regardless"
            found.append(
                Finding(
                    severity=Severity.MEDIUM if ended else Severity.INFO,
                    flow=flow,
                    time_ns=told[0].time_ns,
                    frames=proof([int(f["first_frame"][flow]), *frames_of(told)]),
                    detail=(
                        f"{counted(len(told), 'ICMP message')}{in_frames(frames_of(told))} told "
                        f"{tables.name(flow, told[0].endpoint)}, about its segments to "
                        f"{tables.name(flow, 1 - told[0].endpoint)}: {what}; {outcome}"
                    ),
                    confidence=CERTAIN if ended else LIKELY,
                    alternatives=("the message is forged: whoever sees or guesses the sequence number can send it",),
                )
            )
        return found

    return Hits(flows, describe, fatal.astype(np.int64))


_ICMP4 = {
    0: "network unreachable",
    1: "host unreachable",
    2: "protocol unreachable",
    3: "port unreachable",
    4: "fragmentation needed",
    9: "network prohibited",
    10: "host prohibited",
    13: "communication prohibited by a filter",
}
_ICMP6 = {
    0: "no route to destination",
    1: "communication prohibited",
    2: "beyond the scope of the source address",
    3: "address unreachable",
    4: "port unreachable",
    5: "source address failed the policy",
    6: "route rejected",
}


def _icmp(family: int, value: int) -> str:
    kind, code = divmod(max(value, 0), 256)
    if family == 4 and kind == 3:
        return _ICMP4.get(code, f"unreachable, code {code}")
    if family == 6 and kind == 1:
        return _ICMP6.get(code, f"unreachable, code {code}")
    return f"ICMP type {kind}, code {code}" if value > 0 else "destination unreachable"


@rule(
    "PF104",
    "handshake-stuck",
    title="Handshakes that never finish",
    doubts=Doubt.ONE_WAY | Doubt.GAPS | Doubt.DUPLICATES | Doubt.CLOCK,
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
    flows = indices(waits & ((repeats > 0) | (left >= to_ns(config.syn_timeout_s))))
    flooded = among(flows, _members(_flooded(tables, config)))

    def describe(positions: IntArray) -> list[Finding]:
        story = Story(tables, flows[positions])
        found = []
        for position in positions.tolist():
            flow = int(flows[position])
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
                end = f"the client repeated its SYN{in_frames(frames_of(retried))}, so the SYN-ACK does not reach it"
            else:
                end = "the client sent nothing more"
            part = "; one of those that PF105 tells of" if flooded[position] else ""
            found.append(
                Finding(
                    severity=Severity.INFO if flooded[position] else _graded(len(again) - 1),
                    flow=flow,
                    time_ns=int(f["start_ns"][flow]),
                    frames=proof([int(f["first_frame"][flow]), first, *frames_of(again), *frames_of(retried)]),
                    detail=(
                        f"{tables.server(flow)} {sent} to {tables.client(flow)} and was still in SYN_RCVD "
                        f"after {duration(waited)}, at the end of the capture; {end}{part}"
                    ),
                    confidence=CERTAIN if again else LIKELY,
                    alternatives=_stuck_because(answered=answered),
                )
            )
        return found

    return Hits(flows, describe, np.where(flooded, 0, 1 + repeats[flows]))


def _stuck_because(*, answered: bool) -> tuple[str, ...]:
    if answered:
        return "the accept queue is full and the server drops the ACK", "the ACK was lost beyond this tap"
    return (
        "the SYN-ACK is lost on its way back",
        "the client's address is spoofed, or the client is a scanner",
        "the client went away",
    )


@remembered
def _flooded(tables: Tables, config: Config) -> list[Flood]:
    """Listening endpoints with many attempts never completed, most of all attempts, at about the same time."""
    f = tables.flows
    complete = f["completeness"].astype(np.int64)
    attempts = (complete & HAS_SYN) > 0
    pending = attempts & ((complete & HAS_ACK) == 0) & (f["end_reason"] != END_REASONS.index("refused"))
    members = indices(pending)
    if len(members) < config.flood_flows:
        return []
    all_keys = server_keys(tables)
    candidates = group(members, all_keys[members]).at_least(config.flood_flows)
    again = count_marks(tables, marks.MARK_SYN_REPEATED, endpoint=CLIENT) > 0
    scanned = np.zeros(len(f), dtype=bool)
    scanned[_scans(tables, config).members] = True
    tried = np.sort(all_keys[attempts])
    floods = []
    for flows in candidates:
        key = all_keys[flows[0]]
        total = int(np.searchsorted(tried, key, "right") - np.searchsorted(tried, key, "left"))
        # Ordinary clients of a server that is down repeat their SYN; a flood does not come back.
        lost = flows[~again[flows] & ~scanned[flows]]
        if len(lost) * 2 < total or len(lost) < config.flood_flows:
            continue
        starts = np.sort(f["start_ns"][lost])
        recent = np.arange(1, len(starts) + 1) - np.searchsorted(starts, starts - to_ns(FLOOD_WINDOW_S), "right")
        at_once = int(recent.max())
        if at_once >= config.flood_flows:
            floods.append(Flood(lost, total, at_once, int(starts[np.argmax(recent) - at_once + 1])))
    return floods


def _members(floods: list[Flood]) -> IntArray:
    return np.concatenate([flood.flows for flood in floods]) if floods else np.zeros(0, dtype=np.int64)


@rule("PF105", "syn-flood", title="A flood of connection attempts", doubts=Doubt.CLOCK)
def syn_flood(tables: Tables, config: Config) -> Hits:
    """Many connections to one listening endpoint were begun at about the same time and never completed.

    Means: SYNs arrive whose senders never send the final ACK. Each holds a place in the server's SYN queue until it
        times out; when the queue is full, real clients are not served. Attempts whose SYN was repeated are not counted,
        because a flood does not repeat.
    Do:
        Server: turn SYN cookies on (`net.ipv4.tcp_syncookies=1`), raise `net.ipv4.tcp_max_syn_backlog` and the
            listener's backlog; watch `nstat -az TcpExtSyncookiesSent TcpExtTCPReqQFullDrop`.
        Network: filter spoofed sources at the edge (BCP 38) and rate-limit SYNs to this endpoint.
    Else: a way back that loses every SYN-ACK, or a load test whose clients die, looks alike; from few sources it is
        more likely one of these or a single broken client. One client that tries many ports is a scan, told by
        PF101 and PF102.
    Source: RFC 4987; the shares are judgement, see the settings flood_flows and scan_ports.
    """
    floods = _flooded(tables, config)

    def describe(positions: IntArray) -> list[Finding]:
        return [_flood(tables, config, floods[position]) for position in positions.tolist()]

    return Hits(np.full(len(floods), MANY), describe, np.array([flood.at_once for flood in floods], dtype=np.int64))


def _flood(tables: Tables, config: Config, flood: Flood) -> Finding:
    f = tables.flows
    first = int(flood.flows[0])
    sources = distinct(host_keys(tables, CLIENT)[flood.flows])
    starts = f["start_ns"][flood.flows]
    span = max(int(starts.max() - starts.min()), 1)
    answered = int(np.count_nonzero(f["completeness"][flood.flows] & HAS_SYN_ACK))
    spread = sources >= FEW_SOURCES
    return Finding(
        severity=Severity.HIGH if spread and flood.at_once >= 10 * config.flood_flows else Severity.MEDIUM,
        time_ns=int(starts.min()),
        frames=proof(f["first_frame"][flood.flows[:8]].tolist()),
        detail=(
            f"{tables.server(first)} got {counted(flood.attempts, 'connection attempt')}, of which "
            f"{len(flood.flows):,} were never completed, {answered:,} of these although it sent a SYN-ACK; "
            f"up to {flood.at_once:,} within {FLOOD_WINDOW_S:.0f} s from {time_of_day(flood.since_ns)}, from "
            f"{counted(sources, 'address', 'addresses')}, {len(flood.flows) / (span / 1e9):,.0f} a second on average"
        ),
        confidence=LIKELY if spread else POSSIBLE,
        alternatives=(
            "the SYN-ACKs are lost on their way back",
            "a load test or a broken client that leaves its attempts"
            if not spread
            else "many clients that gave up at once",
        ),
        count=len(flood.flows),
        flows=tuple(flood.flows[:MAX_FLOWS].tolist()),
    )


@rule(
    "PF106",
    "accept-queue-overflow",
    title="A server that does not accept in time",
    doubts=Doubt.GAPS | Doubt.DUPLICATES,
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
    acked = (f["completeness"] & HAS_ACK) > 0
    reset_row = last_rows(tables, endpoint=SERVER, old=SYN_RCVD, event=RST_TX)
    # A SYN-ACK repeated after the ACK of it had passed takes the server's ESTABLISHED back; before it, it does not.
    repeated = same_frames(tables, (marks.MARK_TAKEN_BACK,), (marks.MARK_SYN_REPEATED,), endpoint=SERVER)
    flows = indices(acked & (repeated | (reset_row >= 0)))
    servers = group(flows, server_keys(tables)[flows]).at_least(config.overflow_flows)

    def describe(positions: IntArray) -> list[Finding]:
        found = []
        for position in positions.tolist():
            members = servers[position]
            shown = members[:4]
            story = Story(tables, shown)
            frames: list[int] = []
            for flow in shown.tolist():
                again = story.marks(flow, marks.MARK_SYN_REPEATED, endpoint=SERVER)
                frames += [int(f["server_first_frame"][flow]), *frames_of(again)[:1]]
                frames.append(story.frame(flow, SERVER, event=RST_TX, old=SYN_RCVD))
            resets = int(np.count_nonzero(reset_row[members] >= 0))
            did = [f"repeated its SYN-ACK on {len(members) - resets:,}"] if resets < len(members) else []
            did += [f"sent a RST on {resets:,}"] if resets else []
            found.append(
                Finding(
                    severity=Severity.MEDIUM,
                    endpoint=SERVER,
                    time_ns=int(f["start_ns"][members].min()),
                    frames=proof(frames),
                    detail=(
                        f"{tables.server(int(members[0]))} did not take the ACK that completes the handshake on "
                        f"{counted(len(members), 'connection')}: it {listed(did)}"
                    ),
                    confidence=LIKELY,
                    alternatives=("the ACKs are lost between this tap and the server",),
                    count=len(members),
                    flows=tuple(members[:MAX_FLOWS].tolist()),
                )
            )
        return found

    return Hits(np.full(len(servers), MANY), describe, np.array([len(m) for m in servers], dtype=np.int64))


@rule("PF107", "half-open-recovered", title="Old connections found half open")
def half_open_recovered(tables: Tables, config: Config) -> Hits:
    """A SYN was answered by the ACK of an old connection, which the client then reset, to open anew.

    Means: the server still held a connection that the client had forgotten, usually because the client's host restarted
        or was replaced. TCP cleared it up by itself, at the price of a round trip or a SYN time-out.
    Do:
        Client: if it does not restart often, look for a NAT or a load balancer that reuses ports too soon.
        Server: turn keep-alives on, so that dead connections do not wait for the same port to come back.
    Else: an old duplicate SYN from the network draws the same ACK, and then no new connection follows.
    Source: RFC 9293, 3.5.1 (half-open connections) and RFC 5961, 4.
    """
    f = tables.flows
    challenged = count_marks(tables, marks.MARK_CHALLENGE_ACK, endpoint=SERVER) > 0
    reset = count_marks(
        tables, marks.MARK_RESET, marks.MARK_RESET_IGNORED, marks.MARK_RESET_AFTER_CLOSE, endpoint=CLIENT
    )
    flows = indices(challenged & (reset > 0))
    found = resets(tables, config)
    cleared = found.flows[found.senders == CLIENT]
    if not len(flows) and not len(cleared):
        return no_hits()
    recovery = _cleared(tables, cleared)
    story, anew = Story(tables, flows), reopened(tables, flows)
    for flow, new in zip(flows.tolist(), anew.tolist(), strict=True):
        recovery.setdefault(flow, _recovered(tables, story, flow, new))
    pairs = [(flow, frames) for flow, frames in sorted(recovery.items()) if frames]

    def describe(positions: IntArray) -> list[Finding]:
        told = []
        for position in positions.tolist():
            flow, frames = pairs[position]
            told.append(
                Finding(
                    severity=Severity.INFO,
                    flow=flow,
                    time_ns=int(f["end_ns"][flow]),
                    frames=proof(frames),
                    detail=(
                        f"{tables.server(flow)} still held an old connection from {tables.client(flow)}: it answered a "
                        f"SYN with an ACK{in_frame(frames[0])}, the client reset it{in_frame(frames[1])} and opened "
                        f"anew{in_frame(frames[2])}"
                    ),
                    confidence=LIKELY,
                    alternatives=("an old duplicate SYN",),
                )
            )
        return told

    return Hits(np.array([flow for flow, _ in pairs], dtype=np.int64), describe, np.zeros(len(pairs), dtype=np.int64))


def _cleared(tables: Tables, flows: IntArray) -> dict[int, list[int]]:
    """Of flows that their client reset, those where it did so because of its next connection's SYN.

    The SYN has begun a flow of its own when the server answers it for the old connection: the reset lies between that
    SYN and its repeat. Frames as for :func:`_recovered`.
    """
    f = tables.flows
    anew = reopened(tables, flows)
    begun, ended, heard = f["start_ns"][anew], f["reset_ns"][flows], side(f, SERVER, "last_ns")[flows]
    mine = (anew >= 0) & (begun <= heard) & (heard <= ended) & (ended - begun <= to_ns(RECOVERY_S))
    flows, anew = flows[mine], anew[mine]
    story = Story(tables, np.concatenate((flows, anew)))
    found = {}
    for flow, new in zip(flows.tolist(), anew.tolist(), strict=True):
        reset_ns = int(f["reset_ns"][flow])
        again = story.marks(new, marks.MARK_SYN_REPEATED, endpoint=CLIENT, after_ns=reset_ns)
        acks = story.marks(flow, marks.DUPLICATE_ACK, endpoint=SERVER, after_ns=int(f["start_ns"][new]) - 1)
        if again:
            found[flow] = [acks[0].frame if acks else 0, int(f["reset_frame"][flow]), again[0].frame]
    return found


def _recovered(tables: Tables, story: Story, flow: int, anew: int) -> list[int]:
    """Frames of the ACK, the RST and the new SYN, where they follow one another."""
    kinds = (marks.MARK_RESET, marks.MARK_RESET_IGNORED, marks.MARK_RESET_AFTER_CLOSE)
    for challenge in story.marks(flow, marks.MARK_CHALLENGE_ACK, endpoint=SERVER)[:MAX_CHALLENGES]:
        answer = story.marks(flow, *kinds, endpoint=CLIENT, after_ns=challenge.time_ns)
        if not answer or answer[0].time_ns - challenge.time_ns > to_ns(RECOVERY_S):
            continue
        syn = story.marks(flow, marks.MARK_SYN_REPEATED, endpoint=CLIENT, after_ns=answer[0].time_ns)
        if syn:
            return [challenge.frame, answer[0].frame, syn[0].frame]
        if anew >= 0 and tables.flows["start_ns"][anew] - answer[0].time_ns <= to_ns(RECOVERY_S):
            return [challenge.frame, answer[0].frame, int(tables.flows["first_frame"][anew])]
    return []


@rule("PF108", "simultaneous-open", title="Simultaneous opens")
def simultaneous_open(tables: Tables, config: Config) -> Hits:
    """Both sides sent a SYN before either saw the other's.

    Means: the two opened towards each other at the same moment, and the SYNs crossed. TCP makes one connection of it.
        It is rare outside of hole punching through NAT.
    Do:
        Client: nothing.
        Server: nothing.
    Else: not a fault. Who is called client here is only whose SYN passed the tap first.
    Source: RFC 9293, 3.5, figure 8.
    """
    del config
    f = tables.flows
    crossed = np.ones(len(f), dtype=bool)
    for endpoint in SIDES:
        crossed &= last_rows(tables, endpoint=endpoint, old=SYN_SENT, new=SYN_RCVD, event=SYN_RX) >= 0
    flows = indices(crossed)

    def describe(positions: IntArray) -> list[Finding]:
        story = Story(tables, flows[positions])
        found = []
        for flow in flows[positions].tolist():
            syns = [story.frame(flow, endpoint, event=SYN_TX) for endpoint in SIDES]
            opened = all(story.step(flow, endpoint, new=ESTABLISHED) for endpoint in SIDES)
            found.append(
                Finding(
                    severity=Severity.INFO,
                    flow=flow,
                    time_ns=int(f["start_ns"][flow]),
                    frames=proof(syns),
                    detail=(
                        f"{tables.client(flow)}{in_frame(syns[CLIENT])} and "
                        f"{tables.server(flow)}{in_frame(syns[SERVER])} sent SYNs that crossed; the connection was "
                        f"{'opened' if opened else 'not opened'}"
                    ),
                )
            )
        return found

    return Hits(flows, describe, np.zeros(len(flows), dtype=np.int64))
