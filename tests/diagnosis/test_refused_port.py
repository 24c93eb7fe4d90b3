"""PI105 refused-port."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Severity
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import incidents, only, repeated, told
from tests.ladders import ISNS

REFUSED = """
      0  > S   0:0
      1  < R.  0:0    ack 1
"""
ANSWERED = """
      0  > S   0:0
      1  < S.  0:0    ack 1
      2  > .   1:1    ack 1
      3  > P.  1:11   ack 1
      4  < P.  1:21   ack 11
      5  > .   11:11  ack 21
"""


@fires("PI105")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_attempts_at_a_port_where_nothing_listens_are_one_incident(isn: tuple[int, int]) -> None:
    found = incidents(repeated(REFUSED, 5, apart_ms=1000), isn=isn)

    told_of = only(found, "refused-port")
    assert told_of.headline == "Nothing listens on 198.51.100.2:80: 5 attempts of 192.0.2.1 within 4 s were refused."
    assert told_of.blame.text == "server 198.51.100.2:80"
    assert told_of.count == 5
    assert told_of.severity is Severity.MEDIUM
    assert len(found) == 1


@fires("PI105")
def test_a_single_attempt_is_mild() -> None:
    told_of = only(incidents(repeated(REFUSED, 1)), "refused-port")

    assert told_of.headline == "Nothing listens on 198.51.100.2:80: the one attempt of 192.0.2.1 was refused."
    assert told_of.severity is Severity.LOW


@spares("PI105")
def test_a_port_that_accepts_others_has_a_listener() -> None:
    found = incidents([*repeated(ANSWERED, 1), *repeated(REFUSED, 5, at_ms=1000, first_port=41_000)])

    assert not told(found, "refused-port")
