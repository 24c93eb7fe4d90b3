"""The conversation of the two programs: turns, answers, pauses, what is owed in a silence, the quiet before the end."""

from __future__ import annotations

import pytest

from fixtures.ladder import START_NS
from pcapflow.tables.moments import Moments
from pcapflow.tcp.owed import OWED_NAMES
from pcapflow.tcp.states import ENDPOINT_NAMES
from tests.ladders import Climb, Story

HANDSHAKE = """
      0  > S   0:0
      1  < S.  0:0    ack 1
      2  > .   1:1    ack 1
"""
EXCHANGE = """
     10  > P.  1:101  ack 1
     11  < .   1:1    ack 101
     40  < P.  1:501  ack 101
     41  > .   101:101 ack 501
"""
CLOSE = """
     60  > F.  101:101 ack 501
     61  < F.  501:501 ack 102
     62  > .   102:102 ack 502
"""


def ms(ns: int) -> float:
    """A duration in milliseconds; -1 stays."""
    return ns / 1_000_000 if ns >= 0 else ns


def columns(story: Story, *names: str) -> list[float]:
    """Durations of the only flow in milliseconds, and moments likewise, counted from the ladder's start."""
    values = []
    for name in names:
        value = story.flow(name)
        is_moment = name.endswith(("_end_ns", "data_ns", "close_ns")) and value >= 0
        values.append(ms(value - START_NS if is_moment else value))
    return values


def moment(story: Story, name: str) -> float:
    """One of the derived durations of the only flow, in milliseconds."""
    (value,) = getattr(Moments(story.tables), name)
    return ms(int(value))


def owed(story: Story) -> str:
    """What was owed in the longest silence, and by whom."""
    by = story.flow("idle_owed_by")
    return OWED_NAMES[story.flow("idle_owed")] + (f" by {ENDPOINT_NAMES[by]}" if by >= 0 else "")


# Turns and answers


def test_of_several_answers_the_slowest_counts(follow: Climb) -> None:
    """From the last segment of the request, not its first; two in one direction are one turn."""
    story = follow(f"""{HANDSHAKE}
     10  > P.  1:101    ack 1
     20  > P.  101:201  ack 1
     21  < .   1:1      ack 201
     60  < P.  1:501    ack 201
     61  < P.  501:1001 ack 201
    100  > P.  201:301  ack 1001
    400  < P.  1001:1501 ack 301
    401  > .   301:301  ack 1501
    500  > P.  301:401  ack 1501
    510  < P.  1501:1601 ack 401
    """)

    assert story.flow("turns") == 5
    assert columns(story, "answer_ns") == [300]
    assert story.flow("answer_frame") == 10
    assert columns(story, "client_first_data_ns", "client_data_ns") == [10, 500]
    assert columns(story, "server_first_data_ns", "server_data_ns") == [60, 510]


def test_what_is_repeated_is_no_turn_and_no_answer(follow: Climb) -> None:
    """The request again, the answer again, and a keep-alive with a byte that had passed."""
    story = follow(f"""{HANDSHAKE}{EXCHANGE}
    300  > P.  1:101    ack 1
    600  < P.  1:501    ack 101
    900  > .   100:101  ack 501
    901  < .   501:501  ack 101
    """)

    assert story.flow("turns") == 1
    assert columns(story, "answer_ns", "pause_ns", "pause_end_ns") == [30, 30, 40]
    assert columns(story, "client_data_ns", "server_data_ns") == [10, 40]


def test_a_client_that_takes_its_time_answers_nothing(follow: Climb) -> None:
    story = follow(f"""{HANDSHAKE}
     10  < P.  1:21     ack 1
   5010  > P.  1:11     ack 21
   5020  < P.  21:31    ack 11
    """)

    assert (story.flow("turns"), columns(story, "answer_ns", "pause_ns")) == (2, [10, 5000])


def test_one_way_payload_takes_no_turns(follow: Climb) -> None:
    story = follow(f"""{HANDSHAKE}
     10  > P.  1:101    ack 1
     20  > P.  101:201  ack 1
    """)

    assert (story.flow("turns"), columns(story, "answer_ns", "pause_ns")) == (0, [-1, 10])
    assert columns(story, "server_first_data_ns", "server_data_ns") == [-1, -1]


def test_without_payload_there_is_nothing(follow: Climb) -> None:
    story = follow(HANDSHAKE)

    assert story.flow("turns") == 0
    names = ("answer_ns", "pause_ns", "pause_end_ns", "client_first_data_ns", "close_ns", "quiet_ns", "answer_frame")
    assert [story.flow(name) for name in names] == [-1] * len(names)
    assert (moment(story, "first_byte_ns"), moment(story, "quiet_before_close_ns")) == (-1, -1)


