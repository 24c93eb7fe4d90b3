"""Wireshark's marks one by one: a ladder on which each is made, and one on which it is nearly made.

What they are measured against is tests/test_wireshark_marks.py; here is what decides. The numbers wrap in the middle of
the data, not at its start: Wireshark keeps 0 for "not known yet" (docs/wireshark.md).
"""

from __future__ import annotations

from functools import partial

import pytest

from tests import ladders
from tests.ladders import Climb


@pytest.fixture(params=[(1000, 5000), (2**32 - 30, 2**32 - 60)], ids=["plain", "seq wraps"])
def climb(request: pytest.FixtureRequest) -> Climb:
    """Climbs a ladder from one pair of initial sequence numbers."""
    return partial(ladders.climb, isn=request.param)


OPEN = """
     ms  segment            | client | server | wireshark
      0  > S   0:0  scale 7 | SYN_SENT     | SYN_RCVD+    |
      1  < S.  0:0   ack 1 scale 7 | ESTABLISHED+ |       |
      9  > .   1:1   ack 1 win 500 |       | ESTABLISHED+ |
     10  < P.  1:101 ack 1 win 500 |       |       |
     11  > .   1:1 ack 101 win 500 |       |       |"""
"""Open, 100 bytes of the server's acknowledged; a first round trip of 9 ms; both windows are 500 times 128 bytes."""


def test_retransmission(climb: Climb) -> None:
    """The same bytes again after more than a round trip, and not yet acknowledged; new bytes are none."""
    climb(f"""{OPEN}
     20  > P.  1:61   ack 101 win 500 |              |              |
    250  > P.  1:61   ack 101 win 500 |              |              | retransmission
    260  > P.  61:90  ack 101 win 500 |              |              |
    """)


def test_fast_retransmission(climb: Climb) -> None:
    """Within 20 ms of the second duplicate ACK of its number."""
    climb(f"""{OPEN}
     30  > P.  61:121  ack 101 win 500 |              |              | lost-segment
     31  < .   101:101 ack 1   win 500 |              |              | duplicate-ack
     32  > P.  121:181 ack 101 win 500 |              |              |
     33  < .   101:101 ack 1   win 500 |              |              | duplicate-ack
     50  > P.  1:61    ack 101 win 500 |              |              | fast-retransmission
    """)


def test_not_so_fast_a_retransmission(climb: Climb) -> None:
    """Later than that it is an ordinary one."""
    climb(f"""{OPEN}
     30  > P.  61:121  ack 101 win 500 |              |              | lost-segment
     31  < .   101:101 ack 1   win 500 |              |              | duplicate-ack
     32  > P.  121:181 ack 101 win 500 |              |              |
     33  < .   101:101 ack 1   win 500 |              |              | duplicate-ack
     54  > P.  1:61    ack 101 win 500 |              |              | retransmission
    """)


def test_spurious_retransmission(climb: Climb) -> None:
    """All of it had been acknowledged; a segment of which one byte is not is an ordinary retransmission."""
    climb(f"""{OPEN}
     20  > P.  1:61    ack 101 win 500 |              |              |
     21  < .   101:101 ack 61  win 500 |              |              |
    250  > P.  1:61    ack 101 win 500 |              |              | spurious-retransmission
    260  > P.  61:121  ack 101 win 500 |              |              |
    490  > P.  60:121  ack 101 win 500 |              |              | retransmission
    """)


def test_out_of_order(climb: Climb) -> None:
    """Earlier bytes within the first round trip of the latest ones; after it they are a retransmission."""
    climb(f"""{OPEN}
     20  > P.  61:121  ack 101 win 500 |              |              | lost-segment
     28  > P.  1:61    ack 101 win 500 |              |              | out-of-order
     40  > P.  181:241 ack 101 win 500 |              |              | lost-segment
     50  > P.  121:181 ack 101 win 500 |              |              | retransmission
    """)


def test_a_mark_of_repeated_data_says_how_much(follow: Climb) -> None:
    story = follow(f"""{OPEN.split("wireshark", 1)[1]}
     20  > P.  1:61    ack 101 win 500
     21  < .   101:101 ack 61  win 500
    250  > P.  1:61    ack 101 win 500""")

    assert [value for _, _, value in story.marked("spurious-retransmission")] == [60]


def test_lost_segment(climb: Climb) -> None:
    """A number ahead of what its sender had reached; the next one in order is none."""
    climb(f"""{OPEN}
     20  > P.  2:62    ack 101 win 500 |              |              | lost-segment
     21  > P.  62:122  ack 101 win 500 |              |              |
    """)


def test_acked_unseen(climb: Climb) -> None:
    """An ACK beyond all that was captured; one of exactly that is none."""
    climb(f"""{OPEN}
     20  > P.  1:61    ack 101 win 500 |              |              |
     30  < .   101:101 ack 61  win 500 |              |              |
     40  < .   101:101 ack 99  win 500 |              |              | acked-unseen
    """)


