"""PI105: nothing listens on a port."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frames, proof
from pcapflow.anomalies.lookup.columns import among
from pcapflow.anomalies.model import CERTAIN, LIKELY, IntArray, Severity
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.model import Blame, Explanation, Observation, Remedy
from pcapflow.diagnosis.pattern import pattern
from pcapflow.diagnosis.rejections import accepted, forged_refusals
from pcapflow.tcp.completeness import COMPLETE_SYN_ACK
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, duration, listed, number

_EXPLAINED: Final = ("PF102", "PF301")
_INSISTED: Final = 3
"""Who tries this often needs the service: it is missed. One or two attempts may be a look whether it is there."""


@pattern("PI105", "refused-port", title="Nothing listens on the port")
def refused_port(case: Case) -> Sequence[Explanation]:
    """Connection attempts were refused by a server's host, because no program listens on the port.

    Seen: SYNs to one address and port that were answered with a RST of that host, and no SYN-ACK from it.
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
    for flows in case.by_server(refusals).at_least(1):
        everyone = case.same_server(int(flows[0]))
        if np.any(case.column("completeness")[everyone] & COMPLETE_SYN_ACK):
            continue
        explanations.append(_explanation(case, flows, everyone))
    return explanations


def _explanation(case: Case, flows: IntArray, everyone: IntArray) -> Explanation:
    tables = case.tables
    server = tables.server(int(flows[0]))
    explains = case.anomalies_of(*_EXPLAINED, flows=flows)
    served = _served_elsewhere(case, flows)
    missed = len(flows) - len(served)
    starts = case.column("start_ns")[flows]
    first, last = int(starts.min()), int(starts.max())
    clients = case.hosts(flows, CLIENT)
    frames = case.frames("reset_frame", flows)
    whose = listed(clients, 2)
    if len(flows) == 1:
        tried = f"the one attempt of {whose} was refused"
    else:
        tried = f"{number(len(flows))} attempts of {whose} within {duration(last - first)} were refused"
    return Explanation(
        severity=Severity.MEDIUM if missed >= _INSISTED else Severity.LOW if missed else Severity.INFO,
        confidence=CERTAIN if any(case.anomalies[place].confidence == CERTAIN for place in explains) else LIKELY,
        headline=f"Nothing listens on {server}: {tried}.",
        blame=Blame("endpoint", server, "server"),
        start_ns=first,
        end_ns=int(case.column("end_ns")[flows].max()),
        flows=named(flows),
        count=len(flows),
        hosts=(tables.ip(int(flows[0]), SERVER), *clients),
        explains=frozenset(explains),
        why=(
            Observation(f"{counted(len(flows), 'SYN')} to {server} drew a RST{in_frames(frames)}", frames),
            Observation(f"no SYN-ACK came from {server} in {counted(len(everyone), 'attempt')}"),
            *_then_let_in(case, served),
        ),
        against=(_rejected_instead(case, flows),),
        remedy=(
            Remedy("Server", f"start the program that should listen on {server}; `ss -ltn` shows who listens where"),
        ),
    )


def _served_elsewhere(case: Case, flows: IntArray) -> IntArray:
    """Positions of the anomalies whose client tried the other address of the name at once, and was let in there."""
    places = case.anomalies_of("PF102", flows=flows)
    return np.array([place for place in places if case.anomalies[place].severity is Severity.INFO], dtype=np.int64)


def _then_let_in(case: Case, served: IntArray) -> Iterator[Observation]:
    if len(served):
        # The last frame of each is the SYN over the other IP version.
        frames = proof(case.anomalies[place].frames[-1] for place in served.tolist())
        tried = counted(len(served), "attempt")
        yield Observation(f"{tried} went on at once over the other IP version, and got in{in_frames(frames)}", frames)


def _rejected_instead(case: Case, flows: IntArray) -> str:
    host = case.tables.ip(int(flows[0]), SERVER)
    if len(accepted(case, flows)):
        return f"a firewall on {host} itself may reject with a RST, which looks the same"
    return f"a firewall that rejects with a RST looks the same: the capture has no connection that {host} accepted"
