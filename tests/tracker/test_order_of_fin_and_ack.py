"""Both have closed: did the ACK of an endpoint's FIN reach it first, or the peer's FIN?

FIN_WAIT_2 or CLOSING depends on it. On the wire to it the two may have changed places, or the FIN waited there for data
before it. One round trip takes a millisecond here.
"""

from __future__ import annotations

import pytest

from tests.ladders import Climb
from tests.tracker.test_aborts import HANDSHAKE


def test_a_fin_that_its_own_acks_overtake(climb: Climb) -> None:
    """Nothing but the FIN was still under way to the server, and it answers three milliseconds after the ACK."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | TIME_WAIT?   |
     12  < F.  6:6    ack 6 | CLOSING+     | FIN_WAIT_1   |
   12.1  > .   7:7    ack 7 |              | FIN_WAIT_2?  |
     15  < .   7:7    ack 7 | TIME_WAIT?   |              |
    """)


def test_an_answer_that_was_sent_late_by_its_clock(climb: Climb) -> None:
    """Three milliseconds after the server's FIN, which is too late for the client's if that came in time."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 ts 100        | FIN_WAIT_1   | TIME_WAIT?   |
     12  < F.  6:6    ack 6 ts 4294967295 | CLOSING+     | FIN_WAIT_1   |
   12.1  > .   7:7    ack 7 ts 103        |              | FIN_WAIT_2?  |
     15  < .   7:7    ack 7 ts 2          | TIME_WAIT?   |              |
    """)


def test_an_answer_that_was_sent_hardly_late_by_its_clock(climb: Climb) -> None:
    """It is later than the longest round trip, though by less than its clock can tell apart."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 ts 100        | FIN_WAIT_1   | TIME_WAIT?   |
     12  < F.  6:6    ack 6 ts 4294967295 | CLOSING+     | FIN_WAIT_1   |
   12.1  > .   7:7    ack 7 ts 103        |              | FIN_WAIT_2?  |
     14  < .   7:7    ack 7 ts 1          | TIME_WAIT?   |              |
    """)


def test_an_answer_that_took_its_time(climb: Climb) -> None:
    """It passes late, but was sent within a millisecond of the server's FIN: the client's had arrived."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 ts 100        | FIN_WAIT_1   | CLOSING?     |
     12  < F.  6:6    ack 6 ts 4294967295 | CLOSING+     | FIN_WAIT_1   |
   12.1  > .   7:7    ack 7 ts 103        |              | TIME_WAIT?   |
     15  < .   7:7    ack 7 ts 4294967295 | TIME_WAIT?   |              |
    """)


def test_an_answer_within_a_round_trip_of_the_ack(climb: Climb) -> None:
    """It may as well be the answer to the FIN, which passed first."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSING+     |
     12  < F.  6:6    ack 6 | CLOSING+     | FIN_WAIT_1   |
   12.1  > .   7:7    ack 7 |              | TIME_WAIT?   |
   12.9  < .   7:7    ack 7 | TIME_WAIT?   |              |
    """)


def test_an_answer_where_no_round_trip_is_known(climb: Climb) -> None:
    """The connection is from before the capture: nobody knows how soon an answer comes."""
    climb("""
     ms  segment            | client                  | server                | marks
      0  > F.  1:1    ack 1 | ESTABLISHED? FIN_WAIT_1 | ESTABLISHED? CLOSING+ |
      2  < F.  1:1    ack 1 | CLOSING+                | FIN_WAIT_1            |
    2.1  > .   2:2    ack 2 |                         | TIME_WAIT?            |
      5  < .   2:2    ack 2 | TIME_WAIT?              |                       |
    """)


def test_a_fin_sent_again_is_no_late_answer(climb: Climb) -> None:
    """The server had not got the ACK, or it would not repeat its FIN."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSING+     |
     12  < F.  6:6    ack 6 | CLOSING+     | FIN_WAIT_1   |
   12.1  > .   7:7    ack 7 |              |              |
    220  < F.  6:6    ack 7 | TIME_WAIT?   |              | fin-repeated taken-back
  220.1  > .   7:7    ack 7 |              | TIME_WAIT?   |
    """)


def test_a_late_answer_that_comes_twice(climb: Climb) -> None:
    """It proves no more than the first: either the FIN was slow or the answer."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | TIME_WAIT?   |
     12  < F.  6:6    ack 6 | CLOSING+     | FIN_WAIT_1   |
   12.1  > .   7:7    ack 7 |              | FIN_WAIT_2?  |
     15  < .   7:7    ack 7 | TIME_WAIT?   |              |
     16  < .   7:7    ack 7 |              |              |
    """)


