"""Silences of many connections that are one event: a host that is not heard any more, or a path that was out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Final, Literal

import numpy as np

from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import SIDES, among, distinct, unique
from pcapflow.anomalies.lookup.groups import group, host_keys
from pcapflow.anomalies.model import IntArray
from pcapflow.anomalies.opening.scans import scanned
from pcapflow.config import Config
from pcapflow.diagnosis.case import Case
from pcapflow.diagnosis.sightings import sightings
from pcapflow.diagnosis.silences import Silences, silences
from pcapflow.tables.table import Tables
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.times import to_ns

MAX_HOSTS: Final = 20
"""Hosts that are looked at: those that most connections asked in vain."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Event:
    """Silences of several connections that began, or held, in the same moment.

    Attributes:
        scope: ``host`` (nobody hears the host) or ``path`` (some hosts do not hear it, and others do).
        silent: the silences.
        peer: whom they asked in vain: a key of :func:`host_keys`.
        since_ns: when it was last heard by those who asked.
        back_ns: when it was heard again; -1 not in this capture.
    """

    scope: Literal["host", "path"]
    silent: Silences
    peer: int
    since_ns: int
    back_ns: int

    @property
    def flows(self) -> IntArray:
        """The connections, in order of number."""
        return unique(self.silent.flows)

    def first_asked(self, flows: IntArray) -> IntArray:
        """These connections, those first on which it was asked first in vain."""
        asked = self.silent.flows[among(self.silent.flows, flows)]
        order = np.sort(np.unique(asked, return_index=True)[1])
        return np.concatenate((asked[order], flows[~among(flows, asked)]))

    @property
    def asked_ns(self) -> int:
        """When it was first asked in vain."""
        return int(self.silent.asked_ns.min())

    @property
    def last_ns(self) -> int:
        """When it was last asked in vain."""
        return int(self.silent.last_ns.max())


def events_of(case: Case) -> tuple[Event, ...]:
    """The events of a capture, in order of time; what only concerns large segments is none (PI407)."""
    large = case.flows_of(case.anomalies_of("PF405"))
    return _events(case.tables, case.config, tuple(large.tolist()))


@cached_per_tables
def _events(tables: Tables, config: Config, spared: tuple[int, ...]) -> tuple[Event, ...]:
    silent = silences(tables, config)
    silent = silent.take(np.flatnonzero(~among(silent.flows, np.array(spared, dtype=np.int64))
                                        & ~scanned(tables, config)[silent.flows]))  # fmt: skip
    if len(silent.flows) < 2:
        return ()
    peers, askers = (_key(tables, silent, which) for which in (1, 0))
    found: list[Event] = []
    rows = np.arange(len(silent.flows), dtype=np.int64)
    groups = group(rows, peers).at_least(2)
    for each in sorted(groups, key=len, reverse=True)[:MAX_HOSTS]:
        found += _of_host(tables, config, silent, each, askers, int(peers[each[0]]))
    return tuple(sorted(found, key=lambda event: event.since_ns))


def _key(tables: Tables, silent: Silences, flip: int) -> IntArray:
    """The host of the side that asked, or of the other."""
    hosts = np.where(silent.askers == (SERVER if flip else CLIENT), host_keys(tables, CLIENT)[silent.flows],
                     host_keys(tables, SERVER)[silent.flows])  # fmt: skip
    return hosts.astype(np.int64)


def _of_host(
    tables: Tables, config: Config, silent: Silences, rows: IntArray, askers: IntArray, peer: int
) -> Iterator[Event]:
    """What happened to one host: the whole of it, or else what each of those who asked it did not hear."""
    everywhere = [host_keys(tables, endpoint) == peer for endpoint in SIDES]
    heard = sightings(tables, (everywhere[0], everywhere[1]))
    others = np.where(everywhere[CLIENT], host_keys(tables, SERVER), host_keys(tables, CLIENT))
    for find in (_gone, _away):
        event = find(config, silent.take(rows), heard.times_ns, peer, "host")
        if event is not None:
            yield event
            continue
        for each in sorted(group(rows, askers[rows]).at_least(2), key=len, reverse=True)[:MAX_HOSTS]:
            between = heard.times_ns[others[heard.flows] == askers[each[0]]]
            event = find(config, silent.take(each), between, peer, "path")
            if event is not None:
                yield event


def _gone(config: Config, silent: Silences, heard: IntArray, peer: int, scope: Literal["host", "path"]) -> Event | None:
    """Nothing came any more although several asked."""
    if not len(heard):
        return None
    last = int(heard[-1])
    lost = silent.take(np.flatnonzero((silent.back_ns < 0) & (silent.last_ns > last)))
    if distinct(lost.flows) < 2 or int(lost.last_ns.max()) - last < to_ns(config.syn_timeout_s):
        return None
    # One that was found dead after its neighbours had gone on is another thing.
    lost = lost.take(np.flatnonzero(lost.asked_ns >= last - to_ns(config.rto_s)))
    if distinct(lost.flows) < 2:
        return None
    return Event(scope=scope, silent=lost, peer=peer, since_ns=last, back_ns=-1)


def _away(config: Config, silent: Silences, heard: IntArray, peer: int, scope: Literal["host", "path"]) -> Event | None:
    """Several were not answered in the same time, and were afterwards; nobody was in that time."""
    back = silent.take(np.flatnonzero(silent.back_ns >= 0))
    if distinct(back.flows) < 2:
        return None
    moment = _most_at_once(back)
    members = back.take(np.flatnonzero((back.asked_ns <= moment) & (back.last_ns >= moment)))
    low, high = int(members.asked_ns.max()), int(members.last_ns.min())
    if distinct(members.flows) < 2 or high - low < to_ns(config.rto_s):
        return None
    if np.searchsorted(heard, high, side="left") > np.searchsorted(heard, low, side="right"):
        return None
    before = np.searchsorted(heard, low, side="right")
    since = int(heard[before - 1]) if before else low
    until = int(members.back_ns.min())
    return Event(scope=scope, silent=members, peer=peer, since_ns=min(since, until), back_ns=until)


def _most_at_once(silent: Silences) -> int:
    """A moment in which the most of them hold."""
    times = np.concatenate((silent.asked_ns, silent.last_ns))
    steps = np.repeat([1, -1], len(silent.flows))
    order = np.lexsort((-steps, times))
    return int(times[order][np.argmax(np.cumsum(steps[order]))])
