"""PF2xx: connections that do not close, close halfway, or leave too much behind when they do."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pcapflow.anomalies.capture_quality import quality
from pcapflow.anomalies.cite import in_frame, in_frames, proof
from pcapflow.anomalies.lookup import (
    SIDES,
    Story,
    cell,
    chosen,
    count_marks,
    frames_of,
    group,
    host_keys,
    indices,
    keys,
    last_rows,
    last_times,
    peak,
    remembered,
    reopened,
    same_frames,
    server_keys,
    side,
)
from pcapflow.anomalies.model import (
    CERTAIN,
    LIKELY,
    MANY,
    MAX_FLOWS,
    NOBODY,
    POSSIBLE,
    Confidence,
    Finding,
    Hits,
    IntArray,
    Severity,
    no_hits,
)
from pcapflow.anomalies.rule import Doubt, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.endings import END_REASONS
from pcapflow.tcp.states import (
    ACK_OF_FIN_RX,
    CLIENT,
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ENDPOINT_NAMES,
    FIN_RX,
    FIN_TX,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    RST_RX,
    SERVER,
    SYN_SENT,
    TIME_WAIT,
)
from pcapflow.text.phrases import counted, duration, how_often
from pcapflow.text.times import time_of_day, to_ns

HAS_ACK = 4
"""Bit of Wireshark's ``tcp.completeness``: the handshake was finished."""
SHORT_WAIT_S = 10.0
"""Somebody who watches would not yet wonder about a close that takes less than this."""
PATIENT_REPEATS = 5
"""After so many repeats the silence that follows means giving up, not an answer that was not captured."""


class Waiting(NamedTuple):
    """Endpoints that wait in one state at the end of the capture; parallel columns."""

    flows: IntArray
    endpoints: IntArray
    since_ns: IntArray
    waited_ns: IntArray


class Leak(NamedTuple):
    """Connections that one application does not close."""

    endpoint: int
    flows: IntArray
    since_ns: IntArray
    waited_ns: IntArray
    total: int
    at_end: int
    peak: int
    stuck: int


def _wait_severity(waited_ns: IntArray, config: Config) -> IntArray:
    """Low for what is stuck by the setting, info below :data:`SHORT_WAIT_S`."""
    patience = min(to_ns(SHORT_WAIT_S), to_ns(config.stuck_s))
    return np.where(waited_ns >= patience, int(Severity.LOW), int(Severity.INFO))


