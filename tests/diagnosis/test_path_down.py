"""PI402 path-down."""

from __future__ import annotations

import pytest

from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import incidents, only, repeated, told
from tests.diagnosis.test_host_down import AT_WORK, GOES_ON
from tests.ladders import ISNS

OUT_FOR_A_WHILE = f"""{AT_WORK}
   2100  > P.  201:301  ack 401
   2300  > P.  201:301  ack 401
   2700  > P.  201:301  ack 401
   3500  > P.  201:301  ack 401
   5100  > P.  201:301  ack 401
   5101  < .   401:401  ack 301
   5102  < P.  401:501  ack 301
   5103  > .   301:301  ack 501
"""


@fires("PI402")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_connections_that_all_pause_and_go_on_were_cut_off_by_the_path(isn: tuple[int, int]) -> None:
    found = incidents(repeated(OUT_FOR_A_WHILE, 4, apart_ms=100), end_ms=12_000, isn=isn)

    out = only(found, "path-down")
    assert out.headline.startswith("The path between 192.0.2.1 and 198.51.100.2 was out for ")
    assert "4 connections had no answer meanwhile, and then went on" in out.headline
    assert out.blame.kind == "path"


@spares("PI402")
def test_where_others_between_the_same_hosts_are_answered_meanwhile_the_path_is_there() -> None:
    busy = GOES_ON.replace("9100 ", "3900 ").replace("9101 ", "3901 ").replace("9102 ", "3902 ")
    found = incidents(
        [*repeated(OUT_FOR_A_WHILE, 2, apart_ms=100), *repeated(busy, 4, apart_ms=150, first_port=45_000)],
        end_ms=12_000,
    )

    assert not told(found, "path-down")
