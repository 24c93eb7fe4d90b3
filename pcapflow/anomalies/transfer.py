"""PF4xx: connections that open and close as they should and yet do not move their data."""

from __future__ import annotations

from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frame, in_frames, proof
from pcapflow.anomalies.lookup import SIDES, Story, cell, count_marks, frames_of, indices, side
from pcapflow.anomalies.model import CERTAIN, LIKELY, POSSIBLE, Finding, Hits, IntArray, Severity, no_hits
from pcapflow.anomalies.rule import Doubt, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.states import CLOSED, SYN_RCVD, SYN_SENT, TIME_WAIT
from pcapflow.text.phrases import counted, duration
from pcapflow.text.times import to_ns

REPEATS: Final = (marks.RETRANSMISSION, marks.FAST_RETRANSMISSION, marks.SPURIOUS_RETRANSMISSION)
HAS_HANDSHAKE: Final = 1 | 2 | 4
"""SYN, SYN-ACK and ACK in Wireshark's ``tcp.completeness``."""
LONG_STALL: Final = 10


def _both(per_side: list[IntArray]) -> tuple[IntArray, IntArray]:
    """Flows and endpoints of two lists of flows, the client's and the server's."""
    return np.concatenate(per_side), np.repeat(np.array(SIDES), [len(flows) for flows in per_side])


@rule("PF401", "zero-window-stall", title="Receivers that stop reading", doubts=Doubt.GAPS | Doubt.CLOCK)
def zero_window_stall(tables: Tables, config: Config) -> Hits:
    """A receiver advertised a window of 0 and kept its peer from sending.

    Means: the receiver's buffer is full, because its application does not read. The network and the sender are fine:
        the sender has data and may not send it.
    Do:
        Client: if it is the receiver, see what its application does instead of reading (blocked on a disk, a lock, a
            slow consumer); a larger buffer only postpones it.
        Server: likewise.
    Else: back-pressure on purpose, as in a paused download, looks the same.
    Source: RFC 9293, 3.8.6; Wireshark's tcp.analysis.zero_window.
    """
    f = tables.flows
    least = to_ns(config.zero_window_s)
    flows, endpoints = _both([indices(side(f, endpoint, "zero_ns") >= least) for endpoint in SIDES])
    stalled = np.array(
        [cell(f, flow, e, "zero_ns") for flow, e in zip(flows.tolist(), endpoints.tolist(), strict=True)],
        dtype=np.int64,
    )

    def describe(positions: IntArray) -> list[Finding]:
        story = Story(tables, flows[positions])
        found = []
        for p in positions.tolist():
            flow, endpoint, long = int(flows[p]), int(endpoints[p]), int(stalled[p])
            closed = story.marks(flow, marks.ZERO_WINDOW, marks.ZERO_WINDOW_PROBE_ACK, endpoint=endpoint)
            probes = story.marks(flow, marks.ZERO_WINDOW_PROBE, endpoint=1 - endpoint)
            first = cell(f, flow, endpoint, "zero_frame")
            asked = f", asked {counted(len(probes), 'time')}{in_frames(frames_of(probes))}" if probes else ""
            found.append(
                Finding(
                    severity=Severity.MEDIUM if long >= LONG_STALL * least else Severity.LOW,
                    flow=flow,
                    endpoint=endpoint,
                    time_ns=next((mark.time_ns for mark in closed if mark.frame == first), int(f["start_ns"][flow])),
                    frames=proof([first, *frames_of(closed), *frames_of(probes)]),
                    detail=(
                        f"{tables.name(flow, endpoint)} kept its receive window at 0 for "
                        f"{duration(long)}{in_frame(first)}{asked}: its application did not read, and "
                        f"{tables.name(flow, 1 - endpoint)} had to wait"
                    ),
                    alternatives=("back-pressure that the application applies on purpose",),
                )
            )
        return found

    return Hits(flows, describe, stalled)


