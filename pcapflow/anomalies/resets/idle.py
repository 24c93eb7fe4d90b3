"""PF305: connections that are found dead after a long silence."""

from __future__ import annotations

from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frame, in_frames, proof
from pcapflow.anomalies.hits import Hit, per_flow
from pcapflow.anomalies.lookup.columns import SIDES, indices, side
from pcapflow.anomalies.lookup.timeline import Story, count_marks, frames_of
from pcapflow.anomalies.model import LIKELY, POSSIBLE, BoolArray, Finding, Hits, IntArray, Severity
from pcapflow.anomalies.resets.causes import (
    CAUSES,
    IDLE_TIMEOUT,
    foreign_ttl,
    resets,
)
from pcapflow.anomalies.resets.signs import USUAL_TIMEOUTS_S, usual_timeout
from pcapflow.anomalies.rule import Doubt, Lead, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.endings import OTHER_TTL
from pcapflow.text.phrases import counted, duration
from pcapflow.text.times import NS_PER_S, to_ns


@rule(
    "PF305",
    "idle-timeout-reset",
    title="Connections lost after long silence",
    doubts=Doubt.ONE_WAY | Doubt.GAPS | Doubt.CLOCK,
    lead=Lead(
        "A connection to {server} was reset after a long silence",
        "Connections to {server} are reset after long silence",
    ),
)
def idle_timeout_reset(tables: Tables, config: Config) -> Hits:
    """The first packet after a long silence drew a RST, or nothing at all.

    Means: while the connection was idle, something on the way or at the other end forgot it: a load balancer, a NAT or
        a firewall with an idle time-out. The endpoints did not know and went on as before.
    Do:
        Client: send keep-alives more often than the time-out (`net.ipv4.tcp_keepalive_time` is 7200 s by default,
            longer than nearly every device's time-out), or let its pool drop idle connections earlier.
        Server: likewise, with SO_KEEPALIVE and TCP_KEEPIDLE.
        Network: raise the device's idle time-out, or let it send resets to both sides when it forgets a connection.
    Else: a host that restarted meanwhile looks the same. Where the silence is near one of the usual defaults it is
        named. A RST that breaks the silence itself and goes on from its sender's own segments, by TTL and by IP
        identification, window or time stamp, is that host's own idle time-out: PF301 tells of it.
    Source: RFC 5382, 5 (NAT time-outs); defaults as documented by the makers of load balancers and firewalls.
    """
    f = tables.flows
    found = resets(tables, config)
    by_reset = np.flatnonzero((found.causes == IDLE_TIMEOUT) & ~found.itself)
    void = _into_the_void(tables, config)
    flows = np.concatenate((found.flows[by_reset], void))
    silence = f["idle_ns"][flows]

    def finding(story: Story, hit: Hit) -> Finding:
        row, flow, _ = hit
        speaker = int(f["idle_endpoint"][flow])
        first, quiet = int(f["idle_frame"][flow]), int(f["idle_ns"][flow])
        usual = bool(usual_timeout(np.array([quiet]))[0])
        # Who breaks its own silence with a RST may follow a time-out of its application.
        itself = row < len(by_reset) and int(f["reset_frame"][flow]) == first
        # Where its other segments have several TTLs, that of the last one before is compared.
        foreign = itself and bool(max(int(f["reset_continues"][flow]), 0) & OTHER_TTL)
        likeness = f", close to a usual time-out ({_nearest(quiet)} s)" if usual else ""
        if row < len(by_reset):
            reset = int(f["reset_frame"][flow])
            outcome = "was a RST" if itself else f"drew a RST{in_frame(reset)} from {tables.name(flow, 1 - speaker)}"
            when, frames = int(f["reset_ns"][flow]), [first, reset]
            outcome += foreign_ttl(tables, found, int(by_reset[row])) or (OTHER_TTL_WORDS if foreign else "")
        else:
            again = story.marks(flow, *_REPEATS, endpoint=speaker, after_ns=int(f["idle_end_ns"][flow]))
            outcome = f"was not answered, nor were {counted(len(again), 'repeat')} of it{in_frames(frames_of(again))}"
            when, frames = int(f["idle_end_ns"][flow]), [first, *frames_of(again)]
        return Finding(
            severity=Severity.MEDIUM if usual and (foreign or not itself) else Severity.LOW,
            flow=flow,
            time_ns=when,
            frames=proof(frames),
            detail=(
                f"after {duration(quiet)} of silence{likeness}, the first segment from "
                f"{tables.name(flow, speaker)}{in_frame(first)} {outcome}"
            ),
            cause=CAUSES[IDLE_TIMEOUT],
            confidence=LIKELY if usual and (foreign or not itself) else POSSIBLE,
            alternatives=(
                ("a time-out of its own application",)
                if itself and not foreign
                else (f"{tables.name(flow, 1 - speaker)} restarted or its process died meanwhile",)
                if row < len(by_reset)
                else (f"{tables.name(flow, 1 - speaker)} is gone, or the path to it is broken",)
            ),
        )

    itself = f["reset_frame"][flows] == f["idle_frame"][flows]
    return per_flow(tables, flows, finding, weight=np.where(usual_timeout(silence) & ~itself, 1, 0))


OTHER_TTL_WORDS: Final = (
    "; it has another TTL than that address's segment before it: a device on the way may have sent it"
)
_REPEATS: Final = (marks.RETRANSMISSION, marks.FAST_RETRANSMISSION, marks.SPURIOUS_RETRANSMISSION, marks.KEEP_ALIVE)


def _into_the_void(tables: Tables, config: Config) -> IntArray:
    """Flows whose first segment after a long silence was repeated and never answered by anything."""
    f = tables.flows
    quiet = (f["idle_ns"] >= to_ns(config.idle_s)) & (f["reset_frame"] <= 0)
    if not quiet.any():
        return np.zeros(0, dtype=np.int64)
    unheard: BoolArray = np.zeros(len(f), dtype=bool)
    for endpoint in SIDES:
        peer_silent = (side(f, 1 - endpoint, "packets") > 0) & (side(f, 1 - endpoint, "last_ns") < f["idle_end_ns"])
        again = count_marks(tables, *_REPEATS, endpoint=endpoint, after_ns=f["idle_end_ns"])
        unheard |= (f["idle_endpoint"] == endpoint) & peer_silent & (again >= 2)
    return indices(quiet & unheard)


def _nearest(silence_ns: int) -> int:
    return min(USUAL_TIMEOUTS_S, key=lambda seconds: abs(silence_ns - seconds * NS_PER_S))
