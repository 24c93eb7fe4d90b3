"""One connection frame by frame: what was sent, which states it put the endpoints in, and which marks it got.

Every ladder begins with these rows, the one drawn in a report and the one printed at a terminal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from pcapflow.tables.segments import Segment
from pcapflow.tables.table import Tables
from pcapflow.tcp.flags import ACK, FIN, PSH, RST, SYN
from pcapflow.tcp.marks import (
    MARK_FIN_REPEATED,
    MARK_RESET,
    MARK_RESET_AFTER_CLOSE,
    MARK_RESET_IGNORED,
    MARK_SYN_REPEATED,
)
from pcapflow.tcp.states import (
    ACK_OF_FIN_RX,
    ACK_OF_SYN_RX,
    FIN_RX,
    FIN_TX,
    MIDSTREAM,
    RST_RX,
    RST_TX,
    SERVER,
    STATE_NAMES,
    SYN_ACK_RX,
    SYN_RX,
    SYN_TX,
)

_SENT_BY_SELF: Final = frozenset({SYN_TX, FIN_TX, RST_TX, MIDSTREAM})
_EVENT_FLAGS: Final[Mapping[int, int]] = {
    SYN_TX: SYN,
    SYN_RX: SYN,
    SYN_ACK_RX: SYN | ACK,
    ACK_OF_SYN_RX: ACK,
    FIN_TX: FIN | ACK,
    FIN_RX: FIN | ACK,
    ACK_OF_FIN_RX: ACK,
    RST_TX: RST,
    RST_RX: RST,
}
_MARK_FLAGS: Final[Mapping[int, int]] = {
    MARK_SYN_REPEATED: SYN,
    MARK_FIN_REPEATED: FIN | ACK,
    MARK_RESET: RST,
    MARK_RESET_IGNORED: RST,
    MARK_RESET_AFTER_CLOSE: RST,
}
_FLAG_WORDS: Final = ((SYN, "SYN"), (FIN, "FIN"), (RST, "RST"), (PSH, "PSH"), (ACK, "ACK"))


@dataclasses.dataclass(slots=True)
class LadderRow:
    """All that is known of one frame.

    Attributes:
        frame: its number in the capture.
        time_ns: its time stamp.
        endpoint: who sent it, 0 client or 1 server.
        flags: those of the segment; without one, those that its transitions and marks imply.
        segment: the segment itself, None where only transitions and marks know of it.
        transitions: the changes of state that happen at it, as rows of the table.
        marks: codes of its marks.
    """

    frame: int
    time_ns: int
    endpoint: int
    flags: int
    segment: Segment | None = None
    transitions: list[Mapping[str, int]] = dataclasses.field(default_factory=list)
    marks: list[int] = dataclasses.field(default_factory=list)

    def states_entered(self, endpoint: int) -> list[str]:
        """The names of the states that this endpoint enters at it."""
        return [STATE_NAMES[row["new"]] for row in self.transitions if row["endpoint"] == endpoint]


def ladder_rows(
    tables: Tables,
    flow: int,
    segments: Sequence[Segment],
    *,
    marks_alone: Collection[int] = (),
    most_marks: int | None = None,
) -> dict[int, LadderRow]:
    """What is known of each frame of a connection, by frame.

    Args:
        tables: of the capture.
        flow: the connection.
        segments: its segments, all, some or none.
        marks_alone: marks that make a row of a frame of which neither a segment nor a transition is known.
        most_marks: marks that are looked at, from the first on; all without it.
    """
    rows = {s.frame: LadderRow(s.frame, s.time_ns, s.endpoint, s.flags, s) for s in segments}
    for move in tables.transitions.rows(tables.transitions_of(flow)):
        sender = move["endpoint"] if move["event"] in _SENT_BY_SELF else SERVER - move["endpoint"]
        row = rows.setdefault(move["frame"], LadderRow(move["frame"], move["time_ns"], sender, 0))
        if row.segment is None:
            row.flags |= _EVENT_FLAGS.get(move["event"], 0)
        row.transitions.append(move)
    for mark in tables.marks.rows(tables.marks_of(flow)[:most_marks]):
        if mark["frame"] not in rows and mark["mark"] not in marks_alone:
            continue
        row = rows.setdefault(mark["frame"], LadderRow(mark["frame"], mark["time_ns"], mark["endpoint"], 0))
        if row.segment is None:
            row.flags |= _MARK_FLAGS.get(mark["mark"], 0)
        row.marks.append(mark["mark"])
    return rows


def packets_of(tables: Tables, flow: int) -> int:
    """How many segments of a connection passed, of both endpoints."""
    return int(tables.flows["client_packets"][flow] + tables.flows["server_packets"][flow])


def flag_words(flags: int) -> str:
    """The names of the flags that are set, e.g. ``SYN ACK``; those of congestion notification and URG are left out."""
    return " ".join(word for bit, word in _FLAG_WORDS if flags & bit)
