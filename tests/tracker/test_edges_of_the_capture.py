"""What is known when a connection began before the capture, or had not ended when it did."""

from __future__ import annotations

from fixtures.ladder import START_NS
from tests.ladders import Climb

OPEN = """
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+    |
      1  < S.  0:0    ack 1 | ESTABLISHED+ |              |
      2  > .   1:1    ack 1 |              | ESTABLISHED+ |
      3  > P.  1:6    ack 1 |              |              |
      4  < P.  1:6    ack 6 |              |              |
      5  > .   6:6    ack 6 |              |              |"""


def test_a_connection_that_began_before_the_capture(climb: Climb) -> None:
    """Both ends are taken for ESTABLISHED, and the side of the well-known port for the server."""
    story = climb("""
     ms  segment              | client       | server       | marks
      0  < P.  100:200 ack 50 | ESTABLISHED? | ESTABLISHED? |
      1  > .   50:50  ack 200 |              |              |
    """)

    assert story.flow("midstream") == 1
    assert story.flow("roles_assumed") == 1
    assert story.flow("server_port") == 80


def test_a_connection_that_was_closing_when_the_capture_began(climb: Climb) -> None:
    """The first segment is a FIN: its sender had been ESTABLISHED, as far as anyone here can know."""
    story = climb("""
     ms  segment              | client                  | server                   | marks
      0  > F.  100:100 ack 50 | ESTABLISHED? FIN_WAIT_1 | ESTABLISHED? CLOSE_WAIT+ |
      1  < F.  50:50  ack 101 | FIN_WAIT_2+ TIME_WAIT+  | LAST_ACK                 |
      2  > .   101:101 ack 51 |                         | CLOSED?                  |
    """)

    assert story.ends == [("TIME_WAIT", "CLOSED")]


def test_a_final_ack_alone(climb: Climb) -> None:
    """A lone ACK may be the last of a close or one of many: nothing says which, so the connection is open."""
    story = climb("""
     ms  segment              | client       | server       | marks
      0  > .   100:100 ack 50 | ESTABLISHED? | ESTABLISHED? |
    """)

    assert story.reasons == ["open"]


def test_nothing_answers_an_ack(climb: Climb) -> None:
    """Without a SYN the first ACK takes no number: what comes back afterwards measures no round trip."""
    story = climb("""
     ms  segment              | client       | server       | marks
      0  > .   100:100 ack 50 | ESTABLISHED? | ESTABLISHED? |
      5  < .   50:50  ack 100 |              |              |
    """)

    assert (story.flow("client_rtt_ns"), story.flow("server_rtt_ns")) == (-1, -1)


def test_a_passive_reset_to_a_connection_from_before(climb: Climb) -> None:
    """Data of an old connection draws a RST: nobody is there any more."""
    story = climb("""
     ms  segment              | client       | server       | marks
      0  > P.  100:200 ack 50 | ESTABLISHED? | ESTABLISHED? |
      1  < R   50:50          | CLOSED?      | CLOSED       | reset
    """)

    assert story.reasons == ["aborted"]
    assert story.flow("reset_frame") == 2


def test_a_syn_ack_that_comes_after_the_clients_reset(climb: Climb) -> None:
    """The RST overtook it: the client is closed, though its SYN was not captured."""
    climb("""
     ms  segment            | client       | server
      0  > R   1:1          | CLOSED       |
      1  < S.  0:0    ack 1 |              | SYN_RCVD+
    """)


def test_a_reset_to_an_end_that_has_acknowledged_nothing(climb: Climb) -> None:
    """Which number the server would accept is not known, so any is taken for right."""
    climb("""
     ms  segment              | client       | server       | marks
      0  > P.  100:200 ack 50 | ESTABLISHED? | ESTABLISHED? |
      1  > R.  900:900 ack 50 | CLOSED       | CLOSED?      | reset
    """)


def test_a_fin_just_before_the_end_is_assumed_to_arrive(climb: Climb) -> None:
    """It passed once, shorter before the end than a retransmission time-out: no reason to think it was lost."""
    climb(f"""{OPEN}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT?  |
    900  end
    """)


