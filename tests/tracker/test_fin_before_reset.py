"""Had the FIN arrived when the RST came? What was sent between the two, and what the RST carries, tells.

One round trip takes a millisecond here.
"""

from __future__ import annotations

import pytest

from tests.ladders import Climb
from tests.ladders import climb as climb_plain
from tests.tracker.test_aborts import HANDSHAKE


def test_a_reset_of_its_own_says_what_it_had_received(climb: Climb) -> None:
    """Both abort at once; the server's RST does not acknowledge the FIN, so there was no CLOSE_WAIT."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   |              |
   10.1  > R.  7:7    ack 6 | CLOSED       |              | reset
   10.5  < R.  6:6    ack 6 |              | CLOSED       | reset-after-close
    """)


def test_a_reset_of_its_own_says_what_it_had_received_whatever_was_sent_last(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   |              |
   10.1  > .   7:7    ack 6 |              |              |
   10.2  > R.  7:7    ack 6 | CLOSED       |              | reset
   10.5  < R.  6:6    ack 6 |              | CLOSED       | reset-after-close
    """)


def test_a_reset_of_its_own_that_acknowledges_the_fin(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT?  |
   10.1  > R.  7:7    ack 6 | CLOSED       |              | reset
   10.5  < R.  6:6    ack 7 |              | CLOSED       | reset-after-close
    """)


def test_a_reset_that_acknowledges_the_fin_proves_it(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < R.  6:6    ack 7 | CLOSED?      | CLOSED       | reset
    """)


def test_a_fin_that_crosses_both_was_sent_before_either_arrived(climb: Climb) -> None:
    """It does not acknowledge the client's FIN: the server was in ESTABLISHED when it sent its own."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSING?     |
   10.1  > R.  7:7    ack 6 | CLOSED       | CLOSED?      | reset
   10.5  < F.  6:6    ack 6 |              | FIN_WAIT_1   |
    """)


def test_a_reset_with_a_number_below_the_fin(climb: Climb) -> None:
    """It counts only where the data before the FIN has not arrived, and so neither has the FIN."""
    climb(f"""{HANDSHAKE}
      9  > P.  6:16   ack 6 |              |              |
     10  > F. 16:16   ack 6 | FIN_WAIT_1   |              |
   10.1  > R.  6:6    ack 6 | CLOSED       | CLOSED?      | reset
    """)


def test_what_was_in_flight_does_not_bring_a_fin_beyond_the_reset(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
      9  > P.  6:16   ack 6 |              |              |
     10  > F. 16:16   ack 6 | FIN_WAIT_1   |              |
   10.1  > R.  6:6    ack 6 | CLOSED       | CLOSED?      | reset
   10.4  < .   6:6    ack 6 |              |              |
    """)


def test_an_ack_of_the_fin_that_crosses_the_reset_proves_it(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
   10.1  > R.  7:7    ack 6 | CLOSED       | CLOSED?      | reset
   10.5  < .   6:6    ack 7 |              |              |
    """)


def test_an_ack_that_crosses_the_reset_and_does_not_cover_the_fin(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT?  |
   10.1  > R.  7:7    ack 6 | CLOSED       | CLOSED?      | reset
   10.5  < .   6:6    ack 6 |              |              |
    """)


def test_a_fin_that_was_acknowledged_before_the_reset(climb: Climb) -> None:
    """Data that the ACK of the FIN overtook does not unsay it."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
   10.5  < .   16:16  ack 7 |              |              |
   10.6  > R.  7:7    ack 6 | CLOSED       | CLOSED?      | reset
   10.8  < P.  6:16   ack 6 |              |              |
    """)


def test_a_reset_drawn_before_the_ack_of_the_fin_arrived(climb: Climb) -> None:
    """Its number is the acknowledgment of the data, which was sent before the ACK of the FIN."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
   10.4  < P.  6:16   ack 6 |              |              |
   10.5  < .   16:16  ack 7 |              |              |
     12  > R   6:6          | CLOSED       | CLOSED?      | reset
    """)


