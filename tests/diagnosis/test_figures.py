"""Lengths of time that agree, and moments that are common."""

from __future__ import annotations

import numpy as np
import pytest

from pcapflow.diagnosis.figures import agreement, common_moment

SECOND = 1_000_000_000


def ns(*seconds: float) -> np.ndarray:
    return np.array([round(value * SECOND) for value in seconds], dtype=np.int64)


def test_the_most_lengths_that_one_timer_would_make_agree() -> None:
    found = agreement(ns(0.1, 5.01, 7.0, 5.0, 5.04))

    assert found is not None
    assert found.members.tolist() == [1, 3, 4]
    assert (found.low_ns, found.median_ns, found.high_ns) == (5 * SECOND, 5_010_000_000, 5_040_000_000)


def test_long_timers_may_differ_by_a_share_of_their_length() -> None:
    assert agreement(ns(600, 610)) is not None
    assert agreement(ns(600, 640)) is None


def test_lengths_that_spread_evenly_do_not_agree() -> None:
    assert agreement(ns(1, 2, 3, 4, 5), least=2) is None
    assert agreement(ns(), least=1) is None


def test_a_program_that_looks_once_a_second_may_be_a_second_late() -> None:
    assert agreement(ns(5.0, 5.9), least=2) is None
    assert agreement(ns(5.0, 5.9), least=2, slack_ns=SECOND) is not None


def test_events_in_one_moment_are_unlikely_to_be_there_by_chance() -> None:
    moment = common_moment(ns(1, 50.0, 50.01, 50.02, 50.03, 99), SECOND, 100 * SECOND)

    assert moment is not None
    assert moment.members.tolist() == [1, 2, 3, 4]
    assert moment.end_ns - moment.start_ns == 30_000_000
    assert moment.chance < 1e-6


def test_events_at_any_time_may_fall_together() -> None:
    moment = common_moment(ns(1, 20, 40, 41, 60, 80), 2 * SECOND, 100 * SECOND)

    assert moment is not None
    assert moment.chance > 0.05


def test_of_one_event_nothing_is_common() -> None:
    assert common_moment(ns(3), SECOND, 10 * SECOND) is None


@pytest.mark.parametrize("events", [1_000_000])
def test_a_chance_of_many_events_can_be_computed(events: int) -> None:
    moment = common_moment(np.arange(events, dtype=np.int64) * 1000, SECOND // 2, SECOND)

    assert moment is not None
    assert 0.0 <= moment.chance <= 1.0
