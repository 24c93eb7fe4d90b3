"""PI503: somebody who looks, at regular times, whether a service is there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frames
from pcapflow.anomalies.lookup.columns import indices, side
from pcapflow.anomalies.model import CERTAIN, LIKELY, BoolArray, IntArray, Severity
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.figures import agreement
from pcapflow.diagnosis.model import NOBODY, Explanation, Observation
from pcapflow.diagnosis.mute import closed_without_a_word
from pcapflow.diagnosis.pattern import pattern
from pcapflow.tcp.completeness import COMPLETE_ACK, COMPLETE_SYN_ACK
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, duration
from pcapflow.text.times import NS_PER_S

_LEAST: Final = 5
"""Fewer looks have no period."""
_SHARE: Final = 0.75
"""This share of the pauses between looks must agree: a check may be late, or come once more."""
_SHORT_SHARE: Final = 0.5
"""A look is over within this share of the period."""
_ASKS: Final = re.compile(r"\b(?:health|healthz|livez?|readyz?|ping|status|alive|heartbeat|check)\b", re.IGNORECASE)
_HARMLESS: Final = ("PF206", "PF301", "PF302")


@pattern("PI503", "health-check", title="A health check")
def health_check(case: Case) -> Sequence[Explanation]:
    """One host opens a connection at regular times, says nothing or asks for the service's health, and ends it at once.

    Seen: connections of one host to one address and port, begun at a constant period, each short, that carry no data,
        or a request whose path is that of a health check (/health, /ping, /status and the like).
    Unless: attempts fail (then the service is down: nothing listens, or it does not answer), the server ends them
        itself without a word (refused-by-protocol), or they carry other requests.
    Means: a load balancer or a monitor looks whether the service is there. To end such a connection by a reset is
        usual, and harmless.
    Do:
        Client: nothing; where the resets disturb, haproxy's `option httpchk` or a full close in place of a TCP check.
    Else: a program that opens connections for later, and never uses them.
    Source: haproxy's manual, "check" and "inter"; nginx, "health_check".
    """
    says_nothing = _says_nothing(case)
    candidates = says_nothing.copy()
    candidates[list(case.payload.said)] = True
    flows = indices(candidates & (case.column("completeness") & COMPLETE_SYN_ACK > 0))
    return [
        explanation
        for of_server in case.by_server(flows).at_least(_LEAST)
        for members in case.by_host(of_server, CLIENT).at_least(_LEAST)
        for explanation in _explanations(case, members, says_nothing)
    ]


def _says_nothing(case: Case) -> BoolArray:
    """Connections that were established, and on which the client sent no payload.

    Not those that the server ended without a word: who is turned away looks at nothing.
    """
    silent = (side(case.tables.flows, CLIENT, "bytes") == 0) & (case.column("completeness") & COMPLETE_ACK > 0)
    silent &= ~closed_without_a_word(case.tables)
    return np.asarray(silent, dtype=bool)


def _explanations(case: Case, flows: IntArray, says_nothing: BoolArray) -> Iterator[Explanation]:
    silent = flows[says_nothing[flows]]
    asked: dict[str, list[int]] = {}
    for flow in flows.tolist():
        said = case.payload.said.get(flow)
        if said and not said.error and _ASKS.search(said.request):
            asked.setdefault(said.request, []).append(flow)
    for request, members in (("", silent), *((text, np.array(each, dtype=np.int64)) for text, each in asked.items())):
        explanation = _explanation(case, members, request)
        if explanation is not None:
            yield explanation


def _explanation(case: Case, flows: IntArray, request: str) -> Explanation | None:
    if len(flows) < _LEAST:
        return None
    starts = case.column("start_ns")[flows]
    order = np.argsort(starts, kind="stable")
    flows, starts = flows[order], starts[order]
    pauses = np.diff(starts)
    period = agreement(pauses, least=_LEAST - 1)
    lasted = case.column("end_ns")[flows] - starts
    if period is None or len(period.members) < _SHARE * len(pauses) or period.median_ns < NS_PER_S // 10:
        return None
    if np.count_nonzero(lasted < period.median_ns * _SHORT_SHARE) < _SHARE * len(flows):
        return None
    client, server = case.tables.ip(int(flows[0]), CLIENT), case.tables.server(int(flows[0]))
    what = f"asks `{request}`" if request else "opens a connection and ends it without a word"
    resets = flows[case.column("reset_frame")[flows] > 0]
    frames = case.frames("first_frame", flows[:4])
    mildest = Severity.INFO if case.column("server_bytes")[flows].any() else Severity.LOW
    explains = [
        place for place in case.anomalies_of(*_HARMLESS, flows=flows) if case.anomalies[place].severity <= mildest
    ]
    low, high = duration(period.low_ns), duration(period.high_ns)
    span = low if low == high else f"{low} to {high}"
    why = [
        Observation(
            f"{len(period.members)} of {len(pauses)} times the next one began after {span}{in_frames(frames)}",
            frames,
        ),
        Observation(f"each was over within {duration(int(lasted.max()))}"),
    ]
    if len(resets):
        ended = case.frames("reset_frame", resets[:4])
        text = f"{counted(len(resets), 'of them ends', 'of them end')} by a RST"
        why.append(Observation(f"{text}{in_frames(ended)}", ended))
    return Explanation(
        severity=Severity.INFO,
        confidence=CERTAIN if request else LIKELY,
        headline=(
            f"{client} looks every {duration(period.median_ns)} whether {server} is there: it {what}, "
            f"{counted(len(flows), 'time')}."
        ),
        blame=NOBODY,
        start_ns=int(starts[0]),
        end_ns=int(case.column("end_ns")[flows].max()),
        flows=named(flows),
        count=len(flows),
        hosts=(client, case.tables.ip(int(flows[0]), SERVER)),
        explains=frozenset(explains),
        why=tuple(why),
    )
