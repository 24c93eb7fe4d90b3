"""Closes and aborts in the forms of stacks other than Linux: 4.4BSD and macOS, Windows, lwIP, gVisor.

Where a ladder says nothing else, one round trip takes a millisecond.
"""

from __future__ import annotations

import pytest

from pcapflow.tcp.endings import (
    NEXT_IP_ID,
    NOT_DRAWN,
    OTHER_IP_ID,
    OTHER_TTL,
    SAME_TTL,
    SAME_WINDOW,
    STAMPED,
)
from pcapflow.tcp.states import SERVER, STATE_NAMES
from tests.ladders import Climb
from tests.tracker.test_closing import HANDSHAKE

HANDSHAKE_RUNGS = "\n".join(line.split("|")[0] for line in HANDSHAKE.splitlines()[2:])


# -- 4.4BSD, macOS, iOS: each ACK of a FIN_WAIT_1 or CLOSING bears the FIN once more (tcp_output, tcp_outflags).


def test_bsd_acknowledges_a_crossed_fin_by_its_own_once_more(climb: Climb) -> None:
    """Linux at the server; the client's second FIN is the ACK of the server's, and no sign that an ACK was lost."""
    story = climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSING+     |
   10.1  < F.  6:6    ack 6 | CLOSING+     | FIN_WAIT_1   |
   10.5  < .   7:7    ack 7 | TIME_WAIT?   |              |
   10.9  > F.  6:6    ack 7 |              | TIME_WAIT?   |
     11  < .   7:7    ack 7 |              |              |
     12  > .   7:7    ack 7 |              |              |
    """)

    assert story.ends == [("TIME_WAIT", "TIME_WAIT")]
    assert (story.flow("client_fins"), story.flow("closed_by")) == (1, 3)


def test_bsd_at_both_ends_of_crossed_fins(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSING+     |
   10.1  < F.  6:6    ack 6 | CLOSING+     | FIN_WAIT_1   |
   10.9  > F.  6:6    ack 7 |              | TIME_WAIT?   |
     11  < F.  6:6    ack 7 | TIME_WAIT?   |              |
   11.9  > .   7:7    ack 7 |              |              |
     12  < .   7:7    ack 7 |              |              |
    """)


