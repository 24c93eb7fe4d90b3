"""PF404: a share of the segments that does not arrive."""

from __future__ import annotations

import numpy as np

from pcapflow.anomalies.cite import proof
from pcapflow.anomalies.figures import wilson, wilson_low
from pcapflow.anomalies.hits import Hit, per_flow
from pcapflow.anomalies.lookup.columns import SIDES, indices
from pcapflow.anomalies.lookup.timeline import Story, frames_of
from pcapflow.anomalies.model import Finding, Hits, Severity
from pcapflow.anomalies.rule import Doubt, Lead, rule
from pcapflow.anomalies.transfer.black_hole import in_black_hole
from pcapflow.anomalies.transfer.repeats import REPEATS, both
from pcapflow.anomalies.transfer.shares import sent_again
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
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
        Network: look at errors and drops of the interfaces along the path (`ip -s link`, `ethtool -S`,
            `tc -s qdisc`), duplex and optics first, then shapers and full queues.
    Else: segments sent again needlessly (spurious) point to delay and not to loss; the marks tell them apart.
        Segments are counted in units of the MSS, since a card that merges segments makes one record of forty. Not
        counted as loss are further repeats of the same segment, those that the peer never answered (PF402), what is
        sent again in smaller segments as ICMP asks, what a black hole swallows (PF405), and copies in the capture.
    Source: RFC 9293, 3.8.1; the share is the setting retransmission_percent, its interval is Wilson's.
    """
    f = tables.flows
    per_side, shares = [], []
    for endpoint in SIDES:
        sent, again = sent_again(tables, endpoint)
        flows = indices((again >= max(config.retransmission_segments, 1)) & ~in_black_hole(tables, config, endpoint))
        least = wilson_low(again[flows], sent[flows])
        heavy = least * 100 >= config.retransmission_percent
        per_side.append(flows[heavy])
        shares.append(least[heavy])
    flows, endpoints = both(per_side)
    least = np.concatenate(shares)

    def finding(story: Story, hit: Hit) -> Finding:
        row, flow, endpoint = hit
        again = story.marks(flow, *REPEATS, marks.OUT_OF_ORDER, endpoint=endpoint)
        needless = len(story.marks(flow, marks.SPURIOUS_RETRANSMISSION, endpoint=endpoint))
        counts = sent_again(tables, endpoint)
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
