"""What connections said, beside an incident: errors before requests, the most frequent first."""

from __future__ import annotations

from pcapflow.diagnosis.words import said_on
from pcapflow.payload.said import Payload, Said


def asked(flow: int) -> Said:
    return Said(flow=flow, protocol="http", what="GET / -> 200", request="GET /", request_frame=10 + flow)


def failed(flow: int, code: str) -> Said:
    return Said(
        flow=flow, protocol="http", what=f"GET / -> {code}", error="no", error_code=code, error_by=1,
        error_frame=20 + flow,
    )  # fmt: skip


def texts(*said: Said, flows: range = range(10)) -> list[str]:
    return [seen.text for seen in said_on(Payload({each.flow: each for each in said}), flows)]


def test_errors_come_in_place_of_what_went_well() -> None:
    assert texts(asked(0), failed(1, "503"), failed(2, "503")) == [
        "the error that was sent on 2 of the 3 connections whose payload was read: GET / -> 503 (frames 21 and 22)"
    ]


def test_without_an_error_it_says_what_was_asked() -> None:
    assert texts(asked(0), asked(1)) == [
        "what was said on both connections whose payload was read: GET / -> 200 (frames 10 and 11)"
    ]


def test_the_most_frequent_of_many_come_first_and_no_more_than_two() -> None:
    told = texts(failed(0, "500"), failed(1, "502"), failed(2, "502"), failed(3, "504"))

    assert len(told) == 2
    assert "502" in told[0]


def test_only_connections_of_the_incident_count() -> None:
    assert texts(failed(5, "503"), flows=range(3)) == []
    assert said_on(Payload(), range(3)) == []
