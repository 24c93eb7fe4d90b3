"""When was a segment sent? Its time stamp tells, where the wire made it late.

One round trip takes a millisecond here, and the clocks of both ends begin at 100 with the handshake.
"""

from __future__ import annotations

import pytest

from tests.ladders import Climb

HANDSHAKE = """
     ms  segment                   | client       | server       | marks
      0  > S   0:0          ts 100 | SYN_SENT     | SYN_RCVD+    |
      1  < S.  0:0   ack 1  ts 100 | ESTABLISHED+ |              |
      2  > .   1:1   ack 1  ts 102 |              | ESTABLISHED+ |
      3  < P.  1:6   ack 1  ts 102 |              |              |
      4  > .   1:1   ack 6  ts 104 |              |              |"""


def test_late_data_that_was_sent_before_the_fin_could_arrive(climb: Climb) -> None:
    """It does not acknowledge the FIN, nine milliseconds after that passed, but its stamp is as old as that."""
    climb(f"""{HANDSHAKE}
     10  < F.  6:6   ack 1  ts 109 | CLOSE_WAIT?  | FIN_WAIT_1   |
     19  > P.  1:6   ack 6  ts 109 |              |              |
   19.1  < R   7:7                 | CLOSED?      | CLOSED       | reset
    """)


def test_data_that_was_sent_when_the_fin_should_have_arrived(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  < F.  6:6   ack 1  ts 109 |              | FIN_WAIT_1   |
     19  > P.  1:6   ack 6  ts 118 |              |              |
   19.1  < R   7:7                 | CLOSED?      | CLOSED       | reset
    """)


def test_less_than_a_tick_is_no_delay(climb: Climb) -> None:
    """The stamp is of the millisecond that began at 11: the data is as punctual as can be told."""
    climb(f"""{HANDSHAKE}
     10  < F.  6:6   ack 1  ts 109 |              | FIN_WAIT_1   |
   11.4  > P.  1:6   ack 6  ts 111 |              |              |
   11.5  < R   7:7                 | CLOSED?      | CLOSED       | reset
    """)


def test_a_late_ack_that_was_sent_before_the_data_could_arrive(climb: Climb) -> None:
    """So it does not ask for the data that brought the ACK of the FIN: that may be there by now."""
    climb(f"""{HANDSHAKE}
     10  > F.  1:1   ack 6  ts 109 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < P.  6:16  ack 2  ts 111 | FIN_WAIT_2?  |              |
     19  > .   2:2   ack 6  ts 111 |              |              |
   5000  end
    """)


def test_a_late_ack_that_tells_of_a_gap(climb: Climb) -> None:
    """However soon it was sent, something before the FIN is missing."""
    climb(f"""{HANDSHAKE}
      8  < P.  6:16  ack 1  ts 107         |              |              |
     10  < F. 16:16  ack 1  ts 109         |              | FIN_WAIT_1   |
     19  > .   1:1   ack 6  ts 111 sack 16 |              |              |
   19.1  < R. 17:17  ack 1                 | CLOSED?      | CLOSED       | reset
    """)


def test_data_without_a_stamp_was_sent_when_it_passed(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  < F.  6:6   ack 1  ts 109 |              | FIN_WAIT_1   |
     19  > P.  1:6   ack 6         |              |              |
   19.1  < R   7:7                 | CLOSED?      | CLOSED       | reset
    """)


def test_late_data_that_was_sent_before_the_reset_could_arrive(climb: Climb) -> None:
    """Later than what was in flight explains, but for its stamp."""
    climb(f"""{HANDSHAKE}
     10  < R.  6:6   ack 1         | CLOSED?      | CLOSED       | reset
     30  > P.  1:6   ack 6  ts 109 |              |              | data-after-close
    """)


