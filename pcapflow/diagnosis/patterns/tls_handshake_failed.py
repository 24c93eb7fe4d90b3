"""PI601: TLS that does not come about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frames, proof
from pcapflow.anomalies.figures import wilson
from pcapflow.anomalies.model import CERTAIN, LIKELY, Severity
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.model import NOBODY, Blame, Explanation, Observation, Remedy
from pcapflow.diagnosis.pattern import pattern
from pcapflow.diagnosis.tls_causes import WHO_WAS_REFUSED, Cause, cause_of
from pcapflow.payload.said import Said
from pcapflow.payload.web import HIDDEN
from pcapflow.tcp.states import CLIENT, ENDPOINT_NAMES, SERVER
from pcapflow.text.phrases import counted, listed, number
from pcapflow.text.times import time_of_day

_CONSEQUENCES: Final = ("PF301", "PF302", "PF206", "PF208", "PF212")
_PLAIN: Final = "answered in "
"""How :mod:`pcapflow.payload.words` begins what it says of a server that answers TLS in another protocol."""


@pattern("PI601", "tls-handshake-failed", title="TLS handshakes that fail")
def tls_handshake_failed(case: Case) -> Sequence[Explanation]:
    """Clients and a server spoke TLS to each other and did not agree.

    Seen: an alert of TLS other than close_notify, or an answer in another protocol, before any data of the application.
        TLS 1.3 hides its name: a record as short as an alert stands where the handshake should end.
    Unless: the connection was set up and used (then an alert later on is another matter).
    Means: no request has passed: for the application the service is not there. The alert says why, and who sent it.
    Do:
        Client: check the name it asks for, the authorities it trusts, and its versions of TLS.
        Server: check certificate, chain, names and versions.
    Else: scanners and monitors try versions and names on purpose.
    Source: RFC 8446, 6; RFC 5246, 7.2; RFC 6066, 3. Needs the words of the payload (tshark).
    """
    groups: dict[tuple[str, str, int, Cause], list[Said]] = {}
    for said in case.payload.said.values():
        if said.protocol == "tls" and said.error:
            key = (case.tables.server(said.flow), said.error, said.error_by, cause_of(said))
            groups.setdefault(key, []).append(said)
    return [_explanation(case, members, cause) for (*_, cause), members in groups.items()]


def _explanation(case: Case, members: list[Said], cause: Cause) -> Explanation:
    flows = np.array(sorted(said.flow for said in members), dtype=np.int64)
    first = members[0]
    server = case.tables.server(first.flow)
    is_plain = first.error.startswith(_PLAIN)
    side = 1 - first.error_by if cause.side == WHO_WAS_REFUSED else CLIENT if is_plain else cause.side
    asked = case.said_to(server)
    clients = case.hosts(flows, CLIENT)
    begin = int(case.column("start_ns")[flows].min())
    share = f"{number(len(members))} of {counted(len(asked), 'connection')} of {clients.listed(2)}"
    if is_plain:
        headline = f"{server} does not speak TLS: {share} got a plain answer, since {time_of_day(begin)}."
    else:
        means = _filled(cause.means, members)
        who = ENDPOINT_NAMES[first.error_by]
        is_hidden = first.error.endswith(HIDDEN)
        said_by = f"TLS 1.3 encrypts the alert of the {who}" if is_hidden else f"{first.error} of the {who}"
        headline = f"TLS to {server} fails on {share}: {means} ({said_by}), since {time_of_day(begin)}."
    return Explanation(
        severity=_severity(len(members), len(asked)),
        confidence=LIKELY if first.error.endswith(HIDDEN) else CERTAIN,
        headline=headline,
        blame=_blame(side, server, clients),
        start_ns=begin,
        end_ns=int(case.column("end_ns")[flows].max()),
        flows=named(flows),
        count=len(flows),
        hosts=(case.tables.ip(first.flow, SERVER), *clients),
        explains=frozenset(case.anomalies_of(*_CONSEQUENCES, flows=flows)),
        why=tuple(_why(members, asked, is_plain=is_plain)),
        against=("a scanner or a monitor that tries this on purpose looks the same",),
        remedy=_plain_remedy(server) if is_plain else _remedy(cause, members),
    )


def _filled(text: str, members: list[Said]) -> str:
    """A text of a cause, with the names that were asked for and who sent the alert."""
    names = list(dict.fromkeys(said.server_name for said in members if said.server_name))
    name = listed([f"`{name}`" for name in names], 3) if names else "this name"
    return text.replace("{name}", name).replace("{who}", ENDPOINT_NAMES[members[0].error_by])


def _why(members: list[Said], asked: list[Said], *, is_plain: bool) -> Iterator[Observation]:
    first = members[0]
    frames = proof(sorted(said.error_frame for said in members))
    if is_plain:
        answer = first.answer.removeprefix("http -> ")
        text = f"to a hello of TLS the server answered in plain {first.error.removeprefix(_PLAIN).upper()}: {answer}"
    else:
        text = f"the {ENDPOINT_NAMES[first.error_by]} sent the {first.error} ({first.error_code})"
    yield Observation(f"{text}{in_frames(frames)}", frames)
    empty = proof(sorted(said.no_certificate_frame for said in members if said.no_certificate_frame))
    if empty:
        yield Observation(f"asked for its certificate, the client sent an empty list{in_frames(empty)}", empty)
    offers = list(dict.fromkeys(said.offered for said in members if said.offered))
    if "version" in first.error and offers:
        hellos = proof(sorted(said.request_frame for said in members if said.request_frame))
        yield Observation(f"the client offers {listed(offers)} at most{in_frames(hellos)}", hellos)
    agreed = [said for said in asked if not said.error and said.protocol == "tls" and said.answer_frame]
    if agreed:
        names = list(dict.fromkeys(f"`{said.server_name}`" for said in agreed if said.server_name))
        of_them = f", for {listed(names, 3)}" if names else ""
        helloes = proof(sorted(said.answer_frame for said in agreed))
        yield Observation(
            f"{counted(len(agreed), 'other connection')} to it had no alert{of_them}{in_frames(helloes)}", helloes
        )
    else:
        yield Observation(f"no request passed on {'it' if len(members) == 1 else 'any of them'}")


def _severity(failed: int, asked: int) -> Severity:
    """Medium where it is the rule rather than the exception among those that try."""
    return Severity.MEDIUM if failed >= 2 and wilson(failed, asked)[1] >= 0.5 else Severity.LOW


def _blame(side: int, server: str, clients: Sequence[str]) -> Blame:
    if side == SERVER:
        return Blame("endpoint", server, "server")
    if side == CLIENT and len(clients) == 1:
        return Blame("host", clients[0], "client")
    return NOBODY


def _plain_remedy(server: str) -> tuple[Remedy, ...]:
    return (
        Remedy("Client", f"`https://` or TLS is configured for {server}, which speaks plain text: use the port of "
                         "TLS, or `http://`"),
        Remedy("Server", "if it should speak TLS, turn that on (`listen ... ssl` of nginx, `ssl crt` of haproxy)"),
    )  # fmt: skip


def _remedy(cause: Cause, members: list[Said]) -> tuple[Remedy, ...]:
    client = Remedy("Client", _filled(cause.client, members))
    at_server = Remedy("Server", _filled(cause.server, members))
    return (at_server, client) if cause.side == SERVER else (client, at_server)
