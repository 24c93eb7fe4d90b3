"""PF103: an ICMP error says that a connection's segments cannot be delivered."""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frame, in_frames, proof
from pcapflow.anomalies.hits import Hit, per_flow
from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import SIDES, among, chosen, side
from pcapflow.anomalies.lookup.timeline import Mark, Story, frames_of, last_times
from pcapflow.anomalies.model import CERTAIN, LIKELY, NOBODY, BoolArray, Finding, Hits, IntArray, Severity
from pcapflow.anomalies.opening.refused import opened_instead
from pcapflow.anomalies.opening.scans import scanned
from pcapflow.anomalies.rule import Lead, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.states import CLOSED, SYN_SENT, TIME_WAIT, UNKNOWN
from pcapflow.text.addresses import address_text
from pcapflow.text.phrases import counted, duration
from pcapflow.text.times import to_ns

NOT_OPENED: Final = 0
NOT_HEARD_AGAIN: Final = 1
WENT_ON: Final = 2
WAS_OVER: Final = 3
CAPTURE_ENDS: Final = 4

UNDELIVERABLE: Final = (3, 11, 12)
"""ICMP types that say that a segment did not arrive: not source quench, nor redirect, which only shows a better way."""


@dataclasses.dataclass(frozen=True)
class Errors:
    """Connections that ICMP errors speak of, in parallel columns.

    Attributes:
        flows: the flows.
        endpoints: the side whose segments the last error is about, and which is told.
        first_ns, last_ns: the first error since that side last heard its peer, and the last of all.
        outcomes: what became of the connection, one of the codes above.
    """

    flows: IntArray
    endpoints: IntArray
    first_ns: IntArray
    last_ns: IntArray
    outcomes: IntArray

    @property
    def fatal(self) -> BoolArray:
        """Those that nothing came through after the error."""
        ended: BoolArray = (self.outcomes == NOT_OPENED) | (self.outcomes == NOT_HEARD_AGAIN)
        return ended


@cached_per_tables
def icmp_errors(tables: Tables, config: Config) -> Errors:
    """Reads every ICMP error about a segment that did not arrive, and whether its connection outlived it."""
    f, m = tables.flows, tables.marks
    rows = np.flatnonzero(m["mark"] == marks.MARK_ICMP_UNREACHABLE)
    kinds = m["value"][rows] >> 8
    rows = rows[among(kinds, UNDELIVERABLE) | (f["family"][m["flow"][rows]] == 6)]
    # Marks are by flow and frame.
    flows, last = np.unique(m["flow"][rows][::-1], return_index=True)
    last = rows[len(rows) - 1 - last]
    endpoints, last_ns = m["endpoint"][last].astype(np.int64), m["time_ns"][last]
    leading = rows[m["frame"][rows] == f["icmp_frame"][m["flow"][rows]]]
    first_ns = last_ns.copy()
    first_ns[np.searchsorted(flows, m["flow"][leading])] = m["time_ns"][leading]

    heard = chosen(f, _spread(1 - endpoints, flows, len(f)), "last_ns")[flows] > last_ns
    over = np.ones(len(flows), dtype=bool)
    for endpoint in SIDES:
        state = side(f, endpoint, "state")[flows]
        ended_ns = np.maximum(*(last_times(tables, endpoint, new=new)[flows] for new in (CLOSED, TIME_WAIT)))
        over &= (state == UNKNOWN) | (((state == CLOSED) | (state == TIME_WAIT)) & (ended_ns <= first_ns))
    outcomes = np.select(
        [
            f["client_state"][flows] == SYN_SENT,
            over,
            heard,
            tables.capture.last_ns - first_ns < to_ns(config.rto_s),
        ],
        [NOT_OPENED, WAS_OVER, WENT_ON, CAPTURE_ENDS],
        NOT_HEARD_AGAIN,
    ).astype(np.int64)
    return Errors(flows, endpoints, first_ns, last_ns, outcomes)


def _spread(values: IntArray, flows: IntArray, length: int) -> IntArray:
    column = np.zeros(length, dtype=np.int64)
    column[flows] = values
    return column


@cached_per_tables
def ended_by_icmp(tables: Tables, config: Config) -> BoolArray:
    """For each flow whether an ICMP error says why nothing more came: PF103 tells of it."""
    ended = np.zeros(len(tables.flows), dtype=bool)
    found = icmp_errors(tables, config)
    ended[found.flows[found.fatal]] = True
    ended.flags.writeable = False
    return ended


SEE_ICMP: Final = "; an ICMP error says why (see PF103)"
"""The end of the sentence of a rule that tells what such an error led to."""


