"""What the tables count of a connection: packets, silences, windows, Wireshark's marks, Zeek's history.

Nothing here decides what state an endpoint is in; that are the steps of :mod:`pcapflow.tracker.segment_arrives`.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from pcapflow.reader.segment_batch import SYN_ORDER_SHIFT
from pcapflow.tcp.completeness import (
    COMPLETE_ACK,
    COMPLETE_DATA,
    COMPLETE_FIN,
    COMPLETE_RST,
    COMPLETE_SYN,
    COMPLETE_SYN_ACK,
)
from pcapflow.tcp.flags import ACK, FIN, RST, SYN
from pcapflow.tcp.marks import DUPLICATE_ACK, FAST_RETRANSMISSION, OUT_OF_ORDER, RETRANSMISSION, SPURIOUS_RETRANSMISSION
from pcapflow.tcp.states import SERVER
from pcapflow.tracker.conversation import owed
from pcapflow.tracker.endpoint import Endpoint
from pcapflow.tracker.flow import Flow
from pcapflow.tracker.segment import TapSegment
from pcapflow.tracker.wireshark import WSCALE_UNUSED

RETRANSMISSIONS: Final = 1 << RETRANSMISSION | 1 << FAST_RETRANSMISSION | 1 << SPURIOUS_RETRANSMISSION

_OUT_OF_ORDER: Final = 1 << OUT_OF_ORDER

LEAST_MSS: Final = 48
"""Linux sends no smaller segments, whatever it is offered (tcp_min_snd_mss)."""

# Zeek's history letters, numbered from 1; +16 for the responder's lower case. Index into HISTORY_LETTERS.
H_SYN: Final = 1
H_SYN_ACK: Final = 2
H_ACK: Final = 3
H_DATA: Final = 4
H_FIN: Final = 5
H_RST: Final = 6
H_RETRANSMISSION: Final = 7
H_ZERO_WINDOW: Final = 8
H_GAP: Final = 9
H_INCONSISTENT: Final = 10
H_MULTI_FLAG: Final = 11
HISTORY_LETTERS: Final = " SHADFRTWGIQ    " + " shadfrtwgiq    "
LETTERS_PER_WORD: Final = 12
MAX_LETTERS: Final = 24


def completeness(flags: i64, payload_len: i64) -> i64:
    """What one segment adds to Wireshark's ``tcp.completeness``, the SYN of a first frame aside."""
    bits: i64 = 0
    if flags & ACK:
        if flags & SYN:
            bits |= COMPLETE_SYN_ACK
        else:
            bits |= COMPLETE_DATA if payload_len > 0 else COMPLETE_ACK
        if flags & FIN:
            bits |= COMPLETE_FIN
    if flags & RST:
        bits |= COMPLETE_RST
    return bits


def count(flow: Flow, x: Endpoint, s: TapSegment) -> None:
    """Counts one segment of ``x``, before anything is made of it."""
    time_ns: i64 = s.time_ns
    flags: i64 = s.flags
    flow.packets += 1
    x.packets += 1
    x.payload_bytes += s.payload_len
    if s.tsval >= 0:
        x.note_tsval(s.tsval, time_ns)
    if x.first_frame < 0:
        x.first_frame = s.frame
        x.ttl = s.ttl
        x.timestamps = 1 if s.tsval >= 0 else 0
    if flow.packets > 1 and time_ns - flow.end_ns > flow.idle_ns:
        flow.idle_ns = time_ns - flow.end_ns
        flow.idle_end_ns = time_ns
        flow.idle_frame = s.frame
        flow.idle_endpoint = x.which
        flow.idle_owed = owed(flow)
    flow.last_frame = s.frame
    if time_ns > flow.end_ns:
        flow.end_ns = time_ns
    _complete(flow, flags, s.payload_len)
    _write_history(flow, x, s)
    if flags & SYN:
        if not flags & ACK:
            flow.syn_ns = time_ns
    elif flags & ACK and flow.syn_ns >= 0 and flow.first_rtt_ns == 0:
        flow.first_rtt_ns = time_ns - flow.syn_ns


def _complete(flow: Flow, flags: i64, payload_len: i64) -> None:
    """Wireshark's ``tcp.completeness``: of a first frame only a SYN counts until there is a second."""
    bits: i64 = completeness(flags, payload_len)
    if flow.packets > 1:
        flow.completeness |= bits | flow.first_completeness
    else:
        flow.first_completeness = bits
        if flags & (SYN | ACK) == SYN:
            flow.completeness |= COMPLETE_SYN
            if payload_len > 0:
                flow.completeness |= COMPLETE_DATA


def _write_history(flow: Flow, x: Endpoint, s: TapSegment) -> None:
    """Adds what Zeek's history says of a segment: one letter, for its flags or else for what it carries."""
    flags: i64 = s.flags
    control: i64 = flags & (SYN | FIN | RST)
    if control & (control - 1):
        add_letter(flow, x, H_INCONSISTENT if control & (FIN | RST) == FIN | RST else H_MULTI_FLAG)
    elif flags & SYN:
        add_letter(flow, x, H_SYN_ACK if flags & ACK else H_SYN)
    elif flags & FIN:
        add_letter(flow, x, H_FIN)
    elif flags & RST:
        if s.seq != x.history_rst_seq:
            # A RST with another number is another RST.
            x.history_seen &= ~(1 << H_RST)
            x.history_rst_seq = s.seq
        add_letter(flow, x, H_RST)
    elif s.payload_len > 0:
        add_letter(flow, x, H_DATA)
    elif flags & ACK:
        add_letter(flow, x, H_ACK)


