"""How connections close: the paths of both ends, told as ladders (RFC 9293, 3.6; RFC 1122, 4.2.2.13)."""

from __future__ import annotations

import pytest

from tests.ladders import Climb

HANDSHAKE = """
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+    |
      1  < S.  0:0    ack 1 | ESTABLISHED+ |              |
      2  > .   1:1    ack 1 |              | ESTABLISHED+ |
      3  > P.  1:6    ack 1 |              |              |
      4  < P.  1:6    ack 6 |              |              |
      5  > .   6:6    ack 6 |              |              |"""
"""Opened, and five bytes each way: closes begin at 6 on both sides."""
HANDSHAKE_RUNGS = [line.split("|")[0] for line in HANDSHAKE.splitlines()[2:]]


def test_the_client_closes_first(climb: Climb) -> None:
    """Four segments. The FIN's arrival is proven by its ACK; nothing could prove that the last ACK arrived."""
    story = climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < .   6:6    ack 7 | FIN_WAIT_2+  |              |
     20  < F.  6:6    ack 7 | TIME_WAIT+   | LAST_ACK     |
     21  > .   7:7    ack 7 |              | CLOSED?      |
    """)

    assert story.reasons == ["closed"]
    assert story.flow("closed_by") == 1


def test_the_server_closes_first(climb: Climb) -> None:
    """The mirror: TIME_WAIT is the server's."""
    story = climb(f"""{HANDSHAKE}
     10  < F.  6:6    ack 6 | CLOSE_WAIT+  | FIN_WAIT_1   |
     11  > .   6:6    ack 7 |              | FIN_WAIT_2+  |
     20  > F.  6:6    ack 7 | LAST_ACK     | TIME_WAIT+   |
     21  < .   7:7    ack 7 | CLOSED?      |              |
    """)

    assert story.ends == [("CLOSED", "TIME_WAIT")]
    assert story.flow("closed_by") == 2


def test_three_segments(climb: Climb) -> None:
    """FIN and ACK combined are two events on one frame: the ACK is looked at first (RFC 9293, 3.10.7.4)."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1             | CLOSE_WAIT+  |
     11  < F.  6:6    ack 7 | FIN_WAIT_2+ TIME_WAIT+ | LAST_ACK     |
     12  > .   7:7    ack 7 |                        | CLOSED?      |
    """)


