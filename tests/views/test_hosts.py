"""The hosts: who has a row, what was measured of each, and which of them are shown."""

from __future__ import annotations

import dataclasses
import time

import numpy as np

from pcapflow.anomalies.model import Anomaly, Severity
from pcapflow.config import Config
from pcapflow.report.hosts import hosts_view
from pcapflow.tables.schema import FLOWS
from pcapflow.tables.table import Table, Tables
from pcapflow.tcp.marks import MARK_SYN_REPEATED
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.views.hosts import MOST_SHOWN, Host, host_table, shown_hosts
from tests.anomalies.builder import Told
from tests.ladders import follow


def only(tables: Tables, address: str, config: Config | None = None) -> Host:
    """The one host with this address."""
    (host,) = (host for host in host_table(tables, config or Config()).rows if host.address == address)
    return host


def test_a_host_has_a_row_where_it_did_what_no_spoofed_address_does() -> None:
    capture = Told()
    capture.flow(client="10.0.0.1:1000").opens()
    capture.flow(client="10.0.0.2:1000").syn().syn_ack()
    capture.flow(client="10.0.0.3:1000", server="10.0.0.6:80").syn()
    capture.flow(client="10.0.0.4:1000", server="10.0.0.7:80", midstream=1).data(CLIENT, 0.1, acked=False)

    table = host_table(capture.tables(), Config())

    assert {host.address for host in table.rows} == {"10.0.0.1", "10.0.0.5", "10.0.0.4"}
    assert table.others == 4
    (note,) = hosts_view(capture.tables(), Config(), [], []).notes[-1:]
    assert note == "4 other hosts completed no handshake, sent no payload and answered no SYN."


def test_connections_are_counted_on_both_sides_and_the_busiest_come_first() -> None:
    capture = Told()
    for port in (1000, 1001):
        capture.flow(client=f"10.0.0.1:{port}").opens()
    capture.flow(client="10.0.0.5:2000", server="10.0.0.9:80").opens()
    capture.flow(client="10.0.0.5:2001", server="10.0.0.10:80").syn()

    rows = host_table(capture.tables(), Config()).rows

    assert [(host.address, host.as_client, host.as_server) for host in rows] == [
        ("10.0.0.5", 2, 2),
        ("10.0.0.1", 2, 0),
        ("10.0.0.9", 0, 1),
    ]
    assert [(host.first_port, host.last_port) for host in rows] == [(2000, 2001), (1000, 1001), (-1, -1)]
    assert [host.ports is None for host in rows] == [False, False, True]


def test_a_vlan_has_hosts_of_its_own() -> None:
    capture = Told()
    for vlan in (7, 7, 8):
        capture.flow(vlan=vlan).opens()

    rows = host_table(capture.tables(), Config()).rows

    assert [(host.address, host.vlan, host.as_client) for host in rows] == [
        ("10.0.0.1", 7, 2), ("10.0.0.5", 7, 0), ("10.0.0.1", 8, 1), ("10.0.0.5", 8, 0),
    ]  # fmt: skip


def test_the_first_repeat_of_a_syn_that_nobody_answered() -> None:
    """Three, one and no answer before the first repeat; a repeat after a RST says nothing."""
    capture = Told()
    for after in (0.9, 1.0, 3.0):
        capture.flow().syn().mark(MARK_SYN_REPEATED, CLIENT, after).mark(MARK_SYN_REPEATED, CLIENT, 3 * after)
    refused = capture.flow().syn()
    refused.reset(SERVER, 0.001).mark(MARK_SYN_REPEATED, CLIENT, 0.5)
    capture.flow().opens()

    assert only(capture.tables(), "10.0.0.1").initial_rto_s == 1.0


def test_nothing_is_measured_where_nothing_shows() -> None:
    capture = Told()
    capture.flow().opens()

    host = only(capture.tables(), "10.0.0.1")

    assert (host.initial_rto_s, host.clock_hz, host.timestamps) == (-1, -1, "")
    assert (host.guess.stack, host.guess.why) == ("", "")
    assert (host.time_wait_s, host.time_wait_basis) == (60, "assumed")


