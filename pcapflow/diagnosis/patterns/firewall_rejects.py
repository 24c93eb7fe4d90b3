"""PI404: a firewall rejects connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frames
from pcapflow.anomalies.lookup.columns import among
from pcapflow.anomalies.lookup.groups import host_keys, server_keys
from pcapflow.anomalies.model import CERTAIN, LIKELY, IntArray, Severity
from pcapflow.anomalies.resets.ttl import usual_ttls
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.hosts import Hosts
from pcapflow.diagnosis.icmp_messages import observed
from pcapflow.diagnosis.model import Blame, Explanation, Observation, Remedy
from pcapflow.diagnosis.paths import MAX_PATHS, blamed, path_of, ports_of, server_and_ports
from pcapflow.diagnosis.pattern import pattern
from pcapflow.diagnosis.rejections import Rejection, accepted, rejections
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted
from pcapflow.text.times import time_of_day

_INSISTED: Final = 3
"""Who tries this often needs the service."""


@pattern("PI404", "firewall-rejects", title="A firewall rejects connections")
def firewall_rejects(case: Case) -> Sequence[Explanation]:
    """Something on the path, or a firewall of the server's host, rejects connections to some ports or of some hosts.

    Seen: attempts that drew a RST in the server's name with another TTL (hop limit) than all else of its host, as did
        the first words on several connections to it; or an ICMP error that says that it is prohibited, that the port
        cannot be reached, or that a host cannot be reached which answers others.
    Unless: the RST has the TTL of the host's other packets (then nothing listens there, PI105), one client tried many
        ports (a scan), or the host is not heard by anybody (PI401).
    Means: the service may run well; a rule decides that this client, or nobody, may reach it.
    Do:
        Network: look in the rules of the device that is named for this address and port, and in its log at that time.
        Server: if the message came of the host itself, look at its own rules: `nft list ruleset`,
            `iptables -L -n -v`.
        Client: see whether it should come from another address or by another way (a VPN, a proxy).
    Else: a device that answers for hosts that are down, or an address that has moved to another host.
    Source: RFC 1812, 5.2.7.1; RFC 4443, 3.1; nft(8), reject statement.
    """
    found = sorted(rejections(case), key=lambda each: -len(each.flows))[:MAX_PATHS]
    return [_explanation(case, each) for each in found]


def _explanation(case: Case, found: Rejection) -> Explanation:
    flows, tables = found.flows, case.tables
    starts = case.column("start_ns")[flows]
    first = int(starts.min())
    clients = case.hosts(flows, CLIENT)
    host = tables.ip(int(flows[0]), SERVER)
    where = server_and_ports(case, flows)
    path = path_of(case, flows)
    itself = found.sender == host
    return Explanation(
        severity=Severity.MEDIUM if len(flows) >= _INSISTED else Severity.LOW,
        confidence=CERTAIN if found.sender else LIKELY,
        headline=_headline(case, found, where, clients.listed(2), first),
        blame=Blame("host", host, "server") if itself
        else blamed(f"the router {found.sender} on {path}" if found.sender else path),
        start_ns=first,
        end_ns=int(case.column("end_ns")[flows].max()),
        flows=named(flows),
        count=len(flows),
        hosts=(host, *clients)[:20],
        explains=frozenset(case.anomalies_of(flows=flows)),
        why=(
            *(observed(case, found.icmp) if found.sender else _resets(case, found)),
            *_others(case, flows),
        ),
        against=() if found.sender else (
            f"{host} may answer by several paths of different lengths, or another host may have its address",
        ),
        remedy=_remedy(found, path, where, clients, first, itself=itself),
    )  # fmt: skip


def _headline(case: Case, found: Rejection, where: str, whose: str, first_ns: int) -> str:
    tries = f"{counted(len(found.flows), 'attempt')} since {time_of_day(first_ns)}"
    if found.opened:
        return (
            f"A firewall rejects what {whose} says to {where}: {counted(len(found.flows), 'connection')} since "
            f"{time_of_day(first_ns)} drew RSTs in the server's name with a TTL that is not its own."
        )
    if not found.sender:
        ttl, usual = _ttls(case, found.flows)
        return (
            f"A firewall rejects connections of {whose} to {where}: {tries} were answered by RSTs in the server's "
            f"name, with a TTL of {ttl} where its other packets have {usual}."
        )
    is_host = found.sender == case.tables.ip(int(found.flows[0]), SERVER)
    who = "A firewall on the host" if is_host else f"The router {found.sender}"
    return f"{who} rejects connections of {whose} to {where} by ICMP ({found.icmp[0].text}): {tries}."


def _ttls(case: Case, flows: IntArray) -> tuple[int, int]:
    """The TTL of the first RST, and that of its host's other packets."""
    usual = usual_ttls(case.tables, flows, np.full(len(flows), SERVER))
    return int(case.column("reset_ttl")[flows[0]]), int(usual[0])


def _resets(case: Case, found: Rejection) -> list[Observation]:
    flows = found.flows
    ttl, usual = _ttls(case, flows)
    frames = case.frames("reset_frame", flows)
    host = case.tables.ip(int(flows[0]), SERVER)
    drew = counted(len(flows), "first request" if found.opened else "SYN")
    field = "TTL" if int(case.column("family")[flows[0]]) == 4 else "TTL (hop limit)"
    return [
        Observation(
            f"{drew} drew a RST whose {field} is {ttl}; that of all other packets of {host} is "
            f"{usual}{in_frames(frames)}",
            frames,
        )
    ]


def _others(case: Case, flows: IntArray) -> list[Observation]:
    """Which ports of the host, or which clients of the port, were served."""
    works = accepted(case, flows)
    works = works[~among(works, flows)]
    if not len(works):
        return [Observation("no connection to that host was accepted in this capture")]
    frames = case.frames("server_first_frame", works)
    servers, clients = server_keys(case.tables), host_keys(case.tables, CLIENT)
    same_port = works[among(servers[works], servers[flows])]
    found = []
    if len(same_port):
        others = same_port[~among(clients[same_port], clients[flows])]
        whom = case.hosts(others if len(others) else same_port, CLIENT)
        found.append(
            Observation(
                f"the same port accepted {counted(len(same_port), 'connection')} of "
                f"{whom.listed(3)}{in_frames(frames)}",
                frames,
            )
        )
    else:
        found.append(
            Observation(
                f"on port {ports_of(case, works)} the same host accepted "
                f"{counted(len(works), 'connection')}{in_frames(frames)}",
                frames,
            )
        )
    return found


def _remedy(
    found: Rejection, path: str, where: str, clients: Hosts, first_ns: int, *, itself: bool
) -> tuple[Remedy, ...]:
    rule = f"the rule that rejects {clients.listed(2)} to {where}"
    if itself:
        return (
            Remedy("Server", f"look on the host itself for {rule}: `nft list ruleset`, `iptables -L -n -v`, and accept "
                   "what should pass"),
        )  # fmt: skip
    device = f"on {found.sender}" if found.sender else f"on the devices of {path}"
    return (
        Remedy("Network", f"look {device} for {rule} (`nft list ruleset` on Linux; its log at "
               f"{time_of_day(first_ns)}), and accept what should pass"),
        Remedy("Client", f"if the rule is intended, stop trying {where} from {clients.listed(2)}, or ask for another "
               "way to it (an allowed address, a VPN, a proxy)"),
    )  # fmt: skip