def test_a_half_close_with_data(climb: Climb) -> None:
    """The client has nothing more to say and the server still has: FIN_WAIT_2 and CLOSE_WAIT last while data flows."""
    story = climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6  | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < .   6:6    ack 7  | FIN_WAIT_2+  |              |
    500  < P.  6:106  ack 7  |              |              |
    501  > .   7:7  ack 106  |              |              |
    900  < F.  106:106 ack 7 | TIME_WAIT+   | LAST_ACK     |
    901  > .   7:7  ack 107  |              | CLOSED?      |
    """)

    assert story.flow("server_after_fin") == 100


def test_the_fins_cross(climb: Climb) -> None:
    """Neither had seen the other's FIN when it sent its own: both pass CLOSING (RFC 9293, 3.6, figure 13)."""
    story = climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSING+     |
     11  < F.  6:6    ack 6 | CLOSING+     | FIN_WAIT_1   |
     20  > .   7:7    ack 7 |              | TIME_WAIT?   |
     21  < .   7:7    ack 7 | TIME_WAIT?   |              |
    """)

    assert story.ends == [("TIME_WAIT", "TIME_WAIT")]
    assert story.flow("closed_by") == 3


def test_the_fin_carries_data(climb: Climb) -> None:
    """A FIN on the last data counts after the data."""
    story = climb(f"""{HANDSHAKE}
     10  > FP. 6:16   ack 6 | FIN_WAIT_1             | CLOSE_WAIT+  |
     11  < F.  6:6   ack 17 | FIN_WAIT_2+ TIME_WAIT+ | LAST_ACK     |
     12  > .   17:17  ack 7 |                        | CLOSED?      |
    """)

    assert story.flow("client_sent") == 17


def test_the_first_fin_is_lost_once(climb: Climb) -> None:
    """It is sent again; the server is dated by the one that was answered."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   |              |
    210  > F.  6:6    ack 6 |              | CLOSE_WAIT+  | fin-repeated
    211  < .   6:6    ack 7 | FIN_WAIT_2+  |              |
    220  < F.  6:6    ack 7 | TIME_WAIT+   | LAST_ACK     |
    221  > .   7:7    ack 7 |              | CLOSED?      |
    """)


@pytest.mark.parametrize(
    ("first", "second", "ms"),
    [("id 7", "id 7", 210), ("id 7", "id 8", 40), ("ts 100", "ts 130", 40)],
    ids=["too late", "another identification", "another time stamp"],
)
def test_what_is_no_copy_of_a_fin(climb: Climb, first: str, second: str, ms: int) -> None:
    """It was sent again: a copy comes soon, and is the same throughout."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 {first} | FIN_WAIT_1   |              |
   {ms}  > F.  6:6    ack 6 {second} |              |              | fin-repeated
   5000  end
    """)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("P. 6:16 ack 6", "P. 6:26 ack 6"),
        ("P. 6:16 ack 1", "P. 6:16 ack 6"),
        ("P. 6:16 ack 6 ts 100", "P. 6:16 ack 6 ts 130"),
        (".  6:6  ack 6 ts 100", ".  6:6  ack 6 ts 100"),
    ],
    ids=["more data", "another acknowledgment", "another time stamp", "an acknowledgment that may be sent twice"],
)
def test_what_is_no_copy_of_a_segment(follow: Climb, first: str, second: str) -> None:
    """Where no IP identification tells, a copy is known by everything else."""
    story = follow("\n".join([*HANDSHAKE_RUNGS, f"10 > {first}", f"20 > {second}"]))

    assert story.marked("duplicate-packet") == []


def test_the_first_fin_is_lost_for_good(climb: Climb) -> None:
    """A FIN that was repeated without an answer is not assumed to have arrived."""
    story = climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   |              |
    210  > F.  6:6    ack 6 |              |              | fin-repeated
    610  > F.  6:6    ack 6 |              |              | fin-repeated
    """)

    assert story.ends == [("FIN_WAIT_1", "ESTABLISHED")]
    assert story.reasons == ["closing"]


def test_the_ack_of_the_first_fin_is_lost_once(climb: Climb) -> None:
    """The repeated FIN takes back FIN_WAIT_2: the client had not heard the ACK, whatever passed the tap."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < .   6:6    ack 7 |              |              |
    210  > F.  6:6    ack 6 |              |              | fin-repeated taken-back
    211  < .   6:6    ack 7 | FIN_WAIT_2+  |              |
    300  < F.  6:6    ack 7 | TIME_WAIT+   | LAST_ACK     |
    301  > .   7:7    ack 7 |              | CLOSED?      |
    """)


def test_the_second_fin_is_lost_once(climb: Climb) -> None:
    """TIME_WAIT is dated by the FIN that was answered, the second."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < .   6:6    ack 7 | FIN_WAIT_2+  |              |
     20  < F.  6:6    ack 7 |              | LAST_ACK     |
    220  < F.  6:6    ack 7 | TIME_WAIT+   |              | fin-repeated
    221  > .   7:7    ack 7 |              | CLOSED?      |
    """)


