"""The stacks at work: a few scenarios with each that can be built here, now, and their score."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from fixtures.lab.run import unavailable
from fixtures.lab.truth import Truth
from fixtures.stacks.run import record_all, runs_of, truth_of
from fixtures.stacks.score import StackScore, score_run
from fixtures.stacks.stack import Stack, StackUnavailableError, all_stacks

pytestmark = pytest.mark.alone

LIVE = [
    "open_and_talk_as_client",
    "open_refused_as_server",
    "close_client_first_as_server",
    "close_server_first_as_client",
    "close_simultaneous_as_client",
    "close_final_ack_lost_as_client",
    "abort_by_client_as_client",
    "abort_by_server_as_server",
]
STACKS = [pytest.param(stack, id=stack.name) for stack in all_stacks()]
STALL_S = 0.1
"""A wire that held a frame this long shared its machine with somebody: time-outs come into play."""


@functools.cache
def _reason() -> str | None:
    return unavailable()


@pytest.mark.parametrize("stack", STACKS)
def test_paths_inferred_from_fresh_captures_are_what_both_ends_say(stack: Stack, tmp_path: Path) -> None:
    if reason := _reason():
        pytest.skip(reason)
    try:
        command = stack.command()
    except StackUnavailableError as error:
        pytest.skip(f"{stack.name} cannot be built here: {error}")
    runs = runs_of(stack, LIVE)
    failed = [outcome for outcome in record_all(stack, runs, command, tmp_path, attempts=2) if outcome.error]
    assert failed == []

    total, stalled = StackScore(), []
    for run in runs:
        score = score_run(stack, run, tmp_path)
        if score.score.differences and Truth.read(truth_of(stack, run, tmp_path)).delay_s > STALL_S:
            stalled.append(run.name)
        else:
            total.add(score)
    print("not judged, for the wire stalled:", stalled)
    assert len(stalled) * 4 <= len(runs)
    assert (total.score.differences, total.score.cause_differences) == ([], [])
    assert sum(total.score.paths.values()) >= 3 * (len(runs) - len(stalled))
