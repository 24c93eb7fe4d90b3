"""PI409: a router has no way to those that clients try to reach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frames
from pcapflow.anomalies.lookup.columns import among, side
from pcapflow.anomalies.lookup.groups import host_keys
from pcapflow.anomalies.model import CERTAIN, IntArray, Severity
from pcapflow.anomalies.opening.refused import opened_instead
from pcapflow.anomalies.opening.scans import scanned
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.icmp_messages import observed
from pcapflow.diagnosis.model import Explanation, Observation, Remedy
from pcapflow.diagnosis.paths import MAX_PATHS, blamed, directed_keys
from pcapflow.diagnosis.pattern import pattern
from pcapflow.diagnosis.rejections import Rejection, unreachable_hosts
from pcapflow.tcp.completeness import COMPLETE_ACK, COMPLETE_SYN
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, listed
from pcapflow.text.times import time_of_day

_INSISTED: Final = 3
"""Who tries this often needs to get there."""
_NAMED: Final = 3
_HOST_CODES: Final = {4: (3 << 8 | 1, 3 << 8 | 7), 6: (1 << 8 | 3,)}
"""Types and codes by which a router says that it reaches the network, and not the host (RFC 1812; RFC 4443, 3.1)."""


@pattern("PI409", "unreachable", title="A router has no way to the host")
def unreachable(case: Case) -> Sequence[Explanation]:
    """A router answered attempts to connect: it has no route to where they go, or does not find the host there.

    Seen: SYNs that drew an ICMP error of a router (network or host unreachable, no route to destination, address
        unreachable), and connections that were not opened; nothing is heard of those hosts.
    Unless: others reach the host, or the error says that something is prohibited (PI404); open connections fell silent
        with it (PI401, PI402); one client tried many hosts or ports (a scan). Clients that were let in at once over the
        other IP version miss nothing: that is information.
    Means: no packet gets past that router to these addresses: it lacks a route or its line is down, or nobody answers
        there for the address. The server's program has no part in it.
    Do:
        Network: on the router `ip route get ADDRESS` says which way it would take, and `ip neigh` whether it finds the
            host.
        Client: check the address; a host with IPv6 addresses and no way out by IPv6 should not have a default route.
    Else: the message was forged; it quotes a segment of the connection, which only those on its path have seen.
    Source: RFC 792; RFC 4443, 2.4 (f) and 3.1; RFC 1812, 4.3.2.8 and 5.2.7.1; RFC 8305 (the second try).
    """
    found = sorted(unreachable_hosts(case), key=lambda each: -len(each.flows))[:MAX_PATHS]
    return [_explanation(case, each) for each in found]


def _explanation(case: Case, found: Rejection) -> Explanation:
    flows = _with_untold(case, found.flows)
    starts = case.column("start_ns")[flows]
    first = int(starts.min())
    clients, hosts = case.hosts(flows, CLIENT), case.hosts(flows, SERVER)
    missed = flows[opened_instead(case.tables, flows) < 0]
    total = case.count_hosts(flows, SERVER)
    where = hosts[0] if total == 1 else f"{counted(total, 'host')} ({listed(hosts, _NAMED)})"
    texts = " and ".join(dict.fromkeys(message.text for message in found.icmp))
    who = f"The host {found.sender} itself" if found.sender in clients else f"The router {found.sender}"
    no_host = any(message.value in _HOST_CODES[message.family] for message in found.icmp)
    return Explanation(
        severity=Severity.MEDIUM if len(missed) >= _INSISTED else Severity.LOW if len(missed) else Severity.INFO,
        confidence=CERTAIN,
        headline=(
            f"{who} cannot reach {where}, and says so by ICMP ({texts}): {counted(len(flows), 'attempt')} of "
            f"{listed(clients, 2)} since {time_of_day(first)} failed."
        ),
        blame=blamed(f"{who[0].lower()}{who[1:]}"),
        start_ns=first,
        end_ns=int(case.column("end_ns")[flows].max()),
        flows=named(flows),
        count=len(flows),
        hosts=(*hosts, *clients)[:20],
        explains=frozenset(case.anomalies_of(flows=flows)),
        why=(
            *observed(case, found.icmp),
            *_untold(case, flows[~among(flows, found.flows)]),
            *_contrast(case, flows, len(flows) - len(missed)),
        ),
        against=(f"{hosts[0]} may be down, or moved to another address",) if no_host and total == 1 else (),
        remedy=_remedy(found, hosts[0], listed(clients, 2), no_host=no_host),
    )


def _with_untold(case: Case, flows: IntArray) -> IntArray:
    """With the attempts of the same clients at the same hosts that had no answer at all: routers limit their errors."""
    f, paths = case.tables.flows, directed_keys(case.tables, CLIENT)
    mute = (side(f, SERVER, "packets") == 0) & (f["completeness"] & COMPLETE_SYN > 0)
    mute &= among(paths, paths[flows]) & ~scanned(case.tables, case.config)
    return np.union1d(flows, np.flatnonzero(mute)).astype(np.int64)


def _untold(case: Case, flows: IntArray) -> Iterator[Observation]:
    if len(flows):
        frames = case.frames("first_frame", flows)
        text = f"{counted(len(flows), 'attempt')} at the same hosts had no answer at all: routers limit their errors"
        yield Observation(f"{text}{in_frames(frames)}", frames)


def _contrast(case: Case, flows: IntArray, let_in: int) -> Iterator[Observation]:
    """What the same clients reached, and what is heard of the hosts."""
    if let_in:
        yield Observation(f"{counted(let_in, 'attempt')} went on at once over the other IP version, and got in")
    clients, f = host_keys(case.tables, CLIENT), case.tables.flows
    opened = among(clients, clients[flows]) & (f["completeness"] & COMPLETE_ACK > 0) & (side(f, SERVER, "packets") > 0)
    works = np.flatnonzero(opened & ~case.mask(flows)).astype(np.int64)
    if len(works):
        frames = case.frames("server_first_frame", works[:4])
        others = listed(case.hosts(works, SERVER), _NAMED)
        text = f"the same clients had {counted(len(works), 'connection')} to {others} in this capture"
        yield Observation(f"{text}{in_frames(frames)}", frames)
    else:
        yield Observation("the same clients reached nobody else in this capture")


def _remedy(found: Rejection, host: str, clients: str, *, no_host: bool) -> tuple[Remedy, ...]:
    look = "whether it finds the host (`ip neigh`; FAILED is no answer)" if no_host else "which way it would take"
    advice = [Remedy("Network", f"see on {found.sender} with `ip route get {host}` {look}")]
    if no_host:
        advice.append(Remedy("Server", f"see whether {host} is up and has this address"))
    advice.append(Remedy("Client", f"check that {host} is the right address"))
    if found.icmp[0].family == 6:
        advice.append(
            Remedy("Network", f"where there is no way out by IPv6, advertise no default route to {clients} (router "
                   "lifetime 0): each new connection loses time with it")
        )  # fmt: skip
    return tuple(advice)
