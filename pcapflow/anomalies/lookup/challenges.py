"""SYNs that were answered by the ACK of an older connection on the same ports, and what that cost."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import everywhere
from pcapflow.anomalies.lookup.timeline import Story, count_marks, frames_of, last_times
from pcapflow.anomalies.model import BoolArray, IntArray
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.states import CLIENT, SERVER, SYN_ACK_RX, SYN_SENT

SLOW_OPENING_S: Final = 0.2
"""An opening that takes this long is felt: the shortest retransmission time-out, above nearly every round trip."""


class Challenge(NamedTuple):
    """How one such opening went.

    Attributes:
        acks: frames of the old connection's ACKs.
        resets: frames of the RSTs by which the client answered them.
        again: frames of the client's SYNs after the first.
    """

    acks: list[int]
    resets: list[int]
    again: list[int]


@cached_per_tables
def challenged(tables: Tables) -> BoolArray:
    """Flows whose SYN was answered by the ACK of an older connection.

    One that went on without another SYN was answered by its own: the capture lacks what that ACK acknowledges.
    """
    found: BoolArray = count_marks(tables, marks.MARK_CHALLENGE_ACK, endpoint=SERVER) > 0
    if not found.any():
        return found
    again = count_marks(tables, marks.MARK_RESET_OF_OLDER, marks.MARK_SYN_REPEATED, endpoint=CLIENT) > 0
    found &= again | (tables.flows["client_state"] == SYN_SENT)
    return found


@cached_per_tables
def opening_ns(tables: Tables) -> IntArray:
    """For each flow the time from its first SYN to the SYN-ACK that opened it, -1 where none did; to be read only."""
    f = tables.flows
    answered = last_times(tables, CLIENT, event=SYN_ACK_RX)
    if not np.any(answered >= 0):
        return everywhere(-1, len(f))
    return np.where(answered >= 0, np.maximum(answered - f["start_ns"], 0), -1)


def challenge_of(story: Story, flow: int) -> Challenge:
    """The frames of a challenged opening."""
    return Challenge(
        frames_of(story.marks(flow, marks.MARK_CHALLENGE_ACK, endpoint=SERVER)),
        frames_of(story.marks(flow, marks.MARK_RESET_OF_OLDER, endpoint=CLIENT)),
        frames_of(story.marks(flow, marks.MARK_SYN_REPEATED, endpoint=CLIENT)),
    )
