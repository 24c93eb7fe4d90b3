"""PI104 slow-server."""

from __future__ import annotations

import dataclasses

import pytest

from pcapflow.anomalies.model import Severity
from pcapflow.payload.said import Said
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import OPEN, Connection, incidents, only, told
from tests.diagnosis.outages import at
from tests.ladders import ISNS


def answered(after_ms: float, repeats: str = "") -> str:
    """One request and its answer."""
    return f"""{OPEN}
      3                > P.  1:11   ack 1
      {"" if repeats else "4  < .  1:1  ack 11"}{repeats}
      {after_ms + 3}   < P.  1:21   ack 11
      {after_ms + 4}   > .   11:11  ack 21
      {after_ms + 50}  > F.  11:11  ack 21
      {after_ms + 51}  < F.  21:21  ack 12
      {after_ms + 52}  > .   12:12  ack 22
    """


def several(*after_ms: float, every_ms: float = 400, first_port: int = 40_000) -> list[Connection]:
    """Connections one after another, with these times to the answer."""
    return [at(every_ms * i, answered(after), first_port + i) for i, after in enumerate(after_ms)]


@fires("PI104")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_answers_that_take_seconds_over_a_short_path_are_slow(isn: tuple[int, int]) -> None:
    found = incidents(several(2100, 2500, 20, 3300, 2800, 30, 4100, 3700), isn=isn)

    slow = only(found, "slow-server")
    assert slow.headline == (
        "198.51.100.2:80 answers slowly: on 6 of 8 connections the first byte of an answer came after 2.1 s to 4.1 s, "
        "since 00:00:00 UTC."
    )
    assert slow.blame.text == "server 198.51.100.2:80"
    assert slow.severity == Severity.LOW
    texts = " | ".join(observation.text for observation in slow.why)
    assert "the slowest on each of 8 connections: median 2.8 s, nine of ten within 4.1 s, at most 4.1 s" in texts
    assert "on 2 other connections of this server no answer took longer than 30 ms" in texts


@fires("PI104")
def test_answers_that_grow_with_the_open_connections_need_mending() -> None:
    few = several(*(100 + 10 * i for i in range(12)), every_ms=500)
    many = [at(7000 + 10 * i, answered(2100 + 150 * i), 41_000 + i) for i in range(12)]

    slow = only(incidents([*few, *many]), "slow-server")
    assert slow.severity == Severity.MEDIUM
    assert any("it grows with the load" in observation.text for observation in slow.why)


@fires("PI104")
def test_one_slow_answer_is_only_worth_knowing() -> None:
    assert only(incidents(several(7000)), "slow-server").severity == Severity.INFO


@fires("PI104")
def test_single_answers_that_all_take_the_same_time_end_a_wait_for_something_else() -> None:
    slow = only(incidents(several(4000, 4003, 4001, 4010, 4002)), "slow-server")

    assert any("the slow ones all took 4 s: it is a timer" in observation.text for observation in slow.why)
    assert "gives that up after 4 s" in slow.remedy[0].text


POLLED = f"""{OPEN}
      3      > P.  1:11   ack 1
      4      < .   1:1    ack 11
      4003   < P.  1:21   ack 11
      4010   > P.  11:21  ack 21
      4011   < .   21:21  ack 21
      8012   < P.  21:41  ack 21
      8020   > P.  21:31  ack 41
      8021   < .   41:41  ack 31
      12022  < P.  41:61  ack 31
"""


@fires("PI104")
def test_clients_that_ask_again_for_what_always_takes_the_same_time_may_be_polling() -> None:
    polling = only(incidents([at(300 * i, POLLED, 40_000 + i) for i in range(4)]), "slow-server")

    assert polling.headline == (
        "198.51.100.2:80 answers after 4 s each time on 4 connections, whose clients ask again at once, since "
        "00:00:00 UTC: long polling, or a wait that always ends in the same time-out."
    )
    assert (polling.severity, polling.confidence, polling.blame.kind) == (Severity.INFO, "possible", "nobody")


@spares("PI104")
def test_a_server_that_was_asked_to_wait_is_not_slow() -> None:
    connections = [at(300 * i, POLLED, 40_000 + i) for i in range(4)]
    said = [
        Said(flow=flow, protocol="redis", what="redis: BLPOP", request="BLPOP", request_frame=4) for flow in range(4)
    ]

    assert not told(incidents(connections, said=said), "slow-server")
    as_paths = [dataclasses.replace(each, protocol="http", request="GET /wait") for each in said]
    assert told(incidents(connections, said=as_paths), "slow-server")


@spares("PI104")
def test_a_server_that_speaks_of_its_own_accord_later_on_is_not_slow() -> None:
    keepalives = f"""{OPEN}
      3      > P.  1:11   ack 1
      4      < P.  1:21   ack 11
      5      > P.  11:21  ack 21
      60000  < P.  21:41  ack 21
      60001  > P.  21:31  ack 41
    """
    assert not told(incidents([at(0, keepalives, 40_000)]), "slow-server")


@spares("PI104")
def test_a_few_subscriptions_among_many_requests_do_not_make_a_server_slow() -> None:
    connections = [*several(*(10.0 + i for i in range(60))), *several(5000, 9000, first_port=42_000)]

    assert not told(incidents(connections), "slow-server")


@spares("PI104")
def test_a_request_that_had_to_be_sent_again_was_late_because_of_the_path() -> None:
    lost = "".join(f"{ms}  > P.  1:11  ack 1\n" for ms in (300, 900, 2100))
    connections = [at(400 * i, answered(2200 + 200 * i, lost), 40_000 + i) for i in range(5)]

    assert not told(incidents(connections), "slow-server")


