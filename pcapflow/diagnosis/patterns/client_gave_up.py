"""PI306: a client ends exchanges whose answers do not come in time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.cite import in_frames
from pcapflow.anomalies.lookup.columns import among, indices, side
from pcapflow.anomalies.lookup.groups import server_keys
from pcapflow.anomalies.model import CERTAIN, LIKELY, POSSIBLE, BoolArray, IntArray, Severity
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.figures import agreement
from pcapflow.diagnosis.idle import close_frames, closes, count_moments, largest
from pcapflow.diagnosis.model import Blame, Explanation, Observation, Remedy
from pcapflow.diagnosis.pattern import pattern
from pcapflow.diagnosis.settings import is_usual, settings_of
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, duration, listed
from pcapflow.text.times import time_of_day, to_ns

_EXPLAINED: Final = ("PF201", "PF202", "PF203", "PF205", "PF206", "PF301", "PF302", "PF305")
_NOT_ACCEPTED: Final = ("PF101", "PF104", "PF106")
"""What a program that accepts no connections does to attempts to connect."""
_MOST_TIME_OUTS: Final = 3
"""Time-outs of the clients of one server that are told apart."""


@pattern("PI306", "client-gave-up", title="The client gives up waiting")
def client_gave_up(case: Case) -> Sequence[Explanation]:
    """A client ended connections in the middle of an exchange: it had asked, and no answer came in its time.

    Seen: FINs or RSTs of clients after a request that the server's host had acknowledged, with no byte of an answer
        since, after a usual length of time-outs, or after one that several connections agree on at different times.
    Unless: data of the answer was flowing (a download that somebody stopped), the server closed, nothing had been asked
        (idle-timeout-client), the request was never acknowledged, or sent again and again (loss, a path that is down),
        the client only closed its half and took the answer, or the lengths differ (people who stop waiting).
    Means: the client waits for so long and no longer. The server goes on working for nobody; an answer that comes later
        draws a RST. Whether the server was slow or the client impatient is told by what other answers took.
    Do:
        Client: wait for longer than the server takes at its slowest, or ask for less.
        Server: find out what the unanswered requests wait for; answer or refuse them within the client's time.
    Else: a program that is ended after this time for another reason, such as a job's limit.
    Source: RFC 9110, 9.2.2; the manuals of the clients that the remedies name.
    """
    gave_up = _unanswered(case)
    ends = closes(case.tables, case.config)
    explanations: list[Explanation] = []
    for flows in largest(case.by_server(gave_up).at_least(1)):
        found = _time_outs(flows, ends.idle_ns[flows], ends.at_ns[flows])
        explanations.extend(_explanation(case, waited) for waited in found)
    return explanations


def _unanswered(case: Case) -> IntArray:
    """Connections that the client closed after it had waited in vain."""
    f = case.tables.flows
    ends = closes(case.tables, case.config)
    gave_up = (ends.by == CLIENT) & (ends.idle_ns >= to_ns(case.config.timeout_s)) & ~ends.request_lost
    # Whoever takes what comes after its FIN had closed its half only.
    took = (ends.said_ns > ends.at_ns) & (f["reset_frame"] <= 0) & ~ends.answer_lost
    return indices(gave_up & ~ends.troubled & (ends.owes | _greeting_owed(case)) & ~took)


def _greeting_owed(case: Case) -> BoolArray:
    """Nothing was said on the connection, and on others it is the server that speaks first."""
    f = case.tables.flows
    ends = closes(case.tables, case.config)
    asked, said = side(f, CLIENT, "first_data_ns"), side(f, SERVER, "first_data_ns")
    first = indices((said >= 0) & ((asked < 0) | (said < asked)))
    keys = server_keys(case.tables)
    owed: BoolArray = (ends.asked_ns < 0) & (ends.said_ns < 0) & among(keys, np.unique(keys[first]))
    return owed


class _Waited(NamedTuple):
    flows: IntArray
    median_ns: int
    moments: int
    of: int


def _time_outs(flows: IntArray, lengths_ns: IntArray, ends_ns: IntArray) -> Iterator[_Waited]:
    """The time-outs of a server's clients, the one that struck most first."""
    left = np.arange(len(flows), dtype=np.int64)
    for _ in range(_MOST_TIME_OUTS):
        found = agreement(lengths_ns[left], least=1)
        if found is None:
            return
        chosen = left[found.members]
        moments = count_moments(ends_ns[chosen], found.high_ns - found.low_ns)
        if is_usual(found.median_ns) or moments >= 3:
            yield _Waited(flows[chosen], found.median_ns, moments, len(flows))
        left = np.delete(left, found.members)


