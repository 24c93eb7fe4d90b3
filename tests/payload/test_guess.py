"""The first bytes of a direction and the protocol that they are, each with the nearest that they are not."""

from __future__ import annotations

import pytest

from pcapflow.payload.guess import guessed
from tests.payload.conversations import (
    MYSQL_GREETING,
    SSL_REQUEST,
    mysql_error,
    postgres_error,
    postgres_startup,
)

CLIENT_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
FATAL = postgres_error(b"FATAL", b"53300", b"sorry")


@pytest.mark.parametrize(
    ("client", "server", "protocol"),
    [
        (CLIENT_HELLO, b"", "tls"),
        (b"", b"\x15\x03\x03\x00\x02\x02\x28", "tls"),
        (b"GET / HTTP/1.1\r\n", b"", "http"),
        (b"", b"HTTP/1.1 408 Request Time-out\r\n", "http"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"", "http2"),
        (postgres_startup(b"a", b"b"), b"", "pgsql"),
        (SSL_REQUEST, b"S", "pgsql"),
        (b"", FATAL, "pgsql"),
        (b"", MYSQL_GREETING, "mysql"),
        (b"", mysql_error(1040, b"Too many connections"), "mysql"),
        (b"*1\r\n$4\r\nPING\r\n", b"", "resp"),
        (b"PING\r\n", b"-NOAUTH Authentication required.\r\n", "resp"),
        (b"", b"220 mx ESMTP\r\n", "smtp"),
        (b"EHLO a\r\n", b"", "smtp"),
        (b"", b"220 ftp ready\r\n", "ftp"),
        (b"USER a\r\n", b"220 (vsFTPd 3.0.3)\r\n", "ftp"),
        (b"a LOGIN b c\r\n", b"* OK ready\r\n", "imap"),
        (b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00", b"", "ldap"),
        (b"\x30\x84\x00\x00\x00\x0c\x02\x01\x01\x63\x07\x02\x01\x03\x04\x00\x80\x00", b"", "ldap"),
        (b"", b"SSH-2.0-OpenSSH_9.2\r\n", "ssh"),
    ],
)
def test_a_protocol_is_known_on_any_port(client: bytes, server: bytes, protocol: str) -> None:
    assert guessed((client, server), 7000) == (protocol, protocol)


@pytest.mark.parametrize(
    ("client", "server"),
    [
        (b"", b""),
        (b"\x16\x04\x01\x02\x00", b""),
        (b"\x16", b""),
        (b"\x18\x03\x01\x00\x00", b""),
        (b"GETTING / HTTP/1.1\r\n", b""),
        (b"GET\r\n", b""),
        (b"", b"HTTP/2 200\r\n"),
        (postgres_startup(b"a", b"b")[1:], b""),
        (b"\x01" + SSL_REQUEST[1:], b""),
        (b"", FATAL.replace(b"SFATAL", b"Sfatal")),
        (b"", b"Error: SFATAL\0"),
        (b"", MYSQL_GREETING + b"x"),
        (b"", MYSQL_GREETING[:-1]),
        (b"*1\r\n4\r\n", b""),
        (b"", b"220 ready\r\n"),
        (b"", b"* OKAY\r\n"),
        (b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00", b""),
        (b"\x30\x84\x02\x01", b""),
        (b"\x30\xff\x02\x01\x01\x60\x07", b""),
        (b"", b"-no such thing\r\n"),
        (b"HELO", b""),
        (b"", b"ssh-2.0-x\r\n"),
    ],
)
def test_what_is_near_a_protocol_is_none(client: bytes, server: bytes) -> None:
    assert guessed((client, server), 7000) == ("", "")


def test_where_bytes_do_not_tell_a_few_ports_do() -> None:
    assert guessed((b"", b"220 hello\r\n"), 25) == ("smtp", "smtp")
    assert guessed((b"\x00\x1d\xab\xcd", b""), 53) == ("dns", "dns")
    assert guessed((b"\x00\x1d\xab\xcd", b""), 54) == ("", "")


def test_both_count_where_the_two_sides_differ() -> None:
    assert guessed((b"GET / HTTP/1.1\r\n", b"\x15\x03\x01\x00\x02\x02\x46"), 443) == ("http", "tls")
    assert guessed((CLIENT_HELLO, b"HTTP/1.1 400 Bad Request\r\n"), 80) == ("tls", "http")
