"""What the path has shown is assumed of it: after several ACKs lost in a row the next is not thought to arrive."""

from __future__ import annotations

import pytest

from tests.ladders import Climb

OPEN = """
      0  > S   0:0
      1  < S.  0:0    ack 1
      2  > .   1:1    ack 1
      3  > P.  1:6    ack 1
      4  < .   1:1    ack 6"""
CLOSING = f"""{OPEN}
     10  > F.  6:6    ack 1
     11  < .   1:1    ack 7
     20  < F.  1:1    ack 7
     21  > .   7:7    ack 2"""
REPEATS_MS = (220, 620, 1420, 3020, 6220)


def repeated(times: int, end_ms: int = 0) -> str:
    """The server's FIN so many times more, each time answered on the wire."""
    rungs = [f"{ms} < F. 1:1 ack 7 \n {ms + 1} > . 7:7 ack 2" for ms in REPEATS_MS[:times]]
    return "\n".join([CLOSING, *rungs, *([f"{end_ms} end"] if end_ms else [])])


@pytest.mark.parametrize(
    ("ladder", "state"),
    [
        (repeated(0), "CLOSED"),
        (repeated(2), "CLOSED"),
        (repeated(3), "LAST_ACK"),
        (repeated(5), "LAST_ACK"),
        (repeated(3, end_ms=3_000), "LAST_ACK"),
        (repeated(3, end_ms=4_100), "CLOSED"),
        (repeated(5, end_ms=120_000), "LAST_ACK"),
    ],
    ids=[
        "none lost",
        "two lost",
        "three lost",
        "five lost",
        "three lost, the next repeat not due",
        "three lost, the next repeat overdue",
        "five lost, and given up",
    ],
)
def test_the_final_ack(follow: Climb, ladder: str, state: str) -> None:
    assert follow(ladder).ends == [("TIME_WAIT", state)]


def test_the_ack_of_the_first_fin(follow: Climb) -> None:
    rungs = "\n".join(f"{ms} > F. 6:6 ack 1 \n {ms + 1} < . 1:1 ack 7" for ms in (10, *REPEATS_MS[:3]))

    assert follow(f"{OPEN}\n{rungs}").ends == [("FIN_WAIT_1", "CLOSE_WAIT")]


def test_what_is_proven_stays_however_many_were_lost(follow: Climb) -> None:
    """The server's FIN reached the client after the ACK of its own, which it answers."""
    rungs = "\n".join(f"{ms} > F. 6:6 ack 1 \n {ms + 1} < . 1:1 ack 7" for ms in (10, *REPEATS_MS[:3]))

    assert follow(f"{OPEN}\n{rungs}\n 1500 < F. 1:1 ack 7 \n 1501 > . 7:7 ack 2").ends == [("TIME_WAIT", "CLOSED")]


def test_the_ack_of_the_syn_ack(follow: Climb) -> None:
    """As a listener with a full queue does it, which drops the ACK itself."""
    rungs = "\n".join(f"{ms} < S. 0:0 ack 1 \n {ms + 1} > . 1:1 ack 1" for ms in (1, 1001, 3001, 7001))
    story = follow(f"0 > S 0:0 \n {rungs}")

    assert story.ends == [("ESTABLISHED", "SYN_RCVD")]
    assert story.reasons == ["half-open"]


def test_losses_of_the_handshake_say_nothing_of_the_close(follow: Climb) -> None:
    """The path has recovered meanwhile: data went both ways."""
    rungs = "\n".join(f"{ms} < S. 0:0 ack 1 \n {ms + 1} > . 1:1 ack 1" for ms in (1, 1001, 3001, 7001))
    closed = """
   7010  > P.  1:6    ack 1
   7011  < .   1:1    ack 6
   7020  > F.  6:6    ack 1
   7021  < F.  1:1    ack 7
   7022  > .   7:7    ack 2"""

    assert follow(f"0 > S 0:0 \n {rungs} \n {closed}").ends == [("TIME_WAIT", "CLOSED")]