def test_an_ack_behind_a_fin_that_never_arrived(climb: Climb) -> None:
    """Nothing shows that the server's FIN arrived, and it was not just before the end; the ACK is assumed to have."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSING+     |
   10.2  < F.  6:6    ack 6 |              | FIN_WAIT_1   |
   11.1  < .   7:7    ack 7 | FIN_WAIT_2?  |              |
   5000  end
    """)


def test_a_late_answer_to_something_else(climb: Climb) -> None:
    """What the client sent again calls for an answer too; that to its FIN may have been lost."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSING+     |
     12  < F.  6:6    ack 6 | CLOSING+     | FIN_WAIT_1   |
   12.1  > .   7:7    ack 7 |              | TIME_WAIT?   |
     14  > P.  1:6    ack 7 |              |              |
     15  < .   7:7    ack 7 | TIME_WAIT?   |              |
    """)


def test_a_fin_behind_a_hole_that_the_ack_does_not_wait_for(climb: Climb) -> None:
    """The server could not take the FIN before the data came again, long after the ACK of its own."""
    climb(f"""{HANDSHAKE}
      8  > P.  6:16   ack 6 |              |              |
     10  > F. 16:16   ack 6 | FIN_WAIT_1   | TIME_WAIT+   |
   10.5  < .   6:6    ack 6 sack 16 |      |              |
     12  < F.  6:6    ack 6 | CLOSING+     | FIN_WAIT_1   |
   12.1  > .  17:17   ack 7 |              | FIN_WAIT_2+  |
    300  > P.  6:16   ack 7 |              |              |
  300.5  < .   7:7   ack 17 | TIME_WAIT?   |              |
    """)


def test_a_hole_that_is_filled_before_the_ack(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
      8  > P.  6:16   ack 6 |              |              |
     10  > F. 16:16   ack 6 | FIN_WAIT_1   | CLOSING+     |
   10.5  < .   6:6    ack 6 sack 16 |      |              |
   11.5  > P.  6:16   ack 6 |              |              |
     12  < F.  6:6    ack 6 | CLOSING+     | FIN_WAIT_1   |
   12.1  > .  17:17   ack 7 |              | TIME_WAIT?   |
   12.5  < .   7:7   ack 17 | TIME_WAIT?   |              |
    """)


def test_a_hole_that_is_filled_before_any_ack(climb: Climb) -> None:
    """When the client's answer passes, nothing has acknowledged its FIN yet."""
    climb(f"""{HANDSHAKE}
      8  < P.  6:16   ack 6         |              |              |
     10  > F.  6:6    ack 6         | FIN_WAIT_1   | CLOSING+     |
   10.2  < F. 16:16   ack 6         | CLOSING+     | FIN_WAIT_1   |
     11  > .   7:7    ack 6 sack 16 |              |              |
   11.2  < P.  6:16   ack 6         |              |              |
   12.3  > .   7:7   ack 17         |              | TIME_WAIT?   |
   12.8  < .  17:17   ack 7         | TIME_WAIT?   |              |
    """)


def test_fins_that_cross_and_one_that_is_sent_again(climb: Climb) -> None:
    """The first ACK of it was lost, and the client in CLOSING until the second came."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSING+     |
   10.2  < F.  6:6    ack 6 | CLOSING+     | FIN_WAIT_1   |
   10.8  > .   7:7    ack 7 |              | TIME_WAIT?   |
   10.9  < .   7:7    ack 7 |              |              |
    210  > F.  6:6    ack 7 |              |              | fin-repeated taken-back
    211  < .   7:7    ack 7 | TIME_WAIT?   |              |
    """)


def test_a_fin_that_comes_again_after_the_ack(climb: Climb) -> None:
    """The ACK came first either way, so it does not matter which of the passes arrived."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSING+     |
     11  < .   7:7    ack 7 | FIN_WAIT_2+  | FIN_WAIT_1+  |
   11.2  < F.  6:6    ack 6 |              |              |
    210  < F.  6:6    ack 7 | TIME_WAIT+   |              | fin-repeated
    211  > .   7:7    ack 7 |              | TIME_WAIT?   |
    """)


def test_a_fin_that_is_repeated_when_the_others_has_just_passed(climb: Climb) -> None:
    """The server's had not arrived when the client sent its own again, and brought the ACK along all the same."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1             | CLOSE_WAIT+  |
  209.8  < F.  6:6    ack 7 | FIN_WAIT_2+ TIME_WAIT+ | LAST_ACK     |
    210  > F.  6:6    ack 6 |                        |              | fin-repeated taken-back
  210.8  > .   7:7    ack 7 |                        | CLOSED?      |
    """)


