"""PF206 to PF208: less usual forms of a close, and data where there should be none."""

from __future__ import annotations

import numpy as np

from pcapflow.anomalies.cite import in_frame, in_frames, proof
from pcapflow.anomalies.closing.last_ack import waits_for_ack
from pcapflow.anomalies.hits import Hit, no_hits, per_flow
from pcapflow.anomalies.lookup.columns import SIDES, cell, chosen, indices, side
from pcapflow.anomalies.lookup.timeline import (
    Story,
    count_marks,
    frames_of,
    last_rows,
    last_times,
)
from pcapflow.anomalies.model import LIKELY, Finding, Hits, IntArray, Severity
from pcapflow.anomalies.rule import Doubt, Lead, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.endings import END_REASONS
from pcapflow.tcp.states import (
    CLOSE_WAIT,
    CLOSING,
    FIN_TX,
    FIN_WAIT_1,
)
from pcapflow.text.phrases import counted, duration


@rule(
    "PF206",
    "half-close",
    title="Half-closes",
    lead=Lead(
        "One side of a connection to {server} closed while the other still sent data",
        "One side of connections to {server} closes while the other still sends data",
    ),
)
def half_close(tables: Tables, config: Config) -> Hits:
    """One side had closed its direction while the other still delivered data, and then closed too.

    Means: TCP allows one direction to end before the other. `ssh host cmd < file` and some proxies do it on purpose:
        shutdown(SHUT_WR) says "that was my request", and the answer still comes.
    Do:
        Client: nothing.
        Server: nothing.
    Else: not a fault. Data that only crossed the FIN on the wire is no half-close and is left out; so are closes of
        both sides at once (PF207).
    Source: RFC 9293, 3.6; RFC 1122, 4.2.2.13.
    """
    del config
    f = tables.flows
    closed = f["end_reason"] == END_REASONS.index("closed")
    closed &= (f["client_after_fin"] > 0) | (f["server_after_fin"] > 0)
    if not closed.any():
        return no_hits()
    parts = []
    for endpoint in SIDES:
        first, later = endpoint, 1 - endpoint
        ended = last_times(tables, first, event=FIN_TX)
        # Who sends its FIN before it has received the other's closes at the same time (PF207): all its data was older.
        answered = last_rows(tables, endpoint=later, old=CLOSE_WAIT, event=FIN_TX) >= 0
        # Sooner than a round trip after the FIN nothing can be an answer to it.
        after = side(f, later, "data_ns") - ended >= np.maximum(side(f, first, "rtt_ns"), 0)
        flows = indices(closed & answered & (ended >= 0) & (side(f, later, "after_fin") > 0) & after)
        parts.append((flows, np.full(len(flows), first)))
    flows, endpoints = (np.concatenate(column) for column in zip(*parts, strict=True))

    def finding(story: Story, hit: Hit) -> Finding:
        _, flow, first = hit
        fin, last = (story.step(flow, side_, event=FIN_TX) for side_ in (first, 1 - first))
        after = cell(f, flow, 1 - first, "after_fin")
        span = last.time_ns - fin.time_ns if fin and last else 0
        return Finding(
            severity=Severity.INFO,
            flow=flow,
            time_ns=fin.time_ns if fin else int(f["end_ns"][flow]),
            frames=proof([step.frame for step in (fin, last) if step]),
            detail=(
                f"{tables.name(flow, first)} ended its direction{in_frame(fin.frame if fin else 0)}; "
                f"{tables.name(flow, 1 - first)} sent {counted(after, 'byte')} more and closed "
                f"{duration(span)} later{in_frame(last.frame if last else 0)}"
            ),
        )

    after_fin = chosen(f, 1 - endpoints_of(flows, endpoints, len(f)), "after_fin")[flows]
    return per_flow(tables, flows, finding, weight=after_fin, endpoints=endpoints)


def endpoints_of(flows: IntArray, endpoints: IntArray, total: int) -> IntArray:
    """Endpoints of some flows as a column of all flows; the client where nothing is known."""
    column = np.zeros(total, dtype=np.int64)
    column[flows] = endpoints
    return column


