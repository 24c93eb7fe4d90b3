"""The census drawn: its axes have room for what they say."""

from __future__ import annotations

import numpy as np
import pytest

from pcapflow.config import Config
from pcapflow.report.census_chart import census_view
from pcapflow.tcp import states as s
from pcapflow.text.times import Clock
from pcapflow.views.census import census
from tests.report.scenes import checkout


@pytest.mark.parametrize(
    ("highest", "ticks"),
    [
        (7, ["0", "2", "4", "6"]),
        (4000, ["0", "1,000", "2,000", "3,000", "4,000"]),
        (70_000, ["0", "20k", "40k", "60k"]),
    ],
)
def test_large_counts_are_short_on_the_axis(highest: int, ticks: list[str]) -> None:
    """The axis has room for six characters, whatever the capture."""
    tables = checkout()[0].tables()
    counted = census(tables)
    counts = np.zeros_like(counted.counts)
    counts[0, :, s.ESTABLISHED] = highest

    view = census_view(counted._replace(counts=counts), Clock(0, 10_000_000_000), Config())

    assert [tick.text for tick in view.charts[0].y_ticks] == ticks