def test_a_fin_that_its_own_acks_overtake_before_the_others_arrives(climb: Climb) -> None:
    """At 10.2 the number of the ACK is beyond a FIN that passes only then, and neither covers the server's."""
    climb(f"""{HANDSHAKE}
     10  < F.  6:6    ack 6 | CLOSING+     | FIN_WAIT_1   |
   10.2  > .   7:7    ack 6 | FIN_WAIT_1+  |              |
   10.4  > F.  6:6    ack 6 |              | CLOSING+     |
     11  < .   7:7    ack 7 | TIME_WAIT?   |              |
   11.1  > .   7:7    ack 7 |              | TIME_WAIT?   |
    """)


def test_an_abort_of_its_own_may_have_crossed_the_ack(climb: Climb) -> None:
    """Its number counts the server's FIN because the server sent that, not because anybody acknowledged it."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   |              |
     12  < F.  6:6    ack 6 | CLOSING+     | FIN_WAIT_1   |
   12.1  > .   7:7    ack 7 |              |              |
   12.4  < R.  7:7    ack 6 | CLOSED?      | CLOSED       | reset
    """)


def test_a_fin_lost_before_the_tap_that_had_not_met_the_other(climb: Climb) -> None:
    """At 10.5 its number is behind the client, and the server's FIN unacknowledged: they crossed."""
    climb(f"""{HANDSHAKE}
     10  < F.  6:6    ack 6 | CLOSING+     | FIN_WAIT_1   |
   10.5  > .   7:7    ack 6 | FIN_WAIT_1+  |              |
     11  > .   7:7    ack 7 |              | FIN_WAIT_2+  |
    300  > F.  6:6    ack 7 |              | TIME_WAIT+   |
    301  < .   7:7    ack 7 | TIME_WAIT?   |              |
    """)


def test_a_fin_lost_before_the_tap_after_the_other_came_twice(climb: Climb) -> None:
    """It may have answered the first of these with its ACK and then its FIN, both lost: the order is the tap's."""
    climb(f"""{HANDSHAKE}
     10  < F.  6:6    ack 6 |              | FIN_WAIT_1   |
    300  < F.  6:6    ack 6 | CLOSE_WAIT+  |              | fin-repeated
    301  > .   7:7    ack 7 | LAST_ACK+    | FIN_WAIT_2+  |
    600  > F.  6:6    ack 7 |              | TIME_WAIT+   |
    601  < .   7:7    ack 7 | CLOSED?      |              |
    """)


def test_a_fin_lost_before_the_tap_after_the_other_came_three_times(climb: Climb) -> None:
    """The answer to the third says no more about the order than that to the second did."""
    climb(f"""{HANDSHAKE}
     10  < F.  6:6    ack 6 |              | FIN_WAIT_1   |
    300  < F.  6:6    ack 6 | CLOSE_WAIT+  |              | fin-repeated
    301  > .   7:7    ack 7 | LAST_ACK+    |              |
    500  < F.  6:6    ack 6 |              |              | fin-repeated taken-back
    501  > .   7:7    ack 7 |              | FIN_WAIT_2+  |
    600  > F.  6:6    ack 7 |              | TIME_WAIT+   |
    601  < .   7:7    ack 7 | CLOSED?      |              |
    """)


HANDSHAKE_WITH_SACK = """
     ms  segment                   | client       | server       | marks
      0  > S   0:0        sackok 1 | SYN_SENT     | SYN_RCVD+    |
      1  < S.  0:0  ack 1 sackok 1 | ESTABLISHED+ |              |
      2  > .   1:1  ack 1          |              | ESTABLISHED+ |
      4  < P.  1:6  ack 1          |              |              |
      5  > .   1:1  ack 6          |              |              |"""


def test_a_fin_lost_before_the_tap_while_the_others_first_was_lost_too(climb: Climb) -> None:
    """No duplicate SACK: the server's second FIN was new to the client, whose own had been sent before that ACK."""
    climb(f"""{HANDSHAKE_WITH_SACK}
     10  < F.  6:6    ack 1 |              | FIN_WAIT_1   |
    300  < F.  6:6    ack 1 | CLOSING+     |              | fin-repeated
    301  > .   2:2    ack 7 | FIN_WAIT_1+  | FIN_WAIT_2+  |
    600  > F.  1:1    ack 7 |              | TIME_WAIT+   |
    601  < .   7:7    ack 2 | TIME_WAIT?   |              |
    """)


