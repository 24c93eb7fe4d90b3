"""The fast stable sort gives what numpy's slow one gives, whichever of its two ways it takes."""

from __future__ import annotations

import numpy as np
import pytest

from pcapflow.tables.sorting import stable_order

RANDOM = np.random.default_rng(7)
FAR = (1 << 62) - 1


@pytest.mark.parametrize(
    "values",
    [
        RANDOM.integers(-5, 5, 1000),
        RANDOM.integers(0, 3, 1000).astype(np.int32),
        RANDOM.choice([-FAR, 0, 1, FAR], 1000),
        np.full(10, FAR),
        np.array([3, 1, 2]),
        np.array([7]),
        np.zeros(0, dtype=np.int64),
    ],
    ids=["close", "narrow", "far apart", "all equal", "a few", "one", "none"],
)
def test_the_order_is_the_stable_one(values: np.ndarray) -> None:
    assert stable_order(values).tolist() == np.argsort(values, kind="stable").tolist()
