"""PI203: ports that come back before the server has forgotten them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pcapflow.anomalies.cite import in_frames
from pcapflow.anomalies.lookup.challenges import challenged, opening_ns
from pcapflow.anomalies.lookup.columns import distinct, indices
from pcapflow.anomalies.model import LIKELY, BoolArray, IntArray, Severity
from pcapflow.anomalies.opening.meetings import cleared
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.model import Blame, Explanation, Observation, Remedy
from pcapflow.diagnosis.pattern import pattern
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, duration, number
from pcapflow.text.times import time_of_day

_FEW_PORTS = 16
"""A client that has no more ports than this is most likely behind a device that shares out ports."""


@pattern("PI203", "early-port-reuse", title="Ports that come back too early")
def early_port_reuse(case: Case) -> Sequence[Explanation]:
    """A client opened connections from ports that the server still remembered, and had to wait or try again.

    Seen: SYNs that the server answered with the ACK of an older connection, which the client reset, or that it did not
        answer while an earlier connection of the same ports was in TIME_WAIT.
    Unless: the server accepted each new SYN at once (then reuse did no harm), or nothing answered on any port.
    Means: source ports come back within the server's TIME_WAIT: the client's range is small, it binds to fixed ports,
        or a NAT between them has few ports or forgets connections sooner than the server does. Each collision costs
        from a round trip to seconds, and some attempts fail.
    Do:
        Client: do not bind to a source port, widen `net.ipv4.ip_local_port_range`, keep connections open and pool them.
        Network: give the NAT more ports or addresses, and keep its entries longer than the server's TIME_WAIT.
        Server: let the client close first, so that TIME_WAIT is on its side.
    Else: an older connection of the same ports that is still open at the server.
    Source: RFC 9293, 3.5.1 and 3.6.1; RFC 6191; RFC 5382, 5; Linux tcp_timewait_state_process.
    """
    met = challenged(case.tables)
    harmed = case.mask(case.flows_of(_harmful(case, case.anomalies_of("PF211"), met)))
    # What speaks of the old connection is about the SYN of the one that came after it.
    found = case.mask(case.flows_of(case.anomalies_of("PF107")))
    harmed[[each.anew for each in cleared(case.tables) if found[each.flow]]] = True
    flows = indices(harmed)
    explanations = []
    for of_server in case.by_server(flows).at_least(1):
        for members in case.by_host(of_server, CLIENT).at_least(1):
            everyone = case.same_client(int(members[0]), case.same_server(int(members[0])))
            reused = everyone[met[everyone] | case.mask(members)[everyone]]
            explanations.append(_explanation(case, members, reused, everyone))
    return explanations


def _harmful(case: Case, places: Sequence[int], met: BoolArray) -> list[int]:
    """The anomalies among these whose new connection was not accepted at once."""
    found = case.anomalies
    return [place for place in places if found[place].severity > Severity.INFO or met[found[place].flow]]


def _explanation(case: Case, harmed: IntArray, reused: IntArray, everyone: IntArray) -> Explanation:
    tables = case.tables
    client, server = tables.ip(int(harmed[0]), CLIENT), tables.server(int(harmed[0]))
    places = case.anomalies_of("PF107", "PF211", flows=everyone)
    cost = opening_ns(tables)[reused]
    opened = cost >= 0
    failed = int(np.count_nonzero(~opened))
    ports = distinct(case.column("client_port")[everyone])
    first = int(case.column("start_ns")[reused].min())
    harm = []
    if opened.any():
        harm.append(f"{number(int(np.count_nonzero(opened)))} opened late, by up to {duration(int(cost.max()))}")
    if failed:
        harm.append(f"{number(failed)} not at all")
    few = 1 < ports <= _FEW_PORTS and len(everyone) > ports
    held = case.anomalies_of("PF107", flows=everyone)
    is_held = bool(held)
    remembered = f"on which {server} still holds older connections" if is_held else f"that {server} still remembers"
    worst = _harmful(case, places, challenged(tables))
    frames = case.frames("first_frame", reused)
    return Explanation(
        severity=max((case.anomalies[place].severity for place in worst), default=Severity.INFO),
        confidence=LIKELY,
        headline=(
            f"{client} reuses ports {remembered}: of {counted(len(everyone), 'connection')} "
            f"{', and '.join(harm)}, since {time_of_day(first)}."
        ),
        blame=Blame("host", client, "client"),
        start_ns=first,
        end_ns=int(case.column("end_ns")[reused].max()),
        flows=named(reused),
        count=len(reused),
        hosts=(client, tables.ip(int(harmed[0]), SERVER)),
        explains=frozenset(case.anomalies_of("PF101", "PF102", "PF107", "PF211", "PF301", "PF306", flows=everyone)),
        why=(
            Observation(
                f"{counted(len(reused), 'SYN')} came from ports whose earlier connection the server had not "
                f"forgotten{in_frames(frames)}",
                frames,
            ),
            *(
                Observation(case.anomalies[place].detail, case.anomalies[place].frames)
                for place in (held[:1] if is_held else worst[:2])
            ),
            Observation(f"its {counted(len(everyone), 'connection')} came from {counted(ports, 'port')}"),
        ),
        against=(
            "a NAT between them may have forgotten the connections, and not the client"
            if is_held
            else "an older connection of the same ports may be open at the server instead of in TIME_WAIT",
        ),
        remedy=_forgotten(client) if is_held else _too_early(client, ports, few=few),
    )


def _forgotten(client: str) -> tuple[Remedy, ...]:
    """Of connections that the server still holds open."""
    return (
        Remedy(
            "Client", f"find out why {client} forgot its connections without closing them (a reboot, a killed machine)"
        ),
        Remedy(
            "Server",
            "let it probe idle connections, so that it drops those of clients that are gone: SO_KEEPALIVE and "
            "`net.ipv4.tcp_keepalive_time` (7200 s unless set)",
        ),
    )


def _too_early(client: str, ports: int, *, few: bool) -> tuple[Remedy, ...]:
    """Of connections that are in TIME_WAIT at the server."""
    nat = Remedy(
        "Network",
        f"a NAT at {client} with {counted(ports, 'port')} is likely: give it more ports or addresses, and keep its "
        "entries longer than the server's TIME_WAIT (60 s on Linux)",
    )
    pool = "keep connections open and pool them; do not bind to source ports, and widen `net.ipv4.ip_local_port_range`"
    return (
        *([nat] if few else []),
        Remedy("Client", pool),
        Remedy("Server", "let the client close first, so that TIME_WAIT is on its side"),
    )
