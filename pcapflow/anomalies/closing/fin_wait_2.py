"""PF202: one side has closed and waits for the other."""

from __future__ import annotations

from pcapflow.anomalies.cite import in_frame, proof
from pcapflow.anomalies.closing.waiting import wait_severity, waiting_in
from pcapflow.anomalies.hits import Hit, per_flow
from pcapflow.anomalies.lookup.timeline import (
    Story,
)
from pcapflow.anomalies.model import CERTAIN, POSSIBLE, Finding, Hits, Severity
from pcapflow.anomalies.rule import Doubt, Lead, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp.states import (
    FIN_TX,
    FIN_WAIT_2,
)
from pcapflow.text.phrases import duration
from pcapflow.text.times import to_ns


@rule(
    "PF202",
    "stuck-fin-wait-2",
    title="Connections stuck in FIN_WAIT_2",
    doubts=Doubt.ONE_WAY | Doubt.GAPS | Doubt.CLOCK,
    lead=Lead(
        "A connection to {server} hangs half closed, in FIN_WAIT_2",
        "Connections to {server} hang half closed, in FIN_WAIT_2",
    ),
)
def stuck_fin_wait_2(tables: Tables, config: Config) -> Hits:
    """One side closed, the other acknowledged that and sends neither data nor a FIN of its own.

    Means: the endpoint in FIN_WAIT_2 has done its part of the close and waits for the other, which is in CLOSE_WAIT
        (PF203 tells it from that side). The waiting side is not at fault: its peer's application has not closed.
    Do:
        Client: if it waits, nothing; once its process has closed the socket, Linux drops it after
            `net.ipv4.tcp_fin_timeout` (60 s).
        Server: if it does not close, find out why its application keeps the socket after the end of the stream; see
            PF203.
    Else: a half-close at work still sends data, and is not counted; one that computes for long before it answers looks
        the same until it does. In a capture shorter than the threshold the wait to its end is told, with less weight.
    Source: RFC 9293, 3.6, figure 5; Linux tcp_fin_timeout.
    """
    waiting = waiting_in(tables, config, FIN_WAIT_2, peer_data=True)
    flows, endpoints = waiting.flows, waiting.endpoints
    severity = wait_severity(waiting.waited_ns, config)

    def finding(story: Story, hit: Hit) -> Finding:
        row, flow, endpoint = hit
        fin, ack = story.frame(flow, endpoint, event=FIN_TX), story.step(flow, endpoint, new=FIN_WAIT_2)
        waited = int(waiting.waited_ns[row])
        return Finding(
            severity=Severity(int(severity[row])),
            flow=flow,
            endpoint=1 - endpoint,
            time_ns=int(waiting.since_ns[row]),
            frames=proof([fin, ack.frame if ack else 0]),
            detail=(
                f"{tables.name(flow, endpoint)} sent its FIN{in_frame(fin)}, {tables.name(flow, 1 - endpoint)} "
                f"acknowledged it{in_frame(ack.frame if ack else 0)} and sent neither data nor a FIN for "
                f"{duration(waited)}, to the end of the capture: FIN_WAIT_2 all that time"
            ),
            confidence=CERTAIN if waited >= to_ns(config.stuck_s) else POSSIBLE,
            alternatives=not_stuck(waited, config),
        )

    return per_flow(tables, flows, finding, weight=severity * 1e12 + waiting.waited_ns / 1e9, endpoints=endpoints)


def not_stuck(waited_ns: int, config: Config) -> tuple[str, ...]:
    """What else a wait for the peer's FIN can be."""
    slow = "a half-close at work whose answer takes long"
    return (slow,) if waited_ns >= to_ns(config.stuck_s) else (slow, "a close that is under way when the capture ends")
