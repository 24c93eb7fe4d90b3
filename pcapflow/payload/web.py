"""What HTTP and TLS said.

Source: RFC 9110, 9113; RFC 5246, 7.2, RFC 8446, 6 and B.2 (alerts), RFC 6066, 3 (server name).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from pcapflow.payload.layer import Layer
from pcapflow.payload.said import NOBODY, Said
from pcapflow.payload.talk import MOST_CHARACTERS, Heard, Talk, tidy
from pcapflow.tcp.states import CLIENT, SERVER

_FIRST_ERROR: Final = 400
_FIRST_SERVER_ERROR: Final = 500
_HTTP2_NO_ERROR: Final = "0"

_CLIENT_HELLO: Final = "1"
_SERVER_HELLO: Final = "2"
_EMPTY_LIST: Final = ("11", "3")
"""Type and length of a Certificate message of TLS 1.2 that holds nothing but the length of its list."""
_ALERT_RECORD: Final = "21"
_CLOSE_NOTIFY: Final = "0"
_ALERTS: Final = {
    "10": "unexpected_message",
    "20": "bad_record_mac",
    "21": "decryption_failed",
    "22": "record_overflow",
    "30": "decompression_failure",
    "40": "handshake_failure",
    "41": "no_certificate",
    "42": "bad_certificate",
    "43": "unsupported_certificate",
    "44": "certificate_revoked",
    "45": "certificate_expired",
    "46": "certificate_unknown",
    "47": "illegal_parameter",
    "48": "unknown_ca",
    "49": "access_denied",
    "50": "decode_error",
    "51": "decrypt_error",
    "60": "export_restriction",
    "70": "protocol_version",
    "71": "insufficient_security",
    "80": "internal_error",
    "86": "inappropriate_fallback",
    "90": "user_canceled",
    "100": "no_renegotiation",
    "109": "missing_extension",
    "110": "unsupported_extension",
    "111": "certificate_unobtainable",
    "112": "unrecognized_name",
    "113": "bad_certificate_status_response",
    "115": "unknown_psk_identity",
    "116": "certificate_required",
    "120": "no_application_protocol",
}
"""The registry of TLS alerts; ``close_notify`` (0) is no error."""
_VERSIONS: Final = {
    "0x0300": "SSL 3.0",
    "0x0301": "TLS 1.0",
    "0x0302": "TLS 1.1",
    "0x0303": "TLS 1.2",
    "0x0304": "TLS 1.3",
}

_INTERIM: Final = re.compile(r"1(?!01)\d\d")
"""Statuses that another follows; 101 is the last that HTTP says on a connection."""


HIDDEN: Final = "hidden by TLS 1.3"
"""In place of the alert's name."""
_HIDES: Final = "TLS 1.3"
_ALERT_BYTES: Final = "19"
"""Level, description and type, with the tag of AES-GCM or ChaCha20-Poly1305 (RFC 8446, 5.2)."""


class _Exchange(NamedTuple):
    """A request, and the answer to it where both were seen; an empty text where one was not."""

    request: str = ""
    request_frame: int = 0
    status: str = ""
    phrase: str = ""
    answer_frame: int = 0

    @property
    def badness(self) -> int:
        """How much it tells of a fault."""
        code = int(self.status) if self.status.isdecimal() and len(self.status) <= 3 else 0
        return (code >= _FIRST_ERROR) + (code >= _FIRST_SERVER_ERROR)


def http(talk: Talk) -> Said | None:
    """The exchange that tells most: the first that failed, or the first.

    Query strings are left out: they hold secrets.
    """
    exchanges: list[_Exchange] = []
    asked = _Exchange()
    for _, frame, layer in talk.of("http"):
        for status, phrase in _pairs(layer.all("response.code"), layer.all("response.phrase")):
            if _INTERIM.fullmatch(status):
                continue  # the answer itself is still to come (RFC 9110, 15.2)
            exchanges.append(asked._replace(status=status, phrase=phrase, answer_frame=frame))
            asked = _Exchange()
        for method, uri in _pairs(layer.all("request.method"), layer.all("request.uri")):
            if asked.request:
                exchanges.append(asked)
            asked = _Exchange(_request(method, uri), frame)
    return _worst(talk, "http", [*exchanges, asked])


def http2(talk: Talk) -> Said | None:
    """Likewise; a GOAWAY with an error is one."""
    exchanges: list[_Exchange] = []
    asked = _Exchange()
    goaway: Heard | None = None
    for heard in talk.of("http2"):
        layer = heard.layer
        for method, path in _pairs(layer.all("headers.method"), layer.all("headers.path")):
            if not asked.request:
                asked = _Exchange(_request(method, path), heard.frame)
        for status in layer.all("headers.status"):
            if _INTERIM.fullmatch(status):
                continue
            exchanges.append(asked._replace(status=tidy(status), answer_frame=heard.frame))
            asked = _Exchange()
        if layer.first("goaway.error") not in {"", _HTTP2_NO_ERROR}:
            goaway = heard
    if goaway is None:
        return _worst(talk, "http2", [*exchanges, asked])
    code = tidy(goaway.layer.first("goaway.error"))
    return Said(
        flow=talk.flow,
        protocol="http2",
        what=tidy(f"http2 {asked.request}: GOAWAY {code}" if asked.request else f"http2: GOAWAY {code}"),
        request=asked.request,
        request_frame=asked.request_frame,
        error="GOAWAY",
        error_code=code,
        error_by=goaway.endpoint,
        error_frame=goaway.frame,
    )


