"""How connections abort: which resets count (RFC 9293, 3.5.3 and 3.10.7; RFC 5961, 3.2), and what they leave behind."""

from __future__ import annotations

import pytest

from pcapflow.tcp.endings import CLOSED_BY_NAMES, NOT_DRAWN
from tests.ladders import Climb

HANDSHAKE = """
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+    |
      1  < S.  0:0    ack 1 | ESTABLISHED+ |              |
      2  > .   1:1    ack 1 |              | ESTABLISHED+ |
      3  > P.  1:6    ack 1 |              |              |
      4  < P.  1:6    ack 6 |              |              |
      5  > .   6:6    ack 6 |              |              |"""
"""Opened, and five bytes each way: what follows begins at 6 on both sides."""


def test_an_abort(climb: Climb) -> None:
    """A RST exactly where the receiver expects the next byte ends both sides; that it arrived cannot be proven."""
    story = climb(f"""{HANDSHAKE}
     10  > R.  6:6    ack 6 | CLOSED       | CLOSED?      | reset
    """)

    assert story.reasons == ["aborted"]
    assert story.flow("closed_by") == 1
    assert (story.flow("reset_frame"), story.flow("reset_gap"), story.flow("reset_pending")) == (7, 0, 0)


def test_an_abort_beyond_data_in_flight(climb: Climb) -> None:
    """The data before the RST may have arrived meanwhile: anything up to the sender's highest number is acceptable."""
    story = climb(f"""{HANDSHAKE}
     10  > P.  6:16   ack 6 |              |              |
     11  > R.  16:16  ack 6 | CLOSED       | CLOSED?      | reset
    """)

    assert story.reasons == ["aborted"]
    assert story.flow("reset_gap") == 10


def test_an_abort_loses_what_was_in_flight(climb: Climb) -> None:
    """The receiver of the RST had sent 30 bytes that the sender never acknowledged."""
    story = climb(f"""{HANDSHAKE}
     10  < P.  6:36   ack 6 |              |              |
     11  > R.  6:6    ack 6 | CLOSED       | CLOSED?      | reset
    """)

    assert story.marked("reset") == [(8, "client", 30)]
    assert story.flow("reset_pending") == 30


@pytest.mark.parametrize(
    ("rungs", "pending"),
    [
        ("10 < F. 6:6 ack 6 \n 11 > R. 6:6 ack 6", 0),
        ("10 < P. 6:36 ack 6 \n 11 < F. 36:36 ack 6 \n 12 > R. 6:6 ack 6", 30),
        ("10 < F. 6:6 ack 6 \n 11 > . 6:6 ack 7 \n 12 > R. 6:6 ack 7", 0),
        ("10 < . 7:7 ack 6 \n 11 > R. 6:6 ack 6", 0),
    ],
    ids=["a FIN", "data and a FIN", "a FIN that was acknowledged", "a FIN that did not pass"],
)
def test_a_fin_is_nothing_that_a_reset_loses(follow: Climb, rungs: str, pending: int) -> None:
    """It takes a sequence number, as the SYN does, and carries no byte."""
    opened = HANDSHAKE.partition("marks\n")[2]

    assert follow(f"{opened}\n{rungs}").flow("reset_pending") == pending


def test_a_syn_ack_is_nothing_that_a_reset_loses(follow: Climb) -> None:
    """The client gives up before it acknowledged the server's SYN."""
    story = follow("0 > S 0:0 \n 1 < S. 0:0 ack 1 \n 2 > R 1:1")

    assert (story.flow("reset_frame"), story.flow("reset_pending")) == (3, 0)


def test_a_reset_below_the_window_is_ignored(climb: Climb) -> None:
    """Nothing happens to a connection when an old or guessed RST passes."""
    story = climb(f"""{HANDSHAKE}
     10  > R   2:2          |              |              | reset-ignored
     20  < P.  6:16   ack 6 |              |              |
     21  > .   6:6   ack 16 |              |              |
    """)

    assert story.reasons == ["open"]
    assert story.marked("reset-ignored") == [(7, "client", -4)]


