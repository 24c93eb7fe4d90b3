"""What a flow's row says in others' words: Zeek's ``history``, Wireshark's ``completeness``.

Zeek's rule (``update_history``): of SYN, FIN and RST more than one is a letter of its own (I with FIN and RST, else Q),
one is S or H, F or R whatever it carries, and without any of them it is D with data, A without.
"""

from __future__ import annotations

import pytest

from pcapflow.tables.zeek import histories
from tests.ladders import Climb, Story

HANDSHAKE = """
  0  > S   0:0
  1  < S.  0:0    ack 1
  2  > .   1:1    ack 1
  3  > P.  1:6    ack 1
  4  < P.  1:6    ack 6
  5  > .   6:6    ack 6"""
"""Opened, and five bytes each way: what follows begins at 6 on both sides."""


def history(story: Story) -> str:
    """The history of the only flow."""
    (text,) = histories(story.tables.flows)
    return text


def test_an_ordinary_connection(follow: Climb) -> None:
    story = follow(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6
     11  < F.  6:6    ack 7
     12  > .   7:7    ack 7""")
    assert history(story) == "ShADdFf"


def test_a_fin_or_reset_with_data_is_a_fin_or_reset(follow: Climb) -> None:
    story = follow("""
      0  > S   0:0
      1  < S.  0:0    ack 1
      2  > F.  1:6    ack 1
      3  < R.  1:6    ack 7""")
    assert history(story) == "ShFr"


@pytest.mark.parametrize(
    ("flags", "letter"), [("SF", "Q"), ("SR", "Q"), ("FR", "I"), ("SFR", "I"), ("S", "S"), ("F", "F"), ("R", "R")]
)
def test_flags_that_do_not_go_together(follow: Climb, flags: str, letter: str) -> None:
    assert history(follow(f"0 > {flags} 0:0")) == letter


def test_resets_with_different_numbers_are_told_each(follow: Climb) -> None:
    """A copy of a RST is the same RST."""
    story = follow(f"""{HANDSHAKE}
     10  > R.  6:6    ack 6
     11  > R.  6:6    ack 6
     12  > R.  9:9    ack 6""")
    assert history(story) == "ShADdRR"


def test_a_retransmission_is_told_and_counted(follow: Climb) -> None:
    story = follow(f"""{HANDSHAKE}
     10  > P.  6:16   ack 6
    300  > P.  6:16   ack 6
    301  < .   6:6   ack 16""")
    assert history(story) == "ShADdTa"
    assert (story.flow("client_retransmitted"), story.flow("server_retransmitted")) == (1, 0)


def test_bytes_that_the_capture_lacks(follow: Climb) -> None:
    """An ACK of what did not pass: a gap of the other side's. The last number may have been its FIN."""
    story = follow(f"""{HANDSHAKE}
     10  > .   6:6   ack 60""")
    assert history(story) == "ShADdg"
    assert story.flow("server_unseen") == 53


def test_a_fin_that_the_capture_lacks_is_no_byte(follow: Climb) -> None:
    """Acknowledged and never seen: with nothing after it, one number is a FIN as likely as a byte."""
    story = follow(f"""{HANDSHAKE}
     10  > .   6:6   ack 7""")
    assert story.flow("server_unseen") == 0


def test_a_fin_that_passes_after_it_was_acknowledged_is_no_byte(follow: Climb) -> None:
    """The first one was not captured, and the ACK of it was lost: it comes again."""
    story = follow(f"""{HANDSHAKE}
     10  > .   6:6   ack 17
    200  < F.  16:16 ack 6""")
    assert story.flow("server_unseen") == 10


def test_a_fin_that_fills_the_end_of_a_hole_leaves_the_bytes_before_it(follow: Climb) -> None:
    """A bare ACK stood above ten bytes and a FIN; the FIN comes again, the bytes are acknowledged unseen."""
    story = follow(f"""{HANDSHAKE}
     10  < .   17:17 ack 6
    200  < F.  16:16 ack 6
    201  > .   6:6   ack 17""")
    assert story.flow("server_unseen") == 10


def test_bytes_before_others_that_passed_are_all_bytes(follow: Climb) -> None:
    """What comes after them is no FIN's."""
    story = follow(f"""{HANDSHAKE}
     10  > .   6:6   ack 16
     11  < P.  16:26 ack 6
     12  > .   6:6   ack 26""")
    assert story.flow("server_unseen") == 10


def test_a_hole_that_is_acknowledged_unfilled(follow: Climb) -> None:
    story = follow(f"""{HANDSHAKE}
     10  < P.  16:26 ack 6
     11  > .   6:6   ack 26""")
    assert history(story) == "ShADdg"
    assert story.flow("server_unseen") == 10


def test_a_hole_that_is_filled_is_no_gap(follow: Climb) -> None:
    story = follow(f"""{HANDSHAKE}
     10  < P.  16:26 ack 6
     11  < P.  6:16  ack 6
     12  > .   6:6   ack 26""")
    assert "g" not in history(story)
    assert story.flow("server_unseen") == 0


def test_of_two_holes_the_first_is_filled(follow: Climb) -> None:
    story = follow(f"""{HANDSHAKE}
     10  < P.  16:26 ack 6
     11  < P.  36:46 ack 6
     12  < P.  6:16  ack 6
     13  > .   6:6   ack 46""")
    assert story.flow("server_unseen") == 10


def test_what_is_repeated_beyond_a_hole_fills_nothing(follow: Climb) -> None:
    story = follow(f"""{HANDSHAKE}
     10  < P.  16:26 ack 6
     11  < P.  26:36 ack 6
     12  < P.  16:26 ack 6
     13  > .   6:6   ack 36""")
    assert story.flow("server_unseen") == 10


def test_what_is_repeated_before_a_hole_fills_nothing(follow: Climb) -> None:
    story = follow(f"""{HANDSHAKE}
     10  < P.  6:16  ack 6
     11  < P.  16:26 ack 6
     12  < P.  36:46 ack 6
     13  < P.  6:16  ack 6
     14  > .   6:6   ack 46""")
    assert story.flow("server_unseen") == 10


def test_an_ack_that_waits_before_a_hole_is_no_gap(follow: Climb) -> None:
    story = follow(f"""{HANDSHAKE}
     10  < P.  6:16  ack 6
     11  < P.  26:36 ack 6
     12  > .   6:6   ack 16
     13  < P.  16:26 ack 6
     14  > .   6:6   ack 36""")
    assert "g" not in history(story)
    assert story.flow("server_unseen") == 0


def test_what_passed_before_the_capture_is_not_lacking(follow: Climb) -> None:
    """The server's first segment is where it had come to by then."""
    story = follow("""
      0  > P.  100:200 ack 50
      1  < P.  150:160 ack 200
      2  > .   200:200 ack 160""")
    assert story.flow("server_unseen") == 0


def test_a_window_that_shuts_is_told_once(follow: Climb) -> None:
    """It is shut from the first segment that says so to the first that says otherwise."""
    story = follow(f"""{HANDSHAKE}
     10  < .   6:6    ack 6 win 0
     20  < .   6:6    ack 6 win 0
     30  < .   6:6    ack 6 win 9
     40  < .   6:6    ack 6 win 0
     45  < .   6:6    ack 6 win 9""")
    assert history(story) == "ShADdaw"
    assert (story.flow("server_zero_ns"), story.flow("server_zero_frame")) == (20_000_000, 7)


def test_a_window_that_is_still_shut_at_the_end(follow: Climb) -> None:
    story = follow(f"""{HANDSHAKE}
     10  < .   6:6    ack 6 win 0
     30  > .   6:6    ack 6""")
    assert (story.flow("server_zero_ns"), story.flow("server_zero_frame")) == (20_000_000, 7)


@pytest.mark.parametrize("flags", ["F.", "R."])
def test_a_window_of_zero_at_the_end_shuts_nothing(follow: Climb, flags: str) -> None:
    story = follow(f"""{HANDSHAKE}
     10  < {flags}  6:6    ack 6 win 0
     30  > .  6:6    ack 6""")
    assert "w" not in history(story)
    assert story.flow("server_zero_ns") == 0


def test_more_letters_than_there_is_room_for(follow: Climb) -> None:
    """The first two dozen are kept."""
    resets = "\n".join(f"{ms} > R. {ms}:{ms} ack 6" for ms in range(20, 60))
    assert history(follow(f"{HANDSHAKE}\n{resets}")) == "ShADd" + "R" * 19


@pytest.mark.parametrize(
    ("rung", "bits"),
    [("> S 0:0", 1), ("> S 0:5", 1 + 8), ("> S. 0:0 ack 1", 0), ("> . 1:1 ack 1", 0), ("> P. 1:5 ack 1", 0)],
)
def test_completeness_of_a_first_frame(follow: Climb, rung: str, bits: int) -> None:
    """A first frame counts for its SYN alone, and for the data of that SYN."""
    assert follow(f"0 {rung}").flow("completeness") == bits


@pytest.mark.parametrize(
    ("more", "bits"),
    [
        ("2 > .  1:1 ack 1", 1 + 2 + 4),
        ("2 > P. 1:5 ack 1", 1 + 2 + 8),
        ("2 > F. 1:1 ack 1", 1 + 2 + 4 + 16),
        ("2 > F. 1:5 ack 1", 1 + 2 + 8 + 16),
        ("2 > R  1:1", 1 + 2 + 32),
        ("2 > R. 1:1 ack 1", 1 + 2 + 4 + 32),
    ],
)
def test_completeness_of_what_follows_a_handshake(follow: Climb, more: str, bits: int) -> None:
    """An ACK with data is data, one without is an ACK, also as part of a FIN or a RST."""
    assert follow(f"0 > S 0:0\n1 < S. 0:0 ack 1\n{more}").flow("completeness") == bits
