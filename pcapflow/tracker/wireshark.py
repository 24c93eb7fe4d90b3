"""Marks in Wireshark's vocabulary: what ``tcp.analysis`` says of a segment.

The rules are those of the User's Guide, "TCP Analysis", as Wireshark 4.0 applies them: raw numbers, one pass, no look
ahead. They are kept apart from the state machine on purpose: people compare them with Wireshark's, so they follow it
even where the state machine knows better.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from pcapflow.tcp.flags import ACK, FIN, RST, SYN
from pcapflow.tcp.marks import (
    ACKED_UNSEEN,
    DUPLICATE_ACK,
    FAST_RETRANSMISSION,
    KEEP_ALIVE,
    KEEP_ALIVE_ACK,
    LOST_SEGMENT,
    OUT_OF_ORDER,
    RETRANSMISSION,
    SPURIOUS_RETRANSMISSION,
    WINDOW_FULL,
    WINDOW_UPDATE,
    ZERO_WINDOW,
    ZERO_WINDOW_PROBE,
    ZERO_WINDOW_PROBE_ACK,
)
from pcapflow.tcp.seq import delta
from pcapflow.tracker.endpoint import Endpoint
from pcapflow.tracker.segment import TapSegment

FAST_RETRANSMISSION_NS: Final = 20_000_000
"""A fast retransmission follows the last duplicate ACK within this."""
OUT_OF_ORDER_NS: Final = 3_000_000
"""What counts as out of order while no round-trip time is known."""

WSCALE_UNKNOWN: Final = -1
WSCALE_UNUSED: Final = -2

M32: Final = 0xFFFF_FFFF


def wireshark_marks(x: Endpoint, y: Endpoint, s: TapSegment, first_rtt_ns: i64) -> i64:
    """Classifies a segment from ``x`` to ``y`` and moves Wireshark's view of both on.

    Args:
        x, y, s: sender, receiver and segment.
        first_rtt_ns: time from the last SYN to the first ACK of the connection, 0 while unknown.

    Returns:
        A set of marks as bits, ``1 << mark``.
    """
    seq: i64 = s.seq
    ack: i64 = s.ack
    flags: i64 = s.flags
    window: i64 = s.window
    payload_len: i64 = s.payload_len
    time_ns: i64 = s.time_ns
    marks: i64 = 0
    expected: i64 = x.ws_next
    control: i64 = flags & (SYN | FIN | RST)
    is_probe = False
    if payload_len == 1 and seq == expected and y.ws_window == 0:
        marks |= 1 << ZERO_WINDOW_PROBE
        is_probe = True
    else:
        if window == 0 and not control:
            marks |= 1 << ZERO_WINDOW
        if expected >= 0 and not flags & RST and delta(seq, expected) > 0:
            marks |= 1 << LOST_SEGMENT
        if not control:
            if payload_len <= 1 and expected >= 0 and seq == (expected - 1) & M32:
                marks |= 1 << KEEP_ALIVE
            if payload_len > 0:
                if y.ws_wscale != WSCALE_UNKNOWN and y.ws_window >= 0 and y.ws_last_ack >= 0:
                    shift: i64 = 0
                    if not y.ws_first_ack and y.ws_wscale != WSCALE_UNUSED:
                        shift = y.ws_wscale
                    if (seq + payload_len) & M32 == (y.ws_last_ack + (y.ws_window << shift)) & M32:
                        marks |= 1 << WINDOW_FULL
            elif seq == expected and ack == x.ws_last_ack:
                if window:
                    if window != x.ws_window:
                        marks |= 1 << WINDOW_UPDATE
                    elif y.ws_last_marks & 1 << KEEP_ALIVE:
                        marks |= 1 << KEEP_ALIVE_ACK
                    else:
                        x.ws_dup_acks = 1 if x.ws_dup_acks < 0 else x.ws_dup_acks + 1
                        marks |= 1 << DUPLICATE_ACK
                elif x.ws_window == 0 and y.ws_last_marks & 1 << ZERO_WINDOW_PROBE:
                    marks |= 1 << ZERO_WINDOW_PROBE_ACK
    if ack != x.ws_last_ack:
        x.ws_dup_acks = 0
    if flags & ACK and y.ws_max_acked >= 0 and delta(ack, y.ws_max_acked) > 0:
        if delta(y.ws_max_acked, y.ws_next) < 0:
            y.ws_max_acked = y.ws_next
            marks |= 1 << ACKED_UNSEEN
        else:
            if y.ws_dup_acks == 0:
                marks |= 1 << ACKED_UNSEEN
            y.ws_dup_acks = -1

    occupies: i64 = payload_len
    if flags & (SYN | FIN):
        occupies += 1
    if occupies > 0 and not marks & 1 << KEEP_ALIVE:
        if payload_len > 0 and y.ws_last_ack > 0 and delta((seq + payload_len) & M32, y.ws_last_ack) <= 0:
            marks |= 1 << SPURIOUS_RETRANSMISSION
        elif expected >= 0 and delta(seq, expected) < 0 and not (payload_len > 1 and seq == (expected - 1) & M32):
            # Its times are unsigned: where the clock went back, much time has passed.
            since_ack_ns: i64 = time_ns - y.ws_last_ack_ns
            since_ns: i64 = time_ns - x.ws_next_ns
            reorder_ns: i64 = OUT_OF_ORDER_NS
            if first_rtt_ns > 0:
                reorder_ns = first_rtt_ns
            if y.ws_dup_acks >= 2 and y.ws_last_ack == seq and 0 <= since_ack_ns < FAST_RETRANSMISSION_NS:
                marks |= 1 << FAST_RETRANSMISSION
            elif expected != (seq + occupies) & M32 and 0 <= since_ns < reorder_ns:
                marks |= 1 << OUT_OF_ORDER
            else:
                marks |= 1 << RETRANSMISSION

    following: i64 = (seq + occupies) & M32
    if not is_probe:
        if expected < 0 or delta(following, expected) > 0:
            x.ws_next = following
            x.ws_next_ns = time_ns
        if x.ws_max_acked < 0 or seq == x.ws_max_acked:
            x.ws_max_acked = x.ws_next
    x.ws_window = window
    x.ws_last_ack = ack
    x.ws_last_ack_ns = time_ns
    x.ws_last_marks = marks
    return marks
