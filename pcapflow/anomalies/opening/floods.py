"""PF105: floods of connection attempts."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.cite import proof
from pcapflow.anomalies.figures import wilson
from pcapflow.anomalies.hits import per_group
from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import distinct, indices
from pcapflow.anomalies.lookup.groups import group, host_keys, server_keys
from pcapflow.anomalies.lookup.timeline import count_marks
from pcapflow.anomalies.model import LIKELY, MAX_FLOWS, POSSIBLE, Finding, Hits, IntArray, Severity
from pcapflow.anomalies.opening.scans import scanned
from pcapflow.anomalies.rule import Doubt, Lead, rule
from pcapflow.config import Config
from pcapflow.tables.sorting import in_order
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.completeness import COMPLETE_ACK, COMPLETE_SYN, COMPLETE_SYN_ACK
from pcapflow.tcp.states import CLIENT
from pcapflow.text.phrases import counted, duration
from pcapflow.text.times import NS_PER_S, time_of_day, to_ns

FLOOD_WINDOW_S: Final = 60.0
"""Half-open connections of the last minute count as open at once: Linux gives up a SYN-ACK after 63 s."""
FEW_SOURCES: Final = 10
MEASURED: Final = 20
"""A rate that was measured on fewer attempts than this may be chance."""


class Flood(NamedTuple):
    """Connection attempts to one listening endpoint that were never completed.

    Attributes:
        flows: these attempts.
        attempts: all attempts, completed ones too.
        at_once, since_ns: how many of them began within a minute at most, and since when.
        a_second: their rate.
        in_a_minute: how many of them a minute brings at that rate, at least; the rate has an interval, too.
    """

    flows: IntArray
    attempts: int
    at_once: int
    since_ns: int
    a_second: float
    in_a_minute: float


@cached_per_tables
def floods(tables: Tables, config: Config) -> list[Flood]:
    """Listening endpoints most of whose attempts are never completed, so many that they fill a SYN queue.

    They do when enough of them are half open within a minute, or would be at the rate that a shorter capture shows.
    """
    f = tables.flows
    complete = f["completeness"].astype(np.int64)
    attempts = (complete & COMPLETE_SYN) > 0
    pending = attempts & ((complete & COMPLETE_ACK) == 0) & (f["reset_frame"] <= 0)
    least = min(MEASURED, config.flood_flows)
    if np.count_nonzero(pending) < max(least, 1):
        return []
    # What began just before the end may still be completed, and an ordinary client may still repeat its SYN: whether it
    # is a flood is judged by those that had the time.
    end_ns = tables.capture.last_ns
    grace = min(to_ns(config.rto_s), (end_ns - int(f["start_ns"][attempts].min())) // 2)
    ripe = f["start_ns"] <= end_ns - grace
    members = indices(pending)
    all_keys = server_keys(tables)
    again = count_marks(tables, marks.MARK_SYN_REPEATED, endpoint=CLIENT) > 0
    probes = scanned(tables, config)
    tried, tried_ripe = np.sort(all_keys[attempts]), np.sort(all_keys[attempts & ripe])
    found = []
    for flows in group(members, all_keys[members]).at_least(max(least, 1)):
        key = int(all_keys[flows[0]])
        # Ordinary clients of a server that is down repeat their SYN; a flood does not come back.
        lost = flows[~again[flows] & ~probes[flows]]
        judged = int(np.count_nonzero(ripe[lost]))
        if judged < least or wilson(judged, _count(tried_ripe, key))[0] < 0.5:
            continue
        flood = measured(f["start_ns"], lost, _count(tried, key))
        if max(flood.at_once, flood.in_a_minute) >= config.flood_flows:
            found.append(flood)
    return found


def _count(ordered: IntArray, key: int) -> int:
    """How often a key is among these."""
    return int(np.searchsorted(ordered, key, "right") - np.searchsorted(ordered, key, "left"))


def measured(started_ns: IntArray, lost: IntArray, total: int) -> Flood:
    """How fast attempts came that were never completed.

    Args:
        started_ns: when each flow began.
        lost: these attempts.
        total: all attempts at the same endpoint.
    """
    starts = in_order(started_ns[lost])
    recent = np.arange(1, len(starts) + 1) - np.searchsorted(starts, starts - to_ns(FLOOD_WINDOW_S), "right")
    at_once = int(recent.max())
    since = int(starts[np.argmax(recent) - at_once + 1])
    span_s = max(int(starts[-1] - starts[0]), 1) / NS_PER_S
    # Of as many events as these a count is uncertain by twice its root (Poisson).
    least = max(len(lost) - 2 * len(lost) ** 0.5, 0.0)
    return Flood(lost, total, at_once, since, len(lost) / span_s, FLOOD_WINDOW_S * least / span_s)


def gravity(config: Config, flood: Flood, sources: int) -> Severity:
    """High where it fills the SYN queue and comes from many addresses; from few it is rather one broken client."""
    fills = max(flood.at_once, flood.in_a_minute) >= config.syn_queue
    return Severity.HIGH if sources >= FEW_SOURCES and fills else Severity.MEDIUM


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
    """Most connections to one listening endpoint were begun and never completed, at a rate that fills its SYN queue.

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
    Source: RFC 4987; how many make a flood is the setting flood_flows, and how long a SYN queue lasts at their rate
        hangs on the setting syn_queue. Shares and rates are judged by the ends of their intervals.
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
    answered = int(np.count_nonzero(f["completeness"][flood.flows] & COMPLETE_SYN_ACK))
    spread = sources >= FEW_SOURCES
    lasts = duration(round(config.syn_queue / flood.a_second * NS_PER_S))
    return Finding(
        severity=gravity(config, flood, sources),
        time_ns=int(starts.min()),
        frames=proof(f["first_frame"][flood.flows[:8]].tolist()),
        detail=(
            f"{tables.server(first)} got {counted(flood.attempts, 'connection attempt')}, of which "
            f"{len(flood.flows):,} were never completed, though it answered {answered:,} of these with a SYN-ACK; "
            f"up to {flood.at_once:,} within {FLOOD_WINDOW_S:.0f} s from {time_of_day(flood.since_ns)}, from "
            f"{counted(sources, 'address', 'addresses')}, {flood.a_second:,.0f} a second on average; at that rate a "
            f"SYN queue of {config.syn_queue:,} places is full in {lasts}"
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
