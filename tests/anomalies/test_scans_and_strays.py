"""Probes are told as one scan, and a segment of no connection as a stray: neither is a connection that failed."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import MANY, Severity
from pcapflow.tcp import marks as m
from pcapflow.tcp.states import CLIENT, SERVER
from tests.anomalies.builder import Flow, Told
from tests.anomalies.cases import codes, fires, only, spares, told
from tests.anomalies.test_every_code_from_segments import Case, anomalies
from tests.ladders import ISNS

SCANNER = "10.0.0.9"
NUMBERS = pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)


def probe(capture: Told, number: int, *, host: int = 5, port: int | None = None) -> Flow:
    """The SYN of one probe, ten milliseconds after the one before."""
    server = f"10.0.{host // 250}.{host % 250 + 1}:{number if port is None else port}"
    return capture.flow(client=f"{SCANNER}:{4000 + number}", server=server, at=number / 100).syn()


def stray(capture: Told, number: int, *, host: int = 5, size: int = 0) -> Flow:
    """A segment out of nowhere, and the RST that it draws."""
    flow = capture.flow(
        client=f"{SCANNER}:{4000 + number}",
        server=f"10.0.0.{host}:{number}",
        at=number / 100,
        midstream=1,
        client_packets=1,
        client_bytes=size,
    )
    return flow.reset(SERVER, 0.001, passive=True, pending=size)


@fires("PF109")
def test_many_ports_of_one_host_are_one_row_however_they_answered() -> None:
    capture = Told()
    for port in range(1, 39):
        probe(capture, port).reset(SERVER, 0.001)
    for port in (40, 41, 42):
        probe(capture, port)
    probe(capture, 43).syn_ack().reset(CLIENT, 0.002)

    found = capture.anomalies()
    row = only(found, "PF109")

    assert (row.flow, row.count, row.endpoint, row.severity) == (MANY, 42, CLIENT, Severity.LOW)
    assert row.detail == (
        "10.0.0.9 tried 42 ports of 10.0.0.6 with 42 probes in 420 ms: "
        "38 were refused, 3 got no answer and 1 found an open port"
    )
    assert codes(found) == {"PF109"}


@fires("PF109")
def test_one_port_of_many_hosts_is_one_row_that_counts_hosts() -> None:
    capture = Told()
    for host in range(225):
        probe(capture, host, host=host, port=22)

    found = capture.anomalies()

    assert "tried port 22 of 225 hosts with 225 probes" in only(found, "PF109").detail
    assert codes(found) == {"PF109"}


@fires("PF109")
def test_ports_of_hosts_are_counted_apart() -> None:
    capture = Told()
    for host in range(5):
        for port in range(20):
            probe(capture, 20 * host + port, host=host, port=8000 + port).reset(SERVER, 0.001)

    assert (
        "tried 20 ports of 5 hosts, 100 of these in all, with 100 probes" in only(capture.anomalies(), "PF109").detail
    )


@fires("PF109")
def test_probes_without_a_syn_are_a_scan_too() -> None:
    capture = Told()
    for port in range(1, 31):
        stray(capture, port)

    found = capture.anomalies()

    assert "30 drew a RST without having asked for a connection" in only(found, "PF109").detail
    assert codes(found) == {"PF109"}


@spares("PF109")
def test_a_client_most_of_whose_connections_work_is_no_scanner() -> None:
    capture = Told()
    for port in range(1, 31):
        probe(capture, port).reset(SERVER, 0.001)
        for n in range(2):
            other = capture.flow(client=f"{SCANNER}:{6000 + 2 * port + n}", at=port / 100).opens()
            other.data(CLIENT, 0.1).data(SERVER, 0.2)

    found = capture.anomalies()

    assert "PF109" not in codes(found)
    assert len(told(found, "PF102")) == 30


@spares("PF109")
def test_a_client_whose_network_is_down_repeats_its_syns() -> None:
    capture = Told()
    for host in range(30):
        probe(capture, host, host=host, port=443).mark(m.MARK_SYN_REPEATED, CLIENT, 1.0, 2)

    assert codes(capture.anomalies()) == {"PF101"}


@spares("PF109")
def test_many_tries_at_one_port_of_one_host_are_no_scan() -> None:
    capture = Told()
    for number in range(50):
        probe(capture, number, port=80).reset(SERVER, 0.001)

    assert "PF109" not in codes(capture.anomalies())


@spares("PF105")
def test_one_source_on_many_ports_is_a_scan_and_no_flood() -> None:
    capture = Told(seconds=30)
    for port in range(1, 151):
        probe(capture, port)

    assert codes(capture.anomalies()) == {"PF109"}


@fires("PF306")
@NUMBERS
@pytest.mark.parametrize(
    "ladder",
    [
        "0 > . 500:500 ack 900 \n 1 < R 900:900",
        "0 > F. 500:500 ack 900 \n 1 < R 900:900",
        "0 > F 500:500 \n 1 < R. 0:0 ack 501",
        "0 > . 500:500 ack 900 \n 200 > . 500:500 ack 900 \n 201 < R 900:900",
        "0 < R. 900:900 ack 500",
    ],
    ids=["an ACK", "a late FIN", "a FIN without ACK", "an ACK sent twice", "a RST alone"],
)
def test_a_segment_of_no_connection_is_a_stray(ladder: str, isn: tuple[int, int]) -> None:
    found = anomalies(Case("PF306", ladder), isn)

    assert codes(found) == {"PF306"}
    assert only(found, "PF306").severity == Severity.INFO


@fires("PF306")
def test_strays_of_one_host_are_one_row() -> None:
    capture = Told()
    for number in range(1, 5):
        stray(capture, number, host=number)

    found = capture.anomalies()

    assert (
        "10.0.0.9 sent 4 segments of 4 connections that the capture does not know, and 4 hosts answered with RSTs"
        in only(found, "PF306").detail
    )
    assert codes(found) == {"PF306"}


@spares("PF306")
@NUMBERS
@pytest.mark.parametrize(
    "ladder",
    [
        "0 > P. 500:600 ack 900 \n 1 < R 900:900",
        "0 > . 500:500 ack 900 \n 1 < . 900:900 ack 500 \n 2 < R 900:900",
        "0 > . 500:500 ack 900 \n 60000 > . 500:500 ack 900 \n 60001 < R 900:900",
    ],
    ids=["with data", "of a connection that answers", "after a long silence"],
)
def test_a_connection_from_before_the_capture_is_no_stray(ladder: str, isn: tuple[int, int]) -> None:
    found = anomalies(Case("PF306", ladder), isn)

    assert "PF306" not in codes(found)
    assert "PF301" in codes(found)
