"""A TCP header becomes a row of a batch; so does the head of one that an ICMP error quotes.

Addresses, lengths and tags were written to the decoder by the layers around. Source: RFC 9293, 3.1 and 3.2; RFC 7323,
2 and 3 (window scale, time stamps); RFC 2018, 2 and 3 (selective acknowledgement).
"""

from __future__ import annotations

from typing import Final

from librt.strings import read_i16_be, read_i32_be, read_i64_be
from librt.vecs import vec
from mypy_extensions import i64

from pcapflow.reader.decode.decoder import Decoder
from pcapflow.reader.decode.protocols import M16, M32
from pcapflow.reader.decode.tls import LONGEST_ALERT_BYTES, alert_facts
from pcapflow.reader.segment_batch import (
    COL_ACK,
    COL_DST_HI,
    COL_DST_LO,
    COL_FLAGS,
    COL_FRAME,
    COL_IP_ID,
    COL_PAYLOAD_LEN,
    COL_PORTS,
    COL_SACK_LEFT,
    COL_SACK_RIGHT,
    COL_SEQ,
    COL_SRC_HI,
    COL_SRC_LO,
    COL_SYN_OPTIONS,
    COL_TIME_NS,
    COL_TSECR,
    COL_TSVAL,
    COL_TTL,
    COL_TUNNEL,
    COL_VLAN,
    COL_WINDOW,
    COLUMNS,
    CUT_OPTIONS,
    ICMP_QUOTE,
    SYN_ORDER_SHIFT,
    SegmentBatch,
)
from pcapflow.tcp.flags import SYN, TCP_FLAGS
from pcapflow.tcp.syn_options import (
    ORDER_END,
    ORDER_MSS,
    ORDER_NOP,
    ORDER_OTHER,
    ORDER_SACK_PERMITTED,
    ORDER_TIMESTAMPS,
    ORDER_WINDOW_SCALE,
    order_number,
)

MIN_TCP_HEADER_BYTES: Final = 20

OPTION_END: Final = 0
OPTION_NOP: Final = 1
OPTION_MSS: Final = 2
OPTION_WINDOW_SCALE: Final = 3
OPTION_SACK_PERMITTED: Final = 4
OPTION_SACK: Final = 5
OPTION_TIMESTAMPS: Final = 8

_ALIGNED_TIMESTAMPS: Final = 0x0101_080A
"""Two NOPs, then kind and length of the time stamps: the only options of nearly every segment (RFC 7323, A)."""


def write_segment(decoder: Decoder, data: bytes, at: i64, end: i64, limit: i64, batch: SegmentBatch) -> None:
    """Counts a segment and writes its row, where the batch is to have one.

    Args:
        decoder: knows what the headers around it say.
        data: holds the TCP header.
        at: where it begins.
        end: offset after the last captured byte.
        limit: offset at which the payload ends on the wire.
        batch: where the row goes; it must have room for one.
    """
    if at + 16 > end:
        decoder.skip("tcp", "truncated header")
        return
    begin: i64 = read_i64_be(data, at)
    word: i64 = read_i64_be(data, at + 8)
    ack: i64 = (word >> 32) & M32
    header_len: i64 = (word >> 26) & 0x3C
    flags: i64 = (word >> 16) & TCP_FLAGS | decoder.facts
    payload_len: i64 = limit - at - header_len
    if header_len < MIN_TCP_HEADER_BYTES or payload_len < 0:
        # The stream is known all the same, and Wireshark counts the frame in it.
        decoder.skip("tcp", "bad header length")
        if header_len < MIN_TCP_HEADER_BYTES:
            # Like Wireshark, read no further than a length that no header has.
            ack = 0
            flags = decoder.facts
            word = 0
        payload_len = 0
        header_len = MIN_TCP_HEADER_BYTES
    decoder.segments += 1
    ports: i64 = (begin >> 32) & M32
    if not batch.wants(decoder.time_ns, decoder.src_lo ^ decoder.dst_lo ^ (ports >> 16) ^ (ports & M16)):
        return
    options_end: i64 = at + header_len
    if options_end > end and header_len > MIN_TCP_HEADER_BYTES:
        options_end = end
        flags |= CUT_OPTIONS
    if 0 < payload_len <= LONGEST_ALERT_BYTES:
        flags |= alert_facts(data, at + header_len, end, payload_len)
    cells = batch.cells
    row: i64 = batch.size * COLUMNS
    cells[row + COL_FRAME] = decoder.frames
    cells[row + COL_TIME_NS] = decoder.time_ns
    cells[row + COL_SRC_HI] = decoder.src_hi
    cells[row + COL_SRC_LO] = decoder.src_lo
    cells[row + COL_DST_HI] = decoder.dst_hi
    cells[row + COL_DST_LO] = decoder.dst_lo
    cells[row + COL_PORTS] = ports
    cells[row + COL_SEQ] = begin & M32
    cells[row + COL_ACK] = ack
    cells[row + COL_FLAGS] = flags
    cells[row + COL_WINDOW] = word & M16
    cells[row + COL_PAYLOAD_LEN] = payload_len
    cells[row + COL_IP_ID] = decoder.ip_id
    cells[row + COL_TTL] = decoder.ttl
    cells[row + COL_VLAN] = decoder.vlan
    cells[row + COL_TUNNEL] = decoder.tunnel
    if header_len == MIN_TCP_HEADER_BYTES:
        cells[row + COL_SYN_OPTIONS] = 0
        cells[row + COL_TSVAL] = -1
        cells[row + COL_TSECR] = -1
        cells[row + COL_SACK_LEFT] = -1
        cells[row + COL_SACK_RIGHT] = -1
    elif header_len == 32 and options_end == at + 32 and read_i32_be(data, at + 20) == _ALIGNED_TIMESTAMPS:
        stamps: i64 = read_i64_be(data, at + 24)
        cells[row + COL_SYN_OPTIONS] = 0
        cells[row + COL_TSVAL] = (stamps >> 32) & M32
        cells[row + COL_TSECR] = stamps & M32
        cells[row + COL_SACK_LEFT] = -1
        cells[row + COL_SACK_RIGHT] = -1
    else:
        _read_options(data, at + MIN_TCP_HEADER_BYTES, options_end, flags & SYN != 0, cells, row)
        if flags & CUT_OPTIONS:
            # Of some options the order is not that of all.
            cells[row + COL_SYN_OPTIONS] &= (1 << SYN_ORDER_SHIFT) - 1
    if batch.keeps_payload and payload_len > 0:
        payload_end: i64 = min(at + header_len + payload_len, end)
        if payload_end > at + header_len:
            batch.payloads[int(batch.size)] = data[at + header_len : payload_end]
    batch.size += 1


