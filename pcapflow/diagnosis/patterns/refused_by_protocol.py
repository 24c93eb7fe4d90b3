"""PI602: servers that accept the connection and refuse in their own protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frames
from pcapflow.anomalies.lookup.columns import among, indices, side
from pcapflow.anomalies.model import CERTAIN, LIKELY, IntArray, Severity
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.model import Blame, Explanation, Observation, Remedy
from pcapflow.diagnosis.mute import closed_without_a_word
from pcapflow.diagnosis.pattern import pattern
from pcapflow.diagnosis.refusals import Refusal, refusal_of
from pcapflow.payload.said import Said
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, duration, number, were
from pcapflow.text.times import time_of_day, to_ns

_TURNED_AWAY: Final = 3
"""Connections that a server ends at once without a word: fewer may be chance."""
_MAX_SERVERS: Final = 200


@pattern("PI602", "refused-by-protocol", title="The server refuses and says why")
def refused_by_protocol(case: Case) -> Sequence[Explanation]:
    """A server accepted connections and then said, in its protocol or by an early end, that it does not serve them.

    Seen: an error of the protocol that refuses a connection or all requests on it: a limit that is reached, a client
        that is not let in, a proxy with nobody behind it. Or the server ended several connections right after it had
        accepted them, before anybody said a word. For TCP everything went well.
    Unless: the error is about one statement or request (a missing page, a mistake in a query): that is told as what the
        connection said, and is no incident. An end without a word is none where the client closes first, or where all
        of it happened in one moment (a restart).
    Means: the words of the server are the cause; resets and early closes of these connections follow from it.
    Do:
        Server: the remedy names the setting that belongs to the server's words.
        Client: likewise for its pool or its log-in.
    Else: tools that look on purpose what a server says to strangers.
    Source: the protocols' lists of errors, named in `pcapflow/diagnosis/refusals.py`. The words need tshark.
    """
    groups: dict[tuple[str, Refusal], list[Said]] = {}
    for said in case.payload.said.values():
        refusal = refusal_of(said) if said.error_by == SERVER else None
        if refusal is not None:
            groups.setdefault((case.tables.server(said.flow), refusal), []).append(said)
    worded = [_explanation(case, refusal, members) for (_, refusal), members in groups.items()]
    mute = indices(closed_without_a_word(case.tables))
    turned_away = case.by_server(mute).at_least(_TURNED_AWAY)[:_MAX_SERVERS]
    return [*worded, *(_turned_away(case, flows) for flows in turned_away if _at_times(case, flows))]


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


def _at_times(case: Case, flows: IntArray) -> bool:
    """Whether they were ended at several times: a server that stops ends all it has in one moment."""
    ends = np.sort(case.column("close_ns")[flows])
    return int(np.count_nonzero(np.diff(ends) > to_ns(case.config.moment_s))) + 1 >= _TURNED_AWAY


def _turned_away(case: Case, flows: IntArray) -> Explanation:
    tables, f = case.tables, case.tables.flows
    server = tables.server(int(flows[0]))
    everyone = case.same_server(int(flows[0]))
    served = everyone[(side(f, SERVER, "bytes")[everyone] > 0) & ~among(everyone, flows)]
    closed = f["close_ns"][served]
    clients = case.hosts(flows, CLIENT)
    begin = int(f["start_ns"][flows].min())
    frames = case.frames("last_frame", flows)
    lasted = duration(int((f["close_ns"][flows] - f["start_ns"][flows]).max()))
    open_then = int(np.count_nonzero((f["start_ns"][served] <= begin) & ((closed < 0) | (closed >= begin))))
    others = (
        f"{counted(len(served), 'connection')} to it {'was' if len(served) == 1 else 'were'} served, "
        f"{number(open_then)} of them open when the first was turned away"
        if len(served)
        else "no connection to it was served"
    )
    return Explanation(
        severity=Severity.MEDIUM if 2 * len(flows) > len(everyone) else Severity.LOW,
        confidence=LIKELY,
        headline=(
            f"{server} turned away {number(len(flows))} of {counted(len(everyone), 'connection')} of "
            f"{clients.listed(2)}: it accepted and ended them without a word, since {time_of_day(begin)}."
        ),
        blame=Blame("endpoint", server, "server"),
        start_ns=begin,
        end_ns=int(f["end_ns"][flows].max()),
        flows=named(flows),
        count=len(flows),
        hosts=(tables.ip(int(flows[0]), SERVER), *clients),
        explains=frozenset(case.anomalies_of(flows=flows)),
        why=(
            Observation(
                f"on {counted(len(flows), 'connection')} the server closed within {lasted} of the SYN, and neither "
                f"side had sent a byte{in_frames(frames)}",
                frames,
            ),
            Observation(others),
        ),
        against=("a listener that only shows that it is there, and has nothing to say",),
        remedy=(
            Remedy(
                "Server",
                "its log says why: a limit of connections or of processes (`MaxInstances` of ProFTPD, `instances` of "
                "xinetd), a rule about who may come in (`hosts.deny`), or nobody behind it (haproxy in TCP mode)",
            ),
            Remedy("Client", "try again after a pause that grows, and hold fewer connections at once"),
        ),
    )
