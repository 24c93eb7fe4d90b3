"""PI404 firewall-rejects."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Severity
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import OPEN, incidents, only, repeated, told
from tests.ladders import ISNS

WORKS = f"""{OPEN}
      5  > P.  1:101    ack 1
      6  < P.  1:201    ack 101
      7  > .   101:101  ack 201
"""
REJECTED = """
      0  > S   0:0
      1  < R.  0:0    ack 1   ttl 61
"""
REFUSED = """
      0  > S   0:0
      1  < R.  0:0    ack 1
"""
OTHER_PORT = ("198.51.100.2", 6380)


@fires("PI404")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_resets_with_another_ttl_than_the_servers_are_a_firewalls(isn: tuple[int, int]) -> None:
    found = incidents(
        [*repeated(WORKS, 3), *repeated(REJECTED, 5, at_ms=500, apart_ms=300, first_port=50_000, server=OTHER_PORT)],
        isn=isn,
    )

    rejects = only(found, "firewall-rejects")
    assert "6380" in rejects.headline
    assert "192.0.2.1" in rejects.headline
    assert rejects.blame.kind == "path"
    assert rejects.severity is Severity.MEDIUM
    assert any("TTL" in seen.text and "61" in seen.text for seen in rejects.why)
    assert not told(found, "refused-port")


@spares("PI404")
def test_a_reset_of_the_host_itself_says_that_nothing_listens() -> None:
    found = incidents(
        [*repeated(WORKS, 3), *repeated(REFUSED, 5, at_ms=500, first_port=50_000, server=OTHER_PORT)],
    )

    assert not told(found, "firewall-rejects")
    assert told(found, "refused-port")


FORBIDDEN = f"""{OPEN}
      5  > P.  1:101  ack 1
      6  < R   1:1    ttl 61
"""


@fires("PI404")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_first_words_that_draw_a_reset_with_another_ttl_are_rejected_by_a_firewall(isn: tuple[int, int]) -> None:
    found = incidents(
        [*repeated(WORKS, 3), *repeated(FORBIDDEN, 4, at_ms=500, apart_ms=300, first_port=50_000)], isn=isn
    )

    rejects = only(found, "firewall-rejects")
    assert rejects.headline == (
        "A firewall rejects what 192.0.2.1 says to 198.51.100.2:80: 4 connections since 00:00:00 UTC drew RSTs in the "
        "server's name with a TTL that is not its own."
    )
    assert rejects.blame.kind == "path"
    assert "4 first requests drew a RST whose TTL is 61" in rejects.why[0].text
    assert len(found) == 1


@spares("PI404")
def test_one_forged_reset_may_have_come_by_another_path() -> None:
    found = incidents([*repeated(WORKS, 3), *repeated(FORBIDDEN, 1, at_ms=500, first_port=50_000)])

    assert not told(found, "firewall-rejects")


@spares("PI404")
def test_first_words_that_the_server_itself_resets_are_not_rejected_on_the_way() -> None:
    own = FORBIDDEN.replace("ttl 61", "")

    assert not told(incidents([*repeated(WORKS, 3), *repeated(own, 4, first_port=50_000)]), "firewall-rejects")
