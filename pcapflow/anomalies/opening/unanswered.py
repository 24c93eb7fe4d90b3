"""PF101: nobody answers a SYN."""

from __future__ import annotations

import numpy as np

from pcapflow.anomalies.capture_quality import quality
from pcapflow.anomalies.cite import in_frame, in_frames, proof
from pcapflow.anomalies.hits import Hit, no_hits, per_flow
from pcapflow.anomalies.lookup.columns import among, indices, side
from pcapflow.anomalies.lookup.timeline import Story, count_marks, frames_of
from pcapflow.anomalies.model import CERTAIN, LIKELY, Finding, Hits, Severity
from pcapflow.anomalies.opening.floods import floods, members_of
from pcapflow.anomalies.opening.icmp import ended_by_icmp
from pcapflow.anomalies.opening.scans import scanned
from pcapflow.anomalies.rule import Doubt, Lead, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.states import CLIENT, SERVER, SYN_SENT
from pcapflow.text.phrases import duration, how_often
from pcapflow.text.times import to_ns


@rule(
    "PF101",
    "syn-unanswered",
    title="Connection attempts without an answer",
    doubts=Doubt.DUPLICATES | Doubt.CLOCK,
    lead=Lead("{server} did not answer a connection attempt", "{server} [does|do] not answer connection attempts"),
)
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
    alone &= ~quality(tables).cut
    if not alone.any():
        return no_hits()
    repeats = count_marks(tables, marks.MARK_SYN_REPEATED, endpoint=CLIENT)
    left = tables.capture.last_ns - f["start_ns"]
    late = (repeats > 0) | (left >= to_ns(config.syn_timeout_s))
    flows = indices(alone & ~ended_by_icmp(tables, config) & late & ~scanned(tables, config))
    flooded = among(flows, members_of(floods(tables, config)))
    weight = np.where(flooded, 0, 1 + repeats[flows])

    def finding(story: Story, hit: Hit) -> Finding:
        row, flow, _ = hit
        again = story.marks(flow, marks.MARK_SYN_REPEATED, endpoint=CLIENT)
        first = int(f["first_frame"][flow])
        tried, what, which = f"sent its SYN once{in_frame(first)}", "SYN was", "later"
        if again:
            span = again[-1].time_ns - int(f["start_ns"][flow])
            sent = f"sent its SYN {how_often(len(again) + 1)}{in_frames([first, *frames_of(again)])}"
            tried, what, which = f"{sent} over {duration(span)}", "SYNs were", "after the last"
        waited = tables.capture.last_ns - int(f["client_last_ns"][flow])
        part = "; one of the attempts that PF105 tells of" if flooded[row] else ""
        return Finding(
            severity=graded(len(again), flooded=bool(flooded[row])),
            flow=flow,
            time_ns=int(f["start_ns"][flow]),
            frames=proof([first, *frames_of(again)]),
            detail=(
                f"{tables.client(flow)} {tried} to {tables.server(flow)}, and nothing had come back "
                f"when the capture ended {duration(waited)} {which}{part}"
            ),
            confidence=CERTAIN if again else LIKELY,
            alternatives=(
                f"the {what} dropped on the way or at the server",
                "the answer was lost or takes a path that this capture does not see",
            ),
        )

    return per_flow(tables, flows, finding, weight=weight)


def graded(repeats: int, *, flooded: bool = False) -> Severity:
    """How bad it is to have sent a SYN again so often without an answer."""
    if flooded:
        return Severity.INFO
    return Severity.MEDIUM if repeats >= 2 else Severity.LOW
