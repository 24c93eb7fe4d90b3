"""PI408 slow-reader."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Severity
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import OPEN, Connection, incidents, only, repeated, told
from tests.ladders import ISNS

SHUT = f"""{OPEN}
     10  > P.  1:1001     ack 1
     11  < .   1:1        ack 1001  win 0
    300  > .   1000:1000  ack 1
    301  < .   1:1        ack 1001  win 0
    900  > .   1000:1000  ack 1
    901  < .   1:1        ack 1001  win 0
"""
OPENED = """
   {0}  < .   1:1        ack 1001  win 65000
   {1}  > P.  1001:1101  ack 1
   {2}  < .   1:1        ack 1101
"""


def opened_after(ms: int) -> str:
    return SHUT + OPENED.format(ms, ms + 1, ms + 2)


@fires("PI408")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_a_server_whose_window_is_shut_for_long_does_not_read(isn: tuple[int, int]) -> None:
    found = incidents(repeated(opened_after(7011), 3, apart_ms=100), isn=isn)

    reader = only(found, "slow-reader")
    assert reader.headline == (
        "The server 198.51.100.2:80 did not read for up to 7 s on 3 connections, since 00:00:00 UTC: 192.0.2.1 had to "
        "wait."
    )
    assert reader.blame.text == "server 198.51.100.2:80"
    assert reader.severity is Severity.MEDIUM
    assert "frame" in reader.why[0].text


@fires("PI408")
def test_a_short_stall_is_mild() -> None:
    assert only(incidents([Connection(opened_after(2011))]), "slow-reader").severity is Severity.LOW


@fires("PI408")
def test_a_window_that_stays_shut_is_told_as_such() -> None:
    still = f"{SHUT} 2100 > . 1000:1000 ack 1 \n 2101 < . 1:1 ack 1001 win 0"
    headline = only(incidents([Connection(still)], end_ms=3000), "slow-reader").headline

    assert "stopped reading at 00:00:00 UTC on one connection, for " in headline
    assert "had not begun again at the end" in headline


CLOSED_BY_THE_CLIENT = f"""{OPEN}
      3  > F.  1:1  ack 1
      4  < .   1:1  ack 2
"""


@fires("PI408")
@pytest.mark.parametrize(("at_ms", "told_of"), [(-100, True), (500, True), (-5000, False)])
def test_a_server_that_stands_still_does_not_close_either(at_ms: float, told_of: bool) -> None:
    """What a client had closed long before the server stopped reading has another cause."""
    still = f"{SHUT} 2100 > . 1000:1000 ack 1 \n 2101 < . 1:1 ack 1001 win 0"
    left = Connection(CLOSED_BY_THE_CLIENT, 6000 + at_ms, ("192.0.2.1", 50_000))
    found = incidents([Connection(still, 6000), left], end_ms=20_000)

    reader = only(found, "slow-reader")
    assert any("the whole program seems to stand still" in seen.text for seen in reader.why) is told_of
    assert (len(reader.explains) > 1) is told_of


@spares("PI408")
def test_a_window_that_opens_again_at_once_was_a_burst() -> None:
    assert not told(incidents([Connection(opened_after(950))]), "slow-reader")
