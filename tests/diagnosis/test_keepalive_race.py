"""PI301 keepalive-race."""

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
CROSSED = f"""{ASKED}
   2005  < F.  201:201  ack 101
   2015  > P.  101:201  ack 201
   2016  < R   202:202
   2035  > .   201:201  ack 202
"""
CROSSED_BEFORE_THE_TAP = f"""{ASKED}
   1990  > P.  101:201  ack 201
   2005  < F.  201:201  ack 101
   2020  < R   201:201
"""
CROSSED_A_RESET = f"""{ASKED}
   2005  < R.  201:201  ack 101
   2015  > P.  101:201  ack 201
   2016  < R   201:201
"""
CLOSED_IDLE = f"""{ASKED}
   2005  < F.  201:201  ack 101
   2006  > F.  101:101  ack 202
   2007  < .   202:202  ack 102
"""
KNOWN = f"""{ASKED}
   2005  < F.  201:201  ack 101
   2006  > .   101:101  ack 202
   2500  > P.  101:201  ack 202
   2501  < R   202:202
"""


@fires("PI301")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
@pytest.mark.parametrize(
    "ladder", [CROSSED, CROSSED_BEFORE_THE_TAP, CROSSED_A_RESET], ids=["near server", "near client", "a reset"]
)
def test_requests_that_cross_the_close_after_the_same_idle_time_are_nobodys_fault(
    ladder: str, isn: tuple[int, int]
) -> None:
    found = incidents(
        [*repeated(ladder, 4, apart_ms=300), *repeated(CLOSED_IDLE, 3, apart_ms=400, first_port=41_000)], isn=isn
    )

    race = only(found, "keepalive-race")
    assert race.headline == (
        "198.51.100.2:80 closes connections that are idle for 2 s, and requests of 192.0.2.1 crossed such a close on "
        "the way and were lost, on 4 of 7 connections since 00:00:0"
        + ("1" if ladder is CROSSED_BEFORE_THE_TAP else "2")
        + " UTC."
    )
    assert race.blame.text == "nobody"
    assert race.severity == Severity.MEDIUM
    assert race.confidence == "certain"
    assert any("7 of 7 idle connections after 2 s" in observation.text for observation in race.why)
    assert "`keepalive_timeout` of nginx" in race.remedy[1].text
    assert not told(found, "idle-timeout-server")


@fires("PI301")
def test_the_clients_idle_time_is_told_beside_the_servers() -> None:
    race = only(incidents(repeated(CROSSED_BEFORE_THE_TAP, 3, apart_ms=300)), "keepalive-race")

    assert race.why[-1].text == (
        "the clients wrote again after up to 1.99 s of silence, and the server closes after 2.00 s"
    )


@fires("PI301")
def test_one_request_that_crosses_a_close_after_a_usual_time_is_likely_a_race() -> None:
    race = only(incidents([Connection(CROSSED)]), "keepalive-race")

    assert (race.confidence, race.severity, race.count) == ("likely", Severity.LOW, 1)
    assert race.against


@spares("PI301")
def test_who_had_acknowledged_the_fin_runs_no_race() -> None:
    found = incidents(repeated(KNOWN, 4, apart_ms=300))

    assert not told(found, "keepalive-race")
    assert told(found, "stale-reuse")


@spares("PI301")
def test_requests_that_cross_the_end_of_a_server_in_one_moment_run_no_race() -> None:
    stopped = [
        Connection(CROSSED.replace("2005", str(2505 - i * 150)).replace("2015", str(2515 - i * 150))
                   .replace("2016", str(2516 - i * 150)).replace("2035", str(2535 - i * 150)), i * 150,
                   ("192.0.2.1", 50_000 + i))
        for i in range(4)
    ]  # fmt: skip

    assert not told(incidents(stopped), "keepalive-race")


@spares("PI301")
def test_a_request_that_a_server_cuts_off_while_it_reads_crosses_no_idle_close() -> None:
    upload = f"""{ASKED}
    100  > P.  101:1101   ack 201
    110  < .   201:201    ack 1101
   1100  > P.  1101:2101  ack 201
   1110  < .   201:201    ack 2101
   2004  > P.  2101:3101  ack 201
   2005  < R.  201:201    ack 2101
"""

    assert not told(incidents(repeated(upload, 4, apart_ms=300)), "keepalive-race")
