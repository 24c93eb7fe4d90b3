"""PI306: a client ends exchanges whose answers do not come in time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.cite import in_frames
from pcapflow.anomalies.lookup.columns import among, indices, side
from pcapflow.anomalies.model import CERTAIN, LIKELY, POSSIBLE, IntArray, Severity
from pcapflow.anomalies.opening.meetings import cleared_for
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.figures import agreement
from pcapflow.diagnosis.idle import close_frames, closes, count_moments, largest
from pcapflow.diagnosis.model import Blame, Explanation, Observation, Remedy
from pcapflow.diagnosis.pattern import pattern
from pcapflow.diagnosis.settings import is_usual
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, duration
from pcapflow.text.times import time_of_day, to_ns

_EXPLAINED: Final = ("PF201", "PF202", "PF203", "PF204", "PF205", "PF206", "PF301", "PF302", "PF305")
_NOT_ACCEPTED: Final = ("PF101", "PF104", "PF106")
"""What a program that accepts no connections does to attempts to connect."""
_MOST_TIME_OUTS: Final = 3
"""Time-outs of the clients of one server that are told apart."""

_FEW: Final = 3
"""Answers of which no half is spoken of."""


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
    # A client that has forgotten a connection and resets it for its next one (PF107) was not waiting.
    waited = cleared_for(case.tables) < 0
    return indices(gave_up & ~ends.troubled & ends.owes & ~took & waited)


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
        moments = count_moments(ends_ns[chosen], lengths_ns[chosen])
        if is_usual(found.median_ns) or moments >= 3:
            yield _Waited(flows[chosen], found.median_ns, moments, len(flows))
        left = np.delete(left, found.members)


def _explanation(case: Case, waited: _Waited) -> Explanation:
    tables, flows = case.tables, waited.flows
    ends = closes(tables, case.config)
    server = tables.server(int(flows[0]))
    settings = case.settings(int(flows[0]))
    everyone = case.same_server(int(flows[0]))
    hosts = case.hosts(flows, CLIENT)
    clients, length = hosts.listed(2), duration(waited.median_ns)
    first, last = int(ends.word_ns[flows].min()), int(case.column("end_ns")[flows].max())
    frames = close_frames(tables, flows, CLIENT)
    answers = _Answers(_first_answers(case, everyone), _slowest(case, everyone, flows))
    too_short = len(answers.first_ns) > 0 and 2 * answers.median_ns >= waited.median_ns
    mute = bool(np.all(ends.asked_ns[flows] < 0))
    starved = bool(case.anomalies_of(*_NOT_ACCEPTED, flows=everyone)) or bool(
        np.any(case.column("client_syns")[everyone] > 1)
    )
    late = flows[ends.said_ns[flows] > ends.at_ns[flows]]
    why = [
        Observation(
            f"{clients} closed {counted(len(flows), 'connection')} {length} after {_asked(mute, server)}, "
            f"{_times(waited.moments)}{in_frames(frames)}",
            frames,
        ),
        Observation(answers.text(server)),
    ]
    if len(late):
        why.append(_late(case, late))
    return Explanation(
        severity=Severity.MEDIUM if len(flows) > 1 else Severity.LOW,
        confidence=POSSIBLE if starved else CERTAIN if waited.moments >= 3 else LIKELY,
        headline=(
            f"{clients} waited {length} for an answer of {server} and gave up, on {len(flows)} of "
            f"{counted(len(everyone), 'connection')} since {time_of_day(first)}"
            f"{_came_late(case, late) or answers.compared}."
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
            f"the server may be slow as well: half of its answers take {duration(answers.median_ns)}"
            if too_short
            else "the server may be none that speaks first"
            if mute
            else "the client may have asked for something that takes long, and not wait long enough for it",
        ),
        remedy=_remedies(server, waited.median_ns, _longest(case, answers.slowest_ns, late), too_short, settings.answer,
                         settings.server_answer),
    )  # fmt: skip


def _asked(mute: bool, server: str) -> str:
    if mute:
        return f"the handshake, without a greeting from {server}"
    return f"its last word, which {server} had acknowledged and not answered"


def _times(moments: int) -> str:
    return f"at {moments} different times" if moments > 1 else "at one time"


class _Answers(NamedTuple):
    """How long a server takes elsewhere: for the first answer of each connection, and at its slowest; -1 unknown."""

    first_ns: IntArray
    slowest_ns: int

    @property
    def median_ns(self) -> int:
        return int(np.median(self.first_ns))

    @property
    def compared(self) -> str:
        """The end of the headline."""
        if not len(self.first_ns):
            return ""
        if len(self.first_ns) <= _FEW:
            others = counted(len(self.first_ns), "other")
            return f"; the server answered {others} within {duration(int(self.first_ns.max()))}"
        return f"; half of its first answers took {duration(self.median_ns)} or less"

    def text(self, server: str) -> str:
        if not len(self.first_ns):
            return f"no connection shows how long answers of {server} take"
        longest_ns = int(self.first_ns.max())
        half = f"half of them within {duration(self.median_ns)}, all " if len(self.first_ns) > _FEW else ""
        slowest = (
            f"; the slowest answer of all took {duration(self.slowest_ns)}" if self.slowest_ns > longest_ns else ""
        )
        return (
            f"on {counted(len(self.first_ns), 'connection')} the first answer of {server} came in time, "
            f"{half}within {duration(longest_ns)}{slowest}"
        )


def _first_answers(case: Case, everyone: IntArray) -> IntArray:
    """The time to the first answer of each connection to the server where it came before any close."""
    ends = closes(case.tables, case.config)
    took = ends.moments.first_byte_ns[everyone]
    came = side(case.tables.flows, SERVER, "first_data_ns")[everyone]
    in_time = (took >= 0) & ((ends.at_ns[everyone] < 0) | (came <= ends.at_ns[everyone]))
    return took[in_time]


def _slowest(case: Case, everyone: IntArray, gave_up: IntArray) -> int:
    answers = case.column("answer_ns")[everyone[~among(everyone, gave_up)]]
    return int(answers.max(initial=-1))


def _after(case: Case, late: IntArray) -> str:
    """How long after the question late answers came: `` 3 s after the question``, or nothing where it is not known."""
    took = case.column("answer_ns")[late]
    took = took[took >= 0]
    return f" {duration(int(np.median(took)))} after the question" if len(took) else ""


def _came_late(case: Case, late: IntArray) -> str:
    """The end of the headline where answers came in the end: then it is known what the server takes."""
    if not len(late) or not (after := _after(case, late)):
        return ""
    return f"; {counted(len(late), 'answer')} came{after}, when the client had gone"


def _late(case: Case, late: IntArray) -> Observation:
    frames, after = case.frames("answer_frame", late), _after(case, late)
    return Observation(
        f"on {counted(len(late), 'connection')} the answer came{after}, when the client had gone{in_frames(frames)}",
        frames,
    )


def _longest(case: Case, slowest_ns: int, late: IntArray) -> int:
    """The longest time that an answer took; 0 where none is known."""
    return max(slowest_ns, int(case.column("answer_ns")[late].max(initial=0)))


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