def test_data_that_was_sent_when_the_reset_should_have_arrived(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  < R.  6:6   ack 1         |              | CLOSED       | reset reset-ignored
     30  > P.  1:6   ack 6  ts 128 |              |              | data-after-close taken-back
    """)


@pytest.mark.parametrize("ticks", [102, 103], ids=["of ten milliseconds", "that counts seldom"])
def test_a_slow_clock_says_nothing(climb: Climb, ticks: int) -> None:
    """A stamp that is two hundred milliseconds behind is none of a millisecond's clock, for the wire is not as slow."""
    climb(f"""{HANDSHAKE}
   1000  < R.  6:6   ack 1         |              | CLOSED       | reset reset-ignored
   1020  > P.  1:6   ack 6  ts {ticks} |              |              | data-after-close taken-back
    """)


def test_the_quickest_segment_sets_the_clock(climb: Climb) -> None:
    """The SYN and the ACKs were a hundred milliseconds late, as the data shows: its own stamp is punctual."""
    climb(f"""{HANDSHAKE}
      5  > P.  1:6   ack 6  ts 205 |              |              |
      6  < .   6:6   ack 6  ts 106 |              |              |
     10  < R.  6:6   ack 6         | CLOSED?      | CLOSED       | reset
     30  > P.  6:9   ack 6  ts 210 |              |              | data-after-close
    """)


def test_a_clock_that_goes_slow(climb: Climb) -> None:
    """In a thousand seconds it lost fifty milliseconds: the data is not late, and the server's RST had not come."""
    climb(f"""{HANDSHAKE}
1000000  < R.  6:6   ack 1              |              | CLOSED       | reset reset-ignored
1000020  > P.  1:6   ack 6  ts 1000070  |              |              | data-after-close taken-back
    """)


def test_a_slow_segment_of_a_connection_that_is_old(climb: Climb) -> None:
    """In a thousand seconds a clock may have lost a tenth of one, and this data is later than that."""
    climb(f"""{HANDSHAKE}
1000000  < R.  6:6   ack 1              | CLOSED?      | CLOSED       | reset
1000100  > P.  1:6   ack 6  ts 1000000  |              |              | data-after-close
    """)


def test_a_segment_without_a_stamp_sets_no_clock(climb: Climb) -> None:
    """The client's clock is about to wrap, which makes no stamp look like a later one than any."""
    climb("""
     ms  segment                          | client       | server       | marks
      0  > S   0:0          ts 4294967195 | SYN_SENT     | SYN_RCVD+    |
      1  < S.  0:0   ack 1  ts 100        | ESTABLISHED+ |              |
      2  > .   1:1   ack 1  ts 4294967197 |              | ESTABLISHED+ |
      3  < P.  1:6   ack 1  ts 102        |              |              |
      4  > .   1:1   ack 6                |              |              |
     10  < F.  6:6   ack 1  ts 109        |              | FIN_WAIT_1   |
     19  > P.  1:6   ack 6  ts 4294967213 |              |              |
   19.1  < R   7:7                        | CLOSED?      | CLOSED       | reset
    """)


def test_a_clock_that_was_set_late(climb: Climb) -> None:
    """All segments before the data at 1000001 were slow; this one is slow again, twenty milliseconds after that."""
    climb(f"""{HANDSHAKE}
1000001  > P.  1:6   ack 6  ts 1000201 |              |              |
1000002  < .   6:6   ack 6  ts 1000102 |              |              |
1000006  < R.  6:6   ack 6             | CLOSED?      | CLOSED       | reset
1000026  > P.  6:9   ack 6  ts 1000206 |              |              | data-after-close
    """)


SLOW = """
     ms  segment                   | client       | server       | marks
      0  > S   0:0          ts 100 | SYN_SENT     | SYN_RCVD+    |
      1  < S.  0:0   ack 1  ts 100 | ESTABLISHED+ |              |
      2  > .   1:1   ack 1  ts 100 |              | ESTABLISHED+ |
     50  < P.  1:6   ack 1  ts 149 |              |              |
     51  > .   1:1   ack 6  ts {}  |              |              |"""
"""The client's clock does not count milliseconds: its ACK would have been sent long before what it acknowledges."""
OF_100_HZ = SLOW.format("105")
OF_250_HZ = SLOW.format("112")
OF_1000_HZ = SLOW.format("151")


@pytest.mark.parametrize(("before", "ticks"), [(OF_100_HZ, 106), (OF_250_HZ, 117)], ids=["100 Hz", "250 Hz"])
def test_a_slow_clock_makes_no_data_late(climb: Climb, before: str, ticks: int) -> None:
    """The data was sent when the FIN should have arrived, and the stamp of a slow clock says nothing against that."""
    climb(f"""{before}
     60  < F.  6:6   ack 1  ts 159 |              | FIN_WAIT_1   |
     69  > P.  1:6   ack 6  ts {ticks} |              |              |
   69.1  < R   7:7                 | CLOSED?      | CLOSED       | reset
    """)


def test_a_quick_clock_beside_it_tells_that_the_data_was_late(climb: Climb) -> None:
    climb(f"""{OF_1000_HZ}
     60  < F.  6:6   ack 1  ts 159 | CLOSE_WAIT?  | FIN_WAIT_1   |
     69  > P.  1:6   ack 6  ts 159 |              |              |
   69.1  < R   7:7                 | CLOSED?      | CLOSED       | reset
    """)


@pytest.mark.parametrize(("before", "ticks"), [(OF_100_HZ, 107), (OF_250_HZ, 117)], ids=["100 Hz", "250 Hz"])
def test_crossing_fins_of_a_slow_clock(climb: Climb, before: str, ticks: int) -> None:
    """The ACK overtook the server's FIN, or else the client, which answers at once, had acknowledged that long ago."""
    climb(f"""{before}
     60  > F.  1:1   ack 6  ts {ticks} | FIN_WAIT_1   | CLOSING+     |
   60.5  < F.  6:6   ack 1  ts 159 | TIME_WAIT?   | FIN_WAIT_1   |
   61.5  < .   7:7   ack 2  ts 160 | FIN_WAIT_2?  |              |
     70  > .   2:2   ack 7  ts {ticks} |              | TIME_WAIT?   |
   1000  end
    """)


def test_crossing_fins_of_a_quick_clock_and_an_answer_that_was_late(climb: Climb) -> None:
    climb(f"""{OF_1000_HZ}
     60  > F.  1:1   ack 6  ts 160 | FIN_WAIT_1   | CLOSING+     |
   60.5  < F.  6:6   ack 1  ts 159 | CLOSING?     | FIN_WAIT_1   |
   61.5  < .   7:7   ack 2  ts 160 | TIME_WAIT?   |              |
     70  > .   2:2   ack 7  ts 161 |              | TIME_WAIT?   |
   1000  end
    """)


def test_a_late_ack_does_not_contradict_its_clock(climb: Climb) -> None:
    """Thirty milliseconds late, but sent when what it acknowledges had passed: later stamps count all the same."""
    climb(f"""{HANDSHAKE}
     10  < P.  6:16  ack 6  ts 109 |              |              | acked-missing
     40  > .   6:6   ack 16 ts 111 |              |              |
     60  < F. 16:16  ack 6  ts 159 | CLOSE_WAIT?  | FIN_WAIT_1   |
     95  > P.  6:9   ack 16 ts 160 |              |              |
   95.1  < R  17:17                | CLOSED?      | CLOSED       | reset
    """)


def test_a_stamp_that_was_taken_a_little_early_does_not_contradict_its_clock(climb: Climb) -> None:
    """Two milliseconds older than what the ACK acknowledges: the host was busy, and its later stamps count."""
    climb(f"""{HANDSHAKE}
     10  < P.  6:16  ack 6  ts 109 |              |              | acked-missing
     11  > .   6:6   ack 16 ts 108 |              |              |
     60  < F. 16:16  ack 6  ts 159 | CLOSE_WAIT?  | FIN_WAIT_1   |
     95  > P.  6:9   ack 16 ts 160 |              |              |
   95.1  < R  17:17                | CLOSED?      | CLOSED       | reset
    """)
