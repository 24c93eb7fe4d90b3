"""PI201 close-wait-leak."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Severity
from pcapflow.config import Config
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import OPEN, incidents, only, repeated, told
from tests.ladders import ISNS

NEVER_CLOSED_BY_THE_SERVER = f"""{OPEN}
      5  > P.  1:11   ack 1
      6  < P.  1:21   ack 11
     10  > F.  11:11  ack 21
     11  < .   21:21  ack 12
"""
NEVER_CLOSED_BY_THE_CLIENT = f"""{OPEN}
      5  > P.  1:11   ack 1
      6  < P.  1:21   ack 11
     10  < F.  21:21  ack 11
     11  > .   11:11  ack 22
"""
CLOSED_LATE = f"""{NEVER_CLOSED_BY_THE_SERVER}
   8000  < F.  21:21  ack 12
   8001  > .   12:12  ack 22
"""


@fires("PI201")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_a_server_that_never_closes_is_one_incident_with_its_rate(isn: tuple[int, int]) -> None:
    found = incidents(repeated(NEVER_CLOSED_BY_THE_SERVER, 12, apart_ms=1000), end_ms=200_000, isn=isn)

    leak = only(found, "close-wait-leak")
    assert leak.blame.text == "server 198.51.100.2:80"
    assert leak.headline.startswith("198.51.100.2:80 does not close any of its 12 connections that the clients had")
    assert leak.severity is Severity.HIGH
    assert leak.count == 12
    assert "1.0 a second; at that rate the usual limit of 1,024 open files is reached within about" in leak.why[1].text
    # Thirty-six anomalies, one cause.
    assert len(found) == 1


@fires("PI201")
def test_a_client_that_keeps_what_the_server_closed_is_to_blame_itself() -> None:
    found = incidents(repeated(NEVER_CLOSED_BY_THE_CLIENT, 8, apart_ms=1000), end_ms=200_000)

    leak = only(found, "close-wait-leak")
    assert leak.blame.text == "client 192.0.2.1"
    assert "to 198.51.100.2:80 that the server had closed" in leak.headline
    assert {step.side for step in leak.remedy} == {"Client"}


@spares("PI201")
def test_a_server_that_closes_late_does_not_leak() -> None:
    found = incidents(repeated(CLOSED_LATE, 12, apart_ms=1000), end_ms=200_000)

    assert not told(found, "close-wait-leak")


@spares("PI201")
def test_two_connections_are_no_leak() -> None:
    assert not told(incidents(repeated(NEVER_CLOSED_BY_THE_SERVER, 2), end_ms=200_000), "close-wait-leak")


LEFT_UNANSWERED = f"""{OPEN}
      5  > P.  1:11   ack 1
      6  < .   1:1    ack 11
   4005  > F.  11:11  ack 1
   4006  < .   1:1    ack 12
"""


@spares("PI201")
def test_a_server_that_still_works_at_what_nobody_waits_for_any_more_does_not_leak() -> None:
    found = incidents(repeated(LEFT_UNANSWERED, 6, apart_ms=500), end_ms=12_000)

    assert not told(found, "close-wait-leak")
    assert only(found, "client-gave-up").count == 6
    assert len(found) == 1


def test_the_row_that_counts_servers_beyond_the_limit_is_no_leak_of_its_own() -> None:
    servers = [
        leaking
        for n in range(4)
        for leaking in repeated(NEVER_CLOSED_BY_THE_SERVER, 6, apart_ms=1000, server=("198.51.100.2", 8000 + n))
    ]

    found = incidents(servers, end_ms=200_000, config=Config(rows_per_rule=2))

    assert [incident.count for incident in found if incident.pattern == "close-wait-leak"] == [6, 6]
