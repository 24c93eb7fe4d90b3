"""PF103: a SYN is answered with an ICMP error."""

from __future__ import annotations

import numpy as np

from pcapflow.anomalies.cite import in_frames, proof
from pcapflow.anomalies.hits import Hit, per_flow
from pcapflow.anomalies.lookup.columns import indices
from pcapflow.anomalies.lookup.timeline import Story, count_marks, frames_of
from pcapflow.anomalies.model import CERTAIN, LIKELY, Finding, Hits, Severity
from pcapflow.anomalies.opening.scans import scanned
from pcapflow.anomalies.rule import Lead, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.states import SYN_SENT
from pcapflow.text.phrases import counted


@rule(
    "PF103",
    "rejected-by-icmp",
    title="Connections rejected by an ICMP message",
    lead=Lead("A connection to {server} was rejected on the way", "Connections to {server} are rejected on the way"),
)
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
    f = tables.flows
    flows = indices((count_marks(tables, marks.MARK_ICMP_UNREACHABLE) > 0) & ~scanned(tables, config))
    fatal = f["client_state"][flows] == SYN_SENT

    def finding(story: Story, hit: Hit) -> Finding:
        row, flow, _ = hit
        messages = story.marks(flow, marks.MARK_ICMP_UNREACHABLE)
        what = _icmp(int(f["family"][flow]), messages[0].value)
        ended = bool(fatal[row])
        outcome = "the connection was not opened" if ended else "the connection went on regardless"
        return Finding(
            severity=Severity.MEDIUM if ended else Severity.INFO,
            flow=flow,
            time_ns=messages[0].time_ns,
            frames=proof([int(f["first_frame"][flow]), *frames_of(messages)]),
            detail=(
                f"{counted(len(messages), 'ICMP message')}{in_frames(frames_of(messages))} told "
                f"{tables.name(flow, messages[0].endpoint)}, about its segments to "
                f"{tables.name(flow, 1 - messages[0].endpoint)}: {what}; {outcome}"
            ),
            confidence=CERTAIN if ended else LIKELY,
            alternatives=("the message is forged: whoever sees or guesses the sequence number can send it",),
        )

    return per_flow(tables, flows, finding, weight=fatal.astype(np.int64))


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