def test_the_second_fin_is_lost_for_good(climb: Climb) -> None:
    """LAST_ACK on one side, FIN_WAIT_2 on the other."""
    story = climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < .   6:6    ack 7 | FIN_WAIT_2?  |              |
     20  < F.  6:6    ack 7 |              | LAST_ACK     |
    220  < F.  6:6    ack 7 |              |              | fin-repeated
    620  < F.  6:6    ack 7 |              |              | fin-repeated
    """)

    assert story.ends == [("FIN_WAIT_2", "LAST_ACK")]


def test_the_final_ack_is_lost_once(climb: Climb) -> None:
    """What TIME_WAIT is for: the FIN comes again, LAST_ACK -> CLOSED is taken back, and the ACK sent again."""
    story = climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < .   6:6    ack 7 | FIN_WAIT_2+  |              |
     20  < F.  6:6    ack 7 | TIME_WAIT+   | LAST_ACK     |
     21  > .   7:7    ack 7 |              |              |
    220  < F.  6:6    ack 7 |              |              | fin-repeated taken-back
    221  > .   7:7    ack 7 |              | CLOSED?      |
    """)

    assert story.marked("taken-back") == [(11, "server", 10)]


def test_the_final_ack_is_lost_for_good(climb: Climb) -> None:
    """The last FIN of many is never answered: LAST_ACK it stays."""
    story = climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < .   6:6    ack 7 | FIN_WAIT_2+  |              |
     20  < F.  6:6    ack 7 | TIME_WAIT+   | LAST_ACK     |
     21  > .   7:7    ack 7 |              |              |
    220  < F.  6:6    ack 7 |              |              | fin-repeated taken-back
    620  < F.  6:6    ack 7 |              |              | fin-repeated
   1420  < F.  6:6    ack 7 |              |              | fin-repeated
    """)

    assert story.ends == [("TIME_WAIT", "LAST_ACK")]
    assert story.reasons == ["closing"]
    assert story.marked("fin-repeated") == [(11, "server", 2), (12, "server", 3), (13, "server", 4)]


def test_an_ack_after_the_final_one_takes_nothing_back(climb: Climb) -> None:
    """A copy of an old one, for all that it says: the server does not repeat its FIN."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1             | CLOSE_WAIT+  |
     11  < F.  6:6    ack 7 | FIN_WAIT_2+ TIME_WAIT+ | LAST_ACK     |
     12  > .   7:7    ack 7 |                        | CLOSED?      |
    300  < .   7:7    ack 7 |                        |              |
    """)


def test_a_fin_before_a_hole(climb: Climb) -> None:
    """The data before the FIN is lost: the FIN waits (RFC 9293, 3.10.7.4), and counts when the data comes again."""
    story = climb(f"""{HANDSHAKE}
     10  > P.  6:16   ack 6 |                        |              |
     11  > F.  16:16  ack 6 | FIN_WAIT_1             | CLOSE_WAIT+  |
     12  < .   6:6    ack 6 |                        |              |
    210  > P.  6:16   ack 6 |                        |              |
    211  < F.  6:6   ack 17 | FIN_WAIT_2+ TIME_WAIT+ | LAST_ACK     |
    212  > .   17:17  ack 7 |                        | CLOSED?      |
    """)

    assert story.moment("server", "CLOSE_WAIT") == 210


def test_a_fin_before_a_hole_at_the_tap(climb: Climb) -> None:
    """The data was lost before the tap: no answer is needed to see that the FIN has to wait for it."""
    story = climb(f"""{HANDSHAKE}
     11  > F.  16:16  ack 6 | FIN_WAIT_1             | CLOSE_WAIT+  |
    210  > P.  6:16   ack 6 |                        |              |
    211  < F.  6:6   ack 17 | FIN_WAIT_2+ TIME_WAIT+ | LAST_ACK     |
    212  > .   17:17  ack 7 |                        | CLOSED?      |
    """)

    assert story.moment("server", "CLOSE_WAIT") == 210


def test_data_repeated_after_a_fin_tells_of_no_gap(climb: Climb) -> None:
    """Nothing says that it was lacking: the FIN counts from where it passed."""
    story = climb(f"""{HANDSHAKE}
     10  > P.  6:16   ack 6 |                        |              |
     11  > F.  16:16  ack 6 | FIN_WAIT_1             | CLOSE_WAIT+  |
    210  > P.  6:16   ack 6 |                        |              |
    211  < F.  6:6   ack 17 | FIN_WAIT_2+ TIME_WAIT+ | LAST_ACK     |
    212  > .   17:17  ack 7 |                        | CLOSED?      |
    """)

    assert story.moment("server", "CLOSE_WAIT") == 11


def test_a_fin_overtakes_data(climb: Climb) -> None:
    """The FIN passes first and the data before it afterwards: nothing is lost and nothing is repeated."""
    story = climb(f"""{HANDSHAKE}
     10  > F.  16:16  ack 6 | FIN_WAIT_1             | CLOSE_WAIT+  |
   10.5  > P.  6:16   ack 6 |                        |              |
     12  < F.  6:6   ack 17 | FIN_WAIT_2+ TIME_WAIT+ | LAST_ACK     |
     13  > .   17:17  ack 7 |                        | CLOSED?      |
    """)

    assert story.marked("data-after-fin") == []


def test_copies_of_a_fin_are_not_retransmissions(climb: Climb) -> None:
    """The same IP identification and time stamp, at once: copied on the way. Nothing is taken back."""
    story = climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 id 7 ts 10 ecr 4  | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < .   6:6    ack 7 id 5 ts 11 ecr 10 | FIN_WAIT_2+  |              |
     12  > F.  6:6    ack 6 id 7 ts 10 ecr 4  |              |              | duplicate-packet
     20  < F.  6:6    ack 7 id 6 ts 20 ecr 10 | TIME_WAIT+   | LAST_ACK     |
     21  > .   7:7    ack 7 id 8 ts 21 ecr 20 |              | CLOSED?      |
    """)

    assert story.marked("fin-repeated") == []