def _explanation(case: Case, waited: _Waited) -> Explanation:
    tables, flows = case.tables, waited.flows
    ends = closes(tables, case.config)
    server = tables.server(int(flows[0]))
    settings = settings_of(int(case.column("server_port")[flows[0]]))
    everyone = case.same_server(int(flows[0]))
    hosts = case.hosts(flows, CLIENT)
    clients, length = listed(hosts, 2), duration(waited.median_ns)
    first, last = int(ends.word_ns[flows].min()), int(case.column("end_ns")[flows].max())
    frames = close_frames(tables, flows, CLIENT)
    answers = _answers(case, everyone, flows)
    too_short = len(answers) > 0 and 2 * int(np.median(answers)) >= waited.median_ns
    starved = bool(case.anomalies_of(*_NOT_ACCEPTED, flows=everyone)) or bool(
        np.any(case.column("client_syns")[everyone] > 1)
    )
    late = flows[ends.said_ns[flows] > ends.at_ns[flows]]
    why = [
        Observation(
            f"{clients} closed {counted(len(flows), 'connection')} {length} after the last word, which "
            f"{server} had acknowledged, {_times(waited.moments)}{in_frames(frames)}",
            frames,
        ),
        Observation(_others(answers, server)),
    ]
    if len(late):
        why.append(_late(case, late))
    return Explanation(
        severity=Severity.MEDIUM if len(flows) > 1 else Severity.LOW,
        confidence=POSSIBLE if starved else CERTAIN if waited.moments >= 3 else LIKELY,
        headline=(
            f"{clients} waited {length} for an answer of {server} and gave up, on {len(flows)} of "
            f"{counted(len(everyone), 'connection')} since {time_of_day(first)}{_compared(answers)}."
        ),
        blame=Blame("host", clients, "client") if too_short else Blame("endpoint", server, "server"),
        start_ns=first,
        end_ns=last,
        flows=named(flows),
        count=len(flows),
        hosts=(tables.ip(int(flows[0]), SERVER), *hosts),
        explains=frozenset(case.anomalies_of(*_EXPLAINED, flows=flows)),
        why=tuple(why),
        against=(
            *(("attempts to connect to it failed as well: it may not accept connections any more",) if starved else ()),
            f"the server may be slow as well: half of its answers take {duration(int(np.median(answers)))}"
            if too_short
            else "the client may have asked for something that takes long, and wait too short for that",
        ),
        remedy=_remedies(server, waited.median_ns, _longest(case, answers, late), too_short, settings.answer,
                         settings.server_answer),
    )  # fmt: skip


def _times(moments: int) -> str:
    return f"at {moments} different times" if moments > 1 else "at one time"


def _answers(case: Case, everyone: IntArray, gave_up: IntArray) -> IntArray:
    """The longest time to an answer of each other connection to the same server."""
    answers = case.column("answer_ns")[everyone[~among(everyone, gave_up)]]
    return answers[answers >= 0]


def _others(answers: IntArray, server: str) -> str:
    if not len(answers):
        return f"no other connection shows how long answers of {server} take"
    return (
        f"on {counted(len(answers), 'other connection')} the slowest answer of {server} took "
        f"{duration(int(np.median(answers)))} at the median, {duration(int(answers.max()))} at most"
    )


def _compared(answers: IntArray) -> str:
    return f"; other answers took {duration(int(answers.max()))} at most" if len(answers) else ""


def _late(case: Case, late: IntArray) -> Observation:
    took = case.column("answer_ns")[late]
    took = took[took >= 0]
    frames = case.frames("answer_frame", late)
    after = f" {duration(int(np.median(took)))} after the question" if len(took) else ""
    return Observation(
        f"on {counted(len(late), 'connection')} the answer came{after}, when the client had gone{in_frames(frames)}",
        frames,
    )


def _longest(case: Case, answers: IntArray, late: IntArray) -> int:
    """The longest time that an answer took; 0 where none is known."""
    known = np.concatenate((answers, case.column("answer_ns")[late]))
    return int(known.max(initial=0))


def _remedies(
    server: str, waited_ns: int, longest_ns: int, too_short: bool, answer: str, server_answer: str
) -> tuple[Remedy, ...]:
    length = duration(waited_ns)
    longer = f", longer than the {duration(longest_ns)} that answers of {server} take" if longest_ns > waited_ns else ""
    client = Remedy("Client", f"its time-out is {length} now; set it to what the request needs{longer}: {answer}")
    server_side = Remedy(
        "Server",
        f"find out what the requests that {server} did not answer within {length} wait for (a lock, a backend, too few "
        f"workers), and end them before the client does: {server_answer}",
    )
    return (client, server_side) if too_short else (server_side, client)
