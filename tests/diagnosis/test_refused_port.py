"""PI105 refused-port."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Severity
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import Connection, incidents, only, repeated, told
from tests.ladders import ISNS

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
    assert refusal.headline == "Nothing listens on 198.51.100.2:80: 5 attempts of 192.0.2.1 within 4 s were refused."
    assert refusal.blame.text == "server 198.51.100.2:80"
    assert refusal.count == 5
    assert refusal.severity is Severity.MEDIUM
    assert len(found) == 1


@fires("PI105")
def test_a_single_attempt_is_mild() -> None:
    refusal = only(incidents(repeated(REFUSED, 1)), "refused-port")

    assert refusal.headline == "Nothing listens on 198.51.100.2:80: the one attempt of 192.0.2.1 was refused."
    assert refusal.severity is Severity.LOW
    assert "a firewall that rejects with a RST looks the same" in refusal.against[0]


@fires("PI105")
def test_a_host_that_accepts_on_other_ports_may_reject_itself() -> None:
    elsewhere = repeated(ANSWERED, 1, server=("198.51.100.2", 81), first_port=41_000)
    refusal = only(incidents([*elsewhere, *repeated(REFUSED, 1, at_ms=100)]), "refused-port")

    assert refusal.against == ("a firewall on 198.51.100.2 itself may reject with a RST, which looks the same",)


@fires("PI105")
@pytest.mark.parametrize(("insisted", "severity"), [(0, Severity.INFO), (1, Severity.LOW), (3, Severity.MEDIUM)])
def test_clients_that_get_in_over_the_other_ip_version_miss_nothing(insisted: int, severity: Severity) -> None:
    connections = []
    for i in range(4):
        v6 = {"client": ("2001:db8::1", 40_000 + i), "server": ("2001:db8::2", 80)}
        connections += [
            Connection(REFUSED, 1000 * i, **v6),
            Connection(ANSWERED, 1000 * i + 2, ("192.0.2.1", 40_000 + i)),
        ]
    for i in range(insisted):
        connections.append(Connection(REFUSED, 9000 + 1000 * i, ("2001:db8::1", 41_000 + i), ("2001:db8::2", 80)))

    refusal = only(incidents(connections), "refused-port")
    assert refusal.severity is severity
    assert refusal.why[2].text.startswith("4 attempts went on at once over the other IP version, and got in")


@spares("PI105")
def test_a_port_that_accepts_others_has_a_listener() -> None:
    found = incidents([*repeated(ANSWERED, 1), *repeated(REFUSED, 5, at_ms=1000, first_port=41_000)])

    assert not told(found, "refused-port")
