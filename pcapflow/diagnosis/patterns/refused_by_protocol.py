"""PI602: servers that accept the connection and refuse in their own protocol."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pcapflow.anomalies.cite import in_frames
from pcapflow.anomalies.model import CERTAIN, Severity
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.model import Blame, Explanation, Observation, Remedy
from pcapflow.diagnosis.pattern import pattern
from pcapflow.diagnosis.refusals import Refusal, refusal_of
from pcapflow.payload.said import Said
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, number, were
from pcapflow.text.times import time_of_day


@pattern("PI602", "refused-by-protocol", title="The server refuses and says why")
def refused_by_protocol(case: Case) -> Sequence[Explanation]:
    """A server accepted connections and then said, in its protocol, that it does not serve them.

    Seen: an error of the protocol that refuses a connection or all requests on it: a limit that is reached, a client
        that is not let in, a proxy with nobody behind it. For TCP everything went well.
    Unless: the error is about one statement or request (a missing page, a mistake in a query): that is told as what the
        connection said, and is no incident.
    Means: the words of the server are the cause; resets and early closes of these connections follow from it.
    Do:
        Server: the remedy names the setting that belongs to the server's words.
        Client: likewise for its pool or its log-in.
    Else: tools that look on purpose what a server says to strangers.
    Source: the protocols' lists of errors, named in `pcapflow/diagnosis/refusals.py`. Needs the payload (tshark).
    """
    groups: dict[tuple[str, Refusal], list[Said]] = {}
    for said in case.payload.said.values():
        refusal = refusal_of(said) if said.error_by == SERVER else None
        if refusal is not None:
            groups.setdefault((case.tables.server(said.flow), refusal), []).append(said)
    return [_explanation(case, refusal, members) for (_, refusal), members in groups.items()]


def _explanation(case: Case, refusal: Refusal, members: list[Said]) -> Explanation:
    flows = np.array(sorted(said.flow for said in members), dtype=np.int64)
    first = members[0]
    server = case.tables.server(first.flow)
    asked = case.said_to(server)
    clients = case.hosts(flows, CLIENT)
    begin = int(case.column("start_ns")[flows].min())
    frames = tuple(sorted(said.error_frame for said in members)[:8])
    share = f"{number(len(members))} of {counted(len(asked), 'connection')}"
    is_servers = refusal.is_limit or refusal.is_setting
    at_server, at_client = Remedy("Server", refusal.server), Remedy("Client", refusal.client)
    return Explanation(
        severity=Severity.MEDIUM if refusal.is_limit and len(members) > 1 else Severity.LOW,
        confidence=CERTAIN,
        headline=(
            f"{server} refused {share} of {clients.listed(2)} because {refusal.reason}, since {time_of_day(begin)}."
        ),
        blame=Blame("endpoint", server, "server")
        if is_servers or len(clients) > 1
        else Blame("host", clients[0], "client"),
        start_ns=begin,
        end_ns=int(case.column("end_ns")[flows].max()),
        flows=named(flows),
        count=len(flows),
        hosts=(case.tables.ip(first.flow, SERVER), *clients),
        explains=frozenset(case.anomalies_of(flows=flows)),
        why=(
            Observation(
                f"the server said so on {counted(len(members), 'connection')}: {first.what}{in_frames(frames)}", frames
            ),
            *_served(case, asked, members),
        ),
        remedy=(at_server, at_client) if is_servers else (at_client, at_server),
    )


def _served(case: Case, asked: list[Said], members: list[Said]) -> list[Observation]:
    """Those that were not refused: how many, and how many were open when the first was refused."""
    refused = {said.flow for said in members}
    others = np.array([said.flow for said in asked if refusal_of(said) is None], dtype=np.int64)
    if not len(others):
        return []
    when = int(case.column("start_ns")[sorted(refused)].min())
    starts, ends = case.column("start_ns")[others], case.column("end_ns")[others]
    open_then = int(np.count_nonzero((starts <= when) & (ends >= when)))
    text = f"{were(len(others), 'other connection')} not refused"
    return [Observation(f"{text}, and {_of_them(open_then, len(others))} open when the first was refused")]


def _of_them(count: int, total: int) -> str:
    if total == 1:
        return "it was" if count else "it was not"
    if count == total:
        return "both of them were" if total == 2 else "all of them were"
    return f"{number(count) if count else 'none'} of them {'was' if count < 2 else 'were'}"
