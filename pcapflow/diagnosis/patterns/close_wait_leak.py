"""PI201: an application that does not close what its peers closed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frames
from pcapflow.anomalies.lookup.columns import unique
from pcapflow.anomalies.lookup.timeline import last_times
from pcapflow.anomalies.model import Anomaly, IntArray
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.idle import closes
from pcapflow.diagnosis.model import Blame, Explanation, Observation, Remedy
from pcapflow.diagnosis.pattern import pattern
from pcapflow.tcp.states import CLIENT, CLOSE_WAIT, ENDPOINT_NAMES, SERVER
from pcapflow.text.phrases import counted, duration, number, roughly
from pcapflow.text.times import NS_PER_S, time_of_day

_LEAK: Final = "PF204"
_CONSEQUENCES: Final = ("PF202", "PF203", "PF204")
"""The wait of each connection, seen from either side."""
USUAL_DESCRIPTORS: Final = 1024
"""The soft limit on open files that most Linux systems give a process (`ulimit -n`)."""


@pattern("PI201", "close-wait-leak", title="Connections that an application never closes")
def close_wait_leak(case: Case) -> Sequence[Explanation]:
    """An application keeps connections open that its peers have closed, and they become more and more.

    Seen: several connections of one endpoint in CLOSE_WAIT, of one server, or of one client towards one server, for
        longer than any other took to close; most of them are still there at the end, or ended in one moment, with the
        process.
    Unless: they drain while the capture runs (a slow close), the endpoint goes on sending data (a half-close), or the
        clients left before a server had answered them (client-gave-up): it may still be at work.
    Means: the application has lost track of its sockets. Each holds a file descriptor and memory until the process
        ends; then no connection can be accepted or opened: "too many open files".
    Do:
        Server: close the socket on every path, errors and time-outs too; `ss -tnp state close-wait` names the process.
        Client: let the pool look at a connection before it keeps or reuses it, and evict those the server has closed.
    Else: an intended half-close whose answer has not begun yet.
    Source: RFC 9293, 3.6; RFC 1122, 4.2.2.13; Linux tcp_fin.
    """
    return [
        _explanation(case, place) for place in case.anomalies_of(_LEAK) if not _is_busy(case, case.anomalies[place])
    ]


def _is_busy(case: Case, leak: Anomaly) -> bool:
    """Whether most of the clients left before they had their answer: a program that still works at it loses nothing."""
    owes = closes(case.tables, case.config).owes[np.array(leak.flows, dtype=np.int64)]
    return leak.endpoint == SERVER and 2 * int(np.count_nonzero(owes)) > len(owes)


def _explanation(case: Case, place: int) -> Explanation:
    leak = case.anomalies[place]
    tables, endpoint = case.tables, leak.endpoint
    entered = last_times(tables, endpoint, new=CLOSE_WAIT)
    everyone = _all_of(case, leak.flows[0], endpoint)
    flows = _leaked(case, leak, everyone, entered)
    first = int(flows[0])
    server = tables.server(first)
    who = server if endpoint == SERVER else tables.ip(first, CLIENT)
    towards = "" if endpoint == SERVER else f" to {server}"
    peer = "clients" if endpoint == SERVER else "server"
    since = int(entered[flows].min())
    total = len(everyone)
    left = case.column(f"{ENDPOINT_NAMES[endpoint]}_state")[flows] == CLOSE_WAIT
    open_still = int(np.count_nonzero(left))
    end = tables.capture.last_ns if open_still else int(case.column("end_ns")[flows].max())
    return Explanation(
        severity=leak.severity,
        confidence=leak.confidence,
        headline=(
            f"{who} does not close {_share(len(flows), total)}{towards} that the {peer} had closed, since "
            f"{time_of_day(since)}."
            if open_still
            else f"{who} left {_share(len(flows), total, 'all')}{towards} open that the {peer} had closed, from "
            f"{time_of_day(since)} until {time_of_day(end)}."
        ),
        blame=Blame("endpoint", who, "server") if endpoint == SERVER else Blame("host", who, "client"),
        start_ns=since,
        end_ns=end,
        flows=named(flows),
        count=len(flows),
        hosts=(*case.hosts(flows, endpoint), *case.hosts(flows, 1 - endpoint)),
        explains=frozenset([place, *case.anomalies_of(*_CONSEQUENCES, flows=flows)]),
        why=(
            # What the anomaly says first is in the headline.
            Observation(f"{leak.detail.partition(': ')[2] or leak.detail}{in_frames(leak.frames)}", leak.frames),
            *_rate(entered[flows]),
        ),
        against=leak.alternatives,
        remedy=_remedy(server, endpoint),
    )


def _leaked(case: Case, leak: Anomaly, everyone: IntArray, entered: IntArray) -> IntArray:
    """The connections of a leak, in the order in which they were left open.

    Those that the anomaly names have waited longest; whatever else of the same endpoint is in CLOSE_WAIT at the end
    belongs to it too.
    """
    side = ENDPOINT_NAMES[leak.endpoint]
    waiting = everyone[case.column(f"{side}_state")[everyone] == CLOSE_WAIT]
    flows = unique(np.concatenate((np.array(leak.flows, dtype=np.int64), waiting)))
    return flows[np.argsort(entered[flows], kind="stable")]


def _share(part: int, total: int, whole: str = "any") -> str:
    if part == total:
        return f"{whole} of its {counted(total, 'connection')}"
    return f"{number(part)} of its {counted(total, 'connection')}"


def _all_of(case: Case, flow: int, endpoint: int) -> IntArray:
    everyone = case.same_server(flow)
    return everyone if endpoint == SERVER else case.same_client(flow, everyone)


def _rate(entered_ns: IntArray) -> list[Observation]:
    """How fast they become more, and when a usual limit is reached at that rate."""
    span = int(entered_ns.max() - entered_ns.min())
    if len(entered_ns) < 2 or span <= 0:
        return []
    per_second = (len(entered_ns) - 1) / (span / NS_PER_S)
    until = roughly(round(USUAL_DESCRIPTORS / per_second * NS_PER_S))
    rate = f"{per_second:.1f} a second" if per_second >= 1 else f"one every {duration(round(NS_PER_S / per_second))}"
    return [
        Observation(
            f"they became {number(len(entered_ns))} within {duration(span)}, {rate}; at that rate the usual limit of "
            f"{number(USUAL_DESCRIPTORS)} open files is reached within {until}"
        )
    ]


def _remedy(server: str, endpoint: int) -> tuple[Remedy, ...]:
    if endpoint == SERVER:
        return (
            Remedy(
                "Server",
                f"`ss -tnp state close-wait sport = :{server.rpartition(':')[2]}` names the process; close the socket "
                "where a read returns 0 bytes, on every path, errors and time-outs too",
            ),
            Remedy("Server", "restarting the process frees the sockets until it has leaked as many again"),
        )
    return (
        Remedy(
            "Client",
            f"`ss -tnp state close-wait dst {server}` names the process; let its pool evict connections that the "
            "server has closed, and keep idle ones for less time than the server does",
        ),
    )