@pytest.mark.parametrize("words", ["id 7", "ts 10 ecr 4"], ids=["identification", "time stamp"])
def test_a_copy_of_a_fin_may_come_after_another_segment(climb: Climb, words: str) -> None:
    """Either tells that it is a copy: over IPv6 there is no identification, and time stamps are not everywhere."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 {words}      | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < .   6:6    ack 7              | FIN_WAIT_2+  |              |
     12  > .   7:7    ack 6 id 8         |              |              |
     13  > F.  6:6    ack 6 {words}      |              |              |
     20  < F.  6:6    ack 7              | TIME_WAIT+   | LAST_ACK     |
     21  > .   7:7    ack 7 id 9         |              | CLOSED?      |
    """)


@pytest.mark.parametrize("rung", ["> F. 6:6 ack 6 ts 10 ecr 4", "> P. 6:16 ack 6 ts 10 ecr 4", "> FP. 6:16 ack 6"])
def test_copies_without_an_identification(follow: Climb, rung: str) -> None:
    """A time stamp tells, or the same data at once."""
    story = follow("\n".join(HANDSHAKE_RUNGS) + f"\n10 {rung}\n10.1 {rung}")

    assert story.marked("duplicate-packet") == [(8, "client", 0)]
    assert story.marked("fin-repeated") == []


def test_what_is_alike_in_part_is_no_copy(climb: Climb) -> None:
    """Another number with the same identification, or the same number with another one."""
    climb(f"""{HANDSHAKE}
     10  > P.  6:16   ack 6 id 7 |              |              |
   10.1  > P.  16:26  ack 6 id 7 |              |              |
   10.2  > P.  16:26  ack 6 id 8 |              |              |
    """)


def test_a_fin_right_after_an_equal_ack_is_no_copy_of_it(climb: Climb) -> None:
    """Over IPv6 nothing but the flags tells them apart: no identification, and the time stamp's tick is the same."""
    climb(f"""{HANDSHAKE}
     10  > .   6:6    ack 6 ts 10 ecr 4  |              |              |
   10.2  > F.  6:6    ack 6 ts 10 ecr 4  | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < .   6:6    ack 7 ts 11 ecr 10 | FIN_WAIT_2?  |              |
    """)


