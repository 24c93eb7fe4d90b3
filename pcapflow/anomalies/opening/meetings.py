"""PF107 and PF108: a SYN that meets another SYN, or an old connection."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.cite import in_frame, proof
from pcapflow.anomalies.hits import Hit, per_flow
from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.challenges import SLOW_OPENING_S, opening_ns
from pcapflow.anomalies.lookup.columns import SIDES, indices, side
from pcapflow.anomalies.lookup.timeline import Story, last_rows, reopened
from pcapflow.anomalies.model import LIKELY, Finding, Hits, IntArray, Severity
from pcapflow.anomalies.rule import Lead, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.states import CLIENT, ESTABLISHED, SERVER, SYN_RCVD, SYN_RX, SYN_SENT, SYN_TX
from pcapflow.text.phrases import duration
from pcapflow.text.times import to_ns

RECOVERY_S: Final = 5.0
"""How soon after its new SYN a client clears the old connection away."""


@rule(
    "PF107",
    "half-open-recovered",
    title="Old connections found half open",
    lead=Lead("{server} still held an old connection", "{server} still [holds|hold] old connections"),
)
def half_open_recovered(tables: Tables, config: Config) -> Hits:
    """A SYN was answered by the ACK of an old connection, which the client then reset, to open anew.

    Means: the server still held a connection that the client had forgotten, usually because the client's host restarted
        or was replaced. TCP cleared it up by itself, at the price of a round trip or a SYN time-out.
    Do:
        Client: if it does not restart often, look for a NAT or a load balancer that reuses ports too soon.
        Server: turn keep-alives on, so that dead connections do not wait for the same port to come back.
    Else: an old duplicate SYN from the network draws the same ACK, and then no new connection follows. Where the old
        connection is not in the capture, PF211 tells of it. What cost less than 0.2 s is information.
    Source: RFC 9293, 3.5.1 (half-open connections) and RFC 5961, 4.
    """
    del config
    f = tables.flows
    rows = cleared(tables)
    flows = np.array([found.flow for found in rows], dtype=np.int64)
    cost = opening_ns(tables)[np.array([found.anew for found in rows], dtype=np.int64)]
    slow = cost >= to_ns(SLOW_OPENING_S)

    def finding(_: Story, hit: Hit) -> Finding:
        flow, anew, ack, reset, again = rows[hit.row]
        took = int(cost[hit.row])
        delay = f"; from its first SYN to the SYN-ACK it took {duration(took)}" if took >= 0 else ""
        syn = int(f["first_frame"][anew])
        return Finding(
            severity=Severity.LOW if slow[hit.row] else Severity.INFO,
            flow=flow,
            time_ns=int(f["start_ns"][anew]),
            frames=proof([syn, ack, reset, again]),
            detail=(
                f"{tables.server(flow)} still held an old connection from {tables.client(flow)}: it answered a "
                f"SYN{in_frame(syn)} with an ACK{in_frame(ack)}, the client reset it{in_frame(reset)} and opened "
                f"anew{in_frame(again)}{delay}"
            ),
            confidence=LIKELY,
            alternatives=("an old duplicate SYN",),
        )

    return per_flow(tables, flows, finding, weight=np.where(slow, 1e12, 0) + np.maximum(cost, 0))


class Cleared(NamedTuple):
    """An old connection that its client reset because of the SYN of the next one, and the frames that show it."""

    flow: int
    anew: int
    ack: int
    reset: int
    again: int


@cached_per_tables
def cleared(tables: Tables) -> list[Cleared]:
    """Of flows that their client reset, those where it did so because of its next connection's SYN.

    The SYN has begun a flow of its own when the server answers it for the old connection: the reset lies between that
    SYN and its repeat.
    """
    f = tables.flows
    flows = indices((f["reset_frame"] > 0) & (f["reset_by"] == CLIENT))
    if not len(flows):
        return []
    anew = reopened(tables, flows)
    begun, ended, heard = f["start_ns"][anew], f["reset_ns"][flows], side(f, SERVER, "last_ns")[flows]
    mine = (anew >= 0) & (begun <= heard) & (heard <= ended) & (ended - begun <= to_ns(RECOVERY_S))
    flows, anew = flows[mine], anew[mine]
    story = Story(tables, np.concatenate((flows, anew)))
    found = []
    for flow, new in zip(flows.tolist(), anew.tolist(), strict=True):
        reset_ns, reset = int(f["reset_ns"][flow]), int(f["reset_frame"][flow])
        again = story.marks(new, marks.MARK_SYN_REPEATED, endpoint=CLIENT, after_ns=reset_ns)
        acks = story.marks(flow, marks.DUPLICATE_ACK, endpoint=SERVER, after_ns=int(f["start_ns"][new]) - 1)
        if again:
            found.append(Cleared(flow, new, acks[0].frame if acks else 0, reset, again[0].frame))
    return found


def cleared_for(tables: Tables) -> IntArray:
    """For each flow the connection for which its client reset it, -1 where there is none."""
    anew = np.full(len(tables.flows), -1, dtype=np.int64)
    for found in cleared(tables):
        anew[found.flow] = found.anew
    return anew


def cleared_flows(tables: Tables) -> IntArray:
    """The old connections that their client reset to make room for new ones."""
    return np.array([found.flow for found in cleared(tables)], dtype=np.int64)


@rule(
    "PF108",
    "simultaneous-open",
    title="Simultaneous opens",
    lead=Lead("{server} and another host opened towards each other at the same moment"),
)
def simultaneous_open(tables: Tables, config: Config) -> Hits:
    """Both sides sent a SYN before either saw the other's.

    Means: the two opened towards each other at the same moment, and the SYNs crossed. TCP makes one connection of it.
        It is rare outside of hole punching through NAT.
    Do:
        Client: nothing.
        Server: nothing.
    Else: not a fault. Who is called client here is only whose SYN passed the tap first.
    Source: RFC 9293, 3.5, figure 8.
    """
    del config
    f = tables.flows
    crossed = np.ones(len(f), dtype=bool)
    for endpoint in SIDES:
        crossed &= last_rows(tables, endpoint=endpoint, old=SYN_SENT, new=SYN_RCVD, event=SYN_RX) >= 0
    flows = indices(crossed)

    def finding(story: Story, hit: Hit) -> Finding:
        flow = hit.flow
        syns = [story.frame(flow, endpoint, event=SYN_TX) for endpoint in SIDES]
        opened = all(story.step(flow, endpoint, new=ESTABLISHED) for endpoint in SIDES)
        return Finding(
            severity=Severity.INFO,
            flow=flow,
            time_ns=int(f["start_ns"][flow]),
            frames=proof(syns),
            detail=(
                f"{tables.client(flow)}{in_frame(syns[CLIENT])} and "
                f"{tables.server(flow)}{in_frame(syns[SERVER])} sent SYNs that crossed; the connection was "
                f"{'opened' if opened else 'not opened'}"
            ),
        )

    return per_flow(tables, flows, finding, weight=np.zeros(len(flows), dtype=np.int64))