@rule("PF402", "peer-vanished", title="Peers that vanish", doubts=Doubt.ONE_WAY | Doubt.GAPS | Doubt.DUPLICATES)
def peer_vanished(tables: Tables, config: Config) -> Hits:
    """One side repeated its data again and again, and nothing came back.

    Means: in the middle of the connection the other host, or the path to it, went away. The sender repeats with growing
        pauses until it gives up, on Linux after about 15 minutes.
    Do:
        Client: if it waits for too long, set TCP_USER_TIMEOUT or a time-out in the application.
        Server: see whether the silent host was restarted, moved or lost its link at that time.
        Network: see whether routes or firewall states changed at that time; compare with other connections to the host.
    Else: where only large segments are repeated it may be the path's MTU (PF405); where the silence before was long, a
        forgotten state (PF305).
    Source: RFC 6298; RFC 9293, 3.8.3; Linux tcp_retries2.
    """
    f = tables.flows
    per_side, repeats = [], []
    for endpoint in SIDES:
        heard = side(f, 1 - endpoint, "last_ns")
        # A repeated SYN or FIN has rules of its own.
        again = count_marks(tables, *REPEATS, endpoint=endpoint, after_ns=heard, least=1)
        states = side(f, endpoint, "state")
        open_ = ~np.isin(states, (SYN_SENT, SYN_RCVD)) & ((f["reset_frame"] <= 0) | (states == CLOSED))
        flows = indices((again >= config.vanished_retries) & open_ & (states != TIME_WAIT) & (heard >= 0))
        per_side.append(flows)
        repeats.append(again[flows])
    flows, endpoints = _both(per_side)

    def describe(positions: IntArray) -> list[Finding]:
        story = Story(tables, flows[positions])
        found = []
        for p in positions.tolist():
            flow, endpoint = int(flows[p]), int(endpoints[p])
            heard = cell(f, flow, 1 - endpoint, "last_ns")
            again = [row for row in story.marks(flow, *REPEATS, endpoint=endpoint, after_ns=heard) if row.value > 0]
            other = tables.name(flow, 1 - endpoint)
            found.append(
                Finding(
                    severity=Severity.MEDIUM,
                    flow=flow,
                    time_ns=again[0].time_ns,
                    frames=proof(frames_of(again)),
                    detail=(
                        f"{tables.name(flow, endpoint)} repeated its data "
                        f"{counted(len(again), 'time')}{in_frames(frames_of(again))} over "
                        f"{duration(again[-1].time_ns - again[0].time_ns)} without any answer; {other} was last heard "
                        f"{duration(again[0].time_ns - heard)} before the first repeat"
                    ),
                    confidence=LIKELY,
                    alternatives=(f"{other} is gone", "the path is broken in one direction or both"),
                )
            )
        return found

    return Hits(flows, describe, np.concatenate(repeats))


@rule(
    "PF403",
    "keepalive-failed",
    title="Keep-alives without an answer",
    doubts=Doubt.ONE_WAY | Doubt.GAPS | Doubt.DUPLICATES,
)
def keepalive_failed(tables: Tables, config: Config) -> Hits:
    """Keep-alives were sent and not answered.

    Means: the connection was idle, and when one side asked whether the other was still there, nothing came back. After
        the last try it resets the connection or drops it silently.
    Do:
        Client: if it probes, keep-alives did what they are for: reconnect.
        Server: likewise; if it is the silent side, see whether its host or the path was down.
        Network: look for a firewall or NAT that forgot the idle connection.
    Else: one unanswered keep-alive is chance and not told; answered keep-alives are ordinary.
    Source: RFC 9293, 3.8.4; Linux tcp_keepalive_probes (9) and tcp_keepalive_intvl (75 s).
    """
    f = tables.flows
    per_side, probes = [], []
    for endpoint in SIDES:
        heard = side(f, 1 - endpoint, "last_ns")
        asked = count_marks(tables, marks.KEEP_ALIVE, endpoint=endpoint, after_ns=heard)
        flows = indices((asked >= config.keepalive_probes) & (heard >= 0))
        per_side.append(flows)
        probes.append(asked[flows])
    flows, endpoints = _both(per_side)

    def describe(positions: IntArray) -> list[Finding]:
        story = Story(tables, flows[positions])
        found = []
        for p in positions.tolist():
            flow, endpoint = int(flows[p]), int(endpoints[p])
            asked = story.marks(
                flow, marks.KEEP_ALIVE, endpoint=endpoint, after_ns=cell(f, flow, 1 - endpoint, "last_ns")
            )
            reset = story.marks(flow, marks.MARK_RESET, endpoint=endpoint, after_ns=asked[-1].time_ns)
            end = f" and then reset the connection{in_frames(frames_of(reset))}" if reset else ""
            other = tables.name(flow, 1 - endpoint)
            found.append(
                Finding(
                    severity=Severity.MEDIUM,
                    flow=flow,
                    time_ns=asked[0].time_ns,
                    frames=proof([*frames_of(asked), *frames_of(reset)]),
                    detail=(
                        f"{tables.name(flow, endpoint)} sent "
                        f"{counted(len(asked), 'keep-alive')}{in_frames(frames_of(asked))} over "
                        f"{duration(asked[-1].time_ns - asked[0].time_ns)}, none of which {other} answered{end}"
                    ),
                    confidence=CERTAIN,
                    alternatives=(f"{other} is gone", "a device in between forgot the connection"),
                )
            )
        return found

    return Hits(flows, describe, np.concatenate(probes))


