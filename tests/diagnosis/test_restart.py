"""PI101 restart."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Severity
from pcapflow.diagnosis.model import Incident
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import OPEN, Connection, incidents, only, repeated, told
from tests.diagnosis.outages import (
    ANSWERED,
    CLOSED_BY_CLIENT,
    REFUSED,
    at,
    idle,
    lasting,
    refusals,
    unaccepted,
)
from tests.ladders import ISNS, SERVER

DATABASE = (SERVER[0], 5432)


def texts(incident: Incident) -> str:
    return " | ".join(observation.text for observation in incident.why)


@fires("PI101")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_a_server_that_refuses_between_two_that_it_accepts_was_restarted(isn: tuple[int, int]) -> None:
    connections = [
        at(0, idle(3000), 40_000),
        at(500, idle(2503), 40_001),
        *refusals(3100, 10, 200),
        at(5050, ANSWERED, 41_000),
        at(5300, ANSWERED, 41_001),
    ]
    found = incidents(connections, end_ms=8000, isn=isn)

    restart = only(found, "restart")
    assert restart.headline == (
        "198.51.100.2:80 was restarted at 00:00:03 UTC and was away for 1.9 s: 10 connection attempts of 192.0.2.1 "
        "were refused and 2 open connections were closed."
    )
    assert restart.blame.text == "server 198.51.100.2:80"
    assert restart.severity == Severity.MEDIUM
    assert restart.confidence == "certain"
    assert restart.count == 12
    assert "at least 1.8 s and at most 2 s" in texts(restart)
    assert any("killed while nothing is asked" in text for text in restart.against)
    assert [incident.pattern for incident in found] == ["restart"]


@fires("PI101")
def test_a_stop_that_waits_for_answers_and_leaves_one_in_the_queue_is_a_restart() -> None:
    graceful = f"""{ANSWERED}
      2000  > P.  11:21  ack 21
      2001  < P.  21:41  ack 21
      2002  < F.  41:41  ack 21
      2003  > F.  21:21  ack 42
      2004  < .   42:42  ack 22
    """
    connections = [
        at(0, graceful, 40_000),
        at(200, graceful, 40_001),
        at(400, graceful, 40_002),
        at(1900, unaccepted(510), 40_003),
        *refusals(2420, 5),
        at(4000, ANSWERED, 41_000),
    ]

    restart = only(incidents(connections, end_ms=7000), "restart")
    assert "1 request under way got no answer" in restart.headline
    assert "that the program has not accepted yet" in texts(restart)


@fires("PI101")
def test_ports_of_one_host_that_go_away_together_are_one_restart_of_the_host() -> None:
    connections = [
        at(0, idle(3000), 40_000),
        at(0, idle(3050), 40_001, DATABASE),
        *refusals(3100, 4),
        *refusals(3150, 4, port=51_000, server=DATABASE),
        at(5000, ANSWERED, 41_000),
        at(5500, ANSWERED, 41_001, DATABASE),
    ]

    restart = only(incidents(connections, end_ms=9000), "restart")
    assert restart.headline.startswith("198.51.100.2 (ports 80 and 5432) was restarted at 00:00:03 UTC")
    assert restart.blame == ("host", "198.51.100.2", "server")
    assert restart.count == 10


def test_two_ports_are_told_apart_where_a_third_goes_on() -> None:
    third = (SERVER[0], 22)
    connections = [
        at(0, idle(3000), 40_000),
        at(0, idle(3050), 40_001, DATABASE),
        at(0, lasting(4000), 40_002, third),
        *refusals(3100, 4),
        *refusals(3150, 4, port=51_000, server=DATABASE),
        at(5000, ANSWERED, 41_000),
        at(5500, ANSWERED, 41_001, DATABASE),
    ]

    found = told(incidents(connections, end_ms=9000), "restart")
    assert sorted(restart.blame.who for restart in found) == ["198.51.100.2:5432", "198.51.100.2:80"]


@fires("PI101")
def test_a_host_that_comes_back_without_its_memory_was_restarted() -> None:
    forgotten = f"""{ANSWERED}
      3500  > P.  11:21  ack 21
      3800  > P.  11:21  ack 21
      4400  > P.  11:21  ack 21
      5600  > P.  11:21  ack 21
      5601  < R   21:21  win 0
    """
    late = """
         0  > S   0:0
      1000  > S   0:0
      3000  > S   0:0
      3001  < S.  0:0   ack 1
      3002  > .   1:1   ack 1
      3003  > P.  1:11  ack 1
      3004  < P.  1:21  ack 11
    """
    connections = [at(0, forgotten, 40_000), at(100, forgotten, 40_001), at(2300, late, 40_002)]

    restart = only(incidents(connections, end_ms=9000), "restart")
    assert restart.headline == (
        "The host of 198.51.100.2:80 was restarted: silent for 3 s from 00:00:02 UTC on, it came back without its "
        "connections; 1 connection attempt of 192.0.2.1 got no answer and 2 requests under way got no answer."
    )
    assert restart.blame == ("host", "198.51.100.2", "server")


@fires("PI101")
def test_a_database_that_closes_all_at_once_was_restarted_though_nobody_was_refused() -> None:
    written = f"""{ANSWERED}
      {{close}}    < F.  21:21  ack 11
      {{later}}    > P.  11:21  ack 22
      {{reset}}    < R   22:22  win 0
    """
    connections = []
    for i, start in enumerate((0, 700, 1900, 2500)):
        close = 4000 - start + i
        ladder = written.format(close=close, later=close + 200, reset=close + 201)
        connections.append(at(start, ladder, 40_000 + i, DATABASE))
    connections += [at(4400, ANSWERED, 41_000, DATABASE), at(30_000, ANSWERED, 41_001, DATABASE)]

    restart = only(incidents(connections, end_ms=40_000), "restart")
    assert restart.headline == (
        "198.51.100.2:5432 was restarted at 00:00:04 UTC and accepted again at once: 4 open connections were closed."
    )
    assert restart.severity == Severity.LOW
    assert "on 4 of them the client sent more after the end" in texts(restart)
    assert any("leaves the same packets" in text for text in restart.against)


@fires("PI101")
def test_connections_that_had_been_silent_for_longer_before_did_not_run_into_a_time_out() -> None:
    busy = f"""{ANSWERED}
      2000  > P.  11:21  ack 21
      2001  < P.  21:41  ack 21
      2002  > .   21:21  ack 41
      2500  < F.  41:41  ack 21
      2501  > F.  21:21  ack 42
      2502  < .   42:42  ack 22
    """
    connections = [*repeated(busy, 5, apart_ms=1, server=DATABASE), at(2600, ANSWERED, 41_000, DATABASE)]

    restart = only(incidents(connections, end_ms=20_000), "restart")
    assert restart.severity == Severity.INFO
    assert "5 open connections were closed" in restart.headline


@fires("PI101")
def test_a_server_that_its_clients_waited_for_was_started_late() -> None:
    connections = [*refusals(0, 5, 500), at(2600, ANSWERED, 41_000), at(2900, ANSWERED, 41_001)]

    late = only(incidents(connections, end_ms=6000), "restart")
    assert late.headline == (
        "198.51.100.2:80 was not running yet when its clients came: 5 connection attempts of 192.0.2.1 were refused "
        "for 2.6 s, and from 00:00:02 UTC on it accepted."
    )
    assert late.severity == Severity.LOW


@spares("PI101")
def test_a_graceful_reload_lets_its_connections_finish() -> None:
    connections = [
        at(0, idle(4000), 40_000),
        at(600, idle(3400), 40_001),
        at(1300, idle(2700), 40_002),
        at(3500, lasting(2500), 40_003),
        at(4100, ANSWERED, 41_000),
    ]

    assert not told(incidents(connections, end_ms=9000), "restart")


@spares("PI101")
def test_idle_connections_of_a_web_server_that_end_at_once_may_be_a_reload() -> None:
    connections = [
        *(at(start, idle(4000 - start), 40_000 + start) for start in (0, 600, 1300, 2100)),
        at(4100, ANSWERED, 41_000),
    ]

    assert not told(incidents(connections, end_ms=60_000), "restart")


@spares("PI101")
def test_one_connection_that_ends_while_others_go_on_is_no_restart() -> None:
    connections = [at(0, idle(3000), 40_000), at(0, lasting(6000), 40_001), at(4000, ANSWERED, 41_000)]

    assert not told(incidents(connections, end_ms=9000), "restart")


@spares("PI101")
def test_clients_that_close_by_themselves_are_no_restart() -> None:
    connections = [*repeated(CLOSED_BY_CLIENT, 6, apart_ms=0.5, server=DATABASE), at(1000, ANSWERED, 41_000, DATABASE)]

    assert not told(incidents(connections, end_ms=30_000), "restart")


@spares("PI101")
def test_an_idle_time_out_of_connections_that_fell_silent_together_is_no_restart() -> None:
    connections = [
        *repeated(idle(10_000), 6, apart_ms=0.5, server=DATABASE),
        at(12_000, ANSWERED, 41_000, DATABASE),
    ]

    assert not told(incidents(connections, end_ms=90_000), "restart")


@spares("PI101")
def test_a_limit_that_refuses_now_and_then_is_no_restart() -> None:
    connections = [at(0, lasting(20_000), 40_000)]
    for i in range(8):
        connections += [
            at(1000 * i + 300, CLOSED_BY_CLIENT, 41_000 + i),
            *refusals(1000 * i + 500, 2, 50, 51_000 + 9 * i),
        ]

    assert not told(incidents(connections, end_ms=25_000), "restart")


@fires("PI101")
def test_a_listener_that_is_away_while_its_sessions_go_on_may_have_been_restarted() -> None:
    connections = [
        *(at(20 * i, lasting(9000), 40_000 + i) for i in range(3)),
        *(at(300 * i, CLOSED_BY_CLIENT, 41_000 + i) for i in range(1, 10)),
        *refusals(3000, 5, 200),
        *(at(4200 + 300 * i, CLOSED_BY_CLIENT, 42_000 + i) for i in range(10)),
    ]

    restart = only(incidents(connections, end_ms=12_000), "restart")
    assert (restart.severity, restart.confidence) == (Severity.LOW, "possible")
    assert any("the listener alone may have been away" in text for text in restart.against)


@spares("PI101")
def test_two_refusals_in_a_row_among_many_attempts_are_chance() -> None:
    connections = [at(0, lasting(20_000), 40_000)]
    connections += [at(200 * i, CLOSED_BY_CLIENT, 41_000 + i) for i in range(60)]
    connections += refusals(6110, 2, 20)

    assert not told(incidents(connections, end_ms=25_000), "restart")


@spares("PI101")
def test_a_port_on_which_nothing_ever_listened_was_not_restarted() -> None:
    found = incidents(repeated(REFUSED, 6, apart_ms=500), end_ms=9000)

    assert [incident.pattern for incident in found] == ["refused-port"]


def test_refusals_with_the_ttl_of_a_device_are_not_the_servers() -> None:
    refused = REFUSED.replace("ack 1", "ack 1 ttl 40")
    connections = [
        Connection(f"{OPEN.replace('ack 1', 'ack 1 ttl 64')}", 0, ("192.0.2.1", 40_000)),
        *(Connection(refused, 1000 + 100 * i, ("192.0.2.1", 50_000 + i)) for i in range(4)),
        Connection(f"{OPEN.replace('ack 1', 'ack 1 ttl 64')}", 3000, ("192.0.2.1", 41_000)),
    ]

    assert not told(incidents(connections, end_ms=9000), "restart")


def test_what_its_clients_saw_is_explained_by_the_restart() -> None:
    connections = [at(0, idle(3000), 40_000), *refusals(3100, 4), at(5000, ANSWERED, 41_000)]

    restart = only(incidents(connections, end_ms=9000), "restart")
    assert len(restart.explains) == 5  # four refusals, and the row that counts them
