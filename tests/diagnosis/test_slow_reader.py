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
        "The server 198.51.100.2:80 did not read what it was sent for up to 7 s on 3 connections, since 00:00:00 UTC: "
        "192.0.2.1 had to wait."
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

    assert "had not begun again at the end" in headline


@spares("PI408")
def test_a_window_that_opens_again_at_once_was_a_burst() -> None:
    assert not told(incidents([Connection(opened_after(950))]), "slow-reader")
