"""The captures of real programs in trouble and in health: all there, small, and each with what is expected of it."""

from __future__ import annotations

from fixtures.captures import PROGRAMS
from fixtures.programs.expectation import PATTERNS
from fixtures.programs.record import cases
from fixtures.recording.record import MAX_BYTES

CASES = cases()
SEVERITIES = ("info", "low", "medium", "high")


def test_the_captures_are_all_there_and_small() -> None:
    assert {path.name for path in PROGRAMS.glob("*.pcap")} == {case.recording.path.name for case in CASES}
    assert max(case.recording.path.stat().st_size for case in CASES) <= MAX_BYTES


def test_at_least_a_third_are_quiet_and_say_so() -> None:
    quiet = [case for case in CASES if case.expectation.quiet]
    assert 3 * len(quiet) >= len(CASES) >= 40
    assert {case.recording.name for case in quiet} == {
        case.recording.name for case in CASES if case.recording.shows.startswith("Quiet: ")
    }


def test_every_pattern_is_expected_of_a_capture() -> None:
    assert {name for case in CASES for each in case.expectation.incidents for name in each.patterns} == set(PATTERNS)


def test_no_expectation_contradicts_itself() -> None:
    for case in CASES:
        for each in case.expectation.incidents:
            assert SEVERITIES.index(each.at_least) <= SEVERITIES.index(each.at_most), case.recording.name
            assert not set(each.patterns) & set(case.expectation.never), case.recording.name


def test_both_versions_of_ip_and_every_place_of_a_tap_are_there() -> None:
    assert {case.recording.family for case in CASES} == {4, 6}
    assert {case.recording.tap.place for case in CASES} == {"client", "router", "server"}
    assert {case.recording.plan for case in CASES} == {"direct", "routed"}
