"""PF205: nobody answers a FIN."""

from __future__ import annotations

import numpy as np

from pcapflow.anomalies.cite import in_frames, proof
from pcapflow.anomalies.closing.repeats import gave_up_repeating
from pcapflow.anomalies.hits import Hit, per_flow
from pcapflow.anomalies.lookup.columns import SIDES, cell, indices, side
from pcapflow.anomalies.lookup.timeline import (
    Story,
    count_marks,
    frames_of,
    last_times,
)
from pcapflow.anomalies.model import CERTAIN, POSSIBLE, Finding, Hits, Severity
from pcapflow.anomalies.opening.icmp import SEE_ICMP, ended_by_icmp
from pcapflow.anomalies.rule import Doubt, Lead, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.states import (
    FIN_TX,
    FIN_WAIT_1,
)
from pcapflow.text.phrases import duration, how_often
from pcapflow.text.times import to_ns


@rule(
    "PF205",
    "fin-unanswered",
    title="FINs that nobody acknowledges",
    doubts=Doubt.ONE_WAY | Doubt.GAPS | Doubt.DUPLICATES | Doubt.CLOCK,
    lead=Lead("The close of a connection to {server} is never acknowledged", "Closes to {server} are not acknowledged"),
)
def fin_unanswered(tables: Tables, config: Config) -> Hits:
    """The side that closes first repeats its FIN, and it is never acknowledged.

    Means: the FIN, or every ACK of it, is lost: the path or the other host is gone. The endpoint stays in FIN_WAIT_1
        until it gives up.
    Do:
        Client: see whether other connections to the same host work at that time.
        Server: see whether the host was up and whether its firewall forgot the connection.
        Network: look for a state time-out or a route that changed while the connection was idle.
    Else: where the repeats stop early, the ACK arrived and was only not captured; that is told as possible, with low
        weight. A FIN that was not repeated is not told at all.
    Source: RFC 9293, 3.10.7.4 (FIN-WAIT-1); Linux tcp_orphan_retries (8 repeats), tcp_retries2.
    """
    f, end_ns = tables.flows, tables.capture.last_ns
    parts = []
    for endpoint in SIDES:
        waits = side(f, endpoint, "state") == FIN_WAIT_1
        repeats = count_marks(tables, marks.MARK_FIN_REPEATED, endpoint=endpoint)
        began = last_times(tables, endpoint, event=FIN_TX)
        flows = indices(waits & (repeats > 0) & (end_ns - began >= to_ns(config.close_grace_s)))
        parts.append((flows, np.full(len(flows), endpoint), repeats[flows]))
    flows, endpoints, repeated = (np.concatenate(column) for column in zip(*parts, strict=True))
    explained = ended_by_icmp(tables, config)[flows]

    def finding(story: Story, hit: Hit) -> Finding:
        row, flow, endpoint = hit
        fin = story.step(flow, endpoint, event=FIN_TX)
        again = story.marks(flow, marks.MARK_FIN_REPEATED, endpoint=endpoint)
        fin_ns, fin_frame = (fin.time_ns, fin.frame) if fin else (again[0].time_ns, 0)
        stopped = gave_up_repeating(tables, config, fin_ns, [mark.time_ns for mark in again])
        other = tables.name(flow, 1 - endpoint)
        heard = cell(f, flow, 1 - endpoint, "last_ns")
        silence = (
            f"{other} sent other segments after it, none of which acknowledges it"
            if heard > fin_ns
            else f"nothing came from {other} after it"
        )
        why = explained[row]
        ended = "; the repeats stopped, so an ACK probably came that the capture does not hold" if stopped else ""
        return Finding(
            severity=Severity.INFO if why else Severity.LOW if stopped or len(again) < 3 else Severity.MEDIUM,
            flow=flow,
            time_ns=fin_ns,
            frames=proof([fin_frame, *frames_of(again)]),
            detail=(
                f"{tables.name(flow, endpoint)} sent its FIN "
                f"{how_often(len(again) + 1)}{in_frames([fin_frame, *frames_of(again)])} over "
                f"{duration(again[-1].time_ns - fin_ns)}, and it was never acknowledged: {silence}"
                f"{SEE_ICMP if why else ended}"
            ),
            confidence=POSSIBLE if stopped and not why else CERTAIN,
            alternatives=()
            if why
            else (
                ("the other host is gone",)
                if stopped
                else (
                    "the path between the two is broken",
                    f"{other} is gone or its firewall forgot the connection",
                )
            ),
        )

    return per_flow(tables, flows, finding, weight=np.where(explained, 0, repeated), endpoints=endpoints)