def test_a_fin_sent_again_has_a_time_stamp_of_its_own(climb: Climb) -> None:
    """As soon as that, but another identification and time stamp: a retransmission (a tail loss probe is quick)."""
    story = climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 id 7 ts 10 ecr 4  | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < .   6:6    ack 7 id 5 ts 11 ecr 10 |              |              |
     12  > F.  6:6    ack 6 id 8 ts 12 ecr 4  |              |              | fin-repeated taken-back
     13  < .   6:6    ack 7 id 6 ts 13 ecr 10 | FIN_WAIT_2?  |              |
    """)

    assert story.marked("fin-repeated") == [(9, "client", 2)]


def test_a_duplicate_sack_says_that_the_first_fin_had_arrived(climb: Climb) -> None:
    """The server's FIN passes twice; the ACK names the second as a duplicate (RFC 2883): the first one counts."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6        | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < .   6:6    ack 7        | FIN_WAIT_2+  |              |
     20  < F.  6:6    ack 7        | TIME_WAIT+   | LAST_ACK     |
    220  < F.  6:6    ack 7        |              |              | fin-repeated
    221  > .   7:7    ack 7 sack 6 |              | CLOSED?      |
    """)


def test_an_old_time_stamp_echoed_says_that_the_first_fin_had_arrived(climb: Climb) -> None:
    """The ACK after the second FIN echoes the time stamp of the first (RFC 7323, 4.3)."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 ts 10 ecr 4   | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < .   6:6    ack 7 ts 11 ecr 10  | FIN_WAIT_2+  |              |
     20  < F.  6:6    ack 7 ts 20 ecr 10  | TIME_WAIT+   | LAST_ACK     |
    220  < F.  6:6    ack 7 ts 220 ecr 10 |              |              | fin-repeated
    221  > .   7:7    ack 7 ts 221 ecr 20 |              | CLOSED?      |
    """)


def test_a_new_time_stamp_echoed_says_that_the_second_fin_arrived(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 ts 10 ecr 4   | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < .   6:6    ack 7 ts 11 ecr 10  | FIN_WAIT_2+  |              |
     20  < F.  6:6    ack 7 ts 20 ecr 10  |              | LAST_ACK     |
    220  < F.  6:6    ack 7 ts 220 ecr 10 | TIME_WAIT+   |              | fin-repeated
    221  > .   7:7    ack 7 ts 221 ecr 220 |             | CLOSED?      |
    """)


def test_a_fin_repeated_without_an_ack_had_not_met_the_other(climb: Climb) -> None:
    """A FIN sent again that does not cover the peer's FIN proves that the peer's had not arrived by then."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   |              |
     11  < F.  6:6    ack 6 |              | FIN_WAIT_1   |
    210  > F.  6:6    ack 6 |              | CLOSING+     | fin-repeated
    211  < .   7:7    ack 7 | FIN_WAIT_2+  |              |
    220  < F.  6:6    ack 7 | TIME_WAIT+   |              | fin-repeated
    221  > .   7:7    ack 7 |              | TIME_WAIT?   |
    """)


def test_a_fin_denied_until_its_last_pass(climb: Climb) -> None:
    """What the client sent without acknowledging it shows that no earlier one had arrived: the last is proven."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1             |              |
     11  < F.  6:6    ack 6 |                        | FIN_WAIT_1   |
    210  > F.  6:6    ack 6 |                        | CLOSING+     | fin-repeated
    211  < F.  6:6    ack 7 | FIN_WAIT_2+ TIME_WAIT+ |              | fin-repeated
    212  > F.  6:6    ack 6 |                        |              | fin-repeated
    213  > .   7:7    ack 7 |                        | TIME_WAIT?   |
    """)