@rule(
    "PF103",
    "rejected-by-icmp",
    title="Connections rejected by an ICMP message",
    lead=Lead("A connection to {server} was rejected on the way", "Connections to {server} are rejected on the way"),
)
def rejected_by_icmp(tables: Tables, config: Config) -> Hits:
    """An ICMP message said that a segment of this connection cannot be delivered.

    Means: a router, a firewall or the host itself told the sender that the network, the host or the port cannot be
        reached or that passing is forbidden. It quotes the segment it speaks of, and the quote fits this connection.
        Where the peer is not heard afterwards, that is why; the row names who sent the message.
    Do:
        Client: nothing in TCP; the message names the reason.
        Server: if it sent the message itself, look at its own firewall (`nft list ruleset`, REJECT) and at what
            listens.
        Network: go to the device that sent the message and look for its rule or missing route.
    Else: a connection whose peer is still heard took the message as a hint only (RFC 1122, 4.2.3.9); then this is
        information. So is a message for a connection that was over, and one for an attempt after which the client was
        let in at once over the other IP version (RFC 8305). "Fragmentation needed" is how the sender learns
        that a link takes only smaller packets: it sends smaller ones, and nothing is wrong (RFC 1191).
    Source: RFC 792, RFC 4443 and RFC 1122, 4.2.3.9.
    """
    found = icmp_errors(tables, config)
    ended = found.fatal
    # What answers the probes of a scan is told with it (PF109).
    rows = np.flatnonzero(~scanned(tables, config)[found.flows])
    instead = np.where(found.outcomes == NOT_OPENED, opened_instead(tables, found.flows), -1)

    def finding(story: Story, hit: Hit) -> Finding:
        _, flow, endpoint = hit
        row, peer = int(rows[hit.row]), 1 - endpoint
        every = story.marks(flow, marks.MARK_ICMP_UNREACHABLE, endpoint=endpoint)
        errors = [mark for mark in every if mark.time_ns >= found.first_ns[row]]
        leading = errors[0]
        who, is_peer = _sender(tables, flow, endpoint, leading)
        number = counted(len(errors), "ICMP message")
        whom = tables.name(flow, endpoint)
        by_whom = f"{who} told {whom} by {number}{in_frames(frames_of(errors))},"
        if not who:
            by_whom = f"{number}{in_frames(frames_of(errors))} told {whom}"
        other, anew, then = int(instead[row]), 0, ""
        if other >= 0:
            anew = int(tables.flows["first_frame"][other])
            then = f"; then {tables.client(other)} opened one to {tables.server(other)}{in_frame(anew)}"
        return Finding(
            severity=Severity.MEDIUM if ended[row] and other < 0 else Severity.INFO,
            flow=flow,
            endpoint=peer if ended[row] and is_peer else NOBODY,
            time_ns=leading.time_ns,
            frames=proof([int(tables.flows["first_frame"][flow]), *frames_of(errors), anew]),
            detail=(
                f"{by_whom} about its segments to {tables.name(flow, peer)}: "
                f"{icmp_text(int(tables.flows['family'][flow]), leading.value)}; {_outcome(tables, found, row)}{then}"
            ),
            confidence=CERTAIN if found.outcomes[row] == NOT_OPENED else LIKELY,
            alternatives=("the message is forged: whoever sees or guesses the sequence number can send it",),
        )

    weight = (ended[rows] & (instead[rows] < 0)).astype(np.int64)
    return per_flow(tables, found.flows[rows], finding, weight=weight, endpoints=found.endpoints[rows])


def _sender(tables: Tables, flow: int, endpoint: int, leading: Mark) -> tuple[str, bool]:
    """Who sent the message, in words, and whether that is the peer of the side that was told."""
    f = tables.flows
    if f["icmp_frame"][flow] != leading.frame:
        return "", False
    address = address_text(int(f["family"][flow]), int(f["icmp_hi"][flow]), int(f["icmp_lo"][flow]))
    if address == tables.ip(flow, 1 - endpoint):
        return f"{address} itself", True
    if address == tables.ip(flow, endpoint):
        return f"its own host {address}", False
    return f"the router {address}", False


def _outcome(tables: Tables, found: Errors, row: int) -> str:
    flow, endpoint, first_ns = int(found.flows[row]), int(found.endpoints[row]), int(found.first_ns[row])
    left = duration(tables.capture.last_ns - first_ns)
    peer = tables.name(flow, 1 - endpoint)
    return {
        NOT_OPENED: "the connection was not opened",
        NOT_HEARD_AGAIN: f"{peer} was not heard again in the {left} to the end of the capture",
        WENT_ON: "the connection went on regardless",
        WAS_OVER: "the connection was over by then",
        CAPTURE_ENDS: f"the capture ends {left} later",
    }[int(found.outcomes[row])]


_ICMP4 = {
    0: "network unreachable",
    1: "host unreachable",
    2: "protocol unreachable",
    3: "port unreachable",
    4: "fragmentation needed",
    9: "network prohibited",
    10: "host prohibited",
    13: "communication prohibited by a filter",
}
_ICMP6 = {
    0: "no route to destination",
    1: "communication prohibited",
    2: "beyond the scope of the source address",
    3: "address unreachable",
    4: "port unreachable",
    5: "source address failed the policy",
    6: "route rejected",
}


def icmp_text(family: int, value: int) -> str:
    """What an ICMP error says, by its type times 256 and code."""
    kind, code = divmod(max(value, 0), 256)
    if family == 4 and kind == 3:
        return _ICMP4.get(code, f"unreachable, code {code}")
    if family == 6 and kind == 1:
        return _ICMP6.get(code, f"unreachable, code {code}")
    return f"ICMP type {kind}, code {code}" if value > 0 else "destination unreachable"
