"""PI401 host-down."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Severity
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import incidents, only, repeated, told
from tests.diagnosis.test_path_down import LOST, NO_ROUTE, REBOOTED, STALLS, WORKS
from tests.ladders import ISNS

UNREACHABLE = f"{LOST} 7210 > P. 11:21 ack 21 icmp 769"
TRIED = """
   5000  > S  0:0
   6000  > S  0:0
   8000  > S  0:0
"""
ELSEWHERE = ("203.0.113.9", 443)


@fires("PI401")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_a_host_that_falls_silent_on_all_ports_while_another_is_heard_is_down(isn: tuple[int, int]) -> None:
    found = incidents(
        [
            *repeated(UNREACHABLE, 3, apart_ms=30),
            *repeated(LOST, 2, first_port=41_000, server=("198.51.100.2", 6379)),
            *repeated(TRIED, 2, first_port=42_000),
            *repeated(WORKS, 2, first_port=43_000, server=ELSEWHERE),
        ],
        end_ms=20_000,
        isn=isn,
    )

    down = only(found, "host-down")
    assert down.headline == (
        "198.51.100.2 has not been heard since 00:00:00 UTC: 5 connections and 2 attempts had no answer in the 19.9 s "
        "to the end of the capture."
    )
    assert down.blame.text == "server 198.51.100.2"
    assert (down.severity, down.confidence) == (Severity.HIGH, "likely")
    assert any("host unreachable" in seen.text for seen in down.why)
    assert any("other hosts were heard meanwhile: 203.0.113.9" in seen.text for seen in down.why)
    assert not down.against
    assert len(found) == 1


@fires("PI401")
def test_where_nothing_else_is_heard_the_path_may_be_cut() -> None:
    down = only(incidents(repeated(LOST, 3, apart_ms=30), end_ms=20_000), "host-down")

    assert down.confidence == "possible"
    assert down.against


@fires("PI401")
def test_a_host_that_comes_back_without_its_connections_was_rebooted() -> None:
    down = only(incidents(repeated(REBOOTED, 3, apart_ms=30), end_ms=9000), "host-down")

    assert "came back after" in down.headline
    assert "without its connections: 3 connections were lost" in down.headline
    assert down.severity is Severity.MEDIUM


@spares("PI401")
@pytest.mark.parametrize("ladder", [STALLS, NO_ROUTE], ids=["goes on", "no route"])
def test_a_path_that_is_out_is_not_a_host(ladder: str) -> None:
    assert not told(incidents(repeated(ladder, 4, apart_ms=30), end_ms=20_000), "host-down")


@spares("PI401")
def test_several_hosts_at_once_are_not_down_each_for_itself() -> None:
    both = [*repeated(LOST, 2), *repeated(LOST, 2, first_port=50_000, server=ELSEWHERE)]

    assert not told(incidents(both, end_ms=20_000), "host-down")


@spares("PI401")
def test_a_host_that_is_heard_on_another_port_is_there() -> None:
    talks = f"{WORKS} 15000 > P. 21:31 ack 41 \n 15001 < P. 41:61 ack 31"
    found = incidents(
        [*repeated(LOST, 3), *repeated(talks, 1, first_port=50_000, server=("198.51.100.2", 443))], end_ms=20_000
    )

    assert not told(found, "host-down")


@spares("PI401")
def test_attempts_at_one_port_alone_say_nothing_of_the_host() -> None:
    served = repeated(WORKS, 2, first_port=41_000)

    assert not told(incidents([*served, *repeated(TRIED, 4)], end_ms=20_000), "host-down")