def test_a_reset_drawn_by_the_ack_of_the_fin(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
   10.4  < P.  6:16   ack 6 |              |              |
   10.5  < .   16:16  ack 7 | FIN_WAIT_2?  |              |
     12  > R   7:7          | CLOSED       | CLOSED?      | reset
    """)


def test_a_reset_drawn_by_nothing_but_the_ack_of_the_fin(climb: Climb) -> None:
    """It comes as soon as an answer can. A socket in FIN_WAIT_1 would have taken the ACK: there was none any more."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
   10.5  < .   6:6    ack 7 |              |              |
   11.3  > R   7:7          | CLOSED       | CLOSED?      | reset
    """)


def test_a_reset_drawn_by_a_copy_of_the_last_ack(climb: Climb) -> None:
    """The first ended LAST_ACK; the second one found nobody there."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1             | CLOSE_WAIT+  |
     11  < F.  6:6    ack 7 | FIN_WAIT_2+ TIME_WAIT+ | LAST_ACK     |
     12  > .   7:7    ack 7 |                        | CLOSED?      |
   12.1  > .   7:7    ack 7 |                        |              |
   12.5  < R   7:7          | CLOSED?                |              | reset-after-close
    """)


def test_a_reset_after_a_last_ack_that_was_wanted_again(climb: Climb) -> None:
    """The second ACK did what the first was thought to have done; the RST is the answer to one of them."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1             | CLOSE_WAIT+  |
     11  < F.  6:6    ack 7 | FIN_WAIT_2+ TIME_WAIT+ | LAST_ACK     |
     12  > .   7:7    ack 7 |                        |              |
   12.3  < F.  6:6    ack 7 |                        |              | fin-repeated taken-back
   12.4  > .   7:7    ack 7 |                        | CLOSED?      |
   12.9  < R   7:7          | CLOSED?                |              | reset-after-close
    """)


def test_a_reset_drawn_long_after_the_ack_of_the_fin(climb: Climb) -> None:
    """The orphan in FIN_WAIT_2 was given up meanwhile; that has nothing to do with the ACK that brought it there."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < .   6:6    ack 7 | FIN_WAIT_2?  |              |
  70000  < .   6:6    ack 7 |              |              |
70000.5  > R   7:7          | CLOSED       | CLOSED?      | reset
    """)


def test_a_reset_drawn_by_data_that_acknowledges_the_fin(climb: Climb) -> None:
    """The ACK is looked at before the data, for which nobody is there (Linux, tcp_rcv_state_process)."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
   10.5  < P.  6:16   ack 7 | FIN_WAIT_2?  |              |
   11.3  > R   7:7          | CLOSED       | CLOSED?      | reset
    """)


def test_a_reset_drawn_by_old_data_after_the_ack_of_the_fin(climb: Climb) -> None:
    """The data was overtaken by the ACK: that had arrived when the data drew the RST."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
   10.5  < .   16:16  ack 7 | FIN_WAIT_2?  |              |
   10.6  < P.  6:16   ack 6 |              |              |
     12  > R   6:6          | CLOSED       | CLOSED?      | reset
    """)


def test_an_abort_sooner_after_the_ack_than_a_round_trip(climb: Climb) -> None:
    """The ACK of the FIN cannot have been there when the RST was sent."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < .   6:6    ack 7 |              |              |
   11.9  > R.  7:7    ack 6 | CLOSED       | CLOSED?      | reset
    """)


def test_an_abort_later_than_a_round_trip_after_the_ack(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < .   6:6    ack 7 | FIN_WAIT_2?  |              |
   12.1  > R.  7:7    ack 6 | CLOSED       | CLOSED?      | reset
    """)


def test_an_abort_soon_after_the_other_side_s(climb: Climb) -> None:
    """What matters is when the ACK passed, not when the client's RST did."""
    climb(f"""{HANDSHAKE}
     10  < F.  6:6    ack 6 | CLOSE_WAIT+  | FIN_WAIT_1   |
     11  > .   6:6    ack 7 |              | FIN_WAIT_2?  |
   12.5  > R.  6:6    ack 7 | CLOSED       |              | reset
     13  < R.  7:7    ack 6 |              | CLOSED       | reset-after-close
    """)


def test_a_fin_that_its_receiver_denies_a_round_trip_later(climb: Climb) -> None:
    """The server's data was sent when the FIN should have been there, and does not acknowledge it: it was lost."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   |              |
   11.1  < P.  6:16   ack 6 |              |              |
   11.2  > R   6:6          | CLOSED       | CLOSED?      | reset
    """)


