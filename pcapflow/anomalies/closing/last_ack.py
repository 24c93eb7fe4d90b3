"""PF201: the ACK of the second FIN is missing."""

from __future__ import annotations

import numpy as np

from pcapflow.anomalies.cite import in_frame, in_frames, proof
from pcapflow.anomalies.closing.repeats import gave_up_repeating
from pcapflow.anomalies.hits import Hit, per_flow
from pcapflow.anomalies.lookup.columns import SIDES, cell, indices, side
from pcapflow.anomalies.lookup.timeline import (
    Story,
    count_marks,
    frames_of,
    last_rows,
    last_times,
    same_frames,
)
from pcapflow.anomalies.model import (
    CERTAIN,
    LIKELY,
    NOBODY,
    POSSIBLE,
    BoolArray,
    Confidence,
    Finding,
    Hits,
    IntArray,
    Severity,
)
from pcapflow.anomalies.rule import Doubt, Lead, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.states import (
    ACK_OF_FIN_RX,
    CLOSED,
    CLOSING,
    FIN_TX,
    LAST_ACK,
)
from pcapflow.text.phrases import duration, how_often
from pcapflow.text.times import to_ns


@rule(
    "PF201",
    "missing-final-ack",
    title="Closes whose last ACK is missing",
    doubts=Doubt.ONE_WAY | Doubt.GAPS | Doubt.DUPLICATES | Doubt.CLOCK,
    lead=Lead(
        "The final ACK of a close with {server} is missing",
        "The final ACK is missing when connections to {server} close",
    ),
)
def missing_final_ack(tables: Tables, config: Config) -> Hits:
    """The side that closed second waits for the ACK of its FIN.

    Means: both sides sent their FIN, but the last ACK of the close is missing, and the endpoint stays in LAST_ACK (or
        CLOSING) and repeats its FIN until it gives up. If the ACK passed the tap it was lost after it; if not, it was
        lost before it or never sent.
    Do:
        Client: if it is the side that owes the ACK, see whether its host or a local firewall drops packets of
            connections it has already forgotten (`conntrack -L`, time-outs for FIN_WAIT and TIME_WAIT).
        Server: nothing, if it is the side that waits; LAST_ACK ends by itself and holds no application resources.
        Network: look for loss, and for stateful firewalls that drop the state at the first FIN.
    Else: a FIN that was not repeated although there was time was acknowledged; then the ACK was only not captured. One
        lost ACK that a repeated FIN recovered is ordinary and told as information. 4.4BSD and macOS put their FIN on
        each ACK until it is acknowledged, which repeats nothing.
    Source: RFC 9293, 3.6 and 3.10.7.4 (LAST-ACK); Linux repeats a FIN like data, first after about 200 ms.
    """
    f = tables.flows
    parts: list[tuple[IntArray, IntArray, IntArray]] = []
    for endpoint in SIDES:
        repeats = count_marks(tables, marks.MARK_FIN_REPEATED, endpoint=endpoint)
        state = side(f, endpoint, "state")
        waits = waits_for_ack(tables, config, endpoint)
        # What was taken back at a repeated FIN is that its final ACK had arrived.
        mended = (state == CLOSED) & same_frames(
            tables, (marks.MARK_TAKEN_BACK,), (marks.MARK_FIN_REPEATED,), endpoint=endpoint
        )
        mended &= last_rows(tables, endpoint=endpoint, new=CLOSED, event=ACK_OF_FIN_RX) >= 0
        flows = indices(waits | mended)
        parts.append((flows, np.full(len(flows), endpoint), np.where(mended[flows], -1, repeats[flows])))
    flows, endpoints, repeated = (np.concatenate(column) for column in zip(*parts, strict=True))

    def finding(story: Story, hit: Hit) -> Finding:
        if repeated[hit.row] < 0:
            return _recovered_ack(tables, story, hit)
        return _missing_ack(tables, config, story, hit)

    return per_flow(tables, flows, finding, weight=repeated, endpoints=endpoints)


def waits_for_ack(tables: Tables, config: Config, endpoint: int) -> BoolArray:
    """Flows of which this side, in LAST_ACK or CLOSING at the end, should have had the ACK of its FIN by then."""
    state = side(tables.flows, endpoint, "state")
    left = tables.capture.last_ns - last_times(tables, endpoint, event=FIN_TX)
    late = count_marks(tables, marks.MARK_FIN_REPEATED, endpoint=endpoint) > 0
    late |= left >= 2 * to_ns(config.rto_s)
    waits: BoolArray = ((state == LAST_ACK) | (state == CLOSING)) & (left >= to_ns(config.close_grace_s)) & late
    return waits


