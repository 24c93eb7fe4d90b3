"""PI104: a server takes long to answer."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.cite import in_frames, proof
from pcapflow.anomalies.figures import wilson
from pcapflow.anomalies.lookup.columns import among, side
from pcapflow.anomalies.lookup.groups import group, server_keys
from pcapflow.anomalies.model import LIKELY, POSSIBLE, BoolArray, IntArray, Severity
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.figures import agreement
from pcapflow.diagnosis.model import NOBODY, Blame, Explanation, Observation, Remedy
from pcapflow.diagnosis.pattern import pattern
from pcapflow.diagnosis.refusals import refusal_of
from pcapflow.diagnosis.settings import HTTP, MYSQL, POSTGRES, REDIS, settings_of
from pcapflow.diagnosis.starving import starving
from pcapflow.tables.moments import Moments
from pcapflow.tcp.completeness import COMPLETE_SYN
from pcapflow.tcp.owed import ACKNOWLEDGMENT
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, duration
from pcapflow.text.times import time_of_day, to_ns

_ROUND_TRIPS: Final = 20
"""An answer that took fewer round trips than this is slow because of the path."""
_MAX_SERVERS: Final = 200
_LEAST_SHARE: Final = 0.1
"""Of the connections that were answered, more than this share must be slow, with all the doubt of a small count."""
_MOST_OF: Final = 0.8
"""Slow answers of which this share takes the same time come by a timer: work takes now longer, now shorter."""
_FEW: Final = 3
"""Fewer answers may take the same time by chance."""
_NINE_OF_TEN: Final = 10
"""Of fewer answers it says little that nine of ten are quicker."""
_BARE_PACKETS: Final = 3
"""SYN-ACK, ACK of the question, and FIN."""
_LIKE_THE_FIRST: Final = 0.5
"""Words of a server that come after pauses of this share of the first or longer are events as well."""
_MOMENT_NS: Final = 50_000_000
"""What happens within this time is one event."""
_SELDOM: Final = 0.2
"""Of the time, the share that is within a moment of a request by chance."""
_WOKEN: Final = (
    "all of them were answered in one moment, right after the request of another client: they may have waited for "
    "that, as workers wait for a job"
)
_BETWEEN: Final = (0.2, 0.8)
"""Shares of a timer: what takes so long is neither quick nor cut off by it."""
_GROWS: Final = 2.0
"""Answers that take so much longer among many open connections than among few grow with the load."""


_WAITS: Final = re.compile(
    r"\b(?:B[LR]POP|BRPOPLPUSH|BLMOVE|BLMPOP|BZM?POP(?:MIN|MAX)?|XREAD|XREADGROUP|P?SUBSCRIBE|MONITOR|WAIT|LISTEN|"
    r"pg_sleep|SLEEP)\b", re.IGNORECASE,
)  # fmt: skip
"""Requests that ask a server to answer later ..."""
_STORES: Final = ("redis", "postgres", "mysql")
"""... in the protocols that have them."""
_LOGS: Final = {
    HTTP: "`$request_time` and `$upstream_response_time` in the log of nginx, `%(L)s` in that of gunicorn",
    MYSQL: "`slow_query_log` and `long_query_time` of MariaDB or MySQL",
    POSTGRES: "`log_min_duration_statement` and `pg_stat_activity` of PostgreSQL",
    REDIS: "`SLOWLOG GET` of Redis",
}
"""Where the program that usually listens on a port says what was slow."""


class _Slow(NamedTuple):
    """One server's answers: the longest of each connection.

    Attributes:
        flows: connections with an answer, in order of number.
        took_ns: how long its longest answer took.
        is_slow: which of them are slow.
    """

    flows: IntArray
    took_ns: IntArray
    is_slow: BoolArray


@pattern("PI104", "slow-server", title="A server takes long to answer")
def slow_server(case: Case) -> Sequence[Explanation]:
    """A server's answers begin seconds after the requests, over a path that takes a fraction of that.

    Seen: of one address and port, several connections on which the longest time from the client's last byte to the
        first of the server's answer is above `slow_answer_s` and above 20 round trips.
    Unless: few connections of many are slow (subscriptions among requests), the clients asked to wait (BLPOP of Redis
        and the like), data is only streamed, or comes later on as seldom as at first and without a question (events),
        the slow answer refuses a log-in (servers delay that on purpose), segments had to be sent again in the longest
        silence, or the program does not accept in time (PI103). Where the clients ask again at once and all answers
        take the same time, it may be long polling, and is told as worth knowing.
    Means: the time is spent in the program or in what it asks in turn (a database, a lock), not on the path.
    Do:
        Server: measure where the time goes: its slow log, its queries, locks and pools, the CPU.
        Client: set the time-out above what the answers really take.
    Else: requests that are slow by nature (reports, searches, sleeps) look the same.
    Source: Apdex 1.1 (satisfied, tolerating, frustrated); RFC 9293, 3.8 (an ACK comes from the kernel, at once).
    """
    answer_ns = case.column("answer_ns")
    trip = np.maximum(side(case.tables.flows, CLIENT, "rtt_ns"), 0) + np.maximum(
        side(case.tables.flows, SERVER, "rtt_ns"), 0
    )
    is_slow = (answer_ns > to_ns(case.config.slow_answer_s)) & (answer_ns > _ROUND_TRIPS * trip)
    # What was waited for is the path's where the kernel's ACK was owed, not the program's answer.
    is_slow &= case.column("idle_owed") != ACKNOWLEDGMENT
    is_slow &= ~_is_pushed(case) & ~_is_penalty(case)
    keys = server_keys(case.tables)
    starved = np.array([keys[listener.server] for listener in starving(case.tables, case.config)], dtype=np.int64)
    slow = np.flatnonzero(is_slow & ~among(keys, starved)).astype(np.int64)
    explanations = []
    for members in sorted(group(slow, keys[slow]).at_least(1), key=len, reverse=True)[:_MAX_SERVERS]:
        everyone = case.same_server(int(members[0]))
        answered = everyone[answer_ns[everyone] >= 0]
        found = _Slow(answered, answer_ns[answered], is_slow[answered])
        if not _is_common(case, found) or _is_wanted(case, found):
            continue
        explanations.append(_polling(case, found) if _is_polled(case, found) else _explanation(case, found))
    return explanations


def _is_pushed(case: Case) -> BoolArray:
    """Connections on which the server goes on to speak unasked, after pauses like the first: it tells of events."""
    f = case.tables.flows
    first_ns, last_ns = side(f, SERVER, "first_data_ns"), side(f, SERVER, "data_ns")
    # Each packet but those of the handshake, of the question and of the close may carry a word.
    words = np.maximum(side(f, SERVER, "packets") - _BARE_PACKETS, 1)
    apart_ns = (last_ns - first_ns) // words
    unasked = (first_ns > side(f, CLIENT, "data_ns")) & (words >= _FEW)
    pushed: BoolArray = unasked & (apart_ns >= f["answer_ns"] * _LIKE_THE_FIRST)
    return pushed & (f["answer_ns"] > 0)


def _is_penalty(case: Case) -> BoolArray:
    """Connections whose slow answer lets a client not in: who guesses passwords is kept waiting."""
    found = np.zeros(len(case), dtype=bool)
    for flow, said in case.payload.said.items():
        refusal = refusal_of(said) if said.error_by == SERVER else None
        if refusal is not None and not refusal.is_limit:
            found[flow] = said.error_frame == int(case.column("answer_frame")[flow])
    return found


def _is_common(case: Case, found: _Slow) -> bool:
    slow, total = int(np.count_nonzero(found.is_slow)), len(found.flows)
    if slow == 1:
        # Later on, what looks like an answer may be a word of the server's own: a keep-alive of BGP, a chat. So may
        # the first, where the beginning was not captured, or where the server had spoken before it was asked.
        flow = int(found.flows[found.is_slow][0])
        first_ns = int(Moments(case.tables).first_byte_ns[flow])
        opened = bool(case.column("completeness")[flow] & COMPLETE_SYN)
        asked = 0 <= case.column("client_first_data_ns")[flow] <= case.column("server_first_data_ns")[flow]
        return total == 1 and opened and bool(asked) and first_ns > to_ns(case.config.slow_answer_s)
    return slow == total or wilson(slow, total)[0] > _LEAST_SHARE


def _timer_ns(found: _Slow) -> int:
    """How long the slow answers took, where all but a few took the same time; 0 elsewhere."""
    took = found.took_ns[found.is_slow]
    agreed = agreement(took, least=_FEW)
    return agreed.median_ns if agreed is not None and len(agreed.members) >= _MOST_OF * len(took) else 0


def _cut_off_ns(found: _Slow) -> int:
    """The timer that ends the waits; 0 where answers of other lengths show that it is work, or a queue that fills."""
    timer_ns = _timer_ns(found)
    between = (found.took_ns > _BETWEEN[0] * timer_ns) & (found.took_ns < _BETWEEN[1] * timer_ns)
    return 0 if between.any() else timer_ns


def _is_polled(case: Case, found: _Slow) -> bool:
    """Whether the clients only wait for what a timer lets them have, and ask again at once."""
    timer_ns = _timer_ns(found)
    slow = found.flows[found.is_slow]
    answers = (case.column("turns")[slow] + 1) // 2
    spoken_ns = case.column("server_data_ns")[slow] - case.column("client_first_data_ns")[slow]
    polled = (answers >= 2) & (spoken_ns >= _MOST_OF * timer_ns * answers)
    return timer_ns > 0 and 2 * int(np.count_nonzero(polled)) > len(slow)


def _is_wanted(case: Case, found: _Slow) -> bool:
    """Whether the clients asked the server to wait, as far as their words were read."""
    if not case.payload.said:
        return False
    slow = found.flows[found.is_slow].tolist()
    asked = [said for flow in slow if (said := case.payload.said.get(flow)) and said.request]
    return bool(asked) and all(said.protocol in _STORES and _WAITS.search(said.request) for said in asked)


def _polling(case: Case, found: _Slow) -> Explanation:
    """Answers that all take the same time, to clients that ask again at once: the packets do not tell why."""
    slow_answers = _explanation(case, found)
    timer, slow = duration(_timer_ns(found)), counted(int(np.count_nonzero(found.is_slow)), "connection")
    server = case.tables.server(int(found.flows[0]))
    remedy = Remedy(
        "Server", f"nothing if it is long polling; else find out what it waits for, and gives up after {timer}"
    )
    return dataclasses.replace(
        slow_answers,
        severity=Severity.INFO,
        confidence=POSSIBLE,
        headline=(
            f"{server} answers after {timer} each time on {slow}, whose clients ask again at once, since "
            f"{time_of_day(slow_answers.start_ns)}: long polling, or a wait that always ends in the same time-out."
        ),
        blame=NOBODY,
        against=("a program that is slow in the same way each time looks the same as long polling",),
        remedy=(remedy,),
    )


def _explanation(case: Case, found: _Slow) -> Explanation:
    slow = found.flows[found.is_slow]
    took = found.took_ns[found.is_slow]
    worst = np.argsort(-took, kind="stable")
    server = case.tables.server(int(slow[0]))
    start = int(case.column("start_ns")[slow].min())
    half, most, longest = _percentiles(found.took_ns)
    clients = case.hosts(slow, CLIENT)
    return Explanation(
        severity=_severity(case, found),
        confidence=LIKELY,
        headline=(
            f"{server} answers slowly: on {len(slow)} of {counted(len(found.flows), 'connection')} the first byte of "
            f"an answer came after {_from_to(duration(int(took.min())), longest)}, since {time_of_day(start)}."
        ),
        blame=Blame("endpoint", server, "server"),
        start_ns=start,
        end_ns=int(case.column("end_ns")[slow].max()),
        flows=named(slow[worst]),
        count=len(slow),
        hosts=(case.tables.ip(int(slow[0]), SERVER), *clients),
        explains=frozenset(),
        why=tuple(_why(case, found, _spread(half, most, longest))),
        against=(
            *((_WOKEN,) if _is_woken(case, found) else ()),
            "requests that are slow by nature (a report, a search) look the same: the bytes do not tell",
        ),
        remedy=_remedy(case, found, most),
    )


def _is_woken(case: Case, found: _Slow) -> bool:
    """Whether all slow answers came in one moment, and right after a request of another that was answered at once.

    A server that had been halted answers in one moment too; then whoever asked meanwhile had to wait as well.
    """
    f = case.tables.flows
    first_byte_ns = Moments(case.tables).first_byte_ns[found.flows]
    came_ns = side(f, SERVER, "first_data_ns")[found.flows]
    slow = found.is_slow
    when = int(came_ns[slow].min())
    if int(came_ns[slow].max()) - when > _MOMENT_NS or np.any(first_byte_ns[slow] != found.took_ns[slow]):
        return False
    quick = ~slow & (first_byte_ns <= _MOMENT_NS)
    waited = ~slow & ~quick & (np.abs(came_ns - when) <= _MOMENT_NS)
    asked_ns = side(f, CLIENT, "first_data_ns")[found.flows][quick]
    woke = bool(np.any((asked_ns <= when) & (when - asked_ns <= _MOMENT_NS)))
    # Where many ask, somebody asks in every moment.
    span_ns = max(case.tables.capture.last_ns - int(case.column("start_ns")[found.flows].min()), 1)
    return woke and not waited.any() and 2 * _MOMENT_NS * len(asked_ns) <= _SELDOM * span_ns


def _from_to(low: str, high: str) -> str:
    return high if low == high else f"{low} to {high}"


def _spread(half: str, most: str, longest: str) -> str:
    """Where most take the same time, that is said once."""
    return f"{longest} at most" if half == longest else f"median {half}, nine of ten within {most}, at most {longest}"


def _percentiles(took_ns: IntArray) -> tuple[str, str, str]:
    half, most = np.percentile(took_ns, (50, 90), method="higher").tolist()
    return duration(int(half)), duration(int(most)), duration(int(took_ns.max()))


def _severity(case: Case, found: _Slow) -> Severity:
    slow = int(np.count_nonzero(found.is_slow))
    if slow == 1 or _is_woken(case, found):
        return Severity.INFO
    worse = float(np.median(found.took_ns)) > 2 * to_ns(case.config.slow_answer_s)
    return Severity.MEDIUM if worse or _growth(case, found) is not None else Severity.LOW


def _why(case: Case, found: _Slow, percentiles: str) -> Iterator[Observation]:
    slow = found.flows[found.is_slow]
    worst = slow[np.argsort(-found.took_ns[found.is_slow], kind="stable")]
    frames = proof(case.column("answer_frame")[worst[:4]].tolist())
    yield Observation(
        f"from a request to the first byte of its answer, the slowest on each of "
        f"{counted(len(found.flows), 'connection')}: {percentiles}{in_frames(frames)}", frames,
    )  # fmt: skip
    trips = case.column("client_rtt_ns")[slow] + case.column("server_rtt_ns")[slow]
    known = trips[trips >= 0]
    if len(known):
        trip = duration(int(np.median(known)))
        yield Observation(f"the path is not the cause: a round trip takes {trip} (median)")
    quick = found.took_ns[~found.is_slow]
    if len(quick) and 2 * int(quick.max()) < int(found.took_ns[found.is_slow].min()):
        yield Observation(
            f"on {counted(len(quick), 'other connection')} of this server no answer took longer than "
            f"{duration(int(quick.max()))}"
        )
    timer_ns = _cut_off_ns(found)
    if timer_ns:
        yield Observation(
            f"the slow ones all took {duration(timer_ns)}: it is a timer that ends the wait, such as that of a proxy "
            "which gives up what is behind it"
        )
    grown = _growth(case, found)
    if grown is not None:
        yield Observation(grown)


def _growth(case: Case, found: _Slow) -> str | None:
    """How the answers grow with the connections that are open, where they do."""
    starts = np.sort(case.column("start_ns")[found.flows])
    ends = np.sort(case.column("end_ns")[found.flows])
    moments = case.column("start_ns")[found.flows]
    level = np.searchsorted(starts, moments, side="right") - np.searchsorted(ends, moments, side="left")
    middle = float(np.median(level))
    few, many = found.took_ns[level <= middle], found.took_ns[level > middle]
    if len(few) < 4 or len(many) < 4 or np.median(many) < _GROWS * np.median(few):
        return None
    # A rank test: by chance alone, one of the many is slower than one of the few as often as not.
    slower = np.searchsorted(np.sort(few), many).sum()
    if wilson(int(slower), len(few) * len(many))[0] < _MOST_OF:
        return None
    return (
        f"it grows with the load: {duration(int(np.median(few)))} (median) with up to {round(middle)} connections open "
        f"and {duration(int(np.median(many)))} with more"
    )


def _remedy(case: Case, found: _Slow, most: str) -> tuple[Remedy, ...]:
    settings = settings_of(int(case.column("server_port")[found.flows[0]]))
    how = _LOGS.get(settings, "its access log with the time that each request took")
    timer_ns = _cut_off_ns(found)
    if timer_ns:
        return (
            Remedy(
                "Server",
                f"mend what it waits for: it gives that up after {duration(timer_ns)} ({settings.server_answer}, or "
                "`timeout server` of haproxy)",
            ),
        )
    share = "nine of ten answers begin within" if len(found.took_ns) >= _NINE_OF_TEN else "its answers begin within"
    return (
        Remedy("Server", f"find the slow requests by {how}, and what they wait for: queries, locks, a pool, the CPU"),
        Remedy("Client", f"{share} {most}: a shorter time-out gives up requests that are still at work"),
    )
