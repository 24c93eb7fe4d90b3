"""Points in time keep their nanoseconds, and what people write is understood."""

from __future__ import annotations

import pytest

from pcapflow.text.times import Clock, day_and_time, parse_time, rfc3339, time_of_day

START = 1_767_322_800_000_000_001


def test_nanoseconds_survive() -> None:
    assert rfc3339(START) == "2026-01-02T03:00:00.000000001Z"
    assert rfc3339(-1) == "1969-12-31T23:59:59.999999999Z"


def test_a_time_outside_the_calendar_is_a_number() -> None:
    assert rfc3339(10**21) == "1000000000000.000000000"


@pytest.mark.parametrize(
    ("text", "after_ns"),
    [
        ("0", 0),
        ("+1.5", 1_500_000_000),
        ("0.000000001", 1),
        ("2026-01-02T03:00:01.000000Z", 999_999_999),
        ("2026-01-02 04:00:01+01:00", 999_999_999),
        ("2026-01-02T03:00:01", 999_999_999),
    ],
)
def test_moments_that_people_write(text: str, after_ns: int) -> None:
    assert parse_time(text, START) == START + after_ns


@pytest.mark.parametrize("text", ["noon", "-1", "1e3", "", "99999999999999"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_time(text, START)


def test_a_clock_is_as_fine_as_its_capture_is_short() -> None:
    second = 1_000_000_000
    assert Clock(START, START + 5 * second).text(START + second // 4) == "03:00:00.250"
    assert Clock(START, START + 3600 * second).text(START) == "03:00:00"
    assert Clock(START, START + 3_000_000).text(START + 2_500_000) == "03:00:00.002500"
    assert Clock(START, START + 86_400 * second).text(START) == "01-02 03:00:00"
    assert (time_of_day(START), day_and_time(START)) == ("03:00:00 UTC", "2026-01-02 03:00:00")


@pytest.mark.parametrize("time_ns", [-(2**63), 2**63 - 1])
def test_every_time_stamp_has_a_time_of_day(time_ns: int) -> None:
    assert time_of_day(time_ns).endswith(" UTC")
