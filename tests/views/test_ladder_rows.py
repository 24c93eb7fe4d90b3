"""What every ladder begins with: all that is known of each frame of a connection."""

from __future__ import annotations

from pcapflow.tcp import marks as m
from pcapflow.tcp import states as s
from pcapflow.tcp.flags import ACK, FIN, PSH, RST, SYN, URG
from pcapflow.views.ladder_rows import flag_words, ladder_rows, packets_of
from tests.report.scenes import Scene


def _closing() -> tuple[Scene, int, int]:
    """A connection whose client closes and repeats its FIN; the frame of the first FIN and of the repetition."""
    scene = Scene()
    connection = scene.connection("10.0.0.1:40000", "10.0.0.2:80", 1.0)
    connection.handshake()
    fin = connection.fin(s.CLIENT)
    again = connection.segment(s.CLIENT, FIN | ACK, after=0.4, again=True)
    connection.mark(s.CLIENT, m.RETRANSMISSION)
    connection.mark(s.CLIENT, m.MARK_FIN_REPEATED, 2)
    return scene, fin, again


def test_a_row_holds_the_segment_the_states_it_leads_to_and_its_marks() -> None:
    scene, fin, again = _closing()

    rows = ladder_rows(scene.tables(), 0, scene.segments[0])

    assert len(rows) == packets_of(scene.tables(), 0)
    assert rows[fin].segment == scene.segments[0][fin - 1]
    assert (rows[fin].states_entered(s.CLIENT), rows[fin].states_entered(s.SERVER)) == (["FIN_WAIT_1"], ["CLOSE_WAIT"])
    assert rows[again].marks == [m.RETRANSMISSION, m.MARK_FIN_REPEATED]


def test_without_segments_the_flags_and_the_sender_follow_from_the_transitions() -> None:
    scene, fin, _ = _closing()

    rows = ladder_rows(scene.tables(), 0, ())

    assert [(row.endpoint, row.flags) for row in rows.values()][:3] == [
        (s.CLIENT, SYN),
        (s.SERVER, SYN | ACK),
        (s.CLIENT, ACK),
    ]
    assert (rows[fin].endpoint, rows[fin].flags, rows[fin].segment) == (s.CLIENT, FIN | ACK, None)


def test_a_mark_makes_a_row_of_its_own_only_where_that_is_asked_for() -> None:
    scene, _, again = _closing()

    assert again not in ladder_rows(scene.tables(), 0, ())
    row = ladder_rows(scene.tables(), 0, (), marks_alone={m.MARK_FIN_REPEATED})[again]
    assert (row.endpoint, row.flags, row.marks) == (s.CLIENT, FIN | ACK, [m.MARK_FIN_REPEATED])


def test_no_more_marks_are_looked_at_than_asked_for() -> None:
    scene, _, again = _closing()

    rows = ladder_rows(scene.tables(), 0, scene.segments[0], most_marks=1)

    assert rows[again].marks == [m.RETRANSMISSION]


def test_flags_are_named_in_one_order() -> None:
    assert flag_words(ACK | PSH | RST | FIN | SYN) == "SYN FIN RST PSH ACK"
    assert flag_words(URG) == ""
