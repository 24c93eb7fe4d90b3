"""A new incarnation of a pair of addresses and ports is a new flow, and Wireshark's next stream (RFC 9293, 3.5)."""

from __future__ import annotations

import pytest

from tests.ladders import Climb

CLOSED = """
     ms  segment            | client                 | server       | marks
      0  > S   0:0          | SYN_SENT               | SYN_RCVD+    |
      1  < S.  0:0    ack 1 | ESTABLISHED+           |              |
      2  > .   1:1    ack 1 |                        | ESTABLISHED+ |
      3  < F.  1:1    ack 1 | CLOSE_WAIT+            | FIN_WAIT_1   |
      4  > F.  1:1    ack 2 | LAST_ACK               | FIN_WAIT_2+ TIME_WAIT+ |
      5  < .   2:2    ack 2 | CLOSED?                |              |"""
"""Closed by the server, which stays in TIME_WAIT."""


def test_a_syn_with_another_number_is_another_connection(climb: Climb) -> None:
    """Each flow has its own states; the first keeps those it ended with."""
    story = climb(f"""{CLOSED}
   1000  > S   9000:9000          | SYN_SENT     | SYN_RCVD+              |
   1001  < S.  8000:8000 ack 9001 | ESTABLISHED+ |                        |
   1002  > .   9001:9001 ack 8001 |              | ESTABLISHED?           |
    """)

    assert story.ends == [("CLOSED", "TIME_WAIT"), ("ESTABLISHED", "ESTABLISHED")]
    assert list(story.tables.flows["stream"]) == [0, 1]
    assert list(story.tables.flows["first_frame"]) == [1, 7]
    assert list(story.tables.flows["last_frame"]) == [6, 9]


