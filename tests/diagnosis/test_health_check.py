"""PI503 health-check."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Severity
from pcapflow.payload.said import Said
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import OPEN, Connection, incidents, only, repeated, told
from tests.ladders import ISNS

LOOKS = f"""{OPEN}
      3  > R.  1:1    ack 1
"""
ASKS = f"""{OPEN}
      3  > P.  1:81   ack 1
      4  < P.  1:91   ack 81
      5  > F.  81:81  ack 91
      6  < F.  91:91  ack 82
      7  > .   82:82  ack 92
"""
REFUSED = """
      0  > S   0:0
      1  < R.  0:0    ack 1
"""


def request(flow: int, path: str) -> Said:
    return Said(flow=flow, protocol="http", what=f"GET {path} -> 200", request=f"GET {path}", request_frame=1)


@fires("PI503")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_one_who_looks_at_a_constant_period_is_harmless(isn: tuple[int, int]) -> None:
    found = incidents(repeated(LOOKS, 10, apart_ms=500), isn=isn)

    check = only(found, "health-check")
    assert check.headline == (
        "192.0.2.1 looks every 500 ms whether 198.51.100.2:80 is there: it opens a connection and ends it without a "
        "word, 10 times."
    )
    assert check.severity is Severity.INFO
    assert check.blame.kind == "nobody"
    # Ten resets, one harmless habit.
    assert len(check.explains) >= 10
    assert len(found) == 1


@fires("PI503")
def test_a_request_for_the_service_s_health_is_known_by_its_path() -> None:
    found = incidents(repeated(ASKS, 8, apart_ms=1000), said=[request(flow, "/health") for flow in range(8)])

    assert "it asks `GET /health`, 8 times" in only(found, "health-check").headline


@spares("PI503")
def test_other_requests_at_a_constant_period_are_no_health_checks() -> None:
    found = incidents(repeated(ASKS, 8, apart_ms=1000), said=[request(flow, "/orders") for flow in range(8)])

    assert not told(found, "health-check")


@spares("PI503")
def test_looks_at_any_time_have_no_period() -> None:
    at = (0, 130, 1900, 2400, 4100, 6500, 6900, 9900)
    found = incidents([Connection(LOOKS, ms, ("192.0.2.1", 40_000 + i)) for i, ms in enumerate(at)])

    assert not told(found, "health-check")


@spares("PI503")
def test_a_service_that_is_not_there_is_told_as_that() -> None:
    found = incidents(repeated(REFUSED, 10, apart_ms=500))

    assert not told(found, "health-check")
    assert told(found, "refused-port")


@spares("PI503")
def test_connections_that_the_server_ends_without_a_word_are_no_health_checks() -> None:
    turned_away = f"""{OPEN}
      3  < F.  1:1    ack 1
      4  > F.  1:1    ack 2
      5  < .   2:2    ack 2
    """
    assert not told(incidents(repeated(turned_away, 10, apart_ms=500)), "health-check")
