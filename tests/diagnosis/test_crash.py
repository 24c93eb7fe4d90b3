"""PI102 crash."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Severity
from pcapflow.payload.said import Said
from pcapflow.tcp.states import SERVER
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import incidents, only, told
from tests.diagnosis.outages import ANSWERED, asked, at, idle, lasting, refusals, unaccepted
from tests.ladders import ISNS


def reset_at_work(reset_ms: float) -> str:
    """A request lies unread in an accepted connection when the process dies."""
    return f"""{ANSWERED}
      {reset_ms - 3}  > P.  11:21  ack 21
      {reset_ms - 2}  < .   21:21  ack 21
      {reset_ms}      < R.  21:21  ack 21
    """


@fires("PI102")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_requests_cut_off_in_one_moment_and_refusals_after_are_a_crash(isn: tuple[int, int]) -> None:
    connections = [
        at(0, asked(4000), 40_000),
        at(500, asked(3501, 700), 40_001),
        at(900, reset_at_work(3102), 40_002),
        at(1000, idle(3001), 40_003),
        *refusals(4100, 8),
        at(6000, ANSWERED, 41_000),
    ]
    found = incidents(connections, end_ms=9000, isn=isn)

    crash = only(found, "crash")
    assert crash.headline == (
        "198.51.100.2:80 broke off its work at 00:00:04 UTC and accepted again 1.9 s later: 8 connection attempts of "
        "192.0.2.1 were refused and 3 requests under way got no answer."
    )
    assert crash.blame.text == "server 198.51.100.2:80"
    assert crash.severity == Severity.MEDIUM
    assert crash.confidence == "likely"
    assert any("a stop on purpose" in text for text in crash.against)
    assert [incident.pattern for incident in found] == ["crash"]


@fires("PI102")
def test_a_server_that_is_not_back_when_the_capture_ends_is_down() -> None:
    connections = [at(0, idle(4000), 40_000), at(0, idle(4000), 40_001), *refusals(4100, 20)]

    down = only(incidents(connections, end_ms=9000), "crash")
    assert down.headline == (
        "198.51.100.2:80 stopped at 00:00:04 UTC and was not back when the capture ended 5 s later: 20 connection "
        "attempts of 192.0.2.1 were refused and 2 open connections were closed."
    )
    assert down.severity == Severity.HIGH
    assert any("do not tell a stop on purpose from a crash" in text for text in down.against)


def test_one_refusal_at_the_end_of_a_capture_says_little() -> None:
    connections = [at(0, idle(3900), 40_000), *refusals(4000, 1)]

    assert only(incidents(connections, end_ms=4100), "crash").severity == Severity.LOW


@fires("PI102")
def test_requests_of_one_worker_are_cut_off_while_others_go_on() -> None:
    connections = [
        at(0, asked(4000, 900), 40_000),
        at(100, asked(3901, 400), 40_001),
        at(200, asked(3801, 100), 40_002),
        *(at(300 + i, lasting(9000), 41_000 + i) for i in range(5)),
        at(5000, ANSWERED, 42_000),
    ]

    worker = only(incidents(connections, end_ms=60_000), "crash")
    assert worker.headline == (
        "A worker of 198.51.100.2:80 died at 00:00:04 UTC: 3 of its 8 open connections were ended in one moment, 3 of "
        "them with a request unanswered, and the others went on."
    )
    assert worker.severity == Severity.MEDIUM


@fires("PI102")
def test_a_server_that_dies_again_and_again_is_one_incident() -> None:
    connections = []
    for i in range(6):
        start = 3000.0 * i
        connections += [at(start, asked(1000), 40_000 + i), at(start + 100, idle(901), 41_000 + i)]
        connections += refusals(start + 1100, 4, 300, 50_000 + 10 * i)

    loop = only(incidents(connections, end_ms=22_000), "crash")
    assert loop.headline == (
        "198.51.100.2:80 went away 6 times between 00:00:01 UTC and 00:00:16 UTC, for 1.9 s each, and was not back "
        "when the capture ended: 24 connection attempts of 192.0.2.1 were refused and 6 requests under way got no "
        "answer."
    )
    assert loop.severity == Severity.HIGH
    assert loop.count == 36


@fires("PI102")
def test_workers_that_die_one_after_the_other_are_one_incident() -> None:
    connections = [at(300 + i, lasting(15_000), 42_000 + i) for i in range(5)]
    for i, death in enumerate((4000, 9000)):
        for k, waited in enumerate((900, 400, 100)):
            connections.append(at(100 * k, asked(death - 100 * k + k, waited), 40_000 + 10 * i + k))

    workers = only(incidents(connections, end_ms=60_000), "crash")
    assert workers.headline == (
        "Workers of 198.51.100.2:80 died twice between 00:00:04 UTC and 00:00:09 UTC, while others went on: 6 requests "
        "got no answer."
    )


@spares("PI102")
def test_a_server_that_ends_idle_connections_and_comes_back_was_restarted() -> None:
    connections = [at(0, idle(4000), 40_000), *refusals(4100, 8), at(6000, ANSWERED, 41_000)]

    assert [incident.pattern for incident in incidents(connections, end_ms=9000)] == ["restart"]


@spares("PI102")
def test_a_request_in_the_queue_of_a_closed_listener_is_no_crash() -> None:
    connections = [
        at(0, idle(4000), 40_000),
        at(3800, unaccepted(201), 40_001),
        *refusals(4100, 8),
        at(6000, ANSWERED, 41_000),
    ]

    assert [incident.pattern for incident in incidents(connections, end_ms=9000)] == ["restart"]


@spares("PI102")
def test_requests_that_all_waited_for_the_same_time_ran_into_a_time_out() -> None:
    connections = [
        *(at(i, asked(5000, 3000), 40_000 + i) for i in range(4)),
        *(at(300 + i, lasting(9000), 41_000 + i) for i in range(5)),
        at(6000, ANSWERED, 42_000),
    ]

    assert not told(incidents(connections, end_ms=60_000), "crash")


@spares("PI102")
def test_one_connection_that_ends_without_an_answer_while_others_go_on_is_no_crash() -> None:
    connections = [
        at(0, asked(4000), 40_000),
        *(at(300 + i, lasting(9000), 41_000 + i) for i in range(5)),
        at(5000, ANSWERED, 42_000),
    ]

    assert not told(incidents(connections, end_ms=60_000), "crash")


@spares("PI102")
def test_a_goodbye_of_the_client_is_no_request() -> None:
    goodbye = f"""{ANSWERED}
      4000    > P.  11:16  ack 21
      4000.5  < F.  21:21  ack 16
      4001    > F.  16:16  ack 22
      4002    < .   22:22  ack 17
    """
    connections = [
        at(0, goodbye, 40_000),
        at(100, goodbye.replace("400", "390"), 40_001),
        at(500, lasting(9000), 40_002),
        at(5000, ANSWERED, 42_000),
    ]

    assert not told(incidents(connections, end_ms=60_000), "crash")


def test_the_words_with_which_a_server_ended_its_connections_are_told() -> None:
    connections = [at(0, asked(4000, 900), 40_000), at(700, idle(3301), 40_001), at(5000, ANSWERED, 41_000)]
    word = Said(
        flow=1, protocol="postgres", what="postgres: WARNING 57P02 crash of another server process",
        error="crash of another server process", error_code="57P02", error_by=SERVER, error_frame=9,
    )  # fmt: skip

    crash = only(incidents(connections, end_ms=60_000, said=[word]), "crash")
    told_words = [observation for observation in crash.why if "57P02" in observation.text]
    assert [observation.frames for observation in told_words] == [(9,)]
