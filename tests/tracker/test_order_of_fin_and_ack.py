"""Both have closed: did the ACK of an endpoint's FIN reach it first, or the peer's FIN?

FIN_WAIT_2 or CLOSING depends on it. On the wire to it the two may have changed places, or the FIN waited there for data
before it. One round trip takes a millisecond here.
"""

from __future__ import annotations

from tests.ladders import Climb
from tests.tracker.test_aborts import HANDSHAKE


def test_a_fin_that_its_own_acks_overtake(climb: Climb) -> None:
    """Nothing but the FIN was still under way to the server, and it answers three milliseconds after the ACK."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | TIME_WAIT+   |
     12  < F.  6:6    ack 6 | CLOSING+     | FIN_WAIT_1   |
   12.1  > .   7:7    ack 7 |              | FIN_WAIT_2+  |
     15  < .   7:7    ack 7 | TIME_WAIT?   |              |
    """)


def test_an_answer_within_a_round_trip_of_the_ack(climb: Climb) -> None:
    """It may as well be the answer to the FIN, which passed first."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSING+     |
     12  < F.  6:6    ack 6 | CLOSING+     | FIN_WAIT_1   |
   12.1  > .   7:7    ack 7 |              | TIME_WAIT?   |
   12.9  < .   7:7    ack 7 | TIME_WAIT?   |              |
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


def test_an_old_segment_asks_for_nothing(climb: Climb) -> None:
    """Its number is that of long ago: it was overtaken, and by much."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < P.  6:16   ack 7 | FIN_WAIT_2?  |              |
   12.5  > .   6:6    ack 6 |              |              |
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
