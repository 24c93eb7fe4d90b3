"""What the rules say of closes and aborts in the forms of 4.4BSD and macOS, Windows, lwIP and gVisor, from segments."""

from __future__ import annotations

import re

import pytest

from pcapflow.anomalies.model import Anomaly, Severity
from tests.anomalies.cases import codes, fires, only, spares
from tests.anomalies.test_every_code_from_segments import Case, anomalies
from tests.ladders import ISNS

OPEN = """
      0  > S   0:0    id 1
      1  < S.  0:0    ack 1
      2  > .   1:1    ack 1 id 2
      5  > P.  1:6    ack 1 id 3
      6  < P.  1:6    ack 6 id 900
      7  > .   6:6    ack 6 id 4
"""
HALF_CLOSED = f"""{OPEN}
     10  > F.  6:6    ack 6 id 5
     11  < .   6:6    ack 7
"""
CROSSED = f"""{OPEN}
     10  > F.  6:6    ack 6
   10.1  < F.  6:6    ack 6
"""
STAMPED = """
      0  > S   0:0    ts 1 ecr 0
      1  < S.  0:0    ack 1 ts 9 ecr 1
      2  > .   1:1    ack 1 ts 2 ecr 9
      5  > P.  1:6    ack 1 ts 5 ecr 9
      6  < P.  1:6    ack 6 ts 15 ecr 5
      7  > .   6:6    ack 6 ts 7 ecr 15
"""


@pytest.fixture(params=list(ISNS.values()), ids=list(ISNS), name="isn")
def isn_(request: pytest.FixtureRequest) -> tuple[int, int]:
    """Each ladder from plain numbers and from some that wrap."""
    isn: tuple[int, int] = request.param
    return isn


def found(ladder: str, isn: tuple[int, int], end_ms: float = 0.0) -> list[Anomaly]:
    """What the catalogue says of a ladder."""
    return anomalies(Case("", ladder, end_ms=end_ms), isn)


# -- PF201 and PF207: a crossed FIN that a second FIN acknowledges (4.4BSD, macOS).


@fires("PF207")
@spares("PF201", "PF205")
def test_a_second_fin_that_acknowledges_the_first_is_the_ack(isn: tuple[int, int]) -> None:
    rows = found(f"{CROSSED} \n 10.9 > F. 6:6 ack 7 \n 11 < F. 6:6 ack 7 \n 12 > . 7:7 ack 7", isn, end_ms=9000)

    assert codes(rows) == {"PF207"}


@fires("PF201")
@spares("PF207")
def test_a_crossed_fin_whose_ack_is_lost_is_told_once(isn: tuple[int, int]) -> None:
    """The server hears nothing more: it stays in CLOSING, and a close that does not end is no simultaneous one."""
    again = "".join(f"\n {ms} < F. 6:6 ack 7" for ms in (215, 615, 1415))

    rows = found(f"{CROSSED} {again}", isn, end_ms=3000)

    assert "CLOSING" in only(rows, "PF201").detail
    assert "PF207" not in codes(rows)


@fires("PF206")
def test_a_half_close_with_an_answer(isn: tuple[int, int]) -> None:
    answer = "100 < P. 6:106 ack 7 \n 101 > . 7:7 ack 106 \n 110 < F. 106:106 ack 7 \n 111 > . 7:7 ack 107"

    assert codes(found(f"{HALF_CLOSED} {answer}", isn)) == {"PF206"}


@fires("PF207")
@spares("PF206")
def test_a_farewell_that_crossed_the_fin_makes_no_half_close(isn: tuple[int, int]) -> None:
    """The server answers QUIT and closes before it has the FIN that came right behind it: its data is older than that.

    So slow is the path that it comes a round trip after the FIN.
    """
    rows = found(
        """
      0    > S   0:0
      300  < S.  0:0     ack 1
      301  > .   1:1     ack 1
      400  > P.  1:7     ack 1
      401  > F.  7:7     ack 1
      742  < P.  1:49    ack 7
      743  < F.  49:49   ack 7
      744  > .   8:8     ack 50
      745  < .   50:50   ack 8
        """,
        isn,
    )

    assert codes(rows) == {"PF207"}


