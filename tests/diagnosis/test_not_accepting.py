"""PI103 not-accepting."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Severity
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import OPEN, Connection, incidents, only, repeated, told
from tests.diagnosis.outages import ANSWERED, at
from tests.ladders import ISNS

WAITING = f"""{OPEN}
      3     > P.  1:11   ack 1
      4     < .   1:1    ack 11
      8000  > F.  11:11  ack 1
      8001  < .   1:1    ack 12
"""
"""Taken by the kernel, and never answered."""
UNHEARD = """
      0     > S   0:0
      1000  > S   0:0
      3000  > S   0:0
      7000  > S   0:0
"""
LET_IN = """
      0     > S   0:0
      1000  > S   0:0
      3000  > S   0:0
      3001  < S.  0:0    ack 1
      3002  > .   1:1    ack 1
      3003  > P.  1:11   ack 1
      3004  < .   1:1    ack 11
      5000  < P.  1:21   ack 11
      5001  < F.  21:21  ack 11
      5002  > F.  11:11  ack 22
      5003  < .   22:22  ack 12
"""
IGNORED = f"""{OPEN}
      3     > P.  1:11   ack 1
      300   > P.  1:11   ack 1
      900   > P.  1:11   ack 1
      2100  > P.  1:11   ack 1
      4500  > P.  1:11   ack 1
"""
RESET = f"""{OPEN}
      3   > P.  1:11   ack 1
      4   < R   1:1    win 0
"""


def slow(answer_ms: float) -> str:
    """Answered late, and closed then."""
    return f"""{OPEN}
      3                > P.  1:11   ack 1
      4                < .   1:1    ack 11
      {answer_ms}      < P.  1:21   ack 11
      {answer_ms + 1}  < F.  21:21  ack 11
      {answer_ms + 2}  > F.  11:11  ack 22
      {answer_ms + 3}  < .   22:22  ack 12
    """


@fires("PI103")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
@pytest.mark.parametrize(
    ("turned_away", "says"),
    [(UNHEARD, "had to send the SYN again and got no answer"), (IGNORED, "not acknowledged"), (RESET, "reset within")],
    ids=["SYNs unanswered", "data ignored", "reset"],
)
def test_a_listener_that_accepts_nobody_is_one_incident(turned_away: str, says: str, isn: tuple[int, int]) -> None:
    connections = [
        *repeated(WAITING, 5, apart_ms=100),
        *repeated(turned_away, 6, apart_ms=150, at_ms=800, first_port=41_000),
    ]
    found = incidents(connections, end_ms=10_000, isn=isn)

    starving = only(found, "not-accepting")
    assert starving.headline == (
        "198.51.100.2:80 stopped accepting connections: since 00:00:00 UTC it turned away 6 of 11 connections, and 5 "
        "others wait in its queue without an answer."
    )
    assert starving.blame.text == "server 198.51.100.2:80"
    assert starving.severity == Severity.HIGH
    assert says in " | ".join(observation.text for observation in starving.why)
    assert any("(about 4 now)" in remedy.text for remedy in starving.remedy)
    assert [incident.pattern for incident in found] == ["not-accepting"]


@fires("PI103")
def test_a_server_that_takes_its_clients_one_by_one_accepts_too_slowly() -> None:
    connections = [at(10 * i, slow(1000 * (i + 1)), 40_000 + i) for i in range(5)]
    connections += [at(60 + 10 * i, LET_IN, 41_000 + i) for i in range(4)]

    starving = only(incidents(connections, end_ms=10_000), "not-accepting")
    assert starving.headline == (
        "198.51.100.2:80 accepts connections too slowly: since 00:00:00 UTC 4 of 9 connections waited up to 3 s to "
        "get in, and answers took up to 5 s."
    )
    assert starving.severity == Severity.MEDIUM


@fires("PI103")
def test_a_host_that_was_not_heard_again_may_be_down_instead() -> None:
    silent = WAITING.split("      8000", maxsplit=1)[0]
    connections = [*repeated(silent, 5), *repeated(UNHEARD, 6, at_ms=800, first_port=41_000)]

    starving = only(incidents(connections, end_ms=10_000), "not-accepting")
    assert starving.confidence == "possible"
    assert any("the host may be down" in text for text in starving.against)


@spares("PI103")
def test_a_port_on_which_no_connection_ever_works_is_filtered() -> None:
    found = incidents(repeated(UNHEARD, 8), end_ms=10_000)

    assert not told(found, "not-accepting")


@spares("PI103")
def test_a_dead_host_acknowledges_nothing() -> None:
    dead = f"""{ANSWERED}
      500   > P.  11:21  ack 21
      800   > P.  11:21  ack 21
      1400  > P.  11:21  ack 21
      2600  > P.  11:21  ack 21
    """
    silent = WAITING.split("      8000", maxsplit=1)[0]
    connections = [*repeated(dead, 4), at(490, silent, 40_500), *repeated(UNHEARD, 6, at_ms=800, first_port=41_000)]

    assert not told(incidents(connections, end_ms=10_000), "not-accepting")


@spares("PI103")
def test_a_slow_server_that_takes_everybody_has_a_queue_that_is_long_enough() -> None:
    connections = [at(10 * i, slow(1000 * (i + 1)), 40_000 + i) for i in range(9)]

    assert not told(incidents(connections, end_ms=12_000), "not-accepting")


@spares("PI103")
def test_two_lost_syns_among_many_slow_answers_are_loss() -> None:
    connections = [at(10 * i, slow(1500 + 100 * i), 40_000 + i) for i in range(30)]
    connections += [at(100 + 10 * i, LET_IN, 41_000 + i) for i in range(2)]

    assert not told(incidents(connections, end_ms=12_000), "not-accepting")


@spares("PI103")
def test_connections_to_another_port_say_nothing_of_this_one() -> None:
    connections: list[Connection] = [
        *repeated(WAITING, 5),
        *repeated(UNHEARD, 6, at_ms=800, first_port=41_000, server=("198.51.100.2", 81)),
    ]

    assert not told(incidents(connections, end_ms=10_000), "not-accepting")


HANGS = """
      0  > S   0:0     mss 1460
      1  < S.  0:0     ack 1  mss 1460
      2  > .   1:1     ack 1
     10  > P.  1:1461  ack 1
    210  > .   1:1461  ack 1
    610  > .   1:1461  ack 1
   1410  > .   1:1461  ack 1
   3010  > .   1:1461  ack 1
   6210  > .   1:1461  ack 1