def test_a_syn_sent_again_is_the_same_connection(climb: Climb) -> None:
    """The same number: a retransmission, however late."""
    story = climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     |              |
  60000  > S   0:0          |              | SYN_RCVD+    | syn-repeated
  60001  < S.  0:0    ack 1 | ESTABLISHED+ |              |
  60002  > .   1:1    ack 1 |              | ESTABLISHED? |
    """)

    assert len(story.tables.flows) == 1


def test_a_syn_from_the_other_side_is_the_same_connection(climb: Climb) -> None:
    """A SYN of the side that had sent none yet: a simultaneous open, of which neither SYN-ACK has passed."""
    story = climb("""
     ms  segment   | client    | server    | marks
      0  > S   0:0 | SYN_SENT  | SYN_RCVD? |
      1  < S   0:0 | SYN_RCVD? | SYN_SENT  |
    """)

    assert story.reasons == ["half-open"]


def test_a_syn_challenged_in_time_wait(climb: Climb) -> None:
    """A new SYN meets TIME_WAIT and is answered by the old ACK, reset, and sent again (RFC 9293, 3.10.7.4)."""
    story = climb(f"""{CLOSED}
   1000  > S   9000:9000          | SYN_SENT     |                        |
   1001  < .   2:2    ack 2       |              |                        | challenge-ack
   1002  > R   2:2                |              |                        | reset-of-older
   2000  > S   9000:9000          |              | SYN_RCVD+              | syn-repeated
   2001  < S.  8000:8000 ack 9001 | ESTABLISHED+ |                        |
   2002  > .   9001:9001 ack 8001 |              | ESTABLISHED?           |
    """)

    assert story.ends == [("CLOSED", "TIME_WAIT"), ("ESTABLISHED", "ESTABLISHED")]
    assert story.reasons == ["closed", "open"]
    assert list(story.tables.flows["server_unseen"]) == [0, 0]
    assert list(story.tables.flows["client_unseen"]) == [0, 0]
    assert list(story.tables.flows["reset_frame"]) == [-1, -1]


@pytest.mark.parametrize("answer", ["< .   4000000:4000000 ack 3000000", "< S.  4000000:4000000 ack 3000000"])
def test_a_syn_challenged_for_a_connection_before_the_capture(climb: Climb, answer: str) -> None:
    """The old numbers may lie gigabytes away, on either side, and an old SYN-ACK is answered like an old ACK."""
    story = climb(f"""
     ms  segment                          | client       | server       | marks
      0  > S   0:0                        | SYN_SENT     |              |
      1  {answer}                         |              |              | challenge-ack
      2  > R   3000000:3000000            |              |              | reset-of-older
   1000  > S   0:0                        |              | SYN_RCVD+    | syn-repeated
   1001  < S.  0:0    ack 1               | ESTABLISHED+ |              |
   1002  > .   1:1    ack 1               |              | ESTABLISHED+ |
   1003  > P.  1:6    ack 1               |              |              |
   1004  < .   1:1    ack 6               |              |              |
    """)

    assert story.reasons == ["open"]
    assert (story.flow("client_unseen"), story.flow("server_unseen"), story.flow("reset_frame")) == (0, 0, -1)


def test_a_syn_challenged_again_and_again(climb: Climb) -> None:
    """Whoever drops the ACK never sends the RST, and the way is never cleared: nobody refused anything."""
    story = climb("""
     ms  segment                  | client    | server | marks
      0  > S   0:0                | SYN_SENT  |        |
      1  < .   700:700 ack 900000 |           |        | challenge-ack
   1000  > S   0:0                |           |        | syn-repeated
   1001  < .   700:700 ack 900000 |           |        | challenge-ack
    """)

    assert story.reasons == ["unanswered"]


@pytest.mark.parametrize("late", ["< F.  700:700 ack 3000000000", "< P.  700:790 ack 3000000000"], ids=["FIN", "data"])
def test_an_older_connection_that_goes_on_answers_no_syn(follow: Climb, late: str) -> None:
    """Its FIN or data was under way, or is repeated: of this connection it is not, and it challenges nothing."""
    story = follow(f"""
      0  > S   0:0
   1000  > S   0:0
   1500  {late}
   1501  < S.  0:0  ack 1
   1502  > .   1:1  ack 1
    """)

    assert story.marks(3) == "unexpected"
    assert story.reasons == ["open"]
    assert (story.flow("client_unseen"), story.flow("server_unseen")) == (0, 0)


def test_an_ack_of_what_the_capture_lacks_is_of_this_connection(follow: Climb) -> None:
    """SYN-ACK and request were not captured; the client goes on from what the ACK acknowledges."""
    story = follow("""
      0  > S   0:0
      1  < .   1:1      ack 501
      2  > P.  501:601  ack 1
      3  < .   1:1      ack 601
    """)

    assert story.ends == [("ESTABLISHED", "ESTABLISHED")]
    assert story.flow("client_unseen") == 500


def test_a_reset_of_the_syn_itself_is_of_this_connection(follow: Climb) -> None:
    """Its number goes on from the SYN: whoever sent it gives up this connection, not an older one."""
    story = follow("""
      0  > S   0:0
      1  > R   1:1
    """)

    assert story.marked("reset-of-older") == []


def test_a_lost_client_dials_again(climb: Climb) -> None:
    """The server still has the old connection open: challenge, RST, and the SYN again (RFC 9293, 3.5.1, figure 9)."""
    story = climb("""
     ms  segment                     | client       | server       | marks
      0  > S   0:0                   | SYN_SENT     | SYN_RCVD+    |
      1  < S.  0:0    ack 1          | ESTABLISHED+ |              |
      2  > .   1:1    ack 1          |              | ESTABLISHED? |
   5000  > S   70000:70000           | SYN_SENT     |              |
   5001  < .   1:1    ack 1          |              |              |
   5002  > R   1:1                   | CLOSED       | CLOSED?      | reset
   6000  > S   70000:70000           |              | SYN_RCVD+    | syn-repeated
   6001  < S.  90000:90000 ack 70001 | ESTABLISHED+ |              |
   6002  > .   70001:70001 ack 90001 |              | ESTABLISHED? |
    """)

    assert list(story.tables.flows["stream"]) == [0, 1]
    assert story.ends[1] == ("ESTABLISHED", "ESTABLISHED")


def test_a_client_dials_again_and_the_answer_does_not_pass(climb: Climb) -> None:
    """One direction was captured: the client's own numbers tell to which of its two connections a segment belongs."""
    story = climb("""
     ms  segment                     | client       | server                 | marks
      0  > S   0:0                   | SYN_SENT     |                        |
      1  > .   1:1    ack 1          | ESTABLISHED+ | SYN_RCVD+ ESTABLISHED? |
   5000  > S   70000:70000           | SYN_SENT     |                        |
   5001  > .   1:1    ack 1          |              |                        |
   5002  > .   70001:70001 ack 90001 | ESTABLISHED+ | SYN_RCVD+ ESTABLISHED? |
    """)

    assert list(story.tables.flows["last_frame"]) == [4, 5]


def test_a_client_dials_again_and_is_refused(climb: Climb) -> None:
    """The server knows nothing of the old connection, which was open: what the RST acknowledges is the new SYN."""
    story = climb("""
     ms  segment                     | client       | server       | marks
      0  > S   0:0                   | SYN_SENT     | SYN_RCVD+    |
      1  < S.  0:0    ack 1          | ESTABLISHED+ |              |
      2  > .   1:1    ack 1          |              | ESTABLISHED? |
   5000  > S   70000:70000           | SYN_SENT     |              |
   5001  < R.  0:0    ack 70001      | CLOSED?      |              | reset
    """)

    assert story.reasons == ["open", "refused"]


