"""A SYN that an older connection of its ports answers: told as that, with what it cost, and as nothing else."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Severity
from pcapflow.config import Config
from tests.anomalies.cases import codes, fires, only, spares
from tests.anomalies.test_every_code_from_segments import CLOSED, OPEN, Case, anomalies
from tests.ladders import ISNS

CLEARED = """
   {ms}000  > S   70000:70000
   {ms}001  < .   {ack}
   {ms}002  > R   {rst}
   {later}  > S   70000:70000
   {answered}  < S.  90000:90000 ack 70001
   {done}  > .   70001:70001 ack 90001
   {done}  > P.  70001:70009 ack 90001
   {done}  < .   90001:90001 ack 70009
"""
FROM_TIME_WAIT = f"""
      0  > S   0:0
      1  < S.  0:0    ack 1
      2  > .   1:1    ack 1
      3  < F.  1:1    ack 1
      4  > F.  1:1    ack 2
      5  < .   2:2    ack 2
{CLEARED.format(ms=5, ack="2:2 ack 2", rst="2:2", later=6000, answered=6001, done=6002)}
"""
BEFORE_THE_CAPTURE = CLEARED.format(
    ms=0, ack="3000000:3000000 ack 2000000000", rst="2000000000:2000000000", later=1000, answered=1001, done=1002
)
HALF_CLOSED_AFTER = ("0 > F. 1:1 ack 1", "1 < . 1:1 ack 2", "2 < F. 1:1 ack 2", "3 > . 2:2 ack 2")
STILL_OPEN = f"{OPEN}{CLEARED.format(ms=5, ack='1:1 ack 1', rst='1:1', later=6000, answered=6001, done=6002)}"


@fires("PF211")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
@pytest.mark.parametrize(
    ("ladder", "since"),
    [
        (FROM_TIME_WAIT, "5 s after the last one between the same ports had entered TIME_WAIT at the server (frame 5)"),
        (BEFORE_THE_CAPTURE, "from a port that the server still remembered"),
    ],
    ids=["in the capture", "before the capture"],
)
def test_a_challenged_syn_is_told_with_its_delay(ladder: str, since: str, isn: tuple[int, int]) -> None:
    found = anomalies(Case("PF211", ladder), isn)

    row = only(found, "PF211")
    assert codes(found) == {"PF211"}
    assert since in row.detail
    assert "the client reset that" in row.detail
    assert row.detail.endswith("the SYN-ACK came 1 s after the first SYN")
    assert row.severity == Severity.LOW


def test_a_challenge_that_cost_nothing_is_information() -> None:
    quick = FROM_TIME_WAIT.replace("6000 ", "5010 ").replace("6001 ", "5011 ").replace("6002 ", "5012 ")

    assert only(anomalies(Case("PF211", quick), ISNS["plain"]), "PF211").severity == Severity.INFO


def test_a_challenge_that_the_client_never_answers_is_worse() -> None:
    tries = "\n".join(f"{ms} > S 0:0 \n {ms + 1} < . 700:700 ack 900000" for ms in (0, 1000, 3000))
    found = anomalies(Case("PF211", tries, end_ms=7000), ISNS["plain"])

    row = only(found, "PF211")
    assert codes(found) == {"PF211"}
    assert row.severity == Severity.MEDIUM
    assert "the client ignored that" in row.detail
    assert row.detail.endswith("the connection was not opened by the end of the capture")


def test_a_client_that_does_not_try_again_on_these_ports_may_have_others() -> None:
    """Behind a NAT the next SYN leaves from another port."""
    ladder = "0 > S 0:0 \n 1 < . 700:700 ack 900000 \n 2 > R 900000:900000"
    row = only(anomalies(Case("PF211", ladder, end_ms=7000), ISNS["plain"]), "PF211")

    assert row.severity == Severity.LOW
    assert row.detail.endswith("the client reset that (frame 3) and did not try these ports again")


@spares("PF211")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_an_old_syn_that_comes_late_is_no_reuse(isn: tuple[int, int]) -> None:
    """It passes in the middle of the connection, whose TIME_WAIT is still to come."""
    closed = "\n".join(f"{float(rung.split()[0]) + 10} {rung.split(maxsplit=1)[1]}" for rung in HALF_CLOSED_AFTER)
    late = f"{OPEN} \n 5 > S 70000:70000 \n 6 < . 1:1 ack 1 \n {closed}"

    assert "PF211" not in codes(anomalies(Case("PF211", late), isn))


def test_a_challenge_at_the_end_of_the_capture_may_still_be_answered() -> None:
    found = anomalies(Case("PF211", "0 > S 0:0 \n 1 < . 700:700 ack 900000"), ISNS["plain"])

    assert only(found, "PF211").severity == Severity.INFO


@spares("PF211")
@pytest.mark.parametrize(
    "ladder",
    [
        "0 > S 0:0 \n 1 < . 1:1 ack 1 \n 2 > P. 1:6 ack 1 \n 3 < . 1:1 ack 6",
        "0 > S 0:0 \n 1 < . 1:1 ack 501 \n 2 > P. 501:601 ack 1 \n 3 < . 1:1 ack 601",
        "0 > S 0:0 \n 1 < R. 0:0 ack 77 \n 2 < S. 0:0 ack 1 \n 3 > . 1:1 ack 1",
        f"{CLOSED} \n 65000 > S 70000:70000 \n 65001 < S. 90000:90000 ack 70001",
    ],
    ids=["SYN-ACK not captured", "more not captured", "a stray reset", "after TIME_WAIT"],
)
def test_what_is_no_challenge(ladder: str) -> None:
    found = anomalies(Case("PF211", ladder), ISNS["plain"])

    assert all("still remembered" not in row.detail for row in found)
    assert all("old connection" not in row.detail for row in found)


@fires("PF107")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_an_old_connection_is_found_and_reset(isn: tuple[int, int]) -> None:
    found = anomalies(Case("PF107", STILL_OPEN), isn)

    row = only(found, "PF107")
    assert (row.frames, row.severity) == ((4, 5, 6, 7), Severity.LOW)
    assert row.detail.endswith("from its first SYN to the SYN-ACK it took 1 s")
    # The reset of the old connection is information, and says what it was for.
    assert "made room for its next connection" in only(found, "PF301").detail
    assert codes(found) == {"PF107", "PF301"}


@spares("PF107")
def test_a_reset_without_a_new_connection() -> None:
    assert "PF107" not in codes(
        anomalies(
            Case("PF107", f"{OPEN} \n 5000 > R 1:1"),
            ISNS["plain"],
        )
    )


def test_a_reuse_that_the_server_accepts_is_information_whenever_it_comes() -> None:
    ladder = f"{CLOSED} \n 5000 > S 70000:70000 \n 5001 < S. 90000:90000 ack 70001 \n 5002 > . 70001:70001 ack 90001"
    found = anomalies(Case("PF211", ladder, config=Config(msl2_s=10)), ISNS["plain"])

    row = only(found, "PF211")
    assert row.severity == Severity.INFO
    assert row.detail.endswith("it was accepted")
