"""PI301: a request crosses the close of a server that has waited long enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frames
from pcapflow.anomalies.model import CERTAIN, LIKELY, IntArray, Severity
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.idle import KNOWN_NS, IdleEnd, by_time_out, close_frames, closes, idle_ends
from pcapflow.diagnosis.idle_words import doubts_of, finely, server_waits
from pcapflow.diagnosis.model import NOBODY, Explanation, Observation, Remedy
from pcapflow.diagnosis.pattern import pattern
from pcapflow.diagnosis.settings import Settings, above, below
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, duration, number
from pcapflow.text.times import time_of_day

_EXPLAINED: Final = ("PF206", "PF207", "PF301", "PF302", "PF305")


@pattern("PI301", "keepalive-race", title="Requests cross the close of idle connections")
def keepalive_race(case: Case) -> Sequence[Explanation]:
    """A client used an idle connection again in the very moment in which the server closed it for being idle.

    Seen: requests that the server never acknowledged, since it had closed the connection while they were on their way:
        its FIN had not reached the client when that wrote. The server had waited for a time that is the same for most
        of its connections, or a usual length of time-outs.
    Unless: the client had acknowledged the FIN before it wrote (stale-reuse), or the server closed many connections in
        one moment, after silences that differ (it was restarted).
    Means: both sides let idle connections be for about the same time. Now and then one asks just when the other closes;
        the request is lost, and the client sees `Connection reset by peer`. Neither side has a bug.
    Do:
        Client: set its idle time-out below the server's, by more than a round trip, and send idempotent requests again.
        Server: set its idle time-out above that of every client, proxies and load balancers before it included.
    Else: a server that closes for another reason after as long a silence.
    Source: RFC 9112, 9.5 (a client may send while the server closes) and 9.3.1 (retrying requests).
    """
    ends = closes(case.tables, case.config)
    if not ends.written_to.any():
        return ()
    explanations = []
    for idle in idle_ends(case.tables, case.config, SERVER):
        lost = idle.closed[ends.written_to[idle.closed] & (ends.known_ns[idle.closed] < KNOWN_NS)]
        lost = lost[by_time_out(idle, ends, lost)]
        if len(lost):
            explanations.append(_explanation(case, idle, lost))
    return explanations


def _explanation(case: Case, idle: IdleEnd, lost: IntArray) -> Explanation:
    tables, ends = case.tables, closes(case.tables, case.config)
    server = tables.server(int(lost[0]))
    clients = case.hosts(lost, CLIENT)
    limit = idle.timer.median_ns if idle.timer else int(np.median(ends.idle_ns[lost]))
    waited = int(ends.client_waited_ns[lost].max())
    asked = ends.asked_ns[lost]
    asks, were = ("requests", "were") if len(lost) > 1 else ("a request", "was")
    return Explanation(
        severity=Severity.MEDIUM if len(lost) > 1 else Severity.LOW,
        confidence=CERTAIN if idle.timer else LIKELY,
        headline=(
            f"{server} closes connections that are idle for {duration(limit)}, and "
            f"{asks} of {clients.listed(2)} crossed such a close on the way and {were} lost, on {len(lost)} of "
            f"{counted(len(idle.everyone), 'connection')} since {time_of_day(int(asked.min()))}."
        ),
        blame=NOBODY,
        start_ns=int(asked.min()),
        end_ns=int(max(case.column("end_ns")[lost].max(), asked.max())),
        flows=named(lost),
        count=len(lost),
        hosts=(tables.ip(int(lost[0]), SERVER), *clients),
        explains=frozenset(case.anomalies_of(*_EXPLAINED, flows=lost)),
        why=_observations(case, idle, lost, server, limit, waited),
        against=doubts_of(idle),
        remedy=_remedies(server, case.settings(int(lost[0])), limit, waited),
    )


def _observations(
    case: Case, idle: IdleEnd, lost: IntArray, server: str, limit_ns: int, waited_ns: int
) -> tuple[Observation, ...]:
    closed = close_frames(case.tables, lost, SERVER)
    resets = case.frames("reset_frame", lost)
    drew = int(np.count_nonzero(case.column("reset_frame")[lost] > 0))
    return (
        Observation(
            f"when {server} closed{in_frames(closed)}, the client's next request was on its way or about to be: it had "
            "acknowledged nothing of the close when it wrote",
            closed,
        ),
        Observation(
            f"{server} acknowledged none of {counted(len(lost), 'request')}; {number(drew)} drew a "
            f"RST{in_frames(resets)}",
            resets,
        ),
        Observation(server_waits(idle, server, limit_ns, case.settings(int(lost[0])))),
        Observation(
            f"the clients wrote again after up to {finely(waited_ns)} of silence, and the server closes after "
            f"{finely(limit_ns)}"
        ),
    )


def _remedies(server: str, settings: Settings, limit_ns: int, waited_ns: int) -> tuple[Remedy, ...]:
    return (
        Remedy(
            "Client",
            f"let it drop idle connections after {duration(below(limit_ns))}, below the {duration(limit_ns)} of "
            f"{server}: {settings.client_idle}; now it still uses them after {finely(waited_ns)}",
        ),
        Remedy(
            "Server",
            f"or let {server} keep idle connections for longer than every client does, "
            f"{duration(above(max(waited_ns, limit_ns)))} or more in place of {duration(limit_ns)}: "
            f"{settings.server_idle}",
        ),
        Remedy(
            "Client",
            f"send idempotent requests once more when a kept connection ends unanswered: {settings.retry}",
        ),
    )
