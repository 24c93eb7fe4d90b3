"""What of a capture is worth drawing: which connections get a ladder, and which of their frames a rung."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pcapflow.config import Config
from pcapflow.tables.segments import Segment
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks as m
from pcapflow.tcp.states import CLIENT
from pcapflow.views.groups import AnomalyGroup
from pcapflow.views.ladder_rows import LadderRow, ladder_rows

MOST_RUNGS: Final = 18
_MOST_MARKS: Final = 4 * MOST_RUNGS
_DATA_SEGMENTS: Final = 2
"""The first segments with data, one exchange, show that the connection worked."""

_TELLING_MARKS: Final = frozenset(
    {
        m.MARK_SYN_REPEATED,
        m.MARK_FIN_REPEATED,
        m.MARK_RESET,
        m.MARK_RESET_IGNORED,
        m.MARK_RESET_AFTER_CLOSE,
        m.MARK_CHALLENGE_ACK,
        m.MARK_RESET_OF_OLDER,
        m.MARK_DATA_AFTER_FIN,
        m.MARK_DATA_AFTER_CLOSE,
        m.MARK_ICMP_UNREACHABLE,
        m.MARK_TAKEN_BACK,
        m.ZERO_WINDOW,
        m.PORT_REUSE,
    }
)
"""Marks that deserve a rung of their own; the others are named where their frame is drawn anyway."""


def wanted_flows(tables: Tables, groups: Sequence[AnomalyGroup], config: Config) -> list[int]:
    """The connections that get a ladder, worst first: one of each group of anomalies, then more of each in turn.

    Their segments are what a second pass over the capture should collect.
    """
    queues = [list(group.flows) for group in groups]
    wanted: dict[int, None] = {}
    for place in range(max(map(len, queues), default=0)):
        for queue in queues:
            if len(wanted) >= config.report_ladders:
                return list(wanted)
            if place < len(queue) and queue[place] < len(tables.flows):
                wanted[queue[place]] = None
    return list(wanted)


def drawn_rows(tables: Tables, flow: int, segments: Sequence[Segment], evidence: frozenset[int]) -> list[LadderRow]:
    """The frames of a connection that get a rung, in order of frames, at most :data:`MOST_RUNGS`.

    Args:
        tables: of the capture.
        flow: the connection.
        segments: its segments, as far as they are at hand.
        evidence: frames that an anomaly cites.
    """
    rows = ladder_rows(tables, flow, segments, marks_alone=_TELLING_MARKS, most_marks=_MOST_MARKS)
    weights = _weights(rows, evidence)
    heaviest = sorted(weights, key=lambda frame: (-weights[frame], frame))[:MOST_RUNGS]
    return [rows[frame] for frame in sorted(heaviest)]


def _weights(rows: Mapping[int, LadderRow], evidence: frozenset[int]) -> dict[int, int]:
    """How much each frame tells: states most, then evidence, then telling marks, then data, then the ends.

    Of the data it is the first exchange, and what the client asked last, if nothing came after that.
    """
    weights = {}
    data_segments = 0
    unanswered = _unanswered(rows)
    for i, frame in enumerate(sorted(rows)):
        row = rows[frame]
        if row.transitions:
            weights[frame] = 5
        elif frame in evidence:
            weights[frame] = 4
        elif _TELLING_MARKS.intersection(row.marks):
            weights[frame] = 3
        elif data_segments < _DATA_SEGMENTS and row.segment is not None and row.segment.payload_len:
            weights[frame], data_segments = 2, data_segments + 1
        elif frame == unanswered:
            weights[frame] = 2
        elif i in {0, len(rows) - 1}:
            weights[frame] = 1
    return weights


def _unanswered(rows: Mapping[int, LadderRow]) -> int:
    """The frame of what the client said last, where the server said nothing after it; 0 without."""
    said = [row for _, row in sorted(rows.items()) if row.segment is not None and row.segment.payload_len]
    return said[-1].frame if said and said[-1].endpoint == CLIENT else 0
