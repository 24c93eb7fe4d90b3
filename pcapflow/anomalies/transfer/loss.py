"""PF404 and PF405: segments that do not arrive."""

from __future__ import annotations

import numpy as np

from pcapflow.anomalies.cite import in_frames, proof
from pcapflow.anomalies.figures import wilson, wilson_low
from pcapflow.anomalies.hits import Hit, no_hits, per_flow
from pcapflow.anomalies.lookup.columns import SIDES, cell, indices, side
from pcapflow.anomalies.lookup.timeline import Story, frames_of
from pcapflow.anomalies.model import LIKELY, POSSIBLE, Finding, Hits, IntArray, Severity
from pcapflow.anomalies.rule import Doubt, Lead, rule
from pcapflow.anomalies.transfer.repeats import REPEATS, both
from pcapflow.anomalies.transfer.shares import sent_again
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.completeness import COMPLETE_HANDSHAKE
from pcapflow.text.phrases import counted


@rule(
    "PF404",
    "heavy-retransmission",
    title="Much is sent again",
    doubts=Doubt.GAPS | Doubt.DUPLICATES,
    lead=Lead("Much is sent again on a connection to {server}", "Much is sent again on connections to {server}"),
)
def heavy_retransmission(tables: Tables, config: Config) -> Hits:
    """A large share of one side's segments was sent again.

    Means: the path loses packets in that direction, or the acknowledgements of the other. Throughput falls steeply with
        loss; a few in a thousand already matter on long paths.
    Do:
        Client: compare with other connections at the same time: one host, one path or all.
        Server: likewise.
        Network: look at interface errors and drops along the path, duplex and optics first, then shapers and full
            queues.
    Else: segments sent again needlessly (spurious) point to delay and not to loss; the marks tell them apart.
        Segments are counted in units of the MSS, since a card that merges segments makes one record of forty; further
        repeats of one and the same segment are silence and no share (PF402), and copies that the capture made are none.
        What was sent again in smaller pieces, because a router said by ICMP that it was too large, is none either.
    Source: RFC 9293, 3.8.1; RFC 1191, 6.5; the share is the setting retransmission_percent, its interval is Wilson's.
    """
    f = tables.flows
    per_side, shares = [], []
    for endpoint in SIDES:
        sent, again = sent_again(tables, config, endpoint)
        flows = indices(again >= max(config.retransmission_segments, 1))
        least = wilson_low(again[flows], sent[flows])
        heavy = least * 100 >= config.retransmission_percent
        per_side.append(flows[heavy])
        shares.append(least[heavy])
    flows, endpoints = both(per_side)
    least = np.concatenate(shares)

    def finding(story: Story, hit: Hit) -> Finding:
        row, flow, endpoint = hit
        again = story.marks(flow, *REPEATS, endpoint=endpoint)
        needless = len(story.marks(flow, marks.SPURIOUS_RETRANSMISSION, endpoint=endpoint))
        counts = sent_again(tables, config, endpoint)
        number, sent = int(counts.again[flow]), int(counts.sent[flow])
        low, high = wilson(number, sent)
        spurious = f", at least {needless:,} of them needlessly" if needless else ""
        return Finding(
            severity=Severity.MEDIUM if least[row] * 100 >= 3 * config.retransmission_percent else Severity.LOW,
            flow=flow,
            time_ns=again[0].time_ns if again else int(f["start_ns"][flow]),
            frames=proof(frames_of(again[:8]) or [int(f["first_frame"][flow])]),
            detail=(
                f"{tables.name(flow, endpoint)} sent {number:,} of {counted(sent, 'segment')} to "
                f"{tables.name(flow, 1 - endpoint)} again: {number / sent:.1%}, at least {low:.1%} and at most "
                f"{high:.1%} (95% interval){spurious}"
            ),
            alternatives=("the acknowledgements are lost, not the data",),
        )

    return per_flow(tables, flows, finding, weight=least, endpoints=endpoints)


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
    f, m = tables.flows, tables.marks
    repeats = np.flatnonzero(np.isin(m["mark"], REPEATS))
    if len(repeats) < config.black_hole_retries:
        return no_hits()
    agreed = np.minimum(
        np.where(f["client_mss"] > 0, f["client_mss"], 1 << 20), np.where(f["server_mss"] > 0, f["server_mss"], 1 << 20)
    ).astype(np.int64)
    of_flow = m["flow"][repeats]
    # Options take up to 40 bytes of what the MSS allows.
    full = m["value"][repeats] >= agreed[of_flow] - 40
    per_side, numbers = [], []
    for endpoint in SIDES:
        mine = m["endpoint"][repeats] == endpoint
        large = np.bincount(of_flow[mine & full], minlength=len(f))
        small = np.bincount(of_flow[mine & ~full], minlength=len(f))
        acked, sent = side(f, 1 - endpoint, "acked"), side(f, endpoint, "sent")
        opened = (f["completeness"] & COMPLETE_HANDSHAKE) == COMPLETE_HANDSHAKE
        unrecovered = (acked >= 1) & (sent - acked >= agreed - 40)
        none_passed = acked - 1 < agreed - 40
        flows = indices(
            (large >= max(config.black_hole_retries, 1))
            & (small == 0)
            & opened
            & unrecovered
            & (none_passed | (_heard_after(tables, repeats[mine & full], endpoint)))
        )
        per_side.append(flows)
        numbers.append(large[flows])
    flows, endpoints = both(per_side)

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

    return per_flow(tables, flows, finding, weight=np.concatenate(numbers), endpoints=endpoints)


def _heard_after(tables: Tables, repeats: IntArray, endpoint: int) -> np.ndarray:
    """For each flow whether the other side sent something after the first of these marks."""
    f, m = tables.flows, tables.marks
    first = np.full(len(f), np.iinfo(np.int64).max)
    # Of a repeated index the last assignment stays; reversed, that is the earliest mark.
    first[m["flow"][repeats[::-1]]] = m["time_ns"][repeats[::-1]]
    return side(f, 1 - endpoint, "last_ns") > first
