"""PF102: a SYN is answered with a RST."""

from __future__ import annotations

import numpy as np

from pcapflow.anomalies.cite import in_frame, proof
from pcapflow.anomalies.hits import Hit, per_flow
from pcapflow.anomalies.lookup.columns import indices
from pcapflow.anomalies.lookup.timeline import Story
from pcapflow.anomalies.model import LIKELY, NOBODY, Finding, Hits, IntArray, Severity
from pcapflow.anomalies.opening.scans import refused, scanned
from pcapflow.anomalies.resets.cause_help import REFUSED
from pcapflow.anomalies.resets.ttl import foreign_ttls, usual_ttls
from pcapflow.anomalies.rule import Lead, rule
from pcapflow.config import Config
from pcapflow.tables.sorting import stable_order
from pcapflow.tables.table import Tables
from pcapflow.tcp.completeness import COMPLETE_ACK
from pcapflow.tcp.states import CLIENT, RST_RX, SERVER, SYN_SENT
from pcapflow.text.phrases import duration
from pcapflow.text.times import to_ns

SECOND_TRY_S = 0.3
"""A program that was refused tries the next address of the name within this; RFC 8305, 5 has 250 ms at most."""


@rule(
    "PF102",
    "connection-refused",
    title="Connections refused",
    lead=Lead("{server} refused a connection", "{server} [refuses|refuse] connections"),
    causes=REFUSED,
)
def connection_refused(tables: Tables, config: Config) -> Hits:
    """A RST that acknowledges the SYN answered it: the attempt was refused.

    Means: the host is up and the path works both ways, but nothing listens on that port, or a firewall rejects with a
        reset. Only a RST whose ACK is the SYN's sequence number plus one refuses; any other is ignored by the client.
    Do:
        Client: check the port; if it is right, retry later, the service may be restarting.
        Server: see whether the service runs and on which address it listens (`ss -ltn`); a service bound to 127.0.0.1
            refuses everybody else.
        Network: if the RST's TTL differs from the host's other packets, look for a device that rejects for it.
    Else: a port scan is refused by design, and is told as one row (PF109). A refusal while a service restarts is no
        fault of the network. Where the next connection to that port follows at once over the other IP version and is
        opened, a program tried both addresses of a name, and this is information.
    Source: RFC 9293, 3.10.7.1 (no connection exists) and 3.10.7.3 (acceptable in SYN-SENT); RFC 8305 (both versions).
    """
    f = tables.flows
    flows = indices(refused(tables) & ~scanned(tables, config))
    servers = np.full(len(flows), SERVER)
    usual_ttl = usual_ttls(tables, flows, servers)
    is_foreign = foreign_ttls(tables, flows, servers, usual_ttl)
    instead = opened_instead(tables, flows)

    def finding(story: Story, hit: Hit) -> Finding:
        row, flow, _ = hit
        step = story.step(flow, CLIENT, event=RST_RX, old=SYN_SENT)
        frame, when = (step.frame, step.time_ns) if step else (int(f["reset_frame"][flow]), int(f["reset_ns"][flow]))
        syn = int(f["first_frame"][flow])
        after = max(when - int(f["start_ns"][flow]), 0)
        usual, ttl = int(usual_ttl[row]), int(f["reset_ttl"][flow])
        foreign = bool(is_foreign[row])
        remark = f"; the RST's TTL is {ttl} where that of the server's other packets is {usual}" if foreign else ""
        other, anew = int(instead[row]), 0
        if other >= 0:
            anew = int(f["first_frame"][other])
            remark += f"; then {tables.client(other)} opened a connection to {tables.server(other)}{in_frame(anew)}"
        return Finding(
            severity=Severity.LOW if other < 0 else Severity.INFO,
            flow=flow,
            endpoint=NOBODY if foreign else SERVER,
            time_ns=when,
            frames=proof([syn, frame, anew]),
            detail=(
                f"{tables.server(flow)} answered the SYN of {tables.client(flow)}{in_frame(syn)} "
                f"with a RST{in_frame(frame)} after {duration(after)}{remark}"
            ),
            cause="firewall-reject" if foreign else "no-listener",
            confidence=LIKELY,
            alternatives=("nothing listens on that port",)
            if foreign
            else ("a firewall rejects the attempt with a RST",),
        )

    return per_flow(tables, flows, finding, weight=np.where(instead < 0, 1, 0))


def opened_instead(tables: Tables, flows: IntArray) -> IntArray:
    """For each of these refused flows the next one to the same port, where that is the same program's second try.

    It is taken for that when it follows at once, over the other IP version, and is opened; -1 elsewhere.
    """
    f = tables.flows
    following = np.full(len(f), -1, dtype=np.int64)
    if not len(flows) or np.all(f["family"] == f["family"][0]):
        return following[flows]
    order = stable_order(f["server_port"].astype(np.int64))
    same = np.flatnonzero(f["server_port"][order][1:] == f["server_port"][order][:-1])
    following[order[same]] = order[same + 1]
    after = following[flows]
    wait = f["start_ns"][after] - np.maximum(f["reset_ns"][flows], f["start_ns"][flows])
    second_try = (
        (after >= 0)
        & (f["family"][after] != f["family"][flows])
        & ((f["completeness"][after] & COMPLETE_ACK) > 0)
        & (wait <= to_ns(SECOND_TRY_S))
    )
    return np.where(second_try, after, -1)
