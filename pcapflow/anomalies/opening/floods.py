"""PF105: floods of connection attempts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pcapflow.anomalies.cite import proof
from pcapflow.anomalies.hits import per_group
from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import distinct, indices
from pcapflow.anomalies.lookup.groups import group, host_keys, server_keys
from pcapflow.anomalies.lookup.timeline import count_marks
from pcapflow.anomalies.model import LIKELY, MAX_FLOWS, POSSIBLE, Finding, Hits, IntArray, Severity
from pcapflow.anomalies.opening.scans import scanned
from pcapflow.anomalies.rule import Doubt, Lead, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.completeness import COMPLETE_ACK, COMPLETE_SYN, COMPLETE_SYN_ACK
from pcapflow.tcp.endings import END_REASONS
from pcapflow.tcp.states import CLIENT
from pcapflow.text.phrases import counted
from pcapflow.text.times import time_of_day, to_ns

FLOOD_WINDOW_S = 60.0
"""Half-open connections of the last minute count as open at once: Linux gives up a SYN-ACK after 63 s."""


FEW_SOURCES = 10


class Flood(NamedTuple):
    """Connection attempts to one listening endpoint that were never completed."""

    flows: IntArray
    attempts: int
    at_once: int
    since_ns: int


@cached_per_tables
def floods(tables: Tables, config: Config) -> list[Flood]:
    """Listening endpoints with many attempts never completed, most of all attempts, at about the same time."""
    f = tables.flows
    complete = f["completeness"].astype(np.int64)
    attempts = (complete & COMPLETE_SYN) > 0
    pending = attempts & ((complete & COMPLETE_ACK) == 0) & (f["end_reason"] != END_REASONS.index("refused"))
    members = indices(pending)
    if len(members) < config.flood_flows:
        return []
    all_keys = server_keys(tables)
    candidates = group(members, all_keys[members]).at_least(config.flood_flows)
    again = count_marks(tables, marks.MARK_SYN_REPEATED, endpoint=CLIENT) > 0
    probes = scanned(tables, config)
    tried = np.sort(all_keys[attempts])
    floods = []
    for flows in candidates:
        key = all_keys[flows[0]]
        total = int(np.searchsorted(tried, key, "right") - np.searchsorted(tried, key, "left"))
        # Ordinary clients of a server that is down repeat their SYN; a flood does not come back.
        lost = flows[~again[flows] & ~probes[flows]]
        if len(lost) * 2 < total or len(lost) < config.flood_flows:
            continue
        starts = np.sort(f["start_ns"][lost])
        recent = np.arange(1, len(starts) + 1) - np.searchsorted(starts, starts - to_ns(FLOOD_WINDOW_S), "right")
        at_once = int(recent.max())
        if at_once >= config.flood_flows:
            floods.append(Flood(lost, total, at_once, int(starts[np.argmax(recent) - at_once + 1])))
    return floods


def members_of(found: list[Flood]) -> IntArray:
    """The flows of these floods."""
    return np.concatenate([flood.flows for flood in found]) if found else np.zeros(0, dtype=np.int64)


@rule(
    "PF105",
    "syn-flood",
    title="A flood of connection attempts",
    doubts=Doubt.CLOCK,
    lead=Lead("{server} [is|are] flooded with connection attempts"),
)
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
        PF109.
    Source: RFC 4987; the shares are judgement, see the settings flood_flows and scan_ports.
    """
    found = floods(tables, config)

    def finding(flood: Flood) -> Finding:
        return _flood(tables, config, flood)

    return per_group(found, finding, weight=[flood.at_once for flood in found])


def _flood(tables: Tables, config: Config, flood: Flood) -> Finding:
    f = tables.flows
    first = int(flood.flows[0])
    sources = distinct(host_keys(tables, CLIENT)[flood.flows])
    starts = f["start_ns"][flood.flows]
    span = max(int(starts.max() - starts.min()), 1)
    answered = int(np.count_nonzero(f["completeness"][flood.flows] & COMPLETE_SYN_ACK))
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
