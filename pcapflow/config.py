"""Thresholds and limits, in one frozen object, read from ``pcapflow.toml`` or ``[tool.pcapflow]`` in pyproject.toml."""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
from pathlib import Path
from typing import Any

from pcapflow.errors import ConfigError
from pcapflow.stacks import STACKS
from pcapflow.text.escape import path_text, printable


@dataclasses.dataclass(frozen=True, slots=True)
class Config:
    """Every number that decides whether something is reported. Durations are seconds.

    Attributes:
        syn_timeout_s: a SYN sent once counts as unanswered when this much of the capture follows it.
        close_grace_s: a close that began less than this before the capture's end is still running, not stuck.
        stuck_s: FIN_WAIT_2 and CLOSE_WAIT are stuck after this long without data or FIN.
        rto_s: a segment unanswered for less than this may have been delivered; the first retransmission time-out
            of RFC 6298, 2.1.
        leak_flows: connections of one server in CLOSE_WAIT at once that make a leak.
        msl2_s: how long TIME_WAIT lasts; 60 s on Linux.
        flood_flows: connection attempts to one server, never completed, that a minute must bring to make a flood; a
            shorter capture shows it by their rate.
        syn_queue: places in a listener's SYN queue, of which a flood says how soon they are used up; the default of
            Linux's net.core.somaxconn.
        flood_hosts: connection attempts to one server within a minute, from many addresses of which none ever completes
            one, that make a flood.
        scan_ports: ports that one client tries in vain before its attempts are called a scan.
        overflow_flows: connections of one server whose final ACK it did not take that make an overflow.
        time_wait_many: TIME_WAITs of one host that are a rate whatever way they came.
        closing_turns: connections that must have followed one another, each opened and closed, before the rate at which
            they do is taken to go on: a burst of parallel ones is one event.
        ephemeral_ports: ports a client has for connections to one server; 32768 to 60999 on Linux.
        idle_s: a silence at least this long is a cause to consider when the next packet draws a RST.
        timeout_s: a shorter silence before a close or a failure is no time-out: programs think for as long.
        zero_window_s: a receiver that keeps its window closed for this long stalls the connection.
        vanished_retries: repeats of a segment, without any answer, after which the peer has vanished.
        keepalive_probes: keep-alives in a row, without any answer, that have failed.
        retransmission_percent: share of a side's segments sent again that is heavy; the least that the number of
            segments allows for is compared with it, the lower bound of a Wilson interval.
        retransmission_segments: segments of a side that must have been sent again before their share is looked at:
            one or two may be a single event, and an interval takes them to be independent.
        loss_permille: segments of a thousand between two hosts that are lost and worth telling; the least that their
            number allows for is compared with it. So few already slow down long paths.
        black_hole_retries: repeats of a full-size segment that make a black hole likely.
        moment_s: what happens within this time is one event: the ends of all connections of a process take
            milliseconds, and its host may be busy.
        stop_s: what a server closes within this time before it refuses somebody belongs to its stop; most supervisors
            kill after 10 s (docker) or more.
        host_moment_s: outages of several ports of one host that begin within this time are one.
        slow_answer_s: an answer that takes longer is slow: four times the 0.5 s with which Apdex calls users satisfied.
        rows_per_rule: anomalies of one rule that are listed; the rest is one summary row.
        marks_per_flow: marks kept of one connection; the rest is counted.
        max_open_flows: connections followed at once; beyond it the oldest of those that only sent a SYN, or else the
            oldest, is evicted, and counted.
        report_flows: connections shown in the report.
        report_ladders: ladder diagrams drawn in the report.
        stack: the TCP stack whose ``msl2_s`` and ``ephemeral_ports`` hold for all hosts but those of ``stack_hosts``; a
            name of :data:`pcapflow.stacks.STACKS`, "" where Linux is assumed. ``name`` in the table ``[stack]``.
        stack_hosts: the stacks of some hosts, by address or network. The table ``[stack.hosts]``.
    """

    syn_timeout_s: float = 3.0
    close_grace_s: float = 1.0
    stuck_s: float = 60.0
    rto_s: float = 1.0
    leak_flows: int = 5
    msl2_s: float = 60.0
    flood_flows: int = 100
    syn_queue: int = 4096
    flood_hosts: int = 30
    scan_ports: int = 20
    overflow_flows: int = 3
    time_wait_many: int = 1000
    closing_turns: int = 50
    ephemeral_ports: int = 28_232
    idle_s: float = 50.0
    timeout_s: float = 0.5
    zero_window_s: float = 1.0
    vanished_retries: int = 5
    keepalive_probes: int = 3
    retransmission_percent: int = 5
    retransmission_segments: int = 3
    loss_permille: int = 5
    black_hole_retries: int = 3
    moment_s: float = 0.25
    stop_s: float = 10.0
    host_moment_s: float = 2.0
    slow_answer_s: float = 2.0
    rows_per_rule: int = 200
    marks_per_flow: int = 1000
    max_open_flows: int = 4_000_000
    report_flows: int = 200
    report_ladders: int = 20
    stack: str = ""
    stack_hosts: tuple[tuple[str, str], ...] = ()

    def of_host(self, address: str) -> Config:
        """The settings for one host: with the habits of its stack, where ``stack_hosts`` names it.

        Of several networks that hold the address the smallest counts.
        """
        name = self.stack_at(address)
        return _with_stack(self, name) if name else self

    def stack_at(self, address: str) -> str:
        """The stack that ``stack_hosts`` names for this address; "" where it names none."""
        if not self.stack_hosts:
            return ""
        ip = ipaddress.ip_address(address)
        for version, length, networks in _by_size(self.stack_hosts):
            if version == ip.version and (name := networks.get(int(ip) >> ip.max_prefixlen - length)):
                return name
        return ""