def test_a_reset_below_the_window_is_ignored_whatever_comes_late(climb: Climb) -> None:
    """An ACK that was overtaken does not move the window back."""
    climb(f"""{HANDSHAKE}
      8  < P.  6:16   ack 6 |              |              |
      9  > .   6:6   ack 16 |              |              |
    9.1  > .   6:6    ack 6 |              |              |
     10  < R.  6:6    ack 6 |              |              | reset-ignored
    """)


def test_a_reset_one_below_where_there_was_no_fin_is_ignored(climb: Climb) -> None:
    """Only a FIN of its sender is a number that a RST may leave out."""
    climb(f"""{HANDSHAKE}
     10  > R   5:5          |              |              | reset-ignored
    """)


def test_a_reset_two_below_in_close_wait_is_ignored(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < .   6:6    ack 7 | FIN_WAIT_2?  |              |
     12  > R   5:5          |              |              | reset-ignored
    """)


def test_a_reset_beyond_the_window_is_ignored(climb: Climb) -> None:
    """A number that the sender has never reached."""
    story = climb(f"""{HANDSHAKE}
     10  > R   5006:5006    |              |              | reset-ignored
     20  < P.  6:16   ack 6 |              |              |
     21  > .   6:6   ack 16 |              |              |
    """)

    assert story.reasons == ["open"]


def test_a_reset_of_its_own_ahead_of_a_fin_that_was_lost(climb: Climb) -> None:
    """The server challenges it, and finds nobody: why the client aborted, its first RST tells."""
    story = climb(f"""{HANDSHAKE}
     10  > R.  7:7    ack 6 | CLOSED       |              | reset-ignored
   10.1  < .   6:6    ack 6 |              |              |
     11  > R   6:6          |              | CLOSED?      | reset
    """)

    assert story.reasons == ["aborted"]
    assert story.flow("reset_frame") == 7


def test_a_reset_of_its_own_that_its_peer_never_took(climb: Climb) -> None:
    story = climb(f"""{HANDSHAKE}
     10  > R.  7:7    ack 6 | CLOSED       |              | reset-ignored
   10.1  < .   6:6    ack 6 |              |              |
    """)

    assert story.ends == [("CLOSED", "ESTABLISHED")]
    assert story.flow("reset_frame") == -1


@pytest.mark.parametrize("rung", ["R. 7:7 ack 5", "R 7:7"], ids=["that acknowledges something else", "without an ACK"])
def test_a_reset_of_a_stranger_ahead_of_all(climb: Climb, rung: str) -> None:
    """Anyone can guess a number. It says nothing of the client."""
    story = climb(f"""{HANDSHAKE}
     10  > {rung} | | | reset-ignored
   10.1  < .   6:6    ack 6 |              |              |
     11  > R   6:6          | CLOSED       | CLOSED?      | reset
    """)

    assert story.flow("reset_frame") == 9


def test_a_reset_that_its_sender_goes_on_after_was_not_its_own(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  > R.  7:7    ack 6 |              |              | reset-ignored
     20  > P.  6:16   ack 6 |              |              | taken-back
     21  < .   6:6   ack 16 |              |              |
    """)


def test_a_reset_that_is_followed_at_once_by_an_ack_of_what_came_just_before(climb: Climb) -> None:
    """No socket has it that answers with a RST: the client is there, and the RST was not its own."""
    climb(f"""{HANDSHAKE}
    9.9  < P.  6:16   ack 6 |              |              |
     10  > R   6:6          |              | CLOSED?      | reset
     11  > .   6:6   ack 16 |              |              | taken-back
    """)


def test_a_second_reset_of_a_connection_from_before(climb: Climb) -> None:
    """Of the server nothing is known; as far as anyone can tell, the first has ended all there was."""
    climb("""
     ms  segment            | client       | server       | marks
      0  > R   1:1          | CLOSED       |              | reset
     10  > R   1:1          |              |              | reset-after-close
    """)


def test_a_reset_of_its_own_after_one_that_was_not(climb: Climb) -> None:
    """The first ended the server, whose end the client comes to know of; nothing is left for the second to end."""
    climb(f"""{HANDSHAKE}
     10  > R.  6:6    ack 6 |              | CLOSED?      | reset
     20  > P.  6:16   ack 6 |              |              | data-after-close taken-back
     30  > R.  16:16  ack 6 | CLOSED       |              | reset-after-close
    """)


