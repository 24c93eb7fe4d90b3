"""PI105 refused-port."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Severity
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import Connection, incidents, only, repeated, told
from tests.ladders import ISNS

HOST = "198.51.100.2"
REFUSED = """
      0  > S   0:0
      1  < R.  0:0    ack 1
"""
ANSWERED = """
      0  > S   0:0
      1  < S.  0:0    ack 1
      2  > .   1:1    ack 1
      3  > P.  1:11   ack 1
      4  < P.  1:21   ack 11
      5  > .   11:11  ack 21
"""


@fires("PI105")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_attempts_at_a_port_where_nothing_listens_are_one_incident(isn: tuple[int, int]) -> None:
    found = incidents(repeated(REFUSED, 5, apart_ms=1000), isn=isn)

    refusal = only(found, "refused-port")
    assert refusal.headline == (
        "Nothing listens on 198.51.100.2:80: 5 attempts of 192.0.2.1 within 4 s were all refused, since 00:00:00 UTC."
    )
    assert refusal.blame.text == "server 198.51.100.2:80"
    assert refusal.count == 5
    assert refusal.severity is Severity.MEDIUM
    assert refusal.why[0].text.startswith("198.51.100.2:80 answered 5 of 5 attempts by a RST and none by a SYN-ACK (fr")
    assert refusal.why[1].text == "198.51.100.2 accepted no connection on any port in this capture"
    assert "a firewall before 198.51.100.2" in refusal.against[0]
    assert len(found) == 1


def other_port(port: int, count: int, *, at_ms: float = 100.0, client: str = "192.0.2.1") -> list[Connection]:
    return repeated(REFUSED, count, at_ms=at_ms, first_port=41_000 + port, client=client, server=(HOST, port))


@fires("PI105")
def test_several_ports_that_one_client_misses_are_one_incident_of_the_host() -> None:
    served = repeated(ANSWERED, 1, server=(HOST, 22), first_port=50_000)
    found = incidents([*other_port(443, 4), *other_port(5432, 2), *other_port(6379, 1), *served])

    refusal = only(found, "refused-port")
    assert refusal.headline.startswith(
        "Nothing listens on 3 ports of 198.51.100.2 (443, 5432 and 6379): 7 attempts of 192.0.2.1 within "
    )
    assert refusal.blame.text == "server 198.51.100.2"
    assert "the host is up: it accepted 1 connection on 198.51.100.2:22 (frame" in refusal.why[3].text
    assert refusal.against == ()


@fires("PI105")
def test_a_host_that_accepts_nothing_at_all_is_one_incident_for_all_its_clients() -> None:
    found = incidents([*other_port(443, 3), *other_port(5432, 3, client="192.0.2.77")])

    assert only(found, "refused-port").count == 6


@fires("PI105")
def test_ports_that_different_clients_miss_of_a_host_that_works_are_incidents_of_their_own() -> None:
    served = repeated(ANSWERED, 1, server=(HOST, 22), first_port=50_000)
    found = incidents([*other_port(443, 3), *other_port(5432, 3, client="192.0.2.77"), *served])

    assert [each.blame.text for each in told(found, "refused-port")] == [
        "server 198.51.100.2:443", "server 198.51.100.2:5432",
    ]  # fmt: skip


@fires("PI105")
@pytest.mark.parametrize(("insisted", "severity"), [(0, Severity.INFO), (1, Severity.LOW), (3, Severity.MEDIUM)])
def test_clients_that_get_in_over_the_other_ip_version_miss_nothing(insisted: int, severity: Severity) -> None:
    connections = []
    for i in range(4):
        connections += [
            Connection(REFUSED, 1000 * i, ("2001:db8::1", 40_000 + i), ("2001:db8::2", 80)),
            Connection(ANSWERED, 1000 * i + 2, ("192.0.2.1", 40_000 + i)),
        ]
    for i in range(insisted):
        connections.append(Connection(REFUSED, 9000 + 1000 * i, ("2001:db8::1", 41_000 + i), ("2001:db8::2", 80)))

    refusal = only(incidents(connections), "refused-port")
    assert refusal.severity is severity
    assert refusal.why[1].text.startswith("4 attempts went on at once over the other IP version, and got in")


@fires("PI105")
def test_a_single_attempt_is_mild() -> None:
    refusal = only(incidents(repeated(REFUSED, 1)), "refused-port")

    assert refusal.headline == (
        "Nothing listens on 198.51.100.2:80: the one attempt of 192.0.2.1 was refused, at 00:00:00 UTC."
    )
    assert refusal.severity is Severity.LOW


@spares("PI105")
def test_a_port_that_accepts_others_has_a_listener() -> None:
    found = incidents([*repeated(ANSWERED, 1), *repeated(REFUSED, 5, at_ms=1000, first_port=41_000)])

    assert not told(found, "refused-port")


@fires("PI105")
@pytest.mark.parametrize("heard", [True, False])
def test_a_rst_with_the_ttl_of_its_hosts_other_packets_is_its_own(heard: bool) -> None:
    """As a client the host speaks as well."""
    refused = REFUSED.replace("< R.  0:0    ack 1", "< R.  0:0    ack 1 ttl 61")
    spoken = ANSWERED.replace("ack 1\n", "ack 1 ttl 61\n").replace("> S   0:0", "> S   0:0 ttl 61")
    other = Connection(spoken, 50, (HOST, 50_000), ("203.0.113.9", 22))
    refusal = only(incidents([*repeated(refused, 1), *([other] if heard else [])]), "refused-port")

    itself = "198.51.100.2 sent the RST itself: its TTL of 61 is that of its others (frame 2)"
    assert (itself in [seen.text for seen in refusal.why]) == heard
    assert ("own firewall" in refusal.against[0]) == heard
    assert ("the host is not heard otherwise" in refusal.against[0]) == (not heard)
