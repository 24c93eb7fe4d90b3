"""What patterns say of hosts and paths that fell silent: who asked in vain, what else went on, which it explains."""

from __future__ import annotations

from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frames, proof
from pcapflow.anomalies.lookup.columns import SIDES, among, distinct, indices, side, unique
from pcapflow.anomalies.lookup.groups import host_keys
from pcapflow.anomalies.lookup.timeline import Story
from pcapflow.anomalies.model import BoolArray, IntArray
from pcapflow.anomalies.transfer.repeats import REPEATS
from pcapflow.diagnosis.case import Case
from pcapflow.diagnosis.events import Event
from pcapflow.diagnosis.hosts import Hosts
from pcapflow.diagnosis.model import Observation
from pcapflow.tcp import marks
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, duration
from pcapflow.text.times import to_the_millisecond

_SHOWN: Final = 3
"""Connections whose repeats are cited."""


def peer_of(case: Case, event: Event) -> str:
    """The address of the host that was asked in vain."""
    return case.tables.ip(int(event.silent.flows[0]), 1 - int(event.silent.askers[0]))


def askers_of(case: Case, *events: Event) -> Hosts:
    """The addresses of those who asked in vain."""
    silent = [event.silent for event in events]
    return case.hosts_of((each.flows[each.askers == endpoint], endpoint) for each in silent for endpoint in SIDES)


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
        peer, answered = peer_of(case, event), "not answered at first" if event.back_ns >= 0 else "not answered"
        found.append(
            Observation(
                f"on {counted(distinct(flows), 'open connection')} what was sent to {peer} was {answered}, and "
                f"sent again {counted(total, 'time')} over {span}{in_frames(frames)}",
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
    who = "" if event.scope == "host" else f" by {askers_of(case, event).listed(3)}"
    text = f"{peer} was last heard{who} at {to_the_millisecond(event.since_ns)}"
    if event.back_ns < 0:
        left = case.tables.capture.last_ns - event.since_ns
        return Observation(f"{text}, and not again in the {duration(left)} to the end of the capture")
    # Of connections that went on the tables do not hold each segment.
    return Observation(f"{text} or soon after, and again at {to_the_millisecond(event.back_ns)}")


def others_heard(case: Case, event: Event) -> Hosts:
    """Other hosts that those who asked heard meanwhile."""
    f = case.tables.flows
    until = event.back_ns if event.back_ns >= 0 else case.tables.capture.last_ns
    hosts = [host_keys(case.tables, endpoint) for endpoint in SIDES]
    asking = unique(np.concatenate([hosts[e][event.silent.flows[event.silent.askers == e]] for e in SIDES]))
    found = []
    for asker in SIDES:
        other = 1 - asker
        heard = among(hosts[asker], asking) & (hosts[other] != event.peer)
        heard &= (side(f, other, "last_ns") > event.asked_ns) & (f["start_ns"] < until)
        found.append((indices(heard), other))
    return case.hosts_of(found)


def heard_by_others(case: Case, event: Event) -> Hosts:
    """Other hosts that heard it meanwhile."""
    f = case.tables.flows
    hosts = [host_keys(case.tables, endpoint) for endpoint in SIDES]
    asking = unique(np.concatenate([hosts[e][event.silent.flows[event.silent.askers == e]] for e in SIDES]))
    until = event.back_ns if event.back_ns >= 0 else case.tables.capture.last_ns
    found = []
    for peer in SIDES:
        heard = (hosts[peer] == event.peer) & ~among(hosts[1 - peer], asking)
        heard &= (side(f, peer, "last_ns") > event.asked_ns) & (f["start_ns"] < until)
        found.append((indices(heard), 1 - peer))
    return case.hosts_of(found)


def count_attempts(case: Case, event: Event, flows: IntArray) -> int:
    """How many of the concerned connections were attempts."""
    return len(flows) - len(unique(event.silent.flows[~_is_attempt(case, event)]))