def test_acked_unseen_across_a_hole_by_one_that_was_sent_duplicates(climb: Climb) -> None:
    """Bytes before a hole count as captured up to the hole: what lies beyond is told when it is acknowledged, once."""
    climb(f"""{OPEN}
     20  > P.  61:121  ack 101 win 500 |              |              | lost-segment
     21  < .   101:101 ack 1   win 500 |              |              | duplicate-ack
     22  < P.  201:301 ack 1   win 500 |              |              | lost-segment
     23  > .   121:121 ack 301 win 500 |              |              | acked-unseen
     24  > P.  121:131 ack 301 win 500 |              |              |
    """)


def test_duplicate_ack(climb: Climb) -> None:
    """Nothing new but the ACK, for the second time; with another window it is an update."""
    story = climb(f"""{OPEN}
     20  > .   1:1    ack 101 win 500 |              |              | duplicate-ack
     30  > .   1:1    ack 101 win 500 |              |              | duplicate-ack
     40  > .   1:1    ack 101 win 501 |              |              | window-update
     50  > P.  1:61   ack 101 win 501 |              |              |
    """)

    assert story.marked("duplicate-ack") == [(6, "client", 1), (7, "client", 2)]


def test_keep_alive(climb: Climb) -> None:
    """One below the next number with no or one byte, and its answer; two bytes are no keep-alive."""
    climb(f"""{OPEN}
   5000  > .   0:0    ack 101 win 500 |              |              | keep-alive
   5001  < .   101:101 ack 1  win 500 |              |              | keep-alive-ack
   9000  > .   0:1    ack 101 win 500 |              |              | keep-alive
   9001  < .   101:101 ack 1  win 500 |              |              | keep-alive-ack
   9500  > P.  1:3    ack 101 win 500 |              |              |
    """)


def test_a_fin_is_no_keep_alive(climb: Climb) -> None:
    """Nor is a SYN or a RST, whatever their numbers."""
    climb(f"""{OPEN}
   5000  > F.  0:0    ack 101 win 500 | FIN_WAIT_1   | CLOSE_WAIT?  | retransmission
    """)


def test_window_full(climb: Climb) -> None:
    """Data up to the last byte that the other's window has room for (500 scaled by 7); one byte less is not full."""
    climb(f"""{OPEN}
     20  < P.  101:64100   ack 1 win 500 |              |              |
     21  < P.  64100:64101 ack 1 win 500 |              |              | window-full
     22  > P.  1:64001 ack 64101 win 500 |              |              | window-full
    """)


@pytest.mark.parametrize(("offer", "answer"), [(" scale 7", ""), ("", " scale 7")], ids=["client", "server"])
def test_windows_are_scaled_where_both_ends_do(climb: Climb, offer: str, answer: str) -> None:
    """One that offers it alone must not (RFC 7323, 2.2): 500 are 500 bytes, both ways."""
    climb(f"""
     ms  segment                  | client       | server       | wireshark
      0  > S   0:0{offer}         | SYN_SENT     | SYN_RCVD+    |
      1  < S.  0:0    ack 1{answer} | ESTABLISHED+ |            |
      9  > .   1:1    ack 1 win 500 |            | ESTABLISHED+ |
     10  < P.  1:101  ack 1 win 500 |            |              |
     11  > .   1:1  ack 101 win 500 |            |              |
     20  < P.  101:601 ack 1 win 500 |           |              | window-full
     30  > P.  1:501 ack 601 win 500 |           |              | window-full
    """)


def test_zero_window(climb: Climb) -> None:
    """A window of 0, said again without having been asked; that of a RST means nothing."""
    climb(f"""{OPEN}
     20  > .   1:1    ack 101 win 0 |              |              | zero-window
     25  > .   1:1    ack 101 win 0 |              |              | zero-window
     30  > R   1:1    win 0         | CLOSED       | CLOSED?      |
    """)


def test_zero_window_probe(climb: Climb) -> None:
    """One new byte against a shut window, and the answer that it is still shut; against an open one it is data."""
    climb(f"""{OPEN}
     20  > .   1:1     ack 101 win 0   |              |              | zero-window
    220  < .   101:102 ack 1   win 500 |              |              | zero-window-probe
    221  > .   1:1     ack 101 win 0   |              |              | zero-window zero-window-probe-ack
    400  > .   1:1     ack 101 win 500 |              |              | window-update
    410  < .   101:102 ack 1   win 500 |              |              |
    """)


def test_window_update(climb: Climb) -> None:
    """The same ACK with another window; with a new ACK it is an ACK like any other."""
    climb(f"""{OPEN}
     20  > .   1:1     ack 101 win 600 |              |              | window-update
     21  < P.  101:201 ack 1   win 500 |              |              |
     22  > .   1:1     ack 201 win 700 |              |              |
    """)


def test_port_reuse(climb: Climb) -> None:
    """A SYN with another number on ports that were in use; the same number is a retransmission."""
    climb("""
     ms  segment           | client   | server | wireshark
      0  > S   0:0         | SYN_SENT |        |
   1000  > S   0:0         |          |        | retransmission
   2000  > S   90000:90000 | SYN_SENT |        | port-reuse
    """)