# The handshake and the first byte


def test_the_handshake_lasts_from_the_first_syn_to_the_ack_that_completes_it(follow: Climb) -> None:
    story = follow("""
      0  > S   0:0
   1000  > S   0:0
   1001  < S.  0:0    ack 1
   1003  > .   1:1    ack 1
   1500  > P.  1:11   ack 1
    """)

    assert moment(story, "handshake_ns") == 1003


def test_an_ack_that_was_lost_completes_nothing(follow: Climb) -> None:
    """The server repeats its SYN-ACK: the ACK of that one does."""
    story = follow("""
      0  > S   0:0
      1  < S.  0:0    ack 1
      2  > .   1:1    ack 1
   1001  < S.  0:0    ack 1
   1002  > .   1:1    ack 1
   1500  < P.  1:11   ack 1
    """)

    assert moment(story, "handshake_ns") == 1002


@pytest.mark.parametrize(
    "rungs",
    [
        "0 > S 0:0",
        "0 > S 0:0\n 1 < S. 0:0 ack 1",
        "0 > S 0:0\n 1 < R. 0:0 ack 1",
        "0 < S. 0:0 ack 1\n 1 > . 1:1 ack 1\n 2 > P. 1:5 ack 1",
        "0 > P. 1:5 ack 1\n 1 < P. 1:5 ack 5",
    ],
    ids=["unanswered", "half-open", "refused", "SYN not captured", "midstream"],
)
def test_without_a_whole_handshake_there_is_no_time_of_it(follow: Climb, rungs: str) -> None:
    assert moment(follow(rungs), "handshake_ns") == -1


def test_the_first_byte_answers_the_first_request(follow: Climb) -> None:
    assert moment(follow(HANDSHAKE + EXCHANGE), "first_byte_ns") == 30


def test_a_server_that_speaks_first_is_waited_for_since_the_handshake(follow: Climb) -> None:
    story = follow(f"""{HANDSHAKE}
   3002  < P.  1:21     ack 1
   3010  > P.  1:11     ack 21
   3900  < P.  21:31    ack 11
    """)

    assert moment(story, "first_byte_ns") == 3000


def test_a_capture_that_begins_in_an_answer_does_not_tell_the_first_byte(follow: Climb) -> None:
    story = follow("""
      0  < P.  1:21     ack 1
      1  > .   1:1      ack 21
    """)

    assert moment(story, "first_byte_ns") == -1


# What was owed in the longest silence


@pytest.mark.parametrize(
    ("rungs", "expected"),
    [
        ("0 > S 0:0\n 1000 > S 0:0", "ack by server"),
        ("0 > S 0:0\n 1 < S. 0:0 ack 1\n 1000 < S. 0:0 ack 1", "ack by client"),
        (f"{HANDSHAKE}\n 1000 > P. 1:5 ack 1", "nothing"),
        (f"{HANDSHAKE}\n 10 > P. 1:5 ack 1\n 1000 > P. 1:5 ack 1", "ack by server"),
        (f"{HANDSHAKE}\n 10 > P. 1:5 ack 1\n 11 < . 1:1 ack 5\n 1000 < P. 1:5 ack 5", "answer by server"),
        (f"{HANDSHAKE}\n 10 > P. 1:5 ack 1\n 11 < . 1:1 ack 5\n 1000 > . 4:5 ack 1", "answer by server"),
        (f"{HANDSHAKE}{EXCHANGE}\n 1000 < F. 501:501 ack 101", "answer by client"),
        (f"{HANDSHAKE}{EXCHANGE}\n 60 < P. 501:601 ack 101\n 1000 < P. 501:601 ack 101", "ack by client"),
        (f"{HANDSHAKE}{EXCHANGE}\n 60 < F. 501:501 ack 101\n 1000 < F. 501:501 ack 101", "ack by client"),
        (
            f"{HANDSHAKE}{EXCHANGE}\n 60 < F. 501:501 ack 101\n 61 > . 101:101 ack 502\n 1000 > F. 101:101 ack 502",
            "close by client",
        ),
        (
            f"{HANDSHAKE}{EXCHANGE}\n 60 > F. 101:101 ack 501\n 61 < . 501:501 ack 102\n 1000 < P. 501:601 ack 102",
            "close by server",
        ),
        (
            f"{HANDSHAKE}\n 10 > P. 1:5 ack 1\n 11 < P. 1:5 ack 1\n 1000 < P. 1:5 ack 5",
            "ack by client",
        ),
        (
            f"{HANDSHAKE}\n 10 < P. 1:5 ack 1\n 11 > P. 1:5 ack 1\n 1000 < P. 1:5 ack 1",
            "ack by server",
        ),
        (f"{HANDSHAKE}{EXCHANGE}\n 60 > R 101:101\n 1000 > R 101:101", "nothing"),
        (f"{HANDSHAKE}{EXCHANGE}{CLOSE}\n 1000 < . 502:502 ack 102", "nothing"),
        ("0 > P. 1:5 ack 1\n 1000 > P. 5:9 ack 1", "nothing"),
        ("0 > S 0:0\n 1 > . 1:1 ack 1\n 2 > P. 1:5 ack 1\n 1000 > P. 5:9 ack 30", "nothing"),
    ],
    ids=[
        "a SYN",
        "a SYN-ACK",
        "nobody spoke yet",
        "a request that was not acknowledged",
        "a request that was",
        "broken by a keep-alive",
        "between two exchanges",
        "an answer that was not acknowledged",
        "a FIN that was not acknowledged",
        "a FIN that was",
        "half-closed",
        "both, the server last",
        "both, the client last",
        "after a reset",
        "after both FINs",
        "one direction alone, midstream",
        "one direction alone",
    ],
)
def test_what_is_owed_and_by_whom(follow: Climb, rungs: str, expected: str) -> None:
    story = follow(rungs)

    assert story.flow("idle_ns") >= 900_000_000
    assert owed(story) == expected