def test_a_second_reset_that_was_not_its_own_either(climb: Climb) -> None:
    """Its number is an old one: the client, which sent it as little as the first, is alive."""
    climb(f"""{HANDSHAKE}
     10  > R.  6:6    ack 6 |              | CLOSED?      | reset
     20  > P.  6:16   ack 6 |              |              | data-after-close taken-back
     30  > R   2:2          |              |              | reset-ignored
    """)


def test_a_stray_reset_of_one_who_has_acknowledged_nothing(climb: Climb) -> None:
    """It has no acknowledgment that could show whose it is."""
    climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+    |
      1  < S.  0:0    ack 1 | ESTABLISHED+ |              |
    1.5  > R  50:50         |              |              | reset-ignored
      2  > .   1:1    ack 1 |              | ESTABLISHED? |
    """)


def test_a_reset_that_acknowledges_less_than_the_syn(climb: Climb) -> None:
    """In SYN_SENT it is not acceptable (RFC 9293, 3.10.7.3)."""
    climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     |              |
      1  < R.  0:0    ack 0 |              |              | reset-ignored
   5000  end
    """)


def test_a_reset_that_answers_nothing_was_drawn_by_nothing(climb: Climb) -> None:
    """Its number is beyond the client's last acknowledgment, so it was sent of the server's own accord."""
    story = climb(f"""{HANDSHAKE}
     10  < P.  6:16   ack 6 |              |              |
     11  > .   6:6   ack 16 |              |              |
     12  < P.  16:26  ack 6 |              |              |
   12.1  < R   26:26        | CLOSED?      | CLOSED       | reset
    """)

    assert (story.flow("reset_frame"), story.flow("reset_drew_frame")) == (10, NOT_DRAWN)


def test_a_reset_after_which_the_connection_goes_on_is_taken_back(climb: Climb) -> None:
    """Exact to the byte, and yet both sides talk on after a round trip: it was not theirs, or it did not arrive."""
    story = climb(f"""{HANDSHAKE}
     10  > R   6:6          |                        |              | reset reset-ignored
    300  < P.  6:16   ack 6 |                        |              | data-after-close taken-back
    301  > .   6:6   ack 16 |                        |              | taken-back
    400  > F.  6:6   ack 16 | FIN_WAIT_1             | CLOSE_WAIT+  |
    401  < F.  16:16  ack 7 | FIN_WAIT_2+ TIME_WAIT+ | LAST_ACK     |
    402  > .   7:7   ack 17 |                        | CLOSED?      |
    """)

    assert story.reasons == ["closed"]
    assert story.flow("reset_frame") == -1


@pytest.mark.parametrize(
    ("rungs", "closed_by"),
    [
        ("", "none"),
        ("400 < F. 16:16 ack 6", "server"),
        ("400 > F. 6:6 ack 16", "client"),
    ],
    ids=["nobody closes", "the server closes", "the client closes"],
)
def test_a_reset_that_was_not_its_own_closes_nothing(follow: Climb, rungs: str, closed_by: str) -> None:
    """Both talk on after it: who closes later is the one that closed."""
    story = follow(f"""{HANDSHAKE.split("marks", 1)[1]}
     10  > R   6:6
    300  < P.  6:16   ack 6
    301  > .   6:6   ack 16
    {rungs}
    """)

    assert CLOSED_BY_NAMES[story.flow("closed_by")] == closed_by


def test_a_reset_that_was_not_its_own_after_the_others_fin(follow: Climb) -> None:
    story = follow(f"""{HANDSHAKE.split("marks", 1)[1]}
     10  < F.  6:6    ack 6
     11  > .   6:6    ack 7
     20  > R   6:6
    300  > P.  6:16   ack 7
    """)

    assert CLOSED_BY_NAMES[story.flow("closed_by")] == "server"


def test_what_was_in_flight_before_a_reset_does_not_undo_it(climb: Climb) -> None:
    """The server's data passes within a round trip of the RST: it was sent before the RST could arrive."""
    story = climb(f"""{HANDSHAKE}
     10  > R.  6:6    ack 6 | CLOSED       | CLOSED?      | reset
   10.4  < P.  6:16   ack 6 |              |              | data-after-close
     12  > R   6:6          |              |              | reset-after-close
    """)

    assert story.ends == [("CLOSED", "CLOSED")]
    assert story.flow("reset_frame") == 7
    assert story.marked("taken-back") == []


