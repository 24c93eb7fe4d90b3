"""PI302 stale-reuse."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Severity
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import OPEN, Connection, incidents, only, repeated, told
from tests.ladders import ISNS

CLOSED = f"""{OPEN}
      3  > P.  1:101    ack 1
      5  < P.  1:201    ack 101
      6  > .   101:101  ack 201
   5005  < F.  201:201  ack 101
"""
STALE = f"""{CLOSED}
   5006  > .   101:101  ack 202
   8006  > P.  101:201  ack 202
   8007  < R   202:202
"""
ENDED_AND_USED = f"""{OPEN}
      3  > P.  1:101    ack 1
      5  < P.  1:201    ack 101
      6  < F.  201:201  ack 101
      7  > .   101:101  ack 202
    207  > P.  101:201  ack 202
    208  < R   202:202  win 0
"""
CROSSED = f"""{CLOSED}
   5015  > P.  101:201  ack 201
   5016  < R   202:202
"""
GOODBYE = f"""{CLOSED}
   5006  > .   101:101  ack 202
   8006  > P.  101:131  ack 202
   8007  > F.  131:131  ack 202
   8008  < R   202:202
"""
HALF_CLOSED = f"""{CLOSED}
   5006  > .   101:101  ack 202
   8006  > P.  101:201  ack 202
   8007  < .   202:202  ack 201
   8010  > F.  201:201  ack 202
   8011  < .   202:202  ack 202