# -- PF301: a RST with ACK for data after a close (Windows, lwIP, gVisor).


@fires("PF301", "PF302")
@pytest.mark.parametrize(
    ("reset", "confidence"),
    [("21 > R. 7:7 ack 106 win 0 id 6", "likely"), ("21 > R. 7:7 ack 106 id 6", "possible"), ("21 > R 7:7", "certain")],
    ids=["windows, gvisor", "lwip", "linux, bsd"],
)
def test_data_for_a_side_that_has_closed(isn: tuple[int, int], reset: str, confidence: str) -> None:
    rows = found(f"{HALF_CLOSED} \n 20.9 < P. 6:106 ack 7 \n {reset}", isn)

    row = only(rows, "PF301")
    assert (row.cause, row.confidence) == ("data-after-close", confidence)
    assert "at least 100 bytes were lost" in row.detail
    assert set(row.frames) == {7, 9, 10}
    assert "100 bytes" in only(rows, "PF302").detail


@pytest.mark.parametrize(
    ("rungs", "cause"),
    [
        # It read the answer in part, a while later it was closed: what its kernel had acknowledged may be unread.
        ("20 < P. 6:106 ack 7 \n 20.1 > . 7:7 ack 106 \n 90 > R. 7:7 ack 106", "unknown"),
        # Linux: a socket that is closed by half is closed wholly when data has just come: stamped, its window open.
        ("", "unread-data"),
    ],
    ids=["acknowledged before", "stamped"],
)
def test_an_abort_of_a_side_that_had_closed_by_half(isn: tuple[int, int], rungs: str, cause: str) -> None:
    ladder = f"{HALF_CLOSED} \n {rungs}"
    if not rungs:
        ladder = f"""{STAMPED}
     10  > F.  6:6    ack 6 ts 10 ecr 15
     11  < .   6:6    ack 7 ts 20 ecr 10
   20.9  < P.  6:106  ack 7 ts 30 ecr 10
     21  > R.  7:7  ack 106 ts 21 ecr 30
        """

    assert only(found(ladder, isn), "PF301").cause == cause


# -- PF301: a RST without ACK that nothing drew (old Windows).


@pytest.mark.parametrize(
    ("rungs", "cause"),
    [
        ("20 > P. 6:43 ack 6 id 5 \n 20.1 > R 43:43 ack 6 win 0 id 6", "linger-zero"),
        ("20 < P. 6:43 ack 6 \n 21 > . 6:6 ack 43 id 5 \n 21.1 > R 6:6 win 0 id 6", "linger-zero"),
        # It answers the data: there is no socket.
        ("20 < P. 6:43 ack 6 \n 21 > R 6:6 win 0", "data-after-close"),
    ],
    ids=["windows xp", "acknowledged a moment before", "linux, bsd"],
)
def test_a_reset_without_ack(isn: tuple[int, int], rungs: str, cause: str) -> None:
    assert only(found(f"{OPEN} \n {rungs}", isn), "PF301").cause == cause


# -- FIN and RST of one side.


@spares("PF212", "PF301")
def test_a_fin_and_a_reset_at_once_cut_no_time_wait_short(isn: tuple[int, int]) -> None:
    rows = found(f"{HALF_CLOSED} \n 20 < F. 6:6 ack 7 \n 20.1 < R. 7:7 ack 7 \n 21 > . 7:7 ack 7", isn)

    assert codes(rows) == set()


@fires("PF212")
def test_a_reset_that_answers_the_last_ack_cuts_time_wait_short(isn: tuple[int, int]) -> None:
    rows = found(f"{HALF_CLOSED} \n 20 < F. 6:6 ack 7 \n 21 > . 7:7 ack 7 \n 300 > . 7:7 ack 7 \n 300.9 < R 7:7", isn)

    assert codes(rows) == {"PF212"}


