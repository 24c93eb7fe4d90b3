"""PF211: a client's port that is used again while the last connection on it is remembered."""

from __future__ import annotations

from typing import Final

import numpy as np

from pcapflow.anomalies.capture_quality import quality
from pcapflow.anomalies.cite import in_frame, in_frames, proof
from pcapflow.anomalies.hits import Hit, no_hits, per_flow
from pcapflow.anomalies.lookup.challenges import SLOW_OPENING_S, challenge_of, challenged, opening_ns
from pcapflow.anomalies.lookup.columns import SIDES, indices
from pcapflow.anomalies.lookup.habits import time_wait_ns
from pcapflow.anomalies.lookup.timeline import Story, count_marks, last_times, reopened
from pcapflow.anomalies.model import CERTAIN, LIKELY, BoolArray, Finding, Hits, Severity
from pcapflow.anomalies.rule import Doubt, Lead, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.completeness import COMPLETE_SYN_ACK
from pcapflow.tcp.states import CLIENT, ENDPOINT_NAMES, SERVER, SYN_SENT, TIME_WAIT
from pcapflow.text.phrases import duration
from pcapflow.text.times import to_ns

_REMEMBERED: Final = (
    "the old connection is still open at the server",
    "a device that guards against floods answers SYNs so, to see whether the client resets",
)
_CHECKED: Final = ("a firewall at the client drops the ACK as not belonging to any connection",)


@rule(
    "PF211",
    "port-reused-early",
    title="Ports reused within TIME_WAIT",
    doubts=Doubt.CLOCK,
    lead=Lead("{who} reused a port too early", "{who} [reuses|reuse] ports too early"),
)
def port_reused_early(tables: Tables, config: Config) -> Hits:
    """The same addresses and ports were used again while the server still remembered the old connection.

    Means: the client opened a new connection from a port whose last connection was still in TIME_WAIT at the server. A
        server accepts that when the new sequence number or time stamp is beyond the old one; else it answers with the
        ACK of the old connection, the client resets that and sends its SYN again, at once or after a second; a
        firewall may drop it altogether.
    Do:
        Client: do not bind to a fixed source port; pool connections, and widen `net.ipv4.ip_local_port_range`.
        Server: nothing; it behaves as the standard asks.
        Network: look for a NAT or a load balancer with too few ports, or whose time-outs are shorter than TIME_WAIT; a
            firewall at the client must not drop the ACK (as conntrack's INVALID), since only the client's RST clears
            the way.
    Else: an accepted reuse is legal and told as information, and so is one that cost less than 0.2 s. Where the old
        connection is not in the capture, it may have been open instead of in TIME_WAIT.
    Source: RFC 9293, 3.5.1 and 3.6.1; RFC 6191; RFC 5961, 4; Linux tcp_timewait_state_process.
    """
    f = tables.flows
    entered = [last_times(tables, endpoint, new=TIME_WAIT) for endpoint in SIDES]
    waits = np.maximum(*entered)
    lasts = np.where(entered[CLIENT] >= entered[SERVER], *(time_wait_ns(tables, config, side) for side in SIDES))
    old = indices(waits >= 0)
    anew = reopened(tables, old)
    since = f["start_ns"][anew] - waits[old]
    soon = (anew >= 0) & (since >= 0) & (since < lasts[old])
    before = np.full(len(f), -1, dtype=np.int64)
    before[anew[soon]] = old[soon]
    met = challenged(tables)
    flows = indices(((before >= 0) | met) & ~quality(tables).cut)
    if not len(flows):
        return no_hits()
    cost = opening_ns(tables)[flows]
    left = tables.capture.last_ns - f["start_ns"][flows]
    never = (f["client_state"][flows] == SYN_SENT) & (cost < 0)
    never &= np.where(met[flows], left >= to_ns(config.syn_timeout_s), f["server_packets"][flows] == 0)
    # Who was told and tries these ports no more has others: a NAT gives the next SYN another port.
    elsewhere = never & _given_up(tables)[flows]
    never &= ~elsewhere
    slow = (met[flows] & (cost >= to_ns(SLOW_OPENING_S))) | elsewhere
    severity = np.where(never, int(Severity.MEDIUM), np.where(slow, int(Severity.LOW), int(Severity.INFO)))

    def finding(story: Story, hit: Hit) -> Finding:
        return _reuse(tables, story, hit.flow, int(before[hit.flow]), Severity(int(severity[hit.row])))

    return per_flow(tables, flows, finding, weight=severity * 1e12 + np.maximum(cost, 0))


def _reuse(tables: Tables, story: Story, flow: int, before: int, severity: Severity) -> Finding:
    f = tables.flows
    syn = int(f["first_frame"][flow])
    challenge = challenge_of(story, flow)
    since, entered = "from a port that the server still remembered", 0
    if before >= 0:
        older = Story(tables, np.array([before]))
        waits = [step for endpoint in SIDES if (step := older.step(before, endpoint, new=TIME_WAIT))]
        last = max(waits, key=lambda step: step.time_ns)
        entered = last.frame
        since = (
            f"{duration(int(f['start_ns'][flow]) - last.time_ns)} after the last one between the same ports had "
            f"entered TIME_WAIT at the {ENDPOINT_NAMES[last.endpoint]}{in_frame(entered)}"
        )
    dropped = not challenge.acks and severity == Severity.MEDIUM
    alternatives: tuple[str, ...] = ()
    if challenge.acks:
        alternatives = (_REMEMBERED[before >= 0 :]) if challenge.resets else _CHECKED
    elif dropped:
        alternatives = ("the server did not answer for another reason",)
    return Finding(
        severity=severity,
        flow=flow,
        endpoint=CLIENT,
        time_ns=int(f["start_ns"][flow]),
        frames=proof([entered, syn, *challenge.acks[:3], *challenge.resets[:3], *challenge.again[:3]]),
        detail=(
            f"{tables.client(flow)} opened a connection to {tables.server(flow)}{in_frame(syn)} {since}; "
            f"{_taken(tables, story, flow)}"
        ),
        confidence=LIKELY if alternatives else CERTAIN,
        alternatives=alternatives,
    )


def _taken(tables: Tables, story: Story, flow: int) -> str:
    """What became of the new SYN."""
    f = tables.flows
    challenge = challenge_of(story, flow)
    cost = int(opening_ns(tables)[flow])
    if not challenge.acks:
        if f["client_state"][flow] == SYN_SENT and not f["server_packets"][flow]:
            return "the new SYN was not answered"
        return "it was accepted" if f["completeness"][flow] & COMPLETE_SYN_ACK else "it was not accepted"
    taken = f"the server answered with the ACK of the old connection{in_frames(challenge.acks)}"
    reset = f"the client reset that{in_frames(challenge.resets)}" if challenge.resets else "the client ignored that"
    taken += f", {reset}"
    if challenge.again:
        taken += f" and sent its SYN again{in_frames(challenge.again)}"
    if cost >= 0:
        return f"{taken}: the SYN-ACK came {duration(cost)} after the first SYN"
    if challenge.resets and not challenge.again:
        return f"{taken} and did not try these ports again"
    return f"{taken}; the connection was not opened by the end of the capture"


def _given_up(tables: Tables) -> BoolArray:
    """Flows whose client reset the old connection and sent no further SYN from this port."""
    reset = count_marks(tables, marks.MARK_RESET_OF_OLDER, endpoint=CLIENT) > 0
    found: BoolArray = reset & (count_marks(tables, marks.MARK_SYN_REPEATED, endpoint=CLIENT) == 0)
    return found