def test_the_second_fin_of_bsd_comes_within_a_round_trip_however_long_that_is(climb: Climb) -> None:
    climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+    |
    400  < S.  0:0    ack 1 | ESTABLISHED+ |              |
    401  > .   1:1    ack 1 |              | ESTABLISHED+ |
    402  > P.  1:6    ack 1 |              |              |
    802  < P.  1:6    ack 6 |              |              |
    803  > .   6:6    ack 6 |              |              |
   1000  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSING+     |
   1390  < F.  6:6    ack 6 | CLOSING+     | FIN_WAIT_1   |
   1391  > F.  6:6    ack 7 |              | TIME_WAIT?   |
   1400  < .   7:7    ack 7 | TIME_WAIT?   |              |
   1790  < .   7:7    ack 7 |              |              |
    """)


def test_bsd_acknowledges_data_in_fin_wait_1_by_its_fin_once_more(climb: Climb) -> None:
    """A half-close whose answer was on its way: three ACKs with FIN, none of them a retransmission."""
    climb(f"""{HANDSHAKE}
      9  < P.  6:506  ack 6 |              |              |
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
   10.2  > F.  6:6  ack 506 |              |              |
   10.4  < .   506:506 ack 7 | FIN_WAIT_2+ |              |
     20  < F.  506:506 ack 7 | TIME_WAIT+  | LAST_ACK     |
     21  > .   7:7  ack 507 |              | CLOSED?      |
    """)


def test_a_fin_sent_again_after_its_time_out_says_that_the_ack_was_lost(climb: Climb) -> None:
    """The near miss: Linux, whose ACK of the crossed FIN was lost before the tap, and whose time-out struck."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSING+     |
   10.1  < F.  6:6    ack 6 | CLOSING+     | FIN_WAIT_1   |
   10.5  < .   7:7    ack 7 |              |              |
    215  > F.  6:6    ack 7 |              | TIME_WAIT?   | fin-repeated taken-back
    216  < .   7:7    ack 7 | TIME_WAIT?   |              |
    """)


def test_a_fin_that_acknowledges_nothing_new_is_a_repeat_however_soon(climb: Climb) -> None:
    """The other near miss: a tail loss probe of Linux, two round trips after the FIN."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   |              |
     13  > F.  6:6    ack 6 |              | CLOSE_WAIT+  | fin-repeated
     14  < .   6:6    ack 7 | FIN_WAIT_2+  |              |
     20  < F.  6:6    ack 7 | TIME_WAIT+   | LAST_ACK     |
     21  > .   7:7    ack 7 |              | CLOSED?      |
    """)


# -- What drew a RST: the form alone does not say.


@pytest.mark.parametrize(
    ("rungs", "drew"),
    [
        # Linux, 4.4BSD: no socket; the number is what the data acknowledged.
        ("20 < P. 6:26 ack 7 \n 21 > R 7:7", 9),
        # Windows, lwIP, gVisor: the RST acknowledges what nobody will read.
        ("20 < P. 6:26 ack 7 \n 20.1 > R. 7:7 ack 26 win 0", 9),
        ("20 < P. 6:26 ack 7 \n 20.1 > R. 7:7 ack 6 win 0", 9),
        # It had been acknowledged before: an abort of a socket that was closed only half.
        ("20 < P. 6:26 ack 7 \n 20.1 > . 7:7 ack 26 \n 30 > R. 7:7 ack 26", -1),
        # Nothing at all came after the FIN was acknowledged.
        ("30 > R. 7:7 ack 6", -1),
    ],
    ids=["linux, bsd", "windows, lwip, gvisor", "acknowledges less", "read before", "unasked"],
)
def test_data_for_a_side_that_has_closed(follow: Climb, rungs: str, drew: int) -> None:
    story = follow(f"{HANDSHAKE_RUNGS}\n 10 > F. 6:6 ack 6 \n 11 < . 6:6 ack 7 \n {rungs}")

    assert story.flow("reset_drew_frame") == drew
    assert story.flow("reset_pending") == (20 if drew > 0 else 0)


@pytest.mark.parametrize(
    ("rungs", "drew"),
    [
        # Windows XP: the field of the acknowledgment is filled although its flag is not set.
        ("20 > P. 6:26 ack 6 \n 20.1 > R 26:26 ack 26", NOT_DRAWN),
        # It had acknowledged all that it was sent a moment before: there was a socket, and nothing came since.
        ("20 < P. 6:26 ack 6 \n 21 > . 6:6 ack 26 \n 21.1 > R 6:6", NOT_DRAWN),
        ("20 < F. 6:6 ack 6 \n 21 > . 6:6 ack 7 \n 21.1 > R 6:6", NOT_DRAWN),
        # Nobody has acknowledged the number that it bears.
        ("20 > P. 6:26 ack 6 \n 20.1 > R 26:26", NOT_DRAWN),
        # No socket: the number is that of the data that came last, or of a bare ACK.
        ("20 < P. 6:26 ack 6 \n 21 > R 6:6", 7),
        ("20 < . 6:6 ack 6 \n 21 > R 6:6", 7),
        # An ACK under way when that data came does not cover it.
        ("20 < P. 6:26 ack 6 \n 20.1 > . 6:6 ack 6 \n 21 > R 6:6", 7),
    ],
    ids=["field", "acknowledged", "fin acknowledged", "unknown number", "data", "bare ack", "ack under way"],
)
def test_a_reset_without_ack(follow: Climb, rungs: str, drew: int) -> None:
    assert follow(f"{HANDSHAKE_RUNGS}\n {rungs}").flow("reset_drew_frame") == drew


@pytest.mark.parametrize(
    ("before", "reset", "bits"),
    [
        ("id 7", "id 8", SAME_TTL | NEXT_IP_ID | SAME_WINDOW),
        ("id 7 ts 5 ecr 1", "id 8 ts 50 ecr 1 win 9", SAME_TTL | NEXT_IP_ID | STAMPED),
        ("id 65535", "id 200 win 0", SAME_TTL | NEXT_IP_ID),
        ("id 7", "id 0 win 0", SAME_TTL | OTHER_IP_ID),
        ("id 7", "id 30000 win 0", SAME_TTL | OTHER_IP_ID),
        ("id 0", "id 30000 win 0", SAME_TTL),
        ("id 7 ttl 64", "id 9 win 0 ttl 251", OTHER_TTL | NEXT_IP_ID),
    ],
    ids=["linux", "time stamp", "windows", "no socket", "another counter", "no identification", "another ttl"],
)
def test_what_of_a_reset_goes_on_from_its_senders_segment_before(
    follow: Climb, before: str, reset: str, bits: int
) -> None:
    story = follow(f"{HANDSHAKE_RUNGS}\n 20 > . 6:6 ack 6 {before} \n 9000 > R. 6:6 ack 6 {reset}")

    assert story.flow("reset_continues") == bits


# -- FIN and RST of one side.


def test_a_fin_repeated_in_vain_did_not_arrive_before_the_reset(climb: Climb) -> None:
    """Windows repeats the data with the FIN five times, and resets: the server stays where it was."""
    climb(f"""{HANDSHAKE}
     10  < F.  6:6    ack 6 | CLOSE_WAIT+  | FIN_WAIT_1   |
     11  > .   6:6    ack 7 |              | FIN_WAIT_2?  |
     12  > P.  6:16   ack 7 |              |              |
     13  > F.  16:16  ack 7 | LAST_ACK     |              |
    310  > FP. 6:16   ack 7 |              |              | fin-repeated
    910  > FP. 6:16   ack 7 |              |              | fin-repeated
   2110  > FP. 6:16   ack 7 |              |              | fin-repeated
   4510  > FP. 6:16   ack 7 |              |              | fin-repeated
   9310  > FP. 6:16   ack 7 |              |              | fin-repeated
  18910  > R.  17:17  ack 7 | CLOSED       | CLOSED?      | reset
    """)


def test_a_fin_that_passed_once_arrived_before_the_reset(climb: Climb) -> None:
    """The near miss: its sender aborts at once, and what passed a moment before it arrived as well."""
    climb(f"""{HANDSHAKE}
     10  < F.  6:6    ack 6 | CLOSE_WAIT+  | FIN_WAIT_1   |
     11  > .   6:6    ack 7 |              | FIN_WAIT_2?  |
     13  > F.  6:6    ack 7 | LAST_ACK     | TIME_WAIT?   |
   13.1  > R.  7:7    ack 7 | CLOSED       | CLOSED?      | reset
    """)


# -- A SYN that something older answers.


@pytest.mark.parametrize("rung", ["1 < . 77:77 ack 3000000", "1 < P. 77:97 ack 3000000", "1 < F. 77:77 ack 3000000"])
def test_an_acknowledgment_of_what_no_syn_can_have_let_pass_is_an_older_connections(follow: Climb, rung: str) -> None:
    """No window of a SYN is larger than 65,535 bytes: the capture lacks no gigabytes, and nothing was received."""
    story = follow(f"0 > S 0:0 \n {rung} \n 1000 > S 0:0 \n 1001 < S. 0:0 ack 1 \n 1002 > . 1:1 ack 1")

    assert story.ends == [("ESTABLISHED", "ESTABLISHED")]
    assert (story.flow("client_unseen"), story.flow("client_sent")) == (0, 1)


def test_an_ack_with_another_number_completes_no_handshake(climb: Climb) -> None:
    story = climb("""
     ms  segment                  | client       | server       | marks
      0  > S   0:0                | SYN_SENT     | SYN_RCVD+    |
      1  < S.  0:0    ack 1       | ESTABLISHED? |              |
      2  > .   1:1    ack 3000000 |              |              | unexpected
    """)

    assert story.flow("server_unseen") == 0


def test_an_ack_of_little_that_the_capture_lacks_is_believed(follow: Climb) -> None:
    """The near miss: a banner that was not captured fits into the window of a SYN."""
    story = follow("0 > S 0:0 \n 1 < S. 0:0 ack 1 \n 9 > . 1:1 ack 1401 \n 10 < P. 1401:1406 ack 1")

    assert story.ends == [("ESTABLISHED", "ESTABLISHED")]
    assert story.flow("server_unseen") == 1400


def test_what_comes_later_of_an_older_connection_is_no_data_after_the_close(follow: Climb) -> None:
    """The client resets the older connection's ACK; more of its data was under way, and is not of the new one."""
    story = follow("""
      0  > S   0:0
      1  < .   77:77   ack 3000000
      2  > R   3000000:3000000
      3  < P.  77:97   ack 3000000
      4  < P.  97:117  ack 3000000
   1000  > S   0:0
   1001  < S.  0:0     ack 1
   1002  > .   1:1     ack 1
    """)

    assert story.marked("data-after-close") == []
    assert story.ends == [("ESTABLISHED", "ESTABLISHED")]
    assert (story.flow("client_unseen"), story.flow("server_unseen")) == (0, 0)


