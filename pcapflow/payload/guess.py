"""Which protocol the first bytes of a direction are: Wireshark goes by ports, and servers listen on any.

The names are Wireshark's, for its option ``-d``.
"""

from __future__ import annotations

import re
from typing import Final

_HTTP: Final = re.compile(
    rb"(?:HTTP/1\.[01] \d{3}|"
    rb"(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|CONNECT|TRACE|PROPFIND|REPORT|MKCOL|COPY|MOVE|LOCK|UNLOCK) [^ \r\n])"
)
_RESP: Final = re.compile(rb"\*\d{1,7}\r\n\$\d{1,9}\r\n|-[A-Z]{2,20} [^\r\n]*(?:\r\n|$)")
_SMTP_SERVER: Final = re.compile(rb"[245]\d\d[ -][^\r\n]*(?:SMTP|[Mm]ail)")
_SMTP_CLIENT: Final = re.compile(rb"(?:EHLO|HELO|LHLO) ")
_SMTP_REPLY: Final = re.compile(rb"[245]\d\d[ -]")
_SMTP_PORTS: Final = frozenset({25, 587, 2525})
_FTP_SERVER: Final = re.compile(rb"(?:220|421|530)[ -][^\r\n]*FTP", re.IGNORECASE)
_REPLY: Final = re.compile(rb"[1-5]\d\d[ -]")
_FTP_PORTS: Final = frozenset({21, 2121})
_IMAP_SERVER: Final = re.compile(rb"\* (?:OK|PREAUTH|BYE)[ \r]")
_SEQUENCE: Final = 0x30
_LDAP_BYTES: Final = 7
_LDAP_REQUESTS: Final = frozenset({0x60, 0x63})
"""The tags of a bind and of a search (RFC 4511, 4.2 and 4.5.1)."""
_DNS_PORT: Final = 53

_POSTGRES_CODES: Final = frozenset(
    {
        b"\x00\x03\x00\x00",  # StartupMessage 3.0
        b"\x00\x03\x00\x02",  # StartupMessage 3.2
        b"\x04\xd2\x16\x2f",  # SSLRequest
        b"\x04\xd2\x16\x30",  # GSSENCRequest
        b"\x04\xd2\x16\x2e",  # CancelRequest
    }
)
"""What follows the length of a client's first message (PostgreSQL, Message Formats)."""
_POSTGRES_ERROR: Final = re.compile(rb"E\x00\x00[\x00-\xff]{2}S[A-Z]{4,10}\x00")
_MYSQL_GREETING: Final = 10
_MYSQL_ERROR: Final = 255


def guessed(first: tuple[bytes, bytes], port: int) -> tuple[str, str]:
    """The protocols that client and server speak, "" where nothing is known.

    A direction that does not tell is taken to speak what the other does; two that differ both count: a browser may
    have spoken HTTP to a port of TLS.

    Args:
        first: the first bytes that the client sent, and those of the server.
        port: the server's.
    """
    client, server = _of_client(first[0], port), _of_server(first[1], port)
    return client or server, server or client


def _of_client(data: bytes, port: int) -> str:
    if data[4:8] in _POSTGRES_CODES and data[:2] == b"\x00\x00":
        return "pgsql"
    if data.startswith(b"PRI * HTTP/2.0\r\n"):
        return "http2"
    if _SMTP_CLIENT.match(data):
        return "smtp"
    if _is_ldap(data):
        return "ldap"
    return _of_either(data, port)


def _is_ldap(data: bytes) -> bool:
    """A sequence that begins with the number of a message, of one byte, and a request that begins a session."""
    if len(data) < _LDAP_BYTES or data[0] != _SEQUENCE:
        return False
    # The length may take further bytes, whose number the first one tells.
    start = 2 + (data[1] & 0x7F if data[1] & 0x80 else 0)
    return data[start : start + 2] == b"\x02\x01" and len(data) > start + 3 and data[start + 3] in _LDAP_REQUESTS


def _of_server(data: bytes, port: int) -> str:
    if _POSTGRES_ERROR.match(data):
        return "pgsql"
    # The length of the first packet, and its number, which is 0.
    is_packet = len(data) > 4 and data[3] == 0 and int.from_bytes(data[:3], "little") + 4 == len(data)
    if is_packet and data[4] in {_MYSQL_GREETING, _MYSQL_ERROR}:
        return "mysql"
    if _FTP_SERVER.match(data) or (port in _FTP_PORTS and _REPLY.match(data)):
        return "ftp"
    if _IMAP_SERVER.match(data):
        return "imap"
    if _SMTP_SERVER.match(data) or (port in _SMTP_PORTS and _SMTP_REPLY.match(data)):
        return "smtp"
    return _of_either(data, port)


def _of_either(data: bytes, port: int) -> str:
    if len(data) > 2 and 0x14 <= data[0] <= 0x17 and data[1] == 3 and data[2] <= 4:
        return "tls"
    if _HTTP.match(data):
        return "http"
    if data.startswith(b"SSH-"):
        return "ssh"
    if _RESP.match(data):
        return "resp"
    return "dns" if port == _DNS_PORT and len(data) > 2 else ""
