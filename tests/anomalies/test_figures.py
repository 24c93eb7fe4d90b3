"""The interval of a share is narrow where much was counted and honest where little was."""

import numpy as np
import pytest

from pcapflow.anomalies.figures import wilson, wilson_low

PUBLISHED = [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (6, 52, 0.0540, 0.2297)]


def test_nothing_counted_says_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("hits", "of", "low", "high"), PUBLISHED)
def test_the_interval_is_that_of_published_tables(hits: int, of: int, low: float, high: float) -> None:
    assert wilson(hits, of) == pytest.approx((low, high), abs=1e-4)


def test_ten_times_the_samples_give_a_narrower_interval() -> None:
    few, many = wilson(3, 10), wilson(300, 1000)

    assert few[0] < many[0] < 0.3 < many[1] < few[1]


def test_more_deviations_give_a_wider_interval() -> None:
    assert wilson(3, 10, z=3.0)[0] < wilson(3, 10)[0] < wilson(3, 10)[1] < wilson(3, 10, z=3.0)[1]


def test_columns_have_the_same_lower_bounds() -> None:
    hits, of = np.array([0, 1, 6, 300, 52]), np.array([1, 1, 52, 1000, 52])

    assert wilson_low(hits, of) == pytest.approx([wilson(int(h), int(n))[0] for h, n in zip(hits, of, strict=True)])
