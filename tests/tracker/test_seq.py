"""Arithmetic on sequence numbers that wrap at 2**32 (RFC 9293, 3.4)."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from pcapflow.tcp.seq import delta, unwrap

SPACE = 1 << 32
raws = st.integers(0, SPACE - 1)
relatives = st.integers(0, 1 << 40)
steps = st.integers(-(1 << 31), (1 << 31) - 1)


@given(raws, steps)
@example(SPACE - 1, 1)
@example(0, -1)
def test_delta_is_the_step_that_was_taken(start: int, step: int) -> None:
    assert delta((start + step) % SPACE, start) == step


@given(raws, raws)
def test_delta_is_antisymmetric(a: int, b: int) -> None:
    """But for the two numbers exactly half the space apart, each of which lies before the other."""
    if (a - b) % SPACE == SPACE // 2:
        assert delta(a, b) == delta(b, a) == -SPACE // 2
    else:
        assert delta(a, b) == -delta(b, a)


@given(raws, relatives, steps)
@example(SPACE - 1, 0, 1)
@example(SPACE - 1, SPACE, -1)
def test_unwrap_finds_the_number_near_by(isn: int, near: int, step: int) -> None:
    """However often the stream has wrapped: the relative number less than half the space from ``near``."""
    raw = (isn + near + step) % SPACE
    assert unwrap(raw, isn, near) == near + step


@given(raws, st.lists(st.integers(0, 1 << 30), max_size=40))
def test_a_stream_is_unwrapped_step_by_step(isn: int, lengths: list[int]) -> None:
    """Gigabytes in windows of up to 2**30: relative numbers never fall back."""
    near = 0
    for length in lengths:
        assert unwrap((isn + near + length) % SPACE, isn, near) == near + length
        near += length
