"""PI304 idle-timeout-server."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Severity
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import OPEN, Connection, incidents, only, repeated, told
from tests.ladders import ISNS

ASKED = f"""{OPEN}
      3  > P.  1:101    ack 1
      5  < P.  1:201    ack 101
      6  > .   101:101  ack 201
"""
CLOSED = f"""{ASKED}
   2005  < F.  201:201  ack 101
   2006  > F.  101:101  ack 202
   2007  < .   202:202  ack 102
"""
RESET = f"""{ASKED}
   2005  < R.  201:201  ack 101
"""
OUTLIVED = f"""{ASKED}
   3003  > P.  101:201  ack 201
   3005  < P.  201:401  ack 201
   3006  > F.  201:201  ack 401
   3007  < F.  401:401  ack 202
   3008  > .   202:202  ack 402
"""


def closed_after(*idle_ms: int, apart_ms: float = 300, start: float = 0) -> list[Connection]:
    """Connections that the server closes after being idle for this long."""
    return [
        Connection(
            CLOSED.replace("2005", str(5 + idle)).replace("2006", str(6 + idle)).replace("2007", str(7 + idle)),
            start + i * apart_ms, ("192.0.2.1", 50_000 + i),
        )
        for i, idle in enumerate(idle_ms)
    ]  # fmt: skip


@fires("PI304")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_closes_after_the_same_idle_time_are_a_time_out_and_harmless(isn: tuple[int, int]) -> None:
    found = incidents(repeated(CLOSED, 6, apart_ms=300), isn=isn)

    told_of = only(found, "idle-timeout-server")
    assert told_of.headline == (
        "198.51.100.2:80 closed 6 of 6 connections of 192.0.2.1 after 2 s without a word, first at 00:00:02 UTC."
    )
    assert told_of.severity == Severity.INFO
    assert told_of.blame.text == "nobody"
    assert "2 s is the default of gunicorn (`--keep-alive`)" in told_of.why[0].text


@fires("PI304")
def test_a_server_that_resets_idle_connections_is_worth_mending_and_explains_the_resets() -> None:
    found = incidents(repeated(RESET, 6, apart_ms=300, server=("198.51.100.2", 3306)))

    told_of = only(found, "idle-timeout-server")
    assert told_of.severity == Severity.LOW
    assert told_of.blame.text == "server 198.51.100.2:3306"
    assert "`wait_timeout`" in told_of.remedy[-1].text
    assert len(told_of.explains) == 6


@fires("PI304")
def test_a_program_that_looks_for_idle_connections_once_a_second_has_a_time_out() -> None:
    found = incidents(closed_after(2100, 2900, 2500, 2300, 2700, 2990))

    assert only(found, "idle-timeout-server").count == 6


@fires("PI304")
def test_two_closes_at_different_times_after_a_usual_time_are_enough() -> None:
    assert only(incidents(closed_after(60_003, 60_010)), "idle-timeout-server").confidence == "likely"
    assert not told(incidents(closed_after(3503, 3510)), "idle-timeout-server")


@spares("PI304")
def test_idle_times_that_differ_are_no_time_out() -> None:
    assert not told(incidents(closed_after(900, 2500, 4100, 7000)), "idle-timeout-server")


@spares("PI304")
def test_connections_that_are_opened_and_closed_together_agree_by_chance() -> None:
    assert not told(incidents(repeated(CLOSED, 6, apart_ms=2)), "idle-timeout-server")


@spares("PI304")
def test_a_server_whose_connections_outlive_longer_silences_has_no_such_time_out() -> None:
    outlived = repeated(OUTLIVED, 5, apart_ms=300, first_port=41_000)

    assert not told(incidents([*repeated(CLOSED, 4, apart_ms=300), *outlived]), "idle-timeout-server")


@spares("PI304")
def test_a_device_that_resets_in_the_servers_name_is_no_server() -> None:
    foreign = RESET.replace("2005  < R.  201:201  ack 101", "2005  < R.  201:201  ack 101 ttl 44")

    assert not told(incidents(repeated(foreign, 4, apart_ms=300)), "idle-timeout-server")


@spares("PI304")
def test_a_client_that_leaves_them_all_in_close_wait_leaks() -> None:
    left = CLOSED.replace("2006  > F.  101:101  ack 202", "2006  > .   101:101  ack 202")
    left = left.replace("   2007  < .   202:202  ack 102\n", "")

    assert not told(incidents(repeated(left, 8, apart_ms=300), end_ms=9000), "idle-timeout-server")


@spares("PI304")
def test_a_server_that_owes_an_answer_when_it_closes_has_not_found_the_connection_idle() -> None:
    owed = f"""{OPEN}
      3  > P.  1:101    ack 1
      4  < .   1:1      ack 101
   2005  < F.  1:1      ack 101
   2006  > F.  101:101  ack 2
   2007  < .   2:2      ack 102
"""

    assert not told(incidents(repeated(owed, 6, apart_ms=300)), "idle-timeout-server")