def test_what_comes_later_than_a_round_trip_was_not_in_flight(climb: Climb) -> None:
    """A round trip takes a millisecond here: after ten, the server would have had the RST."""
    climb(f"""{HANDSHAKE}
     10  > R   6:6          |              |              | reset reset-ignored
     20  < P.  6:16   ack 6 |              |              | data-after-close taken-back
     21  > .   6:6   ack 16 |              |              | taken-back
    """)


def test_what_may_be_in_flight_while_no_round_trip_is_known(climb: Climb) -> None:
    """Nothing of the client's was answered: a long way is allowed for."""
    climb("""
     ms  segment              | client       | server       | marks
      0  > P.  100:200 ack 50 | ESTABLISHED? | ESTABLISHED? |
      1  > R.  200:200 ack 50 | CLOSED       | CLOSED?      | reset
    150  < P.  50:60  ack 100 |              |              | data-after-close
    """)


def test_what_answers_data_sent_after_the_reset_was_not_in_flight(climb: Climb) -> None:
    """Within a round trip of the RST, but it acknowledges what came after it: the RST was not the end."""
    climb(f"""{HANDSHAKE}
     10  > R.  6:6    ack 6 |              |              | reset reset-ignored
   10.1  > P.  6:16   ack 6 |              |              | data-after-close taken-back
   10.9  < .   6:6   ack 16 |              |              | taken-back
    """)


def test_what_acknowledges_more_than_passed_may_be_in_flight(climb: Climb) -> None:
    """The capture lacks ten bytes: they were sent before the RST, as far as anyone knows."""
    story = climb(f"""{HANDSHAKE}
     10  > R.  6:6    ack 6 | CLOSED       | CLOSED?      | reset
   10.9  < .   6:6   ack 16 |              |              | acked-missing
    """)

    assert story.marked("taken-back") == []


def test_a_segment_overtaken_by_the_reset_of_its_sender(climb: Climb) -> None:
    """It says nothing that had not been said before the RST."""
    climb(f"""{HANDSHAKE}
     10  > R.  6:6    ack 6 | CLOSED       | CLOSED?      | reset
     11  > .   6:6    ack 6 |              |              |
    """)


def test_new_data_right_after_a_reset(climb: Climb) -> None:
    """The client's own RST would have been its last word: it was somebody else's."""
    story = climb(f"""{HANDSHAKE}
     10  > R.  6:6    ack 6 |              | CLOSED?      | reset
     11  > P.  6:16   ack 6 |              |              | data-after-close taken-back
    """)

    assert story.ends == [("ESTABLISHED", "CLOSED")]


def test_a_fin_in_flight_comes_before_the_reset(climb: Climb) -> None:
    """The server's FIN was on its way when the client aborted: it closed, and then the RST reached it."""
    climb(f"""{HANDSHAKE}
     10  > R.  6:6    ack 6 | CLOSED       | CLOSED?      | reset
   10.4  < F.  6:6    ack 6 |              | FIN_WAIT_1   |
     12  > R   6:6          |              |              | reset-after-close
    """)


def test_a_fin_and_then_a_reset(climb: Climb) -> None:
    """The FIN lies below the RST's number, so it arrived before: the server passed CLOSE_WAIT."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT?  |
     11  > R.  7:7    ack 6 | CLOSED       | CLOSED?      | reset
    """)


def test_a_reset_in_close_wait(climb: Climb) -> None:
    """The reader has closed; what is written to it is answered by a RST (a half-close that was none)."""
    story = climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < .   6:6    ack 7 | FIN_WAIT_2?  |              |
    100  < P.  6:106  ack 7 |              |              |
    101  > R   7:7          | CLOSED       | CLOSED?      | reset
    """)

    assert story.ends == [("CLOSED", "CLOSED")]
    assert story.reasons == ["aborted"]


def test_a_reset_in_time_wait(climb: Climb) -> None:
    """TIME_WAIT is cut short by a RST (RFC 1337): when all is over already there is nothing left to abort."""
    story = climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1             | CLOSE_WAIT+  |
     11  < F.  6:6    ack 7 | FIN_WAIT_2+ TIME_WAIT+ | LAST_ACK     |
     12  > .   7:7    ack 7 |                        | CLOSED?      |
     50  < R   7:7          | CLOSED?                |              | reset-after-close
    """)

    assert story.reasons == ["closed"]


