"""What an alert of TLS says, whose it is to mend, and how."""

from __future__ import annotations

from typing import Final, NamedTuple

from pcapflow.payload.said import Said
from pcapflow.payload.web import HIDDEN
from pcapflow.tcp.states import CLIENT, SERVER

WHO_WAS_REFUSED: Final = 2
"""In place of an endpoint: the side that got the alert."""


class Cause(NamedTuple):
    """One cause. In its texts ``{name}`` stands for the name that was asked for, ``{who}`` for who sent the alert.

    Attributes:
        means: what happened, in words that can be forwarded.
        side: whose it is: an endpoint, -1 where both can mend it, or :data:`WHO_WAS_REFUSED`.
        client, server: what either side can do.
    """

    means: str
    side: int
    client: str
    server: str


_TRUST_IT: Final = (
    "install the certificate of that authority where the client looks (`SSL_CERT_FILE`, `--cacert` of curl, `verify=` "
    "of requests); never turn the check off"
)
_SEND_THE_CHAIN: Final = "send the whole chain with the certificate (`ssl_certificate` of nginx takes both in one file)"
_LOOK_AT_IT: Final = (
    "see what is wrong with it: `openssl s_client -connect HOST:PORT -servername {name} -showcerts | openssl x509 "
    "-noout -dates -subject -issuer`"
)
_GIVE_ONE: Final = "give it a client certificate that the server accepts (`--cert` of curl, `cert=` of requests)"
_NONE_GIVEN: Final = Cause(
    "the server wants a client certificate, and the client gave none", CLIENT, _GIVE_ONE,
    "`ssl_verify_client optional` of nginx (`verify optional` of haproxy) lets clients in without one",
)  # fmt: skip
_SERVERS_NOT_ACCEPTED: Final = Cause(
    "the client does not accept the server's certificate", SERVER, _LOOK_AT_IT,
    "renew the certificate if its dates or names do not fit, and send the whole chain with it",
)  # fmt: skip
_CLIENTS_NOT_ACCEPTED: Final = Cause(
    "the server does not accept the client's certificate", CLIENT, _GIVE_ONE, "its log says what is wrong with it"
)
_ABOUT_THE_SERVERS: Final = {
    "unknown_ca": Cause(
        "the client does not trust the authority that signed the server's certificate", CLIENT, _TRUST_IT,
        _SEND_THE_CHAIN,
    ),
    "bad_certificate": _SERVERS_NOT_ACCEPTED,
    "certificate_unknown": _SERVERS_NOT_ACCEPTED,
    "certificate_expired": Cause(
        "the server's certificate is out of date, says the client", SERVER, "check the clock of its host",
        "renew the certificate, and reload the server so that it is used",
    ),
    "certificate_revoked": Cause(
        "the server's certificate is revoked, says the client", SERVER, _LOOK_AT_IT, "use a new certificate",
    ),
}  # fmt: skip
_ABOUT_THE_CLIENTS: Final = {
    "unknown_ca": Cause(
        "the server does not trust the authority that signed the client's certificate", CLIENT, _GIVE_ONE,
        "add that authority to those it trusts (`ssl_client_certificate` of nginx, `ca-file` of haproxy)",
    ),
    "bad_certificate": _CLIENTS_NOT_ACCEPTED,
    "certificate_unknown": _CLIENTS_NOT_ACCEPTED,
    "certificate_expired": Cause("the client's certificate is out of date, says the server", CLIENT,
                                 "renew the client's certificate", "check the clock of its host"),
    "certificate_revoked": Cause("the client's certificate is revoked, says the server", CLIENT,
                                 "use a new certificate", "`ssl_crl` of nginx says which are revoked"),
}  # fmt: skip
_CAUSES: Final = {
    "unrecognized_name": Cause(
        "the server has no certificate for {name}, the name that was asked for", CLIENT,
        "ask for a name that the server has, or let {name} resolve to the server that has it",
        "add a server for {name} (`server_name` of nginx), or a default certificate",
    ),
    "protocol_version": Cause(
        "client and server have no version of TLS in common", -1,
        "let it speak TLS 1.2 and 1.3, or update the library that cannot",
        "`ssl_protocols TLSv1.2 TLSv1.3` of nginx, `ssl-min-ver TLSv1.2` of haproxy allow what most clients speak",
    ),
    "handshake_failure": Cause(
        "client and server found no cipher and no certificate that suit both", WHO_WAS_REFUSED,
        "offer the usual ciphers (`openssl s_client` shows which work)",
        "look at `ssl_ciphers` of nginx, and whether it has a certificate for this name and kind of key at all",
    ),
    "certificate_required": _NONE_GIVEN,
    "no_application_protocol": Cause(
        "client and server have no application protocol in common (ALPN)", -1,
        "offer what the server speaks (`http/1.1`, `h2`)", "allow what the client offers",
    ),
}  # fmt: skip
_HIDDEN: Final = {
    CLIENT: Cause(
        "the client ended the handshake where it should have completed it, as one that does not accept the server's "
        "certificate", -1, "its own log or error says what it does not accept; or " + _LOOK_AT_IT,
        "look at dates, names and chain of its certificate",
    ),
    SERVER: Cause(
        "the server ended it right after the client had completed its part, as one that wants a client certificate and "
        "got none that it accepts", CLIENT, _GIVE_ONE,
        "`ssl_verify_client` of nginx, `client_auth` of Caddy say who needs one; its log may name the reason",
    ),
}  # fmt: skip
"""Alerts whose name is encrypted, by who sent them."""
_AFTER_THE_HELLOS: Final = Cause(
    "the {who} ended the handshake after both had agreed on version and cipher",
    WHO_WAS_REFUSED,
    "give it a client certificate if the server wants one (`--cert` of curl)",
    "its log names the reason; `ssl_verify_client` of nginx says whether it wants a client certificate",
)
_OTHER: Final = Cause(
    "the {who} ended the handshake", -1, "`openssl s_client -connect HOST:PORT -servername {name}` shows what is sent",
    "its log names the reason at level info",
)  # fmt: skip
_BY_WANT_OF_A_CERTIFICATE: Final = frozenset({"handshake_failure", "certificate_required", "bad_certificate",
                                              "no_certificate"})  # fmt: skip
"""What servers say to a client that was asked for a certificate and has none (RFC 5246, 7.4.6; RFC 8446, 4.4.2.4)."""


def cause_of(said: Said) -> Cause:
    """What ended a handshake, by its alert, who sent it, and what had passed before it."""
    alert = said.error.removeprefix("alert ")
    if said.no_certificate_frame and said.error_by == SERVER and alert in _BY_WANT_OF_A_CERTIFICATE:
        return _NONE_GIVEN
    if alert == HIDDEN and said.error_by in _HIDDEN:
        return _HIDDEN[said.error_by]
    if alert == "handshake_failure" and said.answer_frame:
        return _AFTER_THE_HELLOS
    about_a_certificate = _ABOUT_THE_SERVERS if said.error_by == CLIENT else _ABOUT_THE_CLIENTS
    return about_a_certificate.get(alert) or _CAUSES.get(alert, _OTHER)
