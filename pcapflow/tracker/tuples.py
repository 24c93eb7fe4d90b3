"""Addresses and ports of a segment: which end is the client, and which of two connections of a tuple it belongs to."""

from __future__ import annotations

from mypy_extensions import i64

from pcapflow.reader.segment_batch import (
    COL_DST_HI,
    COL_DST_LO,
    COL_PORTS,
    COL_SRC_HI,
    COL_SRC_LO,
    SegmentBatch,
)
from pcapflow.tcp.flags import ACK, SYN
from pcapflow.tcp.seq import delta
from pcapflow.tracker.endpoint import Endpoint
from pcapflow.tracker.flow import Flow
from pcapflow.tracker.index import M32


def nearer(flow: Flow, before: Flow, from_client: bool, seq: i64, ack: i64, flags: i64) -> Flow:
    """Which of two connections of one tuple the numbers of a segment go on from.

    The older one's go on where the other side answers the SYN with a challenge ACK (RFC 5961, 4.2).
    """
    x = flow.client if from_client else flow.server
    y = flow.server if from_client else flow.client
    older = before.client if is_at(before.client, x.hi, x.lo, x.port) else before.server
    if flags & SYN:
        if seq == older.isn and y.isn >= 0 and ack != (y.isn + 1) & M32:
            # The older connection's SYN-ACK once more.
            return before
        flow.before = None
        return flow
    if flags & ACK and y.isn >= 0 and ack == (y.isn + y.next_rel) & M32:
        return flow
    if older.isn < 0:
        return flow
    if x.isn < 0:
        return before
    off: i64 = delta(seq, (x.isn + x.next_rel) & M32)
    off_older: i64 = delta(seq, (older.isn + older.next_rel) & M32)
    return flow if off * off <= off_older * off_older else before


def is_at(x: Endpoint, hi: i64, lo: i64, port: i64) -> bool:
    """Whether an endpoint has this address and port."""
    return x.port == port and x.lo == lo and x.hi == hi


def roles(flags: i64, sport: i64, dport: i64) -> tuple[bool, bool]:
    """Whether the sender of a first segment is the client, which a SYN tells, and whether that had to be guessed."""
    if flags & SYN:
        return flags & ACK == 0, False
    if sport < 1024 <= dport:
        return False, True
    if dport < 1024 <= sport:
        return True, True
    return not sport < 32768 <= dport, True


def ends(batch: SegmentBatch, row: i64) -> tuple[int, int, int, int, int, int]:
    """Both ends of a segment's tuple, in an order that does not depend on direction."""
    cells = batch.cells
    source = cells[row + COL_SRC_HI], cells[row + COL_SRC_LO], cells[row + COL_PORTS] >> 16
    target = cells[row + COL_DST_HI], cells[row + COL_DST_LO], cells[row + COL_PORTS] & 0xFFFF
    return (*source, *target) if source <= target else (*target, *source)
