"""PI501 scan."""

from __future__ import annotations

import pytest

from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import OPEN, Connection, incidents, only, repeated, told
from tests.ladders import ISNS

REFUSED = """
      0  > S   0:0
      1  < R.  0:0    ack 1
"""
FOUND_OPEN = """
      0  > S   0:0
      1  < S.  0:0    ack 1
      2  > R   1:1
"""
WORKS = f"""{OPEN}
      3  > P.  1:11   ack 1
      4  < P.  1:21   ack 11
      5  > F.  11:11  ack 21
      6  < F.  21:21  ack 12
      7  > .   12:12  ack 22
"""


def probes(ladder: str, ports: range, *, at_ms: float = 0.0) -> list[Connection]:
    return [
        Connection(ladder, at_ms + 5 * i, ("192.0.2.9", 40_000 + port), ("198.51.100.2", port))
        for i, port in enumerate(ports)
    ]


@fires("PI501")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_one_host_that_tries_many_ports_is_one_incident(isn: tuple[int, int]) -> None:
    found = incidents([*probes(REFUSED, range(100, 160)), *probes(FOUND_OPEN, range(80, 81), at_ms=400)], isn=isn)

    scan = only(found, "scan")
    assert scan.blame.text == "client 192.0.2.9"
    assert scan.headline.startswith("192.0.2.9 scanned 61 ports of 198.51.100.2 within ")
    assert scan.headline.endswith(" and found 198.51.100.2:80 open.")
    assert scan.why[0].text.startswith("of 61 probes, 60 were refused and 1 found an open port (frames ")
    assert scan.why[1].text.startswith("a SYN-ACK came from 198.51.100.2:80 (frame ")
    # No port of them is told as one where nothing listens.
    assert len(found) == 1


@fires("PI501")
def test_an_open_port_that_is_tried_first_belongs_to_the_scan() -> None:
    found = incidents([*probes(FOUND_OPEN, range(80, 81)), *probes(REFUSED, range(100, 160), at_ms=20)])

    assert only(found, "scan").count == 61
    assert len(found) == 1


@fires("PI501")
def test_many_open_ports_are_counted_and_none_is_said_to_be_none() -> None:
    several = [*probes(REFUSED, range(100, 160)), *probes(FOUND_OPEN, range(80, 85), at_ms=400)]

    assert only(incidents(several), "scan").headline.endswith(" and found 5 open ports.")
    assert only(incidents(probes(REFUSED, range(100, 160))), "scan").headline.endswith(" and found none of them open.")


@spares("PI501")
def test_many_attempts_at_one_port_are_no_scan() -> None:
    found = incidents(repeated(REFUSED, 60))

    assert not told(found, "scan")
    assert told(found, "refused-port")


@spares("PI501")
def test_a_client_that_works_with_many_ports_is_no_scanner() -> None:
    assert not told(incidents(probes(WORKS, range(100, 160))), "scan")