def _waiting(tables: Tables, config: Config, state: int, *, peer_data: bool) -> Waiting:
    """Who is in this state at the end, without new data from the side that owes a FIN, for long enough to be stuck.

    In a capture shorter than the threshold the wait to its end counts, once it is past the grace.

    ``state`` is FIN_WAIT_2, where the peer owes data or a FIN (``peer_data``), or CLOSE_WAIT, where the endpoint does.
    """
    f, end_ns = tables.flows, tables.capture.last_ns
    short = end_ns - tables.capture.first_ns < to_ns(config.stuck_s)
    patience = to_ns(config.close_grace_s if short else config.stuck_s)
    parts = []
    for endpoint in SIDES:
        here = side(f, endpoint, "state") == state
        if peer_data:
            # A FIN that passed here and did not arrive is no FIN that was not sent: PF201 tells of it.
            here = here & (side(f, 1 - endpoint, "fins") == 0)
        if not here.any():
            continue
        entered = last_times(tables, endpoint, new=state)
        since = np.maximum(entered, side(f, 1 - endpoint if peer_data else endpoint, "data_ns"))
        flows = indices(here & (entered >= 0) & (end_ns - since >= patience))
        parts.append(Waiting(flows, np.full(len(flows), endpoint), entered[flows], end_ns - since[flows]))
    if not parts:
        nothing = np.zeros(0, dtype=np.int64)
        return Waiting(nothing, nothing, nothing, nothing)
    return Waiting(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


@remembered
def _unclosed(tables: Tables, config: Config) -> Waiting:
    return _waiting(tables, config, CLOSE_WAIT, peer_data=False)


@remembered
def _leaks(tables: Tables, config: Config) -> list[Leak]:
    """Applications with several connections in CLOSE_WAIT that do not drain."""
    waiting = _unclosed(tables, config)
    found = []
    for endpoint in SIDES:
        mine = np.flatnonzero((waiting.endpoints == endpoint) & ~quality(tables, config).unheard[waiting.flows])
        if len(mine) < config.leak_flows:
            continue
        owners = server_keys(tables)
        if endpoint == CLIENT:
            owners = keys(host_keys(tables, CLIENT), owners)
        entered = last_times(tables, endpoint, new=CLOSE_WAIT)
        left = last_times(tables, endpoint, old=CLOSE_WAIT)
        passed = indices(entered >= 0)
        by_owner = {int(owners[flows[0]]): flows for flows in group(passed, owners[passed]).at_least(config.leak_flows)}
        for members in group(mine, owners[waiting.flows[mine]]).at_least(config.leak_flows):
            owner = int(owners[waiting.flows[members[0]]])
            flows = by_owner[owner]
            leak = _leak(tables, config, endpoint, waiting, members, entered[flows], left[flows])
            if leak:
                found.append(leak._replace(total=int(np.count_nonzero(owners == owner))))
    return found


def _leak(
    tables: Tables,
    config: Config,
    endpoint: int,
    waiting: Waiting,
    members: IntArray,
    entered: IntArray,
    left: IntArray,
) -> Leak | None:
    gone = left >= entered
    longest_drained = int((left - entered)[gone].max()) if gone.any() else 0
    waited = waiting.waited_ns[members]
    # In a short capture a slow but working close looks stuck; it is not where others took as long and closed.
    members = members[(waited >= to_ns(config.stuck_s)) | (waited > longest_drained)]
    if len(members) < config.leak_flows:
        return None
    at_end = int(np.count_nonzero(~gone))
    top, _ = peak(entered, np.where(gone, left, tables.capture.last_ns + 1))
    if at_end * 2 < top:
        return None
    oldest = members[np.argsort(-waiting.waited_ns[members], kind="stable")]
    return Leak(
        endpoint,
        waiting.flows[oldest],
        waiting.since_ns[oldest],
        waiting.waited_ns[oldest],
        total=0,
        at_end=at_end,
        peak=top,
        stuck=int(np.count_nonzero(waiting.waited_ns[oldest] >= to_ns(config.stuck_s))),
    )


@rule(
    "PF201",
    "missing-final-ack",
    title="Closes whose last ACK is missing",
    doubts=Doubt.ONE_WAY | Doubt.GAPS | Doubt.DUPLICATES | Doubt.CLOCK,
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
        lost ACK that a repeated FIN recovered is ordinary and told as information.
    Source: RFC 9293, 3.6 and 3.10.7.4 (LAST-ACK); Linux repeats a FIN like data, first after about 200 ms.
    """
    f, end_ns = tables.flows, tables.capture.last_ns
    parts: list[tuple[IntArray, IntArray, IntArray]] = []
    for endpoint in SIDES:
        repeats = count_marks(tables, marks.MARK_FIN_REPEATED, endpoint=endpoint)
        state = side(f, endpoint, "state")
        left = end_ns - last_times(tables, endpoint, event=FIN_TX)
        late = (repeats > 0) | (left >= 2 * to_ns(config.rto_s))
        waits = ((state == LAST_ACK) | (state == CLOSING)) & (left >= to_ns(config.close_grace_s)) & late
        # What was taken back at a repeated FIN is that its final ACK had arrived.
        mended = (state == CLOSED) & same_frames(
            tables, (marks.MARK_TAKEN_BACK,), (marks.MARK_FIN_REPEATED,), endpoint=endpoint
        )
        mended &= last_rows(tables, endpoint=endpoint, new=CLOSED, event=ACK_OF_FIN_RX) >= 0
        flows = indices(waits | mended)
        parts.append((flows, np.full(len(flows), endpoint), np.where(mended[flows], -1, repeats[flows])))
    flows, endpoints, repeated = (np.concatenate(column) for column in zip(*parts, strict=True))

    def describe(positions: IntArray) -> list[Finding]:
        story = Story(tables, flows[positions])
        return [
            _recovered_ack(tables, story, int(flows[p]), int(endpoints[p]))
            if repeated[p] < 0
            else _missing_ack(tables, config, story, int(flows[p]), int(endpoints[p]))
            for p in positions.tolist()
        ]

    return Hits(flows, describe, repeated)


def _missing_ack(tables: Tables, config: Config, story: Story, flow: int, endpoint: int) -> Finding:
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
    told = f"{who} sent its FIN {how_often(len(again) + 1)}{in_frames([fin_frame, *frames_of(again)])}"
    passed = cell(f, flow, peer, "acked") >= cell(f, flow, endpoint, "sent")
    stopped = _stopped(tables, config, fin_ns, [mark.time_ns for mark in again])
    after = f", and was still in {state} at the end of the capture, {duration(left)} after the first"
    confidence: Confidence = CERTAIN
    if passed:
        lost = story.marks(flow, marks.MARK_TAKEN_BACK, endpoint=endpoint)
        ack = in_frame(lost[-1].value) if lost else ""
        text, confidence = f"{told}: the final ACK of {other} passed here{ack} and did not reach it{after}", LIKELY
        frames = proof([*frames, *(mark.value for mark in lost)])
        others: tuple[str, ...] = (f"{who} got it late, and the FIN was already on its way",)
    elif stopped:
        text = f"{told} and then stopped{after}: it probably got the final ACK, which the capture does not hold"
        confidence, others = POSSIBLE, (f"{who} went away",)
    else:
        alive = cell(f, flow, peer, "last_ns") > fin_ns
        text = f"{told}{after}; no ACK of it passed here, {'though' if alive else 'and'} {other} " + (
            "sent other segments after it" if alive else "sent nothing more"
        )
        others = ("the FIN is lost on its way", "the ACK is lost before this tap", f"{other} does not send it")
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


def _stopped(tables: Tables, config: Config, fin_ns: int, again: list[int]) -> bool:
    """Whether the repeats ended although the next was long due: then an answer came that nobody saw."""
    if len(again) >= PATIENT_REPEATS:
        return False
    pause = again[-1] - (again[-2] if len(again) > 1 else fin_ns)
    return tables.capture.last_ns - again[-1] > 4 * pause + to_ns(config.rto_s)


def _recovered_ack(tables: Tables, story: Story, flow: int, endpoint: int) -> Finding:
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
            f"first: it repeated its FIN{in_frames(frames_of(again))}, was answered, and closed"
        ),
        confidence=LIKELY,
        alternatives=("the ACK was only late",),
    )


@rule(
    "PF202",
    "stuck-fin-wait-2",
    title="Connections stuck in FIN_WAIT_2",
    doubts=Doubt.ONE_WAY | Doubt.GAPS | Doubt.CLOCK,
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
    waiting = _waiting(tables, config, FIN_WAIT_2, peer_data=True)
    flows, endpoints = waiting.flows, waiting.endpoints
    severity = _wait_severity(waiting.waited_ns, config)

    def describe(positions: IntArray) -> list[Finding]:
        story = Story(tables, flows[positions])
        found = []
        for p in positions.tolist():
            flow, endpoint = int(flows[p]), int(endpoints[p])
            fin, ack = story.frame(flow, endpoint, event=FIN_TX), story.step(flow, endpoint, new=FIN_WAIT_2)
            waited = int(waiting.waited_ns[p])
            found.append(
                Finding(
                    severity=Severity(int(severity[p])),
                    flow=flow,
                    endpoint=1 - endpoint,
                    time_ns=int(waiting.since_ns[p]),
                    frames=proof([fin, ack.frame if ack else 0]),
                    detail=(
                        f"{tables.name(flow, endpoint)} sent its FIN{in_frame(fin)}, {tables.name(flow, 1 - endpoint)} "
                        f"acknowledged it{in_frame(ack.frame if ack else 0)} and sent neither data nor a FIN for "
                        f"{duration(waited)}, to the end of the capture: FIN_WAIT_2 all that time"
                    ),
                    confidence=CERTAIN if waited >= to_ns(config.stuck_s) else POSSIBLE,
                    alternatives=_not_stuck(waited, config),
                )
            )
        return found

    return Hits(flows, describe, severity * 1e12 + waiting.waited_ns / 1e9)


def _not_stuck(waited_ns: int, config: Config) -> tuple[str, ...]:
    slow = "a half-close at work whose answer takes long"
    return (slow,) if waited_ns >= to_ns(config.stuck_s) else (slow, "a close that is under way when the capture ends")


@rule(
    "PF203",
    "stuck-close-wait",
    title="Connections stuck in CLOSE_WAIT",
    doubts=Doubt.ONE_WAY | Doubt.GAPS | Doubt.CLOCK,
)
def stuck_close_wait(tables: Tables, config: Config) -> Hits:
    """An endpoint got its peer's FIN and does not send its own.

    Means: the peer has ended its stream. The endpoint's kernel acknowledged that at once; from then on the connection
        waits for the endpoint's application to call close(), which it does not do. Nothing in the network can change
        that, and no time-out ends it.
    Do:
        Server: if it is the side in CLOSE_WAIT, close the socket on every path, errors too; a read of 0 bytes is the
            end of the stream. `ss -tnp state close-wait` names the process.
        Client: if it is the side in CLOSE_WAIT (often a connection pool), let the pool look for closed connections
            before reuse, and set an idle time shorter than the server's.
    Else: a half-close whose answer takes long looks the same until data flows. Who is in FIN_WAIT_2 on the other side
        is not at fault (PF202 is the same wait seen from there).
    Source: RFC 9293, 3.6; RFC 1122, 4.2.2.13.
    """
    waiting = _unclosed(tables, config)
    flows, endpoints = waiting.flows, waiting.endpoints
    leaks = _leaks(tables, config)
    told = np.zeros((2, len(tables.flows)), dtype=np.int64)
    for leak in leaks:
        told[leak.endpoint, leak.flows] = len(leak.flows)
    part_of = told[endpoints, flows]
    severity = _wait_severity(waiting.waited_ns, config)
    severity = np.where((waiting.waited_ns >= to_ns(config.stuck_s)) & (part_of == 0), int(Severity.MEDIUM), severity)

    def describe(positions: IntArray) -> list[Finding]:
        story = Story(tables, flows[positions])
        found = []
        for p in positions.tolist():
            flow, endpoint = int(flows[p]), int(endpoints[p])
            peer = 1 - endpoint
            fin, ack = story.frame(flow, peer, event=FIN_TX), story.step(flow, peer, event=ACK_OF_FIN_RX)
            fin = fin or story.frame(flow, endpoint, event=FIN_RX)
            waited = int(waiting.waited_ns[p])
            one_of = f"; one of {part_of[p]:,} such connections that PF204 tells of" if part_of[p] else ""
            found.append(
                Finding(
                    severity=Severity(int(severity[p])),
                    flow=flow,
                    endpoint=endpoint,
                    time_ns=int(waiting.since_ns[p]),
                    frames=proof([fin, ack.frame if ack else 0]),
                    detail=(
                        f"{tables.name(flow, endpoint)} {'acknowledged' if ack else 'got'} the FIN of "
                        f"{tables.name(flow, peer)}{in_frame(fin)} and sent neither data nor a FIN of its own for "
                        f"{duration(waited)}, to the end of the capture{one_of}"
                    ),
                    confidence=CERTAIN
                    if waited >= to_ns(config.stuck_s) and ack
                    else LIKELY
                    if part_of[p]
                    else POSSIBLE,
                    alternatives=_not_stuck(waited, config),
                )
            )
        return found

    return Hits(flows, describe, severity * 1e12 + waiting.waited_ns / 1e9)


@rule("PF204", "close-wait-leak", title="Connections left in CLOSE_WAIT", doubts=Doubt.GAPS | Doubt.CLOCK)
def close_wait_leak(tables: Tables, config: Config) -> Hits:
    """An application leaves many of its connections in CLOSE_WAIT.

    Means: on one endpoint several connections whose peer has closed are kept open, and they do not drain: the
        application loses track of its sockets. Each holds a file descriptor and memory; in the end it fails with "too
        many open files".
    Do:
        Server: close the socket on every path, errors and time-outs too; `ss -tnp state close-wait` names the process,
            and its descriptors show which sockets it forgot.
        Client: if it is the side that leaks, look at its connection pool: evict connections the server has closed.
    Else: an intended half-close would still send data; connections that do are not counted. Endpoints whose CLOSE_WAITs
        drain before the end are left out.
    Source: RFC 9293, 3.6; the number is the setting leak_flows.
    """
    leaks = _leaks(tables, config)

    def describe(positions: IntArray) -> list[Finding]:
        found = []
        for position in positions.tolist():
            leak = leaks[position]
            story = Story(tables, leak.flows[:6])
            frames = []
            for flow in leak.flows[:6].tolist():
                frames += [story.frame(flow, 1 - leak.endpoint, event=FIN_TX)]
                frames += [story.frame(flow, 1 - leak.endpoint, event=ACK_OF_FIN_RX)]
            first = int(leak.flows[0])
            server, client = tables.server(first), tables.ip(first, CLIENT)
            who, where = (server, "") if leak.endpoint == SERVER else (client, f" to {server}")
            certain = leak.stuck >= config.leak_flows
            waiting = len(leak.flows)
            share = "all" if waiting == leak.at_end else f"{waiting:,} of these"
            found.append(
                Finding(
                    severity=Severity.HIGH if certain else Severity.MEDIUM,
                    endpoint=leak.endpoint,
                    time_ns=int(leak.since_ns.min()),
                    frames=proof(frames),
                    detail=(
                        f"{who} does not close its connections: {leak.at_end:,} of {leak.total:,}{where} were in "
                        f"CLOSE_WAIT at the end of the capture, {leak.peak:,} at the peak; on {share} it has had the "
                        f"{ENDPOINT_NAMES[1 - leak.endpoint]}'s FIN for {duration(int(leak.waited_ns.min()))} or "
                        f"longer and sent none of its own, on the oldest for {duration(int(leak.waited_ns[0]))}, since "
                        f"{time_of_day(int(leak.since_ns[0]))}"
                    ),
                    confidence=CERTAIN if certain else LIKELY,
                    alternatives=() if certain else ("closes that are under way when the capture ends",),
                    count=len(leak.flows),
                    flows=tuple(leak.flows[:MAX_FLOWS].tolist()),
                )
            )
        return found

    weight = np.array([len(leak.flows) + 1e9 * (leak.stuck >= config.leak_flows) for leak in leaks], dtype=np.float64)
    return Hits(np.full(len(leaks), MANY), describe, weight)


@rule(
    "PF205",
    "fin-unanswered",
    title="FINs that nobody acknowledges",
    doubts=Doubt.ONE_WAY | Doubt.GAPS | Doubt.DUPLICATES | Doubt.CLOCK,
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

    def describe(positions: IntArray) -> list[Finding]:
        story = Story(tables, flows[positions])
        found = []
        for p in positions.tolist():
            flow, endpoint = int(flows[p]), int(endpoints[p])
            fin = story.step(flow, endpoint, event=FIN_TX)
            again = story.marks(flow, marks.MARK_FIN_REPEATED, endpoint=endpoint)
            fin_ns, fin_frame = (fin.time_ns, fin.frame) if fin else (again[0].time_ns, 0)
            stopped = _stopped(tables, config, fin_ns, [mark.time_ns for mark in again])
            other = tables.name(flow, 1 - endpoint)
            heard = cell(f, flow, 1 - endpoint, "last_ns")
            silence = (
                f"{other} sent other segments after it, none of which acknowledges it"
                if heard > fin_ns
                else f"nothing came from {other} after it"
            )
            ended = "; the repeats stopped, so an ACK probably came that the capture does not hold" if stopped else ""
            found.append(
                Finding(
                    severity=Severity.LOW if stopped or len(again) < 3 else Severity.MEDIUM,
                    flow=flow,
                    time_ns=fin_ns,
                    frames=proof([fin_frame, *frames_of(again)]),
                    detail=(
                        f"{tables.name(flow, endpoint)} sent its FIN "
                        f"{how_often(len(again) + 1)}{in_frames([fin_frame, *frames_of(again)])} over "
                        f"{duration(again[-1].time_ns - fin_ns)}, and it was never acknowledged: {silence}{ended}"
                    ),
                    confidence=POSSIBLE if stopped else CERTAIN,
                    alternatives=(
                        ("the other host is gone",)
                        if stopped
                        else (
                            "the path between the two is broken",
                            f"{other} is gone or its firewall forgot the connection",
                        )
                    ),
                )
            )
        return found

    return Hits(flows, describe, repeated)


@rule("PF206", "half-close", title="Half-closes")
def half_close(tables: Tables, config: Config) -> Hits:
    """One side had closed its direction while the other still delivered data, and then closed too.

    Means: TCP allows one direction to end before the other. `ssh host cmd < file` and some proxies do it on purpose:
        shutdown(SHUT_WR) says "that was my request", and the answer still comes.
    Do:
        Client: nothing.
        Server: nothing.
    Else: not a fault. Data that only crossed the FIN on the wire is no half-close and is left out.
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
        # Sooner than a round trip after the FIN nothing can be an answer to it.
        after = side(f, later, "data_ns") - ended >= np.maximum(side(f, first, "rtt_ns"), 0)
        flows = indices(closed & (ended >= 0) & (side(f, later, "after_fin") > 0) & after)
        parts.append((flows, np.full(len(flows), first)))
    flows, endpoints = (np.concatenate(column) for column in zip(*parts, strict=True))

    def describe(positions: IntArray) -> list[Finding]:
        story = Story(tables, flows[positions])
        found = []
        for p in positions.tolist():
            flow, first = int(flows[p]), int(endpoints[p])
            fin, last = (story.step(flow, side_, event=FIN_TX) for side_ in (first, 1 - first))
            after = cell(f, flow, 1 - first, "after_fin")
            span = last.time_ns - fin.time_ns if fin and last else 0
            found.append(
                Finding(
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
            )
        return found

    return Hits(flows, describe, chosen(f, 1 - endpoints_of(flows, endpoints, len(f)), "after_fin")[flows])


def endpoints_of(flows: IntArray, endpoints: IntArray, total: int) -> IntArray:
    """Endpoints of some flows as a column of all flows; the client where nothing is known."""
    column = np.zeros(total, dtype=np.int64)
    column[flows] = endpoints
    return column


@rule("PF207", "simultaneous-close", title="Simultaneous closes")
def simultaneous_close(tables: Tables, config: Config) -> Hits:
    """Both sides sent their FIN before either saw the other's.

    Means: the FINs crossed; both endpoints passed through CLOSING, and both end in TIME_WAIT.
    Do:
        Client: nothing.
        Server: nothing.
    Else: not a fault. Seen often on one service, both ends close at the same signal, and each pays with a TIME_WAIT.
    Source: RFC 9293, 3.6, figure 13.
    """
    del config
    crossed = np.ones(len(tables.flows), dtype=bool)
    for endpoint in SIDES:
        crossed &= last_rows(tables, endpoint=endpoint, old=FIN_WAIT_1, new=CLOSING) >= 0
    flows = indices(crossed)

    def describe(positions: IntArray) -> list[Finding]:
        story = Story(tables, flows[positions])
        found = []
        for flow in flows[positions].tolist():
            fins = [story.step(flow, endpoint, event=FIN_TX) for endpoint in SIDES]
            frames = [step.frame for step in fins if step]
            apart = abs(fins[0].time_ns - fins[1].time_ns) if fins[0] and fins[1] else 0
            found.append(
                Finding(
                    severity=Severity.INFO,
                    flow=flow,
                    time_ns=min(step.time_ns for step in fins if step),
                    frames=proof(frames),
                    detail=(
                        f"{tables.client(flow)} and {tables.server(flow)} closed at the same time: their FINs"
                        f"{in_frames(sorted(frames))} crossed, {duration(apart)} apart here"
                    ),
                )
            )
        return found

    return Hits(flows, describe, np.zeros(len(flows), dtype=np.int64))


@rule("PF208", "data-after-fin", title="Data after the sender's own FIN", doubts=Doubt.DUPLICATES)
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

    def describe(positions: IntArray) -> list[Finding]:
        story = Story(tables, flows[positions])
        found = []
        for p in positions.tolist():
            flow, endpoint = int(flows[p]), int(endpoints[p])
            late = story.marks(flow, marks.MARK_DATA_AFTER_FIN, endpoint=endpoint)
            fin = story.frame(flow, endpoint, event=FIN_TX)
            beyond = max(mark.value for mark in late)
            found.append(
                Finding(
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
            )
        return found

    return Hits(flows, describe, np.concatenate([counts[counts > 0] for counts in per_side]))


@rule("PF209", "time-wait-accumulation", title="Many connections in TIME_WAIT", doubts=Doubt.CLOCK)
def time_wait_accumulation(tables: Tables, config: Config) -> Hits:
    """Many connections of one host are in TIME_WAIT at once.

    Means: this host closes first, and so keeps each connection in TIME_WAIT for two maximum segment lifetimes (60 s on
        Linux). TIME_WAIT is right and cheap; in these numbers it says that connections are short and many.
    Do:
        Client: keep connections alive and pool them; `net.ipv4.tcp_tw_reuse` lets a client reuse its own ports after a
            second.
        Server: let clients close first, or keep connections open longer; SO_REUSEADDR lets it restart at once.
    Else: not a fault as such; a client that runs out of ports shows PF210.
    Source: RFC 9293, 3.4.2 and 3.6.1; the duration is the setting msl2_s, since TIME_WAIT's end is not on the wire.
    """
    t = tables.transitions
    rows = np.flatnonzero(t["new"] == TIME_WAIT)
    if len(rows) < config.time_wait_many:
        return no_hits()
    flows, endpoints = t["flow"][rows], t["endpoint"][rows].astype(np.int64)
    hosts = np.where(endpoints == CLIENT, host_keys(tables, CLIENT)[flows], host_keys(tables, SERVER)[flows])
    crowds = group(np.arange(len(rows)), hosts).at_least(config.time_wait_many)
    peaks = [peak(t["time_ns"][rows[c]], t["time_ns"][rows[c]] + to_ns(config.msl2_s)) for c in crowds]
    many_at_once = [(crowd, top) for crowd, top in zip(crowds, peaks, strict=True) if top[0] >= config.time_wait_many]

    def describe(positions: IntArray) -> list[Finding]:
        found = []
        for position in positions.tolist():
            crowd, (top, when) = many_at_once[position]
            as_client = int(np.count_nonzero(endpoints[crowd] == CLIENT))
            endpoint = CLIENT if as_client * 2 >= len(crowd) else SERVER
            first = int(flows[crowd[0]])
            who = tables.ip(first, int(endpoints[crowd[0]]))
            entered = t["time_ns"][rows[crowd]]
            span = max(int(entered.max() - entered.min()), 1)
            found.append(
                Finding(
                    severity=Severity.LOW if top >= 10 * config.time_wait_many else Severity.INFO,
                    endpoint=endpoint,
                    time_ns=int(entered.min()),
                    frames=proof(t["frame"][rows[crowd[:8]]].tolist()),
                    detail=(
                        f"{who} closed {counted(len(crowd), 'connection')} first, as the {ENDPOINT_NAMES[endpoint]}, "
                        f"{len(crowd) / (span / 1e9):,.1f} a second; at {duration(to_ns(config.msl2_s))} each, up to "
                        f"{top:,} were in TIME_WAIT at once ({time_of_day(when)})"
                    ),
                    confidence=LIKELY,
                    alternatives=("its system keeps TIME_WAIT shorter than assumed, see the setting msl2_s",),
                    count=len(crowd),
                    flows=tuple(flows[crowd[:MAX_FLOWS]].tolist()),
                )
            )
        return found

    return Hits(
        np.full(len(many_at_once), MANY), describe, np.array([top[0] for _, top in many_at_once], dtype=np.int64)
    )


@rule("PF210", "port-exhaustion-pressure", title="A client that runs out of ports", doubts=Doubt.CLOCK)
def port_exhaustion_pressure(tables: Tables, config: Config) -> Hits:
    """One client has nearly all its ephemeral ports in use towards one server and port.

    Means: each connection, open or in TIME_WAIT, occupies one of the client's ports for that server address and port.
        When none is left, connect() fails with "cannot assign requested address" until a TIME_WAIT ends.
    Do:
        Client: pool and reuse connections; widen `net.ipv4.ip_local_port_range`, allow `net.ipv4.tcp_tw_reuse`, or use
            more source addresses.
        Server: listen on more addresses or ports, or let idle connections live longer.
    Else: behind a NAT the ports counted here are those of the NAT, whose range may be smaller or shared.
    Source: RFC 6056; the number of ports is the setting ephemeral_ports (Linux: 32768 to 60999).
    """
    f = tables.flows
    least = max(config.ephemeral_ports // 2, 1)
    # An attempt that nobody answers gives its port back soon.
    opened = indices((f["completeness"] & HAS_ACK) > 0)
    if len(opened) < least:
        return no_hits()
    owners = keys(host_keys(tables, CLIENT)[opened], server_keys(tables)[opened])
    pairs = group(opened, owners).at_least(least)
    waits = last_times(tables, CLIENT, new=TIME_WAIT) if pairs else f["end_ns"]
    busy = []
    for flows in pairs:
        state = f["client_state"][flows]
        until = np.where(state == CLOSED, f["end_ns"][flows], tables.capture.last_ns + 1)
        until = np.where(state == TIME_WAIT, waits[flows] + to_ns(config.msl2_s), until)
        top, when = peak(f["start_ns"][flows], np.maximum(until, f["start_ns"][flows] + 1))
        if top >= least:
            busy.append((flows, top, when))

    def describe(positions: IntArray) -> list[Finding]:
        found = []
        for position in positions.tolist():
            flows, top, when = busy[position]
            share = top / config.ephemeral_ports
            first = int(flows[0])
            severity = Severity.HIGH if share >= 0.95 else Severity.MEDIUM if share >= 0.75 else Severity.LOW
            found.append(
                Finding(
                    severity=severity,
                    endpoint=CLIENT,
                    time_ns=when,
                    frames=proof(f["first_frame"][flows[:8]].tolist()),
                    detail=(
                        f"{tables.ip(first, CLIENT)} had {counted(top, 'port')} in use towards {tables.server(first)} "
                        f"at {time_of_day(when)}, open or in TIME_WAIT, {share:.0%} of {config.ephemeral_ports:,}"
                    ),
                    confidence=LIKELY,
                    alternatives=("the client's port range is wider, or it reuses TIME_WAIT ports",),
                    count=len(flows),
                    flows=tuple(flows[:MAX_FLOWS].tolist()),
                )
            )
        return found

    return Hits(np.full(len(busy), MANY), describe, np.array([top for _, top, _ in busy], dtype=np.int64))


@rule("PF211", "port-reused-early", title="Ports reused within TIME_WAIT", doubts=Doubt.CLOCK)
def port_reused_early(tables: Tables, config: Config) -> Hits:
    """The same addresses and ports were used again before the old connection's TIME_WAIT was over.

    Means: the client opened a new connection from a port that was still remembered. A server accepts that when the new
        sequence number or time stamp is beyond the old one; else it answers with the ACK of the old connection, the
        client resets that, and must try again; a firewall may drop it altogether.
    Do:
        Client: do not bind to a fixed source port; pool connections.
        Server: nothing; it behaves as the standard asks.
        Network: look for a NAT or a load balancer with too few ports, or whose time-outs are shorter than TIME_WAIT.
    Else: an accepted reuse is legal and told as information.
    Source: RFC 9293, 3.6.1; RFC 6191; Linux tcp_timewait_state_process.
    """
    f = tables.flows
    waits = np.maximum(*(last_times(tables, endpoint, new=TIME_WAIT) for endpoint in SIDES))
    old = indices(waits >= 0)
    if not len(old):
        return no_hits()
    anew = reopened(tables, old)
    challenged = count_marks(tables, marks.MARK_CHALLENGE_ACK, after_ns=waits)[old] > 0
    soon = (anew >= 0) & (f["start_ns"][anew] - waits[old] < to_ns(config.msl2_s))
    early = soon | (challenged & (count_marks(tables, marks.PORT_REUSE, after_ns=waits)[old] > 0))
    old, anew, challenged, soon = old[early], anew[early], challenged[early], soon[early]
    flows = np.where(soon, anew, old)
    dropped = soon & (f["client_state"][anew] == SYN_SENT) & (f["server_packets"][anew] == 0)
    severity = np.where(dropped, int(Severity.MEDIUM), np.where(challenged, int(Severity.LOW), int(Severity.INFO)))

    def describe(positions: IntArray) -> list[Finding]:
        story = Story(tables, old[positions])
        found = []
        for p in positions.tolist():
            before, flow = int(old[p]), int(flows[p])
            tw = max((s for e in SIDES if (s := story.step(before, e, new=TIME_WAIT))), key=lambda s: s.time_ns)
            acks = story.marks(before, marks.MARK_CHALLENGE_ACK, after_ns=tw.time_ns)
            when = int(f["start_ns"][flow]) if soon[p] else acks[0].time_ns
            frame = int(f["first_frame"][flow]) if soon[p] else acks[0].frame
            if dropped[p]:
                taken = "the new SYN was not answered"
            elif challenged[p]:
                taken = f"the answer was the ACK of the old connection{in_frames(frames_of(acks))}"
            else:
                taken = "it was accepted" if f["completeness"][flow] & 2 else "it was not accepted"
            found.append(
                Finding(
                    severity=Severity(int(severity[p])),
                    flow=flow,
                    endpoint=CLIENT,
                    time_ns=when,
                    frames=proof([tw.frame, frame, *frames_of(acks)]),
                    detail=(
                        f"{tables.client(flow)} opened a connection to {tables.server(flow)}{in_frame(frame)} "
                        f"{duration(when - tw.time_ns)} after the last one between the same ports had entered "
                        f"TIME_WAIT at the {ENDPOINT_NAMES[tw.endpoint]}{in_frame(tw.frame)}; {taken}"
                    ),
                    confidence=CERTAIN if not dropped[p] else LIKELY,
                    alternatives=("the server did not answer for another reason",) if dropped[p] else (),
                )
            )
        return found

    return Hits(flows, describe, severity)


@rule("PF212", "time-wait-assassinated", title="TIME_WAIT cut short by a reset")
def time_wait_assassinated(tables: Tables, config: Config) -> Hits:
    """A RST was accepted by an endpoint in TIME_WAIT.

    Means: TIME_WAIT protects a new connection on the same ports from old segments, and the RST ended it early. Usually
        the peer got a late segment for a connection it had already forgotten and answered with a RST.
    Do:
        Client: nothing; with `net.ipv4.tcp_rfc1337=1` Linux ignores such resets.
        Server: likewise.
    Else: harmless unless the same ports are used again at once while old segments are still on their way.
    Source: RFC 1337.
    """
    del config
    t = tables.transitions
    rows = np.flatnonzero((t["old"] == TIME_WAIT) & (t["event"] == RST_RX))
    flows = t["flow"][rows]

    def describe(positions: IntArray) -> list[Finding]:
        found = []
        story = Story(tables, flows[positions])
        for p in positions.tolist():
            flow, endpoint = int(flows[p]), int(t["endpoint"][rows[p]])
            frame, when = int(t["frame"][rows[p]]), int(t["time_ns"][rows[p]])
            entered = story.step(flow, endpoint, new=TIME_WAIT)
            after = duration(when - entered.time_ns) if entered else "a while"
            found.append(
                Finding(
                    severity=Severity.INFO,
                    flow=flow,
                    endpoint=1 - endpoint,
                    time_ns=when,
                    frames=proof([entered.frame if entered else 0, frame]),
                    detail=(
                        f"{tables.name(flow, 1 - endpoint)} sent a RST{in_frame(frame)} to "
                        f"{tables.name(flow, endpoint)}, {after} after that had entered TIME_WAIT"
                    ),
                    confidence=LIKELY,
                    alternatives=("the endpoint ignores resets in TIME_WAIT",),
                )
            )
        return found

    return Hits(flows, describe, np.zeros(len(flows), dtype=np.int64))
