"""PI305 idle-timeout-client."""

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
   3005  > F.  101:101  ack 201
   3006  < F.  201:201  ack 102
   3007  > .   102:102  ack 202
"""
GAVE_UP = f"""{OPEN}
      3  > P.  1:101    ack 1
      4  < .   1:1      ack 101
   3005  > F.  101:101  ack 1
   3006  < F.  1:1      ack 102
   3007  > .   102:102  ack 2
"""


@fires("PI305")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_a_client_that_closes_after_the_same_idle_time_has_a_time_out(isn: tuple[int, int]) -> None:
    told_of = only(incidents(repeated(CLOSED, 5, apart_ms=400), isn=isn), "idle-timeout-client")

    assert told_of.headline == (
        "192.0.2.1 closed 5 of 5 connections to 198.51.100.2:80 after 3 s without a word, first at 00:00:03 UTC."
    )
    assert told_of.severity == Severity.INFO
    assert told_of.blame.text == "nobody"


@fires("PI305")
def test_resets_of_idle_connections_are_explained_by_the_clients_time_out() -> None:
    reset = f"{ASKED}\n   3005  > R.  101:101  ack 201\n"
    told_of = only(incidents(repeated(reset, 5, apart_ms=400)), "idle-timeout-client")

    assert len(told_of.explains) == 5


@spares("PI305")
def test_who_waits_for_an_answer_is_not_idle() -> None:
    assert not told(incidents(repeated(GAVE_UP, 5, apart_ms=400)), "idle-timeout-client")


@spares("PI305")
def test_a_program_that_ends_and_closes_all_in_one_moment_has_no_time_out() -> None:
    ended = [Connection(_closed_at(5005 - 700 * i), 700 * i, ("192.0.2.1", 50_000 + i)) for i in range(6)]

    assert not told(incidents(ended), "idle-timeout-client")
    assert not told(incidents(repeated(CLOSED, 6, apart_ms=2)), "idle-timeout-client")


@spares("PI305")
def test_each_client_is_judged_by_itself() -> None:
    found = incidents([Connection(_closed_at(3005), 400.0 * i, (f"192.0.2.{1 + i}", 50_000)) for i in range(5)])

    assert not told(found, "idle-timeout-client")


def _closed_at(ms: int) -> str:
    ladder = CLOSED
    for late in range(3):
        ladder = ladder.replace(f" {3005 + late} ", f" {ms + late} ")
    return ladder


@spares("PI305")
def test_a_client_that_ends_while_an_answer_does_not_arrive_is_not_idle() -> None:
    hole = f"""{OPEN}
      3  > P.  1:101     ack 1
      4  < .   1:1461    ack 101
    204  < .   1:1461    ack 101
    604  < .   1:1461    ack 101
   3004  > F.  101:101   ack 1
"""

    assert not told(incidents(repeated(hole, 5, apart_ms=400)), "idle-timeout-client")
