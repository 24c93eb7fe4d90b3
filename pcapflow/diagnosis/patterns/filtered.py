"""PI405: attempts to connect vanish without an answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

import numpy as np

from pcapflow.anomalies.capture_quality import quality
from pcapflow.anomalies.cite import in_frames
from pcapflow.anomalies.lookup.columns import SIDES, among, indices, side
from pcapflow.anomalies.lookup.groups import group, host_keys, server_keys
from pcapflow.anomalies.lookup.timeline import count_marks
from pcapflow.anomalies.model import LIKELY, POSSIBLE, IntArray, Severity
from pcapflow.anomalies.opening.scans import scanned
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.model import Blame, Explanation, Observation, Remedy
from pcapflow.diagnosis.paths import MAX_PATHS, blamed, path_of, ports_of, server_and_ports
from pcapflow.diagnosis.pattern import pattern
from pcapflow.tcp import marks
from pcapflow.tcp.completeness import COMPLETE_ACK
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, duration
from pcapflow.text.times import time_of_day

_INSISTED: Final = 3
"""SYNs without an answer: who sends so many needs the service."""
_TRIED: Final = 2
"""Attempts of a client that all fail while others succeed: one may be chance."""


@pattern("PI405", "filtered", title="Connection attempts vanish without an answer")
def filtered(case: Case) -> Sequence[Explanation]:
    """Attempts to connect had no answer at all: something drops them, or nobody is there.

    Seen: SYNs to a port that were never answered, although sent again, while the same host answered on other ports, or
        the same port answered other clients all the time; or of a host that nothing was ever heard of. Or SYN-ACKs
        that were sent again and again, while the client went on to repeat its SYN and said nothing else.
    Unless: the port answered the same client at another time (PI103, PI401), the host fell silent before (PI401), one
        client tried many ports or hosts (a scan), or many addresses sent SYNs at once (a flood). Of SYN-ACKs: the
        client completed a handshake with that port (loss, or a program that does not accept).
    Means: a rule on the way, or on the server's host, drops what is sent to the port: the client learns nothing and
        waits until it gives up. Where nothing of the host is heard, it may be down or the address may be wrong as well.
    Do:
        Network: look for the rule that drops; one that rejects would tell clients at once.
        Server: see with `tcpdump` whether the SYNs arrive; if they do, its own firewall drops them.
        Client: check address and port.
    Else: the answers were lost, or take a way that the capture does not see.
    Source: RFC 9293, 3.10.7.3; nmap's reference guide ("filtered"); RFC 1122, 4.2.3.5.
    """
    silent = [place for place in case.anomalies_of("PF101") if case.anomalies[place].severity > Severity.INFO]
    found = sorted(_blocked(case, case.flows_of(silent)), key=lambda each: -len(each.flows))[:MAX_PATHS]
    lost = sorted(_answers_lost(case), key=len, reverse=True)[:MAX_PATHS]
    return [*(_explanation(case, each) for each in found), *(_of_answers(case, each) for each in lost)]


class _Blocked(NamedTuple):
    """Attempts that vanished: because of their port, of their client, or of a host that is never heard."""

    flows: IntArray
    why: Literal["port", "client", "host"]
    works: IntArray


def _blocked(case: Case, flows: IntArray) -> Iterator[_Blocked]:
    f = case.tables.flows
    clients, servers = host_keys(case.tables, CLIENT), host_keys(case.tables, SERVER)
    for attempts in case.by_host(flows, SERVER).at_least(1):
        host = servers[attempts[0]]
        heard = [np.flatnonzero((which == host) & (side(f, e, "packets") > 0))
                 for e, which in zip(SIDES, (clients, servers), strict=True)]  # fmt: skip
        if not any(map(len, heard)):
            yield _Blocked(attempts, "host", np.zeros(0, dtype=np.int64))
            continue
        answered = heard[SERVER].astype(np.int64)
        closed: list[IntArray] = []
        for each in case.by_server(attempts).at_least(1):
            same = answered[among(server_keys(case.tables)[answered], server_keys(case.tables)[each[:1]])]
            if len(same):
                yield from _of_clients(case, each, same)
            else:
                closed.append(each)
        if not closed:
            continue
        every = np.sort(np.concatenate(closed))
        first = int(f["start_ns"][every].min())
        alive = max(int(side(f, e, "last_ns")[heard[e]].max(initial=-1)) for e in SIDES)
        if alive > first:
            late = answered[side(f, SERVER, "last_ns")[answered] > first]
            yield _Blocked(every, "port", late)


def _of_clients(case: Case, attempts: IntArray, answered: IntArray) -> Iterator[_Blocked]:
    """Clients that one port never answers, while it answers others all the time."""
    f = case.tables.flows
    clients = host_keys(case.tables, CLIENT)
    alike = attempts[~among(clients[attempts], clients[answered])]
    chosen = group(alike, clients[alike]).at_least(_TRIED)
    if not chosen:
        return
    every = np.sort(np.concatenate(chosen))
    first, last = int(f["start_ns"][every].min()), int(side(f, CLIENT, "last_ns")[every].max())
    meanwhile = answered[(f["start_ns"][answered] >= first) & (f["start_ns"][answered] <= last)]
    # Others must have had no trouble with it: a full queue turns away whoever comes.
    again = count_marks(case.tables, marks.MARK_SYN_REPEATED, endpoint=CLIENT)
    failed = len(attempts) > len(every)
    if len(meanwhile) >= _TRIED and not failed and not np.any(again[meanwhile] > 0):
        yield _Blocked(every, "client", meanwhile)


def _explanation(case: Case, found: _Blocked) -> Explanation:
    flows, tables = found.flows, case.tables
    f = tables.flows
    start = int(f["start_ns"][flows].min())
    syns = int(side(f, CLIENT, "syns")[flows].sum())
    clients, host = case.hosts(flows, CLIENT), tables.ip(int(flows[0]), SERVER)
    where, path = server_and_ports(case, flows), path_of(case, flows)
    frames = case.frames("first_frame", flows)
    span = int(side(f, CLIENT, "last_ns")[flows].max()) - start
    meanwhile = (
        f"over {duration(span)}" if span else f"in the {duration(tables.capture.last_ns - start)} that were left"
    )
    return Explanation(
        severity=Severity.MEDIUM if syns >= _INSISTED else Severity.LOW,
        confidence=POSSIBLE if found.why == "host" else LIKELY,
        headline=_headline(case, found, host, where, clients.listed(2), time_of_day(start)),
        blame=Blame("endpoint", where, "server") if found.why == "host" else blamed(path),
        start_ns=start,
        end_ns=int(f["end_ns"][flows].max()),
        flows=named(flows),
        count=len(flows),
        hosts=(host, *clients)[:20],
        explains=frozenset(case.anomalies_of(flows=flows)),
        why=(
            Observation(
                f"{counted(syns, 'SYN')} of {counted(len(flows), 'attempt')} to {where} had no answer "
                f"{meanwhile}{in_frames(frames)}",
                frames,
            ),
            _contrast(case, found, host),
        ),
        against=_against(case, found, host),
        remedy=_remedy(found, path, host, where, clients.listed(2)),
    )


def _headline(case: Case, found: _Blocked, host: str, where: str, whose: str, since: str) -> str:
    tries = counted(len(found.flows), "attempt")
    if found.why == "host":
        return (
            f"{where} does not answer: {host} is down, the address is wrong, or what {whose} sends it is dropped; "
            f"{tries} since {since}."
        )
    if found.why == "client":
        return (
            f"What {whose} sends to {where} is dropped: {tries} since {since} had no answer, while others are served."
        )
    answers = (
        f"{host} answers on port {ports_of(case, found.works)}" if len(found.works) else f"{host} was heard as a client"
    )
    return f"What is sent to {where} is dropped: {tries} of {whose} since {since} had no answer, while {answers}."


def _contrast(case: Case, found: _Blocked, host: str) -> Observation:
    if found.why == "host":
        return Observation(f"nothing of {host} is in this capture, on any port")
    works = found.works
    frames = case.frames("server_first_frame", works)
    if found.why == "client":
        whom = case.hosts(works, CLIENT).listed(3)
        text = f"meanwhile the same port accepted {counted(len(works), 'connection')} of {whom} at the first SYN"
        return Observation(text + in_frames(frames), frames)
    if not len(works):
        return Observation(f"meanwhile {host} was heard as a client of others")
    return Observation(
        f"meanwhile {host} was heard on {counted(len(works), 'connection')} to port "
        f"{ports_of(case, works)}{in_frames(frames)}",
        frames,
    )


def _against(case: Case, found: _Blocked, host: str) -> tuple[str, ...]:
    against = []
    if found.why == "port":
        against.append(f"a program on {host} whose queue of connections is full from the beginning looks the same")
    if quality(case.tables).two_way == 0:
        against.append("no answer of anybody is in this capture: it may lack that direction")
    return tuple(against)


def _remedy(found: _Blocked, path: str, host: str, where: str, whose: str) -> tuple[Remedy, ...]:
    port = where.rpartition(":")[2] if "(" not in where else "PORT"
    arrives = f"see with `tcpdump -ni any tcp port {port}` on {host} whether the SYNs arrive"
    if found.why == "host":
        return (
            Remedy("Client", f"check that {host} is the right address, e.g. in DNS and in its configuration"),
            Remedy("Server", f"see whether {host} is up; if so, {arrives}"),
            Remedy("Network", f"look for a rule or a missing route on {path}"),
        )
    return (
        Remedy("Server", f"{arrives}: if they do, its own firewall drops them (`nft list ruleset`, `iptables -L`)"),
        Remedy("Network", f"if they do not, look on {path} for the rule that drops {whose} to {where}; let it reject "
               "instead (`reject with tcp reset`), so that clients learn at once"),
    )  # fmt: skip


def _answers_lost(case: Case) -> Iterator[IntArray]:
    """Attempts of one host at one port, of which each drew SYN-ACKs that never arrived: it still repeats its SYN."""
    f = case.tables.flows
    deaf = (side(f, CLIENT, "syns") >= _TRIED) & (side(f, CLIENT, "packets") == side(f, CLIENT, "syns"))
    deaf &= (side(f, SERVER, "syns") >= _INSISTED) & (side(f, SERVER, "packets") == side(f, SERVER, "syns"))
    if not deaf.any():
        return
    deaf &= ~scanned(case.tables, case.config)
    for of_server in case.by_server(indices(deaf)).at_least(1):
        if case.count_hosts(of_server, CLIENT) >= case.config.flood_hosts:
            continue
        everyone = case.same_server(int(of_server[0]))
        for flows in case.by_host(of_server, CLIENT).at_least(1):
            peers = case.same_client(int(flows[0]), everyone)
            if not np.any(case.column("completeness")[peers] & COMPLETE_ACK):
                yield flows


def _of_answers(case: Case, flows: IntArray) -> Explanation:
    tables, f = case.tables, case.tables.flows
    where, client, path = tables.server(int(flows[0])), tables.ip(int(flows[0]), CLIENT), path_of(case, flows)
    start = int(f["start_ns"][flows].min())
    syns, syn_acks = int(side(f, CLIENT, "syns")[flows].sum()), int(side(f, SERVER, "syns")[flows].sum())
    frames = case.frames("server_first_frame", flows)
    return Explanation(
        severity=Severity.MEDIUM if syns >= _INSISTED else Severity.LOW,
        confidence=LIKELY,
        headline=(
            f"What {where} answers to {client} is dropped: {counted(len(flows), 'attempt')} since "
            f"{time_of_day(start)} drew SYN-ACKs that did not arrive."
        ),
        blame=blamed(path),
        start_ns=start,
        end_ns=int(f["end_ns"][flows].max()),
        flows=named(flows),
        count=len(flows),
        hosts=(tables.ip(int(flows[0]), SERVER), client),
        explains=frozenset(case.anomalies_of(flows=flows)),
        why=(
            Observation(
                f"{where} sent {counted(syn_acks, 'SYN-ACK')}, and {client} repeated its SYN all the same, "
                f"{counted(syns, 'SYN')} in all, and acknowledged nothing{in_frames(frames)}",
                frames,
            ),
            _between_the_same(case, flows),
        ),
        against=(f"the SYNs may bear a forged address: then {client} never asked for anything",),
        remedy=(
            Remedy("Network", f"look on {path} for the rule that drops what comes from {where}, or for a way back that "
                   "differs from the way there (asymmetric routing past a firewall that follows connections)"),
            Remedy("Client", f"see with `tcpdump` on {client} whether the SYN-ACKs arrive: if so, its firewall drops "
                   "them"),
        ),
    )  # fmt: skip


def _between_the_same(case: Case, flows: IntArray) -> Observation:
    """Which connections between the same hosts came about."""
    f = case.tables.flows
    hosts = [host_keys(case.tables, endpoint) for endpoint in SIDES]
    same = (hosts[CLIENT] == hosts[CLIENT][flows[0]]) & (hosts[SERVER] == hosts[SERVER][flows[0]])
    works = indices(same & ((f["completeness"] & COMPLETE_ACK) > 0))
    if not len(works):
        return Observation("no connection between these hosts came about")
    frames = case.frames("server_first_frame", works)
    text = f"{counted(len(works), 'connection')} between the same hosts came about, to port {ports_of(case, works)}"
    return Observation(text + in_frames(frames), frames)