@fires("PF301")
def test_a_fin_and_a_reset_at_once_are_an_abort_of_its_own(isn: tuple[int, int]) -> None:
    row = only(found(f"{OPEN} \n 10 > F. 6:6 ack 6 \n 10.1 > R. 7:7 ack 6 \n 10.5 < . 6:6 ack 7", isn), "PF301")

    assert (row.cause, row.confidence, row.severity) == ("linger-zero", "possible", Severity.INFO)
    assert "it had closed (frame 7) a moment before, and aborted on purpose" in row.detail


@pytest.mark.parametrize(("often", "cause"), [(5, "retransmission-timeout"), (2, None)])
def test_a_fin_with_data_that_is_repeated_to_exhaustion(isn: tuple[int, int], often: int, cause: str | None) -> None:
    """After two repeats it is no exhaustion, and both sides had closed: there is nothing to tell."""
    again = "".join(f"\n {300 * 2**n} > FP. 6:16 ack 7" for n in range(often))
    end = 300 * 2**often
    closed = "10 < F. 6:6 ack 6 \n 11 > . 6:6 ack 7 \n 12 > FP. 6:16 ack 7"
    rows = found(f"{OPEN} \n {closed} {again} \n {end} > R. 17:17 ack 7 win 0", isn)

    assert "PF212" not in codes(rows)
    assert {row.cause for row in rows if row.code == "PF301"} == ({cause} if cause else set())


# -- PF305: an idle close by the host itself, or by a device.


@fires("PF301")
@spares("PF305")
@pytest.mark.parametrize(("idle_s", "confidence"), [(9, "possible"), (181, "likely")])
def test_an_idle_close_by_the_host_itself(isn: tuple[int, int], idle_s: int, confidence: str) -> None:
    rows = found(f"{OPEN} \n {1000 * idle_s} < R. 6:6 ack 6 id 901", isn)

    row = only(rows, "PF301")
    assert (row.cause, row.confidence, row.severity) == ("idle-timeout", confidence, Severity.INFO)
    assert "is the host's own (TTL, IP identification and window go on from its segment before)" in row.detail
    assert "PF305" not in codes(rows)


@fires("PF305")
@pytest.mark.parametrize(
    ("form", "severity", "confidence"),
    [("id 4711 win 9300 ttl 251", Severity.MEDIUM, "likely"), ("id 4711 win 9300", Severity.LOW, "possible")],
    ids=["another ttl", "another identification"],
)
def test_an_idle_close_by_a_device(isn: tuple[int, int], form: str, severity: Severity, confidence: str) -> None:
    """A load balancer that also sent the SYN-ACK, with the TTL of its RST: the server's own segments have another."""
    opened = re.sub(r"(< S\.  0:0    ack 1)", r"\1 ttl 251" if "ttl" in form else r"\1", OPEN)
    rows = found(f"{opened} \n 180100 < R. 6:6 ack 6 {form}", isn)

    row = only(rows, "PF305")
    assert (row.severity, row.confidence) == (severity, confidence)
    assert ("another TTL than that address's segment before it" in row.detail) == ("ttl" in form)


@pytest.mark.parametrize(
    "rungs",
    [
        # Its question was not answered: it gave up waiting.
        "20 > P. 6:26 ack 6 id 5 \n 21 < . 6:6 ack 26 id 901 \n 9000 > R. 26:26 ack 6 id 6",
        # Programs think for as long.
        "2000 < R. 6:6 ack 6 id 901",
        # Whose it is cannot be told.
        "9000 < R. 6:6 ack 6 id 30000 win 0",
    ],
    ids=["gave up waiting", "short", "another identification"],
)
def test_an_abort_after_a_pause_that_is_no_idle_close(isn: tuple[int, int], rungs: str) -> None:
    assert only(found(f"{OPEN} \n {rungs}", isn), "PF301").cause != "idle-timeout"


# -- PF901: an older connection's ACK.


