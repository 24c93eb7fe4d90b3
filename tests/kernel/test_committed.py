"""Every committed truth, from both ends of the wire: the inferred paths are the kernel's."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from fixtures.captures import KERNEL, scenarios_in
from fixtures.lab.run import all_scenarios
from fixtures.lab.score import Score, print_score, score_scenario

SHARED = Path(__file__).parents[3] / "shared" / "truth"
SCRIPTED = [scenario.name for scenario in all_scenarios() if scenario.group != "random"]
RANDOM = [scenario.name for scenario in all_scenarios() if scenario.group == "random"]
RANDOM_SHARE = 0.995
"""Of the committed random truths, recorded on a machine that stalled at times: delays are not the wire's alone."""
SHARED_SHARE = 0.995


@functools.cache
def score(name: str) -> Score:
    """The score of a committed scenario, which several tests look at."""
    return score_scenario(KERNEL, name)


@pytest.mark.parametrize("name", SCRIPTED)
def test_paths_of_a_scripted_scenario_are_the_kernels(name: str) -> None:
    assert score(name).differences == []
    # A flood's spoofed SYNs have no socket; every scenario has at least the client that was meant.
    assert sum(score(name).paths.values()) > 0


def test_paths_under_random_loss_are_the_kernels() -> None:
    total = Score()
    for name in RANDOM:
        total.add(score(name))

    print("\n".join(total.differences))
    assert total.share >= RANDOM_SHARE, f"{total.share:.2%}: {total.differences}"


def test_times_are_within_the_delay_of_the_wire() -> None:
    """On an endpoint's own side of the wire a transition is dated within the wire's delay of the kernel's."""
    total = Score()
    for name in SCRIPTED:
        total.add(score(name))

    assert total.times["within"] > 1000
    assert total.times["off"] <= total.times["within"] * 0.005, f"worst {total.worst_time_s * 1000:.1f} ms"


def test_causes_of_resets_are_the_kernels_reasons() -> None:
    total = Score()
    for name in SCRIPTED:
        total.add(score(name))

    print(total.causes)
    assert total.causes["same"] + total.causes["same class"] > 100
    assert total.cause_differences == []


@pytest.mark.skipif(not SHARED.is_dir(), reason="the other set of truths is not here")
def test_another_set_of_truths_agrees_too() -> None:
    """Truths of another laboratory: no scripted one differs, and the random ones hardly."""
    total = print_score(SHARED, scenarios_in(SHARED))

    assert total.share >= SHARED_SHARE
    assert [line for line in total.differences if not line.startswith("random")] == []
