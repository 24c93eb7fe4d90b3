"""Which share of a side's segments was sent again because it was lost."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import side
from pcapflow.anomalies.lookup.timeline import count_marks
from pcapflow.anomalies.model import IntArray
from pcapflow.anomalies.transfer.repeats import REPEATS
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.text.times import to_ns

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
def sent_again(tables: Tables, config: Config, endpoint: int) -> Shares:
    """What each flow's side sent, and sent again because it did not arrive or was not acknowledged.

    What it sent again because a router said by ICMP that it is too large counts for neither: that is how TCP finds the
    path's MTU (RFC 1191, 6.5), and no loss. Nor do repeats after its peer was heard for the last time: they say that
    the peer is gone, not which share of the segments gets lost.
    """
    f = tables.flows
    sent, again = side(f, endpoint, "data_segments"), side(f, endpoint, "data_segments_again")
    unanswered = count_marks(tables, *REPEATS, endpoint=endpoint, after_ns=side(f, 1 - endpoint, "last_ns"), least=1)
    trailing = np.minimum(again, unanswered)
    sent, again = sent - trailing, again - trailing
    smaller = _sent_smaller(tables, config, endpoint)
    if smaller is not None:
        smaller = np.minimum(smaller, again)
        sent, again = sent - smaller, again - smaller
    return Shares(sent, again)


def too_large(tables: Tables, endpoint: int) -> IntArray:
    """Positions of the marks of ICMP errors that say that a segment of this side is too large for a link."""
    m = tables.marks
    rows = np.flatnonzero((m["mark"] == marks.MARK_ICMP_UNREACHABLE) & (m["endpoint"] == endpoint))
    expected = np.where(tables.flows["family"][m["flow"][rows]] == 6, PACKET_TOO_BIG, FRAGMENTATION_NEEDED)
    found: IntArray = rows[m["value"][rows] == expected]
    return found


def _sent_smaller(tables: Tables, config: Config, endpoint: int) -> IntArray | None:
    """Segments that were sent again within a retransmission time-out of such an error; nothing where there is none."""
    errors = too_large(tables, endpoint)
    if not len(errors):
        return None
    f, m = tables.flows, tables.marks
    rows = np.flatnonzero(np.isin(m["mark"], REPEATS) & (m["endpoint"] == endpoint))
    last = last_before(m["flow"][rows], m["time_ns"][rows], m["flow"][errors], m["time_ns"][errors])
    rows = rows[(last >= 0) & (m["time_ns"][rows] - last <= to_ns(config.rto_s))]
    flows = m["flow"][rows]
    size = side(f, 1 - endpoint, "mss")[flows]
    units = np.where(size > 0, -(-m["value"][rows] // np.maximum(size, 1)), 1)
    return np.bincount(flows, weights=units, minlength=len(f)).astype(np.int64)


def last_before(flows: IntArray, times: IntArray, error_flows: IntArray, error_times: IntArray) -> IntArray:
    """For each of some frames the time of the last error of its flow until then, -1 without."""
    everything = np.concatenate((error_flows, flows))
    when = np.concatenate((error_times, times))
    is_error = np.arange(len(everything)) < len(error_flows)
    order = np.lexsort((~is_error, when, everything))
    # The position of the last error so far, in order of flow and time; that of another flow is none.
    last = np.maximum.accumulate(np.where(is_error[order], np.arange(len(order)), -1))
    fits = (last >= 0) & (everything[order[np.maximum(last, 0)]] == everything[order])
    found = np.empty(len(order), dtype=np.int64)
    found[order] = np.where(fits, when[order[np.maximum(last, 0)]], -1)
    return found[len(error_flows) :]