"""


@fires("PI302")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_a_pool_that_writes_to_what_the_server_closed_long_before_does_not_look(isn: tuple[int, int]) -> None:
    found = incidents(repeated(STALE, 5, apart_ms=700, server=("198.51.100.2", 5432)), isn=isn)

    stale = only(found, "stale-reuse")
    assert stale.headline == (
        "192.0.2.1 used 5 of 5 connections again that 198.51.100.2:5432 had closed 3 s before, after 5 s without a "
        "word, and lost what it wrote, since 00:00:08 UTC."
    )
    assert stale.blame.text == "client 192.0.2.1"
    assert stale.severity == Severity.MEDIUM
    assert "`pool_pre_ping=True`" in stale.remedy[0].text
    assert "`idle_session_timeout`" in stale.remedy[-1].text
    assert {incident.pattern for incident in found} == {"stale-reuse"}
    assert stale.explains


@fires("PI302")
def test_one_connection_that_is_used_after_its_close_is_told_at_low() -> None:
    assert only(incidents([Connection(STALE)]), "stale-reuse").severity == Severity.LOW


@fires("PI302")
def test_what_is_as_small_as_a_goodbye_is_told_at_low_with_that_doubt() -> None:
    small = STALE.replace("101:201  ack 202", "101:106  ack 202")
    stale = only(incidents(repeated(small, 4, apart_ms=700)), "stale-reuse")

    assert stale.severity == Severity.LOW
    assert any("goodbye" in doubt for doubt in stale.against)


@fires("PI302")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_connections_that_the_server_ends_with_its_answer_are_used_again(isn: tuple[int, int]) -> None:
    found = incidents(repeated(ENDED_AND_USED, 3, apart_ms=300), isn=isn)

    stale = only(found, "stale-reuse")
    assert stale.headline == (
        "192.0.2.1 wrote to connections that 198.51.100.2:80 had closed right after its answer, 200 ms before, and "
        "lost what it wrote, on 3 of 3 connections since 00:00:00 UTC."
    )
    assert stale.severity == Severity.MEDIUM
    assert "`Connection: close`" in stale.remedy[-1].text
    assert [incident.pattern for incident in found] == ["stale-reuse"]


@spares("PI302")
@pytest.mark.parametrize(
    "ladder",
    [
        # The client acknowledges the FIN and goes on with what it had begun to send.
        """
      3  > P.  1:101    ack 1
      4  < P.  1:201    ack 101
      5  < F.  201:201  ack 101
      6  > .   101:101  ack 202
      7  > P.  101:1501 ack 202
      8  < R   202:202  win 0
        """,
        # It was the client's turn to get an answer when the server closed.
        """
      3  > P.  1:101    ack 1
      4  < .   1:1      ack 101
      5  < F.  1:1      ack 101
      6  > .   101:101  ack 2
    206  > P.  101:201  ack 2
    207  < R   2:2  win 0
        """,
        # A goodbye: close_notify of TLS.
        """
      3  > P.  1:101    ack 1
      5  < P.  1:201    ack 101
      6  < F.  201:201  ack 101
      7  > .   101:101  ack 202
     30  > P.  101:138  ack 202
     31  < R   202:202  win 0
        """,
        # The server spoke before it was asked, and closed.
        """
      5  < P.  1:201    ack 1
      6  < F.  201:201  ack 1
      7  > .   1:1      ack 202
    207  > P.  1:101    ack 202
    208  < R   202:202  win 0
        """,
        # It is the client that resets.
        """
      3  > P.  1:101    ack 1
      5  < P.  1:201    ack 101
      6  < F.  201:201  ack 101
      7  > .   101:101  ack 202
    207  > P.  101:201  ack 202
    208  > R   201:201  win 0
        """,
    ],
    ids=["still sending", "no answer", "goodbye", "nothing asked", "its own reset"],
)
def test_a_close_in_the_middle_of_an_exchange_is_no_reuse(ladder: str) -> None:
    assert not told(incidents(repeated(OPEN + ladder, 3, apart_ms=300)), "stale-reuse")


@spares("PI302")
def test_who_could_not_know_of_the_fin_does_not_use_a_closed_connection() -> None:
    found = incidents(repeated(CROSSED, 4, apart_ms=300))

    assert not told(found, "stale-reuse")
    assert told(found, "keepalive-race")


@spares("PI302")
def test_a_goodbye_that_finds_nobody_is_no_use() -> None:
    assert not told(incidents(repeated(GOODBYE, 4, apart_ms=300)), "stale-reuse")


@spares("PI302")
def test_a_server_that_goes_on_reading_had_closed_its_half_only() -> None:
    assert not told(incidents(repeated(HALF_CLOSED, 4, apart_ms=300)), "stale-reuse")


@spares("PI302")
def test_what_a_restart_closed_in_one_moment_is_not_blamed_on_pools() -> None:
    stopped = [Connection(_closed_at(5505 - 500 * i), 500 * i, ("192.0.2.1", 50_000 + i)) for i in range(5)]

    assert not told(incidents(stopped), "stale-reuse")


def _closed_at(ms: int) -> str:
    late = {"5005": ms, "5006": ms + 1, "8006": ms + 2000 + ms, "8007": ms + 2001 + ms}
    ladder = STALE
    for old, new in late.items():
        ladder = ladder.replace(f" {old} ", f" {new} ")
    return ladder


@fires("PI302")
def test_a_connection_that_was_never_used_before_the_server_closed_it_is_stale_as_well() -> None:
    never_used = f"""{OPEN}
   1502  < F.  1:1      ack 1
   1503  > .   1:1      ack 2
   2602  > P.  1:101    ack 2
   2603  < R   2:2
    """
    stale = only(incidents(repeated(never_used, 5, apart_ms=700)), "stale-reuse")

    assert "had closed 1.1 s before, after 1.5 s without a word" in stale.headline


@spares("PI302")
def test_what_was_asked_before_the_close_and_is_still_owed_makes_it_no_idle_close() -> None:
    owed = f"""{OPEN}
      3  > P.  1:101    ack 1
      4  < .   1:1      ack 101
   1502  < F.  1:1      ack 101
   1503  > .   101:101  ack 2
   2602  > P.  101:201  ack 2
   2603  < R   2:2
    """
    assert not told(incidents(repeated(owed, 5, apart_ms=700)), "stale-reuse")
