"""PI306 client-gave-up."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Severity
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import OPEN, Connection, incidents, only, repeated, told
from tests.ladders import ISNS

ASKS = f"""{OPEN}
      3  > P.  1:101    ack 1
      4  < .   1:1      ack 101
"""
GAVE_UP = f"""{ASKS}
   2003  > F.  101:101  ack 1
   2004  < .   1:1      ack 102
"""
LATE = f"""{GAVE_UP}
   3003  < P.  1:201    ack 102
   3004  > R   102:102
"""
ANSWERED = f"""{ASKS}
     13  < P.  1:201    ack 101
     14  > F.  101:101  ack 201
     15  < F.  201:201  ack 102
     16  > .   102:102  ack 202
"""
SLOWLY = f"""{ASKS}
   1803  < P.  1:201    ack 101
   1804  > F.  101:101  ack 201
   1805  < F.  201:201  ack 102
   1806  > .   102:102  ack 202
"""


@fires("PI306")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_clients_that_end_after_the_same_time_without_an_answer_gave_up_on_a_slow_server(isn: tuple[int, int]) -> None:
    found = incidents([*repeated(LATE, 4, apart_ms=300), *repeated(ANSWERED, 3, first_port=41_000)], isn=isn)

    told_of = only(found, "client-gave-up")
    assert told_of.headline == (
        "192.0.2.1 waited 2 s for an answer of 198.51.100.2:80 and gave up, on 4 of 7 connections since 00:00:00 UTC; "
        "4 answers came 3 s after the question, when the client had gone."
    )
    assert told_of.blame.text == "server 198.51.100.2:80"
    assert told_of.severity == Severity.MEDIUM
    assert any("the answer came 3 s after the question" in observation.text for observation in told_of.why)
    assert told_of.explains
    assert not told(found, "idle-timeout-client")


@fires("PI306")
def test_where_the_server_is_always_about_as_slow_the_client_is_impatient() -> None:
    found = incidents([*repeated(GAVE_UP, 4, apart_ms=300), *repeated(SLOWLY, 3, apart_ms=200, first_port=41_000)])

    told_of = only(found, "client-gave-up")
    assert told_of.blame.text == "client 192.0.2.1"
    assert told_of.remedy[0].side == "Client"
    assert "1.8 s" in told_of.why[1].text


@fires("PI306")
def test_one_client_that_ends_after_a_usual_time_probably_gave_up() -> None:
    told_of = only(incidents([Connection(GAVE_UP)]), "client-gave-up")

    assert (told_of.confidence, told_of.severity) == ("likely", Severity.LOW)


@fires("PI306")
def test_a_client_that_waits_in_vain_for_a_greeting_gave_up() -> None:
    mute = f"{OPEN}\n  10002  > F.  1:1  ack 1\n  10003  < .  1:1  ack 2\n"
    greeted = f"""{OPEN}
      3  < P.  1:80    ack 1
      4  > P.  1:50    ack 80
      5  < P.  80:90   ack 50
      6  > F.  50:50   ack 90
      7  < F.  90:90   ack 51
      8  > .   51:51   ack 91
"""
    database = ("198.51.100.2", 3306)
    found = incidents(
        [*repeated(mute, 3, apart_ms=500, server=database), *repeated(greeted, 2, first_port=41_000, server=database)]
    )

    assert "waited 10 s" in only(found, "client-gave-up").headline


@fires("PI306")
def test_where_connecting_fails_as_well_the_server_may_not_accept() -> None:
    unanswered = "0 > S 0:0\n1000 > S 0:0\n3000 > S 0:0\n"
    told_of = only(
        incidents([*repeated(GAVE_UP, 4, apart_ms=300), *repeated(unanswered, 3, first_port=41_000)], end_ms=9000),
        "client-gave-up",
    )

    assert told_of.confidence == "possible"


@spares("PI306")
def test_people_who_stop_waiting_have_no_time_out() -> None:
    stopped = [
        Connection(GAVE_UP.replace("2003", str(ms)).replace("2004", str(ms + 1)), 0, ("192.0.2.1", 50_000 + ms))
        for ms in (703, 1403, 2703, 5503)
    ]

    assert not told(incidents(stopped), "client-gave-up")


@spares("PI306")
def test_a_download_that_somebody_stops_was_being_answered() -> None:
    stopped = f"""{ASKS}
     13  < P.  1:1001     ack 101
   2000  < P.  1001:2001  ack 101
   2003  > R.  101:101    ack 2001