def add_letter(flow: Flow, x: Endpoint, letter: i64) -> None:
    """Appends a history letter the first time its endpoint earns it."""
    if x.history_seen & 1 << letter:
        return
    x.history_seen |= 1 << letter
    at: i64 = flow.history_len
    if at >= MAX_LETTERS:
        return
    code: i64 = letter + 16 if x.which == SERVER else letter
    if at < LETTERS_PER_WORD:
        flow.history_1 |= code << 5 * at
    else:
        flow.history_2 |= code << 5 * (at - LETTERS_PER_WORD)
    flow.history_len = at + 1


def note_wireshark(flow: Flow, x: Endpoint, s: TapSegment, marks: i64) -> None:
    """Logs the marks that Wireshark gives a segment, a set of bits ``1 << mark``."""
    if marks & RETRANSMISSIONS:
        x.retransmitted += 1
        add_letter(flow, x, H_RETRANSMISSION)
    mark: i64 = 0
    while marks:
        if marks & 1:
            value: i64 = x.ws_dup_acks if mark == DUPLICATE_ACK else s.payload_len
            flow.mark(s.frame, s.time_ns, x, mark, value)
        marks >>= 1
        mark += 1


def count_data(flow: Flow, x: Endpoint, y: Endpoint, s: TapSegment, marks: i64) -> None:
    """Counts a segment with payload in units of the MSS: a card that merges segments makes one record of forty.

    Repeats of one segment after another say that the path is silent, not which share it loses: only the first counts.
    What is sent again in smaller segments, as an ICMP error asked, was not lost by chance and counts not at all.
    """
    units: i64 = in_segments(flow, s.payload_len)
    if marks & RETRANSMISSIONS or (marks & _OUT_OF_ORDER and _has_passed(x, y, s)):
        if s.seq == x.again_seq or (x.too_big_rel >= 0 and x.rel(s.seq) < x.too_big_rel):
            return
        x.again_seq = s.seq
        x.data_segments_again += units
    elif s.payload_len > x.largest:
        x.largest = s.payload_len
    x.data_segments += units


def _has_passed(x: Endpoint, y: Endpoint, s: TapSegment) -> bool:
    """Whether all bytes of a segment passed before, and ``y`` was heard since, which asks for them.

    Wireshark calls it out of order where it comes within a round trip. So do the second and further losses of one
    window, which the sender repeats at once (RFC 6675).
    """
    rel: i64 = x.rel(s.seq)
    asked = y.ws_dup_acks > 0 or y.last_ns > x.last_ns
    return asked and x.hole_bytes == 0 and rel >= 1 and rel + s.payload_len <= x.next_rel


def in_segments(flow: Flow, payload_len: i64) -> i64:
    """How many segments of the MSS this much payload takes."""
    if payload_len <= flow.mss:
        return 1
    return (payload_len - 1) // flow.mss + 1


def note_window(flow: Flow, x: Endpoint, y: Endpoint, s: TapSegment) -> None:
    """Follows window scaling (RFC 7323, 2.2) and how long the window of ``x`` stays shut."""
    flags: i64 = s.flags
    if flags & SYN:
        _note_syn_options(flow, x, y, s)
    elif flags & ACK:
        x.ws_first_ack = False
        if s.window == 0:
            if x.zero_since_ns < 0 and not flags & (FIN | RST):
                x.zero_since_ns = s.time_ns
                x.zero_since_frame = s.frame
                add_letter(flow, x, H_ZERO_WINDOW)
        elif x.zero_since_ns >= 0:
            zero_window_ends(x, s.time_ns)


def _note_syn_options(flow: Flow, x: Endpoint, y: Endpoint, s: TapSegment) -> None:
    options: i64 = s.syn_options
    if x.syn_form < 0:
        x.syn_form = s.window | options >> SYN_ORDER_SHIFT << 16
    if options & 0xFFFF:
        x.mss = options & 0xFFFF
        flow.mss = max(x.mss, LEAST_MSS)
        if y.mss >= LEAST_MSS and y.mss < flow.mss:
            flow.mss = y.mss
    x.permits_sack = options & 1 << 24 != 0
    scale: i64 = (options >> 16 & 0xFF) - 1
    x.ws_wscale = WSCALE_UNUSED
    x.wscale = 0
    if scale >= 0:
        x.ws_wscale = scale
        x.wscale = scale
    x.ws_first_ack = True
    if scale < 0:
        y.ws_wscale = WSCALE_UNUSED
    elif s.flags & ACK and y.ws_wscale == WSCALE_UNUSED:
        x.ws_wscale = WSCALE_UNUSED


def zero_window_ends(x: Endpoint, time_ns: i64) -> None:
    """The window of ``x``, which was shut, is open again, or the capture ends: the longest such time is kept."""
    if time_ns - x.zero_since_ns > x.zero_ns:
        x.zero_ns = time_ns - x.zero_since_ns
        x.zero_frame = x.zero_since_frame
    x.zero_since_ns = -1