def test_a_fin_lost_before_the_tap_after_an_answer_that_was_lost_too(climb: Climb) -> None:
    """The duplicate SACK says that the client had the server's FIN already (RFC 2883, 4), and had answered it."""
    climb(f"""{HANDSHAKE_WITH_SACK}
     10  < F.  6:6    ack 1        | CLOSE_WAIT+  | FIN_WAIT_1   |
    300  < F.  6:6    ack 1        |              |              | fin-repeated
    301  > .   2:2    ack 7 sack 6 | LAST_ACK+    | FIN_WAIT_2+  |
    600  > F.  1:1    ack 7        |              | TIME_WAIT+   |
    601  < .   7:7    ack 2        | CLOSED?      |              |
    """)


def test_a_fin_lost_before_the_tap_where_one_side_permits_no_sack(climb: Climb) -> None:
    """Then an ACK without a duplicate SACK may repeat one that was lost: the order is the tap's."""
    climb("""
     ms  segment                   | client       | server       | marks
      0  > S   0:0        sackok 1 | SYN_SENT     | SYN_RCVD+    |
      1  < S.  0:0  ack 1          | ESTABLISHED+ |              |
      2  > .   1:1  ack 1          |              | ESTABLISHED+ |
      4  < P.  1:6  ack 1          |              |              |
      5  > .   1:1  ack 6          |              |              |
     10  < F.  6:6  ack 1          |              | FIN_WAIT_1   |
    300  < F.  6:6  ack 1          | CLOSE_WAIT+  |              | fin-repeated
    301  > .   2:2  ack 7          | LAST_ACK+    | FIN_WAIT_2+  |
    600  > F.  1:1  ack 7          |              | TIME_WAIT+   |
    601  < .   7:7  ack 2          | CLOSED?      |              |
    """)


def test_a_fin_lost_before_the_tap_of_one_who_permits_no_sack(climb: Climb) -> None:
    climb("""
     ms  segment                   | client       | server       | marks
      0  > S   0:0        sackok 1 | SYN_SENT     | SYN_RCVD+    |
      1  < S.  0:0  ack 1          | ESTABLISHED+ |              |
      2  > .   1:1  ack 1          |              | ESTABLISHED+ |
      4  > P.  1:6  ack 1          |              |              |
      5  < .   1:1  ack 6          |              |              |
     10  > F.  6:6  ack 1          | FIN_WAIT_1   |              |
    300  > F.  6:6  ack 1          |              | CLOSE_WAIT+  | fin-repeated
    301  < .   2:2  ack 7          | FIN_WAIT_2+  | LAST_ACK+    |
    600  < F.  1:1  ack 7          | TIME_WAIT+   |              |
    601  > .   7:7  ack 2          |              | CLOSED?      |
    """)


def test_a_fin_lost_before_the_tap_and_an_ack_that_answers_repeated_data(climb: Climb) -> None:
    """The server's FIN passed but once, and yet the ACK is not the first answer to it: it repeats what data brought."""
    climb(f"""{HANDSHAKE_WITH_SACK}
     10  < P.  6:16   ack 1        |              |              |
   10.1  < F. 16:16   ack 1        | CLOSE_WAIT+  | FIN_WAIT_1   |
    300  < P.  6:16   ack 1        |              |              |
    301  > .   2:2   ack 17 sack 6 | LAST_ACK+    | FIN_WAIT_2+  |
    600  > F.  1:1   ack 17        |              | TIME_WAIT+   |
    601  < .  17:17   ack 2        | CLOSED?      |              |
    """)


def test_a_fin_that_the_answer_to_the_others_overtook(climb: Climb) -> None:
    """It does not cover the server's FIN, whatever the duplicate SACK before it says: it was sent earlier."""
    climb(f"""{HANDSHAKE_WITH_SACK}
     10  < F.  6:6    ack 1        | CLOSING+     | FIN_WAIT_1   |
     11  > .   2:2    ack 7 sack 6 | FIN_WAIT_1+  | FIN_WAIT_2+  |
   11.2  > F.  1:1    ack 6        |              | TIME_WAIT+   |
     12  < .   7:7    ack 2        | TIME_WAIT?   |              |
    """)


def test_a_fin_lost_before_the_tap_with_data(climb: Climb) -> None:
    """The bare ACK at 11 stands above ten bytes and a FIN, as is known when they come again."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSING+     |
     11  < .  17:17   ack 7 | FIN_WAIT_2+  | FIN_WAIT_1+  |
    210  < P.  6:16   ack 7 |              |              |
    211  < F. 16:16   ack 7 | TIME_WAIT+   |              |
    212  > .   7:7   ack 17 |              | TIME_WAIT?   |
    """)