"""

    assert not told(incidents(repeated(stopped, 4, apart_ms=300)), "client-gave-up")


@spares("PI306")
def test_a_server_that_closes_first_ended_it_itself() -> None:
    closed = f"{ASKS}\n   2003  < F.  1:1  ack 101\n   2004  > F.  101:101  ack 2\n   2005  < .  2:2  ack 102\n"

    assert not told(incidents(repeated(closed, 4, apart_ms=300)), "client-gave-up")


@spares("PI306")
def test_an_idle_connection_owes_no_answer() -> None:
    idle = f"""{ASKS}
     13  < P.  1:201    ack 101
   2013  > F.  101:101  ack 201
   2014  < F.  201:201  ack 102
   2015  > .   102:102  ack 202
"""
    found = incidents(repeated(idle, 4, apart_ms=300))

    assert not told(found, "client-gave-up")
    assert told(found, "idle-timeout-client")


@spares("PI306")
def test_a_request_that_never_arrived_is_not_waited_for() -> None:
    lost = f"""{OPEN}
      3  > P.  1:101    ack 1
    203  > P.  1:101    ack 1
    603  > P.  1:101    ack 1
   2003  > F.  101:101  ack 1
"""

    assert not told(incidents(repeated(lost, 4, apart_ms=300)), "client-gave-up")


@spares("PI306")
def test_a_client_that_closes_its_half_and_takes_the_answer_did_not_give_up() -> None:
    half = f"""{GAVE_UP}
   3003  < P.  1:201    ack 102
   3004  > .   102:102  ack 201
   3005  < F.  201:201  ack 102
   3006  > .   102:102  ack 202
"""

    assert not told(incidents(repeated(half, 4, apart_ms=300)), "client-gave-up")


@spares("PI306")
def test_a_request_that_was_sent_again_and_again_tells_of_the_network() -> None:
    lossy = f"""{OPEN}
      3  > P.  1:101    ack 1
    203  > P.  1:101    ack 1
    603  > P.  1:101    ack 1
    604  < .   1:1      ack 101
   2003  > F.  101:101  ack 1
   2004  < .   1:1      ack 102
"""

    assert not told(incidents(repeated(lossy, 4, apart_ms=300)), "client-gave-up")


@fires("PI306")
def test_a_client_of_a_server_that_greets_by_its_port_waits_for_a_greeting() -> None:
    mute = f"{OPEN}\n  10002  > F.  1:1  ack 1\n  10003  < .  1:1  ack 2\n"

    assert told(incidents(repeated(mute, 3, apart_ms=500, server=("198.51.100.2", 3306))), "client-gave-up")
    assert not told(incidents(repeated(mute, 3, apart_ms=500)), "client-gave-up")


@fires("PI306")
def test_a_server_that_stalls_once_is_blamed_although_others_waited_as_well() -> None:
    quick_then_stalled = f"""{ASKS}
     13  < P.  1:201    ack 101
    513  > P.  101:201  ack 201
    514  < .   201:201  ack 201
   1404  < P.  201:401  ack 201
   1405  > .   201:201  ack 401
"""
    gave_up = f"""{ASKS}
     13  < P.  1:201    ack 101
    513  > P.  101:201  ack 201
    514  < .   201:201  ack 201
   1513  > F.  201:201  ack 201
   1514  < .   201:201  ack 202
"""
    found = incidents([*repeated(gave_up, 4, apart_ms=80), *repeated(quick_then_stalled, 3, first_port=41_000)])

    assert only(found, "client-gave-up").blame.text == "server 198.51.100.2:80"