# -- What else differs.


def test_the_ack_that_bears_the_fin_once_more_brings_it_where_it_was_lost(climb: Climb) -> None:
    """The round trip takes 100 ms, and the answer comes one after the second pass: the first would have drawn it."""
    climb("""
     ms  segment            | client                   | server       | marks
      0  > S   0:0          | SYN_SENT                 | SYN_RCVD+    |
    100  < S.  0:0    ack 1 | ESTABLISHED+             |              |
    101  > .   1:1    ack 1 |                          | ESTABLISHED+ |
    102  > P.  1:6    ack 1 |                          |              |
    202  < P.  1:6    ack 6 |                          |              |
    203  > .   6:6    ack 6 |                          |              |
    400  > F.  6:6    ack 6 | FIN_WAIT_1               |              |
    450  < F.  6:6    ack 6 | CLOSING+                 | FIN_WAIT_1   |
    451  > F.  6:6    ack 7 |                          | FIN_WAIT_2+ TIME_WAIT+ |
    551  < .   7:7    ack 7 | TIME_WAIT?               |              |
    """)


def test_and_says_nothing_where_the_answer_is_too_soon_for_it(climb: Climb) -> None:
    """The near miss: half a round trip after the second pass, the answer is to the first."""
    climb("""
     ms  segment            | client                   | server       | marks
      0  > S   0:0          | SYN_SENT                 | SYN_RCVD+    |
    100  < S.  0:0    ack 1 | ESTABLISHED+             |              |
    101  > .   1:1    ack 1 |                          | ESTABLISHED+ |
    102  > P.  1:6    ack 1 |                          |              |
    202  < P.  1:6    ack 6 |                          |              |
    203  > .   6:6    ack 6 |                          |              |
    400  > F.  6:6    ack 6 | FIN_WAIT_1               | CLOSING+     |
    450  < F.  6:6    ack 6 | CLOSING+                 | FIN_WAIT_1   |
    451  > F.  6:6    ack 7 |                          | TIME_WAIT?   |
    500  < .   7:7    ack 7 | TIME_WAIT?               |              |
    """)


