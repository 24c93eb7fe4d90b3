"""PI203 early-port-reuse."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Severity
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import OPEN, Connection, incidents, only, told
from tests.ladders import ISNS

CLOSED_BY_THE_SERVER = f"""{OPEN}
      3  > P.  1:11   ack 1
      4  < P.  1:21   ack 11
      5  < F.  21:21  ack 11
      6  > .   11:11  ack 22
      7  > F.  11:11  ack 22
      8  < .   22:22  ack 12
"""
ANSWERED_BY_THE_OLD_ONE = """
      0  > S   90000:90000
      1  < .   22:22        ack 12
      2  > R   12:12
   1000  > S   90000:90000
   1001  < S.  70000:70000  ack 90001
   1002  > .   90001:90001  ack 70001
   1003  > P.  90001:90011  ack 70001
   1004  < P.  70001:70021  ack 90011
"""
ACCEPTED_AT_ONCE = """
      0  > S   90000:90000
      1  < S.  70000:70000  ack 90001
      2  > .   90001:90001  ack 70001
      3  > P.  90001:90011  ack 70001
      4  < P.  70001:70021  ack 90011
"""
LEFT_OPEN = f"""{OPEN}
      3  > P.  1:11   ack 1
      4  < P.  1:21   ack 11
      5  > .   11:11  ack 21
"""
ANSWERED_BY_THE_ONE_LEFT_OPEN = """
      0  > S   90000:90000
      1  < .   21:21        ack 11
      2  > R   11:11
     11  > S   90000:90000
     12  < S.  70000:70000  ack 90001
     13  > .   90001:90001  ack 70001
     14  > P.  90001:90011  ack 70001
     15  < P.  70001:70021  ack 90011
"""


@fires("PI203")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_syns_that_an_older_connection_answers_are_ports_reused_early(isn: tuple[int, int]) -> None:
    ports = range(40_000, 40_003)
    clients = [("192.0.2.1", port) for port in ports]
    found = incidents(
        [
            *(Connection(CLOSED_BY_THE_SERVER, 10 * i, client) for i, client in enumerate(clients)),
            *(Connection(ANSWERED_BY_THE_OLD_ONE, 5000 + 10 * i, client) for i, client in enumerate(clients)),
        ],
        end_ms=20_000,
        isn=isn,
    )

    reuse = only(found, "early-port-reuse")
    assert reuse.headline.startswith(
        "192.0.2.1 reuses ports that 198.51.100.2:80 still remembers: of 6 connections 3 opened late, by up to 1 s"
    )
    assert reuse.severity is Severity.LOW
    assert "came from 3 ports" in reuse.why[-1].text
    # The client's resets of the old connection's ACK refuse nothing, and nothing is missing from the capture.
    assert len(found) == 1


@fires("PI203")
def test_a_reuse_that_costs_but_a_round_trip_is_information() -> None:
    client = ("192.0.2.1", 40_000)
    quickly = ANSWERED_BY_THE_OLD_ONE
    for ms in range(1000, 1005):
        quickly = quickly.replace(f" {ms} ", f" {ms - 990} ")
    found = incidents([Connection(CLOSED_BY_THE_SERVER, 0, client), Connection(quickly, 5000, client)])

    reuse = only(found, "early-port-reuse")
    assert reuse.headline.startswith(
        "192.0.2.1 reuses ports that 198.51.100.2:80 still remembers: of 2 connections 1 opened late, by up to 11 ms"
    )
    assert reuse.severity is Severity.INFO
    assert "the client reset that" in reuse.why[1].text
    assert len(found) == 1


@fires("PI203")
def test_a_connection_that_the_client_forgot_is_in_the_way_of_the_next() -> None:
    client = ("192.0.2.1", 40_000)
    forgotten = f"""{OPEN}
      3  > P.  1:11   ack 1
      4  < P.  1:21   ack 11
      5  > .   11:11  ack 21
    """
    met = """
      0  > S   90000:90000
      9  < .   21:21        ack 11
     10  > R   11:11        win 0
     40  > S   90000:90000
     49  < S.  70000:70000  ack 90001
     50  > .   90001:90001  ack 70001
    """
    found = incidents([Connection(forgotten, 0, client), Connection(met, 5000, client)])

    reuse = only(found, "early-port-reuse")
    assert reuse.headline == (
        "192.0.2.1 reuses ports on which 198.51.100.2:80 still holds older connections: of 2 connections 1 opened "
        "late, by up to 49 ms, since 00:00:05 UTC."
    )
    assert (reuse.flows, reuse.why[0].frames) == ((1,), (7,))
    assert [remedy.side for remedy in reuse.remedy] == ["Client", "Server"]
    assert len(found) == 1


@fires("PI203")
def test_what_had_to_wait_is_the_new_connection_and_not_the_old_one_at_the_server() -> None:
    client = ("192.0.2.1", 40_000)
    left_open = "\n".join(CLOSED_BY_THE_SERVER.splitlines()[:6])
    answered = """
      0  > S   90000:90000
      1  < .   21:21        ack 11
      2  > R   11:11
   1000  > S   90000:90000
   1001  < S.  70000:70000  ack 90001
   1002  > .   90001:90001  ack 70001
"""
    found = incidents([Connection(left_open, 0, client), Connection(answered, 5000, client)], end_ms=20_000)

    reuse = only(found, "early-port-reuse")
    assert "of 2 connections 1 opened late, by up to 1 s" in reuse.headline
    assert reuse.severity is Severity.LOW
    assert (reuse.flows, reuse.count) == ((1,), 1)
    assert not told(found, "client-gave-up")


@spares("PI203")
def test_a_reuse_that_is_accepted_at_once_did_no_harm() -> None:
    client = ("192.0.2.1", 40_000)
    found = incidents([Connection(CLOSED_BY_THE_SERVER, 0, client), Connection(ACCEPTED_AT_ONCE, 5000, client)])

    assert not told(found, "early-port-reuse")


@fires("PI203")
def test_connections_that_the_client_forgot_and_the_server_holds_are_told_apart() -> None:
    ports = range(40_000, 40_003)
    clients = [("192.0.2.1", port) for port in ports]
    found = incidents(
        [
            *(Connection(LEFT_OPEN, 10 * i, client) for i, client in enumerate(clients)),
            *(Connection(ANSWERED_BY_THE_ONE_LEFT_OPEN, 5000 + 10 * i, client) for i, client in enumerate(clients)),
        ],
        end_ms=20_000,
    )

    reuse = only(found, "early-port-reuse")
    assert reuse.headline.startswith(
        "192.0.2.1 reuses ports on which 198.51.100.2:80 still holds older connections: of 6 connections 3 opened "
        "late, by up to 12 ms"
    )
    assert "TIME_WAIT" not in " ".join(step.text for step in reuse.remedy)
