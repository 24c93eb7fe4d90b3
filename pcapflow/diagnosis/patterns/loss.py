"""PI406: the path between two hosts loses packets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.cite import in_frames, proof
from pcapflow.anomalies.figures import wilson, wilson_low
from pcapflow.anomalies.lookup.columns import SIDES, indices, side
from pcapflow.anomalies.lookup.groups import host_keys
from pcapflow.anomalies.lookup.timeline import count_marks, rows_with
from pcapflow.anomalies.model import CERTAIN, LIKELY, BoolArray, IntArray, Severity
from pcapflow.anomalies.transfer.repeats import REPEATS
from pcapflow.anomalies.transfer.shares import sent_again
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.events import events_of
from pcapflow.diagnosis.model import Explanation, Observation, Remedy
from pcapflow.diagnosis.paths import MAX_PATHS, blamed, path_keys, path_of
from pcapflow.diagnosis.pattern import pattern
from pcapflow.diagnosis.silences import silences
from pcapflow.tcp import marks
from pcapflow.text.phrases import counted, duration, listed, number
from pcapflow.text.times import time_of_day

_EXPLAINED: Final = ("PF404",)
_FEW_EVENTS: Final = 2
"""Losses that came at so many moments or more are no single burst."""


@pattern("PI406", "loss", title="The path loses packets")
def loss(case: Case) -> Sequence[Explanation]:
    """A share of the packets between two hosts is lost on the way, and sent again.

    Seen: segments that were sent again between the same two hosts, in a share whose interval lies above the settings
        loss_permille (low) or retransmission_percent (medium), at different moments. Behind the place where they are
        lost they are seen once, late, and the receiver asks for them before.
    Unless: only large ones are lost (PI407), nothing passes for a while (PI401, PI402), they are copies that the
        capture made, probes of a shut window, or were sent again needlessly (their ACK had passed, or was only late, as
        a duplicate SACK tells), or because a router said by ICMP that they are too large.
    Means: throughput falls with the root of the loss, and what is lost at the end of a message costs a time-out of
        200 ms or more, the SYN even a second.
    Do:
        Client: compare with its other paths: loss on all of them is in its own link or host.
        Server: likewise.
        Network: look for drops at the interfaces along the path (`ip -s link`, `ethtool -S`, `tc -s qdisc`), duplex,
            optics, wireless, shapers and full queues.
    Else: the acknowledgments were lost, not the data, where no receiver asked for it.
    Source: RFC 9293, 3.8.1; RFC 5681; RFC 2883 (duplicate SACK); Wilson (1927); Mathis, Semke, Mahdavi, Ott: The
        Macroscopic Behavior of the TCP Congestion Avoidance Algorithm (1997).
    """
    if not any(side(case.tables.flows, endpoint, "data_segments_again").any() for endpoint in SIDES):
        return ()
    sides = [_counts(case, endpoint) for endpoint in SIDES]
    lossy = np.flatnonzero((sides[0].lost > 0) | (sides[1].lost > 0))
    if not len(lossy):
        return ()
    paths = path_keys(case.tables)
    names, place = np.unique(paths, return_inverse=True)
    hosts = [host_keys(case.tables, endpoint) for endpoint in SIDES]
    # On each path the direction of the host with the lesser key, and the other.
    directions = []
    for lesser in (True, False):
        lost, sent = np.zeros(len(names), dtype=np.int64), np.zeros(len(names), dtype=np.int64)
        for endpoint in SIDES:
            mine = (hosts[endpoint] <= hosts[1 - endpoint]) == lesser
            lost += np.bincount(place[mine], weights=sides[endpoint].lost[mine], minlength=len(names)).astype(np.int64)
            sent += np.bincount(place[mine], weights=sides[endpoint].sent[mine], minlength=len(names)).astype(np.int64)
        directions.append((lost, sent))
    share = np.max([_least(case, lost, sent) for lost, sent in directions], axis=0)
    worth = np.flatnonzero(share * 1000 >= case.config.loss_permille)
    worst = worth[np.argsort(-share[worth], kind="stable")][:MAX_PATHS]
    explanations = []
    for path in worst.tolist():
        found = _explanation(case, np.flatnonzero(place == path).astype(np.int64), sides, float(share[path]))
        if found is not None:
            explanations.append(found)
    return explanations


class _Counts(NamedTuple):
    """Segments of one side of each flow: all of them, and those that were lost.

    ``again`` were sent again, what was lost before the tap among them, and ``needless`` of them had arrived: ``lost``
    are the others.
    """

    sent: IntArray
    again: IntArray
    needless: IntArray
    lost: IntArray


def _counts(case: Case, endpoint: int) -> _Counts:
    sent, again = sent_again(case.tables, endpoint)
    # One that repeats what was acknowledged already mostly draws a duplicate SACK as well: the two count once.
    needless = np.maximum(
        count_marks(case.tables, marks.SPURIOUS_RETRANSMISSION, endpoint=endpoint),
        count_marks(case.tables, marks.MARK_DUPLICATE_SACK, endpoint=1 - endpoint),
    )
    needless = np.minimum(needless, again)
    counts = _Counts(sent.copy(), again.copy(), needless, again - needless)
    spared = indices(_told_otherwise(case))
    for column in counts:
        column[spared] = 0
    return counts


def _told_otherwise(case: Case) -> BoolArray:
    """Flows whose repeats have another cause: nothing passed for a while, or nothing large at all."""
    mask = case.mask(case.flows_of(case.anomalies_of("PF405")))
    for event in events_of(case):
        mask[event.flows] = True
    silent = silences(case.tables, case.config)
    mask[silent.flows[(silent.back_ns < 0) & (silent.again >= case.config.vanished_retries)]] = True
    return mask


def _least(case: Case, lost: IntArray, sent: IntArray) -> np.ndarray:
    enough = lost >= max(case.config.retransmission_segments, 1)
    return np.where(enough, wilson_low(lost, np.maximum(sent, 1)), 0.0)


def _explanation(case: Case, flows: IntArray, sides: list[_Counts], share: float) -> Explanation | None:
    tables, f = case.tables, case.tables.flows
    lossy = flows[(sides[0].lost[flows] > 0) | (sides[1].lost[flows] > 0)]
    explains = case.anomalies_of(*_EXPLAINED, flows=lossy)
    when, frames = _repeats(case, lossy)
    events = _events(case, when, flows)
    if events < _FEW_EVENTS and not explains:
        return None
    path = path_of(case, flows[:1])
    directions = _directions(case, flows, sides)
    is_heavy = share * 100 >= case.config.retransmission_percent and events >= _FEW_EVENTS
    moments = f"something was sent again at {counted(events, 'different moment')}"
    spread = moments if events >= _FEW_EVENTS else "all of them in one burst"
    first = int(when.min()) if len(when) else int(f["start_ns"][lossy].min())
    order = np.argsort(-(sides[0].lost + sides[1].lost)[lossy], kind="stable")
    return Explanation(
        severity=Severity.MEDIUM if is_heavy else Severity.LOW,
        confidence=CERTAIN if _asked_for(case, lossy) else LIKELY,
        headline=f"{path[0].upper()}{path[1:]} loses packets: {listed([text for text, _ in directions])}, since "
                 f"{time_of_day(first)}.",
        blame=blamed(path),
        start_ns=first,
        end_ns=int(f["end_ns"][lossy].max()),
        flows=named(lossy[order]),
        count=len(lossy),
        hosts=(tables.ip(int(flows[0]), 0), tables.ip(int(flows[0]), 1)),
        explains=frozenset(explains),
        why=(
            *(Observation(text) for _, text in directions),
            Observation(
                f"{_share(len(lossy), len(flows))} between the two had losses; {spread}{in_frames(frames)}",
                frames,
            ),
            *_longest_stall(case, lossy),
        ),
        against=() if events >= _FEW_EVENTS else ("it was a single burst: a queue that was full once does that",),
        remedy=(
            Remedy("Network", f"look for drops along {path}: `ip -s link`, `ethtool -S` and `tc -s qdisc` at each hop, "
                   "then duplex, optics, wireless, and shapers or policers; `mtr --tcp` to both sides tells the hop"),
            Remedy("Server", "until then, `net.ipv4.tcp_congestion_control=bbr` loses less throughput to random loss "
                   "than cubic does"),
        ),
    )  # fmt: skip


def _share(part: int, total: int) -> str:
    return "the one connection" if total == 1 else f"{number(part)} of {number(total)} connections"


def _directions(case: Case, flows: IntArray, sides: list[_Counts]) -> list[tuple[str, str]]:
    """For each direction that loses something a phrase for the headline, and a sentence with its figures."""
    hosts = [host_keys(case.tables, endpoint) for endpoint in SIDES]
    found = []
    for which in SIDES:
        key = hosts[which][flows[0]]
        if which and hosts[0][flows[0]] == key:
            break
        totals = np.zeros(len(_Counts._fields), dtype=np.int64)
        for endpoint in SIDES:
            mine = flows[hosts[endpoint][flows] == key]
            totals += np.array([int(column[mine].sum()) for column in sides[endpoint]])
        sent, again, needless, lost = totals.tolist()
        if not lost:
            continue
        sender, receiver = case.tables.ip(int(flows[0]), which), case.tables.ip(int(flows[0]), 1 - which)
        low, high = wilson(lost, sent)
        short = f"{lost / sent:.1%} of the segments from {sender} to {receiver} ({number(lost)} of {number(sent)})"
        ways = (
            (again, f"{number(again)} {'was' if again == 1 else 'were'} sent again"),
            (needless, f"{number(needless)} of these needlessly"),
        )
        figures = (
            f"of {counted(sent, 'segment')} from {sender} to {receiver}, {listed([text for n, text in ways if n])} "
            f"(each counted once): {lost / sent:.1%} were lost, at least {low:.1%} and at most {high:.1%} (95% "
            "interval)"
        )
        found.append((lost / sent, short, figures))
    return [(short, figures) for _, short, figures in sorted(found, reverse=True)]


def _repeats(case: Case, flows: IntArray) -> tuple[IntArray, tuple[int, ...]]:
    """When segments were sent again or came late on these flows, in order, and the frames of the first."""
    m = case.tables.marks
    kinds = [mark for mark in (*REPEATS, marks.OUT_OF_ORDER) if mark != marks.SPURIOUS_RETRANSMISSION]
    rows = rows_with(case.tables, *kinds)
    rows = rows[case.mask(flows)[m["flow"][rows]]]
    rows = rows[np.argsort(m["time_ns"][rows], kind="stable")]
    when = m["time_ns"][rows].astype(np.int64)
    return _of_last_flight(case, m["flow"][rows], m["endpoint"][rows], when), proof(m["frame"][rows[:8]].tolist())


def _of_last_flight(case: Case, of_flow: IntArray, endpoints: np.ndarray, when: IntArray) -> IntArray:
    """When losses became known, in order of time: of one flight at once, however long its repair takes.

    What a side sends again after the last of its new data was all on its way in one moment. Slow start repairs it over
    several round trips (RFC 5681, 3.1), each of which would count as a moment of its own.
    """
    keys = 2 * of_flow.astype(np.int64) + endpoints
    last = np.where(endpoints == SIDES[0], *(side(case.tables.flows, e, "data_ns")[of_flow] for e in SIDES))
    late = np.flatnonzero((last >= 0) & (when > last))
    _, first, group_of = np.unique(keys[late], return_index=True, return_inverse=True)
    moments = when.copy()
    moments[late] = when[late[first]][group_of]
    return np.sort(moments)


def _events(case: Case, when: IntArray, flows: IntArray) -> int:
    """At how many moments: what is lost within two round trips is one event."""
    if not len(when):
        return 1
    trips = np.concatenate([side(case.tables.flows, endpoint, "rtt_ns")[flows] for endpoint in SIDES])
    trips = trips[trips >= 0]
    apart = 2 * int(np.median(trips)) if len(trips) else 0
    return 1 + int(np.count_nonzero(np.diff(when) > apart))


def _longest_stall(case: Case, flows: IntArray) -> Iterator[Observation]:
    """Of the flows on which something was sent again within their longest pause, the one that waited longest."""
    f, m, tables = case.tables.flows, case.tables.marks, case.tables
    rows = rows_with(tables, *REPEATS)
    rows = rows[case.mask(flows)[m["flow"][rows]]]
    of_flow, when = m["flow"][rows], m["time_ns"][rows]
    ended = f["pause_end_ns"][of_flow]
    inside = of_flow[(when <= ended) & (when > ended - f["pause_ns"][of_flow])]
    if len(inside):
        worst = int(inside[np.argmax(f["pause_ns"][inside])])
        yield Observation(
            f"the longest wait for something that was sent again took {duration(int(f['pause_ns'][worst]))}, on "
            f"{tables.name(worst, 0)} to {tables.name(worst, 1)}"
        )


def _asked_for(case: Case, flows: IntArray) -> bool:
    """Whether a receiver said by duplicate ACKs that something is missing."""
    rows = rows_with(case.tables, marks.DUPLICATE_ACK)
    return bool(case.mask(flows)[case.tables.marks["flow"][rows]].any())