@spares("PI104")
def test_an_answer_over_a_long_path_is_not_slow() -> None:
    far = """
         0  > S   0:0
       700  < S.  0:0    ack 1
       701  > .   1:1    ack 1
       702  > P.  1:11   ack 1
      2800  < P.  1:21   ack 11
      2801  > .   11:11  ack 21
    """
    assert not told(incidents([at(400 * i, far, 40_000 + i) for i in range(5)]), "slow-server")


@spares("PI104")
def test_a_server_that_does_not_accept_in_time_is_told_as_that() -> None:
    late = """
         0  > S   0:0
      1000  > S   0:0
      1001  < S.  0:0    ack 1
      1002  > .   1:1    ack 1
      1003  > P.  1:11   ack 1
      1004  < .   1:1    ack 11
      4000  < P.  1:21   ack 11
    """
    connections = [*several(2500, 3500, 4500, every_ms=10), *(at(50 + i, late, 41_000 + i) for i in range(3))]

    found = incidents(connections, end_ms=9000)
    assert told(found, "not-accepting")
    assert not told(found, "slow-server")


@spares("PI104")
@pytest.mark.parametrize("opened", [True, False], ids=["the server spoke first", "the beginning is not captured"])
def test_words_of_a_servers_own_are_no_slow_answer(opened: bool) -> None:
    """A person at a prompt, and a keep-alive of BGP, come when they come."""
    words = f"""{OPEN}
      7000   < P.  1:4    ack 1
      7001   > .   1:1    ack 4
      7002   > P.  1:20   ack 4
      7003   < .   4:4    ack 20
      13000  < P.  4:10   ack 20
    """ if opened else """
      0      > P.  1:20   ack 1
      1      < .   1:1    ack 20
      6000   < P.  1:20   ack 20
      6001   > .   20:20  ack 20
    """  # fmt: skip
    assert not told(incidents([Connection(words)]), "slow-server")


@fires("PI104")
@pytest.mark.parametrize(("count", "words"), [(1, "its answers begin within"), (12, "nine of ten answers begin")])
def test_nine_of_ten_are_spoken_of_where_there_are_ten(count: int, words: str) -> None:
    slow = only(incidents(several(*(4000 + 300 * i for i in range(count)))), "slow-server")

    assert any(words in remedy.text for remedy in slow.remedy)


def events(every_ms: float, count: int) -> str:
    """One question, and words that come one after another without any further question."""
    words = "".join(
        f"""
      {3 + every_ms * (i + 1)}  < P.  {1 + 20 * i}:{21 + 20 * i}   ack 11
      {4 + every_ms * (i + 1)}  > .   11:11  ack {21 + 20 * i}"""
        for i in range(count)
    )
    return f"{OPEN}\n      3  > P.  1:11   ack 1\n      4  < .   1:1    ack 11{words}\n"


@spares("PI104")
def test_a_server_that_tells_of_events_now_and_then_is_not_slow() -> None:
    assert not told(incidents([at(300 * i, events(2500, 4), 40_000 + i) for i in range(3)]), "slow-server")


@fires("PI104")
def test_a_late_answer_in_many_segments_is_slow_all_the_same() -> None:
    answer = "".join(f"{5003 + 10 * i}  < P.  {1 + 20 * i}:{21 + 20 * i}  ack 11\n" for i in range(20))
    late = f"{OPEN}\n      3  > P.  1:11   ack 1\n      4  < .   1:1    ack 11\n{answer}"

    assert told(incidents([at(300 * i, late, 40_000 + i) for i in range(3)]), "slow-server")


@spares("PI104")
def test_a_refused_log_in_that_is_answered_late_on_purpose_is_not_slow() -> None:
    refusals = [
        Said(
            flow=flow, protocol="imap", what="imap LOGIN: NO AUTHENTICATIONFAILED", error="Authentication failed.",
            error_code="AUTHENTICATIONFAILED", error_by=1, error_frame=6 + 10 * flow,
        )
        for flow in range(4)
    ]  # fmt: skip
    connections = several(3000, 3500, 3100, 3900, every_ms=5000)

    assert told(incidents(connections), "slow-server")
    assert not told(incidents(connections, said=refusals), "slow-server")


@fires("PI104")
def test_workers_that_are_woken_by_the_request_of_another_are_only_worth_knowing() -> None:
    workers = [at(10 * i, answered(2990 - 10 * i), 40_000 + i) for i in range(3)]
    pushes = at(2985, answered(1), 41_000)
    slow = only(incidents([*workers, pushes], end_ms=20_000), "slow-server")

    assert slow.severity == Severity.INFO
    assert "as workers wait for a job" in slow.against[0]


@fires("PI104")
def test_a_server_that_was_halted_keeps_waiting_whoever_asks_meanwhile() -> None:
    waiting = [at(500 * i, answered(3990 - 500 * i), 40_000 + i) for i in range(8)]
    after = at(3989, answered(1), 41_000)
    slow = only(incidents([*waiting, after], end_ms=20_000), "slow-server")

    assert slow.severity > Severity.INFO


@fires("PI104")
def test_a_queue_that_fills_is_no_timer() -> None:
    """Each waits for those before it: once as many ask as ever, all wait equally long."""
    slow = only(incidents(several(900, 1700, 2500, 2501, 2502, 2500, 2503, every_ms=900)), "slow-server")

    assert not any("it is a timer" in observation.text for observation in slow.why)
    assert "find the slow requests" in slow.remedy[0].text
