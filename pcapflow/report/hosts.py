"""The hosts: what each was seen to do, the stack it may run, and what was assumed of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pcapflow.anomalies.model import Anomaly
from pcapflow.config import Config
from pcapflow.diagnosis.model import Incident
from pcapflow.stacks import ASSUMED, STACKS
from pcapflow.tables.table import Tables
from pcapflow.text.phrases import counted, number
from pcapflow.views.hosts import Host, HostTable, host_table, shown_hosts


class HostRow(NamedTuple):
    """A row of the table, in words; what is not known is empty."""

    address: str
    place: str
    as_client: str
    as_server: str
    stack: str
    why: str
    ttl: str
    stamps: str
    first_repeat: str
    resets: str
    taken: str
    ports: str
    time_wait: str


class HostsView(NamedTuple):
    """The hosts that are shown, in words how many are not, and what was assumed."""

    heading: str
    rows: tuple[HostRow, ...]
    notes: tuple[str, ...]


def hosts_view(
    tables: Tables, config: Config, anomalies: Sequence[Anomaly], incidents: Sequence[Incident]
) -> HostsView:
    """The section of the hosts: those that incidents and anomalies name, and the busiest others."""
    table = host_table(tables, config)
    shown = shown_hosts(table, anomalies, incidents)
    heading = counted(len(table), "host")
    if len(shown) < len(table):
        heading = f"{number(len(shown))} of {number(len(table))} shown; the tables hold all"
    return HostsView(heading, tuple(_row(tables, host) for host in shown), tuple(_notes(table, shown)))


def _row(tables: Tables, host: Host) -> HostRow:
    place = [f"VLAN {host.vlan}"] if host.vlan >= 0 else []
    place += [f"in {tables.capture.tunnels[host.tunnel]}"] if host.tunnel else []
    stamps = {"": "", "yes": "yes", "no": "no", "some": "on some SYNs"}[host.timestamps]
    if host.clock_hz >= 0:
        stamps = f"{stamps}, {number(host.clock_hz)} Hz".removeprefix(", ")
    resets = [(host.resets_with, "with"), (host.resets_without, "without")]
    return HostRow(
        address=host.address,
        place=", ".join(place),
        as_client=number(host.as_client),
        as_server=number(host.as_server),
        stack=f"{host.guess.stack}, {host.guess.confidence}" if host.guess.stack else "",
        why=host.guess.why,
        ttl="" if host.ttl < 0 else f"{host.ttl}, {counted(host.hops, 'hop')}" if host.hops else str(host.ttl),
        stamps=stamps,
        first_repeat=f"{host.initial_rto_s:.3g} s" if host.initial_rto_s >= 0 else "",
        resets=", ".join(f"{number(count)} {word}" for count, word in resets if count),
        taken=_between(host.first_port, host.last_port),
        ports=f"{number(host.ports.number)} {host.ports.basis}" if host.ports else "",
        time_wait=f"{host.time_wait_s:g} s {host.time_wait_basis}",
    )


def _between(first: int, last: int) -> str:
    return "" if first < 0 else str(first) if first == last else f"{first} to {last}"


def _notes(table: HostTable, shown: Sequence[Host]) -> list[str]:
    """What the figures rest on."""
    guessed = (
        "The stack is a guess by the SYNs that a host sent, and no verdict rests on it: anybody can send such a SYN, "
        "and a device on the way may change one."
    )
    notes = [guessed] if any(host.guess.stack for host in shown) else []
    bases = {host.time_wait_basis for host in shown} | {host.ports.basis for host in shown if host.ports}
    if "assumed" in bases:
        stack = STACKS[ASSUMED]
        notes.append(
            f"What is assumed is {stack.title}'s: {number(stack.ports)} ports as a client ({stack.first_port} to "
            f"{stack.last_port}), and {stack.time_wait_s:g} s of TIME_WAIT. [stack] in the configuration names the "
            "stack of hosts that have others."
        )
    if table.others:
        notes.append(
            f"{counted(table.others, 'other host')} completed no handshake, sent no payload and answered no SYN."
        )
    return notes
