"""One segment as it passes the tap: what the steps of :mod:`pcapflow.tracker.segment_arrives` hand to one another."""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from pcapflow.reader.segment_batch import (
    COL_ACK,
    COL_FLAGS,
    COL_FRAME,
    COL_IP_ID,
    COL_PAYLOAD_LEN,
    COL_SACK_LEFT,
    COL_SEQ,
    COL_SYN_OPTIONS,
    COL_TIME_NS,
    COL_TSECR,
    COL_TSVAL,
    COL_TTL,
    COL_WINDOW,
    CUT_ALERT,
    TLS_ALERT,
    SegmentBatch,
)
from pcapflow.tcp.flags import TCP_FLAGS

COPY_NS: Final = 50_000_000
"""A segment repeated with the same IP identification and time stamp within this is a copy made on the way, not a
retransmission: the shortest retransmission time-out of Linux is 200 ms, and a retransmission has its own time stamp."""


@final
class TapSegment:
    """A record that is filled anew for each segment: one object serves for all.

    Attributes:
        frame, time_ns: where and when it passed.
        seq, ack, flags, window: as on the wire.
        payload_len: bytes of payload.
        ip_id: IPv4 identification, -1 for IPv6.
        ttl: time to live or hop limit.
        syn_options: as in a batch (:mod:`pcapflow.reader.segment_batch`).
        tsval, tsecr: time stamp option (RFC 7323), -1 without.
        sack_left: where the first SACK block begins, raw; -1 without.
        has_ack: the ACK flag is set.
        tls_alert: ``TLS_ALERT`` or ``CUT_ALERT`` of a batch, 0 without.
        is_copy: it is a copy of the sender's previous packet, made on the way.
        rel, end_rel: its first sequence number and the one after its last, relative to its sender's ISN; SYN and FIN
            count.
        ack_rel: what it acknowledges, relative to its receiver's ISN; -1 without ACK.
        gap, pending, drew_frame, continues: of a RST only, as in :class:`~pcapflow.tracker.pending.CountedReset`.
    """

    def __init__(self) -> None:
        self.frame: i64 = 0
        self.time_ns: i64 = 0
        self.seq: i64 = 0
        self.ack: i64 = 0
        self.flags: i64 = 0
        self.window: i64 = 0
        self.payload_len: i64 = 0
        self.ip_id: i64 = 0
        self.ttl: i64 = 0
        self.syn_options: i64 = 0
        self.tsval: i64 = 0
        self.tsecr: i64 = 0
        self.sack_left: i64 = 0
        self.tls_alert: i64 = 0
        self.has_ack = False
        self.is_copy = False
        self.rel: i64 = 0
        self.end_rel: i64 = 0
        self.ack_rel: i64 = 0
        self.gap: i64 = 0
        self.pending: i64 = 0
        self.drew_frame: i64 = -1
        self.continues: i64 = 0

    def read(self, batch: SegmentBatch, row: i64) -> None:
        """Takes what a batch holds of a segment, whose row begins at a cell; the rest is for the steps to fill in."""
        cells = batch.cells
        self.frame = cells[row + COL_FRAME]
        self.time_ns = cells[row + COL_TIME_NS]
        self.seq = cells[row + COL_SEQ]
        self.ack = cells[row + COL_ACK]
        flags: i64 = cells[row + COL_FLAGS]
        self.flags = flags & TCP_FLAGS
        self.tls_alert = flags & (TLS_ALERT | CUT_ALERT)
        self.window = cells[row + COL_WINDOW]
        self.payload_len = cells[row + COL_PAYLOAD_LEN]
        self.ip_id = cells[row + COL_IP_ID]
        self.ttl = cells[row + COL_TTL]
        self.syn_options = cells[row + COL_SYN_OPTIONS]
        self.tsval = cells[row + COL_TSVAL]
        self.tsecr = cells[row + COL_TSECR]
        self.sack_left = cells[row + COL_SACK_LEFT]
