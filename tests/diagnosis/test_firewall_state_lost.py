"""PI403 firewall-state-lost."""

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
SILENT = f"""{AT_WORK}
   2100  > P.  201:301  ack 401
   2300  > P.  201:301  ack 401
   2700  > P.  201:301  ack 401
   3500  > P.  201:301  ack 401
   5100  > P.  201:301  ack 401
   8300  > P.  201:301  ack 401
"""
RESET_BY_ANOTHER = f"""{AT_WORK}
   2100  > P.  201:301  ack 401
   2101  < R   401:401  ttl 61
"""
RESET_BY_THE_SERVER = f"""{AT_WORK}
   2100  > P.  201:301  ack 401
   2101  < R   401:401
"""
WORKS = f"""{OPEN}
      5  > P.  1:101    ack 1
      6  < P.  1:201    ack 101
      7  > .   101:101  ack 201
"""


def capture(busy: str, later: str = WORKS) -> list[Connection]:
    return [
        *repeated(busy, 4, apart_ms=120),
        *repeated(later, 3, at_ms=5000, apart_ms=200, first_port=50_000),
    ]


@fires("PI403")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
@pytest.mark.parametrize("busy", [SILENT, RESET_BY_ANOTHER], ids=["silence", "RSTs of a device"])
def test_busy_connections_that_stop_while_new_ones_work_were_forgotten(busy: str, isn: tuple[int, int]) -> None:
    found = incidents(capture(busy), end_ms=20_000, isn=isn)

    lost = only(found, "firewall-state-lost")
    assert lost.headline.startswith(
        "A device on the path between 192.0.2.1 and 198.51.100.2 forgot 4 connections at 00:00:02 UTC"
    )
    assert lost.blame.kind == "path"
    assert lost.severity is Severity.MEDIUM
    assert "3 connections were opened between the same hosts after that and answered" in lost.why[1].text


@spares("PI403")
def test_where_new_ones_fail_as_well_it_is_more_than_a_table() -> None:
    unanswered = "0 > S 0:0\n 1000 > S 0:0\n 3000 > S 0:0"

    assert not told(incidents(capture(SILENT, unanswered), end_ms=20_000), "firewall-state-lost")


@spares("PI403")
def test_resets_of_the_server_itself_are_those_of_a_restart() -> None:
    assert not told(incidents(capture(RESET_BY_THE_SERVER), end_ms=20_000), "firewall-state-lost")


@spares("PI403")
def test_one_connection_alone_is_no_table() -> None:
    found = incidents([Connection(SILENT), *repeated(WORKS, 3, at_ms=5000, first_port=50_000)], end_ms=20_000)

    assert not told(found, "firewall-state-lost")


@spares("PI403")
def test_connections_that_had_been_idle_for_longer_than_others_outlived_ran_into_a_time_out() -> None:
    idle = SILENT
    for at in (2100, 2300, 2700, 3500, 5100, 8300):
        idle = idle.replace(f"   {at}  >", f"   {at + 20_000}  >")
    found = incidents([*repeated(idle, 4, apart_ms=120), *repeated(WORKS, 3, at_ms=25_000, first_port=50_000)])

    assert not told(found, "firewall-state-lost")


@spares("PI403")
def test_where_as_many_connections_went_on_no_table_was_lost() -> None:
    goes_on = f"{AT_WORK} 3100 > P. 201:301 ack 401 \n 3101 < P. 401:501 ack 301 \n 3102 > . 301:301 ack 501"
    found = incidents([*capture(SILENT), *repeated(goes_on, 5, first_port=60_000)], end_ms=20_000)

    assert not told(found, "firewall-state-lost")