# The quiet before the end


@pytest.mark.parametrize(
    ("rungs", "quiet"),
    [
        ("5041 < F. 501:501 ack 101", 5001),
        ("5041 < R 501:501", 5001),
        ("5041 < FP. 501:525 ack 101", 5001),
        ("5041 < P. 501:525 ack 101\n 5041 < F. 525:525 ack 101", 5001),
        ("5041 > P. 101:125 ack 501\n 5042 > F. 125:125 ack 501", 5001),
        ("5041 > P. 101:125 ack 501\n 5042 < P. 501:525 ack 125\n 5043 > F. 125:125 ack 525", 1),
        ("5041 > P. 101:125 ack 501\n 7041 > F. 125:125 ack 501", 2000),
        ("2000 > . 100:101 ack 501\n 2001 < . 501:501 ack 101\n 5041 < F. 501:501 ack 101", 5001),
        ("60 > P. 101:201 ack 501\n 5041 < P. 501:901 ack 201\n 5042 < F. 901:901 ack 201", 1),
        ("5041 < F. 501:501 ack 101\n 5041 > P. 101:201 ack 501", 5001),
        ("5041 < F. 501:501 ack 101\n 5042 > P. 101:201 ack 502\n 5043 < R 502:502", 5001),
    ],
    ids=[
        "FIN",
        "RST",
        "closing words with the FIN",
        "closing words before the FIN",
        "closing words of the client",
        "a goodbye that is answered",
        "words long before the FIN",
        "keep-alives",
        "a slow answer is none",
        "a request that crosses the FIN",
        "FIN, then RST",
    ],
)
def test_how_long_no_payload_had_passed_when_the_close_began(follow: Climb, rungs: str, quiet: float) -> None:
    story = follow(f"{HANDSHAKE}{EXCHANGE}\n{rungs}")

    assert moment(story, "quiet_before_close_ns") == quiet


def test_a_connection_that_never_spoke_was_quiet_since_its_handshake(follow: Climb) -> None:
    story = follow(f"{HANDSHAKE}\n 5002 < F. 1:1 ack 1")

    assert columns(story, "close_ns", "quiet_ns") == [5002, -1]
    assert moment(story, "quiet_before_close_ns") == 5000


def test_a_refused_connection_was_never_quiet(follow: Climb) -> None:
    story = follow("0 > S 0:0\n 1 < R. 0:0 ack 1")

    assert columns(story, "close_ns") == [1]
    assert moment(story, "quiet_before_close_ns") == -1


@pytest.mark.parametrize(
    ("rungs", "close", "quiet"),
    [("", -1, -1), ("6100 < F. 505:505 ack 105", 6100, 94)],
    ids=["goes on", "closes later"],
)
def test_a_reset_that_was_none_of_the_endpoints_own_begins_no_close(
    follow: Climb, rungs: str, close: float, quiet: float
) -> None:
    """Somebody else's: the endpoint goes on to speak."""
    story = follow(f"""{HANDSHAKE}{EXCHANGE}
   5041  > R   101:101
   6000  > P.  101:105 ack 501
   6001  < .   501:501 ack 105
   6006  < P.  501:505 ack 105
   6007  > .   105:105 ack 505
   {rungs}
    """)

    assert columns(story, "close_ns") == [close]
    assert moment(story, "quiet_before_close_ns") == quiet
