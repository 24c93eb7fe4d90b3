"""PF107 and PF108: a SYN that meets another SYN, or an old connection."""

from __future__ import annotations

import numpy as np

from pcapflow.anomalies.cite import in_frame, proof
from pcapflow.anomalies.hits import Hit, no_hits, per_flow
from pcapflow.anomalies.lookup.columns import SIDES, indices, side
from pcapflow.anomalies.lookup.timeline import Story, count_marks, last_rows, reopened
from pcapflow.anomalies.model import LIKELY, Finding, Hits, IntArray, Severity
from pcapflow.anomalies.resets.causes import resets
from pcapflow.anomalies.rule import Lead, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.states import CLIENT, ESTABLISHED, SERVER, SYN_RCVD, SYN_RX, SYN_SENT, SYN_TX
from pcapflow.text.times import to_ns

RECOVERY_S = 5.0
MAX_CHALLENGES = 10


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
    Else: an old duplicate SYN from the network draws the same ACK, and then no new connection follows.
    Source: RFC 9293, 3.5.1 (half-open connections) and RFC 5961, 4.
    """
    f = tables.flows
    challenged = count_marks(tables, marks.MARK_CHALLENGE_ACK, endpoint=SERVER) > 0
    reset = count_marks(
        tables, marks.MARK_RESET, marks.MARK_RESET_IGNORED, marks.MARK_RESET_AFTER_CLOSE, endpoint=CLIENT
    )
    flows = indices(challenged & (reset > 0))
    found = resets(tables, config)
    cleared = found.flows[found.senders == CLIENT]
    if not len(flows) and not len(cleared):
        return no_hits()
    recovery = _cleared(tables, cleared)
    story, anew = Story(tables, flows), reopened(tables, flows)
    for flow, new in zip(flows.tolist(), anew.tolist(), strict=True):
        recovery.setdefault(flow, _recovered(tables, story, flow, new))
    pairs = [(flow, frames) for flow, frames in sorted(recovery.items()) if frames]

    def finding(_: Story, hit: Hit) -> Finding:
        flow, frames = pairs[hit.row]
        return Finding(
            severity=Severity.INFO,
            flow=flow,
            time_ns=int(f["end_ns"][flow]),
            frames=proof(frames),
            detail=(
                f"{tables.server(flow)} still held an old connection from {tables.client(flow)}: it answered a "
                f"SYN with an ACK{in_frame(frames[0])}, the client reset it{in_frame(frames[1])} and opened "
                f"anew{in_frame(frames[2])}"
            ),
            confidence=LIKELY,
            alternatives=("an old duplicate SYN",),
        )

    flows = np.array([flow for flow, _ in pairs], dtype=np.int64)
    return per_flow(tables, flows, finding, weight=np.zeros(len(flows), dtype=np.int64))


def _cleared(tables: Tables, flows: IntArray) -> dict[int, list[int]]:
    """Of flows that their client reset, those where it did so because of its next connection's SYN.

    The SYN has begun a flow of its own when the server answers it for the old connection: the reset lies between that
    SYN and its repeat. Frames as for :func:`_recovered`.
    """
    f = tables.flows
    anew = reopened(tables, flows)
    begun, ended, heard = f["start_ns"][anew], f["reset_ns"][flows], side(f, SERVER, "last_ns")[flows]
    mine = (anew >= 0) & (begun <= heard) & (heard <= ended) & (ended - begun <= to_ns(RECOVERY_S))
    flows, anew = flows[mine], anew[mine]
    story = Story(tables, np.concatenate((flows, anew)))
    found = {}
    for flow, new in zip(flows.tolist(), anew.tolist(), strict=True):
        reset_ns = int(f["reset_ns"][flow])
        again = story.marks(new, marks.MARK_SYN_REPEATED, endpoint=CLIENT, after_ns=reset_ns)
        acks = story.marks(flow, marks.DUPLICATE_ACK, endpoint=SERVER, after_ns=int(f["start_ns"][new]) - 1)
        if again:
            found[flow] = [acks[0].frame if acks else 0, int(f["reset_frame"][flow]), again[0].frame]
    return found


def _recovered(tables: Tables, story: Story, flow: int, anew: int) -> list[int]:
    """Frames of the ACK, the RST and the new SYN, where they follow one another."""
    kinds = (marks.MARK_RESET, marks.MARK_RESET_IGNORED, marks.MARK_RESET_AFTER_CLOSE)
    for challenge in story.marks(flow, marks.MARK_CHALLENGE_ACK, endpoint=SERVER)[:MAX_CHALLENGES]:
        answer = story.marks(flow, *kinds, endpoint=CLIENT, after_ns=challenge.time_ns)
        if not answer or answer[0].time_ns - challenge.time_ns > to_ns(RECOVERY_S):
            continue
        syn = story.marks(flow, marks.MARK_SYN_REPEATED, endpoint=CLIENT, after_ns=answer[0].time_ns)
        if syn:
            return [challenge.frame, answer[0].frame, syn[0].frame]
        if anew >= 0 and tables.flows["start_ns"][anew] - answer[0].time_ns <= to_ns(RECOVERY_S):
            return [challenge.frame, answer[0].frame, int(tables.flows["first_frame"][anew])]
    return []


@rule("PF108", "simultaneous-open", title="Simultaneous opens")
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