def test_what_is_in_flight_after_a_denial_denies_it_too(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   |              |
   11.1  < P.  6:16   ack 6 |              |              |
   11.2  > R   6:6          | CLOSED       | CLOSED?      | reset
   11.4  < P.  16:26  ack 6 |              |              | data-after-close
    """)


def test_a_fin_that_its_receiver_denies_after_the_reset(climb: Climb) -> None:
    """The server's data was still in flight when the RST passed, and too late not to have met the FIN."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   |              |
   10.1  > R.  7:7    ack 6 | CLOSED       | CLOSED?      | reset
     12  < P.  6:16   ack 6 |              |              | data-after-close
    """)


def test_the_ack_of_a_fin_before_a_reset_whose_senders_fin_was_denied(climb: Climb) -> None:
    """The client had the ACK of its FIN, but not the server's FIN when it sent data again at 12.5."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSING+     |
   10.2  < F.  6:6    ack 6 |              | FIN_WAIT_1   |
   11.1  < .   7:7    ack 7 | FIN_WAIT_2?  |              |
   12.5  > P.  1:6    ack 6 |              |              |
     13  < R   6:6          | CLOSED?      | CLOSED       | reset
    """)


def test_what_was_in_flight_does_not_unsay_the_ack_of_a_fin(climb: Climb) -> None:
    """The same once more, and the data at 13.4 was under way when the RST passed."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6      | FIN_WAIT_1   | CLOSING+     |
   10.2  < F.  6:6    ack 6      |              | FIN_WAIT_1   |
   11.1  < .   7:7    ack 7      | FIN_WAIT_2?  |              |
   12.5  > P.  1:6    ack 6 id 1 |              |              |
     13  < R   6:6               | CLOSED?      | CLOSED       | reset
   13.4  > P.  1:6    ack 6 id 2 |              |              |
    """)


def test_an_abort_that_crossed_the_others_does_not_unsay_the_ack_of_a_fin(climb: Climb) -> None:
    """The client had not got the server's RST when it aborted, but the ACK of its FIN long before."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSING+     |
   10.2  < F.  6:6    ack 6 |              | FIN_WAIT_1   |
   11.1  < .   7:7    ack 7 | FIN_WAIT_2?  |              |
   12.5  > P.  1:6    ack 6 |              |              |
     13  < R   6:6          |              | CLOSED       | reset
     14  > R.  7:7    ack 6 | CLOSED       |              | reset-after-close
    """)


def test_data_that_crosses_a_fin_denies_nothing(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT?  |
   10.9  < P.  6:16   ack 6 |              |              |
     11  > R   6:6          | CLOSED       | CLOSED?      | reset
    """)


def test_no_block_tells_of_no_gap_whatever_the_numbers() -> None:
    """The client's are about to wrap, so that no block at all could be taken for one ahead."""
    climb_plain(
        f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT?  |
   10.9  < P.  6:16   ack 6 |              |              |
     11  > R   6:6          | CLOSED       | CLOSED?      | reset
    """,
        isn=(2**32 - 50, 5000),
    )


def test_a_segment_that_was_overtaken_denies_nothing(climb: Climb) -> None:
    """At 14 it acknowledges less than the client did at 10.6: it was sent before that."""
    climb(f"""{HANDSHAKE}
      8  < P.  6:16   ack 6 |              |              |
     10  < F. 16:16   ack 6 | CLOSE_WAIT?  | FIN_WAIT_1   |
   10.1  < R. 17:17   ack 6 | CLOSED?      | CLOSED       | reset
   10.6  > .   6:6   ack 16 |              |              |
     14  > .   6:6    ack 6 |              |              |
    """)


def test_fins_that_crossed_before_a_reset(climb: Climb) -> None:
    """The ACK that crosses the RST shows that the server's FIN had come, and before the ACK of the client's."""
    climb(f"""{HANDSHAKE}
      8  < P.  6:16   ack 6 |              |              |
     10  < F. 16:26   ack 6 | CLOSING+     | FIN_WAIT_1   |
   10.2  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSING+     |
   10.3  < .  27:27   ack 7 | TIME_WAIT?   |              |
   10.4  > .   7:7   ack 16 |              |              |
   10.5  < R  16:16         | CLOSED?      | CLOSED       | reset
   10.9  > .   7:7   ack 27 |              |              |
    """)


def test_fins_that_crossed_and_what_was_in_flight_says_nothing_of_them(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
      8  < P.  6:16   ack 6 |              |              |
     10  < F. 16:26   ack 6 |              | FIN_WAIT_1   |
   10.2  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSING+     |
   10.3  < .  27:27   ack 7 | FIN_WAIT_2?  |              |
   10.4  > .   7:7   ack 16 |              |              |
   10.5  < R  16:16         | CLOSED?      | CLOSED       | reset
   10.9  > .   7:7   ack 16 |              |              |
    """)


