"""PI502 syn-flood."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Severity
from pcapflow.config import Config
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import OPEN, Connection, incidents, only, repeated, told
from tests.ladders import ISNS

HALF_OPEN = """
      0  > S   0:0
      1  < S.  0:0    ack 1
   1001  < S.  0:0    ack 1
   3001  < S.  0:0    ack 1
"""
UNANSWERED = """
      0  > S   0:0
   1000  > S   0:0
"""
SERVED = f"""{OPEN}
      3  > P.  1:11   ack 1
      4  < P.  1:21   ack 11
"""


def from_many(ladder: str, count: int) -> list[Connection]:
    return [Connection(ladder, 20 * i, (f"203.0.113.{1 + i}", 30_000 + i)) for i in range(count)]


@fires("PI502")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_syns_from_many_addresses_that_never_complete_one_are_a_flood(isn: tuple[int, int]) -> None:
    found = incidents([*from_many(HALF_OPEN, 60), *repeated(SERVED, 2, at_ms=500)], end_ms=20_000, isn=isn)

    flood = only(found, "syn-flood")
    assert flood.headline.startswith(
        "198.51.100.2:80 is flooded with SYNs: 60 of 62 connection attempts, from 60 addresses, were never completed"
    )
    assert flood.severity is Severity.MEDIUM
    assert flood.blame.kind == "nobody"
    assert "2 connections of other addresses completed the handshake meanwhile" in flood.why[2].text
    assert len(found) == 1


@fires("PI502")
@pytest.mark.parametrize(("queue", "severity"), [(50, Severity.HIGH), (1_000_000, Severity.MEDIUM)])
def test_a_flood_that_fills_the_queue_is_as_grave_as_its_anomaly(queue: int, severity: Severity) -> None:
    once = "0 > S 0:0 \n 1 < S. 0:0 ack 1"
    config = Config(syn_queue=queue, flood_flows=50)
    flood = only(incidents(from_many(once, 120), end_ms=20_000, config=config), "syn-flood")

    assert flood.severity is severity


@spares("PI502")
def test_one_host_behind_all_of_it_is_no_flood() -> None:
    assert not told(incidents(repeated(HALF_OPEN, 60, apart_ms=20), end_ms=20_000), "syn-flood")


@spares("PI502")
def test_a_server_that_answers_nobody_is_not_flooded() -> None:
    assert not told(incidents(from_many(UNANSWERED, 60), end_ms=20_000), "syn-flood")


@spares("PI502")
def test_addresses_that_also_complete_handshakes_are_clients() -> None:
    mixed = [*from_many(HALF_OPEN, 60)]
    mixed += [Connection(SERVED, 4000 + 20 * i, (f"203.0.113.{1 + i}", 40_000 + i)) for i in range(60)]

    assert not told(incidents(mixed, end_ms=20_000), "syn-flood")
