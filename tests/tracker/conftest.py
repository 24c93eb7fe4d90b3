"""Every ladder of the tracker's tests is climbed twice: once with sequence numbers that wrap."""

from __future__ import annotations

from functools import partial

import pytest

from tests import ladders


@pytest.fixture(params=list(ladders.ISNS.values()), ids=list(ladders.ISNS))
def climb(request: pytest.FixtureRequest) -> ladders.Climb:
    """Climbs a ladder from one pair of initial sequence numbers."""
    return partial(ladders.climb, isn=request.param)


@pytest.fixture(params=list(ladders.ISNS.values()), ids=list(ladders.ISNS))
def follow(request: pytest.FixtureRequest) -> ladders.Climb:
    """Follows a ladder without cells from one pair of initial sequence numbers."""
    return partial(ladders.follow, isn=request.param)
