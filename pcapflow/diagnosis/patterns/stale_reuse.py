"""PI302: a client writes to connections that it could know to be closed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frames
from pcapflow.anomalies.lookup.columns import indices, side
from pcapflow.anomalies.lookup.groups import Groups
from pcapflow.anomalies.model import LIKELY, BoolArray, IntArray, Severity
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.idle import (
    GOODBYE_BYTES,
    KNOWN_NS,
    IdleEnd,
    by_time_out,
    came_alone,
    close_frames,
    closes,
    idle_ends,
    largest,
)
from pcapflow.diagnosis.idle_words import doubts_of, lengths, server_waits
from pcapflow.diagnosis.model import Blame, Explanation, Observation, Remedy
from pcapflow.diagnosis.pattern import pattern
from pcapflow.diagnosis.settings import Settings, above, below
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, duration, listed, size
from pcapflow.text.times import time_of_day

_AT_ONCE_NS: Final = 100_000_000
"""Who closes within this time of its answer closes with it."""
_EXPLAINED: Final = ("PF201", "PF202", "PF203", "PF206", "PF301", "PF302", "PF305")


@pattern("PI302", "stale-reuse", title="Closed connections are used again")
def stale_reuse(case: Case) -> Sequence[Explanation]:
    """A client wrote to connections that the server had closed, and whose FIN it had acknowledged before.

    Seen: payload of the client after the server's FIN that the client's host had acknowledged before it wrote, and a
        RST for it, or nothing. The server had closed for being idle: after a time that is the same for most of its
        connections, or one of a usual length. Or it had closed right after its answer.
    Unless: the FIN was not acknowledged yet, so that nobody could know of it (keepalive-race), the server went on
        reading (a half-close), many connections were closed in one moment (a restart), what was written is a small
        goodbye with the client's own FIN behind it, or the client was still sending when the server closed.
    Means: the client's pool hands out connections without a look at whether they are still there. The request is lost,
        and the application sees an error although server and network work.
    Do:
        Client: test a connection before it is used, or drop it from the pool before the server closes it; send
            idempotent requests again.
        Server: nothing; a longer idle time-out makes it rarer.
    Else: an application that notices the end only by writing, and connects anew at once.
    Source: RFC 9112, 9.5; RFC 9293, 3.6 (the FIN is known once it is acknowledged); urllib3, is_connection_dropped.
    """
    ends = closes(case.tables, case.config)
    if not ends.written_to.any():
        return ()
    explanations = []
    for idle in idle_ends(case.tables, case.config, SERVER):
        lost = idle.closed[ends.written_to[idle.closed] & (ends.known_ns[idle.closed] >= KNOWN_NS)]
        lost = lost[by_time_out(idle, ends, lost) | came_alone(idle, ends, lost)]
        if len(lost):
            explanations.append(_explanation(case, idle, lost))
    explanations += [_after_answers(case, flows) for flows in largest(_closed_after_answers(case).at_least(1))]
    return explanations


def _closed_after_answers(case: Case) -> Groups:
    """By server, connections that it closed right after its answer, and to which the client wrote afterwards."""
    ends, f = closes(case.tables, case.config), case.tables.flows
    # What was on its way already when the FIN came draws a RST within a round trip, and then nothing more is written.
    trip = np.maximum(side(f, CLIENT, "rtt_ns"), 0) + np.maximum(side(f, SERVER, "rtt_ns"), 0)
    lost = ends.written_to & (ends.by == SERVER) & (ends.known_ns >= np.maximum(2 * trip, KNOWN_NS))
    lost &= (ends.idle_ns >= 0) & (ends.idle_ns <= _AT_ONCE_NS) & ~ends.owes & ~ends.is_idle & (ends.said_ns >= 0)
    # It had asked for something before, asks for more than to say goodbye, and the server itself says that it is gone.
    late = side(f, CLIENT, "after_fin")
    lost &= (side(f, CLIENT, "bytes") > late) & ~_is_goodbye(late) & (f["reset_by"] == SERVER)
    return case.by_server(indices(lost))


def _explanation(case: Case, idle: IdleEnd, lost: IntArray) -> Explanation:
    tables, ends = case.tables, closes(case.tables, case.config)
    server = tables.server(int(lost[0]))
    hosts = case.hosts(lost, CLIENT)
    clients = hosts.listed(2)
    limit = idle.timer.median_ns if idle.timer else int(np.median(ends.idle_ns[lost]))
    asked = ends.asked_ns[lost]
    small = bool(np.all(_is_goodbye(case.column("client_after_fin")[lost])))
    doubts = ("what was written is as small as a goodbye, which nobody misses",) if small else ()
    return Explanation(
        severity=Severity.MEDIUM if len(lost) > 1 and not small else Severity.LOW,
        headline=(
            f"{clients} used {len(lost)} of {counted(len(idle.everyone), 'connection')} again that {server} had "
            f"closed {duration(int(np.median(ends.known_ns[lost])))} before, after {duration(limit)} without a word, "
            f"and lost what {'they' if len(hosts) > 1 else 'it'} wrote, since {time_of_day(int(asked.min()))}."
        ),
        blame=Blame("host", clients, "client"),
        start_ns=int(asked.min()),
        end_ns=int(max(case.column("end_ns")[lost].max(), asked.max())),
        flows=named(lost),
        count=len(lost),
        hosts=(tables.ip(int(lost[0]), SERVER), *hosts),
        explains=frozenset(case.anomalies_of(*_EXPLAINED, flows=lost)),
        why=_observations(case, idle, lost, server, limit),
        against=(*doubts, *doubts_of(idle)),
        remedy=_remedies(server, case.settings(int(lost[0])), limit, int(ends.client_waited_ns[lost].max())),
    )


def _after_answers(case: Case, lost: IntArray) -> Explanation:
    """A client that writes to what the server ends with its answer."""
    tables, ends = case.tables, closes(case.tables, case.config)
    server, everyone = tables.server(int(lost[0])), case.same_server(int(lost[0]))
    hosts = case.hosts(lost, CLIENT)
    clients = hosts.listed(2)
    asked = ends.asked_ns[lost]
    closed = close_frames(tables, lost, SERVER)
    settings = case.settings(int(lost[0]))
    return Explanation(
        severity=Severity.MEDIUM if len(lost) > 1 else Severity.LOW,
        confidence=LIKELY,
        headline=(
            f"{clients} wrote to connections that {server} had closed right after its answer, "
            f"{duration(int(np.median(ends.known_ns[lost])))} before, and lost what "
            f"{'they' if len(hosts) > 1 else 'it'} wrote, on {len(lost)} of {counted(len(everyone), 'connection')} "
            f"since {time_of_day(int(asked.min()))}."
        ),
        blame=Blame("host", clients, "client"),
        start_ns=int(asked.min()),
        end_ns=int(max(case.column("end_ns")[lost].max(), asked.max())),
        flows=named(lost),
        count=len(lost),
        hosts=(tables.ip(int(lost[0]), SERVER), *hosts),
        explains=frozenset(case.anomalies_of(*_EXPLAINED, flows=lost)),
        why=(
            *_written_in_vain(case, lost, server),
            Observation(
                f"{server} closed within {duration(int(ends.idle_ns[lost].max()))} of its last word{in_frames(closed)}",
                closed,
            ),
        ),
        against=("the end of a process closes its connections in the same way, after an answer as well as before",),
        remedy=(
            Remedy("Client", f"check that a connection is still open before it is used again: {settings.look}"),
            Remedy(
                "Server",
                f"where {server} means to end each connection with its answer, let it say so (`Connection: close` in "
                "HTTP); else let it keep them open for more requests",
            ),
        ),
    )


def _is_goodbye(sizes: IntArray) -> BoolArray:
    """Which sizes are those of goodbyes: Terminate of PostgreSQL, COM_QUIT of MySQL, QUIT, close_notify of TLS."""
    goodbye: BoolArray = ((sizes >= 5) & (sizes <= 6)) | ((sizes >= 24) & (sizes <= GOODBYE_BYTES))
    return goodbye


def _observations(case: Case, idle: IdleEnd, lost: IntArray, server: str, limit_ns: int) -> tuple[Observation, ...]:
    waits = Observation(server_waits(idle, server, limit_ns, case.settings(int(lost[0]))))
    return (*_written_in_vain(case, lost, server), waits)


def _written_in_vain(case: Case, lost: IntArray, server: str) -> tuple[Observation, Observation]:
    """What the client could know, and what became of its words."""
    closed = close_frames(case.tables, lost, SERVER)
    drew = case.frames("reset_frame", lost)
    reset = int(np.count_nonzero(case.column("reset_frame")[lost] > 0))
    known = closes(case.tables, case.config).known_ns[lost]
    written = case.column("client_after_fin")[lost]
    sizes = listed(list(dict.fromkeys((size(int(written.min())), size(int(written.max()))))))
    return (
        Observation(
            f"the client's host had acknowledged the FIN of {server}{in_frames(closed)} {lengths(known)} before the "
            f"client wrote: it could have known that the connection was over",
            closed,
        ),
        Observation(
            f"nothing of what it wrote ({sizes} at a time) was acknowledged; {counted(reset, 'connection')} ended by a "
            f"RST{in_frames(drew)}",
            drew,
        ),
    )


def _remedies(server: str, settings: Settings, limit_ns: int, waited_ns: int) -> tuple[Remedy, ...]:
    return (
        Remedy("Client", f"check that a connection is still open before it is used again: {settings.look}"),
        Remedy(
            "Client",
            f"or let it drop idle connections after {duration(below(limit_ns))}, below the {duration(limit_ns)} of "
            f"{server}: {settings.client_idle}; and repeat a request that fails on a kept connection: {settings.retry}",
        ),
        Remedy(
            "Server",
            f"where the clients cannot be changed, let {server} wait for longer than they pause, "
            f"{duration(above(waited_ns))} or more in place of {duration(limit_ns)}: {settings.server_idle}",
        ),
    )
