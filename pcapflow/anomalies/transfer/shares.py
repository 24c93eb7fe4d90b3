"""Which share of a side's segments was sent again because it was lost."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import side
from pcapflow.anomalies.lookup.timeline import count_marks
from pcapflow.anomalies.model import IntArray
from pcapflow.anomalies.transfer.repeats import REPEATS
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks

FRAGMENTATION_NEEDED: Final = 3 << 8 | 4
"""Type and code of the ICMP error that says that a packet is too large (RFC 1191, 4)."""
PACKET_TOO_BIG: Final = 2 << 8
"""The same of ICMPv6 (RFC 4443, 3.2)."""


class Shares(NamedTuple):
    """Segments of one side of each flow, in units of the MSS; to be read only.

    Attributes:
        sent: all with payload, those that were sent again included.
        again: those of them that were sent again.
    """

    sent: IntArray
    again: IntArray


@cached_per_tables
def sent_again(tables: Tables, endpoint: int) -> Shares:
    """What each flow's side sent, and sent again because it did not arrive or was not acknowledged.

    Repeats after its peer was heard for the last time count for neither: they say that
    the peer is gone, not which share of the segments gets lost.
    """
    f = tables.flows
    sent, again = side(f, endpoint, "data_segments"), side(f, endpoint, "data_segments_again")
    unanswered = count_marks(tables, *REPEATS, endpoint=endpoint, after_ns=side(f, 1 - endpoint, "last_ns"), least=1)
    trailing = np.minimum(again, unanswered)
    sent, again = sent - trailing, again - trailing
    return Shares(sent, again)


def too_large(tables: Tables, endpoint: int) -> IntArray:
    """Positions of the marks of ICMP errors that say that a segment of this side is too large for a link."""
    m = tables.marks
    rows = np.flatnonzero((m["mark"] == marks.MARK_ICMP_UNREACHABLE) & (m["endpoint"] == endpoint))
    expected = np.where(tables.flows["family"][m["flow"][rows]] == 6, PACKET_TOO_BIG, FRAGMENTATION_NEEDED)
    found: IntArray = rows[m["value"][rows] == expected]
    return found