def test_a_challenge_says_that_the_fin_was_lost(climb: Climb) -> None:
    """An ACK that says nothing new, a round trip after the RST: that was not where the client was (RFC 5961, 3.2)."""
    story = climb(f"""{HANDSHAKE}
      8  < P.  6:16   ack 6 |              |              |
     10  < F. 16:16   ack 6 |              | FIN_WAIT_1   |
   10.1  < R. 17:17   ack 6 |              | CLOSED       | reset reset-ignored
   10.6  > .   6:6   ack 16 |              |              |
     14  > .   6:6   ack 16 |              |              | taken-back taken-back
   14.1  < R  16:16         | CLOSED?      |              | reset
    """)

    assert story.flow("reset_frame") == 9


def test_a_challenge_that_nothing_follows(climb: Climb) -> None:
    story = climb(f"""{HANDSHAKE}
     10  < F.  6:6    ack 6 |              | FIN_WAIT_1   |
   10.1  < R.  7:7    ack 6 |              | CLOSED       | reset reset-ignored
     12  > .   6:6    ack 6 |              |              | taken-back taken-back
    """)

    assert story.ends == [("ESTABLISHED", "CLOSED")]


@pytest.mark.parametrize(
    "rung",
    [
        "10.5  > .   6:6   ack 6",
        "12    > P.  6:16  ack 6",
        "12    > P.  1:6   ack 6",
        "12    > .   1:1   ack 6",
        "12    > .   6:6   ack 1",
        "12    > .   6:6   ack 6 sack 16",
    ],
    ids=["sooner than a round trip", "data", "old data", "an old number", "an old acknowledgment", "a block"],
)
def test_what_is_no_challenge(follow: Climb, rung: str) -> None:
    """It may have been on its way when the RST came."""
    _, opening = HANDSHAKE.split("marks", 1)
    story = follow(f"""{opening}
     10  < F.  6:6    ack 6
   10.1  < R.  7:7    ack 6
   {rung}
    """)

    assert story.ends == [("CLOSED", "CLOSED")]
    assert story.marked("taken-back") == []


def test_what_may_be_a_challenge_where_no_round_trip_is_known(climb: Climb) -> None:
    """Two milliseconds may be less than a round trip: the ACK may have been on its way when the RST came."""
    climb("""
     ms  segment            | client       | server       | marks
      0  < P.  1:6    ack 1 | ESTABLISHED? | ESTABLISHED? |
      1  > .   1:1    ack 1 |              |              |
     10  < R.  6:6    ack 1 | CLOSED?      | CLOSED       | reset
     12  > .   1:1    ack 1 |              |              |
    """)


def test_an_ack_that_says_nothing_new_after_a_reset_at_its_number(climb: Climb) -> None:
    """Where it came, it was accepted: nothing to challenge."""
    climb(f"""{HANDSHAKE}
     10  < R.  6:6    ack 6 | CLOSED?      | CLOSED       | reset
     12  > .   6:6    ack 6 |              |              |
    """)


def test_a_fin_that_is_not_acknowledged_long_after_a_reset_had_not_arrived(climb: Climb) -> None:
    """The server's own FIN, two seconds later, shows that it got neither."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   |              |
     11  > R.  7:7    ack 6 | CLOSED       |              | reset reset-ignored
   2000  < F.  6:6    ack 6 |              | FIN_WAIT_1   | taken-back taken-back
   2001  > R   6:6          |              | CLOSED?      | reset
    """)


