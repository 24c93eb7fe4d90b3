"""PI902 one-way-capture."""

from __future__ import annotations

import pytest

from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import OPEN, incidents, only, repeated, told
from tests.ladders import ISNS

CLIENT_ALONE = """
      0  > S   0:0
      2  > .   1:1      ack 1
      3  > P.  1:101    ack 1
      5  > .   101:101  ack 1001
      6  > P.  101:201  ack 1001
      8  > .   201:201  ack 2001
      9  > F.  201:201  ack 2001
     11  > .   202:202  ack 2002
"""
UNANSWERED = f"""{OPEN}
      3  > P.  1:101    ack 1
    204  > P.  1:101    ack 1
    608  > P.  1:101    ack 1
"""


@fires("PI902")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_a_capture_of_one_direction_is_one_fact(isn: tuple[int, int]) -> None:
    found = incidents(repeated(CLIENT_ALONE, 5, apart_ms=100), isn=isn)

    fact = only(found, "one-way-capture")
    assert fact.headline == (
        "This capture holds only what the clients sent in 5 of 5 connections: what the servers did cannot be known "
        "from it."
    )
    assert len(found) == 1


@spares("PI902")
def test_a_side_that_gets_no_answer_is_not_alone_in_the_capture() -> None:
    assert not told(incidents(repeated(UNANSWERED, 5, apart_ms=100)), "one-way-capture")


@spares("PI902")
def test_a_side_that_says_the_same_again_at_once_goes_not_on() -> None:
    """Wireshark calls what comes again within a moment out of order."""
    same = """
      0    > P.  1:31     ack 1
      0.1  > P.  1:34     ack 1
      0.2  > P.  1:35     ack 1
      0.3  > P.  1:26     ack 1
    """
    assert not told(incidents(repeated(same, 5, apart_ms=100)), "one-way-capture")
