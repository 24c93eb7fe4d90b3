"""How far the capture's evidence reaches: directions it lacks, bytes it lacks, copies it holds."""

from __future__ import annotations

import dataclasses

import numpy as np

from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import SIDES, side
from pcapflow.anomalies.lookup.timeline import count_marks
from pcapflow.anomalies.model import BoolArray, IntArray
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.states import CLIENT, SERVER


@dataclasses.dataclass(frozen=True)
class CaptureQuality:
    """Faults of the capture, per flow and as a whole.

    Attributes:
        unheard: flows of which the capture has one side only.
        one_way: those among them whose visible side shows that the other one answered.
        two_way: number of flows with both sides.
        unseen: per flow, bytes acknowledged that the capture does not hold.
        duplicates: per flow, copies of packets.
        direction_missing: the capture as a whole holds one direction only.
    """

    unheard: BoolArray
    one_way: BoolArray
    two_way: int
    unseen: IntArray
    duplicates: IntArray
    direction_missing: bool


@cached_per_tables
def quality(tables: Tables) -> CaptureQuality:
    """Judges a capture by its tables."""
    f = tables.flows
    talked = [side(f, endpoint, "packets") > 0 for endpoint in SIDES]
    alone = np.zeros(len(f), dtype=bool)
    for endpoint in SIDES:
        names = ("packets", "syns", "rsts", "retransmitted")
        packets, syns, rsts, repeated = (side(f, endpoint, name) for name in names)
        # Whoever goes on after its SYN was answered; without a SYN, one stray segment says nothing.
        spoke = packets - syns - rsts - np.maximum(repeated - np.maximum(syns - 1, 0), 0)
        alone |= ~talked[1 - endpoint] & (spoke >= np.where(syns > 0, 1, 3))
    two_way = int(np.count_nonzero(talked[CLIENT] & talked[SERVER]))
    return CaptureQuality(
        unheard=~(talked[CLIENT] & talked[SERVER]),
        one_way=alone,
        two_way=two_way,
        unseen=side(f, CLIENT, "unseen") + side(f, SERVER, "unseen"),
        duplicates=count_marks(tables, marks.MARK_DUPLICATE_PACKET),
        direction_missing=two_way == 0 and bool(alone.any()),
    )