@rule("PF404", "heavy-retransmission", title="Much is sent again", doubts=Doubt.GAPS | Doubt.DUPLICATES)
def heavy_retransmission(tables: Tables, config: Config) -> Hits:
    """A large share of one side's segments was sent again.

    Means: the path loses packets in that direction, or the acknowledgements of the other. Throughput falls steeply with
        loss; a few in a thousand already matter on long paths.
    Do:
        Client: compare with other connections at the same time: one host, one path or all.
        Server: likewise.
        Network: look at interface errors and drops along the path, duplex and optics first, then shapers and full
            queues.
    Else: segments sent again needlessly (spurious) point to delay and not to loss; the marks tell them apart.
    Source: RFC 9293, 3.8.1; the share is the setting retransmission_percent.
    """
    f = tables.flows
    per_side, shares = [], []
    for endpoint in SIDES:
        sent, again = side(f, endpoint, "packets"), side(f, endpoint, "retransmitted")
        flows = indices(
            (sent >= max(config.retransmission_segments, 1)) & (again * 100 >= sent * config.retransmission_percent)
        )
        flows = flows[again[flows] > 0]
        per_side.append(flows)
        shares.append(again[flows] / sent[flows])
    flows, endpoints = _both(per_side)
    share = np.concatenate(shares)

    def describe(positions: IntArray) -> list[Finding]:
        story = Story(tables, flows[positions])
        found = []
        for p in positions.tolist():
            flow, endpoint = int(flows[p]), int(endpoints[p])
            again = story.marks(flow, *REPEATS, endpoint=endpoint)
            needless = len(story.marks(flow, marks.SPURIOUS_RETRANSMISSION, endpoint=endpoint))
            number, sent = cell(f, flow, endpoint, "retransmitted"), cell(f, flow, endpoint, "packets")
            spurious = f", at least {needless:,} of them needlessly" if needless else ""
            found.append(
                Finding(
                    severity=Severity.MEDIUM if share[p] * 100 >= 3 * config.retransmission_percent else Severity.LOW,
                    flow=flow,
                    time_ns=again[0].time_ns if again else int(f["start_ns"][flow]),
                    frames=proof(frames_of(again[:8]) or [int(f["first_frame"][flow])]),
                    detail=(
                        f"{tables.name(flow, endpoint)} sent {number:,} of {counted(sent, 'segment')} again "
                        f"({share[p]:.1%}) on its way to {tables.name(flow, 1 - endpoint)}{spurious}"
                    ),
                    alternatives=("the acknowledgements are lost, not the data",),
                )
            )
        return found

    return Hits(flows, describe, share)


