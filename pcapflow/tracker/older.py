"""Segments that a SYN draws from an older connection of its tuple, and the RST that its sender answers them with.

A host that still holds an older connection, in TIME_WAIT or open, answers a SYN with an ACK of that one's numbers (RFC
9293, 3.5.1 and 3.10.7.4; RFC 5961, 4). Whoever sent the SYN finds that ACK unacceptable, sends a RST with its number
(RFC 9293, 3.10.7.3), and repeats its SYN. Neither the ACK nor the RST is of the new connection, and they prove nothing
about it.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from pcapflow.tcp.flags import FIN, RST
from pcapflow.tcp.marks import MARK_CHALLENGE_ACK, MARK_RESET_OF_OLDER, MARK_UNEXPECTED
from pcapflow.tcp.states import SYN_SENT
from pcapflow.tracker.endpoint import Endpoint
from pcapflow.tracker.flow import Flow
from pcapflow.tracker.segment import TapSegment

SYN_WINDOW: Final = 0xFFFF
"""The window of a SYN or SYN-ACK is not scaled (RFC 7323, 2.2)."""


def is_of_older(x: Endpoint, y: Endpoint, s: TapSegment) -> bool:
    """Whether this segment of ``x`` is of an older connection, after a SYN and before the answer to it."""
    if s.flags & RST:
        return _is_reset_of_older(x, y, s)
    if y.syn_count == 0 or x.acked_rel >= 1 or not s.has_ack:
        return False
    is_first = y.state == SYN_SENT and x.syn_count == 0
    if not is_first and y.packets != y.syn_count:
        return False
    ack_rel: i64 = y.rel(s.ack)
    if ack_rel > y.next_rel + SYN_WINDOW:
        # It answers a SYN, after which no more than that could be sent before another ACK.
        return True
    if not is_first or ack_rel < 1:
        return is_first
    # What the capture lacks may have been acknowledged; a bare ACK, or a SYN's, comes before there was any of it.
    return ack_rel > y.next_rel and s.payload_len == 0 and s.flags & FIN == 0


def _is_reset_of_older(x: Endpoint, y: Endpoint, s: TapSegment) -> bool:
    """A RST of ``x``, which waits for the answer to its SYN, with a number that is none of its own."""
    if x.state != SYN_SENT or x.syn_count == 0 or y.syn_count > 0:
        return False
    rel: i64 = x.rel(s.seq)
    if s.has_ack and (rel != x.challenged_rel or s.ack != y.previous_seq):
        # Some set ACK on every RST (lwIP, tcp_rst): of an older connection it is where it answers the ACK before it.
        return False
    return rel < 0 or rel > x.next_rel


def note_older(flow: Flow, x: Endpoint, y: Endpoint, s: TapSegment) -> None:
    """Marks such a segment; a SYN-ACK is marked as an ACK is. Data or a FIN was under way, and answers no SYN."""
    if s.flags & RST:
        flow.mark(s.frame, s.time_ns, x, MARK_RESET_OF_OLDER, 0)
        return
    if s.payload_len > 0 or s.flags & FIN or x.syn_count > 0:
        flow.mark(s.frame, s.time_ns, x, MARK_UNEXPECTED, 0)
        return
    flow.mark(s.frame, s.time_ns, x, MARK_CHALLENGE_ACK, 0)
    # Should y go on from there, it was of this connection, and the capture lacks what came before.
    y.challenged_rel = y.rel(s.ack)