def tls(talk: Talk) -> Said | None:
    """The name that was asked for, and the alert that ended it."""
    name = version = offered = ""
    request_frame = answer_frame = no_certificate = 0
    closed = [0, 0]
    alert: tuple[str, Heard] | None = None
    is_known = False
    for heard in talk.of("tls"):
        layer = heard.layer
        is_known = True
        kinds = layer.all("handshake.type")
        if _CLIENT_HELLO in kinds and not request_frame:
            request_frame = heard.frame
            name = tidy(layer.first("handshake.extensions_server_name"))
            offered = _offered(layer)
        if _SERVER_HELLO in kinds and not answer_frame:
            answer_frame = heard.frame
            chosen = layer.first("handshake.extensions.supported_version") or layer.first("handshake.version")
            version = _VERSIONS.get(chosen, "")
        if heard.endpoint == CLIENT and _EMPTY_LIST in zip(kinds, layer.all("handshake.length"), strict=False):
            no_certificate = no_certificate or heard.frame
        descriptions = layer.all("alert_message.desc")
        for description in descriptions:
            if description == _CLOSE_NOTIFY:
                closed[heard.endpoint] = heard.frame
            elif alert is None:
                alert = description, heard
        # The content of an alert record after the handshake is encrypted; what ends a stream that was set up is the
        # notice of its end.
        records = layer.all("record.content_type") + layer.all("record.opaque_type")
        if records.count(_ALERT_RECORD) > len(descriptions):
            closed[heard.endpoint] = heard.frame
    if not is_known:
        return None
    hidden = _hidden_alert(talk) if version == _HIDES and alert is None else None
    what = f"tls {name}".strip()
    words = code = ""
    if alert is not None:
        code = tidy(alert[0])
        words = f"alert {_ALERTS.get(code, code)}"
    elif hidden is not None:
        words = f"alert {HIDDEN}"
    by = alert[1] if alert else hidden
    return Said(
        flow=talk.flow,
        protocol="tls",
        what=tidy(f"{what}: {words}" if words else what, MOST_CHARACTERS),
        request=name,
        request_frame=request_frame,
        answer=version,
        answer_frame=answer_frame,
        error=words,
        error_code=code,
        error_by=by.endpoint if by else NOBODY,
        error_frame=by.frame if by else 0,
        server_name=name,
        version=version,
        offered=offered,
        no_certificate_frame=no_certificate,
        close_notify=(closed[CLIENT], closed[SERVER]),
    )


def _hidden_alert(talk: Talk) -> Heard | None:
    """An encrypted alert in place of what was due, known by the length of its record: nothing else is as short.

    The client's is where its Finished should be. The server's is the first that it says after that, unless the client
    has ended the connection already (close_notify is as long).
    """
    finished = False
    for heard in talk.of("tls"):
        encrypted = len(heard.layer.all("record.opaque_type"))
        # Records in the clear come first in a segment.
        lengths = heard.layer.all("record.length")[-encrypted:] if encrypted else []
        if heard.endpoint == CLIENT and not finished:
            if lengths[:1] == [_ALERT_BYTES]:
                return heard
            finished = bool(lengths)
            if _ALERT_BYTES in lengths[1:]:
                return None
        elif lengths[:1] == [_ALERT_BYTES] and finished:
            return heard if heard.endpoint == SERVER and talk.whole else None
        elif heard.endpoint == SERVER and finished and lengths:
            return None
    return None


def _offered(hello: Layer) -> str:
    """The highest version in a client's hello: of its extension (RFC 8446, 4.2.1), or else its own (RFC 5246, E.1)."""
    listed = hello.all("handshake.extensions.supported_version")
    kinds = hello.all("handshake.extension.type")
    # No extension comes twice (RFC 8446, 4.2): of a hello that the capture cut, the rest was filled with zeros, each
    # four of which read as one. The extension that names the versions may be among what is missing.
    if not listed and len(set(kinds)) == len(kinds):
        listed = [hello.first("handshake.version")]
    known = [version for code, version in _VERSIONS.items() if code in listed]
    return known[-1] if known else ""


def _worst(talk: Talk, protocol: str, exchanges: list[_Exchange]) -> Said | None:
    exchanges = [exchange for exchange in exchanges if exchange.request or exchange.status]
    if not exchanges:
        return None
    worst = max(exchanges, key=lambda exchange: exchange.badness)
    is_error = worst.badness > 0
    answer = tidy(f"{worst.status} {worst.phrase}") if is_error else tidy(worst.status)
    what = f"{worst.request or protocol} -> {answer}" if answer else worst.request
    return Said(
        flow=talk.flow,
        protocol=protocol,
        what=tidy(what, MOST_CHARACTERS),
        request=worst.request,
        request_frame=worst.request_frame,
        answer=answer,
        answer_frame=worst.answer_frame,
        error=(tidy(worst.phrase) or answer) if is_error else "",
        error_code=tidy(worst.status) if is_error else "",
        error_by=SERVER if is_error else NOBODY,
        error_frame=worst.answer_frame if is_error else 0,
    )


def _request(method: str, uri: str) -> str:
    path, question, _ = uri.partition("?")
    return tidy(f"{method} {tidy(path)}{'?…' if question else ''}")


def _pairs(firsts: list[str], seconds: list[str]) -> list[tuple[str, str]]:
    """Both fields of each message in a layer; the second may be missing."""
    return [(first, seconds[place] if place < len(seconds) else "") for place, first in enumerate(firsts)]
