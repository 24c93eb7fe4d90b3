"""The census against a count by hand, event by event."""

from __future__ import annotations

import dataclasses

import numpy as np

from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import states as s
from pcapflow.views.census import UNCOUNTED, Counts, census, census_at
from tests.report.scenes import SECOND, Scene, checkout


def _by_hand(tables: Tables, time_ns: int, time_wait_ns: int = 60 * SECOND) -> Counts:
    """Counts by replaying every transition up to a moment."""
    t = tables.transitions
    now: dict[tuple[int, int], tuple[int, int]] = {}
    for flow, endpoint, new, at in zip(t["flow"], t["endpoint"], t["new"], t["time_ns"], strict=True):
        if at <= time_ns:
            now[int(flow), int(endpoint)] = (int(new), int(at))
    counts = np.zeros((2, s.N_STATES), np.int64)
    for (_, endpoint), (state, since) in now.items():
        over = state == s.TIME_WAIT and time_ns >= since + time_wait_ns
        if state not in UNCOUNTED and not over:
            counts[endpoint, state] += 1
    return counts


def test_every_sample_equals_a_count_by_hand() -> None:
    tables = checkout()[0].tables()

    result = census(tables, samples=41)

    for i, time_ns in enumerate(result.times_ns.tolist()):
        assert np.array_equal(result.counts[:, i], _by_hand(tables, time_ns))


def test_one_moment_equals_a_count_by_hand() -> None:
    tables = checkout()[0].tables()
    moment = tables.capture.first_ns + 123 * SECOND + 456_789

    assert np.array_equal(census_at(tables, moment), _by_hand(tables, moment))


def test_the_peak_is_the_largest_count_at_any_transition() -> None:
    tables = checkout()[0].tables()
    result = census(tables)

    every = [_by_hand(tables, time_ns) for time_ns in np.unique(tables.transitions["time_ns"]).tolist()]

    assert np.array_equal(result.peak, np.max(every, axis=0))


def test_time_wait_ends_after_its_time_or_when_the_endpoint_moves_on() -> None:
    scene = Scene()
    for at in (0.0, 1.0):
        connection = scene.connection("10.0.0.1:40000", "10.0.0.2:80", at)
        connection.handshake()
        connection.fin(s.CLIENT)
        connection.fin(s.SERVER)
    connection.segment(s.SERVER, 4, after=5.0)
    connection.move(s.CLIENT, s.CLOSED, s.RST_RX, s.ASSUMED)
    tables = scene.tables()

    waiting = [int(census_at(tables, scene.ns(at))[0, s.TIME_WAIT]) for at in (3, 7, 59, 61)]

    assert waiting == [2, 1, 1, 0]


def test_a_state_passed_within_one_frame_was_never_there() -> None:
    scene = Scene()
    connection = scene.connection("10.0.0.1:40000", "10.0.0.2:80", 0.0)
    connection.handshake()
    connection.segment(s.CLIENT, 0x11)
    connection.move(s.CLIENT, s.FIN_WAIT_1, s.FIN_TX)
    connection.segment(s.SERVER, 0x11, after=0.1)
    connection.move(s.CLIENT, s.FIN_WAIT_2, s.ACK_OF_FIN_RX, s.PROVEN)
    connection.move(s.CLIENT, s.TIME_WAIT, s.FIN_RX, s.PROVEN)

    peak = census(scene.tables()).peak[0]

    assert (peak[s.FIN_WAIT_1], peak[s.FIN_WAIT_2], peak[s.TIME_WAIT]) == (1, 0, 1)


def test_a_clock_that_went_back_changes_no_count() -> None:
    scene, _ = checkout()
    tables = scene.tables()
    shuffled = tables.transitions.take(np.random.default_rng(7).permutation(len(tables.transitions)))
    back = Tables(tables.flows, shuffled, tables.marks, tables.capture)
    # Rows at the same time keep their order of frames, which a clock cannot change.
    ordered = back.transitions.take(np.lexsort((back.transitions["frame"],)))

    result = census(Tables(tables.flows, ordered, tables.marks, tables.capture))

    assert np.array_equal(result.counts, census(tables).counts)


def test_a_host_that_the_configuration_names_leaves_time_wait_when_its_stack_does() -> None:
    """The client of a macOS host is gone after 30 s, that of another after 60 s."""
    scene = Scene()
    for number, client in enumerate(("10.0.0.1", "10.0.0.2")):
        connection = scene.connection(f"{client}:4000{number}", "10.0.0.9:80", 1.0)
        connection.handshake()
        connection.fin(s.CLIENT)
        connection.fin(s.SERVER)
    tables = scene.tables()
    config = dataclasses.replace(Config(), stack_hosts=(("10.0.0.1", "macos"),))
    entered = tables.transitions["time_ns"][tables.transitions["new"] == s.TIME_WAIT].max()

    left = [int(census_at(tables, int(entered) + n * SECOND, config)[s.CLIENT, s.TIME_WAIT]) for n in (29, 31, 59, 61)]

    assert left == [2, 1, 1, 0]