def test_a_reset_that_acknowledges_the_data_had_the_ack_that_came_with_it(climb: Climb) -> None:
    """LwIP aborts for data after its close, a moment after that passed: it brought along the ACK of its FIN."""
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < P.  6:306  ack 7 | FIN_WAIT_2?  |              |
   11.1  > R.  7:7  ack 306 | CLOSED       | CLOSED?      | reset
    """)


def test_a_reset_that_does_not_may_have_been_sent_before(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < P.  6:306  ack 7 |              |              |
   11.1  > R.  7:7    ack 6 | CLOSED       | CLOSED?      | reset
    """)


@pytest.mark.parametrize(("end_ms", "state"), [(3044, "SYN_SENT"), (4000, "ESTABLISHED")])
def test_old_stacks_wait_for_three_seconds_before_they_repeat_a_syn(follow: Climb, end_ms: int, state: str) -> None:
    """A SYN-ACK that is repeated may not have arrived: that the SYN is not repeated says otherwise only later."""
    story = follow(f"0 > S 0:0 \n 1 < S. 0:0 ack 1 \n 1028 < S. 0:0 ack 1 \n 3044 < S. 0:0 ack 1 \n {end_ms} end")

    assert story.ends == [(state, "SYN_RCVD")]


STAMPED_OPEN = """
      0  > S   0:0    ts 1000 ecr 0 sackok 1    | SYN_SENT     | SYN_RCVD+    |
      1  < S.  0:0    ack 1 ts 500 ecr 1000 sackok 1 | ESTABLISHED+ |         |
      2  > .   1:1    ack 1 ts 1002 ecr 500     |              | ESTABLISHED+ |
      3  > P.  1:6    ack 1 ts 1003 ecr 500     |              |              |
      4  < P.  1:6    ack 6 ts 504 ecr 1003     |              |              |
      5  > .   6:6    ack 6 ts 1005 ecr 504     |              |              |"""