def test_the_port_is_marked_as_reused(climb: Climb) -> None:
    """As Wireshark does, on the first frame of the new flow."""
    story = climb(f"""{CLOSED}
   1000  > S   9000:9000    | SYN_SENT     |                        |
    """)

    assert story.marked("port-reuse") == [(7, "client", 0)]


SMALL = """
     ms  segment                   | client                 | server       | marks
      0  > S   0:0          id 65535 | SYN_SENT             | SYN_RCVD+    |
      1  < S.  0:0    ack 1        | ESTABLISHED+           |              |
      2  > .   1:1    ack 1  id 1  |                        | ESTABLISHED+ |
      3  < F.  1:1    ack 1        | CLOSE_WAIT+            | FIN_WAIT_1   |
      4  > F.  1:1    ack 2  id 2  | LAST_ACK               | FIN_WAIT_2+ TIME_WAIT+ |
      5  < .   2:2    ack 2        | CLOSED?                |              |"""
"""The client counts its packets (IP identification) and uses no time stamps, as lwIP, Contiki and old BSDs."""

STAMPED = """
     ms  segment                    | client                 | server       | marks
      0  > S   0:0           ts 4294967000 | SYN_SENT        | SYN_RCVD+    |
      1  < S.  0:0    ack 1  ts 9000 | ESTABLISHED+          |              |
      2  > .   1:1    ack 1  ts 4294967002 |                 | ESTABLISHED+ |
      3  < F.  1:1    ack 1  ts 9003 | CLOSE_WAIT+           | FIN_WAIT_1   |
      4  > F.  1:1    ack 2  ts 4294967004 | LAST_ACK        | FIN_WAIT_2+ TIME_WAIT+ |
      5  < .   2:2    ack 2  ts 9005 | CLOSED?               |              |"""
"""The same with time stamps, which wrap soon."""


@pytest.mark.parametrize("ms", [100, 14_000])
@pytest.mark.parametrize(("closed", "word"), [(SMALL, "id 3"), (SMALL, "id 9000"), (STAMPED, "ts 84")])
def test_a_syn_with_the_same_number_that_was_sent_later_is_another_connection(
    climb: Climb, closed: str, word: str, ms: int
) -> None:
    """Its sender had closed by then: no host sends a SYN again once it is answered. Wireshark sees one stream."""
    story = climb(f"""{closed}
   {ms}  > S   0:0          {word} | SYN_SENT     | SYN_RCVD+    |
   {ms + 1}  < S.  8000:8000 ack 1  | ESTABLISHED+ |              |
   {ms + 2}  > .   1:1 ack 8001     |              | ESTABLISHED? |
   {ms + 3}  > S   7000:7000        | SYN_SENT     |              |
    """)

    assert story.ends[:2] == [("CLOSED", "TIME_WAIT"), ("ESTABLISHED", "ESTABLISHED")]
    assert list(story.tables.flows["first_frame"]) == [1, 7, 10]
    assert list(story.tables.flows["stream"]) == [0, 0, 1]
    assert [frame for frame, _, _ in story.marked("port-reuse")] == [7, 10]


@pytest.mark.parametrize("ms", [100, 14_000])
@pytest.mark.parametrize(
    ("closed", "word"),
    [
        (SMALL, "id 65535"),
        (SMALL, "id 2"),
        (SMALL, "id 0"),
        (SMALL, "id 40000"),
        (SMALL.replace("id 65535", "id 30000"), "id 30001"),
        (SMALL.replace("id 65535", "id 10000"), "id 5"),
        (STAMPED, "ts 4294967000 id 7"),
        (STAMPED, "ts 4294967003 id 7"),
        (STAMPED, "id 7"),
        (CLOSED, "id 7"),
        (CLOSED, ""),
    ],
)
@pytest.mark.parametrize("answer", ["", "< .   2:2 ack 2", "< R   2:2"], ids=["nothing", "an ACK", "a RST"])
def test_a_late_copy_of_the_syn_is_of_the_old_connection(
    follow: Climb, closed: str, word: str, ms: int, answer: str
) -> None:
    """A copy of the SYN, or of one sent again, is older than the end; where nothing says what it is, it is one."""
    rungs = [rung for rung in closed.splitlines() if ":" in rung]
    story = follow("\n".join([*rungs, f"{ms} > S 0:0 {word}", f"{ms + 1} {answer}" if answer else ""]))

    assert story.ends[0][0] == "CLOSED"
    assert len(story.tables.flows) == 1
    assert story.marked("port-reuse") == []


