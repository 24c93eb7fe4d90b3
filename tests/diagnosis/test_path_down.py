"""PI402 path-down."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Severity
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import OPEN, Connection, incidents, only, repeated, told
from tests.ladders import ISNS

AT_WORK = f"""{OPEN}
     10  > P.  1:11   ack 1
     11  < P.  1:21   ack 11
     12  > .   11:11  ack 21
"""
ASKS = """
   1000  > P.  11:21  ack 21
   1200  > P.  11:21  ack 21
   1600  > P.  11:21  ack 21
   2400  > P.  11:21  ack 21
   4000  > P.  11:21  ack 21
   7200  > P.  11:21  ack 21
"""
STALLS = f"""{AT_WORK}{ASKS}
   7201  < P.  21:41  ack 21
   7202  > .   21:21  ack 41
"""
LOST = f"{AT_WORK}{ASKS}"
NO_ROUTE = f"""{AT_WORK}{ASKS}
   7210  > P.  11:21  ack 21  icmp 768
"""
REBOOTED = f"""{AT_WORK}{ASKS}
   7201  < R   21:21
"""
WORKS = f"""{AT_WORK}
   3000  > P.  11:21  ack 21
   3001  < P.  21:41  ack 21
   3002  > .   21:21  ack 41
"""


@fires("PI402")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_connections_that_stall_together_and_go_on_show_a_path_that_was_out(isn: tuple[int, int]) -> None:
    found = incidents(repeated(STALLS, 5, apart_ms=30), end_ms=9000, isn=isn)

    out = only(found, "path-down")
    assert out.headline == (
        "The path between 192.0.2.1 and 198.51.100.2 was out from 00:00:01 UTC on, for 3.1 s at least: 5 connections "
        "had no answer for up to 6.2 s, and then went on."
    )
    assert out.blame.text == "the path between 192.0.2.1 and 198.51.100.2"
    assert out.severity is Severity.MEDIUM
    assert any("(frames" in seen.text for seen in out.why)
    assert any(
        "was out for 3.1 s at least, until the last try without an answer (frame " in seen.text for seen in out.why
    )
    assert "a request time-out above 6.2 s survives such an outage" in out.remedy[1].text


@fires("PI402")
def test_several_hosts_that_fall_silent_at_once_share_a_path() -> None:
    found = incidents(
        [*repeated(LOST, 2), *repeated(LOST, 2, first_port=50_000, server=("203.0.113.9", 443))], end_ms=20_000
    )

    out = only(found, "path-down")
    assert "203.0.113.9" in out.headline
    assert out.severity is Severity.HIGH
    assert not told(found, "host-down")


@fires("PI402")
def test_a_router_that_knows_no_route_names_the_path() -> None:
    found = incidents(repeated(NO_ROUTE, 3, apart_ms=30), end_ms=20_000)

    out = only(found, "path-down")
    assert any("network unreachable" in seen.text for seen in out.why)
    assert (
        " (the router 255.255.255.255 says: network unreachable): 3 connections had no answer in the " in out.headline
    )
    assert not out.against


@fires("PI402")
def test_a_host_that_others_still_hear_is_not_down() -> None:
    talks = f"{WORKS} 15000 > P. 21:31 ack 41 \n 15001 < P. 41:61 ack 31"
    found = incidents([*repeated(LOST, 3), *repeated(talks, 2, client="192.0.2.77")], end_ms=20_000)

    out = only(found, "path-down")
    assert "between 192.0.2.1 and 198.51.100.2" in out.headline
    assert any("other hosts heard it meanwhile: 192.0.2.77" in seen.text for seen in out.why)


@spares("PI402")
def test_a_connection_that_works_meanwhile_shows_that_the_path_is_there() -> None:
    found = incidents([*repeated(STALLS, 5, apart_ms=30), Connection(WORKS, client=("192.0.2.1", 60_000))])

    assert not told(found, "path-down")


@spares("PI402")
@pytest.mark.parametrize("ladder", [REBOOTED, STALLS.replace("7200  >", "7100  >")], ids=["rebooted", "alone"])
def test_a_host_without_its_connections_or_one_stall_alone_is_another_thing(ladder: str) -> None:
    found = incidents(repeated(ladder, 1 if "21:41" in ladder else 4, apart_ms=30), end_ms=9000)

    assert not told(found, "path-down")