def test_a_reset_in_time_wait_that_did_not_count(climb: Climb) -> None:
    """The client is still there: its host ignores RSTs in TIME_WAIT (RFC 1337). No RST had ended the connection."""
    story = climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1             | CLOSE_WAIT+  |
     11  < F.  6:6    ack 7 | FIN_WAIT_2+ TIME_WAIT+ | LAST_ACK     |
     12  > .   7:7    ack 7 |                        | CLOSED?      |
     50  < R   7:7          |                        |              | reset-after-close
    300  > .   7:7    ack 7 |                        |              | taken-back
    """)

    assert story.marked("reset-ignored") == []


def test_an_abort_after_the_fin_of_the_other_side(climb: Climb) -> None:
    """The client closed first, and in its own way."""
    story = climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < .   6:6    ack 7 | FIN_WAIT_2?  |              |
     20  < R.  6:6    ack 7 | CLOSED?      | CLOSED       | reset
    """)

    assert story.flow("closed_by") == 1


def test_a_reset_after_both_fins(climb: Climb) -> None:
    """Both had closed, and one resets instead of acknowledging: LAST_ACK ends, and no byte is lost.

    Nobody was there to take the FIN, nor the ACK that it brought along.
    """
    story = climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < F.  6:6    ack 7 |              | LAST_ACK     |
     12  > R   7:7          | CLOSED       | CLOSED?      | reset
    """)

    assert story.ends == [("CLOSED", "CLOSED")]


def test_a_reset_in_last_ack(climb: Climb) -> None:
    """Its sender had closed as well, and does not wait for the last ACK."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1             | CLOSE_WAIT+  |
     11  < F.  6:6    ack 7 | FIN_WAIT_2? TIME_WAIT? | LAST_ACK     |
     12  < R.  7:7    ack 7 | CLOSED?                | CLOSED       | reset
    """)


def test_a_reset_in_last_ack_that_does_not_count_its_own_fin(climb: Climb) -> None:
    """Linux accepts it (tcp_reset_check): some systems send it so."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < F.  6:6    ack 7 |              | LAST_ACK     |
     12  > R   6:6          | CLOSED       | CLOSED?      | reset
    """)


def test_a_reset_in_closing_that_does_not_count_its_own_fin(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSING+     |
     11  < F.  6:6    ack 6 |              | FIN_WAIT_1   |
     12  < .   7:7    ack 7 |              |              |
     13  > R   6:6          | CLOSED       | CLOSED?      | reset
    """)


def test_a_reset_instead_of_the_second_fin(climb: Climb) -> None:
    """It meets FIN_WAIT_2: the server acknowledged the FIN and aborted later."""
    story = climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < .   6:6    ack 7 | FIN_WAIT_2?  |              |
    100  < R.  6:6    ack 7 | CLOSED?      | CLOSED       | reset
    """)

    assert story.reasons == ["aborted"]


def test_a_reset_in_closing(climb: Climb) -> None:
    """The FINs crossed; the RST that acknowledges the server's proves that it had arrived."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSING?     |
     11  < F.  6:6    ack 6 | CLOSING+     | FIN_WAIT_1   |
     12  > R.  7:7    ack 7 | CLOSED       | CLOSED?      | reset
    """)


def test_a_time_wait_that_was_cut_short(climb: Climb) -> None:
    """The last ACK is lost, and the FIN that comes again finds no socket any more."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1             | CLOSE_WAIT+  |
     11  < F.  6:6    ack 7 | FIN_WAIT_2+ TIME_WAIT+ | LAST_ACK     |
     12  > .   7:7    ack 7 |                        |              |
    220  < F.  6:6    ack 7 |                        |              | fin-repeated taken-back
    221  > R   7:7          | CLOSED                 | CLOSED?      | reset
    """)


def test_what_was_in_flight_before_time_wait_was_cut_short(climb: Climb) -> None:
    """The client answered the repeated FIN before the RST could reach it."""
    story = climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1              | CLOSE_WAIT+  |
     11  < F.  6:6    ack 7 | FIN_WAIT_2+ TIME_WAIT+  | LAST_ACK     |
     12  > .   7:7    ack 7 |                         | CLOSED?      |
     14  < R   7:7          | CLOSED?                 |              | reset-after-close
   14.4  > .   7:7    ack 7 |                         |              |
    """)

    assert story.marked("taken-back") == []


