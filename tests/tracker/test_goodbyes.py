"""TLS alerts at the end of what a side sent: a RST that loses no more than these loses nothing."""

from __future__ import annotations

import pytest

from pcapflow.tcp.endings import GOODBYE, NO_GOODBYE, PERHAPS_GOODBYE
from tests.ladders import Climb

CLOSED = """
      0  > S   0:0
      1  < S.  0:0     ack 1
      2  > .   1:1     ack 1
      5  > P.  1:101   ack 1
      6  < P.  1:501   ack 101
      7  > .   101:101 ack 501
     20  < F.  501:501 ack 101
     21  > .   101:101 ack 502"""
"""The server has answered and closed; what the client sends from 101 on draws a RST."""
RESET = """
     40  < R   502:502"""


def test_an_alert_that_nothing_followed_is_a_goodbye(follow: Climb) -> None:
    story = follow(f"""{CLOSED}
     30  > P.  101:132 ack 502 alert 1 {RESET}""")

    assert (story.flow("reset_goodbye"), story.flow("reset_pending")) == (GOODBYE, 31)


def test_an_alert_with_a_fin_and_a_second_one_are_a_goodbye(follow: Climb) -> None:
    story = follow(f"""{CLOSED}
     30  > P.  101:132 ack 502 alert 1
     31  > FP. 132:163 ack 502 alert 1 {RESET}""")

    assert story.flow("reset_goodbye") == GOODBYE


def test_an_alert_that_was_acknowledged_was_the_last_word_as_well(follow: Climb) -> None:
    story = follow(f"""{CLOSED}
     30  > P.  101:132 ack 502 alert 1
     31  < .   502:502 ack 132
     40  < R.  502:502 ack 132""")

    assert (story.flow("reset_goodbye"), story.flow("reset_pending")) == (GOODBYE, 0)


def test_an_alert_that_only_the_reset_acknowledges_was_received_by_nobody(follow: Climb) -> None:
    story = follow(f"""{CLOSED}
     30  > P.  101:132 ack 502 alert 1
     40  < R.  502:502 ack 132""")

    assert (story.flow("reset_goodbye"), story.flow("reset_pending")) == (GOODBYE, 31)


@pytest.mark.parametrize(
    "words",
    [
        "30 > P. 101:115 ack 502",
        "30 > P. 101:115 ack 502 \n 31 > P. 115:146 ack 502 alert 1",
        "30 > P. 101:132 ack 502 alert 1 \n 31 > P. 132:146 ack 502",
    ],
    ids=["a query", "a query before the alert", "a query after the alert"],
)
def test_a_query_is_no_goodbye(follow: Climb, words: str) -> None:
    assert follow(f"{CLOSED}\n{words}{RESET}").flow("reset_goodbye") == NO_GOODBYE


@pytest.mark.parametrize("kinds", [(2, 0), (1, 2), (2, 1)])
def test_what_the_snap_length_cut_off_is_a_goodbye_perhaps(follow: Climb, kinds: tuple[int, int]) -> None:
    one, other = kinds
    second = f"\n 31 > P. 132:163 ack 502 alert {other}" if other else ""

    assert follow(f"{CLOSED}\n 30 > P. 101:132 ack 502 alert {one}{second}{RESET}").flow("reset_goodbye") == (
        PERHAPS_GOODBYE
    )


def test_a_repeated_alert_is_still_the_last_word(follow: Climb) -> None:
    story = follow(f"""{CLOSED}
     30  > P.  101:132 ack 502 alert 1
    330  > P.  101:132 ack 502 alert 1
    340  < R   502:502""")

    assert story.flow("reset_goodbye") == GOODBYE


def test_without_a_reset_there_is_nothing_to_say(follow: Climb) -> None:
    assert follow(CLOSED).flow("reset_goodbye") == -1