def test_a_small_stack_answers_the_challenge_by_a_reset_with_ack(climb: Climb) -> None:
    """The server is in TIME_WAIT; lwIP sets ACK on each RST, and the new SYN is sent again with its old number."""
    story = climb(f"""{SMALL}
    100  > S   0:0          id 3   | SYN_SENT     |              |
    101  < .   2:2    ack 2        |              |              | challenge-ack
    102  > R.  2:2    ack 2 id 4   |              |              | reset-of-older
    103  > S   0:0          id 5   |              | SYN_RCVD+    | syn-repeated
    104  < S.  8000:8000 ack 1     | ESTABLISHED+ |              |
    105  > .   1:1 ack 8001  id 6  |              | ESTABLISHED+ |
    106  > P.  1:2 ack 8001  id 7  |              |              |
    107  < .   8001:8001 ack 2     |              |              |
    """)

    assert story.reasons == ["closed", "open"]
    assert list(story.tables.flows["client_data_segments_again"]) == [0, 0]
    assert list(story.tables.flows["client_retransmitted"]) == [0, 1]
    assert list(story.tables.flows["stream"]) == [0, 0]
    assert list(story.tables.flows["reset_frame"]) == [-1, -1]


@pytest.mark.parametrize("old", ["2000", "4294960000"], ids=["higher", "lower"])
def test_a_small_stack_resets_what_was_open_before_the_capture(climb: Climb, old: str) -> None:
    """The number that its RST takes from the challenge lies above that of its SYN or below; its SYN has another."""
    story = climb(f"""
     ms  segment                          | client       | server       | marks
      0  > S   0:0                        | SYN_SENT     |              |
      1  < .   700:700    ack {old}       |              |              | challenge-ack
      2  > R.  {old}:{old} ack 700        |              |              | reset-of-older
   1000  > S   0:0                        |              | SYN_RCVD+    | syn-repeated
   1001  < S.  0:0    ack 1               | ESTABLISHED+ |              |
   1002  > .   1:1    ack 1               |              | ESTABLISHED? |
    """)

    assert (story.reasons, story.flow("reset_frame")) == (["open"], -1)


def test_a_reset_with_ack_that_answers_no_challenge_is_of_this_connection(follow: Climb) -> None:
    """It acknowledges something else than the ACK before it sent: the client aborts what the capture lacks."""
    story = follow("""
      0  > S   0:0
      1  < .   1:1      ack 501
      2  > R.  501:501  ack 301
    """)

    assert story.marked("reset-of-older") == []
    assert story.flow("reset_frame") == 3


@pytest.mark.parametrize("refusal", ["< R.  0:0 ack 1", "< S.  0:0 ack 1", "< S.  0:0 ack 1\n 2 > R 1:1 id 2"])
def test_a_syn_that_was_not_taken_up_is_sent_again(follow: Climb, refusal: str) -> None:
    """Windows dials again with the same SYN when it is refused; who never left SYN_SENT may always send it again."""
    story = follow(f"""
      0  > S   0:0  id 1
      1  {refusal}
    500  > S   0:0  id 3
    """)

    assert len(story.tables.flows) == 1


def test_a_syn_that_goes_on_while_the_connection_is_open(follow: Climb) -> None:
    """A proxy opens the server's side with the client's number: nobody has closed, and it is one connection."""
    story = follow("""
      0  > S   0:0          id 1
      1  < S.  0:0    ack 1
      2  > .   1:1    ack 1 id 2
      3  > S   0:0          id 3
    """)

    assert len(story.tables.flows) == 1


@pytest.mark.parametrize("end", ["> R. 1:1 ack 1 id 3", "> F. 1:1 ack 1 id 3", "< R 1:1"])
def test_a_small_stack_dials_again_whatever_ended_its_connection(follow: Climb, end: str) -> None:
    """By its own RST or the server's; or it has given up its FIN, and the server may hold the old connection."""
    story = follow(f"""
      0  > S   0:0          id 1
      1  < S.  0:0    ack 1
      2  > .   1:1    ack 1 id 2
      3  {end}
   9000  > S   0:0          id 9
   9001  < S.  8000:8000 ack 1
   9002  > .   1:1 ack 8001 id 10
    """)

    assert story.ends[1:] == [("ESTABLISHED", "ESTABLISHED")]
    assert list(story.tables.flows["last_frame"]) == [4, 7]


def test_after_a_reset_without_identification_nothing_tells(follow: Climb) -> None:
    """A SYN sent again, and under way for long, is newer than the first one: by that alone no connection begins."""
    story = follow("""
      0  > S   0:0          id 1
      1  < S.  0:0    ack 1
      2  > .   1:1    ack 1 id 3
      3  < F.  1:1    ack 1
      4  > R   1:1
    900  > S   0:0          id 2
    """)

    assert len(story.tables.flows) == 1
