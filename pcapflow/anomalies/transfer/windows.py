"""PF401: a receiver that does not read."""

from __future__ import annotations

from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frame, in_frames, proof
from pcapflow.anomalies.hits import Hit, per_flow
from pcapflow.anomalies.lookup.columns import SIDES, cell, indices, side
from pcapflow.anomalies.lookup.timeline import Story, frames_of
from pcapflow.anomalies.model import Finding, Hits, Severity
from pcapflow.anomalies.rule import Doubt, Lead, rule
from pcapflow.anomalies.transfer.repeats import both
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.text.phrases import duration, how_often
from pcapflow.text.times import to_ns

LONG_STALL: Final = 10


@rule(
    "PF401",
    "zero-window-stall",
    title="Receivers that stop reading",
    doubts=Doubt.GAPS | Doubt.CLOCK,
    lead=Lead("{who} stopped reading", "{who} [stops|stop] reading"),
)
def zero_window_stall(tables: Tables, config: Config) -> Hits:
    """A receiver advertised a window of 0 and kept its peer from sending.

    Means: the receiver's buffer is full, because its application does not read. The network and the sender are fine:
        the sender has data and may not send it.
    Do:
        Client: if it is the receiver, its Recv-Q is full in `ss -tnp`; see what the application does instead of reading
            (blocked on a disk, a lock, a slow consumer); a larger buffer only postpones it.
        Server: likewise.
    Else: back-pressure on purpose, as in a paused download, looks the same.
    Source: RFC 9293, 3.8.6; Wireshark's tcp.analysis.zero_window.
    """
    f = tables.flows
    least = to_ns(config.zero_window_s)
    flows, endpoints = both([indices(side(f, endpoint, "zero_ns") >= least) for endpoint in SIDES])
    stalled = np.array(
        [cell(f, flow, e, "zero_ns") for flow, e in zip(flows.tolist(), endpoints.tolist(), strict=True)],
        dtype=np.int64,
    )

    def finding(story: Story, hit: Hit) -> Finding:
        row, flow, endpoint = hit
        long = int(stalled[row])
        closed = story.marks(flow, marks.ZERO_WINDOW, marks.ZERO_WINDOW_PROBE_ACK, endpoint=endpoint)
        probes = story.marks(flow, marks.ZERO_WINDOW_PROBE, endpoint=1 - endpoint)
        first = cell(f, flow, endpoint, "zero_frame")
        asked = f" and asked {how_often(len(probes))}{in_frames(frames_of(probes))}" if probes else ""
        return Finding(
            severity=Severity.MEDIUM if long >= LONG_STALL * least else Severity.LOW,
            flow=flow,
            endpoint=endpoint,
            time_ns=next((mark.time_ns for mark in closed if mark.frame == first), int(f["start_ns"][flow])),
            frames=proof([first, *frames_of(closed), *frames_of(probes)]),
            detail=(
                f"{tables.name(flow, endpoint)} kept its receive window at 0 for "
                f"{duration(long)}{in_frame(first)}: its application did not read, and "
                f"{tables.name(flow, 1 - endpoint)} had to wait{asked}"
            ),
            alternatives=("back-pressure that the application applies on purpose",),
        )

    return per_flow(tables, flows, finding, weight=stalled, endpoints=endpoints)