def test_nobody_there_any_more(climb: Climb) -> None:
    """A passive RST, without ACK, at the number that the segment it answers acknowledged."""
    story = climb(f"""{HANDSHAKE}
    100  < P.  6:16   ack 6 |              |              |
    101  > R   6:6    win 0 | CLOSED       | CLOSED?      | reset
    """)

    assert story.reasons == ["aborted"]
    assert story.flow("reset_window") == 0


def test_data_to_a_closed_endpoint(climb: Climb) -> None:
    """The client still talks long after the RST, so it never got it, and the second one ends it.

    The second only answers the data: why the server aborted, and when, is the first one's to tell.
    """
    story = climb(f"""{HANDSHAKE}
     10  < R.  6:6    ack 6 |              | CLOSED       | reset reset-ignored
    300  > P.  6:16   ack 6 |              |              | data-after-close taken-back
    301  < R   6:6          | CLOSED?      |              | reset
    """)

    assert story.flow("reset_frame") == 7
    assert story.moment("client", "CLOSED") == 301


def test_resets_from_both_sides(climb: Climb) -> None:
    """Each aborts by itself: the RST of a socket that is gone already would have no ACK."""
    story = climb(f"""{HANDSHAKE}
     10  > R.  6:6    ack 6 | CLOSED       |              | reset
   10.2  < R.  6:6    ack 6 |              | CLOSED       | reset-after-close
    """)

    assert story.flow("closed_by") == 1
    assert story.flow("reset_frame") == 7


def test_a_reset_alone_in_the_capture(climb: Climb) -> None:
    """Its sender is closed, for what it sent itself is certain. Nothing is said of the other side."""
    climb("""
     ms  segment   | client | server | marks
     10  > R   6:6 | CLOSED |        | reset
    """)


@pytest.mark.parametrize(("words", "options"), [("", 0), (" ts 5 ecr 4", 1)], ids=["bare", "time stamps"])
def test_whether_a_reset_bears_options_is_kept(climb: Climb, words: str, options: int) -> None:
    """Who sends a RST without the connection's time stamps is not its endpoint, or no longer knows it."""
    story = climb(f"""{HANDSHAKE}
     10  > R.  6:6    ack 6{words} | CLOSED       | CLOSED?      | reset
    """)
    assert story.flow("reset_options") == options


def test_an_abort_after_resets_ahead_of_what_was_lost_is_its_senders(climb: Climb) -> None:
    story = climb(f"""{HANDSHAKE}
     10  < R. 16:16   ack 6 |              | CLOSED       | reset-ignored
     11  < R. 26:26   ack 6 |              |              | reset-ignored
    300  > P.  6:16   ack 6 |              |              | data-after-close
    301  < R   6:6          | CLOSED?      |              | reset
    """)

    assert CLOSED_BY_NAMES[story.flow("closed_by")] == "server"


@pytest.mark.parametrize("way", [">", "<"])
def test_resets_alone_in_the_capture(climb: Climb, way: str) -> None:
    """Nothing is known of the one that they were sent to."""
    climb(f"""
     ms  segment            | client       | server       | marks
      0  {way} R   1:1      | {"CLOSED" if way == ">" else ""} | {"CLOSED" if way == "<" else ""} | reset
     10  {way} R   1:1      |              |              | reset-after-close
    """)


def test_a_stranger_who_resets_acknowledges_nothing_for_the_client(climb: Climb) -> None:
    story = climb(f"""{HANDSHAKE}
     10  > R.  6:6  ack 900 | CLOSED       | CLOSED?      | reset
    """)

    assert story.flow("client_acked") == 6