def test_data_lost_before_the_tap_and_then_a_fin(climb: Climb) -> None:
    """The bare ACK at 11 stands above eleven bytes, and the FIN comes after them."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < .  17:17   ack 7 | FIN_WAIT_2+  |              |
    210  < P.  6:17   ack 7 |              |              |
    211  < F. 17:17   ack 7 | TIME_WAIT+   | LAST_ACK     |
    212  > .   7:7   ack 18 |              | CLOSED?      |
    """)


def test_a_byte_that_is_never_seen_and_then_a_fin(climb: Climb) -> None:
    """The number of the FIN shows that what stands below the ACK at 11 was data."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < .   7:7    ack 7 | FIN_WAIT_2+  |              |
    300  < F.  7:7    ack 7 | TIME_WAIT+   | LAST_ACK     |
    301  > .   7:7    ack 8 |              | CLOSED?      | acked-missing
    """)


def test_a_gap_that_is_not_filled_by_the_end_is_no_fin(climb: Climb) -> None:
    """Eleven bytes are missing: more likely than not it was data, all of it."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < .  17:17   ack 7 | FIN_WAIT_2?  |              |
   5000  end
    """)


def test_one_number_that_is_missing_at_the_end_is_taken_for_a_fin(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSING+     |
     11  < .   7:7    ack 7 | FIN_WAIT_2?  | FIN_WAIT_1?  |
   5000  end
    """)


def test_one_byte_that_is_missing_before_data_is_no_fin(climb: Climb) -> None:
    """Nothing is sent after a FIN."""
    climb(f"""{HANDSHAKE}
     10  > P.  6:16   ack 6 |              |              |
   10.1  > P. 17:27   ack 6 |              |              |
   5000  end
    """)


def test_one_byte_that_was_missing_when_data_comes_is_no_fin(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < .   7:7    ack 7 | FIN_WAIT_2?  |              |
     12  < P.  7:17   ack 7 |              |              |
   5000  end
    """)


def test_a_late_answer_and_then_its_own_fin_again(climb: Climb) -> None:
    """It would not repeat its FIN in TIME_WAIT: the ACK was lost, and the client's FIN came first after all."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSING+     |
     12  < F.  6:6    ack 6 | CLOSING+     | FIN_WAIT_1   |
   12.1  > .   7:7    ack 7 |              |              |
     15  < .   7:7    ack 7 | TIME_WAIT?   |              |
    220  < F.  6:6    ack 7 |              |              | fin-repeated taken-back
  220.1  > .   7:7    ack 7 |              | TIME_WAIT?   |
    """)


def test_data_that_is_asked_for_again_did_not_bring_the_ack(climb: Climb) -> None:
    """The client still asks for byte 6: the segment with that and the ACK of its FIN was lost."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < P.  6:16   ack 7 |              |              |
   12.5  > .   7:7    ack 6 |              |              | taken-back
   5000  end
    """)


def test_data_that_is_asked_for_too_soon_may_have_brought_the_ack(climb: Climb) -> None:
    """Within a round trip the client cannot have it yet."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < P.  6:16   ack 7 | FIN_WAIT_2?  |              |
   11.9  > .   7:7    ack 6 |              |              |
   5000  end
    """)


def test_data_that_is_asked_for_where_no_round_trip_is_known(climb: Climb) -> None:
    """Nor can that be told of a connection from before the capture."""
    climb("""
     ms  segment            | client                  | server                   | marks
      0  > F.  1:1    ack 1 | ESTABLISHED? FIN_WAIT_1 | ESTABLISHED? CLOSE_WAIT+ |
      1  < P.  1:11   ack 2 | FIN_WAIT_2?             |                          |
    2.5  > .   2:2    ack 1 |                         |                          |
   5000  end
    """)


def test_an_old_segment_asks_for_nothing(climb: Climb) -> None:
    """Its number is that of long ago: it was overtaken, and by much."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < P.  6:16   ack 7 | FIN_WAIT_2?  |              |
   12.5  > .   6:6    ack 6 |              |              |
   5000  end
    """)


def test_data_that_follows_what_brought_the_ack_is_asked_for(climb: Climb) -> None:
    """The client has the data that brought the ACK of its FIN; what it still asks for is the next."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < P.  6:16   ack 7 | FIN_WAIT_2?  |              |
   11.1  < P. 16:26   ack 7 |              |              |
   12.5  > .   7:7   ack 16 |              |              |
   5000  end
    """)


def test_the_answer_to_an_older_segment_shows_that_nobody_is_there(climb: Climb) -> None:
    """The server ignores it, whose number it has passed; the client, who had closed, was gone all the same."""
    climb(f"""{HANDSHAKE}
     10  < P.  6:16   ack 6 |              |              |
   10.1  > FP. 6:16   ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
   10.2  < .  16:16  ack 17 |              |              |
     11  > R   6:6          | CLOSED       |              | reset-ignored
   5000  end
    """)


