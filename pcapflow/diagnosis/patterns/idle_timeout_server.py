"""PI304: a server ends connections that are idle for too long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frames
from pcapflow.anomalies.lookup.columns import among
from pcapflow.anomalies.model import CERTAIN, LIKELY, IntArray, Severity
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.idle import IdleEnd, Timer, by_time_out, close_frames, closes, idle_ends
from pcapflow.diagnosis.idle_words import doubts_of, server_waits
from pcapflow.diagnosis.model import NOBODY, Blame, Explanation, Observation, Remedy
from pcapflow.diagnosis.pattern import pattern
from pcapflow.diagnosis.settings import below
from pcapflow.tcp.states import CLIENT, CLOSE_WAIT, SERVER
from pcapflow.text.phrases import counted, duration
from pcapflow.text.times import time_of_day

_EXPLAINED: Final = ("PF201", "PF202", "PF203", "PF205", "PF301", "PF305")
_LEFT_OPEN: Final = ("PF201", "PF202", "PF203", "PF205")


@pattern("PI304", "idle-timeout-server", title="The server ends idle connections")
def idle_timeout_server(case: Case) -> Sequence[Explanation]:
    """A server closes connections on which nothing was said for a certain time: its idle time-out.

    Seen: FINs or RSTs of one server after silences of the same length, at different times, with no answer owed.
    Unless: most of its closes after silence came after other lengths, as many connections outlived a longer silence,
        the closes fall together in one moment, the RSTs have another TTL than the server's segments (a device), a
        client wrote to such connections (keepalive-race, stale-reuse: those tell it then), or most of them are left in
        CLOSE_WAIT (a leak of the client's).
    Means: what is configured. It is harmless where clients close too and connect anew when they need to. A client that
        keeps what the server closed leaks it, or fails when it asks next; a RST in place of a FIN is an error to it.
    Do:
        Client: drop idle connections before the server does, and close what the server has closed.
        Server: raise its idle time-out if clients pause for longer between two requests.
    Else: an application that sleeps for this long and then closes.
    Source: RFC 9112, 9.5 (time-outs of persistent connections); the manuals of the servers that the remedies name.
    """
    ends = closes(case.tables, case.config)
    explanations = []
    for idle in idle_ends(case.tables, case.config, SERVER):
        if idle.timer is None:
            continue
        written = idle.closed[ends.written_to[idle.closed]]
        if (
            by_time_out(idle, ends, written).any()
            or _is_device(case, idle.timer.flows)
            or _leaks(case, idle.timer.flows)
        ):
            continue
        explanations.append(_explanation(case, idle, idle.timer))
    return explanations


def _is_device(case: Case, flows: IntArray) -> bool:
    ttl, usual = case.column("reset_ttl")[flows], case.column("server_ttl")[flows]
    foreign = (case.column("reset_by")[flows] == SERVER) & (ttl >= 0) & (usual >= 0) & (ttl != usual)
    return 2 * int(np.count_nonzero(foreign)) > len(flows)


def _leaks(case: Case, flows: IntArray) -> bool:
    left = int(np.count_nonzero(case.column("client_state")[flows] == CLOSE_WAIT))
    return left >= case.config.leak_flows and 2 * left >= len(flows)


def _explanation(case: Case, idle: IdleEnd, struck: Timer) -> Explanation:
    tables, ends, flows = case.tables, closes(case.tables, case.config), struck.flows
    server = tables.server(int(flows[0]))
    settings = case.settings(int(flows[0]))
    reset = flows[(case.column("reset_by")[flows] == SERVER) & (case.column("reset_ns")[flows] == ends.at_ns[flows])]
    left = case.flows_of(case.anomalies_of(*_LEFT_OPEN, flows=flows))
    left = left[among(left, flows)]
    at = ends.at_ns[flows]
    first, last = int(at.min()), int(at.max())
    harmful = 2 * len(reset) > len(flows) or _is_grave(case, flows)
    clients = case.hosts(flows, CLIENT)
    frames = close_frames(tables, flows, SERVER)
    how = "reset" if 2 * len(reset) > len(flows) else "closed"
    why = [
        Observation(
            f"{server_waits(idle, server, struck.median_ns, settings)}{in_frames(frames)}",
            frames,
        )
    ]
    if len(reset):
        resets = case.frames("reset_frame", reset)
        why.append(
            Observation(
                f"{'all' if len(reset) == len(flows) else len(reset)} of these closes were RSTs{in_frames(resets)}: "
                "the client's next use of the connection fails with an error",
                resets,
            )
        )
    if len(left):
        why.append(Observation(f"the client did not close its side of {counted(len(left), 'connection')} of these"))
    return Explanation(
        severity=Severity.LOW if harmful else Severity.INFO,
        confidence=CERTAIN if struck.moments > 2 and not len(idle.outlived) else LIKELY,
        headline=(
            f"{server} {how} {len(flows)} of {counted(len(idle.everyone), 'connection')} of {clients.listed(2)} after "
            f"{duration(struck.median_ns)} without a word, first at {time_of_day(first)}."
        ),
        blame=Blame("endpoint", server, "server") if harmful else NOBODY,
        start_ns=first,
        end_ns=last,
        flows=named(flows),
        count=len(flows),
        hosts=(tables.ip(int(flows[0]), SERVER), *clients),
        explains=frozenset(case.anomalies_of(*_EXPLAINED, flows=flows)),
        why=tuple(why),
        against=doubts_of(idle),
        remedy=(
            Remedy(
                "Client",
                f"a pool should drop idle connections earlier, after {duration(below(struck.median_ns))}: "
                f"{settings.client_idle}; or check them before use: {settings.look}",
            ),
            Remedy(
                "Server",
                f"its time-out is {duration(struck.median_ns)} now; raise it if clients need to pause for longer: "
                f"{settings.server_idle}",
            ),
        ),
    )


def _is_grave(case: Case, flows: IntArray) -> bool:
    """Whether a rule found more than a trifle in what became of these connections."""
    places = case.anomalies_of(*_LEFT_OPEN, flows=flows)
    return any(case.anomalies[place].severity > Severity.INFO for place in places)
