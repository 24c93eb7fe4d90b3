"""PI105: nothing listens on a port."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frames, proof
from pcapflow.anomalies.lookup.columns import SIDES, among, indices, side
from pcapflow.anomalies.lookup.groups import host_keys
from pcapflow.anomalies.model import CERTAIN, LIKELY, IntArray, Severity
from pcapflow.anomalies.resets.ttl import usual_ttls
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.hosts import Hosts
from pcapflow.diagnosis.model import Blame, Explanation, Observation, Remedy
from pcapflow.diagnosis.pattern import pattern
from pcapflow.diagnosis.rejections import forged_refusals
from pcapflow.tcp.completeness import COMPLETE_SYN_ACK
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, duration, listed, number
from pcapflow.text.times import time_of_day

_EXPLAINED: Final = ("PF102", "PF301")
_INSISTED: Final = 3
"""Who tries this often needs the service: it is missed. One or two attempts may be a look whether it is there."""
_NONE: Final = np.zeros(0, dtype=np.int64)
_NAMED: Final = 5
"""Ports that are named; more are counted."""


@pattern("PI105", "refused-port", title="Nothing listens on the port")
def refused_port(case: Case) -> Sequence[Explanation]:
    """Connection attempts were refused by a server's host, because no program listens on the port.

    Seen: SYNs to one address and port that were answered with a RST of that host, and no SYN-ACK from it. Several such
        ports of a host are one incident where one client tried them all, or where the host accepted nothing at all.
    Unless: the port accepted a connection before or afterwards (then it was restarted or crashed), the RST has another
        TTL than the host's other packets (then a device answers for it, PI404), or one client tried many ports (a
        scan). Clients that were let in at once over the other IP version miss nothing: that is information.
    Means: the program is not running, listens on another port, or only on another address (such as 127.0.0.1).
    Do:
        Server: look with `ss -ltn` whether the program listens on this address and port, and start it or mend its
            bind address.
        Client: check host name and port in its configuration.
    Else: a firewall that rejects with a RST looks the same where the host was not heard otherwise.
    Source: RFC 9293, 3.10.7.1; Linux tcp_v4_send_reset, SK_RST_REASON_NO_SOCKET.
    """
    refusals = case.flows_of(case.anomalies_of("PF102"))
    refusals = refusals[~among(refusals, forged_refusals(case))]
    explanations = []
    accepted = _accepted(case, refusals)
    hosts = host_keys(case.tables, SERVER)
    for of_host in case.by_host(refusals, SERVER).at_least(1):
        ports = [each for each in case.by_server(of_host).at_least(1) if not _has_listener(case, each)]
        ports.sort(key=lambda each: (-len(each), int(each[0])))
        served = accepted.get(int(hosts[of_host[0]]), _NONE)
        if len(ports) > 1 and (not len(served) or _common_clients(case, ports)):
            explanations.append(_explanation(case, ports, served))
        else:
            explanations += [_explanation(case, [each], served) for each in ports]
    return explanations


def _accepted(case: Case, refusals: IntArray) -> dict[int, IntArray]:
    """By host: the connections that the hosts of these accepted, on whichever port."""
    hosts = host_keys(case.tables, SERVER)
    flows = indices(side(case.tables.flows, SERVER, "syns") > 0)
    flows = flows[among(hosts[flows], hosts[refusals])]
    return {int(hosts[each[0]]): each for each in case.by_host(flows, SERVER).at_least(1)}


def _has_listener(case: Case, flows: IntArray) -> bool:
    everyone = case.same_server(int(flows[0]))
    return bool(np.any(case.column("completeness")[everyone] & COMPLETE_SYN_ACK))


def _common_clients(case: Case, ports: Sequence[IntArray]) -> bool:
    """Whether one client tried all these ports: it misses several programs of the host, or means another host."""
    clients = host_keys(case.tables, CLIENT)
    return bool(set[int].intersection(*(set(clients[flows].tolist()) for flows in ports)))


def _explanation(case: Case, ports: Sequence[IntArray], served: IntArray) -> Explanation:
    tables = case.tables
    flows = np.sort(np.concatenate(ports))
    host = tables.ip(int(flows[0]), SERVER)
    servers = [tables.server(int(each[0])) for each in ports]
    where = servers[0] if len(servers) == 1 else _ports(case, ports, host)
    explains = case.anomalies_of(*_EXPLAINED, flows=flows)
    let_in = _let_in(case, flows)
    itself = not len(served) and _is_itself(case, flows)
    missed = max(len(each) - int(np.count_nonzero(among(each, case.flows_of(let_in)))) for each in ports)
    starts = case.column("start_ns")[flows]
    first = int(starts.min())
    clients = case.hosts(flows, CLIENT)
    return Explanation(
        severity=Severity.MEDIUM if missed >= _INSISTED else Severity.LOW if missed else Severity.INFO,
        confidence=CERTAIN if any(case.anomalies[place].confidence == CERTAIN for place in explains) else LIKELY,
        headline=f"Nothing listens on {where}: {_tried(clients, len(flows), first, int(starts.max()))}.",
        blame=Blame("endpoint", servers[0], "server") if len(servers) == 1 else Blame("host", host, "server"),
        start_ns=first,
        end_ns=int(case.column("end_ns")[flows].max()),
        flows=named(flows),
        count=len(flows),
        hosts=(host, *clients),
        explains=frozenset(explains),
        why=(
            *_answers(case, ports, servers),
            *_then_let_in(case, let_in),
            _elsewhere(case, host, served),
            *([_itself(case, flows, host)] if itself else []),
        ),
        against=() if len(served) else (_looks_alike(case, flows, host, itself=itself),),
        remedy=(
            Remedy(
                "Server",
                f"see with `ss -ltnp` on {host} whether {'the program is' if len(ports) == 1 else 'the programs are'} "
                "there, and on which addresses (127.0.0.1 alone is not enough); start what is missing, or mend its "
                "bind address",
            ),
            Remedy("Client", f"check the host name and port in the configuration of {clients.listed(2)}"),
        ),
    )


def _is_itself(case: Case, flows: IntArray) -> bool:
    """Whether each RST has the TTL that the other packets of its host have: then no device before it sent them."""
    ttls = case.column("reset_ttl")[flows]
    return bool(np.all((ttls >= 0) & (ttls == usual_ttls(case.tables, flows, np.full(len(flows), SERVER)))))


def _itself(case: Case, flows: IntArray, host: str) -> Observation:
    frames = case.frames("reset_frame", flows)
    field = "TTL" if int(case.column("family")[flows[0]]) == 4 else "TTL (hop limit)"
    text = f"{host} sent the RST itself: its {field} of {int(case.column('reset_ttl')[flows[0]])} is that of its others"
    return Observation(f"{text}{in_frames(frames)}", frames)


def _looks_alike(case: Case, flows: IntArray, host: str, *, itself: bool) -> str:
    if itself:
        return f"a rule of {host}'s own firewall that rejects with a RST looks the same"
    f, key = case.tables.flows, host_keys(case.tables, SERVER)[flows[0]]
    heard = any(
        np.any((host_keys(case.tables, e) == key) & (side(f, e, "packets") > side(f, e, "rsts"))) for e in SIDES
    )
    end = "" if heard else ": the host is not heard otherwise"
    return f"a firewall before {host} that rejects with a RST looks the same{end}"


def _let_in(case: Case, flows: IntArray) -> list[int]:
    """The refusals whose client tried the other address of the name at once, and got in there."""
    places = case.anomalies_of("PF102", flows=flows)
    return [place for place in places if case.anomalies[place].severity is Severity.INFO]


def _then_let_in(case: Case, let_in: list[int]) -> Iterator[Observation]:
    if let_in:
        # The last frame of each is the SYN over the other IP version.
        frames = proof(case.anomalies[place].frames[-1] for place in let_in)
        tried = counted(len(let_in), "attempt")
        yield Observation(f"{tried} went on at once over the other IP version, and got in{in_frames(frames)}", frames)


def _ports(case: Case, ports: Sequence[IntArray], host: str) -> str:
    """``3 ports of 10.0.0.2 (80, 81 and 82)``."""
    numbers = sorted(int(case.column("server_port")[each[0]]) for each in ports)
    return f"{counted(len(ports), 'port')} of {host} ({listed([str(port) for port in numbers], _NAMED)})"


def _tried(clients: Hosts, attempts: int, first_ns: int, last_ns: int) -> str:
    when, whose = time_of_day(first_ns), clients.listed(2)
    if attempts == 1:
        return f"the one attempt of {whose} was refused, at {when}"
    all_of_them = "both" if attempts == 2 else "all"
    span = duration(last_ns - first_ns)
    return f"{number(attempts)} attempts of {whose} within {span} were {all_of_them} refused, since {when}"


def _answers(case: Case, ports: Sequence[IntArray], servers: Sequence[str]) -> Iterator[Observation]:
    for flows, server in list(zip(ports, servers, strict=True))[:_NAMED]:
        everyone = case.same_server(int(flows[0]))
        frames = case.frames("reset_frame", flows)
        yield Observation(
            f"{server} answered {number(len(flows))} of {counted(len(everyone), 'attempt')} by a RST and none by a "
            f"SYN-ACK{in_frames(frames)}", frames,
        )  # fmt: skip


def _elsewhere(case: Case, host: str, served: IntArray) -> Observation:
    """What the host accepted on other ports: where it did, it is up, and only this program is missing."""
    if not len(served):
        return Observation(f"{host} accepted no connection on any port in this capture")
    names = list(dict.fromkeys(case.tables.server(flow) for flow in served[:100].tolist()))
    frames = case.frames("server_first_frame", served[:4])
    text = f"the host is up: it accepted {counted(len(served), 'connection')} on {listed(names, 3)}"
    return Observation(f"{text}{in_frames(frames)}", frames)
