"""A SYN and a FIN take a sequence number each; no sentence counts one as a byte that was lost or not captured."""

from __future__ import annotations

import pytest

from tests.anomalies.cases import codes, fires, only, spares
from tests.anomalies.test_every_code_from_segments import ASKED, Case, anomalies
from tests.ladders import ISNS

NUMBERS = pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)


@spares("PF302")
@NUMBERS
@pytest.mark.parametrize(
    "rungs",
    ["20 < F. 1:1 ack 6 \n 21 > R. 6:6 ack 1", "20 > F. 6:6 ack 1 \n 21 < F. 1:1 ack 6 \n 22 > R 2:2"],
    ids=["its FIN", "crossing FINs"],
)
def test_a_fin_that_a_reset_crosses_is_no_lost_data(rungs: str, isn: tuple[int, int]) -> None:
    found = anomalies(Case("PF302", f"{ASKED} \n {rungs}"), isn)

    assert "PF302" not in codes(found)
    assert not any("lost" in row.detail for row in found)


@fires("PF302")
@NUMBERS
def test_data_before_a_fin_is_counted_without_the_fin(isn: tuple[int, int]) -> None:
    found = anomalies(Case("PF302", f"{ASKED} \n 20 < FP. 1:101 ack 6 \n 21 > R. 6:6 ack 1"), isn)

    assert "at least 100 bytes" in only(found, "PF302").detail
    assert "at least 100 bytes" in only(found, "PF301").detail


@spares("PF901")
@NUMBERS
def test_a_fin_that_was_not_captured_is_no_gap(isn: tuple[int, int]) -> None:
    found = anomalies(Case("PF901", f"{ASKED} \n 20 > . 6:6 ack 2 \n 21 > F. 6:6 ack 2 \n 22 < . 2:2 ack 7"), isn)

    assert "PF901" not in codes(found)


@fires("PF901")
@NUMBERS
def test_bytes_before_a_fin_that_was_not_captured_are_a_gap(isn: tuple[int, int]) -> None:
    found = anomalies(
        Case("PF901", f"{ASKED} \n 20 > . 6:6 ack 102 \n 21 > F. 6:6 ack 102 \n 22 < . 102:102 ack 7"), isn
    )

    assert "at least 100 bytes were acknowledged" in only(found, "PF901").detail


@fires("PF208")
@NUMBERS
def test_bytes_beyond_a_fin_are_those_of_the_payload(isn: tuple[int, int]) -> None:
    found = anomalies(Case("PF208", f"{ASKED} \n 10 > F. 6:6 ack 1 \n 20 > P. 7:27 ack 1"), isn)

    assert "up to 20 bytes past it" in only(found, "PF208").detail
