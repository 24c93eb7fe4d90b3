"""PI401: a host is not heard any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frames
from pcapflow.anomalies.lookup.groups import host_keys
from pcapflow.anomalies.model import LIKELY, POSSIBLE, IntArray, Severity
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.event_words import (
    asked_in_vain,
    askers_of,
    concerned,
    count_attempts,
    is_established,
    last_heard,
    others_heard,
    peer_of,
)
from pcapflow.diagnosis.events import Event, events_of
from pcapflow.diagnosis.hosts import Hosts
from pcapflow.diagnosis.icmp_messages import messages, observed, senders
from pcapflow.diagnosis.model import Blame, Explanation, Observation, Remedy
from pcapflow.diagnosis.paths import path_between
from pcapflow.diagnosis.pattern import pattern
from pcapflow.diagnosis.verdicts import forgot, is_path
from pcapflow.tcp.states import SERVER
from pcapflow.text.phrases import counted, duration, listed
from pcapflow.text.times import time_of_day

_MANY: Final = 3
"""Connections that a silent client leaves behind before somebody has to look at it."""


@pattern("PI401", "host-down", title="A host is not heard any more")
def host_down(case: Case) -> Sequence[Explanation]:
    """All connections of one host fell silent in one moment, and whoever asked it afterwards had no answer.

    Seen: after its last segment nothing came from a host, on no connection and no port, although others sent it data
        again and again or tried to connect; ICMP of a router (host unreachable) names it. Or it came back, and
        answered what belonged to old connections by RSTs.
    Unless: other hosts fell silent for the same askers in the same moment, or ICMP names a network (PI402); it came
        back and went on with its connections (PI402); some of its ports or clients were still answered; only SYNs to
        one port had no answer (PI103, PI405).
    Means: the host lost its power, its link or its address, or hangs; or the last stretch of the path to it is cut.
        Open connections find out late: after 15 minutes of sending, or never when they only wait.
    Do:
        Server: look at the host's console, power and link; `journalctl -b -1 -e` tells how it ended.
        Client: let requests time out, and set TCP_USER_TIMEOUT or keep-alives, so that dead connections are noticed.
        Network: see whether its neighbours hear it (ARP or neighbour table of the last router).
    Else: the path to it was cut for all who are seen in the capture.
    Source: RFC 9293, 3.8.3; RFC 1122, 4.2.3.9; Linux tcp_retries2.
    """
    events = events_of(case)
    return [
        _explanation(case, event)
        for event in events
        if event.scope == "host"
        and is_established(case, event)
        and (event.back_ns < 0 or (forgot(case, event) and not np.any(_attempts(case, event))))
        and not is_path(case, event, events)
    ]


def _attempts(case: Case, event: Event) -> np.ndarray:
    """Which connections were begun while it was silent: with them, PI101 restart tells of it."""
    started = case.column("start_ns")
    tried: np.ndarray = (host_keys(case.tables, SERVER) == event.peer) & (started > event.since_ns)
    return tried & (started < event.back_ns)


def _explanation(case: Case, event: Event) -> Explanation:
    flows = concerned(case, event)
    peer, askers = peer_of(case, event), askers_of(case, event)
    errors = messages(case, flows, after_ns=event.since_ns)
    router = (*senders(errors), "the last router before it")[0]
    attempts = count_attempts(case, event, flows)
    others = others_heard(case, event)
    end = event.back_ns if event.back_ns >= 0 else case.tables.capture.last_ns
    is_server = 2 * int(np.count_nonzero(host_keys(case.tables, SERVER)[flows] == event.peer)) > len(flows)
    return Explanation(
        severity=_severity(event, flows, is_server=is_server),
        confidence=LIKELY if others or errors or len(askers) > 1 or event.back_ns >= 0 else POSSIBLE,
        headline=_headline(event, peer, len(flows) - attempts, attempts, end),
        blame=Blame("host", peer, "server" if is_server else "client"),
        start_ns=event.since_ns,
        end_ns=end,
        flows=named(event.first_asked(flows)),
        count=len(flows),
        hosts=(peer, *askers)[:20],
        explains=frozenset(case.anomalies_of(flows=flows)),
        why=(
            last_heard(case, event),
            *asked_in_vain(case, event),
            *observed(case, errors),
            *_resets(case, event),
            *_others(others),
        ),
        against=()
        if others or event.back_ns >= 0
        else (
            f"{path_between(askers, Hosts([peer], 1))} is cut: no other host is heard meanwhile to tell the two apart",
        ),
        remedy=(
            Remedy(
                "Server" if is_server else "Client",
                f"look at the power, link and console of {peer}, and at its last words before "
                f"{time_of_day(event.since_ns)}: `journalctl -b -1 -e`, the hypervisor's or BMC's log",
            ),
            Remedy(
                "Network",
                f"see whether {router} has {peer} in its neighbour table (`ip neigh show`), and whether the switch "
                f"port of {peer} is up",
            ),
            Remedy(
                "Client" if is_server else "Server",
                "notice a dead peer sooner than after the 15 minutes of `net.ipv4.tcp_retries2` (15): "
                "TCP_USER_TIMEOUT, and SO_KEEPALIVE for connections that only wait",
            ),
        ),
    )


def _severity(event: Event, flows: IntArray, *, is_server: bool) -> Severity:
    if event.back_ns >= 0:
        return Severity.MEDIUM
    if is_server:
        return Severity.HIGH
    return Severity.MEDIUM if len(flows) >= _MANY else Severity.LOW


def _headline(event: Event, peer: str, silent: int, attempts: int, end_ns: int) -> str:
    asked = [f"{counted(silent, 'connection')}"] if silent else []
    if attempts:
        asked.append(counted(attempts, "attempt"))
    since = time_of_day(event.since_ns)
    if event.back_ns >= 0:
        return (
            f"{peer} fell silent at {since} and came back after {duration(event.back_ns - event.since_ns)} without "
            f"its connections: {listed(asked)} were lost."
        )
    return (
        f"{peer} has not been heard since {since}: {listed(asked)} had no answer in the "
        f"{duration(end_ns - event.since_ns)} to the end of the capture."
    )


def _resets(case: Case, event: Event) -> list[Observation]:
    if event.back_ns < 0:
        return []
    flows = event.flows
    frames = case.frames("reset_frame", flows)
    answered = int(np.count_nonzero(case.column("reset_frame")[flows] > 0))
    return [
        Observation(
            f"when it was back, it answered what came on {counted(answered, 'connection')} by RST{in_frames(frames)}",
            frames,
        )
    ]


def _others(others: Hosts) -> list[Observation]:
    if not others:
        return []
    return [Observation(f"other hosts were heard meanwhile: {others.listed(4)}")]