def test_a_fin_unanswered_for_longer_is_not(climb: Climb) -> None:
    """A second without an answer: it may well have been lost."""
    story = climb(f"""{OPEN}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   |              |
   1100  end
    """)

    assert story.ends == [("FIN_WAIT_1", "ESTABLISHED")]


def test_a_syn_ack_just_before_the_end_is_assumed_to_arrive(climb: Climb) -> None:
    """As with the FIN."""
    climb("""
     ms  segment            | client       | server
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+
      1  < S.  0:0    ack 1 | ESTABLISHED? |
    900  end
    """)


def test_a_syn_ack_twice_unanswered_did_not_arrive(climb: Climb) -> None:
    """The client repeats its SYN too: it is still in SYN_SENT."""
    story = climb("""
     ms  segment            | client   | server
      0  > S   0:0          | SYN_SENT | SYN_RCVD+
      1  < S.  0:0    ack 1 |          |
   1000  > S   0:0          |          |
   1001  < S.  0:0    ack 1 |          |
    """)

    assert story.ends == [("SYN_SENT", "SYN_RCVD")]


def test_a_client_that_stops_repeating_its_syn_had_its_answer(climb: Climb) -> None:
    """The SYN-ACK comes again and again and the SYN does not: the client's ACKs are what is lost."""
    story = climb("""
     ms  segment            | client       | server
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+
      1  < S.  0:0    ack 1 |              |
   1001  < S.  0:0    ack 1 |              |
   3001  < S.  0:0    ack 1 | ESTABLISHED? |
   3500  end
    """)

    assert story.ends == [("ESTABLISHED", "SYN_RCVD")]
    assert story.reasons == ["half-open"]


def test_an_open_connection_is_open_at_the_end(climb: Climb) -> None:
    """Nothing is stuck because the capture stops."""
    story = climb(f"""{OPEN}
  90000  end
    """)

    assert story.reasons == ["open"]


def test_only_one_direction_was_captured(climb: Climb) -> None:
    """The client goes on from its SYN, so there was a SYN-ACK; the server is known by what is acknowledged alone."""
    story = climb("""
     ms  segment               | client       | server                 | marks
      0  > S   0:0             | SYN_SENT     |                        |
     10  > .   1:1     ack 1   | ESTABLISHED+ | SYN_RCVD+ ESTABLISHED? |
     11  > P.  1:101   ack 1   |              |                        |
     30  > .   101:101 ack 501 |              |                        | acked-missing
     40  > F.  101:101 ack 502 | FIN_WAIT_1   | CLOSE_WAIT?            |
     50  > .   102:102 ack 502 |              |                        |
    """)

    assert story.flow("server_packets") == 0
    # One of the 501 numbers that were acknowledged may be the server's FIN.
    assert story.flow("server_unseen") == 500


def test_a_final_ack_lost_before_the_tap_is_not_seen_to_be_lost(climb: Climb) -> None:
    """LAST_ACK stays; the tap cannot tell an ACK that it missed from one that was never sent."""
    story = climb(f"""{OPEN}
     10  > F.  6:6    ack 6 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < F.  6:6    ack 7 | FIN_WAIT_2?  | LAST_ACK     |
   5000  end
    """)

    assert story.ends[0][1] == "LAST_ACK"


def test_a_fin_below_the_first_byte_seen(follow: Climb) -> None:
    """Its number is that before the one that stands for none: it is sent on its own frame like any other."""
    story = follow("""
      0  > P.  100:102  ack 50
      1  > F.  98:98    ack 50
    """)

    assert story.states(2)[0] == "FIN_WAIT_1"


def test_frames_that_are_not_in_the_order_of_their_times(climb: Climb) -> None:
    """The connection ends with the latest of its frames, which is not the last."""
    story = climb("""
     ms  segment              | client       | server
      0  > S   0:0            | SYN_SENT     | SYN_RCVD+
      1  < S.  0:0      ack 1 | ESTABLISHED+ |
      3  > .   1:1      ack 1 |              | ESTABLISHED?
      2  > .   1:1      ack 1 |              |
    """)

    assert story.flow("last_frame") == 4
    assert story.flow("end_ns") == START_NS + 3_000_000
