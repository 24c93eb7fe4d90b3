"""Times at which something ended, as evidence of a timer."""

from __future__ import annotations

import numpy as np

from pcapflow.diagnosis.idle import count_moments, timer

SECOND = 1_000_000_000


def ns(*seconds: float) -> np.ndarray:
    return np.array([round(value * SECOND) for value in seconds], dtype=np.int64)


def test_ends_close_together_are_one_time() -> None:
    assert count_moments(ns(10, 10.01, 10.02), ns(2, 2, 2)) == 1
    assert count_moments(ns(10, 10.3, 10.6), ns(2, 2, 2)) == 3
    assert count_moments(ns(), ns()) == 0


def test_ends_without_a_gap_are_several_times_when_they_go_on_for_longer_than_what_they_end() -> None:
    ends = np.arange(1000, dtype=np.int64) * 10_000_000

    assert count_moments(ends, np.full(1000, 2 * SECOND)) == 5
    assert count_moments(ends, np.full(1000, 60 * SECOND)) == 1


def test_a_timer_made_most_of_the_ends_or_none() -> None:
    ends = ns(10, 11, 12, 13, 14, 15, 16)

    found = timer(np.arange(7), ns(3.5, 3.51, 3.5, 3.52, 1, 7, 20), ends)
    assert found is not None
    assert found.flows.tolist() == [0, 1, 2, 3]
    assert timer(np.arange(7), ns(3.5, 3.51, 3.5, 9, 1, 7, 20), ends) is None
