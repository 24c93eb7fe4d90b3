"""The longest silence of a connection, which idle time-outs are told by."""

from __future__ import annotations

from tests.ladders import Climb


def test_the_longest_silence_and_who_broke_it(climb: Climb) -> None:
    story = climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+    |
      1  < S.  0:0    ack 1 | ESTABLISHED+ |              |
      2  > .   1:1    ack 1 |              | ESTABLISHED+ |
    900  > P.  1:6    ack 1 |              |              |
   2900  < P.  1:6    ack 6 |              |              |
   2901  > .   6:6    ack 6 |              |              |
   4901  > P.  6:11   ack 6 |              |              |
   4902  < .   6:6    ack 11 |             |              |
    """)

    silence = [story.flow(f"idle_{name}") for name in ("ns", "frame", "endpoint")]
    # A second one of the same length changes nothing.
    assert silence == [2_000_000_000, 5, 1]


def test_one_segment_alone_is_no_silence(climb: Climb) -> None:
    story = climb("""
     ms  segment            | client       | server       | marks
   1000  > S   0:0          | SYN_SENT     |              |
    """)

    assert [story.flow(f"idle_{name}") for name in ("ns", "frame", "endpoint")] == [0, -1, -1]