def test_clocks_and_stamps_on_resets_are_those_of_the_hosts_connections() -> None:
    capture = Told()
    for hz, options in ((99, 0), (100, 0), (250, 1)):
        flow = capture.flow(client_clock_hz=hz, client_timestamps=1, server_timestamps=1, client_syn_form=64_240)
        flow.opens().reset(CLIENT, 1.0, reset_options=options)
    capture.flow(client_timestamps=0, client_syn_form=64_240).opens().reset(CLIENT, 1.0)

    host = only(capture.tables(), "10.0.0.1")

    assert host.clock_hz == 100
    assert host.timestamps == "some"
    assert (host.resets_with, host.resets_without) == (1, 2)


def test_the_clock_of_a_ladder() -> None:
    """A stamp every ten milliseconds, for two seconds."""
    story = follow("""
      0  > S   0:0          ts 100
      1  < S.  0:0   ack 1  ts 100
      2  > .   1:1   ack 1  ts 100
   2000  > P.  1:6   ack 1  ts 300
   2001  < .   1:1   ack 6  ts 2100
    """)

    rows = host_table(story.tables, Config()).rows

    assert [host.clock_hz for host in rows] == [100, 1000]


def test_a_flood_of_spoofed_hosts_is_a_number() -> None:
    """Three hundred thousand addresses that never say another word, in moderate time."""
    capture = Told()
    capture.flow(client="10.0.0.1:1000").opens()
    capture.flow(client="11.0.0.1:1000").syn().syn_ack()
    tables, count = capture.tables(), 300_000
    columns = {name: np.concatenate([column[:1], np.repeat(column[1:], count)]) for name, column in _columns(tables)}
    columns["client_lo"][1:] += np.arange(count)
    columns["flow"][:] = np.arange(count + 1)
    flooded = dataclasses.replace(tables, flows=Table("flows", FLOWS, columns))

    begun = time.perf_counter()
    table = host_table(flooded, Config())
    assert time.perf_counter() - begun < 5

    assert [host.address for host in table.rows] == ["10.0.0.5", "10.0.0.1"]
    assert table.others == count


def _columns(tables: Tables) -> list[tuple[str, np.ndarray]]:
    return list(tables.flows.columns.items())


def test_hosts_that_are_named_are_shown_before_the_busiest() -> None:
    capture = Told()
    for n in range(2, 302):
        for port in (1000, 1001):
            capture.flow(client=f"10.1.{n >> 8}.{n & 255}:{port}").opens()
    capture.flow(client="10.2.0.1:1000", server="10.2.0.2:80").opens().fin(SERVER, 1.0)
    tables = capture.tables()
    table = host_table(tables, Config())
    named = Anomaly(
        code="PF203", name="stuck-close-wait", severity=Severity.MEDIUM, flow=len(tables.flows) - 1,
        time_ns=tables.capture.first_ns, frames=(1,), detail="it does not close",
    )  # fmt: skip

    shown = [host.address for host in shown_hosts(table, [named], [])]

    assert len(table) == 303
    assert len(shown) == MOST_SHOWN
    assert shown[0] == "10.0.0.5"
    assert {"10.2.0.1", "10.2.0.2"} <= set(shown)
    assert "10.2.0.1" not in [host.address for host in shown_hosts(table, [], [])]
    assert hosts_view(tables, Config(), [named], []).heading == "200 of 303 shown; the tables hold all"


def test_the_address_of_an_incident_may_be_none() -> None:
    capture = Told()
    capture.flow().opens()
    table = host_table(capture.tables(), Config())

    assert [table.place_of(text) for text in ("10.0.0.5", "10.0.0.50", "db.internal", "")] == [1, -1, -1, -1]


def test_no_connection_no_host() -> None:
    table = host_table(Told().tables(), Config())

    assert (len(table), table.rows, table.others) == (0, [], 0)
    view = hosts_view(Told().tables(), Config(), [], [])
    assert (view.heading, view.rows, view.notes) == ("0 hosts", (), ())


def test_what_is_configured_is_not_said_to_be_assumed() -> None:
    capture = Told()
    capture.flow().opens()
    config = dataclasses.replace(Config(), stack_hosts=(("10.0.0.0/24", "windows"),))

    view = hosts_view(capture.tables(), config, [], [])

    assert [row.time_wait for row in view.rows] == ["120 s configured"] * 2
    assert view.rows[0].ports == "16,384 configured"
    assert view.notes == ()
    (note,) = hosts_view(capture.tables(), Config(), [], []).notes
    assert note.startswith(
        "What is assumed is Linux's: 28,232 ports as a client (32768 to 60999), and 60 s of TIME_WAIT."
    )
