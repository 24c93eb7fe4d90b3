"""PI202 port-pressure."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Severity
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import OPEN, incidents, only, repeated, told
from tests.ladders import ISNS

CLOSED_BY_THE_CLIENT = f"""{OPEN}
      2.1  > P.  1:11   ack 1
      2.2  < P.  1:21   ack 11
      2.3  > F.  11:11  ack 21
      2.4  < F.  21:21  ack 12
      2.5  > .   12:12  ack 22
"""


@fires("PI202")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_connections_that_close_faster_than_ports_come_back_are_told_with_the_time_left(isn: tuple[int, int]) -> None:
    found = incidents(repeated(CLOSED_BY_THE_CLIENT, 400, apart_ms=1), isn=isn)

    pressure = only(found, "port-pressure")
    assert pressure.headline.startswith(
        "192.0.2.1 opens a connection to 198.51.100.2:80 for each request and closes it first: 400 connections since"
    )
    assert "a second go into TIME_WAIT, and at that rate its 28,232 ports are used up within about" in pressure.headline
    assert pressure.blame.text == "client 192.0.2.1"
    assert pressure.severity >= Severity.LOW


@spares("PI202")
def test_a_rate_that_the_ports_carry_for_ever_is_health() -> None:
    assert not told(incidents(repeated(CLOSED_BY_THE_CLIENT, 400, apart_ms=125)), "port-pressure")


@spares("PI202")
def test_a_few_connections_are_no_rate() -> None:
    assert not told(incidents(repeated(CLOSED_BY_THE_CLIENT, 6, apart_ms=1)), "port-pressure")