"""


@spares("PI103")
def test_where_only_large_segments_are_ignored_the_path_loses_them() -> None:
    connections = [*repeated(HANGS, 3), *repeated(slow(910), 2, first_port=50_000)]

    assert not told(incidents(connections, end_ms=10_000), "not-accepting")


def turned_away(rst: str) -> list[Connection]:
    """Five connections on which nothing is said, and three that end with this rung."""
    return [
        *repeated(OPEN, 5, apart_ms=10),
        *repeated(f"{OPEN}\n{rst}", 3, apart_ms=10, at_ms=100, first_port=41_000),
    ]


@fires("PI103")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_several_that_are_reset_at_the_end_of_their_handshake_found_a_full_queue(isn: tuple[int, int]) -> None:
    found = incidents(turned_away("3 < R 1:1 win 0"), isn=isn)

    full = only(found, "not-accepting")
    assert full.headline == (
        "198.51.100.2:80 did not take 3 of 8 connections: since 00:00:00 UTC it reset them at the end of their "
        "handshake, as a full queue does."
    )
    assert full.severity == Severity.MEDIUM
    assert full.why[1].text.startswith("5 connections were open to it then")
    assert any("tcp_abort_on_overflow" in remedy.text for remedy in full.remedy)
    assert [incident.pattern for incident in found] == ["not-accepting"]


@spares("PI103")
@pytest.mark.parametrize("rst", ["1900 < R 1:1 win 0", "3 < R. 1:1 ack 1"], ids=["later", "by a program"])
def test_a_reset_of_another_moment_or_kind_is_no_full_queue(rst: str) -> None:
    assert not told(incidents(turned_away(rst)), "not-accepting")


@spares("PI103")
def test_two_resets_at_the_end_of_handshakes_may_be_chance() -> None:
    connections = [*repeated(OPEN, 5), *repeated(f"{OPEN}\n3 < R 1:1 win 0", 2, first_port=41_000)]

    assert not told(incidents(connections), "not-accepting")