def test_an_old_fin_takes_back_no_fin_of_the_other(climb: Climb) -> None:
    """It only shows that the ACK of it may have been lost; what had arrived of the server's has arrived."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   |              |
     11  < F.  6:6    ack 6 |              | FIN_WAIT_1   |
    210  > F.  6:6    ack 6 |              | CLOSING+     | fin-repeated
    211  < .   7:7    ack 7 | FIN_WAIT_2+  |              |
    220  < F.  6:6    ack 7 | TIME_WAIT+   |              | fin-repeated
    221  > .   7:7    ack 7 |              | TIME_WAIT?   |
    300  > F.  6:6    ack 7 |              |              | fin-repeated
    """)


def test_a_fin_that_never_passed_the_tap(climb: Climb) -> None:
    """The number of the ACK after it shows that the client had sent a FIN, and it is seen when it comes again."""
    climb(f"""{HANDSHAKE}
     10  < F.  6:6    ack 6 | CLOSING+     | FIN_WAIT_1   |
     30  > .   7:7    ack 7 | FIN_WAIT_1+  | FIN_WAIT_2+  |
    210  > F.  6:6    ack 7 |              | TIME_WAIT+   |
    211  < .   7:7    ack 7 | TIME_WAIT?   |              |
    """)


def test_a_fin_that_never_passed_the_tap_after_the_ack_of_the_others(climb: Climb) -> None:
    """The client had acknowledged the server's FIN before it sent its own: the FINs did not cross."""
    climb(f"""{HANDSHAKE}
     10  < F.  6:6    ack 6 | CLOSE_WAIT+  | FIN_WAIT_1   |
     11  > .   6:6    ack 7 |              | FIN_WAIT_2+  |
     30  > .   7:7    ack 7 | LAST_ACK+    |              |
    210  > F.  6:6    ack 7 |              | TIME_WAIT+   |
    211  < .   7:7    ack 7 | CLOSED?      |              |
    """)


def test_a_missing_byte_of_data_is_no_fin(climb: Climb) -> None:
    """The byte that was missing turns up as data: nobody has closed."""
    climb(f"""{HANDSHAKE}
     10  > .   7:7    ack 6 |              |              |
    210  > P.  6:7    ack 6 |              |              |
    211  < .   6:6    ack 7 |              |              |
    """)


@pytest.mark.parametrize(
    "rung", ["F. 2000000000:2000000000 ack 6", "F. 3221225372:3221225372 ack 6", "F. 6:6 ack 2000000000"]
)
def test_numbers_far_from_all_others(follow: Climb, rung: str) -> None:
    """Above, below, and of the other side: no window is as large as that, and the segment changes nothing."""
    story = follow("\n".join([*HANDSHAKE_RUNGS, f"10 > {rung}"]))

    assert story.marked("unexpected") == [(7, "client", 0)]
    assert story.ends == [("ESTABLISHED", "ESTABLISHED")]


def test_keep_alives_are_no_events(climb: Climb) -> None:
    """A keep-alive repeats the last byte's number and changes nothing, before the close and after half of it."""
    climb(f"""{HANDSHAKE}
   1000  > .   5:5    ack 6 |              |              |
   1001  < .   6:6    ack 6 |              |              |
   2000  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
   2001  < .   6:6    ack 7 | FIN_WAIT_2+  |              |
   3000  < .   5:5    ack 7 |              |              |
   3001  > .   7:7    ack 6 |              |              |
   4000  < F.  6:6    ack 7 | TIME_WAIT+   | LAST_ACK     |
   4001  > .   7:7    ack 7 |              | CLOSED?      |
    """)