@rule(
    "PF207",
    "simultaneous-close",
    title="Simultaneous closes",
    lead=Lead("{server} and its client closed at once", "{server} and [its|their] clients close at once"),
)
def simultaneous_close(tables: Tables, config: Config) -> Hits:
    """Both sides sent their FIN before either saw the other's.

    Means: the FINs crossed; both endpoints passed through CLOSING, and both end in TIME_WAIT. Where the ACK of one of
        the FINs is missing, and its sender stays in CLOSING, PF201 tells of that instead.
    Do:
        Client: nothing.
        Server: nothing.
    Else: not a fault. Seen often on one service, both ends close at the same signal, and each pays with a TIME_WAIT.
    Source: RFC 9293, 3.6, figure 13.
    """
    crossed = np.ones(len(tables.flows), dtype=bool)
    for endpoint in SIDES:
        crossed &= last_rows(tables, endpoint=endpoint, old=FIN_WAIT_1, new=CLOSING) >= 0
        crossed &= ~waits_for_ack(tables, config, endpoint)
    flows = indices(crossed)

    def finding(story: Story, hit: Hit) -> Finding:
        flow = hit.flow
        fins = [story.step(flow, endpoint, event=FIN_TX) for endpoint in SIDES]
        frames = [step.frame for step in fins if step]
        apart = abs(fins[0].time_ns - fins[1].time_ns) if fins[0] and fins[1] else 0
        return Finding(
            severity=Severity.INFO,
            flow=flow,
            time_ns=min(step.time_ns for step in fins if step),
            frames=proof(frames),
            detail=(
                f"{tables.client(flow)} and {tables.server(flow)} closed at the same time: their FINs"
                f"{in_frames(sorted(frames))} crossed, {duration(apart)} apart here"
            ),
        )

    return per_flow(tables, flows, finding, weight=np.zeros(len(flows), dtype=np.int64))


@rule(
    "PF208",
    "data-after-fin",
    title="Data after the sender's own FIN",
    doubts=Doubt.DUPLICATES,
    lead=Lead("{who} sent data after it had closed", "{who} [sends|send] data after [it has|they have] closed"),
)
def data_after_fin(tables: Tables, config: Config) -> Hits:
    """An endpoint sent new data beyond its own FIN.

    Means: a FIN ends its sender's stream; bytes past it cannot come from a correct TCP. They are forged, or one of two
        stacks that share the address sent them, or the FIN itself was forged.
    Do:
        Client: if it is the sender, look for a second stack or a proxy that uses the same address and port.
        Server: likewise.
        Network: look for devices that inject packets: compare TTL and IP identification of the FIN and of the data.
    Else: repeats of data below the FIN are ordinary and left out.
    Source: RFC 9293, 3.6 (a FIN is the last of its direction) and 3.10.7.4.
    """
    del config
    per_side = [count_marks(tables, marks.MARK_DATA_AFTER_FIN, endpoint=endpoint) for endpoint in SIDES]
    flows = np.concatenate([indices(counts > 0) for counts in per_side])
    endpoints = np.repeat(SIDES, [np.count_nonzero(counts) for counts in per_side])

    def finding(story: Story, hit: Hit) -> Finding:
        _, flow, endpoint = hit
        late = story.marks(flow, marks.MARK_DATA_AFTER_FIN, endpoint=endpoint)
        fin = story.frame(flow, endpoint, event=FIN_TX)
        beyond = max(mark.value for mark in late)
        return Finding(
            severity=Severity.MEDIUM,
            flow=flow,
            endpoint=endpoint,
            time_ns=late[0].time_ns,
            frames=proof([fin, *frames_of(late)]),
            detail=(
                f"{tables.name(flow, endpoint)} sent {counted(len(late), 'segment')} with new data"
                f"{in_frames(frames_of(late))} after its FIN{in_frame(fin)}"
                + (f", up to {counted(beyond, 'byte')} past it" if beyond > 0 else "")
            ),
            confidence=LIKELY,
            alternatives=("the FIN was forged and the data is genuine", "the data was forged"),
        )

    number = np.concatenate([counts[counts > 0] for counts in per_side])
    return per_flow(tables, flows, finding, weight=number, endpoints=endpoints)
