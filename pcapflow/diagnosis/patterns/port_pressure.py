"""PI202: a client that uses up its ports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from pcapflow.anomalies.cite import in_frames
from pcapflow.anomalies.closing.ports import Busy, busy_clients
from pcapflow.anomalies.lookup.habits import client_ports
from pcapflow.anomalies.model import LIKELY, Severity
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.model import Blame, Explanation, Observation, Remedy
from pcapflow.diagnosis.pattern import pattern
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, duration, number, roughly
from pcapflow.text.times import time_of_day

_OWN: Final = "PF210"
_CONSEQUENCES: Final = ("PF209", "PF210")


@pattern("PI202", "port-pressure", title="A client that uses up its ports")
def port_pressure(case: Case) -> Sequence[Explanation]:
    """A client opens connections one after another and closes them first, faster than its ports come back.

    Seen: connections of one client to one server and port that go into TIME_WAIT at the client, at a rate that fills
        half of its ports or more before the first TIME_WAIT ends.
    Unless: the rate is one that the range of ports carries for ever (below 470 a second for 28,232 ports and 60 s), or
        the server closes first (then TIME_WAIT is there, and costs no port of the client).
    Means: when no port is left, connect() fails with "cannot assign requested address" until a TIME_WAIT ends.
    Do:
        Client: keep connections open and reuse them; `net.ipv4.tcp_tw_reuse=1` and a wider
            `net.ipv4.ip_local_port_range` put it off.
        Server: answer with keep-alive, or listen on more addresses or ports.
    Else: a burst that is over before the ports are.
    Source: RFC 9293, 3.6.1; RFC 6056; Linux __inet_hash_connect.
    """
    places = case.anomalies_of(_OWN)
    busy = {frozenset(client.flows.tolist()): client for client in busy_clients(case.tables, case.config)}
    explanations = []
    for place in places:
        flows = case.anomalies[place].flows
        client = next((each for members, each in busy.items() if members.issuperset(flows)), None)
        if client is not None:
            explanations.append(_explanation(case, place, client))
    return explanations


def _explanation(case: Case, place: int, busy: Busy) -> Explanation:
    anomaly = case.anomalies[place]
    flows, tables = busy.flows, case.tables
    client, server = tables.ip(int(flows[0]), CLIENT), tables.server(int(flows[0]))
    starts = case.column("start_ns")[flows]
    first = int(starts.min())
    return Explanation(
        severity=max(anomaly.severity, Severity.LOW),
        confidence=LIKELY,
        headline=(
            f"{_pace(busy, client, server)}; seen on {counted(len(flows), 'connection')} since "
            f"{time_of_day(first)}."
        ),
        blame=Blame("host", client, "client"),
        start_ns=first,
        end_ns=int(case.column("end_ns")[flows].max()),
        flows=named(flows),
        count=len(flows),
        hosts=(client, tables.ip(int(flows[0]), SERVER)),
        explains=frozenset([place, *case.anomalies_of(*_CONSEQUENCES, flows=flows)]),
        why=tuple(_why(case, busy, client, server, anomaly.frames)),
        against=(*_burst(busy), *anomaly.alternatives),
        remedy=(
            Remedy("Client", f"keep connections to {server} open and reuse them (a pool, HTTP keep-alive); until then "
                             "`net.ipv4.tcp_tw_reuse=1` and a wider `net.ipv4.ip_local_port_range` put it off"),
            Remedy("Server", "let clients keep their connections (keep-alive), or listen on more addresses or ports"),
        ),
    )  # fmt: skip


def _pace(busy: Busy, client: str, server: str) -> str:
    ports, rate = busy.config.ephemeral_ports, busy.rate
    if rate is None:
        return f"{client} has {number(busy.top)} of its {number(ports)} ports towards {server} in use at once"
    begin = (
        f"{client} closes {rate.per_s:,.0f} connections a second to {server}, and each holds its port in TIME_WAIT for "
        f"{busy.config.msl2_s:g} s: at that rate"
    )
    if rate.share(busy.config) >= 1:
        return f"{begin} its {number(ports)} ports are used up within {roughly(rate.exhaustion_ns(busy.config))}"
    return f"{begin} {rate.share(busy.config):.0%} of its {number(ports)} ports are always taken"


def _why(case: Case, busy: Busy, client: str, server: str, frames: tuple[int, ...]) -> Iterator[Observation]:
    if busy.rate is not None:
        yield Observation(
            f"{client} closed {counted(busy.rate.number, 'connection')} within {duration(busy.rate.span_ns)}, each of "
            f"them before {server} did: TIME_WAIT, and with it the port, stays with who closes first"
            f"{in_frames(frames)}", frames,
        )  # fmt: skip
    share = busy.top / max(busy.config.ephemeral_ports, 1)
    yield Observation(
        f"at most {counted(busy.top, 'port')} towards {server} were in use at once, open or in TIME_WAIT, at "
        f"{time_of_day(busy.when_ns)}: {f'{share:.0%}' if share >= 0.1 else f'{share:.1%}'} of "
        f"{client_ports(case.tables, case.config, int(busy.flows[0])).words()}"
    )


def _burst(busy: Busy) -> Iterator[str]:
    rate = busy.rate
    if rate is not None and rate.share(busy.config) >= 1 and rate.span_ns < rate.exhaustion_ns(busy.config):
        yield f"it was seen for {duration(rate.span_ns)} only: a burst that ends before the ports do harms nobody"
