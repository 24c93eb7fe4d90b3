"""The laboratory at work: a handful of scenarios between two kernels, now, and their score."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from fixtures.captures import kernel_truth
from fixtures.lab.run import chosen, run_all, unavailable
from fixtures.lab.score import Score, score_scenario
from fixtures.lab.truth import Truth, paths

pytestmark = pytest.mark.alone

LIVE = [
    "open_normal",
    "open_refused_ipv6",
    "open_simultaneous",
    "open_filtered_by_icmp",
    "close_three_segments",
    "close_simultaneous",
    "close_client_first_final_ack_lost_once",
    "abort_linger_zero_by_client",
    "abort_unread_data_by_server",
    "abort_challenged",
    "reuse_after_reset",
]

STALL_S = 0.1
"""A wire of 2 ms that held a frame this long shared its machine with somebody: time-outs come into play."""


def _has_stalled(laboratory: Path, name: str) -> bool:
    return Truth.read(kernel_truth(name, laboratory)).delay_s > STALL_S


@functools.cache
def _reason() -> str | None:
    return unavailable()


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the scenarios, made now."""
    if reason := _reason():
        pytest.skip(reason)
    out = tmp_path_factory.mktemp("laboratory")
    failed = [outcome for outcome in run_all(chosen(LIVE), out, jobs=2, attempts=2) if outcome.error]
    assert failed == []
    return out


def test_the_kernels_are_heard(laboratory: Path) -> None:
    """A normal connection shows both kernels' paths, and an abort its reason."""
    normal = paths(Truth.read(kernel_truth("open_normal", laboratory)).events)
    assert sorted(path[-1][1] for incarnations in normal.values() for path in incarnations) == ["CLOSED"] * 6
    aborted = Truth.read(kernel_truth("abort_linger_zero_by_client", laboratory))
    assert {reset.reason for reset in aborted.resets} == {"TCP_STATE"}
    unread = Truth.read(kernel_truth("abort_unread_data_by_server", laboratory))
    assert {reset.reason for reset in unread.resets} == {"TCP_ABORT_ON_CLOSE"}


def test_paths_inferred_from_fresh_captures_are_the_kernels(laboratory: Path) -> None:
    total = Score()
    stalled = []
    for name in LIVE:
        score = score_scenario(laboratory, name)
        if score.differences and _has_stalled(laboratory, name):
            # What happened then is not what the scenario means to show, in the truth and in the capture alike.
            run_all(chosen([name]), laboratory, jobs=1, attempts=2)
            score = score_scenario(laboratory, name)
            if score.differences and _has_stalled(laboratory, name):
                stalled.append(name)
                continue
        total.add(score)

    print("not judged, for the wire stalled twice:", stalled)
    assert len(stalled) * 5 <= len(LIVE)
    assert total.differences == []
    assert sum(total.paths.values()) >= 2 * 2 * len(LIVE) - 8


def test_nothing_is_left_behind(laboratory: Path) -> None:
    """No namespace and no trace instance of the laboratory outlives its run."""
    assert laboratory.is_dir()
    names = [path.name for path in Path("/run/netns").glob("pf*-wire")] if Path("/run/netns").is_dir() else []
    instances = [path.name for path in Path("/sys/kernel/tracing/instances").glob("pcapflow-*")]
    assert (names, instances) == ([], [])