def _missing_ack(tables: Tables, config: Config, story: Story, hit: Hit) -> Finding:
    _, flow, endpoint = hit
    f, peer = tables.flows, 1 - endpoint
    who, other = tables.name(flow, endpoint), tables.name(flow, peer)
    fin = story.step(flow, endpoint, event=FIN_TX)
    fin_ns, fin_frame = (fin.time_ns, fin.frame) if fin else (int(f["end_ns"][flow]), 0)
    again = story.marks(flow, marks.MARK_FIN_REPEATED, endpoint=endpoint)
    state = "CLOSING" if cell(f, flow, endpoint, "state") == CLOSING else "LAST_ACK"
    left = tables.capture.last_ns - fin_ns
    frames = proof([story.frame(flow, peer, event=FIN_TX), fin_frame, *frames_of(again)])
    if not again:
        return Finding(
            severity=Severity.LOW,
            flow=flow,
            time_ns=fin_ns,
            frames=frames,
            detail=(
                f"{who} sent its FIN{in_frame(fin_frame)} and did not repeat it in the {duration(left)} to the end of "
                f"the capture, so it probably got the final ACK of {other}, which the capture does not hold"
            ),
            confidence=POSSIBLE,
            alternatives=(f"{who} went away without repeating its FIN",),
        )
    sent = f"{who} sent its FIN {how_often(len(again) + 1)}{in_frames([fin_frame, *frames_of(again)])}"
    passed = cell(f, flow, peer, "acked") >= cell(f, flow, endpoint, "sent")
    stopped = gave_up_repeating(tables, config, fin_ns, [mark.time_ns for mark in again])
    after = f", and was still in {state} at the end of the capture, {duration(left)} after the first"
    confidence: Confidence = CERTAIN
    if passed:
        lost = story.marks(flow, marks.MARK_TAKEN_BACK, endpoint=endpoint)
        acks = [mark.value for mark in lost if mark.value > 0]
        often = f" {how_often(len(acks))}" if len(acks) > 1 else ""
        text = f"{sent}{after}: the final ACK of {other} passed here{often}{in_frames(acks)} and did not reach it"
        confidence = LIKELY
        frames = proof([*frames, *(mark.value for mark in lost)])
        others: tuple[str, ...] = (f"{who} got it late, when its next FIN was already on its way",)
    elif stopped:
        text = f"{sent} and then stopped{after}: it probably got the final ACK, which the capture does not hold"
        confidence, others = POSSIBLE, (f"{who} went away",)
    else:
        alive = cell(f, flow, peer, "last_ns") > fin_ns
        text = f"{sent}{after}; no ACK of it passed here, {'though' if alive else 'and'} {other} " + (
            "sent other segments after it" if alive else "sent nothing more"
        )
        others = ("the FIN is lost on its way", "the ACK is lost before this tap", f"{other} does not send one")
    return Finding(
        severity=Severity.LOW if stopped or len(again) < 2 else Severity.MEDIUM,
        flow=flow,
        endpoint=NOBODY,
        time_ns=fin_ns,
        frames=frames,
        detail=text,
        confidence=confidence,
        alternatives=others,
    )


def _recovered_ack(tables: Tables, story: Story, hit: Hit) -> Finding:
    _, flow, endpoint = hit
    who, other = tables.name(flow, endpoint), tables.name(flow, 1 - endpoint)
    again = story.marks(flow, marks.MARK_FIN_REPEATED, endpoint=endpoint)
    lost = [mark.value for mark in story.marks(flow, marks.MARK_TAKEN_BACK, endpoint=endpoint)]
    fin = story.frame(flow, endpoint, event=FIN_TX)
    return Finding(
        severity=Severity.INFO,
        flow=flow,
        time_ns=again[0].time_ns if again else int(tables.flows["end_ns"][flow]),
        frames=proof([fin, *lost, *frames_of(again)]),
        detail=(
            f"the final ACK of {other}{in_frames([frame for frame in lost if frame > 0])} did not reach {who} at "
            f"first, which repeated its FIN{in_frames(frames_of(again))}, was answered, and closed"
        ),
        confidence=LIKELY,
        alternatives=("the ACK was only late",),
    )
