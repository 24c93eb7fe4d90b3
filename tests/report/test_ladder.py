"""Ladders: what is drawn, what is left out by name, and that it is all inside the picture."""

from __future__ import annotations

from pcapflow.report.ladder import Ladder, ladder
from pcapflow.report.ladder_choice import MOST_RUNGS
from pcapflow.tcp import marks as m
from pcapflow.tcp import states as s
from pcapflow.tcp.flags import ACK, FIN, PSH
from tests.report.scenes import Scene, checkout


def _leak() -> tuple[Scene, int, frozenset[int]]:
    scene, found = checkout()
    return scene, found[0].flows[0], frozenset(found[0].frames)


def _path(drawn: Ladder, anchor: str) -> list[str]:
    return [dot.name for dot in drawn.dots if dot.anchor == anchor]


def test_the_states_of_both_ends_stand_where_they_change() -> None:
    scene, flow, evidence = _leak()

    drawn = ladder(scene.tables(), flow, evidence=evidence, segments=scene.segments[flow])

    assert _path(drawn, "end") == ["SYN_SENT", "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2"]
    assert _path(drawn, "start") == ["SYN_RCVD", "ESTABLISHED", "CLOSE_WAIT"]


def test_only_the_frames_that_prove_it_are_drawn_and_gaps_are_named() -> None:
    scene, flow, evidence = _leak()

    drawn = ladder(scene.tables(), flow, evidence=evidence, segments=scene.segments[flow])

    assert [rung.name for rung in drawn.rungs] == ["SYN", "SYN ACK", "ACK", "413 B", "1.4 kB", "FIN", "ACK"]
    assert [gap.text for gap in drawn.gaps] == ["... 2.8 s, 8 segments", "silence for 231.4 s, to the capture's end"]
    assert [rung.name for rung in drawn.rungs if rung.evidence] == ["FIN"]


def test_numbers_are_relative() -> None:
    scene, flow, evidence = _leak()

    drawn = ladder(scene.tables(), flow, evidence=evidence, segments=scene.segments[flow])

    assert [rung.numbers for rung in drawn.rungs[:4]] == ["0:0", "0:0 ack 1", "ack 1", "1:414 ack 1"]


def test_without_segments_the_ladder_comes_from_transitions_and_marks() -> None:
    scene, flow, evidence = _leak()

    drawn = ladder(scene.tables(), flow, evidence=evidence)

    assert [rung.name for rung in drawn.rungs] == ["SYN", "SYN ACK", "ACK", "FIN", "ACK"]
    assert _path(drawn, "start") == ["SYN_RCVD", "ESTABLISHED", "CLOSE_WAIT"]


def test_a_list_of_segments_with_holes_never_counts_what_it_does_not_hold() -> None:
    scene, flow, evidence = _leak()
    some = [segment for i, segment in enumerate(scene.segments[flow]) if i not in {7, 8}]

    drawn = ladder(scene.tables(), flow, evidence=evidence, segments=some)

    assert drawn.gaps[0].text == "... 2.8 s"


def test_what_is_only_assumed_is_drawn_hollow() -> None:
    scene, found = checkout()

    drawn = ladder(scene.tables(), found[3].flow, evidence=frozenset(), segments=scene.segments[found[3].flow])

    assert {dot.name for dot in drawn.dots if dot.assumed} == {"FIN_WAIT_2", "TIME_WAIT"}
    assert drawn.assumed


def test_two_changes_at_one_frame_do_not_cover_each_other() -> None:
    scene, found = checkout()

    drawn = ladder(scene.tables(), found[3].flow, evidence=frozenset(), segments=scene.segments[found[3].flow])

    spots = [(dot.x, dot.y) for dot in drawn.dots]
    assert len(spots) == len(set(spots))


def test_repeats_are_named_and_their_number_is_bounded() -> None:
    scene = Scene()
    connection = scene.connection("10.0.0.1:40000", "10.0.0.2:80", 1.0)
    connection.handshake()
    connection.segment(s.CLIENT, FIN | ACK)
    connection.move(s.CLIENT, s.FIN_WAIT_1, s.FIN_TX)
    for i in range(300):
        connection.segment(s.CLIENT, FIN | ACK, after=0.4, again=True)
        connection.mark(s.CLIENT, m.MARK_FIN_REPEATED, i + 2)

    drawn = ladder(scene.tables(), connection.flow, evidence=frozenset(), segments=scene.segments[connection.flow])

    assert len(drawn.rungs) == MOST_RUNGS
    assert "fin-repeated" in {rung.note for rung in drawn.rungs}
    assert f"{304 - MOST_RUNGS} more segments" in drawn.gaps[-2].text


def test_everything_is_inside_the_picture_even_with_the_longest_names() -> None:
    scene = Scene()
    longest = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff"
    connection = scene.connection(f"[{longest}]:65535", f"[{longest}]:65534", 1.0)
    connection.handshake()
    connection.sent[:] = [4_000_000_000, 4_000_000_000]
    connection.segment(s.CLIENT, PSH | ACK, 1_000_000)
    connection.fin(s.CLIENT)

    drawn = ladder(scene.tables(), connection.flow, evidence=frozenset(), segments=scene.segments[connection.flow])

    assert all(0 < rung.y1 < drawn.height and 0 < rung.y2 < drawn.height for rung in drawn.rungs)
    assert all(0 < gap.y < drawn.height for gap in drawn.gaps)
    assert all(len(rung.name) + len(rung.numbers) < 36 for rung in drawn.rungs)
    # Two names of this length stand side by side between the lines they belong to.
    assert max(len(drawn.client_name), len(drawn.server_name)) * 6.4 < drawn.server_x - drawn.client_x