def test_a_fin_that_is_acknowledged_long_after_a_reset_had_arrived(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  > R.  7:7    ack 6 | CLOSED       |              | reset reset-ignored
   2000  < F.  6:6    ack 7 |              | LAST_ACK     | taken-back
   2001  > R   7:7          |              | CLOSED?      | reset
    """)


def test_a_fin_that_what_was_on_its_way_could_not_acknowledge(climb: Climb) -> None:
    """The client's data had been sent before the FIN came, which is repeated and answered by no socket."""
    climb(f"""{HANDSHAKE}
     10  < F.  6:6    ack 6 | CLOSE_WAIT?  | FIN_WAIT_1   |
   10.4  > P.  6:16   ack 6 |              |              |
    300  < F.  6:6   ack 16 |              |              | fin-repeated
    301  > R  16:16         | CLOSED       | CLOSED?      | reset
    """)


def test_a_fin_that_was_denied_and_then_answered_by_no_socket(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  < F.  6:6    ack 6 |              | FIN_WAIT_1   |
     20  > P.  6:16   ack 6 |              |              |
    300  < F.  6:6   ack 16 |              |              | fin-repeated
    301  > R  16:16         | CLOSED       | CLOSED?      | reset
    """)


def test_a_fin_that_was_denied_and_sent_again_before_the_reset(climb: Climb) -> None:
    """Nothing denies the second one, which passed just before the RST."""
    climb(f"""{HANDSHAKE}
     10  < F.  6:6    ack 6 |              | FIN_WAIT_1   |
     20  > P.  6:16   ack 6 |              |              |
    300  < F.  6:6   ack 16 | CLOSE_WAIT?  |              | fin-repeated
  300.1  < R.  7:7   ack 16 | CLOSED?      | CLOSED       | reset
    """)


def test_a_fin_that_was_denied_and_yet_arrived(climb: Climb) -> None:
    """The data at 20 was slow, though nothing but the answer to the second FIN shows that: it echoes the first."""
    climb(f"""{HANDSHAKE}
     10  < F.  6:6    ack 6 ts 20         | CLOSE_WAIT+  | FIN_WAIT_1   |
     20  > P.  6:7    ack 6               |              |              |
    300  < F.  6:6    ack 7 ts 310        |              |              | fin-repeated
    301  > .   7:7    ack 7 ts 300 ecr 20 |              | FIN_WAIT_2?  |
    """)


def test_a_fin_that_found_no_socket(climb: Climb) -> None:
    """The RST overtook it: nothing else was sent to the client that could have drawn a RST there."""
    climb(f"""{HANDSHAKE}
     10  < F.  6:6    ack 6 |              | FIN_WAIT_1   |
   10.1  < R.  7:7    ack 6 | CLOSED?      | CLOSED       | reset
     22  > R   6:6          |              |              | reset-after-close
    """)


def test_a_copy_of_a_fin_that_found_no_socket(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  < F.  6:6    ack 6 | CLOSE_WAIT?  | FIN_WAIT_1   |
   10.1  < R.  7:7    ack 6 | CLOSED?      | CLOSED       | reset
   10.2  < F.  6:6    ack 6 |              |              | fin-repeated
     22  > R   6:6          |              |              | reset-after-close
    """)


def test_a_fin_that_was_acknowledged_and_a_reset_that_found_no_socket(climb: Climb) -> None:
    """The ACK proved it, so it was not the FIN that came after the RST, whatever drew the client's."""
    climb(f"""{HANDSHAKE}
     10  < F.  6:6    ack 6 | CLOSE_WAIT+  | FIN_WAIT_1   |
     11  > .   6:6    ack 7 |              | FIN_WAIT_2?  |
     12  < R.  7:7    ack 6 | CLOSED?      | CLOSED       | reset
     22  > R   6:6          |              |              | reset-after-close
    """)


def test_an_ack_after_a_fin_that_may_have_found_no_socket(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  < F.  6:6    ack 6 | CLOSE_WAIT?  | FIN_WAIT_1   |
   10.1  < .   7:7    ack 6 |              |              |
   10.2  < R.  7:7    ack 6 | CLOSED?      | CLOSED       | reset
     22  > R   6:6          |              |              | reset-after-close
    """)


def test_a_reset_drawn_by_a_fin_beyond_a_hole(climb: Climb) -> None:
    """A socket in FIN_WAIT_1 takes the ACK and then aborts, since data comes for which nobody is there."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < F.  16:16  ack 7 | FIN_WAIT_2?  | LAST_ACK     |
     12  > R   7:7          | CLOSED       | CLOSED?      | reset
    """)


def test_a_fin_of_three_passes_that_what_was_on_its_way_could_not_acknowledge(climb: Climb) -> None:
    """A second pass that drew nothing either: the FIN did not reach the client, as far as anyone can tell."""
    climb(f"""{HANDSHAKE}
     10  < F.  6:6    ack 6 |              | FIN_WAIT_1   |
   10.4  > P.  6:16   ack 6 |              |              |
    300  < F.  6:6   ack 16 |              |              | fin-repeated
    600  < F.  6:6   ack 16 |              |              | fin-repeated
    601  > R  16:16         | CLOSED       | CLOSED?      | reset
    """)


def test_an_abort_that_lacks_the_data_which_brought_the_ack(climb: Climb) -> None:
    """It has not received byte 6, and so not the ACK of its FIN either."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
   10.5  < P.  6:7    ack 7 |              |              |
     15  > R.  7:7    ack 6 | CLOSED       | CLOSED?      | reset
    """)


def test_an_abort_that_lacks_data_and_may_have_the_ack(climb: Climb) -> None:
    """A bare ACK came after the data."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
   10.5  < P.  6:7    ack 7 | FIN_WAIT_2?  |              |
     12  < .   7:7    ack 7 |              |              |
     15  > R.  7:7    ack 6 | CLOSED       | CLOSED?      | reset
    """)


def test_a_denial_sooner_than_the_longest_round_trip_seen(climb: Climb) -> None:
    """A wire that once took six milliseconds may have taken as long with the FIN."""
    climb(f"""{HANDSHAKE}
      4  > P.  6:16   ack 6 |              |              |
     10  < .   6:6   ack 16 |              |              |
     20  > F. 16:16   ack 6 | FIN_WAIT_1   | CLOSE_WAIT?  |
     25  < P.  6:7   ack 16 |              |              |
     26  > R  17:17         | CLOSED       | CLOSED?      | reset
    """)


def test_a_denial_sooner_than_a_round_trip_that_was_not_the_last(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
      4  > P.  6:16   ack 6 |              |              |
     10  < .   6:6   ack 16 |              |              |
     12  > P.  16:26  ack 6 |              |              |
     13  < .   6:6   ack 26 |              |              |
     20  > F. 26:26   ack 6 | FIN_WAIT_1   | CLOSE_WAIT?  |
     25  < P.  6:7   ack 26 |              |              |
     26  > R  27:27         | CLOSED       | CLOSED?      | reset
    """)


def test_the_answer_to_what_was_sent_before_ends_no_round_trip(climb: Climb) -> None:
    """What is sent at 9.2 is answered six milliseconds later, not by the ACK of what came before it."""
    climb(f"""{HANDSHAKE}
      8  > P.  6:16   ack 6 |              |              |
    8.1  > P.  16:26  ack 6 |              |              |
      9  < .   6:6   ack 16 |              |              |
    9.2  > P.  26:36  ack 6 |              |              |
    9.3  < .   6:6   ack 26 |              |              |
   15.2  < .   6:6   ack 36 |              |              |
     20  > F. 36:36   ack 6 | FIN_WAIT_1   | CLOSE_WAIT?  |
     25  < P.  6:7   ack 36 |              |              |
     26  > R  37:37         | CLOSED       | CLOSED?      | reset
    """)


def test_a_denial_later_than_the_longest_round_trip_seen(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
      4  > P.  6:16   ack 6 |              |              |
     10  < .   6:6   ack 16 |              |              |
     20  > F. 16:16   ack 6 | FIN_WAIT_1   |              |
     27  < P.  6:7   ack 16 |              |              |
     28  > R  17:17         | CLOSED       | CLOSED?      | reset
    """)


def test_a_denial_where_no_round_trip_is_known(climb: Climb) -> None:
    """The connection is from before the capture, and the wire may be a slow one."""
    climb("""
     ms  segment            | client       | server                   | marks
      0  > .   1:1    ack 1 | ESTABLISHED? | ESTABLISHED?             |
     10  < F.  1:1    ack 1 | CLOSE_WAIT?  | FIN_WAIT_1               |
     12  > P.  1:6    ack 1 |              |                          |
   12.1  < R   2:2          | CLOSED?      | CLOSED                   | reset
    """)


def test_the_answer_to_a_repeat_measures_no_round_trip(climb: Climb) -> None:
    """Which of the two it answers cannot be known (Karn): the wire is not thought to take 201 milliseconds."""
    climb(f"""{HANDSHAKE}
     10  > P.  6:16   ack 6 |              |              |
    210  > P.  6:16   ack 6 |              |              |
    211  < .   6:6   ack 16 |              |              |
    300  > F. 16:16   ack 6 | FIN_WAIT_1   |              |
    310  < P.  6:7   ack 16 |              |              |
    311  > R  17:17         | CLOSED       | CLOSED?      | reset
    """)


def test_what_is_repeated_later_does_not_spoil_a_round_trip(climb: Climb) -> None:
    """What the answer at 12 answers has passed but once: a wire may take four milliseconds."""
    climb(f"""{HANDSHAKE}
      8  > P.  6:16   ack 6 id 1 |              |              |
    8.1  > P. 16:26   ack 6 id 2 |              |              |
     10  > P. 16:26   ack 6 id 3 |              |              |
     12  < .   6:6   ack 16      |              |              |
   12.1  < .   6:6   ack 26      |              |              |
     20  > F. 26:26   ack 6      | FIN_WAIT_1   | CLOSE_WAIT?  |
     23  < P.  6:7   ack 26      |              |              |
     24  > R  27:27              | CLOSED       | CLOSED?      | reset
    """)


def test_a_copy_does_not_spoil_a_round_trip(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
      8  > P.  6:16   ack 6 id 1 |              |              |
    8.1  > P.  6:16   ack 6 id 1 |              |              | duplicate-packet
     12  < .   6:6   ack 16      |              |              |
     20  > F. 16:16   ack 6      | FIN_WAIT_1   | CLOSE_WAIT?  |
     23  < P.  6:7   ack 16      |              |              |
     24  > R  17:17              | CLOSED       | CLOSED?      | reset
    """)


def test_an_old_ack_does_not_spoil_a_round_trip(climb: Climb) -> None:
    """It was overtaken by the data that the answer at 12 answers, and repeats nothing."""
    climb(f"""{HANDSHAKE}
      8  > P.  6:16   ack 6 |              |              |
    8.1  > .   6:6    ack 6 |              |              |
     12  < .   6:6   ack 16 |              |              |
     20  > F. 16:16   ack 6 | FIN_WAIT_1   | CLOSE_WAIT?  |
     23  < P.  6:7   ack 16 |              |              |
     24  > R  17:17         | CLOSED       | CLOSED?      | reset
    """)


def test_a_gap_before_the_fin_that_nothing_fills(climb: Climb) -> None:
    """The server holds the FIN back (SACK) because data before it is missing, and takes the RST meanwhile."""
    climb(f"""{HANDSHAKE}
      8  > P.  6:16   ack 6 |              |              |
     10  > F.  16:16  ack 6 | FIN_WAIT_1   |              |
   10.5  < .   6:6    ack 6 sack 16 |      |              |
   10.6  > R.  17:17  ack 6 | CLOSED       | CLOSED?      | reset
    """)


def test_a_gap_before_the_fin_that_is_filled(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
      8  > P.  6:16   ack 6 |              |              |
     10  > F.  16:16  ack 6 | FIN_WAIT_1   | CLOSE_WAIT?  |
   10.5  < .   6:6    ack 6 sack 16 |      |              |
   10.6  > P.  6:16   ack 6 |              |              |
   10.7  > R.  17:17  ack 6 | CLOSED       | CLOSED?      | reset
    """)


def test_a_duplicate_that_the_receiver_tells_of_is_no_gap(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT?  |
   10.5  < .   6:6    ack 6 sack 1 |       |              |
   10.6  > R.  7:7    ack 6 | CLOSED       | CLOSED?      | reset
    """)


def test_a_repeated_fin_that_no_socket_answers(climb: Climb) -> None:
    """The first FIN arrived, more likely than not; what the server sent until it aborted was lost before the tap."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT?  |
    300  > F.  6:6    ack 6 |              |              | fin-repeated
    301  < R   6:6          | CLOSED?      | CLOSED       | reset
    """)