def write_quote(
    decoder: Decoder, data: bytes, at: i64, end: i64, code: i64, from_hi: i64, from_lo: i64, batch: SegmentBatch
) -> None:
    """Writes the quoted head of a segment, where the batch is to have it.

    Args:
        decoder: knows the addresses of the quoted packet.
        data: holds the quoted TCP header.
        at: where it begins.
        end: offset after its last byte; the row's ``payload_len`` is the number of TCP bytes quoted.
        code: type and code of the ICMP error, ``type << 8 | code``.
        from_hi, from_lo: who sent the error, as the addresses of a batch.
        batch: where the row goes; it must have room for one.
    """
    if at + 8 > end:
        return
    begin: i64 = read_i64_be(data, at)
    ports: i64 = (begin >> 32) & M32
    if not batch.wants(decoder.time_ns, decoder.src_lo ^ decoder.dst_lo ^ (ports >> 16) ^ (ports & M16)):
        return
    cells = batch.cells
    row: i64 = batch.size * COLUMNS
    cells[row + COL_FRAME] = decoder.frames
    cells[row + COL_TIME_NS] = decoder.time_ns
    cells[row + COL_SRC_HI] = decoder.src_hi
    cells[row + COL_SRC_LO] = decoder.src_lo
    cells[row + COL_DST_HI] = decoder.dst_hi
    cells[row + COL_DST_LO] = decoder.dst_lo
    cells[row + COL_PORTS] = ports
    cells[row + COL_SEQ] = begin & M32
    cells[row + COL_ACK] = 0
    cells[row + COL_FLAGS] = ICMP_QUOTE | decoder.facts
    cells[row + COL_WINDOW] = code
    cells[row + COL_PAYLOAD_LEN] = end - at
    cells[row + COL_IP_ID] = -1
    cells[row + COL_TTL] = -1
    cells[row + COL_VLAN] = -1
    cells[row + COL_TUNNEL] = 0
    # Those of a quoted segment are not read.
    _read_options(data, end, end, False, cells, row)
    cells[row + COL_TSVAL] = from_hi
    cells[row + COL_TSECR] = from_lo
    batch.size += 1


def _read_options(data: bytes, at: i64, end: i64, is_syn: bool, cells: vec[i64], row: i64) -> None:
    """Reads the TCP options from ``at`` to ``end`` into the row, as far as they are well formed."""
    syn_options: i64 = 0
    order: i64 = 0
    tsval: i64 = -1
    tsecr: i64 = -1
    sack_left: i64 = -1
    sack_right: i64 = -1
    while at < end:
        kind: i64 = data[at]
        if kind == OPTION_END:
            order = order << 3 | ORDER_END
            break
        if kind == OPTION_NOP:
            order = order << 3 | ORDER_NOP
            at += 1
            continue
        if at + 1 >= end:
            break
        length: i64 = data[at + 1]
        # A length below 2 would never advance (RFC 9293, 3.1: kind and length count themselves).
        if length < 2 or at + length > end:
            break
        if kind == OPTION_TIMESTAMPS and length == 10:
            order = order << 3 | ORDER_TIMESTAMPS
            stamps: i64 = read_i64_be(data, at + 2)
            tsval = (stamps >> 32) & M32
            tsecr = stamps & M32
        elif kind == OPTION_SACK and length >= 10 and sack_left < 0:
            edges: i64 = read_i64_be(data, at + 2)
            sack_left = (edges >> 32) & M32
            sack_right = edges & M32
        elif is_syn:
            if kind == OPTION_MSS and length == 4:
                order = order << 3 | ORDER_MSS
                syn_options |= i64(read_i16_be(data, at + 2)) & M16
            elif kind == OPTION_WINDOW_SCALE and length == 3:
                order = order << 3 | ORDER_WINDOW_SCALE
                syn_options |= (i64(data[at + 2]) & 0x3F) + 1 << 16
            elif kind == OPTION_SACK_PERMITTED and length == 2:
                order = order << 3 | ORDER_SACK_PERMITTED
                syn_options |= 1 << 24
            else:
                order = order << 3 | ORDER_OTHER
        at += length
    if is_syn:
        syn_options |= order_number(order) << SYN_ORDER_SHIFT
    cells[row + COL_SYN_OPTIONS] = syn_options
    cells[row + COL_TSVAL] = tsval
    cells[row + COL_TSECR] = tsecr
    cells[row + COL_SACK_LEFT] = sack_left
    cells[row + COL_SACK_RIGHT] = sack_right