def test_an_old_number_with_an_ack_shows_nothing(climb: Climb) -> None:
    """Only a RST without ACK takes its number from what it answers."""
    climb(f"""{HANDSHAKE}
     10  < P.  6:16   ack 6 |              |              |
   10.1  > FP. 6:16   ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
   10.2  < .  16:16  ack 17 | FIN_WAIT_2?  |              |
     11  > R.  6:6    ack 6 |              |              | reset-ignored
   5000  end
    """)


def test_an_old_number_of_one_that_has_not_closed_shows_nothing(climb: Climb) -> None:
    """Whoever overheard the connection knows that number too, and the client has no reason to be gone."""
    climb(f"""{HANDSHAKE}
     10  < P.  6:16   ack 6 |              |              |
   10.1  > P.  6:16   ack 6 |              |              |
   10.2  < .  16:16  ack 16 |              |              |
     11  > R   6:6          |              |              | reset-ignored
   5000  end
    """)


def test_a_number_that_was_never_acknowledged_shows_nothing(climb: Climb) -> None:
    """Anybody could have made that up."""
    climb(f"""{HANDSHAKE}
     10  < P.  6:16   ack 6 |              |              |
   10.1  > FP. 6:16   ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
   10.2  < .  16:16  ack 17 | FIN_WAIT_2?  |              |
     11  > R   3:3          |              |              | reset-ignored
   5000  end
    """)


def test_no_socket_answers_a_fin_that_was_lost(climb: Climb) -> None:
    """The number of the RST is what the client's last FIN acknowledged; the server had got that ACK before."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   |              |
     12  < F.  6:6    ack 6 | CLOSING+     | FIN_WAIT_1   |
   12.1  > .   7:7    ack 7 |              | FIN_WAIT_2?  |
   2000  > F.  6:6    ack 7 |              |              | fin-repeated
   2001  < R   7:7          | CLOSED?      | CLOSED       | reset
    """)


def test_no_socket_answers_what_was_sent_before_the_ack(climb: Climb) -> None:
    """The number of the RST does not count the server's FIN: it answers an older segment, and tells of no ACK."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   |              |
     12  < F.  6:6    ack 6 | CLOSING+     | FIN_WAIT_1   |
   12.1  > .   7:7    ack 7 |              |              |
   12.4  < R   6:6          | CLOSED?      | CLOSED       | reset
    """)


def test_a_fin_of_three_passes_that_did_not_bring_the_ack_at_first(climb: Climb) -> None:
    """Its first pass did not acknowledge the client's FIN: had that one arrived, it would have been CLOSING."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSING+     |
   10.2  < F.  6:6    ack 6 |              | FIN_WAIT_1   |
    210  < F.  6:6    ack 7 | FIN_WAIT_2?  |              | fin-repeated
    420  < F.  6:6    ack 7 | TIME_WAIT?   |              | fin-repeated
    421  > .   7:7    ack 7 |              | TIME_WAIT?   |
    """)


def test_a_fin_of_three_passes_that_always_brought_the_ack(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
   10.2  < F.  6:6    ack 7 | FIN_WAIT_2+  | LAST_ACK     |
    210  < F.  6:6    ack 7 |              |              | fin-repeated
    420  < F.  6:6    ack 7 | TIME_WAIT+   |              | fin-repeated
    421  > .   7:7    ack 7 |              | CLOSED?      |
    """)


def test_a_fin_of_three_passes_that_had_arrived_before_the_last(climb: Climb) -> None:
    """The duplicate SACK leaves it open whether the first arrived, without the ACK, or the second."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6        | FIN_WAIT_1              | CLOSING+     |
   10.2  < F.  6:6    ack 6        |                         | FIN_WAIT_1   |
    210  < F.  6:6    ack 7        | FIN_WAIT_2? TIME_WAIT?  |              | fin-repeated
    420  < F.  6:6    ack 7        |                         |              | fin-repeated
    421  > .   7:7    ack 7 sack 6 |                         | TIME_WAIT?   |
    """)


def test_a_late_answer_after_an_ack_that_asks_for_none(climb: Climb) -> None:
    """The client's bare ACK at 12.5 calls for nothing: the answer at 15 is to its FIN, which came late."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | TIME_WAIT?   |
     12  < F.  6:6    ack 6 | CLOSING+     | FIN_WAIT_1   |
   12.1  > .   7:7    ack 7 |              | FIN_WAIT_2?  |
   12.5  > .   7:7    ack 7 |              |              |
     15  < .   7:7    ack 7 | TIME_WAIT?   |              |
    """)


def test_a_late_answer_within_the_longest_round_trip_by_a_clock(climb: Climb) -> None:
    """One round trip took seven milliseconds, but this answer was not slow: by its stamp it was sent late."""
    climb(f"""{HANDSHAKE}
      6  > P.  6:7    ack 6 ts 100        |              |              |
     13  < .   6:6    ack 7 ts 200        |              |              |
     20  > F.  7:7    ack 6 ts 114        | FIN_WAIT_1   | TIME_WAIT?   |
     22  < F.  6:6    ack 7 ts 209        | CLOSING+     | FIN_WAIT_1   |
   22.1  > .   8:8    ack 7 ts 117        |              | FIN_WAIT_2?  |
     25  < .   7:7    ack 8 ts 212        | TIME_WAIT?   |              |
    """)


def test_a_late_answer_within_the_longest_round_trip_without_a_clock(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
      6  > P.  6:7    ack 6 |              |              |
     13  < .   6:6    ack 7 |              |              |
     20  > F.  7:7    ack 6 | FIN_WAIT_1   | CLOSING+     |
     22  < F.  6:6    ack 7 | CLOSING+     | FIN_WAIT_1   |
   22.1  > .   8:8    ack 7 |              | TIME_WAIT?   |
     25  < .   7:7    ack 8 | TIME_WAIT?   |              |
    """)


