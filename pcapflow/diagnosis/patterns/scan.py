"""PI501: one host that tries many ports or many hosts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frames
from pcapflow.anomalies.lookup.columns import distinct
from pcapflow.anomalies.lookup.groups import host_keys, server_keys
from pcapflow.anomalies.model import LIKELY, IntArray, Severity
from pcapflow.anomalies.opening.scans import Scan, scans
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.model import Blame, Explanation, Observation, Remedy
from pcapflow.diagnosis.pattern import pattern
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, duration, listed
from pcapflow.text.times import time_of_day

_NAMED: Final = 3
"""Open ports that the headline names; more are counted."""


@pattern("PI501", "scan", title="A port scan")
def scan(case: Case) -> Sequence[Explanation]:
    """One host tried many ports, or one port of many hosts, and found most of them closed or silent.

    Seen: attempts of one client at many ports or hosts within a short time, most of them refused, unanswered, or
        reset by the client as soon as they were answered; no data on any of them.
    Unless: the attempts go to one port of one host (then nothing listens there, or it is filtered), or most of them
        succeed (then it is a busy client).
    Means: somebody looks which services there are: an inventory, a vulnerability scanner, or an attacker. The refusals
        and silences are what a scan finds, and no fault of the hosts that were scanned.
    Do:
        Client: find out what runs there; an inventory or a vulnerability scanner should be known to those who watch.
        Network: if it is not known, block the host and look what the open ports answered.
    Else: a client that looks for one of many services by trying all of them.
    Source: Jung, Paxson, Berger, Balakrishnan: Fast Portscan Detection (IEEE S&P 2004); nmap's reference guide.
    """
    return [_explanation(case, found) for found in scans(case.tables, case.config)]


def _explanation(case: Case, found: Scan) -> Explanation:
    flows, tables = found.flows, case.tables
    who = tables.ip(int(flows[0]), CLIENT)
    starts = case.column("start_ns")[flows]
    first, last = int(starts.min()), int(starts.max())
    ports = distinct(case.column("server_port")[flows])
    hosts = distinct(host_keys(tables, SERVER)[flows])
    where = counted(hosts, "host") if hosts > 1 else tables.ip(int(flows[0]), SERVER)
    answers = (
        (found.refused, "was refused", "were refused"), (found.silent, "got no answer", ""),
        (found.strays, "was a segment of no connection", "were segments of no connection"),
        (found.opened, "found an open port", ""),
    )  # fmt: skip
    outcomes = listed([counted(count, one, several or one) for count, one, several in answers if count])
    reached = _open_ports(case, found)
    known = listed([tables.server(flow) for flow in reached[:_NAMED].tolist()])
    known = known if len(reached) <= _NAMED else counted(len(reached), "open port")
    frames = case.frames("first_frame", flows[:4])
    explains = case.anomalies_of(flows=flows)
    return Explanation(
        severity=max((case.anomalies[place].severity for place in case.anomalies_of("PF109", flows=flows)),
                     default=Severity.LOW),
        confidence=LIKELY,
        headline=(
            f"{who} scanned {counted(ports, 'port')} of {where} within {duration(last - first)} at "
            f"{time_of_day(first)} and found {_found(len(reached), known)}."
        ),
        blame=Blame("host", who, "client"),
        start_ns=first,
        end_ns=int(case.column("end_ns")[flows].max()),
        flows=named(flows),
        count=len(flows),
        hosts=(who, *case.hosts(flows, SERVER)),
        explains=frozenset(explains),
        why=(
            Observation(f"of {counted(len(flows), 'probe')}, {outcomes}{in_frames(frames)}", frames),
            *_what_was_open(case, reached),
        ),
        against=("a client that looks for one service by trying many ports does the same",),
        remedy=(
            Remedy("Client", f"find out which program on {who} did this at {time_of_day(first)}; whoever runs the "
                             "network should know of an inventory or a vulnerability scanner"),
            Remedy("Network", f"if nobody knows of it, block {who}"
                              + (f", and look at what else it did on {known}" if known else "")),
        ),
    )  # fmt: skip


def _found(opened: int, known: str) -> str:
    if not opened:
        return "none of them open"
    return known if opened > _NAMED else f"{known} open"


def _open_ports(case: Case, found: Scan) -> IntArray:
    """One connection to each address and port that answered by a SYN-ACK, in order of number."""
    answered = found.flows[case.column("server_syns")[found.flows] > 0]
    first: IntArray = np.sort(np.unique(server_keys(case.tables)[answered], return_index=True)[1])
    return answered[first]


def _what_was_open(case: Case, reached: IntArray) -> list[Observation]:
    if not len(reached):
        return []
    frames = case.frames("server_first_frame", reached)
    names = [case.tables.server(flow) for flow in reached[:50].tolist()]
    return [Observation(f"a SYN-ACK came from {listed(names, 5)}{in_frames(frames)}", frames)]
