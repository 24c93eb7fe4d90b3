"""PI409 unreachable."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Severity
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import OPEN, Connection, incidents, only, told
from tests.ladders import ISNS

NETWORK, HOST, PROHIBITED, NO_ROUTE = 3 << 8, 3 << 8 | 1, 3 << 8 | 13, 1 << 8
WORKS = f"""{OPEN}
      5  > P.  1:101    ack 1
      6  < P.  1:201    ack 101
      7  > .   101:101  ack 201
"""


def attempt(code: int, server: str, *, at_ms: float, port: int, client: str = "192.0.2.1") -> Connection:
    """A SYN that a router answers by an ICMP error."""
    return Connection(f"0 > S 0:0\n 1 > S 0:0 icmp {code}", at_ms, (client, port), (server, 80))


def attempts(code: int, hosts: int, count: int) -> list[Connection]:
    """Several of them, to hosts in turn."""
    return [attempt(code, f"203.0.113.{1 + i % hosts}", at_ms=500 * i, port=40_000 + i) for i in range(count)]


@fires("PI409")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_a_router_without_a_route_is_told_once_for_all_hosts(isn: tuple[int, int]) -> None:
    found = incidents([*attempts(NETWORK, 4, 8), Connection(WORKS)], end_ms=9000, isn=isn)

    lost = only(found, "unreachable")
    assert lost.headline.startswith("The router ")
    assert "cannot reach 4 hosts (203.0.113.1, 203.0.113.2, " in lost.headline
    assert lost.headline.endswith("8 attempts of 192.0.2.1 since 00:00:00 UTC failed.")
    assert "network unreachable" in lost.headline
    assert (lost.severity, lost.count, lost.blame.kind) == (Severity.MEDIUM, 8, "path")
    assert "the same clients had 1 connection to 198.51.100.2 in this capture (frame " in lost.why[-1].text
    assert "which way it would take" in lost.remedy[0].text
    assert len(found) == 1


@fires("PI409")
def test_a_host_that_its_last_router_does_not_find_may_be_down() -> None:
    lost = only(incidents(attempts(HOST, 1, 2), end_ms=9000), "unreachable")

    assert "cannot reach 203.0.113.1, and says so by ICMP (host unreachable): 2 attempts" in lost.headline
    assert lost.severity is Severity.LOW
    assert "may be down" in lost.against[0]
    assert "ip neigh" in lost.remedy[0].text


@fires("PI409")
@pytest.mark.parametrize(("gets_in", "severity"), [(True, Severity.INFO), (False, Severity.MEDIUM)])
def test_clients_that_get_in_over_ipv4_at_once_miss_nothing(gets_in: bool, severity: Severity) -> None:
    connections = []
    for i in range(4):
        connections.append(
            attempt(NO_ROUTE, f"2001:db8:2::{1 + i}", at_ms=1000 * i, port=40_000 + i, client="2001:db8::1")
        )
        if gets_in:
            connections.append(Connection(WORKS, 1000 * i + 3, ("192.0.2.1", 40_000 + i), ("203.0.113.9", 80)))
    lost = only(incidents(connections, end_ms=9000), "unreachable")

    assert lost.severity is severity
    assert len(lost.explains) == 4
    assert any("over the other IP version" in seen.text for seen in lost.why) == gets_in
    assert "advertise no default route" in lost.remedy[-1].text


@fires("PI409")
def test_attempts_of_which_the_router_says_nothing_more_belong_to_it() -> None:
    """It limits its errors (RFC 1812, 4.3.2.8)."""
    mute = [
        Connection("0 > S 0:0\n 1000 > S 0:0", 2000 + 300 * i, ("192.0.2.1", 50_000 + i), ("203.0.113.1", 80))
        for i in range(3)
    ]
    found = incidents([*attempts(NETWORK, 1, 2), *mute], end_ms=20_000)

    lost = only(found, "unreachable")
    assert (lost.count, len(found)) == (5, 1)
    assert "3 attempts at the same hosts had no answer at all" in " | ".join(seen.text for seen in lost.why)


@spares("PI409")
def test_a_host_that_others_reach_is_rejected() -> None:
    others = [Connection(WORKS, 300 * i, ("192.0.2.9", 50_000 + i), ("203.0.113.1", 80)) for i in range(20)]
    found = incidents([*attempts(HOST, 1, 4), *others], end_ms=9000)

    assert not told(found, "unreachable")
    assert told(found, "firewall-rejects")


@spares("PI409")
def test_what_is_prohibited_has_a_way() -> None:
    assert not told(incidents(attempts(PROHIBITED, 1, 4), end_ms=9000), "unreachable")


@spares("PI409")
def test_an_attempt_that_was_opened_all_the_same_took_the_message_as_a_hint() -> None:
    opened = f"""
      0    > S   0:0
      0.5  > S   0:0  icmp {NETWORK}
   1000    > S   0:0
   1001    < S.  0:0  ack 1
   1002    > .   1:1  ack 1
    """
    assert not told(
        incidents([Connection(opened, 500 * i, ("192.0.2.1", 40_000 + i)) for i in range(4)]), "unreachable"
    )
