"""What connections say in words: each protocol by real bytes and a real tshark, with the nearest that says less."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

import pcapflow
from fixtures.captures import BENIGN
from pcapflow.payload.said import NOBODY, Said
from pcapflow.tcp.states import CLIENT, SERVER
from tests.payload.conversations import (
    MYSQL_GREETING,
    MYSQL_LOGIN,
    MYSQL_OK,
    SSL_REQUEST,
    TOO_MANY_CLIENTS,
    Setting,
    Step,
    Talk,
    as_it_comes,
    at_least_tls_1_3,
    at_most_tls_1_2,
    mysql_error,
    mysql_packet,
    postgres_error,
    postgres_query,
    postgres_startup,
    spoken,
    tls_handshake,
    without_certificate,
    written,
)
from tests.reader.frames import ACK, FIN

pytestmark = pytest.mark.usefixtures("tshark")


@pytest.fixture
def said(tmp_path: Path) -> Listener:
    return Listener(tmp_path)


class Listener:
    """What tshark and pcapflow make of one connection.

    Attributes:
        folder: where the captures are written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *steps: Step, port: int = 7000, mss: int = 1400, seq: int = 0xFFFF_FF00) -> Said:
        """The words; the client's sequence numbers wrap on the way."""
        path = written(self.folder / "a.pcap", spoken(steps, port=port, mss=mss, seq=seq))
        payload = pcapflow.analyze(path, payload=True).payload
        assert payload.note == ""
        return payload.said[0]


REQUEST = b"GET /health?token=secret HTTP/1.1\r\nHost: a\r\n\r\n"


# HTTP


