"""PI501: one host that tries many ports or many hosts."""

from __future__ import annotations

from collections.abc import Sequence

from pcapflow.anomalies.cite import in_frames
from pcapflow.anomalies.lookup.columns import distinct
from pcapflow.anomalies.lookup.groups import host_keys
from pcapflow.anomalies.model import LIKELY, Severity
from pcapflow.anomalies.opening.scans import Scan, scans
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.model import Blame, Explanation, Observation, Remedy
from pcapflow.diagnosis.pattern import pattern
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, duration, listed, number
from pcapflow.text.times import time_of_day


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
        (found.refused, "refused"), (found.silent, "got no answer"), (found.strays, "were segments of no connection"),
        (found.opened, "found an open port"),
    )  # fmt: skip
    outcomes = listed([f"{number(count)} {words}" for count, words in answers if count])
    frames = case.frames("first_frame", flows[:4])
    explains = case.anomalies_of(flows=flows)
    return Explanation(
        severity=max((case.anomalies[place].severity for place in case.anomalies_of("PF109", flows=flows)),
                     default=Severity.LOW),
        confidence=LIKELY,
        headline=(
            f"{who} scanned {counted(ports, 'port')} of {where} within {duration(last - first)} at "
            f"{time_of_day(first)}: {number(found.opened)} of {counted(len(flows), 'probe')} found an open port."
        ),
        blame=Blame("host", who, "client"),
        start_ns=first,
        end_ns=int(case.column("end_ns")[flows].max()),
        flows=named(flows),
        count=len(flows),
        hosts=(who, *case.hosts(flows, SERVER)),
        explains=frozenset(explains),
        why=(
            Observation(f"of {counted(len(flows), 'probe')} {outcomes}{in_frames(frames)}", frames),
            *_open_ports(case, found),
        ),
        against=("a client that looks for a service by trying many ports",),
        remedy=(
            Remedy("Client", f"find out what ran on {who} at {time_of_day(first)}: a known inventory or vulnerability "
                             "scanner, or not"),
            Remedy("Network", f"if nobody knows it, block {who} and look what the open ports have answered"),
        ),
    )  # fmt: skip


def _open_ports(case: Case, found: Scan) -> list[Observation]:
    if not found.opened:
        return []
    flows = found.flows
    answered = flows[(case.column("server_syns")[flows] > 0)]
    names = list(dict.fromkeys(case.tables.server(flow) for flow in answered[:50].tolist()))
    if not names:
        return []
    frames = case.frames("server_first_frame", answered)
    return [Observation(f"open: {listed(names, 5)}{in_frames(frames)}", frames)]
