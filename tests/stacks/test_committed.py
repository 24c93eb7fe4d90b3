"""Every committed truth of other stacks, from both ends of the wire: what is inferred is what both ends said.

Whatever is declared of a stack must be needed: a quirk that no log shows, or a path that is hidden and would be
inferred all the same, says that somebody has to look again.
"""

from __future__ import annotations

import fnmatch
import functools

import pytest

from fixtures.lab.namespaces import Side
from fixtures.stacks.run import CAPTURES, all_runs, capture_of, runs_of, truth_of
from fixtures.stacks.score import StackScore, score_stack
from fixtures.stacks.stack import Stack, all_stacks

SHARE = 0.99
"""Of the paths of each stack, less what is declared as unknowable."""
TIMES_OFF = 0.04
"""The share of transitions that may be dated further off: a stack in Python stamps late on a busy machine."""
STACKS = [pytest.param(stack, id=stack.name) for stack in all_stacks()]


RANDOM = "random_*"
RANDOM_SHARE = 0.97
"""Of the paths under random loss: what is lost just before a RST nobody can know."""


@functools.cache
def score(stack: Stack) -> StackScore:
    """The score of a stack's committed captures but for the random and misjudged ones, for several tests."""
    apart = [RANDOM, *stack.misjudged]
    runs = [run for run in runs_of(stack) if not any(fnmatch.fnmatch(run.name, pattern) for pattern in apart)]
    return score_stack(stack, CAPTURES, runs)


@pytest.mark.parametrize("stack", STACKS)
def test_what_is_misjudged_still_is(stack: Stack) -> None:
    """What is right by now has to be taken off the list."""
    for pattern in stack.misjudged:
        total = score_stack(stack, CAPTURES, runs_of(stack, [pattern])).score
        assert total.differences + total.cause_differences, pattern


@pytest.mark.parametrize("stack", STACKS)
def test_paths_under_random_loss_are_what_both_ends_say(stack: Stack) -> None:
    total = score_stack(stack, CAPTURES, runs_of(stack, [RANDOM])).score

    print("\n".join(total.differences))
    assert total.share >= RANDOM_SHARE, f"{total.share:.2%}: {total.differences}"
    assert sum(total.paths.values()) > 100


@pytest.mark.parametrize("stack", STACKS)
def test_paths_are_what_both_ends_say(stack: Stack) -> None:
    total = score(stack).score

    print("\n".join(total.differences))
    assert total.share >= SHARE, f"{total.share:.2%}: {total.differences}"
    assert sum(total.paths.values()) > 400


@pytest.mark.parametrize("stack", STACKS)
def test_causes_of_resets_are_the_stacks_reasons(stack: Stack) -> None:
    total = score(stack).score

    print(total.causes)
    assert total.cause_differences == []
    assert total.causes["same"] + total.causes["same class"] > 40


@pytest.mark.parametrize("stack", STACKS)
def test_times_are_within_the_delay_of_the_wire(stack: Stack) -> None:
    times = score(stack).score.times

    assert times["within"] > 700
    assert times["off"] <= times["within"] * TIMES_OFF


@pytest.mark.parametrize("stack", STACKS)
def test_every_quirk_is_met_in_a_log(stack: Stack) -> None:
    assert set(stack.quirks) - score(stack).quirks == set()


@pytest.mark.parametrize("stack", STACKS)
def test_whatever_a_stack_hides_would_differ(stack: Stack) -> None:
    assert set(stack.hidden) - score(stack).hidden == set()


def test_whatever_a_scenario_hides_would_differ_with_one_stack_at_least() -> None:
    needed = {(run.removesuffix("_as_client").removesuffix("_as_server"), view, what) for run, view, what in _hidden()}
    declared = {(run.body.__name__, view, what) for run in all_runs() for view, what in run.hidden}

    assert declared - needed == set()


def _hidden() -> set[tuple[str, str, str]]:
    return set().union(*(score(stack).hidden for stack in all_stacks()))


@pytest.mark.parametrize("stack", STACKS)
def test_every_run_is_committed_and_nothing_else(stack: Stack) -> None:
    expected = {capture_of(stack, run, side) for run in runs_of(stack) for side in Side}
    expected |= {truth_of(stack, run) for run in runs_of(stack)}

    assert expected ^ set((CAPTURES / stack.name).iterdir()) == set()


@pytest.mark.parametrize("stack", STACKS)
def test_what_a_stack_cannot_do_names_scenarios(stack: Stack) -> None:
    """A pattern that fits nothing is left over from a scenario that is gone."""
    for pattern in stack.cannot:
        assert any(stack.why_not(run.name) == stack.cannot[pattern] for run in all_runs()), pattern
