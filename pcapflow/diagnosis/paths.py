"""Paths between hosts: connections by the two hosts that they join, and how a path and its end are called."""

from __future__ import annotations

from typing import Final

import numpy as np

from pcapflow.anomalies.lookup.columns import distinct, unique
from pcapflow.anomalies.lookup.groups import group_keys, host_keys
from pcapflow.anomalies.model import IntArray
from pcapflow.diagnosis.case import Case
from pcapflow.diagnosis.hosts import Hosts
from pcapflow.diagnosis.model import Blame
from pcapflow.tables.table import Tables
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, listed

MAX_PATHS: Final = 50
"""Paths that a pattern tells of at most, the worst first."""
_NAMED: Final = 3
_PORTS_NAMED: Final = 4


def path_keys(tables: Tables) -> IntArray:
    """For each flow a key of the two hosts that it joins, whichever of them opened it."""
    hosts = [host_keys(tables, endpoint) for endpoint in (CLIENT, SERVER)]
    return group_keys(np.minimum(*hosts), np.maximum(*hosts))


def directed_keys(tables: Tables, sender: int) -> IntArray:
    """For each flow a key of the host of one side and the host that it sends to."""
    return group_keys(host_keys(tables, sender), host_keys(tables, 1 - sender), np.zeros(len(tables.flows), np.int64))


def path_between(these: Hosts, those: Hosts) -> str:
    """``the path between 10.0.0.1 and 10.0.0.2``; of several hosts on a side, the first few."""
    if these.total == those.total == 1:
        return f"the path between {these[0]} and {those[0]}"
    return f"the path between {_side(these)} and {_side(those)}"


def path_of(case: Case, flows: IntArray) -> str:
    """The path of some connections in words, the hosts of their clients first."""
    return path_between(case.hosts(flows, CLIENT), case.hosts(flows, SERVER))


def ports_of(case: Case, flows: IntArray) -> str:
    """The ports that these connections were opened to, each once: ``80, 443 and 8080``; of many, the first few."""
    return listed([str(port) for port in unique(case.column("server_port")[flows]).tolist()], _PORTS_NAMED)


def server_and_ports(case: Case, flows: IntArray) -> str:
    """The one host that these connections were opened to: ``10.0.0.2:80``, or ``10.0.0.2 (ports 80 and 443)``."""
    if distinct(case.column("server_port")[flows]) == 1:
        return case.tables.server(int(flows[0]))
    return f"{case.tables.ip(int(flows[0]), SERVER)} (ports {ports_of(case, flows)})"


def blamed(path: str) -> Blame:
    """A path that is to blame."""
    return Blame("path", path)


def _side(hosts: Hosts) -> str:
    return hosts[0] if hosts.total == 1 else f"{counted(hosts.total, 'host')} ({hosts.listed(_NAMED)})"