def test_an_answer_by_a_clock_while_the_shortest_round_trip_is_not_known(climb: Climb) -> None:
    """One ACK answered both segments, after five milliseconds at most: less than four are not late."""
    climb("""
     ms  segment                     | client       | server       | marks
      0  > P. 100:110 ack 50  ts 100 | ESTABLISHED? | ESTABLISHED? |
    0.1  > P. 110:120 ack 50  ts 100 |              |              |
      5  < . 50:50    ack 120 ts 200 |              |              |
     10  > F. 120:120 ack 50  ts 110 | FIN_WAIT_1   | CLOSING+     |
     12  < F. 50:50   ack 120 ts 207 | CLOSING+     | FIN_WAIT_1   |
   12.1  > . 121:121  ack 51  ts 112 |              | TIME_WAIT?   |
     16  < . 51:51    ack 121 ts 211 | TIME_WAIT?   |              |
    """)


def test_an_answer_to_a_repeated_fin_after_a_handshake_that_was_repeated(climb: Climb) -> None:
    """Which SYN-ACK the ACK answers nobody knows (RFC 6298, 3), and so no round trip.

    So the answer to the second FIN, a millisecond after it, is not too quick for it.
    """
    climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+    |
      1  < S.  0:0    ack 1 |              |              |
   1000  < S.  0:0    ack 1 | ESTABLISHED+ |              | syn-repeated
   1002  > .   1:1    ack 1 |              | ESTABLISHED+ |
   1010  < F.  1:1    ack 1 |              | FIN_WAIT_1   |
   1300  < F.  1:1    ack 1 | CLOSE_WAIT+  |              | fin-repeated
   1301  > .   1:1    ack 2 |              | FIN_WAIT_2?  |
    """)


def test_a_fin_that_was_denied_is_not_the_one_that_arrived(climb: Climb) -> None:
    """The answer at 300.2 is quicker than any so far, but the first FIN had not been there at 20."""
    climb(f"""{HANDSHAKE}
     10  < F.  6:6    ack 6 |              | FIN_WAIT_1   |
     20  > P.  6:7    ack 6 |              |              |
    300  < F.  6:6    ack 7 | CLOSE_WAIT+  |              | fin-repeated
  300.2  > .   7:7    ack 7 |              | FIN_WAIT_2?  |
    """)


def test_an_answer_that_is_too_quick_for_the_last_fin(climb: Climb) -> None:
    """No answer comes within a fifth of a round trip: it is that to the first."""
    climb(f"""{HANDSHAKE}
     10  < F.  6:6    ack 6 | CLOSE_WAIT+  | FIN_WAIT_1   |
    300  < F.  6:6    ack 6 |              |              | fin-repeated
  300.2  > .   6:6    ack 7 |              | FIN_WAIT_2?  |
    """)


@pytest.mark.parametrize(
    ("first", "last", "answer"),
    [("ts 20", "ts 310", ""), ("", "", "ts 300 ecr 4294967000")],
    ids=["nothing echoed", "nothing to echo"],
)
def test_an_answer_that_echoes_none_of_the_fins(climb: Climb, first: str, last: str, answer: str) -> None:
    climb(f"""{HANDSHAKE}
     10  < F.  6:6    ack 6 {first}  |              | FIN_WAIT_1   |
    300  < F.  6:6    ack 6 {last}   | CLOSE_WAIT+  |              | fin-repeated
    301  > .   6:6    ack 7 {answer} |              | FIN_WAIT_2?  |
    """)


def test_what_does_not_cover_the_fin_proves_no_ack_before_it(climb: Climb) -> None:
    """What the client sends at 20.2 says nothing about the ACK of its FIN, as an ACK of the server's would."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < .   6:6    ack 7 | FIN_WAIT_2?  |              |
     20  < F.  6:6    ack 7 |              | LAST_ACK     |
   20.2  > .   7:7    ack 6 |              |              |
   5000  end
    """)


def test_a_late_fin_that_brought_the_ack_along(climb: Climb) -> None:
    """The client's FIN was overtaken: it is no repeat, which a client with the ACK would not have sent."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSING+     |
   10.2  < F.  16:16  ack 6 |              | FIN_WAIT_1   |
     11  < .   17:17  ack 7 | FIN_WAIT_2?  |              |
   11.5  < F.  16:16  ack 7 | TIME_WAIT?   |              | fin-repeated
   11.8  < P.  6:16   ack 7 |              |              |
   12.8  > .   7:7   ack 17 |              | TIME_WAIT?   |
     13  > F.  6:6    ack 6 |              |              | fin-repeated
    """)


def test_a_late_fin_and_then_a_reset_of_its_own(climb: Climb) -> None:
    """A FIN that the RST overtook says nothing about an endpoint that is closed."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | TIME_WAIT?   |
     12  < F.  6:6    ack 6 | CLOSING+     | FIN_WAIT_1   |
   12.1  > .   7:7    ack 7 |              | FIN_WAIT_2?  |
     15  < .   7:7    ack 7 | TIME_WAIT?   |              |
     20  < R.  7:7    ack 7 | CLOSED?      | CLOSED       | reset-after-close
   20.5  < F.  6:6    ack 6 |              |              | fin-repeated
    """)


def test_data_that_is_asked_for_again_after_more_that_brought_the_ack(climb: Climb) -> None:
    """The first segment was lost, and the second, which the block tells of, brought the ACK along."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6         | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < P.  6:16   ack 7         | FIN_WAIT_2?  |              |
   11.1  < P. 16:26   ack 7         |              |              |
   12.5  > .   7:7    ack 6 sack 16 |              |              |
    """)


def test_an_old_ack_asks_for_nothing(climb: Climb) -> None:
    """At 213.5 it acknowledges less than at 11.5: it was overtaken, and much has arrived since."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSING+     |
   10.2  < F.  6:6    ack 6 | CLOSING+     | FIN_WAIT_1   |
   11.5  > .   7:7    ack 7 |              |              |
    212  < F.  6:6    ack 7 | TIME_WAIT?   |              | fin-repeated taken-back
  213.5  > .   7:7    ack 6 |              |              |
    """)


def test_an_ack_that_came_with_a_fin_that_was_lost(climb: Climb) -> None:
    """The second pass brought an ACK along, and the client shows at 212 that it got neither."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1              | CLOSING+     |
   10.2  < F.  6:6    ack 6 |                         | FIN_WAIT_1   |
     12  > P.  1:6    ack 6 |                         |              |
    210  < F.  6:6    ack 7 |                         |              | fin-repeated
    212  > P.  1:6    ack 6 |                         |              |
    420  < F.  6:6    ack 7 | FIN_WAIT_2+ TIME_WAIT+  |              | fin-repeated
    421  > .   7:7    ack 7 |                         | TIME_WAIT?   |
    """)


def test_data_that_is_asked_for_again_as_a_challenge(climb: Climb) -> None:
    """The data that brought the ACK was lost: the client still asks for it, and does not take the RST behind it."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < P.  6:16   ack 7 |              |              |
     12  < R. 16:16   ack 7 |              | CLOSED       | reset reset-ignored
     14  > .   7:7    ack 6 |              |              | taken-back taken-back
   14.1  < R   6:6          | CLOSED?      |              | reset
    """)


def test_an_ack_that_came_with_a_fin_while_data_was_on_its_way(climb: Climb) -> None:
    """What the client sent at 210.4 could not acknowledge either."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSING+     |
   10.2  < F.  6:6    ack 6 |              | FIN_WAIT_1   |
     12  > P.  1:6    ack 6 |              |              |
    210  < F.  6:6    ack 7 | FIN_WAIT_2+  |              | fin-repeated
  210.4  > P.  1:6    ack 6 |              |              |
    420  < F.  6:6    ack 7 | TIME_WAIT+   |              | fin-repeated
    421  > .   7:7    ack 7 |              | TIME_WAIT?   |
    """)
