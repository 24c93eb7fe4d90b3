"""PI601: TLS that does not come about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.cite import in_frames
from pcapflow.anomalies.figures import wilson
from pcapflow.anomalies.model import CERTAIN, LIKELY, Severity
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.model import NOBODY, Blame, Explanation, Observation, Remedy
from pcapflow.diagnosis.pattern import pattern
from pcapflow.payload.said import Said
from pcapflow.payload.web import HIDDEN
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, listed, number
from pcapflow.text.times import time_of_day

_CONSEQUENCES: Final = ("PF301", "PF302", "PF206", "PF208", "PF212")
_PLAIN: Final = "answered in "
"""How :mod:`pcapflow.payload.words` begins what it says of a server that answers TLS in another protocol."""


_WHO_WAS_REFUSED: Final = 2


class Cause(NamedTuple):
    """What an alert says, whose it is to mend, and how; ``{name}`` stands for the name that was asked for.

    ``side`` is an endpoint, -1 where both can mend it, or :data:`_WHO_WAS_REFUSED`: the side that got the alert.
    """

    means: str
    side: int
    client: str
    server: str


_CAUSES: Final = {
    "unknown_ca": Cause(
        "the client does not trust the authority that signed the server's certificate", CLIENT,
        "install the certificate of that authority where the client looks (`SSL_CERT_FILE`, `--cacert` of curl, "
        "`verify=` of requests), never turn the check off",
        "send the whole chain with the certificate (`ssl_certificate` of nginx takes both in one file)",
    ),
    "bad_certificate": Cause(
        "the peer's certificate was not accepted", SERVER, "look at the certificate with `openssl s_client -connect "
        "HOST:PORT -servername {name}`", "renew the certificate, and send the chain with it",
    ),
    "certificate_expired": Cause(
        "the certificate is out of date", SERVER, "check its clock", "renew the certificate and reload the server",
    ),
    "unrecognized_name": Cause(
        "the server has no certificate for the name that the client asked for", CLIENT,
        "ask for a name that the server has (`{name}` is not one), or resolve it to another server",
        "add a server for `{name}` (`server_name` of nginx), or a default certificate",
    ),
    "protocol_version": Cause(
        "client and server have no version of TLS in common", -1,
        "let it speak TLS 1.2 and 1.3, or update the library that cannot",
        "`ssl_protocols TLSv1.2 TLSv1.3` of nginx, `ssl-min-ver TLSv1.2` of haproxy allow what most clients speak",
    ),
    "handshake_failure": Cause(
        "client and server found no parameters that both accept, or a client certificate was asked for and none came",
        _WHO_WAS_REFUSED,
        "give it a client certificate where the server asks for one (`--cert` of curl), and the usual ciphers",
        "`ssl_ciphers` and `ssl_verify_client` of nginx say what it demands",
    ),
    "certificate_required": Cause(
        "the server asks for a client certificate, and none came", CLIENT,
        "give it a client certificate (`--cert` of curl)", "`ssl_verify_client` of nginx says who needs one",
    ),
    "no_application_protocol": Cause(
        "client and server have no application protocol in common (ALPN)", -1,
        "offer what the server speaks (`http/1.1`, `h2`)", "allow what the client offers",
    ),
}  # fmt: skip
_HIDDEN: Final = {
    CLIENT: Cause(
        "in place of the end of the handshake: as a rule it does not accept the server's certificate (out of date, of "
        "another name, or of an authority that it does not know)", -1,
        "its own log or error says which; `openssl s_client -connect HOST:PORT -servername {name}` shows what it got",
        "look at date, names and chain of its certificate",
    ),
    SERVER: Cause(
        "right after the client had ended its part: as a rule it wants a certificate of the client, and none came",
        CLIENT, "give it a client certificate where the server asks for one (`--cert` of curl)",
        "`ssl_verify_client` of nginx, `client_auth` of Caddy say who needs one; its log may name the reason",
    ),
}  # fmt: skip
"""Alerts whose name is encrypted, by who sent them."""
_OTHER: Final = Cause(
    "one side ended the handshake", -1, "`openssl s_client -connect HOST:PORT -servername {name}` shows what is sent",
    "its log names the reason at level info",
)  # fmt: skip


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
    groups: dict[tuple[str, str, int], list[Said]] = {}
    for said in case.payload.said.values():
        if said.protocol == "tls" and said.error:
            groups.setdefault((case.tables.server(said.flow), said.error, said.error_by), []).append(said)
    return [_explanation(case, members) for members in groups.values()]


def _explanation(case: Case, members: list[Said]) -> Explanation:
    flows = np.array(sorted(said.flow for said in members), dtype=np.int64)
    first = members[0]
    server = case.tables.server(first.flow)
    is_plain = first.error.startswith(_PLAIN)
    alert = first.error.removeprefix("alert ")
    cause = _HIDDEN[first.error_by] if alert == HIDDEN else _CAUSES.get(alert, _OTHER)
    side = 1 - first.error_by if cause.side == _WHO_WAS_REFUSED else CLIENT if is_plain else cause.side
    names = list(dict.fromkeys(said.server_name for said in members if said.server_name))
    asked = case.said_to(server)
    clients = case.hosts(flows, CLIENT)
    begin = int(case.column("start_ns")[flows].min())
    frames = tuple(sorted(said.error_frame for said in members)[:8])
    who = "client" if first.error_by == CLIENT else "server"
    named_ = f" for {listed([f'`{name}`' for name in names], 3)}" if names else ""
    share = f"{number(len(members))} of {counted(len(asked), 'connection')}"
    if is_plain:
        headline = f"{server} does not speak TLS: {share} of {listed(clients, 2)} got a plain answer, since "
        what = f"the server answered a hello of TLS {first.error.removeprefix('answered ')}: {first.answer}"
    else:
        headline = f"TLS with {server} fails: the {who} ended {share}{named_} with the alert {alert}, since "
        code = f" ({first.error_code})" if first.error_code else ""
        what = f"the {who} sent the alert {alert}{code}: {cause.means}"
    return Explanation(
        severity=_severity(len(members), len(asked)),
        confidence=LIKELY if alert == HIDDEN else CERTAIN,
        headline=f"{headline}{time_of_day(begin)}.",
        blame=_blame(side, server, clients),
        start_ns=begin,
        end_ns=int(case.column("end_ns")[flows].max()),
        flows=named(flows),
        count=len(flows),
        hosts=(case.tables.ip(first.flow, SERVER), *clients),
        explains=frozenset(case.anomalies_of(*_CONSEQUENCES, flows=flows)),
        why=(
            Observation(f"{what}{in_frames(frames)}", frames),
            Observation(f"{share} to {server} that were looked at ended so; no request passed on them"),
        ),
        against=("a scanner or monitor that tries this on purpose",),
        remedy=_remedy(cause, names, server, is_plain=is_plain),
    )


def _severity(failed: int, asked: int) -> Severity:
    """Medium where it is the rule rather than the exception among those that try."""
    return Severity.MEDIUM if failed >= 2 and wilson(failed, asked)[1] >= 0.5 else Severity.LOW


def _blame(side: int, server: str, clients: Sequence[str]) -> Blame:
    if side == SERVER:
        return Blame("endpoint", server, "server")
    if side == CLIENT and len(clients) == 1:
        return Blame("host", clients[0], "client")
    return NOBODY


def _remedy(cause: Cause, names: Sequence[str], server: str, *, is_plain: bool) -> tuple[Remedy, ...]:
    if is_plain:
        return (
            Remedy("Client", f"`https://` or TLS is configured for {server}, which speaks plain text: use the port of "
                             "TLS, or `http://`"),
            Remedy("Server", "if it should speak TLS, turn that on (`listen ... ssl` of nginx, `ssl crt` of haproxy)"),
        )  # fmt: skip
    name = names[0] if names else server.rpartition(":")[0]
    client = Remedy("Client", cause.client.format(name=name))
    at_server = Remedy("Server", cause.server.format(name=name))
    return (at_server, client) if cause.side == SERVER else (client, at_server)
