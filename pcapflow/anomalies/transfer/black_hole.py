"""PF405: a path that takes only small segments and does not say so."""

from __future__ import annotations

import numpy as np

from pcapflow.anomalies.cite import in_frames, proof
from pcapflow.anomalies.hits import Hit, per_flow
from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import SIDES, cell, everywhere, indices, side
from pcapflow.anomalies.lookup.timeline import Story, frames_of, rows_with
from pcapflow.anomalies.model import LIKELY, POSSIBLE, BoolArray, Finding, Hits, IntArray, Severity
from pcapflow.anomalies.rule import Doubt, Lead, rule
from pcapflow.anomalies.transfer.repeats import REPEATS, both
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp.completeness import COMPLETE_HANDSHAKE
from pcapflow.text.phrases import counted


@rule(
    "PF405",
    "path-mtu-black-hole",
    title="Large packets vanish, small ones pass",
    doubts=Doubt.ONE_WAY | Doubt.GAPS | Doubt.DUPLICATES,
    lead=Lead(
        "Large packets of a connection to {server} are lost, small ones pass",
        "Large packets of connections to {server} are lost, small ones pass",
    ),
)
def path_mtu_black_hole(tables: Tables, config: Config) -> Hits:
    """Full-size segments were repeated and never acknowledged, while small ones pass.

    Means: somewhere on the path a link takes only smaller packets, and the ICMP message that would say so (packet too
        big) does not reach the sender. The connection opens, small messages work, and it hangs at the first large one.
    Do:
        Client: as a remedy, lower the interface's MTU, or turn on `net.ipv4.tcp_mtu_probing=1`.
        Server: likewise, if it is the one that sends the large segments.
        Network: let ICMP type 3 code 4 and ICMPv6 type 2 pass; clamp the MSS on tunnels and PPPoE links.
    Else: a peer that vanished at that moment looks the same (PF402), if nothing more is heard from it.
    Source: RFC 2923, 2.1; RFC 4821.
    """
    f = tables.flows
    found = [_black_holes(tables, config, endpoint) for endpoint in SIDES]
    flows, endpoints = both([indices(large > 0) for large in found])
    numbers = np.concatenate([large[large > 0] for large in found])

    def finding(story: Story, hit: Hit) -> Finding:
        _, flow, endpoint = hit
        again = story.marks(flow, *REPEATS, endpoint=endpoint)
        alive = cell(f, flow, 1 - endpoint, "last_ns") > again[0].time_ns
        other = tables.name(flow, 1 - endpoint)
        heard = f"{other} still sent smaller ones" if alive else f"the small ones before had reached {other}"
        return Finding(
            severity=Severity.MEDIUM,
            flow=flow,
            time_ns=again[0].time_ns,
            frames=proof(frames_of(again)),
            detail=(
                f"{tables.name(flow, endpoint)} repeated segments of {again[0].value:,} bytes "
                f"{counted(len(again), 'time')}{in_frames(frames_of(again))}, none was acknowledged, and "
                f"{heard}"
            ),
            confidence=LIKELY if alive else POSSIBLE,
            alternatives=(f"{other} vanished at that moment",),
        )

    return per_flow(tables, flows, finding, weight=numbers, endpoints=endpoints)


def in_black_hole(tables: Tables, config: Config, endpoint: int) -> BoolArray:
    """For each flow whether what this side repeats is told of by PF405."""
    return _black_holes(tables, config, endpoint) > 0


@cached_per_tables
def _black_holes(tables: Tables, config: Config, endpoint: int) -> IntArray:
    """For each flow how often one side repeated full-size segments, where only these vanish; 0 elsewhere."""
    f, m = tables.flows, tables.marks
    repeats = rows_with(tables, *REPEATS)
    repeats = repeats[m["endpoint"][repeats] == endpoint]
    if len(repeats) < max(config.black_hole_retries, 1):
        return everywhere(0, len(f))
    agreed = np.minimum(
        np.where(f["client_mss"] > 0, f["client_mss"], 1 << 20), np.where(f["server_mss"] > 0, f["server_mss"], 1 << 20)
    ).astype(np.int64)
    of_flow = m["flow"][repeats]
    # Options take up to 40 bytes of what the MSS allows.
    full = m["value"][repeats] >= agreed[of_flow] - 40
    large = np.bincount(of_flow[full], minlength=len(f))
    small = np.bincount(of_flow[~full], minlength=len(f))
    acked, sent = side(f, 1 - endpoint, "acked"), side(f, endpoint, "sent")
    opened = (f["completeness"] & COMPLETE_HANDSHAKE) == COMPLETE_HANDSHAKE
    unrecovered = (acked >= 1) & (sent - acked >= agreed - 40)
    none_passed = acked - 1 < agreed - 40
    swallowed = (large >= max(config.black_hole_retries, 1)) & (small == 0) & opened & unrecovered
    swallowed &= none_passed | _heard_after(tables, repeats[full], endpoint)
    return np.where(swallowed, large, 0)


def _heard_after(tables: Tables, repeats: IntArray, endpoint: int) -> np.ndarray:
    """For each flow whether the other side sent something after the first of these marks."""
    f, m = tables.flows, tables.marks
    first = np.full(len(f), np.iinfo(np.int64).max)
    # Of a repeated index the last assignment stays; reversed, that is the earliest mark.
    first[m["flow"][repeats[::-1]]] = m["time_ns"][repeats[::-1]]
    return side(f, 1 - endpoint, "last_ns") > first
