"""PI202 port-pressure."""

from __future__ import annotations

import re

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
    assert re.fullmatch(
        r"192\.0\.2\.1 closes 99\d connections a second to 198\.51\.100\.2:80, and each holds its port in TIME_WAIT "
        r"for 60 s: at that rate its 28,232 ports are used up within about 28 s; seen on 400 connections since "
        r"00:00:00 UTC\.",
        pressure.headline,
    )
    assert pressure.why[0].text.startswith("192.0.2.1 closed 400 connections within ")
    assert "at most 400 ports towards 198.51.100.2:80 were in use at once" in pressure.why[1].text
    assert "a burst that ends before the ports do harms nobody" in pressure.against[0]
    assert pressure.blame.text == "client 192.0.2.1"
    assert pressure.severity >= Severity.LOW


@fires("PI202")
def test_a_rate_that_takes_most_ports_and_not_all_is_told_with_their_share() -> None:
    found = incidents(repeated(CLOSED_BY_THE_CLIENT, 400, apart_ms=3))

    assert "at that rate 71% of its 28,232 ports are always taken" in only(found, "port-pressure").headline


@spares("PI202")
def test_a_rate_that_the_ports_carry_for_ever_is_health() -> None:
    assert not told(incidents(repeated(CLOSED_BY_THE_CLIENT, 400, apart_ms=125)), "port-pressure")


@spares("PI202")
def test_a_few_connections_are_no_rate() -> None:
    assert not told(incidents(repeated(CLOSED_BY_THE_CLIENT, 6, apart_ms=1)), "port-pressure")
