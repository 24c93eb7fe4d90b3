"""PI305: a client drops connections that are idle for too long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pcapflow.anomalies.cite import in_frames
from pcapflow.anomalies.model import CERTAIN, LIKELY, Severity
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.idle import IdleEnd, Timer, close_frames, closes, idle_ends
from pcapflow.diagnosis.idle_words import doubts_of, time_out_seen
from pcapflow.diagnosis.model import NOBODY, Explanation, Observation, Remedy
from pcapflow.diagnosis.pattern import pattern
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, duration
from pcapflow.text.times import time_of_day

_EXPLAINED: Final = ("PF301", "PF305")
_MOST: Final = 20
"""Clients that are told of, those with the most connections; they are harmless."""


@pattern("PI305", "idle-timeout-client", title="The client drops idle connections")
def idle_timeout_client(case: Case) -> Sequence[Explanation]:
    """A client closes connections on which nothing was said for a certain time: the idle time-out of its pool.

    Seen: FINs or RSTs of one client towards one server after silences of the same length, at different times, with no
        answer owed by the server.
    Unless: the client had asked and the answer had not come (client-gave-up), most of its closes after silence came
        after other lengths, as many connections outlived a longer silence, or the closes fall together in one moment.
    Means: what is configured, and harmless: a client that drops idle connections before the server does never meets a
        closed one.
    Do:
        Client: nothing; raise the idle time-out of its pool if connections are set up anew too often.
        Server: keep its own idle time-out above the client's.
    Else: a program that sleeps for this long before it ends; a client that gives up on answers that stop half-way.
    Source: RFC 9112, 9.5; the manuals of the pools that the remedies name.
    """
    found = [(idle, idle.timer) for idle in idle_ends(case.tables, case.config, CLIENT) if idle.timer is not None]
    return [_explanation(case, idle, struck) for idle, struck in found[:_MOST]]


def _explanation(case: Case, idle: IdleEnd, struck: Timer) -> Explanation:
    tables, flows = case.tables, struck.flows
    server, client = tables.server(int(flows[0])), tables.ip(int(flows[0]), CLIENT)
    settings = case.settings(int(flows[0]))
    at = closes(tables, case.config).at_ns[flows]
    first, last = int(at.min()), int(at.max())
    frames = close_frames(tables, flows, CLIENT)
    length = duration(struck.median_ns)
    return Explanation(
        severity=Severity.INFO,
        confidence=CERTAIN if struck.moments > 2 and not len(idle.outlived) else LIKELY,
        headline=(
            f"{client} closed {len(flows)} of {counted(len(idle.everyone), 'connection')} to {server} after {length} "
            f"without a word, first at {time_of_day(first)}."
        ),
        blame=NOBODY,
        start_ns=first,
        end_ns=last,
        flows=named(flows),
        count=len(flows),
        hosts=(tables.ip(int(flows[0]), SERVER), client),
        explains=frozenset(case.anomalies_of(*_EXPLAINED, flows=flows)),
        why=(
            Observation(
                f"{client} {time_out_seen(idle, struck.median_ns)}{in_frames(frames)}",
                frames,
            ),
        ),
        against=("answers that stop half-way, and for whose end the client waits, look the same", *doubts_of(idle)),
        remedy=(
            Remedy("Client", f"nothing is wrong; if it connects anew too often, raise {settings.client_idle}; it is "
                   f"{length} now"),
            Remedy("Server", f"keep its own idle time-out above {length}: {settings.server_idle}"),
        ),
    )  # fmt: skip
