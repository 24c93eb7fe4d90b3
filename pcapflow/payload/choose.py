"""Which connections are asked what they said, and which of their frames tell.

Of a capture of millions of connections a few hundred are shown; those that anomalies name come first, then the others
that reports and tables begin with. Frames are shared out in turns, so that one long connection takes none from others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from pcapflow.anomalies.model import Anomaly
from pcapflow.payload.stream import Piece
from pcapflow.tcp.states import CLIENT, SERVER

MOST_FRAMES: Final = 400
"""Frames of a capture that are dissected: a second or two of tshark's time."""
MOST_FLOWS: Final = MOST_FRAMES // 2
"""Connections that are asked: each has a frame of either direction at least."""
HEADS: Final = 3
"""The first payload segments of a direction that are at hand; more where a first TLS record is longer."""
_MOST_HEADS: Final = 8
MOST_EVIDENCE: Final = 4
"""Evidence frames of one connection that are at hand."""
_TLS_HANDSHAKE: Final = 22
_TLS_HEADER_BYTES: Final = 5
_T = TypeVar("_T")


class Sent(NamedTuple):
    """A segment with payload, and who sent it."""

    endpoint: int
    piece: Piece


class Candidates(NamedTuple):
    """The segments of one connection from which a few are chosen.

    Attributes:
        heads: the first with payload, by endpoint; none of them sent again.
        lasts: the last with payload, by endpoint; empty or one.
        evidence: those that an anomaly cites.
    """

    heads: tuple[list[Piece], list[Piece]]
    lasts: tuple[list[Piece], list[Piece]]
    evidence: list[Sent]


def named_flows(findings: Sequence[Anomaly], flows: int) -> dict[int, set[int]]:
    """The connections that anomalies name, with the frames that these cite, at most :data:`MOST_FLOWS`.

    The first of every kind of anomaly comes before the second of any.

    Args:
        findings: worst first.
        flows: how many connections there are.
    """
    queues: dict[tuple[str, str, int], list[int]] = {}
    cited: dict[int, set[int]] = {}
    for anomaly in findings:
        queue = queues.setdefault((anomaly.code, anomaly.cause, anomaly.endpoint), [])
        for flow in (anomaly.flow, *anomaly.flows):
            if 0 <= flow < flows:
                queue.append(flow)
                cited.setdefault(flow, set()).update(anomaly.frames)
    named: dict[int, set[int]] = {}
    for flow in in_turns(queues.values()):
        named.setdefault(flow, cited[flow])
        if len(named) == MOST_FLOWS:
            break
    return named


def asked_flows(named: Iterable[int], flows: int) -> list[int]:
    """The connections that are asked: those that are named, and the first others, up to :data:`MOST_FLOWS`."""
    asked = dict.fromkeys(named)
    for flow in range(min(flows, MOST_FLOWS)):
        if len(asked) >= MOST_FLOWS:
            break
        asked.setdefault(flow)
    return list(asked)


def chosen(candidates: Mapping[int, Candidates], named: Iterable[int]) -> dict[int, list[Sent]]:
    """At most :data:`MOST_FRAMES` segments to dissect, by connection and in order of frames.

    Args:
        candidates: of each connection that is asked, in the order in which they are served.
        named: those of them that an anomaly names.
    """
    first = set(named)
    groups = {flow: [(flow, group) for group in _groups(of_flow)] for flow, of_flow in candidates.items()}
    named_groups = [groups[flow] for flow in groups if flow in first]
    other_groups = [groups[flow] for flow in groups if flow not in first]
    turns = (
        *in_turns(each[:1] for each in named_groups),
        *in_turns(each[1:2] for each in named_groups),
        *in_turns(each[:1] for each in other_groups),
        *in_turns(each[2:] for each in named_groups),
        *in_turns(each[1:] for each in other_groups),
    )
    taken: dict[int, dict[tuple[int, int], Sent]] = {}
    count = 0
    for flow, group in turns:
        of_flow = taken.setdefault(flow, {})
        for sent in group:
            # The same bytes sent again say nothing new.
            key = (sent.endpoint, sent.piece.seq)
            if key not in of_flow and count < MOST_FRAMES:
                of_flow[key] = sent
                count += 1
    return {
        flow: sorted(of_flow.values(), key=lambda sent: sent.piece.frame) for flow, of_flow in taken.items() if of_flow
    }


def in_turns(queues: Iterable[Sequence[_T]]) -> Iterator[_T]:
    """The first of each queue, then the second of each, and so on."""
    waiting = [queue for queue in queues if queue]
    place = 0
    while waiting:
        for queue in waiting:
            yield queue[place]
        place += 1
        waiting = [queue for queue in waiting if len(queue) > place]


def _groups(candidates: Candidates) -> list[list[Sent]]:
    """The segments of a connection in groups: the first words of both sides, the last ones, then others one by one."""
    sides = (CLIENT, SERVER)
    heads, lasts = candidates.heads, candidates.lasts
    firsts = [Sent(side, piece) for side in sides for piece in _whole_record(heads[side])]
    ends = [Sent(side, piece) for side in sides for piece in lasts[side] or heads[side][1:][-1:]]
    seconds = [
        Sent(side, piece) for place in range(1, _MOST_HEADS) for side in sides
        for piece in heads[side][place : place + 1]
    ]  # fmt: skip
    return [firsts, ends, *([sent] for sent in (*candidates.evidence, *seconds))]


def wants_more(heads: Sequence[Piece]) -> bool:
    """Whether another of the first segments of a direction is to be at hand."""
    return len(heads) < HEADS or (len(heads) < _MOST_HEADS and _missing(heads) > 0)


def _whole_record(heads: Sequence[Piece]) -> Sequence[Piece]:
    """The first segment, with those after it that its first TLS record goes on in: a hello may be long."""
    count = 1
    while count < len(heads) and _missing(heads[:count]) > 0:
        count += 1
    return heads[:count]


def _missing(heads: Sequence[Piece]) -> int:
    """Bytes of the first record that are not in these segments; 0 where it is none of a TLS handshake."""
    data = heads[0].data
    if len(data) < _TLS_HEADER_BYTES or data[0] != _TLS_HANDSHAKE:
        return 0
    return _TLS_HEADER_BYTES + int.from_bytes(data[3:5], "big") - sum(piece.length for piece in heads)
