"""How far the capture's evidence reaches: directions it lacks, bytes it lacks, copies it holds."""

from __future__ import annotations

import dataclasses

import numpy as np

from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import SIDES, among, side
from pcapflow.anomalies.lookup.groups import host_keys
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
        cut: flows whose silence is the capture's: a whole direction is missing from it, or from all that it holds of
            one of their hosts.
        two_way: number of flows with both sides.
        unseen: per flow with both sides, bytes acknowledged that the capture does not hold.
        duplicates: per flow, copies of packets.
        direction_missing: the capture as a whole holds one direction only.
    """

    unheard: BoolArray
    one_way: BoolArray
    cut: BoolArray
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
        late = count_marks(tables, marks.OUT_OF_ORDER, endpoint=endpoint)
        spoke = packets - syns - rsts - late - np.maximum(repeated - np.maximum(syns - 1, 0), 0)
        alone |= ~talked[1 - endpoint] & (spoke >= np.where(syns > 0, 1, 3))
    both = talked[CLIENT] & talked[SERVER]
    two_way = int(np.count_nonzero(both))
    whole = two_way == 0 and bool(alone.any())
    return CaptureQuality(
        unheard=~both,
        one_way=alone,
        cut=~both if whole else _cut(tables, talked, alone),
        two_way=two_way,
        # What a side acknowledges that is missing altogether is one fact, and no gap.
        unseen=np.where(both, side(f, CLIENT, "unseen") + side(f, SERVER, "unseen"), 0),
        duplicates=count_marks(tables, marks.MARK_DUPLICATE_PACKET),
        direction_missing=whole,
    )


def _cut(tables: Tables, talked: list[BoolArray], alone: BoolArray) -> BoolArray:
    """Flows of hosts that are never heard, or never answered, in this capture, though some plainly were.

    A filter by source address leaves that of a capture, and so does a way back that does not lead past it.
    """
    cut = np.zeros(len(alone), dtype=bool)
    if not alone.any():
        return cut
    hosts = [host_keys(tables, endpoint) for endpoint in SIDES]
    both = talked[CLIENT] & talked[SERVER]
    for endpoint in SIDES:
        silent = ~talked[endpoint] & talked[1 - endpoint]
        mute = _without(_several(hosts[endpoint][silent & alone]), hosts, talked)
        lone = _without(_several(hosts[1 - endpoint][silent & alone]), hosts, [both, both])
        cut |= silent & (among(hosts[endpoint], mute) | among(hosts[1 - endpoint], lone))
    return cut


def _without(candidates: IntArray, hosts: list[IntArray], where: list[BoolArray]) -> IntArray:
    """Those of a few hosts that are on no side of any flow where that side's mask is true."""
    left = candidates
    for endpoint in SIDES:
        left = left[~among(left, hosts[endpoint][where[endpoint] & among(hosts[endpoint], left)])]
    return left


def _several(hosts: IntArray) -> IntArray:
    """The hosts that occur more than once, perhaps repeated: one connection without an answer is chance."""
    ordered = np.sort(hosts)
    again: IntArray = ordered[1:][ordered[1:] == ordered[:-1]]
    return again
