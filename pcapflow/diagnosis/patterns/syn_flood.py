"""PI502: many connection attempts that nobody completes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frames
from pcapflow.anomalies.lookup.columns import among, indices
from pcapflow.anomalies.lookup.groups import host_keys
from pcapflow.anomalies.model import LIKELY, POSSIBLE, IntArray
from pcapflow.anomalies.opening.floods import FEW_SOURCES, gravity, measured
from pcapflow.anomalies.opening.scans import scanned
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.model import NOBODY, Explanation, Observation, Remedy
from pcapflow.diagnosis.pattern import pattern
from pcapflow.tcp.completeness import COMPLETE_ACK, COMPLETE_SYN, COMPLETE_SYN_ACK
from pcapflow.tcp.endings import END_REASONS
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, number
from pcapflow.text.times import NS_PER_S, time_of_day

_REFUSED = END_REASONS.index("refused")


_LOOKED_AT: Final = 1000
"""Of so many attempts a few sources are named."""


@pattern("PI502", "syn-flood", title="A flood of connection attempts")
def syn_flood(case: Case) -> Sequence[Explanation]:
    """Many hosts, or none that exist, send SYNs to one server and never complete a handshake.

    Seen: attempts at one address and port, from many addresses of which none ever completed a handshake there, within
        a minute; the server answered them with SYN-ACKs to nobody.
    Unless: the same addresses also complete handshakes (then the server does not accept, or a path loses packets), the
        server answers nobody (then it is down or filtered), or one host is behind all of it (then it is a broken
        client, or a load test).
    Means: each SYN holds a place in the server's queue of half-open connections until it times out. When that is full,
        real clients are served by SYN cookies or not at all. The addresses are most likely forged: they say nothing of
        who sends.
    Do:
        Server: keep `net.ipv4.tcp_syncookies=1`, raise `net.ipv4.tcp_max_syn_backlog`; `nstat -az
            TcpExtSyncookiesSent TcpExtTCPReqQFullDrop` shows what it cost.
        Network: filter forged sources where they enter (BCP 38), and limit the rate of SYNs to this port.
    Else: a way back that loses every SYN-ACK looks the same from the server.
    Source: RFC 4987; BCP 38 (RFC 2827); Linux tcp_conn_request.
    """
    complete = case.column("completeness").astype(np.int64)
    attempts = (complete & COMPLETE_SYN) > 0
    pending = attempts & ((complete & COMPLETE_ACK) == 0) & (case.column("end_reason") != _REFUSED)
    pending &= ~scanned(case.tables, case.config)
    candidates = case.by_server(indices(pending)).at_least(case.config.flood_hosts)
    return [explanation for flows in candidates for explanation in _explanations(case, flows, attempts)]


def _explanations(case: Case, flows: IntArray, attempts: np.ndarray) -> Iterator[Explanation]:
    clients = host_keys(case.tables, CLIENT)
    everyone = case.same_server(int(flows[0]))
    served = everyone[(case.column("completeness")[everyone] & COMPLETE_ACK) > 0]
    strangers = flows[~among(clients[flows], clients[served])]
    answered = int(np.count_nonzero(case.column("completeness")[strangers] & COMPLETE_SYN_ACK))
    sources = case.count_hosts(strangers, CLIENT) if len(strangers) else 0
    tried = everyone[attempts[everyone]]
    if sources < FEW_SOURCES or 2 * answered < len(strangers):
        return
    flood = measured(case.column("start_ns"), strangers, len(tried))
    if flood.at_once < case.config.flood_hosts:
        return
    starts = case.column("start_ns")[strangers]
    server, first, last = case.tables.server(int(strangers[0])), int(starts.min()), int(starts.max())
    rate = len(strangers) / max((last - first) / NS_PER_S, 1.0)
    frames = case.frames("first_frame", strangers[:6])
    yield Explanation(
        severity=gravity(case.config, flood, sources),
        confidence=LIKELY if sources >= 2 * FEW_SOURCES else POSSIBLE,
        headline=(
            f"{server} is flooded with SYNs: {number(len(strangers))} of {counted(len(tried), 'connection attempt')}, "
            f"from {counted(sources, 'address', 'addresses')}, were never completed, since {time_of_day(first)}."
        ),
        blame=NOBODY,
        start_ns=first,
        end_ns=int(case.column("end_ns")[strangers].max()),
        flows=named(strangers),
        count=len(strangers),
        hosts=(*case.hosts(strangers, SERVER), *case.hosts(strangers[:_LOOKED_AT], CLIENT)[:5]),
        explains=frozenset(case.anomalies_of("PF101", "PF104", "PF105", "PF106", flows=everyone)),
        why=(
            Observation(
                f"{number(len(strangers))} SYNs, {rate:,.0f} a second, came from addresses that completed no "
                f"handshake{in_frames(frames)}",
                frames,
            ),
            Observation(f"the server sent SYN-ACKs to {number(answered)} of them, and no ACK came back"),
            _others(case, served),
        ),
        against=("a way back that loses every SYN-ACK looks the same from here",),
        remedy=(
            Remedy(
                "Server",
                "keep `net.ipv4.tcp_syncookies=1` and raise `net.ipv4.tcp_max_syn_backlog` above "
                f"{number(flood.at_once)}: so many were half open within a minute; `nstat -az "
                "TcpExtSyncookiesSent TcpExtTCPReqQFullDrop` shows how many were answered by cookies and how many "
                "were dropped",
            ),
            Remedy("Network", "filter forged source addresses where they enter (BCP 38), and limit the rate of SYNs to "
                              f"{server}"),
        ),
    )  # fmt: skip


def _others(case: Case, served: IntArray) -> Observation:
    if not len(served):
        return Observation("no client was served meanwhile")
    frames = case.frames("first_frame", served[:3])
    text = f"{counted(len(served), 'connection')} of other addresses completed the handshake meanwhile"
    return Observation(f"{text}{in_frames(frames)}", frames)