@rule(
    "PF405",
    "path-mtu-black-hole",
    title="Large packets vanish, small ones pass",
    doubts=Doubt.ONE_WAY | Doubt.GAPS | Doubt.DUPLICATES,
)
def path_mtu_black_hole(tables: Tables, config: Config) -> Hits:
    """Full-size segments were repeated and never acknowledged, while small ones pass.

    Means: somewhere on the path a link takes only smaller packets, and the ICMP message that would say so (packet too
        big) does not reach the sender. The connection opens, small messages work, and it hangs at the first large one.
    Do:
        Client: as a remedy, lower the interface's MTU, or turn on `net.ipv4.tcp_mtu_probing=1`.
        Server: likewise, if it is the one that sends the large segments.
        Network: let ICMP type 3 code 4 and ICMPv6 type 2 pass; clamp the MSS on tunnels and PPPoE links.
    Else: a peer that vanished at that moment looks the same (PF402), if nothing more is heard from it.
    Source: RFC 2923, 2.1; RFC 4821.
    """
    f, m = tables.flows, tables.marks
    repeats = np.flatnonzero(np.isin(m["mark"], REPEATS))
    if len(repeats) < config.black_hole_retries:
        return no_hits()
    agreed = np.minimum(
        np.where(f["client_mss"] > 0, f["client_mss"], 1 << 20), np.where(f["server_mss"] > 0, f["server_mss"], 1 << 20)
    ).astype(np.int64)
    of_flow = m["flow"][repeats]
    # Options take up to 40 bytes of what the MSS allows.
    full = m["value"][repeats] >= agreed[of_flow] - 40
    per_side, numbers = [], []
    for endpoint in SIDES:
        mine = m["endpoint"][repeats] == endpoint
        large = np.bincount(of_flow[mine & full], minlength=len(f))
        small = np.bincount(of_flow[mine & ~full], minlength=len(f))
        acked, sent = side(f, 1 - endpoint, "acked"), side(f, endpoint, "sent")
        opened = (f["completeness"] & HAS_HANDSHAKE) == HAS_HANDSHAKE
        unrecovered = (acked >= 1) & (sent - acked >= agreed - 40)
        none_passed = acked - 1 < agreed - 40
        flows = indices(
            (large >= max(config.black_hole_retries, 1))
            & (small == 0)
            & opened
            & unrecovered
            & (none_passed | (_heard_after(tables, repeats[mine & full], endpoint)))
        )
        per_side.append(flows)
        numbers.append(large[flows])
    flows, endpoints = _both(per_side)

    def describe(positions: IntArray) -> list[Finding]:
        story = Story(tables, flows[positions])
        found = []
        for p in positions.tolist():
            flow, endpoint = int(flows[p]), int(endpoints[p])
            again = story.marks(flow, *REPEATS, endpoint=endpoint)
            alive = cell(f, flow, 1 - endpoint, "last_ns") > again[0].time_ns
            other = tables.name(flow, 1 - endpoint)
            heard = f"{other} still sent smaller ones" if alive else f"the small ones before had reached {other}"
            found.append(
                Finding(
                    severity=Severity.MEDIUM,
                    flow=flow,
                    time_ns=again[0].time_ns,
                    frames=proof(frames_of(again)),
                    detail=(
                        f"{tables.name(flow, endpoint)} repeated segments of {again[0].value:,} bytes "
                        f"{counted(len(again), 'time')}{in_frames(frames_of(again))}, none was acknowledged, and "
                        f"{heard}"
                    ),
                    confidence=LIKELY if alive else POSSIBLE,
                    alternatives=(f"{other} vanished at that moment",),
                )
            )
        return found

    return Hits(flows, describe, np.concatenate(numbers))


def _heard_after(tables: Tables, repeats: IntArray, endpoint: int) -> np.ndarray:
    """For each flow whether the other side sent something after the first of these marks."""
    f, m = tables.flows, tables.marks
    first = np.full(len(f), np.iinfo(np.int64).max)
    # Of a repeated index the last assignment stays; reversed, that is the earliest mark.
    first[m["flow"][repeats[::-1]]] = m["time_ns"][repeats[::-1]]
    return side(f, 1 - endpoint, "last_ns") > first
