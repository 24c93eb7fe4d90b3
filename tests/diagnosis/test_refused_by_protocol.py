"""PI602 refused-by-protocol."""

from __future__ import annotations

import dataclasses
import re

import pytest

from pcapflow.anomalies.model import Severity
from pcapflow.diagnosis.refusals import REFUSALS, refusal_of
from pcapflow.payload.said import Said
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import OPEN, incidents, only, repeated, told
from tests.ladders import ISNS

REFUSED = f"""{OPEN}
      3  > P.  1:51    ack 1
      4  < P.  1:91    ack 51
      5  < F.  91:91   ack 51
      6  > F.  51:51   ack 92
      7  < .   92:92   ack 52
"""


def error(flow: int, protocol: str, code: str, words: str, by: int = 1) -> Said:
    return Said(
        flow=flow, protocol=protocol, what=f"{protocol}: {code} {words}", error=words, error_code=code, error_by=by,
        error_frame=5 + 8 * flow,
    )  # fmt: skip


@fires("PI602")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_a_limit_is_told_with_its_setting(isn: tuple[int, int]) -> None:
    said = [error(flow, "postgres", "53300", "sorry, too many clients already") for flow in range(1, 5)]
    served = Said(flow=0, protocol="postgres", what="postgres: select 1", request="select 1", request_frame=4)
    found = incidents(repeated(REFUSED, 5), isn=isn, said=[*said, served])

    refused = only(found, "refused-by-protocol")
    assert refused.headline == (
        "198.51.100.2:80 refused 4 of 5 connections of 192.0.2.1 because its limit of connections was reached, since "
        "00:00:00 UTC."
    )
    assert refused.blame.text == "server 198.51.100.2:80"
    assert refused.severity is Severity.MEDIUM
    assert "too many clients already" in refused.why[0].text
    assert "1 other connection was not refused" in refused.why[1].text
    assert "`max_connections`" in refused.remedy[0].text


@fires("PI602")
def test_a_client_that_is_not_let_in_has_to_mend_its_log_in() -> None:
    found = incidents(repeated(REFUSED, 1), said=[error(0, "redis", "NOAUTH", "Authentication required.")])

    refused = only(found, "refused-by-protocol")
    assert refused.blame.text == "client 192.0.2.1"
    assert refused.severity is Severity.LOW
    assert refused.remedy[0].side == "Client"


@fires("PI602")
def test_a_setting_that_lets_nobody_in_is_the_servers_to_mend() -> None:
    found = incidents(repeated(REFUSED, 3), said=[error(n, "redis", "DENIED", "protected mode") for n in range(3)])

    refused = only(found, "refused-by-protocol")
    assert refused.blame.text == "server 198.51.100.2:80"
    assert refused.remedy[0].side == "Server"


@fires("PI602")
def test_who_was_let_in_and_made_a_mistake_was_not_refused() -> None:
    mistakes = [error(flow, "redis", "ERR", "unknown subcommand") for flow in range(2)]
    said = [*mistakes, error(2, "redis", "ERR", "max number of clients reached")]
    refused = only(incidents(repeated(REFUSED, 3, apart_ms=0), said=said), "refused-by-protocol")

    assert (
        refused.why[1].text
        == "2 other connections were not refused, and both of them were open when the first was refused"
    )


@spares("PI602")
@pytest.mark.parametrize(
    "said",
    [
        error(0, "redis", "ERR", "unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP."),
        error(0, "postgres", "42703", 'column "nothing" does not exist'),
        error(0, "http", "404", "Not Found"),
        error(0, "http", "503", "said by the client", by=0),
    ],
    ids=lambda said: f"{said.protocol} {said.error_code} by {said.error_by}",
)
def test_an_error_about_one_request_is_no_refusal(said: Said) -> None:
    assert not told(incidents(repeated(REFUSED, 1), said=[said]), "refused-by-protocol")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (error(0, "mysql", "1040", "Too many connections"), "limit of connections"),
        (error(0, "redis", "ERR", "max number of clients reached"), "limit of clients"),
        (error(0, "ssh", "", "Exceeded MaxStartups"), "log-ins were unfinished"),
        (error(0, "smtp", "421", "Too many concurrent connections"), "takes no more mail"),
        (error(0, "postgres", "08P01", "no more connections allowed (max_client_conn)"), "pooler's limit"),
        (error(0, "ftp", "530", "Sorry, the maximum number of allowed clients (2) are already connected."), "limit of"),
        (error(0, "ftp", "530", "Login incorrect."), "user or the password"),
        (error(0, "imap", "AUTHENTICATIONFAILED", "Authentication failed."), "user or the password"),
        (error(0, "ldap", "49", "invalidCredentials"), "way of the log-in"),
        (error(0, "http", "504", "Gateway Time-out"), "did not answer in time"),
    ],
)
def test_each_protocol_has_its_own_words(said: Said, reason: str) -> None:
    refusal = refusal_of(said)

    assert refusal is not None
    assert reason in refusal.reason


def test_a_tunnel_that_a_proxy_does_not_open_is_a_refusal_and_a_forbidden_page_is_none() -> None:
    forbidden = error(0, "http", "403", "Forbidden")

    assert refusal_of(dataclasses.replace(forbidden, request="CONNECT db.internal:8443")) is not None
    assert refusal_of(dataclasses.replace(forbidden, request="GET /secret")) is None


def test_every_refusal_is_well_formed() -> None:
    for refusal in REFUSALS:
        re.compile(refusal.code)
        re.compile(refusal.words)
        re.compile(refusal.request)
        assert all((refusal.reason, refusal.server, refusal.client))


TURNED_AWAY = f"""{OPEN}
      3  < F.  1:1    ack 1
      4  > F.  1:1    ack 2
      5  < .   2:2    ack 2
"""
GREETED = f"""{OPEN}
      3  < P.  1:31   ack 1
      4  > .   1:1    ack 31
"""
LOOKED = f"""{OPEN}
      3  > F.  1:1    ack 1
      4  < F.  1:1    ack 2
      5  > .   2:2    ack 2
"""


@fires("PI602")
def test_a_server_that_ends_connections_without_a_word_turns_them_away() -> None:
    found = incidents([*repeated(GREETED, 2), *repeated(TURNED_AWAY, 5, apart_ms=400, at_ms=900, first_port=42_000)])

    refused = only(found, "refused-by-protocol")
    assert refused.headline == (
        "198.51.100.2:80 turned away 5 of 7 connections of 192.0.2.1: it accepted and ended them without a word, since "
        "00:00:00 UTC."
    )
    assert refused.severity is Severity.MEDIUM
    assert refused.blame.text == "server 198.51.100.2:80"
    assert "2 of them open when the first was turned away" in refused.why[1].text


@spares("PI602")
def test_who_only_looks_and_closes_first_was_not_turned_away() -> None:
    assert not told(incidents(repeated(LOOKED, 6, apart_ms=400)), "refused-by-protocol")


@spares("PI602")
def test_connections_that_all_end_in_one_moment_were_not_turned_away() -> None:
    assert not told(incidents(repeated(TURNED_AWAY, 6, apart_ms=10)), "refused-by-protocol")
