"""PI401 host-down."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Severity
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import OPEN, Connection, incidents, only, repeated, told
from tests.ladders import ISNS

AT_WORK = f"""{OPEN}
    100  > P.  1:101    ack 1
    101  < P.  1:201    ack 101
    102  > .   101:101  ack 201
   1100  > P.  101:201  ack 201
   1101  < P.  201:401  ack 201
   1102  > .   201:201  ack 401
"""
FALLS_SILENT = f"""{AT_WORK}
   2100  > P.  201:301  ack 401
   2300  > P.  201:301  ack 401
   2700  > P.  201:301  ack 401
   3500  > P.  201:301  ack 401
   5100  > P.  201:301  ack 401
   8300  > P.  201:301  ack 401
"""
GOES_ON = f"""{AT_WORK}
   2100  > P.  201:301  ack 401
   2101  < P.  401:501  ack 301
   2102  > .   301:301  ack 501
   9100  > P.  301:401  ack 501
   9101  < P.  501:601  ack 401
   9102  > .   401:401  ack 601
"""
UNANSWERED = "0 > S 0:0\n 1000 > S 0:0\n 3000 > S 0:0"
OTHER = ("198.51.100.9", 80)


@fires("PI401")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_a_host_of_which_nothing_comes_any_more_is_one_incident(isn: tuple[int, int]) -> None:
    found = incidents(
        [
            *repeated(FALLS_SILENT, 4, apart_ms=100),
            *repeated(UNANSWERED, 2, at_ms=4000, apart_ms=300, first_port=50_000),
            # Another host goes on.
            Connection(GOES_ON, 50, ("192.0.2.1", 45_000), OTHER),
        ],
        end_ms=20_000,
        isn=isn,
    )

    down = only(found, "host-down")
    assert down.headline.startswith(
        "198.51.100.2 has not been heard since 00:00:01 UTC: 4 connections and 2 attempts had no answer"
    )
    assert down.blame.text == "server 198.51.100.2"
    assert down.severity is Severity.HIGH


@spares("PI401")
def test_a_host_that_others_still_hear_is_not_down() -> None:
    others = repeated(GOES_ON, 3, apart_ms=100, first_port=45_000, client="192.0.2.9")

    assert not told(incidents([*repeated(FALLS_SILENT, 4, apart_ms=100), *others], end_ms=20_000), "host-down")


@spares("PI401")
def test_one_silent_connection_is_no_host() -> None:
    found = incidents([Connection(FALLS_SILENT), *repeated(GOES_ON, 3, first_port=45_000)], end_ms=20_000)

    assert not told(found, "host-down")
