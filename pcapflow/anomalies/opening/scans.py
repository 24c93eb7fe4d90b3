"""PF109: clients that try many ports or many hosts; each is told as one scan, whatever the answers were."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.capture_quality import quality
from pcapflow.anomalies.cite import proof
from pcapflow.anomalies.figures import wilson
from pcapflow.anomalies.hits import per_group
from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import distinct, indices, side
from pcapflow.anomalies.lookup.groups import group, group_keys, host_keys, server_keys
from pcapflow.anomalies.lookup.strays import strays
from pcapflow.anomalies.lookup.timeline import count_marks, last_rows
from pcapflow.anomalies.model import LIKELY, MAX_FLOWS, BoolArray, Finding, Hits, IntArray, Severity
from pcapflow.anomalies.rule import Doubt, Lead, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.completeness import COMPLETE_ACK, COMPLETE_SYN_ACK
from pcapflow.tcp.states import CLIENT, RST_RX, SERVER, SYN_SENT
from pcapflow.text.phrases import counted, duration, listed
from pcapflow.text.times import to_ns

PROBE_S: Final = 5.0
"""A probe that finds an open port is over within this."""


class Scan(NamedTuple):
    """The probes of one client.

    Attributes:
        flows: all of them.
        refused, silent, strays, opened: how many were refused, got no answer, were segments without a connection that
            drew a RST, and found an open port.
    """

    flows: IntArray
    refused: int
    silent: int
    strays: int
    opened: int


def refused(tables: Tables) -> BoolArray:
    """Flows whose SYN was answered by an acceptable RST."""
    row = last_rows(tables, endpoint=CLIENT, old=SYN_SENT, event=RST_RX)
    return (row >= 0) & (side(tables.flows, SERVER, "rsts") > 0)


def _silent(tables: Tables) -> BoolArray:
    """Flows whose SYN drew no answer, of hosts whose answers would have been captured."""
    f = tables.flows
    found: BoolArray = (f["client_state"] == SYN_SENT) & (side(f, CLIENT, "syns") > 0) & ~quality(tables).cut
    found &= side(f, SERVER, "packets") == 0
    return found


@cached_per_tables
def scans(tables: Tables, config: Config) -> list[Scan]:
    """Clients whose attempts went to many ports, or to many hosts, and were in vain in at least every second case."""
    f = tables.flows
    was_refused, was_silent, was_stray = refused(tables), _silent(tables), strays(tables, config)
    # Of a probe without SYN the scanner is whoever drew the RST; only where that is the client is it known to be one.
    was_stray = was_stray & (side(f, SERVER, "rsts") > 0)
    failed = indices(was_refused | was_silent | was_stray)
    if len(failed) < config.scan_ports:
        return []
    clients = host_keys(tables, CLIENT)
    again = count_marks(tables, marks.MARK_SYN_REPEATED, endpoint=CLIENT) > 0
    opened = _opened(tables)
    found = []
    for members in group(failed, clients[failed]).at_least(max(config.scan_ports, 1)):
        if not _is_scan(tables, config, members, again):
            continue
        starts = f["start_ns"][members]
        its = (clients == clients[members[0]]) & (f["start_ns"] <= starts.max() + to_ns(PROBE_S))
        if wilson(len(members), int(np.count_nonzero(its & (f["start_ns"] >= starts.min()))))[0] < 0.5:
            continue
        # The first ports that are tried may be open ones.
        hits = indices(its & opened & (f["start_ns"] >= starts.min() - to_ns(PROBE_S)))
        found.append(
            Scan(
                np.sort(np.concatenate((members, hits))),
                refused=int(np.count_nonzero(was_refused[members])),
                silent=int(np.count_nonzero(was_silent[members])),
                strays=int(np.count_nonzero(was_stray[members])),
                opened=len(hits),
            )
        )
    return found


def _opened(tables: Tables) -> BoolArray:
    """Flows that a client opened, or half opened, and dropped at once without a word."""
    f = tables.flows
    answered = (f["completeness"] & COMPLETE_SYN_ACK) > 0
    dropped = (side(f, CLIENT, "rsts") > 0) | ((f["completeness"] & COMPLETE_ACK) == 0)
    brief = f["end_ns"] - f["start_ns"] <= to_ns(PROBE_S)
    found: BoolArray = answered & dropped & brief & (side(f, CLIENT, "bytes") == 0) & (side(f, CLIENT, "syns") > 0)
    return found


def _is_scan(tables: Tables, config: Config, members: IntArray, again: BoolArray) -> bool:
    f = tables.flows
    # Many tries at one port of one host are no scan, whatever their number.
    if distinct(server_keys(tables)[members]) < config.scan_ports:
        return False
    if distinct(f["server_port"][members]) >= min(config.scan_ports, len(members) // 2):
        return True
    # Many hosts: a program that means to talk to them repeats its SYN when its network is down; a scanner does not.
    hosts = distinct(host_keys(tables, SERVER)[members])
    return hosts >= config.scan_ports and wilson(int(np.count_nonzero(again[members])), len(members))[1] < 0.5


@cached_per_tables
def scanned(tables: Tables, config: Config) -> BoolArray:
    """Flows that are told as part of a scan, and so not one by one."""
    mask = np.zeros(len(tables.flows), dtype=bool)
    for scan in scans(tables, config):
        mask[scan.flows] = True
    return mask


@rule(
    "PF109",
    "port-scan",
    title="Scans of ports or hosts",
    doubts=Doubt.CLOCK,
    lead=Lead("{who} [scans|scan] ports"),
)
def port_scan(tables: Tables, config: Config) -> Hits:
    """One client tried many ports, or one port of many hosts, most of them in vain.

    Means: somebody looks for what listens where. Each probe is a connection attempt, or a segment of no connection,
        that is refused, ignored, or dropped as soon as it is answered; none of them is a connection that failed.
    Do:
        Client: if this host should not scan, see which of its processes does (`ss -tnp state syn-sent`).
        Network: if the scan is not one of your own, limit or block its source; see which ports answered.
    Else: monitoring and inventory tools do this by design, and so does a client that looks for a service. Where nothing
        answered at all, a client whose own network is down looks alike, but it repeats each SYN.
    Source: the number of ports or hosts is the setting scan_ports; that most attempts are in vain is judged by the
        lower end of the share's interval (Wilson).
    """
    found = scans(tables, config)

    def finding(scan: Scan) -> Finding:
        return _scan(tables, scan)

    return per_group(found, finding, weight=[len(scan.flows) for scan in found])


def _scan(tables: Tables, scan: Scan) -> Finding:
    f = tables.flows
    members = scan.flows
    first = int(members[0])
    ports, hosts = distinct(f["server_port"][members]), distinct(host_keys(tables, SERVER)[members])
    pairs = distinct(group_keys(host_keys(tables, SERVER)[members], f["server_port"][members]))
    starts = f["start_ns"][members]
    which = f"port {f['server_port'][first]}" if ports == 1 else counted(ports, "port")
    counts = (
        (scan.refused, "was refused" if scan.refused == 1 else "were refused"),
        (scan.silent, "got no answer"),
        (scan.strays, "drew a RST without having asked for a connection"),
        (scan.opened, "found an open port"),
    )
    outcome = listed([f"{count:,} {words}" for count, words in counts if count])
    each = f", {pairs:,} of these in all," if 1 < ports < pairs and hosts > 1 else ""
    return Finding(
        severity=Severity.LOW,
        endpoint=CLIENT,
        time_ns=int(starts.min()),
        frames=proof(f["first_frame"][members[:8]].tolist()),
        detail=(
            f"{tables.ip(first, CLIENT)} tried {which} of {_hosts(tables, first, hosts)}{each} with "
            f"{counted(len(members), 'probe')} in {duration(int(starts.max() - starts.min()))}: {outcome}"
        ),
        confidence=LIKELY,
        alternatives=("a client that looks for a service on many ports or hosts",),
        count=len(members),
        flows=tuple(members[:MAX_FLOWS].tolist()),
    )


def _hosts(tables: Tables, first: int, hosts: int) -> str:
    return tables.ip(first, SERVER) if hosts == 1 else counted(hosts, "host")
