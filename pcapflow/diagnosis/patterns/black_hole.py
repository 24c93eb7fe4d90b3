"""PI407: large packets vanish on the way, small ones pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frames, proof
from pcapflow.anomalies.lookup.columns import SIDES, among, side
from pcapflow.anomalies.lookup.groups import group
from pcapflow.anomalies.lookup.timeline import Mark, Story, frames_of
from pcapflow.anomalies.model import LIKELY, IntArray, Severity
from pcapflow.anomalies.transfer.repeats import REPEATS
from pcapflow.anomalies.transfer.shares import too_large
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.model import Explanation, Observation, Remedy
from pcapflow.diagnosis.paths import MAX_PATHS, blamed, directed_keys, path_of
from pcapflow.diagnosis.pattern import pattern
from pcapflow.tables.sorting import stable_order
from pcapflow.tcp.states import CLIENT
from pcapflow.text.phrases import counted, duration, number
from pcapflow.text.times import time_of_day

_HEADERS: Final = {4: 40, 6: 60}
"""Bytes of the headers of IP and TCP without options."""
_TIME_STAMPS: Final = 12
_SHOWN: Final = 4
"""Connections whose repeats are cited."""


@pattern("PI407", "black-hole", title="Large packets vanish, small ones pass")
def black_hole(case: Case) -> Sequence[Explanation]:
    """Full-size segments of one host never reach the other, while small ones do: a link between takes smaller packets.

    Seen: segments of the full size that were sent again and again and never acknowledged, on connections whose small
        segments were, in one direction between two hosts.
    Unless: segments as large passed in the same direction on another connection, nothing at all of the peer is heard
        any more (a host or path that is down), or ICMP told the sender and it went on with smaller segments.
    Means: connections open and small messages work; whatever is larger hangs until somebody gives up. The ICMP message
        that would tell the sender is not sent, or is dropped on its way.
    Do:
        Client: turn on `net.ipv4.tcp_mtu_probing=1`, or lower the MTU of its interface.
        Server: likewise, if it is the one that sends the large segments.
        Network: let ICMP type 3 code 4 and ICMPv6 type 2 pass; clamp the MSS at the narrow link
            (`iptables -t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu`).
    Else: a peer that vanished while it was sent something large.
    Source: RFC 2923, 2.1; RFC 4821; RFC 1191.
    """
    anomalies = case.anomalies_of("PF405")
    flows = case.flows_of(anomalies)
    if not len(flows):
        return ()
    explanations = []
    for sender in SIDES:
        mine = flows[_repeats_large(case, flows, sender)]
        keys = directed_keys(case.tables, sender)
        pairs = group(mine, keys[mine]).at_least(1)
        for each in sorted(pairs, key=len, reverse=True)[:MAX_PATHS]:
            everyone = np.flatnonzero(keys == keys[each[0]]).astype(np.int64)
            found = _explanation(case, each, everyone, sender)
            if found is not None:
                explanations.append(found)
    return explanations


def _repeats_large(case: Case, flows: IntArray, sender: int) -> np.ndarray:
    """Which of these flows lack the acknowledgment of what this side sent."""
    f = case.tables.flows
    owed: np.ndarray = (side(f, sender, "sent") - side(f, 1 - sender, "acked"))[flows] > 1
    return owed


def _explanation(case: Case, flows: IntArray, everyone: IntArray, sender: int) -> Explanation | None:
    tables, f = case.tables, case.tables.flows
    order = stable_order(f["start_ns"][flows].astype(np.int64))
    flows = flows[order]
    story = Story(tables, flows[:_SHOWN])
    repeats = {flow: story.marks(flow, *REPEATS, endpoint=sender) for flow in flows[:_SHOWN].tolist()}
    stamps = _headers(case, int(flows[0])) - _HEADERS[int(f["family"][flows[0]])]
    # A card that merges segments makes one record of several: none of them is larger than the MSS allows.
    lost = min([int(side(f, 1 - sender, "mss")[flows[0]]) - stamps,
                *(mark.value for each in repeats.values() for mark in each)])  # fmt: skip
    passed, passed_flow = _largest_that_passed(case, everyone, sender)
    if lost <= 0 or passed >= lost:
        return None
    path = path_of(case, flows)
    first = min(each[0].time_ns for each in repeats.values() if each)
    if not _is_heard(case, everyone, sender, first):
        return None
    sending, other = tables.ip(int(flows[0]), sender), tables.ip(int(flows[0]), 1 - sender)
    headers = _headers(case, int(flows[0]))
    packet = lost + headers
    limit = f"less than {number(packet)} bytes"
    if passed > 0:
        limit = f"between {number(passed + headers)} and {number(packet - 1)} bytes"
    end = int(f["end_ns"][flows].max())
    return Explanation(
        severity=Severity.MEDIUM,
        confidence=LIKELY,
        headline=(
            f"Large packets from {sending} to {other} vanish on the way while small ones pass: "
            f"{counted(len(flows), 'connection')} hung with segments of {number(lost)} bytes (packets of "
            f"{number(packet)}) since {time_of_day(first)}."
        ),
        blame=blamed(path),
        start_ns=first,
        end_ns=end,
        flows=named(flows),
        count=len(flows),
        hosts=(*case.hosts(flows, 1 - sender), sending),
        explains=frozenset(case.anomalies_of(flows=flows)),
        why=(
            *_repeated(case, repeats, sender, len(flows)),
            _passes(case, everyone, flows, sender, passed, passed_flow),
            _icmp(case, flows, sender),
            Observation(
                f"the path's MTU from {sending} to {other} is {limit}; the MSS that {other} announced is "
                f"{number(int(side(f, 1 - sender, 'mss')[flows[0]]))} bytes"
            ),
        ),
        against=(f"{other} vanished while it was sent something large",) if len(flows) == 1 else (),
        remedy=_remedy(path, sending, sender, int(f["family"][flows[0]])),
    )  # fmt: skip


def _headers(case: Case, flow: int) -> int:
    f = case.tables.flows
    stamped = all(int(side(f, endpoint, "timestamps")[flow]) == 1 for endpoint in SIDES)
    return _HEADERS[int(f["family"][flow])] + (_TIME_STAMPS if stamped else 0)


def _largest_that_passed(case: Case, everyone: IntArray, sender: int) -> tuple[int, int]:
    """The largest segment of this direction that is known to have been acknowledged, and its connection; 0 and -1.

    Of a connection that sent nothing twice and had all of it acknowledged, each segment passed. Of another, what was
    too large may have passed in smaller pieces: the average of all that it sent is no more than the largest of these.
    """
    f = case.tables.flows
    segments = side(f, sender, "data_segments")[everyone]
    whole = (side(f, 1 - sender, "acked") >= side(f, sender, "sent"))[everyone] & (segments > 0)
    # What an ICMP error asked to be sent in smaller pieces is not counted again.
    whole &= ~among(everyone, case.tables.marks["flow"][too_large(case.tables, sender)].astype(np.int64))
    average = (side(f, sender, "sent")[everyone] - 1) // np.maximum(segments, 1)
    once = side(f, sender, "retransmitted")[everyone] == 0
    mss = side(f, 1 - sender, "mss")[everyone]
    largest = side(f, sender, "largest")[everyone]
    # A card merges segments, each of which is no larger than the MSS.
    passed = np.where(whole, np.where(once, np.where(mss > 0, np.minimum(largest, mss), average), average), 0)
    if not len(passed) or int(passed.max()) <= 0:
        return 0, -1
    best = int(np.argmax(passed))
    return int(passed[best]), int(everyone[best])


def _is_heard(case: Case, everyone: IntArray, sender: int, since_ns: int) -> bool:
    """Whether anything came from the peer after that: small segments that pass tell it from one that vanished."""
    return bool(np.any(side(case.tables.flows, 1 - sender, "last_ns")[everyone] > since_ns))


def _repeated(case: Case, repeats: dict[int, list[Mark]], sender: int, connections: int) -> list[Observation]:
    """What was sent again in vain, on those of the connections that were looked at."""
    seen = [(flow, each) for flow, each in repeats.items() if each]
    if not seen:
        return []
    often = _from_to(sorted({len(each) for _, each in seen}))
    sizes = _from_to(sorted({each[0].value for _, each in seen}))
    longest = max(each[-1].time_ns - each[0].time_ns for _, each in seen)
    flow, first = seen[0]
    frames = proof(frames_of(first))
    each_of = "" if len(seen) == 1 else f", on each of {'these' if len(seen) == connections else len(seen)} connections"
    return [
        Observation(
            f"{case.tables.ip(flow, sender)} sent segments of {sizes} bytes again {often} times over up to "
            f"{duration(longest)}{each_of}, and none was acknowledged; for example "
            f"{case.tables.name(flow, sender)}{in_frames(frames_of(first))}",
            frames,
        )
    ]


def _from_to(values: list[int]) -> str:
    return number(values[0]) if len(values) == 1 else f"{number(values[0])} to {number(values[-1])}"


def _passes(case: Case, everyone: IntArray, flows: IntArray, sender: int, passed: int, passed_flow: int) -> Observation:
    f = case.tables.flows
    others = everyone[~among(everyone, flows)]
    small = others[(side(f, 1 - sender, "acked")[others] > 1)]
    if passed > 0:
        frames = case.frames("first_frame", np.array([passed_flow]))
        return Observation(
            f"segments of up to {number(passed)} bytes were acknowledged in the same direction, on "
            f"{counted(len(small), 'other connection')}{in_frames(frames)}",
            frames,
        )
    frames = case.frames("first_frame", flows)
    return Observation(f"the handshakes of these connections passed{in_frames(frames)}", frames)


def _icmp(case: Case, flows: IntArray, sender: int) -> Observation:
    m = case.tables.marks
    rows = too_large(case.tables, sender)
    rows = rows[among(m["flow"][rows], flows)]
    if not len(rows):
        return Observation(
            "no ICMP message in this capture says that a packet is too large: it was not sent, or dropped on its way"
        )
    frames = proof(m["frame"][rows].tolist())
    text = f"{counted(len(rows), 'ICMP message')} said that a packet is too large{in_frames(frames)}, to no effect"
    return Observation(text, frames)


def _remedy(path: str, sending: str, sender: int, family: int) -> tuple[Remedy, ...]:
    table, message = ("iptables", "type 3 code 4") if family == 4 else ("ip6tables", "ICMPv6 type 2")
    return (
        Remedy("Network", f"let the ICMP message through that says that a packet is too large ({message}) on {path}, "
               f"or clamp the MSS at the narrow link: `{table} -t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j "
               "TCPMSS --clamp-mss-to-pmtu`"),
        Remedy("Client" if sender == CLIENT else "Server",
               f"until the path is mended, set `net.ipv4.tcp_mtu_probing=1` on {sending} (0 unless "
               "set; it holds for IPv6 as well), or lower the MTU of its interface, e.g. to 1280, which every link "
               "that carries IPv6 takes"),
    )  # fmt: skip