@spares("PF901")
@pytest.mark.parametrize(
    "ladder",
    [
        "0 > S 0:0 \n 1 < . 77:77 ack 3000000 \n 2 > R 3000000:3000000 \n 9 > S 0:0 \n 10 < S. 0:0 ack 1",
        "0 > S 0:0 \n 1 < P. 77:97 ack 3000000 \n 1000 > S 0:0 \n 1001 < S. 0:0 ack 1 \n 1002 > . 1:1 ack 1",
        "0 > S 0:0 \n 1 < S. 0:0 ack 1 \n 2 > . 1:1 ack 3000000 \n 100 < S. 0:0 ack 1",
    ],
    ids=["ack", "data", "of the client"],
)
def test_an_acknowledgment_that_answers_a_syn_shows_no_gap(isn: tuple[int, int], ladder: str) -> None:
    assert "PF901" not in codes(found(ladder, isn))


@fires("PF901")
def test_an_acknowledgment_of_what_was_not_captured_shows_a_gap(isn: tuple[int, int]) -> None:
    gap = "20 < . 6:6 ack 1449 \n 21 > P. 1449:1500 ack 6 \n 22 < . 6:6 ack 1500"

    row = only(found(f"{OPEN} \n {gap}", isn), "PF901")

    assert "1,443 bytes" in row.detail
    assert row.frames[0] == 7


@fires("PF302")
def test_what_was_sent_again_counts_once(isn: tuple[int, int]) -> None:
    """55 bytes in all, of which 50 passed three times."""
    rows = found(
        f"""{OPEN[: OPEN.index("6  <")]}
      6  < .   1:1   ack 6
     20  > P.  6:56  ack 1
    220  > P.  6:56  ack 1
    620  > P.  6:56  ack 1
    621  < .   1:1   ack 56 win 0
    900  < R.  1:1   ack 56 win 0
        """,
        isn,
    )

    assert "some of the 55 bytes" in only(rows, "PF302").detail


# -- PF301: keep-alives that failed behind the tap; and what cannot be told apart.


@pytest.mark.parametrize(
    ("reset_ms", "cause"), [(3083, "keepalive-timeout"), (2500, "linger-zero")], ids=["when the next is due", "sooner"]
)
def test_a_reset_that_comes_when_the_next_keep_alive_is_due(isn: tuple[int, int], reset_ms: int, cause: str) -> None:
    """The answers pass the tap, and are lost behind it."""
    probes = "".join(f"\n {ms} > . 5:5 ack 6 \n {ms}.1 < . 6:6 ack 6" for ms in (1034, 2058))

    assert only(found(f"{OPEN} {probes} \n {reset_ms} > R. 6:6 ack 6", isn), "PF301").cause == cause


@pytest.mark.parametrize("acknowledged", [False, True])
def test_a_reset_that_alone_acknowledges_the_data_may_come_from_no_socket(
    isn: tuple[int, int], acknowledged: bool
) -> None:
    ack = "20.1 > . 6:6 ack 106" if acknowledged else ""

    row = only(found(f"{OPEN} \n 20 < P. 6:106 ack 6 \n {ack} \n 20.2 > R. 6:6 ack 106", isn), "PF301")

    assert row.cause == "linger-zero"
    assert any("(lwIP)" in other for other in row.alternatives) != acknowledged


def test_an_abort_of_a_side_that_had_closed_while_data_was_on_its_way(isn: tuple[int, int]) -> None:
    """LwIP, late at this tap: it acknowledges the first of three. Whoever leaves data unread sends no FIN."""
    data = "20 < . 6:106 ack 6 \n 20.1 < . 106:206 ack 6 \n 20.2 < P. 206:306 ack 6 \n 60 < . 306:306 ack 7"

    row = only(found(f"{OPEN} \n 10 > F. 6:6 ack 6 id 5 \n {data} \n 90 > R. 7:7 ack 106 id 6", isn), "PF301")

    assert (row.cause, row.confidence) == ("data-after-close", "possible")
    assert "at least 200 bytes were lost" in row.detail
