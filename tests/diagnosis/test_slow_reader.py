"""PI408 slow-reader."""

from __future__ import annotations

import pytest

from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import OPEN, incidents, only, repeated, told
from tests.ladders import ISNS

SHUT = f"""{OPEN}
      3  > P.  1:101      ack 1
      4  < .   1:1001     ack 101
      5  > .   101:101    ack 1001  win 0
    210  < .   1000:1000  ack 101
    211  > .   101:101    ack 1001  win 0
   5000  > .   101:101    ack 1001  win 5000
   5001  < .   1001:2001  ack 101
   5002  > .   101:101    ack 2001  win 5000
"""
OPENED_AT_ONCE = SHUT.replace("5000  > .", "250  > .").replace("5001  <", "251  <").replace("5002  >", "252  >")


@fires("PI408")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_a_window_that_stays_shut_names_who_does_not_read_and_who_waits(isn: tuple[int, int]) -> None:
    found = incidents(repeated(SHUT, 2, apart_ms=20), end_ms=8000, isn=isn)

    slow = only(found, "slow-reader")
    assert slow.headline.startswith("The client 192.0.2.1 did not read what it was sent for up to 5 s")
    assert "198.51.100.2 had to wait" in slow.headline
    assert slow.blame.text == "client 192.0.2.1"


@spares("PI408")
def test_a_window_that_opens_again_at_once_stalls_nobody() -> None:
    assert not told(incidents(repeated(OPENED_AT_ONCE, 2, apart_ms=20), end_ms=8000), "slow-reader")
