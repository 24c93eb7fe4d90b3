"""PI601 tls-handshake-failed."""

from __future__ import annotations

import dataclasses

import pytest

from pcapflow.anomalies.model import Severity
from pcapflow.payload.said import Said
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import OPEN, incidents, only, repeated, told
from tests.ladders import ISNS

ENDED_BY_AN_ALERT = f"""{OPEN}
      3  > P.  1:301    ack 1
      4  < P.  1:8      ack 301
      5  < F.  8:8      ack 301
      6  > F.  301:301  ack 9
      7  < .   9:9      ack 302
"""


def alert(flow: int, words: str, code: str, by: int, name: str = "db.internal") -> Said:
    return Said(
        flow=flow, protocol="tls", what=f"tls {name}: alert {words}", error=f"alert {words}", error_code=code,
        error_by=by, error_frame=5 + 8 * flow, server_name=name,
    )  # fmt: skip


@fires("PI601")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_an_alert_in_the_handshake_is_told_with_the_name_and_the_side(isn: tuple[int, int]) -> None:
    found = incidents(
        repeated(ENDED_BY_AN_ALERT, 3),
        isn=isn,
        said=[alert(flow, "unrecognized_name", "112", 1) for flow in range(3)],
    )

    failed = only(found, "tls-handshake-failed")
    assert failed.headline == (
        "TLS to 198.51.100.2:80 fails on 3 of 3 connections of 192.0.2.1: the server has no certificate for "
        "`db.internal`, the name that was asked for (alert unrecognized_name of the server), since 00:00:00 UTC."
    )
    assert failed.blame.text == "client 192.0.2.1"
    assert failed.severity is Severity.MEDIUM
    assert "`server_name` of nginx" in failed.remedy[1].text


@fires("PI601")
def test_a_client_that_does_not_trust_the_server_says_so() -> None:
    found = incidents(repeated(ENDED_BY_AN_ALERT, 1), said=[alert(0, "unknown_ca", "48", 0)])

    failed = only(found, "tls-handshake-failed")
    assert "the client does not trust the authority that signed the server's certificate" in failed.headline
    assert "the client sent the alert unknown_ca (48)" in failed.why[0].text
    assert failed.severity is Severity.LOW


@fires("PI601")
def test_names_that_work_are_told_beside_the_one_that_does_not() -> None:
    works = Said(flow=0, protocol="tls", what="tls www.internal", server_name="www.internal", answer_frame=5)
    said = [works, *(alert(flow, "unrecognized_name", "112", 1) for flow in (1, 2))]
    failed = only(incidents(repeated(ENDED_BY_AN_ALERT, 3), said=said), "tls-handshake-failed")

    assert "1 other connection to it had no alert, for `www.internal` (frame 5)" in [seen.text for seen in failed.why]


@fires("PI601")
def test_a_client_without_a_certificate_is_told_as_that_where_it_sent_an_empty_list() -> None:
    after_hello = dataclasses.replace(alert(0, "handshake_failure", "40", 1), answer_frame=5)
    empty = dataclasses.replace(after_hello, no_certificate_frame=4)

    failed = only(incidents(repeated(ENDED_BY_AN_ALERT, 1), said=[empty]), "tls-handshake-failed")
    assert "the server wants a client certificate, and the client gave none" in failed.headline
    assert failed.why[1].text == "asked for its certificate, the client sent an empty list (frame 4)"
    failed = only(incidents(repeated(ENDED_BY_AN_ALERT, 1), said=[after_hello]), "tls-handshake-failed")
    assert "ended the handshake after both had agreed on version and cipher" in failed.headline
    no_hello = alert(0, "handshake_failure", "40", 1)
    failed = only(incidents(repeated(ENDED_BY_AN_ALERT, 1), said=[no_hello]), "tls-handshake-failed")
    assert "found no cipher and no certificate that suit both" in failed.headline


@fires("PI601")
def test_a_certificate_that_a_server_refuses_is_the_clients() -> None:
    found = incidents(repeated(ENDED_BY_AN_ALERT, 1), said=[alert(0, "certificate_expired", "45", 1)])

    failed = only(found, "tls-handshake-failed")
    assert "the client's certificate is out of date, says the server" in failed.headline
    assert failed.blame.side == "client"


@fires("PI601")
def test_the_version_that_the_client_offers_is_told() -> None:
    old = dataclasses.replace(alert(0, "protocol_version", "70", 1), offered="TLS 1.2", request_frame=4)
    failed = only(incidents(repeated(ENDED_BY_AN_ALERT, 1), said=[old]), "tls-handshake-failed")

    assert failed.why[1].text == "the client offers TLS 1.2 at most (frame 4)"


@fires("PI601")
def test_a_port_that_answers_tls_in_another_protocol_speaks_no_tls() -> None:
    plain = Said(
        flow=0, protocol="tls", what="tls: answered with 400 Bad Request", answer="http -> 400 Bad Request",
        error="answered in http", error_code="400", error_by=1, error_frame=5,
    )  # fmt: skip
    found = incidents(repeated(ENDED_BY_AN_ALERT, 1), said=[plain])

    assert only(found, "tls-handshake-failed").headline.startswith("198.51.100.2:80 does not speak TLS: 1 of 1 ")


@spares("PI601")
def test_a_handshake_that_succeeds_is_none_that_fails() -> None:
    good = Said(flow=0, protocol="tls", what="tls db.internal", server_name="db.internal", version="TLS 1.3")

    assert not told(incidents(repeated(ENDED_BY_AN_ALERT, 1), said=[good]), "tls-handshake-failed")


@spares("PI601")
def test_without_the_words_nothing_is_guessed() -> None:
    assert not told(incidents(repeated(ENDED_BY_AN_ALERT, 3)), "tls-handshake-failed")


@fires("PI601")
@pytest.mark.parametrize(
    ("by", "words", "blamed"), [(0, "does not accept", "nobody"), (1, "wants a client certificate", "client")]
)
def test_an_alert_whose_name_is_encrypted_is_told_by_its_place(by: int, words: str, blamed: str) -> None:
    said = [alert(flow, "hidden by TLS 1.3", "", by) for flow in range(3)]
    failed = only(incidents(repeated(ENDED_BY_AN_ALERT, 3), said=said), "tls-handshake-failed")

    assert "(TLS 1.3 encrypts the alert of the " in failed.headline
    assert words in failed.headline
    assert failed.confidence == "likely"
    assert blamed in {failed.blame.kind, failed.blame.side}