def test_a_request_and_its_status(said: Listener) -> None:
    words = said((">", REQUEST), ("<", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    assert words.what == "GET /health?… -> 200"
    assert (words.protocol, words.request, words.answer, words.error) == ("http", "GET /health?…", "200", "")
    assert (words.frames, words.error_by) == ((4, 5), NOBODY)


def test_an_answer_that_fails_names_its_reason(said: Listener) -> None:
    words = said((">", REQUEST), ("<", b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 99999\r\n\r\n<html>"))
    assert words.what == "GET /health?… -> 503 Service Unavailable"
    assert (words.error, words.error_code, words.error_by, words.error_frame) == (
        "Service Unavailable",
        "503",
        SERVER,
        5,
    )


def test_a_request_without_an_answer_has_none(said: Listener) -> None:
    words = said((">", REQUEST))
    assert (words.what, words.answer, words.answer_frame) == ("GET /health?…", "", 0)


def test_of_several_exchanges_the_one_that_failed_is_told(said: Listener) -> None:
    fine = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    words = said(
        (">", b"GET /a HTTP/1.1\r\n\r\n"),
        ("<", fine),
        (">", b"GET /b HTTP/1.1\r\n\r\n"),
        ("<", b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"),
        (">", b"GET /c HTTP/1.1\r\n\r\n"),
        ("<", fine),
    )
    assert words.what == "GET /b -> 502 Bad Gateway"


def test_an_answer_to_a_request_that_was_not_seen_stands_alone(said: Listener) -> None:
    words = said(("<", b"HTTP/1.1 408 Request Time-out\r\nConnection: close\r\n\r\n"))
    assert words.what == "http -> 408 Request Time-out"
    assert words.request == ""


def test_goaway_of_http_2_is_an_error_unless_it_says_none(said: Listener) -> None:
    settings = b"\0\0\0\4\0\0\0\0\0"
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings

    def goaway(code: int) -> bytes:
        return settings + b"\0\0\x08\7\0\0\0\0\0\0\0\0\0" + code.to_bytes(4, "big")

    words = said((">", preface), ("<", goaway(11)))
    assert (words.what, words.error_code, words.error_by) == ("http2: GOAWAY 11", "11", SERVER)
    path = written(said.folder / "b.pcap", spoken([(">", preface), ("<", goaway(0))]))
    assert pcapflow.analyze(path, payload=True).payload.said == {}


# TLS


@pytest.mark.parametrize(
    ("server", "client", "alert", "code"),
    [
        (as_it_comes, as_it_comes, "handshake_failure", "40"),
        (at_least_tls_1_3, at_most_tls_1_2, "protocol_version", "70"),
    ],
    ids=["no certificate to choose", "no common version"],
)
def test_an_alert_names_the_server_that_was_asked_for(
    server: Setting, client: Setting, alert: str, code: str, said: Listener
) -> None:
    words = said(*tls_handshake(server, client))
    assert words.what == f"tls db.internal: alert {alert}"
    assert (words.server_name, words.error_code, words.error_by) == ("db.internal", code, SERVER)
    assert words.frames == (4, 5)
    assert words.offered == ("TLS 1.2" if client is at_most_tls_1_2 else "TLS 1.3")


def test_a_hello_that_was_cut_does_not_tell_which_versions_are_offered(said: Listener) -> None:
    steps = tls_handshake(at_least_tls_1_3, at_most_tls_1_2)
    frames = spoken(steps, port=7000, mss=1400, seq=0xFFFF_FF00)
    assert pcapflow.analyze(written(said.folder / "a.pcap", frames), payload=True).payload.said[0].offered == "TLS 1.2"
    path = written(said.folder / "a.pcap", frames, snaplen=150)
    words = pcapflow.analyze(path, payload=True).payload.said[0]
    assert (words.error, words.offered) == ("alert protocol_version", "")


def test_an_empty_list_of_certificates_is_told_where_a_client_sends_it(said: Listener) -> None:
    *hellos, (_, answer), _ = tls_handshake(without_certificate, without_certificate)[:4]
    empty = b"\x16\x03\x03\x00\x07\x0b\x00\x00\x03\x00\x00\x00"
    refused = b"\x15\x03\x03\x00\x02\x02\x28"
    words = said(*hellos, (">", empty + answer), ("<", refused))
    assert (words.no_certificate_frame, words.error, words.error_frame) == (6, "alert handshake_failure", 7)
    assert said(*hellos, (">", answer), ("<", refused)).no_certificate_frame == 0


def test_a_hello_cut_over_many_segments_is_read_whole(said: Listener) -> None:
    words = said(*tls_handshake(as_it_comes, as_it_comes), mss=100)
    assert words.server_name == "db.internal"


def test_a_client_that_asks_for_no_name_is_told_without(said: Listener) -> None:
    words = said(*tls_handshake(as_it_comes, as_it_comes, None))
    assert (words.what, words.server_name) == ("tls: alert handshake_failure", "")


def test_a_close_notify_is_known_by_its_record(said: Listener) -> None:
    steps = tls_handshake(without_certificate, without_certificate, closed=True)
    words = said(*steps)
    assert (words.what, words.version, words.error) == ("tls db.internal", "TLS 1.2", "")
    assert words.close_notify == (8, 9)
    assert said(*steps[:-2]).close_notify == (0, 0)


def test_data_as_long_as_an_alert_is_no_close_notify(said: Listener) -> None:
    *steps, (_, alert), _ = tls_handshake(without_certificate, without_certificate, closed=True)
    data = b"\x17" + alert[1:]
    assert said(*steps, (">", data)).close_notify == (0, 0)


def record(length: int) -> bytes:
    """An encrypted record of TLS 1.3."""
    return b"\x17\x03\x03" + length.to_bytes(2, "big") + bytes(length)


def tls_1_3(*steps: Step) -> list[Step]:
    """A hello, the server's choice of TLS 1.3 with its encrypted flight, and what follows."""
    hello = tls_handshake(as_it_comes, as_it_comes)[0]
    chosen = b"\x00\x2b\x00\x02\x03\x04"
    body = b"\x03\x03" + bytes(32) + b"\x00" + b"\x13\x01" + b"\x00" + len(chosen).to_bytes(2, "big") + chosen
    message = b"\x02" + len(body).to_bytes(3, "big") + body
    server_hello = b"\x16\x03\x03" + len(message).to_bytes(2, "big") + message
    return [hello, ("<", server_hello + record(400) + record(53)), *steps]


def test_an_encrypted_alert_of_the_server_is_known_by_its_place_and_length(said: Listener) -> None:
    words = said(*tls_1_3((">", record(25) + record(53)), (">", record(93)), ("<", record(19))))
    assert words.what == "tls db.internal: alert hidden by TLS 1.3"
    assert (words.version, words.error_by, words.error_code) == ("TLS 1.3", SERVER, "")


def test_an_encrypted_alert_of_the_client_stands_in_place_of_its_finished(said: Listener) -> None:
    words = said(*tls_1_3((">", record(19))))
    assert (words.error, words.error_by) == ("alert hidden by TLS 1.3", CLIENT)


@pytest.mark.parametrize(
    "steps",
    [
        [(">", record(53)), (">", record(93)), ("<", record(250)), ("<", record(19))],
        [(">", record(53)), (">", record(19)), ("<", record(19))],
        [(">", record(53) + record(19)), ("<", record(19))],
        [(">", record(53)), (">", record(93)), *[("<", record(2000))] * 6, ("<", record(19))],
    ],
    ids=["after an answer", "after the client's", "after the client's in one segment", "after a long answer"],
)
def test_a_farewell_of_tls_1_3_is_no_alert_of_the_handshake(steps: list[Step], said: Listener) -> None:
    words = said(*tls_1_3(*steps))
    assert (words.what, words.version, words.error) == ("tls db.internal", "TLS 1.3", "")


def test_a_server_that_says_farewell_to_a_client_that_has_gone_sends_no_alert(said: Listener) -> None:
    talk = Talk().open()
    for who, data in tls_1_3((">", record(53))):
        talk.say(who, data)
    talk.say(">", flags=ACK | FIN)
    talk.say("<", record(19))
    payload = pcapflow.analyze(written(said.folder / "c.pcap", talk.frames), payload=True).payload
    assert payload.said[0].error == ""


def test_a_close_notify_that_is_not_encrypted_is_no_error(said: Listener) -> None:
    hello = tls_handshake(as_it_comes, as_it_comes)[0]
    words = said(hello, ("<", b"\x15\x03\x03\x00\x02\x01\x00"))
    assert (words.error, words.close_notify) == ("", (0, 5))


def test_http_at_a_port_of_tls_is_told_as_that(said: Listener) -> None:
    words = said((">", REQUEST), ("<", b"\x15\x03\x01\x00\x02\x02\x46"))
    assert words.what == "GET /health?…: answered with tls: alert protocol_version"
    assert (words.protocol, words.error, words.error_by) == ("http", "answered in tls", SERVER)


def test_tls_at_a_port_of_http_is_told_as_that(said: Listener) -> None:
    hello = tls_handshake(as_it_comes, as_it_comes)[0]
    words = said(hello, ("<", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"))
    assert words.what == "tls db.internal: answered with 400 Bad Request"
    assert (words.protocol, words.server_name, words.error_code) == ("tls", "db.internal", "400")


# Databases


def test_postgres_refuses_with_its_own_words(said: Listener) -> None:
    words = said((">", postgres_startup(b"app", b"shop")), ("<", postgres_error(b"FATAL", b"53300", TOO_MANY_CLIENTS)))
    assert words.what == "postgres: FATAL 53300 sorry, too many clients already"
    assert (words.request, words.error_code, words.error_by) == ("connect to shop as app", "53300", SERVER)
    assert words.frames == (4, 5)


def test_a_notice_of_postgres_is_no_error_and_literals_are_left_out(said: Listener) -> None:
    words = said(
        (">", postgres_startup(b"app", b"shop")),
        (">", postgres_query(b"alter user app password 'secret'")),
        ("<", postgres_error(b"NOTICE", b"00000", b"as you like", b"N")),
    )
    assert (words.what, words.error) == ("postgres: alter user app password '…'", "")


def test_the_error_that_ended_a_session_goes_before_those_it_survived(said: Listener) -> None:
    words = said(
        (">", postgres_startup(b"app", b"shop")),
        (">", postgres_query(b"select nothing")),
        ("<", postgres_error(b"FATAL", b"57P05", b"terminating connection due to idle-session timeout")),
        ("<", postgres_error(b"ERROR", b"42703", b"no such column")),
    )
    assert words.error_code == "57P05"


def test_postgres_inside_tls_is_told_by_its_tls(said: Listener) -> None:
    hello, alert = tls_handshake(as_it_comes, as_it_comes)[:2]
    words = said((">", SSL_REQUEST), ("<", b"S"), hello, alert)
    assert words.what == "tls db.internal: alert handshake_failure"


def test_postgres_that_refuses_tls_goes_on_without(said: Listener) -> None:
    words = said(
        (">", SSL_REQUEST),
        ("<", b"N"),
        (">", postgres_startup(b"app", b"shop")),
        ("<", postgres_error(b"FATAL", b"28P01", b"password authentication failed")),
    )
    assert words.what == "postgres: FATAL 28P01 password authentication failed"


def test_an_interim_answer_is_not_the_answer(said: Listener) -> None:
    upload = (">", b"PUT /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    go_on = ("<", b"HTTP/1.1 100 Continue\r\n\r\n")
    assert said(upload, go_on).what == "PUT /a"
    done = ("<", b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
    assert said(upload, go_on, (">", b"ok"), done).what == "PUT /a -> 201"


@pytest.mark.parametrize("words", [b"Too many connections", b"#08004Too many connections"])
def test_mysql_refuses_before_its_greeting(words: bytes, said: Listener) -> None:
    told = said(("<", mysql_error(1040, words)))
    assert (told.what, told.error_code) == ("mysql: 1040 Too many connections", "1040")


def test_mysql_says_what_was_asked_and_what_went_wrong(said: Listener) -> None:
    talk: list[Step] = [
        ("<", MYSQL_GREETING),
        (">", MYSQL_LOGIN),
        ("<", MYSQL_OK),
        (">", mysql_packet(0, b"\x03select 'x'")),
    ]
    fine = said(*talk)
    assert (fine.what, fine.version, fine.error) == ("mysql: select '…'", "8.0.30", "")
    failed = said(*talk, ("<", mysql_error(1205, b"#HY000Lock wait timeout exceeded", 1)))
    assert failed.what == "mysql: 1205 Lock wait timeout exceeded"
    assert failed.request == "select '…'"


def test_redis_says_its_error_and_no_password(said: Listener) -> None:
    auth = b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n"
    refused = said((">", auth), ("<", b"-WRONGPASS invalid username-password pair\r\n"))
    assert refused.what == "redis: -WRONGPASS invalid username-password pair"
    assert (refused.request, refused.error_code) == ("AUTH", "WRONGPASS")
    taken = said((">", auth), ("<", b"+OK\r\n"))
    assert (taken.what, taken.error) == ("redis: AUTH", "")


def test_a_question_whether_redis_knows_a_command_is_no_error(said: Listener) -> None:
    probe = b"*3\r\n$6\r\nCLIENT\r\n$19\r\nMAINT_NOTIFICATIONS\r\n$2\r\nON\r\n"
    unknown = b"-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.\r\n"
    fetch = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n"
    went_on = said((">", probe), ("<", unknown), (">", fetch), ("<", b"+1\r\n"))
    assert (went_on.what, went_on.error) == ("redis: GET", "")
    asked = said((">", fetch), ("<", b"-ERR unknown command 'FETCH'\r\n"))
    assert asked.what == "redis: -ERR unknown command 'FETCH'"


# Lines


def test_ssh_is_told_by_the_program_of_the_server(said: Listener) -> None:
    words = said(("<", b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"), (">", b"SSH-2.0-Go\r\n"))
    assert (words.what, words.request, words.answer) == ("ssh OpenSSH_9.2p1", "Go", "OpenSSH_9.2p1")
    assert said((">", b"SSH-2.0-Go\r\n")).what == "ssh Go"


def test_smtp_turns_away_with_a_number(said: Listener) -> None:
    words = said(("<", b"421 4.7.0 Too many connections\r\n"), port=25)
    assert words.what == "smtp 421 4.7.0 Too many connections"
    assert (words.error_code, words.error_by) == ("421", SERVER)


def test_smtp_names_the_command_that_was_refused(said: Listener) -> None:
    talk: list[Step] = [("<", b"220 mx ESMTP\r\n"), (">", b"MAIL FROM:<a@b>\r\n")]
    refused = said(*talk, ("<", b"550 5.7.1 rejected\r\n"))
    assert (refused.what, refused.request) == ("smtp 550 5.7.1 rejected", "MAIL")
    fine = said(*talk, ("<", b"250 ok\r\n"))
    assert (fine.what, fine.error) == ("smtp 220 mx ESMTP", "")


def test_dns_names_what_was_asked_and_what_came_of_it(said: Listener) -> None:
    question = b"\x07nothing\x07example\0\0\1\0\1"

    def message(flags: bytes) -> bytes:
        body = b"\xab\xcd" + flags + b"\0\1\0\0\0\0\0\0" + question
        return len(body).to_bytes(2, "big") + body

    missing = said((">", message(b"\1\0")), ("<", message(b"\x81\x83")), port=53)
    assert (missing.what, missing.error_code, missing.error_by) == ("dns nothing.example: NXDOMAIN", "3", SERVER)
    fine = said((">", message(b"\1\0")), ("<", message(b"\x81\x80")), port=53)
    assert (fine.what, fine.answer, fine.error_by) == ("dns nothing.example", "NOERROR", NOBODY)


# What is hostile, and what real programs said


@pytest.mark.parametrize(
    "steps",
    [
        [(">", b"GET /\x1b[31m\xe2\x80\xae\xff" + b"A" * 3000 + b" HTTP/1.1\r\n\r\n")],
        [("<", b"HTTP/1.1 500 \x07\x1b]0;x" + b"B" * 3000 + b"\r\n\r\n")],
        [("<", postgres_error(b"FATAL", b"\x1b\n\x00", b"\x1b[2J\xff<script>" * 99))],
        [("<", b"-ERR \x1b[2J\x00\xff" + b"C" * 900 + b"\r\n")],
        [("<", b"421 \x1b[2J\x00\xff mail" + b"D" * 900 + b"\r\n")],
        [("<", b"SSH-2.0-\x1b[2J\xff" + b"E" * 200 + b"\r\n")],
        [("<", mysql_error(1040, b"\x1b[2J\n\xff" + b"F" * 900))],
    ],
    ids=["http request", "http answer", "postgres", "redis", "smtp", "ssh", "mysql"],
)
def test_hostile_text_is_bounded_and_printable(steps: Sequence[Step], said: Listener) -> None:
    words = said(*steps, mss=9000)
    texts = [value for name in Said.__slots__ if isinstance(value := getattr(words, name), str)]
    assert all(text.isprintable() for text in texts), texts
    assert max(map(len, texts)) <= 120


@pytest.mark.parametrize(
    ("name", "flow", "what"),
    [
        ("curl_not_found", 0, "GET /nothing -> 404 Not Found"),
        ("chromium_page_ipv6", 0, "GET /index.html -> 200"),
        ("postgres_psql", 2, 'postgres: ERROR 42703 column "nothing" does not exist'),
        ("postgres_pgbench", 0, "postgres: connect to postgres as postgres"),
        ("redis_cli", 1, "redis: SET"),
        ("ssh_commands", 0, "ssh OpenSSH_9.2p1"),
        ("https_to_nginx", 0, "tls"),
    ],
)
def test_real_programs_are_understood(name: str, flow: int, what: str) -> None:
    payload = pcapflow.analyze(BENIGN / f"{name}.pcap", payload=True).payload
    assert payload.said[flow].what == what
    assert payload.frames <= 400


def test_a_protocol_that_nobody_knows_has_no_words() -> None:
    payload = pcapflow.analyze(BENIGN / "rsync_module.pcap", payload=True).payload
    assert (payload.said, payload.frames, payload.note) == ({}, 0, "")


def test_who_said_an_alert_is_told(said: Listener) -> None:
    hello = tls_handshake(as_it_comes, as_it_comes)[0]
    assert said(hello, (">", b"\x15\x03\x03\x00\x02\x02\x30")).error_by == CLIENT


# FTP, IMAP, LDAP


def test_an_ftp_server_that_lets_nobody_in_says_why(said: Listener) -> None:
    words = said(
        ("<", b"220 ProFTPD Server\r\n"),
        (">", b"USER a\r\n"),
        ("<", b"331 Password required\r\n"),
        (">", b"PASS secret\r\n"),
        ("<", b"530 Login incorrect.\r\n"),
        (">", b"QUIT\r\n"),
        port=2121,
    )
    assert words.what == "ftp 530 Login incorrect."
    assert (words.request, words.error_code, words.error_by) == ("PASS", "530", SERVER)


def test_an_ftp_session_that_works_has_no_error(said: Listener) -> None:
    words = said(("<", b"220 (vsFTPd 3.0.3)\r\n"), (">", b"USER a\r\n"), ("<", b"230 Login successful.\r\n"))
    assert (words.protocol, words.what, words.error) == ("ftp", "ftp 220 (vsFTPd 3.0.3)", "")


def test_an_imap_server_that_does_not_know_the_password_says_so(said: Listener) -> None:
    words = said(
        ("<", b"* OK Dovecot ready.\r\n"),
        (">", b"a LOGIN b secret\r\n"),
        ("<", b"a NO [AUTHENTICATIONFAILED] Authentication failed.\r\n"),
    )
    assert words.what == "imap LOGIN: NO AUTHENTICATIONFAILED Authentication failed."
    assert (words.request, words.error_code, words.error_by) == ("LOGIN", "AUTHENTICATIONFAILED", SERVER)


def test_an_imap_session_that_works_has_no_error(said: Listener) -> None:
    words = said(("<", b"* OK ready\r\n"), (">", b"a LOGIN b secret\r\n"), ("<", b"a OK Logged in\r\n"))
    assert (words.what, words.error) == ("imap LOGIN", "")


def test_an_ldap_server_that_does_not_know_the_password_says_so(said: Listener) -> None:
    bind = b"\x30\x13\x02\x01\x01\x60\x0e\x02\x01\x03\x04\x03c=a\x80\x04pass"
    words = said((">", bind), ("<", b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x31\x04\x00\x04\x00"))
    assert words.what == "ldap bind: invalidCredentials (49)"
    assert (words.error_code, words.error_by) == ("49", SERVER)


def test_an_ldap_bind_that_succeeds_has_no_error(said: Listener) -> None:
    bind = b"\x30\x13\x02\x01\x01\x60\x0e\x02\x01\x03\x04\x03c=a\x80\x04pass"
    words = said((">", bind), ("<", b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00"))
    assert (words.protocol, words.what, words.error) == ("ldap", "ldap", "")