def test_data_after_its_own_fin(climb: Climb) -> None:
    """A FIN ends the stream (RFC 9293, 3.6): bytes beyond it are marked, those below it are a retransmission."""
    story = climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT?  |
     12  > P.  1:6    ack 6 |              |              |
     13  > P.  7:17   ack 6 |              |              | data-after-fin
    """)

    assert [frame for frame, _, _ in story.marked("data-after-fin")] == [9]


def test_a_fin_below_its_own_fin(climb: Climb) -> None:
    """It is not the client's: where the client's stream ends is what its first FIN, the higher one, says."""
    story = climb(f"""{HANDSHAKE}
     10  > P.  6:16   ack 6 |              |              |
     11  > F.  16:16  ack 6 | FIN_WAIT_1   |              |
    210  > F.  6:6    ack 6 |              |              | fin-repeated
    211  < .   6:6   ack 16 |              |              |
   5000  end
    """)

    assert story.ends == [("FIN_WAIT_1", "ESTABLISHED")]


def test_a_fin_above_its_own_fin(climb: Climb) -> None:
    """Of two FINs of a client the higher one counts, whichever came first."""
    story = climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   |              |
    210  > F.  6:16   ack 6 |              |              | fin-repeated data-after-fin
    211  < .   6:6   ack 16 |              |              |
   5000  end
    """)

    assert story.ends == [("FIN_WAIT_1", "ESTABLISHED")]


def test_closing_before_the_last_ack_of_the_handshake_is_seen(climb: Climb) -> None:
    """The client's FIN is the first thing after its SYN: it completes the handshake and closes."""
    climb("""
     ms  segment            | client                 | server
      0  > S   0:0          | SYN_SENT               | SYN_RCVD+
      1  < S.  0:0    ack 1 | ESTABLISHED+           |
      2  > F.  1:1    ack 1 | FIN_WAIT_1             | ESTABLISHED+ CLOSE_WAIT+
      3  < F.  1:1    ack 2 | FIN_WAIT_2+ TIME_WAIT+ | LAST_ACK
      4  > .   2:2    ack 2 |                        | CLOSED?
    """)


def test_the_server_closes_before_it_had_the_last_ack_of_the_handshake(climb: Climb) -> None:
    """A program may close in SYN_RCVD; its FIN is sent from there (RFC 9293, 3.10.4)."""
    climb("""
     ms  segment            | client       | server
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+
      1  < S.  0:0    ack 1 | ESTABLISHED+ |
      2  < F.  1:1    ack 1 | CLOSE_WAIT+  | FIN_WAIT_1
      3  > F.  1:1    ack 2 | LAST_ACK     | FIN_WAIT_2+ TIME_WAIT+
      4  < .   2:2    ack 2 | CLOSED?      |
    """)


def test_a_fin_crosses_a_repeated_syn_ack(follow: Climb) -> None:
    """The SYN-ACK takes back that the ACK arrived, which the FIN had brought; the FIN arrived later all the same."""
    story = follow("""
      0  > S   0:0
      1  < S.  0:0    ack 1
   1000  > F.  1:1    ack 1
   1001  < S.  0:0    ack 1
   1002  < F.  1:1    ack 2
   1003  > .   2:2    ack 2
    """)

    assert story.states(3)[1].endswith("CLOSE_WAIT+")
    assert story.ends == [("TIME_WAIT", "CLOSED")]


def test_a_fin_that_is_denied_until_the_end(climb: Climb) -> None:
    """It passed shortly before the end, and yet the client shows, ten round trips later, that it did not arrive."""
    climb(f"""{HANDSHAKE}
     10  < F.  6:6    ack 6 |              | FIN_WAIT_1   |
     20  > P.  6:16   ack 6 |              |              |
     30  end
    """)


def test_a_fin_that_is_denied_by_a_syn_ack(climb: Climb) -> None:
    """The server still waits for the last ACK of the handshake: it has had no FIN."""
    climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+    |
      1  < S.  0:0    ack 1 | ESTABLISHED+ |              |
      2  > .   1:1    ack 1 |              |              |
      3  > F.  1:1    ack 1 | FIN_WAIT_1   |              |
    500  < S.  0:0    ack 1 |              |              | syn-repeated taken-back
    900  end
    """)
