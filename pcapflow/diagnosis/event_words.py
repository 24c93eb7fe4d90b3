"""What patterns say of hosts and paths that fell silent: who asked in vain, what else went on, which it explains."""

from __future__ import annotations

from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frames, proof
from pcapflow.anomalies.lookup.columns import SIDES, among, distinct, side, unique
from pcapflow.anomalies.lookup.groups import host_keys
from pcapflow.anomalies.lookup.timeline import Story
from pcapflow.anomalies.model import BoolArray, IntArray
from pcapflow.anomalies.transfer.repeats import REPEATS
from pcapflow.diagnosis.case import Case
from pcapflow.diagnosis.events import Event
from pcapflow.diagnosis.model import Observation
from pcapflow.tcp import marks
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, duration, listed
from pcapflow.text.times import time_of_day

_SHOWN: Final = 3
"""Connections whose repeats are cited."""


def peer_of(case: Case, event: Event) -> str:
    """The address of the host that was asked in vain."""
    return case.tables.ip(int(event.silent.flows[0]), 1 - int(event.silent.askers[0]))


def askers_of(case: Case, event: Event) -> tuple[str, ...]:
    """The addresses of those who asked it."""
    found = [
        case.hosts(event.silent.flows[event.silent.askers == endpoint], endpoint)
        for endpoint in SIDES
        if np.any(event.silent.askers == endpoint)
    ]
    return tuple(dict.fromkeys(host for hosts in found for host in hosts))


def concerned(case: Case, event: Event) -> IntArray:
    """The connections of the event, those that were open first, and all attempts that had no answer meanwhile."""
    f = case.tables.flows
    until = event.back_ns if event.back_ns >= 0 else case.tables.capture.last_ns
    attempts = (host_keys(case.tables, SERVER) == event.peer) & (side(f, SERVER, "packets") == 0)
    attempts &= (f["start_ns"] >= event.since_ns) & (f["start_ns"] <= until)
    if event.scope == "path":
        keys = host_keys(case.tables, CLIENT)
        attempts &= among(keys, keys[event.silent.flows])
    is_open = event.silent.flows[~_is_attempt(case, event)]
    everyone = np.union1d(event.flows, np.flatnonzero(attempts))
    return np.concatenate((unique(is_open), np.setdiff1d(everyone, is_open))).astype(np.int64)


def is_established(case: Case, event: Event) -> bool:
    """Whether one at least of its connections was open: whoever hears it there must acknowledge it."""
    return bool(np.any(~_is_attempt(case, event)))


def _is_attempt(case: Case, event: Event) -> BoolArray:
    """Which of its silences are attempts to connect."""
    m = case.tables.marks
    tried = np.zeros(len(case), dtype=bool)
    tried[m["flow"][m["mark"] == marks.MARK_SYN_REPEATED]] = True
    attempt: BoolArray = (event.silent.heard_ns < 0) & tried[event.silent.flows]
    attempt &= event.silent.asked_ns == case.column("start_ns")[event.silent.flows]
    return attempt


def asked_in_vain(case: Case, event: Event) -> list[Observation]:
    """Who sent what again, with the frames, and which attempts had no answer."""
    found = []
    attempt = _is_attempt(case, event)
    rows = np.flatnonzero(~attempt)
    flows = event.silent.flows[rows]
    story = Story(case.tables, flows[:_SHOWN])
    cited = []
    for row, flow in zip(rows[:_SHOWN].tolist(), flows[:_SHOWN].tolist(), strict=True):
        asker = int(event.silent.askers[row])
        again = story.marks(flow, *REPEATS, marks.KEEP_ALIVE, marks.MARK_FIN_REPEATED, endpoint=asker,
                            after_ns=int(event.silent.asked_ns[row]) - 1)  # fmt: skip
        cited += [mark.frame for mark in again[:4]]
    if len(rows):
        frames = proof(cited)
        total = int(event.silent.again[rows].sum())
        span = duration(int(event.silent.last_ns[rows].max()) - int(event.silent.asked_ns[rows].min()))
        found.append(
            Observation(
                f"on {counted(distinct(flows), 'open connection')} what was sent to {peer_of(case, event)} was "
                f"not answered, and sent again {counted(total, 'time')} over {span}{in_frames(frames)}",
                frames,
            )
        )
    everyone = concerned(case, event)
    tried = everyone[distinct(flows) :]
    if len(tried):
        frames = case.frames("first_frame", tried)
        answer = "had no answer" if event.back_ns < 0 else "had no answer meanwhile"
        found.append(Observation(f"{counted(len(tried), 'attempt')} to connect {answer}{in_frames(frames)}", frames))
    return found


def last_heard(case: Case, event: Event) -> Observation:
    """When it was last heard before, and, if so, again."""
    peer = peer_of(case, event)
    who = "" if event.scope == "host" else f" by {listed(askers_of(case, event), 3)}"
    text = f"{peer} was last heard{who} at {_at(event.since_ns)}, as far as the capture's tables tell"
    if event.back_ns < 0:
        left = case.tables.capture.last_ns - event.since_ns
        return Observation(f"{text}, and not again in the {duration(left)} to the end of the capture")
    return Observation(f"{text}, and again at {_at(event.back_ns)}")


def others_heard(case: Case, event: Event) -> tuple[str, ...]:
    """Other hosts that those who asked heard meanwhile."""
    f = case.tables.flows
    until = event.back_ns if event.back_ns >= 0 else case.tables.capture.last_ns
    hosts = [host_keys(case.tables, endpoint) for endpoint in SIDES]
    asking = unique(np.concatenate([hosts[e][event.silent.flows[event.silent.askers == e]] for e in SIDES]))
    found: list[str] = []
    for asker in SIDES:
        other = 1 - asker
        heard = among(hosts[asker], asking) & (hosts[other] != event.peer)
        heard &= (side(f, other, "last_ns") > event.asked_ns) & (f["start_ns"] < until)
        found += case.hosts(np.flatnonzero(heard).astype(np.int64), other)
    return tuple(dict.fromkeys(found))


def heard_by_others(case: Case, event: Event) -> tuple[str, ...]:
    """Other hosts that heard it meanwhile."""
    f = case.tables.flows
    hosts = [host_keys(case.tables, endpoint) for endpoint in SIDES]
    asking = unique(np.concatenate([hosts[e][event.silent.flows[event.silent.askers == e]] for e in SIDES]))
    until = event.back_ns if event.back_ns >= 0 else case.tables.capture.last_ns
    found: list[str] = []
    for peer in SIDES:
        heard = (hosts[peer] == event.peer) & ~among(hosts[1 - peer], asking)
        heard &= (side(f, peer, "last_ns") > event.asked_ns) & (f["start_ns"] < until)
        found += case.hosts(np.flatnonzero(heard).astype(np.int64), 1 - peer)
    return tuple(dict.fromkeys(found))


def _at(time_ns: int) -> str:
    """The time of day to the millisecond."""
    return f"{time_of_day(time_ns).removesuffix(' UTC')}.{time_ns // 1_000_000 % 1000:03d} UTC"


def count_attempts(case: Case, event: Event, flows: IntArray) -> int:
    """How many of the concerned connections were attempts."""
    return len(flows) - len(unique(event.silent.flows[~_is_attempt(case, event)]))