def test_an_echo_that_is_older_than_both_passes_of_a_fin_tells_nothing(climb: Climb) -> None:
    """GVisor acknowledges a FIN before it takes over its stamp: that it lacked the first pass, its silence says."""
    climb(f"""
     ms  segment                                | client       | server       | marks{STAMPED_OPEN}
     10  > F.  6:6    ack 6 ts 1010 ecr 504     | FIN_WAIT_1   |              |
   10.1  < F.  6:6    ack 6 ts 510 ecr 1005     | CLOSING+     | FIN_WAIT_1   |
     11  > .   7:7    ack 7 ts 1011 ecr 510     |              | FIN_WAIT_2?  |
    344  > F.  6:6    ack 7 ts 1344 ecr 510     |              | TIME_WAIT?   | fin-repeated
    345  < .   7:7    ack 7 ts 845 ecr 1005     | TIME_WAIT?   |              |
    """)


def test_an_echo_of_the_first_pass_of_a_fin_says_that_it_arrived(climb: Climb) -> None:
    """The near miss."""
    climb(f"""
     ms  segment                                | client       | server       | marks{STAMPED_OPEN}
     10  > F.  6:6    ack 6 ts 1010 ecr 504     | FIN_WAIT_1   | CLOSING+     |
   10.1  < F.  6:6    ack 6 ts 510 ecr 1005     | CLOSING+     | FIN_WAIT_1   |
     11  > .   7:7    ack 7 ts 1011 ecr 510     |              | TIME_WAIT?   |
    344  > F.  6:6    ack 7 ts 1344 ecr 510     |              |              | fin-repeated
    345  < .   7:7    ack 7 ts 845 ecr 1010     | TIME_WAIT?   |              |
    """)


@pytest.mark.parametrize(
    ("echo", "server"),
    [(1010, ["CLOSE_WAIT", "LAST_ACK"]), (1250, ["FIN_WAIT_1", "CLOSING"])],
    ids=["of the first: pytcp", "of the second"],
)
def test_an_ack_that_echoes_the_first_fin_repeats_one_that_was_lost(
    follow: Climb, echo: int, server: list[str]
) -> None:
    """The server's FIN was lost before the tap. Not all stacks answer a repeated FIN with a duplicate SACK."""
    rungs = "\n".join(line.split("|")[0] for line in STAMPED_OPEN.splitlines())
    story = follow(f"""{rungs}
     10  > F.  6:6    ack 6 ts 1010 ecr 504
    250  > F.  6:6    ack 6 ts 1250 ecr 504
    251  < .   7:7    ack 7 ts 751 ecr {echo}
    270  < F.  6:6    ack 7 ts 770 ecr {echo}
    271  > .   7:7    ack 7 ts 1271 ecr 770
    """)

    steps = story.tables.transitions
    path = [STATE_NAMES[new] for new in steps["new"][steps["endpoint"] == SERVER]]
    assert path[2:4] == server


def test_a_reset_that_acknowledges_what_came_after_the_ack_of_its_fin_had_that(climb: Climb) -> None:
    """LwIP at its own tap, a round trip takes 4 ms: the RST comes soon after the ACK, and covers what followed."""
    climb("""
     ms  segment               | client       | server       | marks
      0  > S   0:0             | SYN_SENT     | SYN_RCVD+    |
      4  < S.  0:0    ack 1    | ESTABLISHED+ |              |
    4.1  > .   1:1    ack 1    |              | ESTABLISHED+ |
     10  > F.  1:1    ack 1    | FIN_WAIT_1   | CLOSE_WAIT+  |
     14  < .   1:1    ack 2    | FIN_WAIT_2?  |              |
     15  < P.  1:1461 ack 2    |              |              |
   15.1  > R.  2:2    ack 1461 | CLOSED       | CLOSED?      | reset
    """)


def test_a_fin_behind_a_hole_is_not_taken_to_have_counted_at_the_end(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  < F.  7:7    ack 6 |              | FIN_WAIT_1   |
   10.1  > .   6:6    ack 6 |              |              |
     20  end
    """)


def test_and_counts_where_nothing_is_missing(climb: Climb) -> None:
    climb(f"""{HANDSHAKE}
     10  < F.  6:6    ack 6 | CLOSE_WAIT?  | FIN_WAIT_1   |
   10.1  > .   6:6    ack 6 |              |              |
     20  end
    """)