@functools.lru_cache(16)
def _by_size(hosts: tuple[tuple[str, str], ...]) -> list[tuple[int, int, dict[int, str]]]:
    """The networks, smallest first: version, bits of the prefix, and the stack by those bits."""
    sizes: dict[tuple[int, int], dict[int, str]] = {}
    for text, name in hosts:
        network = ipaddress.ip_network(text)
        bits = int(network.network_address) >> network.max_prefixlen - network.prefixlen
        sizes.setdefault((network.version, network.prefixlen), {})[bits] = name
    return [(*size, sizes[size]) for size in sorted(sizes, key=lambda size: -size[1])]


def _with_stack(config: Config, name: str) -> Config:
    stack = STACKS[name]
    return dataclasses.replace(config, stack=name, msl2_s=float(stack.time_wait_s), ephemeral_ports=stack.ports)


_OF_STACK = ("stack", "stack_hosts")
"""Attributes that the table ``[stack]`` sets."""


def load_config(path: Path | None = None, *, search: Path | None = None) -> Config:
    """Reads the configuration.

    Args:
        path: a TOML file named by the user; it must exist.
        search: without ``path``, the directory where ``pcapflow.toml`` or ``pyproject.toml`` is looked for.

    Raises:
        ConfigError: an unreadable file, an unknown name, or a value of the wrong type or sign.
    """
    if path is not None:
        return _from_file(path)
    for candidate in () if search is None else (search / "pcapflow.toml", search / "pyproject.toml"):
        if candidate.is_file():
            return _from_file(candidate)
    return Config()


def _from_file(path: Path) -> Config:
    import tomllib

    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path_text(path)}: cannot be read as TOML: {error}") from error
    if path.name == "pyproject.toml":
        data = data.get("tool", {}).get("pcapflow", {})
    return _checked(data, path_text(path))


def _checked(data: dict[str, Any], where: str) -> Config:
    fields = {field.name: field for field in dataclasses.fields(Config) if field.name not in _OF_STACK}
    data = dict(data)
    config = _stack(data.pop("stack", {}), where)
    values: dict[str, Any] = {}
    for name, value in data.items():
        if name not in fields:
            known = ", ".join(sorted(fields))
            raise ConfigError(f"{where}: unknown setting {name!r}; known are {known}, and the table [stack]")
        whole = isinstance(fields[name].default, int)
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise ConfigError(f"{where}: {name} must be {'a whole number' if whole else 'a number of seconds'}")
        if value < 0:
            raise ConfigError(f"{where}: {name} must not be negative")
        values[name] = value if whole else float(value)
    return dataclasses.replace(config, **values)


def _stack(table: Any, where: str) -> Config:
    """The defaults as the table ``[stack]`` changes them: ``name``, and ``hosts`` with a name for each network."""
    if not isinstance(table, dict) or not isinstance(table.get("hosts", {}), dict):
        raise ConfigError(f"{where}: [stack] and [stack.hosts] must be tables")
    if unknown := set(table) - {"name", "hosts"}:
        raise ConfigError(f"{where}: [stack] has no setting {min(unknown)!r}; known are name and hosts")
    hosts = table.get("hosts", {})
    for name in (*([table["name"]] if "name" in table else []), *hosts.values()):
        if not isinstance(name, str) or name not in STACKS:
            known = ", ".join(STACKS)
            raise ConfigError(f"{where}: [stack]: no stack is called {str(name)!r}; known are {known}")
    for network in hosts:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise ConfigError(f"{where}: [stack.hosts]: {printable(str(error))}") from error
    config = _with_stack(Config(), table["name"]) if "name" in table else Config()
    return dataclasses.replace(config, stack_hosts=tuple(hosts.items()))