def test_a_repeated_fin_and_an_abort(climb: Climb) -> None:
    """The server aborts of its own accord, and acknowledges neither FIN: none had arrived."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   |              |
    300  > F.  6:6    ack 6 |              |              | fin-repeated
    301  < R.  6:6    ack 6 | CLOSED?      | CLOSED       | reset
    """)


def test_a_fin_that_no_socket_answers(climb: Climb) -> None:
    """It found nobody: the server had aborted before."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   |              |
     11  < R   6:6          | CLOSED?      | CLOSED       | reset
    """)


def test_a_fin_that_no_socket_answers_and_its_copy(climb: Climb) -> None:
    """A copy is no second FIN."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 id 7 | FIN_WAIT_1   |              |
   10.1  > F.  6:6    ack 6 id 7 |              |              | duplicate-packet
     11  < R   6:6               | CLOSED?      | CLOSED       | reset
    """)


def test_a_reset_beyond_lost_data_that_acknowledges_the_fin(climb: Climb) -> None:
    """The client cannot take it, since data before it is missing; it proves all the same that the FIN had arrived."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     12  < R.  16:16  ack 7 |              | CLOSED       | reset-ignored
    """)


def test_a_stranger_who_resets_with_a_wrong_number_proves_nothing(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   |              |
     12  < R.  16:16  ack 9 |              |              | reset-ignored
   5000  end
    """)


def test_the_answer_to_later_data_does_not_hide_the_abort(climb: Climb) -> None:
    """The server's RST is lost; the one with which it meets the client's next data ends the client."""
    story = climb(f"""{HANDSHAKE}
     10  < R.  6:6    ack 6 |              | CLOSED       | reset reset-ignored
    300  > P.  6:16   ack 6 |              |              | data-after-close taken-back
    301  < R   6:6          | CLOSED?      |              | reset
    """)

    assert (story.flow("reset_frame"), story.flow("reset_drew_frame")) == (7, -1)


def test_of_two_answers_the_one_that_arrived_counts(climb: Climb) -> None:
    story = climb(f"""{HANDSHAKE}
     10  < R   6:6          |              | CLOSED       | reset reset-ignored
    300  > P.  6:16   ack 6 |              |              | data-after-close taken-back
    301  < R   6:6          | CLOSED?      |              | reset
    """)

    assert (story.flow("reset_frame"), story.flow("reset_drew_frame")) == (9, 8)


def test_of_two_aborts_ahead_of_lost_data_the_first_counts(climb: Climb) -> None:
    """What the client sends later meets the end that the first made."""
    story = climb(f"""{HANDSHAKE}
     10  < R.  16:16  ack 6 |              | CLOSED       | reset-ignored
     11  < R.  26:26  ack 6 |              |              | reset-ignored
    300  > P.  6:16   ack 6 |              |              | data-after-close
    301  < R   6:6          | CLOSED?      |              | reset
    """)

    assert (story.flow("reset_frame"), story.flow("reset_drew_frame")) == (7, -1)


def test_an_abort_ahead_of_lost_data_that_has_not_received_everything(climb: Climb) -> None:
    """It acknowledges what the server had acknowledged before: the client's data was still on its way."""
    climb(f"""{HANDSHAKE}
    9.9  > P.  6:16   ack 6 |              |              |
     10  < R.  16:16  ack 6 |              | CLOSED       | reset-ignored
    """)


def test_an_abort_that_is_repeated_of_its_own_accord_counts(climb: Climb) -> None:
    """It acknowledges the data, which the answer of no socket would not."""
    story = climb(f"""{HANDSHAKE}
     10  < R.  6:6    ack 6 |              | CLOSED       | reset reset-ignored
    300  > P.  6:16   ack 6 |              |              | data-after-close taken-back
    301  < R.  6:6   ack 16 | CLOSED?      |              | reset
    """)

    assert story.flow("reset_frame") == 9


def test_a_reset_that_was_not_its_own_and_then_one_that_was(climb: Climb) -> None:
    """Both went on after the first; the second is an answer to the client's ACK."""
    story = climb(f"""{HANDSHAKE}
     10  < R.  6:6    ack 6 |              |              | reset reset-ignored
    300  < P.  6:16   ack 6 |              |              | data-after-close taken-back
    301  > .   6:6   ack 16 |              |              | taken-back
    400  < R   16:16        | CLOSED?      | CLOSED       | reset
    """)

    assert (story.flow("reset_frame"), story.flow("reset_drew_frame")) == (10, 9)


def test_a_reset_that_was_never_heard_ends_nothing(climb: Climb) -> None:
    story = climb(f"""{HANDSHAKE}
     10  < R.  6:6    ack 6 |              | CLOSED       | reset reset-ignored
    300  > P.  6:16   ack 6 |              |              | data-after-close taken-back
   5000  end
    """)

    assert story.flow("reset_frame") == -1


def test_a_fin_repeated_behind_a_gap_that_nothing_filled(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
      8  > P.  6:16   ack 6         |              |              |
     10  > F. 16:16   ack 6         | FIN_WAIT_1   |              |
   10.5  < .   6:6    ack 6 sack 16 |              |              |
    200  > F. 16:16   ack 6         |              |              | fin-repeated
  200.1  > R. 17:17   ack 6         | CLOSED       | CLOSED?      | reset
    """)


def test_what_a_reset_acknowledges_is_nothing_new_afterwards(climb: Climb) -> None:
    """The ACK was overtaken by the RST, which says the same."""
    climb(f"""{HANDSHAKE}
     10  < P.  6:16   ack 6 |              |              |
   10.5  > R.  6:6   ack 16 | CLOSED       | CLOSED?      | reset
   10.6  > .   6:6   ack 16 |              |              |
    """)


def test_a_challenge_sooner_than_the_longest_round_trip_seen(climb: Climb) -> None:
    """Seven milliseconds have been the longest, and yet: it answers the RST, and so the FIN before that was lost."""
    climb(f"""{HANDSHAKE}
      6  < P.  6:7    ack 6 |              |              |
     13  > .   6:6    ack 7 |              |              |
     20  < F.  7:7    ack 6 |              | FIN_WAIT_1   |
   20.1  < R.  8:8    ack 6 |              | CLOSED       | reset reset-ignored
     23  > .   6:6    ack 7 |              |              | taken-back taken-back
   23.1  < R   7:7          | CLOSED?      |              | reset
    """)
