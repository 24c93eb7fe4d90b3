"""The hosts of a capture: what each was seen to do, which stack it may run, and what was assumed of it.

A flood has millions of spoofed senders. A host has a row where it completed a handshake, sent payload or a FIN, or
answered a SYN; the others are counted.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import SIDES, indices, side, unique
from pcapflow.anomalies.lookup.groups import host_keys
from pcapflow.anomalies.lookup.habits import ClientPorts, ports_by, time_wait_of
from pcapflow.anomalies.model import Anomaly, BoolArray, IntArray
from pcapflow.config import Config
from pcapflow.diagnosis.model import Incident
from pcapflow.stacks import INITIAL_TTLS, Syn, initial_ttl
from pcapflow.tables.table import Tables
from pcapflow.tcp.completeness import COMPLETE_SYN_ACK
from pcapflow.tcp.marks import MARK_SYN_REPEATED
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.addresses import address_number
from pcapflow.views.stack_guess import Guess, guess

MOST_SHOWN: Final = 200
"""Rows of JSON and report; the table has all."""
_MOST_FORMS: Final = 8
"""Different SYNs of one host that its guess looks at, the most frequent ones."""
_FLOWS_PER_ANOMALY: Final = 20
_LARGEST: Final = np.iinfo(np.int64).max

# A form of a SYN in one number: window (16 bits), order (5), scale (4), initial TTL (2), whole segments (1).
_FORM_BITS: Final = 28


class Host(NamedTuple):
    """One host: an address within its VLAN and tunnel.

    Attributes:
        address: its address.
        vlan: its VLAN, -1 without; of the first of its connections.
        tunnel: code of the tunnel it is in, 0 without.
        as_client, as_server: connections that it opened, and that were opened to it.
        guess: the stack that it may run.
        ttl, hops: with which TTL its packets began, and how many routers they passed at least; -1 unknown.
        timestamps: whether its SYNs bore time stamps: ``yes``, ``no``, ``some``; "" where none passed.
        clock_hz: how quickly the clock of its time stamps ticks, the median of its connections; -1 unknown.
        initial_rto_s: after how long it repeated its first SYN that nobody answered, the median; -1 unknown.
        resets_with, resets_without: its resets with and without time stamps, of connections that have them.
        first_port, last_port: the lowest and the highest port that it took as a client; -1 none.
        ports: which ports it has as a client, and how that is known; ``None`` where it never was one.
        time_wait_s, time_wait_basis: how long its TIME_WAIT lasts: ``configured`` or ``assumed``.
    """

    address: str
    vlan: int
    tunnel: int
    as_client: int
    as_server: int
    guess: Guess
    ttl: int
    hops: int
    timestamps: str
    clock_hz: int
    initial_rto_s: float
    resets_with: int
    resets_without: int
    first_port: int
    last_port: int
    ports: ClientPorts | None
    time_wait_s: float
    time_wait_basis: str


@dataclasses.dataclass(frozen=True)
class Forms:
    """The different SYNs, or SYN-ACKs, of all hosts: those of host ``i`` are at ``starts[i]:starts[i + 1]``."""

    starts: IntArray
    forms: IntArray
    counts: IntArray

    def of(self, host: int) -> tuple[tuple[int, int], ...]:
        """The most frequent ones of a host, and how many there are of each."""
        first, last = int(self.starts[host]), int(self.starts[host + 1])
        forms, counts = self.forms[first:last].tolist(), self.counts[first:last].tolist()
        return tuple(sorted(zip(forms, counts, strict=True), key=lambda form: -form[1])[:_MOST_FORMS])


@dataclasses.dataclass(frozen=True)
class HostTable:
    """All hosts that have a row, the busiest first.

    Attributes:
        tables, config: of the capture.
        flows, endpoints: for each host its first connection, and which side of it the host is.
        columns: figures by name, one for each host.
        syns, syn_acks: the forms of what the host sent.
        others: how many hosts have no row.
    """

    tables: Tables
    config: Config
    flows: IntArray
    endpoints: IntArray
    columns: dict[str, IntArray]
    syns: Forms
    syn_acks: Forms
    others: int

    def __len__(self) -> int:
        return len(self.flows)

    @functools.cached_property
    def rows(self) -> list[Host]:
        """All of them."""
        return self.at(range(len(self)))

    def at(self, places: Iterable[int]) -> list[Host]:
        """The hosts at these places."""
        return [self._host(place) for place in places]

    def place_of(self, address: str) -> int:
        """Where the host with this address is, the busiest of several; -1 nowhere, and for what is no address."""
        return self._places.get(address_number(address), -1)

    @functools.cached_property
    def _places(self) -> dict[tuple[int, int] | None, int]:
        places: dict[tuple[int, int] | None, int] = {}
        halves = (_of_endpoint(self.tables, self.flows, self.endpoints, half).tolist() for half in ("hi", "lo"))
        families = self.tables.flows["family"][self.flows].tolist()
        for place, (family, high, low) in enumerate(zip(families, *halves, strict=True)):
            number = (high & (1 << 64) - 1) << 64 | low & (1 << 64) - 1
            places.setdefault((family, number if family == 6 else number & 0xFFFF_FFFF), place)
        return places

    def _host(self, place: int) -> Host:
        figures = {name: int(column[place]) for name, column in self.columns.items()}
        flow = int(self.flows[place])
        address = self.tables.ip(flow, int(self.endpoints[place]))
        taken = figures.pop("taken")
        ttl = figures.pop("ttl")
        began = initial_ttl(ttl) if ttl >= 0 else -1
        stamped, bare = figures.pop("stamped"), figures.pop("bare")
        seconds, basis = time_wait_of(self.config, address)
        rto_ns = figures.pop("rto_ns")
        return Host(
            address=address,
            vlan=int(self.tables.flows["vlan"][flow]),
            tunnel=int(self.tables.flows["tunnel"][flow]),
            guess=_guess(self.syns.of(place), self.syn_acks.of(place)),
            ttl=began,
            hops=began - ttl if ttl >= 0 else -1,
            timestamps="" if stamped + bare == 0 else "no" if stamped == 0 else "yes" if bare == 0 else "some",
            initial_rto_s=rto_ns / 1e9 if rto_ns >= 0 else -1.0,
            ports=ports_by(self.config, address, figures["first_port"], figures["last_port"], taken) if taken else None,
            time_wait_s=seconds,
            time_wait_basis=basis,
            **figures,
        )


@cached_per_tables
def host_table(tables: Tables, config: Config) -> HostTable:
    """All hosts of a capture; it takes a few sorts of its connections, however many hosts there are."""
    keys = [host_keys(tables, endpoint) for endpoint in SIDES]
    known = unique(np.concatenate([keys[endpoint][_shows_itself(tables, endpoint)] for endpoint in SIDES]))
    count = len(known)
    members = [_members(known, keys[endpoint]) for endpoint in SIDES]
    others = len(unique(np.concatenate([np.delete(keys[endpoint], members[endpoint][0]) for endpoint in SIDES])))
    first = np.full((2, count), _LARGEST, dtype=np.int64)
    for endpoint, (flows, hosts) in enumerate(members):
        first[endpoint, hosts[::-1]] = flows[::-1]
    columns = _columns(tables, members, count)
    flows = first.min(axis=0)
    endpoints = np.where(first[CLIENT] <= first[SERVER], CLIENT, SERVER)
    order = np.lexsort((endpoints, flows, -(columns["as_client"] + columns["as_server"])))
    rank = np.empty(count, dtype=np.int64)
    rank[order] = np.arange(count)
    syns, syn_acks = (
        _forms(tables, endpoint, flows_of, rank[hosts], count) for endpoint, (flows_of, hosts) in enumerate(members)
    )
    return HostTable(
        tables=tables,
        config=config,
        flows=flows[order],
        endpoints=endpoints[order],
        columns={name: column[order] for name, column in columns.items()},
        syns=syns,
        syn_acks=syn_acks,
        others=others,
    )


def shown_hosts(
    table: HostTable, anomalies: Sequence[Anomaly], incidents: Sequence[Incident], most: int = MOST_SHOWN
) -> list[Host]:
    """The hosts that incidents and anomalies name, and then the busiest others, at most so many; the busiest first."""
    places: dict[int, None] = {}
    named = [table.place_of(address) for incident in incidents for address in incident.hosts]
    for anomaly in anomalies:
        for flow in (anomaly.flow, *anomaly.flows[:_FLOWS_PER_ANOMALY]) if len(named) < most * 10 else ():
            if flow >= 0:
                named += [table.place_of(table.tables.ip(flow, endpoint)) for endpoint in SIDES]
    for place in (*named, *range(min(len(table), most))):
        if place >= 0 and len(places) < most:
            places[place] = None
    return table.at(sorted(places))


def _of_endpoint(tables: Tables, flows: IntArray, endpoints: IntArray, name: str) -> IntArray:
    both = [side(tables.flows, endpoint, name)[flows] for endpoint in SIDES]
    return np.where(endpoints == CLIENT, *both)


def _shows_itself(tables: Tables, endpoint: int) -> BoolArray:
    """In which connections this side did what no spoofed address does: it answered, or said something."""
    f = tables.flows
    does: BoolArray = side(f, endpoint, "bytes") > 0
    does |= side(f, endpoint, "fins") > 0
    if endpoint == SERVER:
        # Of a connection whose SYN is missing the completeness does not count a SYN-ACK.
        does |= (f["completeness"] & COMPLETE_SYN_ACK) > 0
        does |= side(f, endpoint, "syn_form") >= 0
    else:
        does |= side(f, endpoint, "acked") >= 1
    return does


def _members(known: IntArray, keys: IntArray) -> tuple[IntArray, IntArray]:
    """The connections of which one side is a known host, and the number of that host."""
    if not len(known):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    places = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    flows = indices(known[places] == keys)
    return flows, places[flows]


def _columns(tables: Tables, members: Sequence[tuple[IntArray, IntArray]], count: int) -> dict[str, IntArray]:
    f = tables.flows
    totals = ("stamped", "bare", "resets_with", "resets_without")
    columns = {name: np.zeros(count, dtype=np.int64) for name in totals}
    columns["ttl"] = np.full(count, -1, dtype=np.int64)
    both_stamp = (f["client_timestamps"] == 1) & (f["server_timestamps"] == 1)
    for endpoint, name in ((CLIENT, "as_client"), (SERVER, "as_server")):
        flows, hosts = members[endpoint]
        columns[name] = np.bincount(hosts, minlength=count)
        np.maximum.at(columns["ttl"], hosts, side(f, endpoint, "ttl")[flows])
        stamps, has_syn = side(f, endpoint, "timestamps")[flows], side(f, endpoint, "syn_form")[flows] >= 0
        reset = (f["reset_by"][flows] == endpoint) & (f["reset_frame"][flows] >= 0) & both_stamp[flows]
        options = f["reset_options"][flows]
        for total, mask in zip(
            totals,
            (has_syn & (stamps == 1), has_syn & (stamps == 0), reset & (options == 1), reset & (options == 0)),
            strict=True,
        ):
            columns[total] += np.bincount(hosts[mask], minlength=count)
    clocks = [side(f, endpoint, "clock_hz")[members[endpoint][0]] for endpoint in SIDES]
    columns["clock_hz"] = _medians(np.concatenate([hosts for _, hosts in members]), np.concatenate(clocks), count)
    columns["rto_ns"] = _medians(members[CLIENT][1], _first_repeats(tables)[members[CLIENT][0]], count)
    return columns | _ports(tables, *members[CLIENT], count)


def _ports(tables: Tables, flows: IntArray, hosts: IntArray, count: int) -> dict[str, IntArray]:
    """The lowest and the highest port that each host took as a client, -1 none, and how many different ones."""
    taken = unique(hosts << 16 | side(tables.flows, CLIENT, "port")[flows])
    hosts, ports = taken >> 16, taken & 0xFFFF
    lowest, highest = np.full(count, -1, dtype=np.int64), np.full(count, -1, dtype=np.int64)
    lowest[hosts[::-1]] = ports[::-1]
    highest[hosts] = ports
    return {"first_port": lowest, "last_port": highest, "taken": np.bincount(hosts, minlength=count)}


def _first_repeats(tables: Tables) -> IntArray:
    """For each connection after how many nanoseconds the client repeated a SYN that nobody had answered; -1 never."""
    f, m = tables.flows, tables.marks
    after = np.full(len(f), -1, dtype=np.int64)
    rows = np.flatnonzero((m["mark"] == MARK_SYN_REPEATED) & (m["endpoint"] == CLIENT))
    flows = m["flow"][rows]
    # Marks are in order of frames: the first of each connection is written last.
    rows, flows = rows[::-1], flows[::-1]
    answered = f["server_first_frame"][flows]
    counts = (f["client_first_frame"][flows] == f["first_frame"][flows]) & (f["midstream"][flows] == 0)
    counts &= (answered < 0) | (answered > m["frame"][rows])
    after[flows] = np.where(counts, m["time_ns"][rows] - f["start_ns"][flows], -1)
    return after


def _medians(hosts: IntArray, values: IntArray, count: int) -> IntArray:
    """The (lower) median of each host's values that are there; -1 where it has none."""
    there = values >= 0
    hosts, values = hosts[there], values[there]
    values = values[np.lexsort((values, hosts))]
    sizes = np.bincount(hosts, minlength=count)
    medians = np.full(count, -1, dtype=np.int64)
    some = np.flatnonzero(sizes)
    starts = np.cumsum(sizes) - sizes
    medians[some] = values[starts[some] + (sizes[some] - 1) // 2]
    return medians


def _forms(tables: Tables, endpoint: int, flows: IntArray, hosts: IntArray, count: int) -> Forms:
    """What the SYNs of one side look like, by host."""
    f = tables.flows
    form = side(f, endpoint, "syn_form")[flows]
    sent = form >= 0
    flows, hosts, form = flows[sent], hosts[sent], form[sent]
    mss, ttl = side(f, endpoint, "mss")[flows], side(f, endpoint, "ttl")[flows]
    whole = (mss > 0) & ((form & 0xFFFF) % np.maximum(mss, 1) == 0)
    form |= (side(f, endpoint, "wscale")[flows] & 0xF) << 21
    form |= np.searchsorted(INITIAL_TTLS[:-1], ttl) << 25
    form |= whole.astype(np.int64) << 27
    every = np.sort(hosts << _FORM_BITS | form)
    edges = np.flatnonzero(np.concatenate(([True], every[1:] != every[:-1]))) if len(every) else indices(whole)
    found = every[edges]
    sizes = np.bincount(found >> _FORM_BITS, minlength=count)
    return Forms(
        starts=np.concatenate(([0], np.cumsum(sizes))),
        forms=found & (1 << _FORM_BITS) - 1,
        counts=np.diff(np.append(edges, len(every))),
    )


@functools.lru_cache(1 << 12)
def _guess(syns: tuple[tuple[int, int], ...], syn_acks: tuple[tuple[int, int], ...]) -> Guess:
    return guess([(_syn(form), count) for form, count in syns], [(_syn(form), count) for form, count in syn_acks])


def _syn(form: int) -> Syn:
    return Syn(
        order=form >> 16 & 0x1F,
        ttl=INITIAL_TTLS[form >> 25 & 3],
        window=form & 0xFFFF,
        scale=form >> 21 & 0xF,
        is_whole=bool(form >> 27),
    )
