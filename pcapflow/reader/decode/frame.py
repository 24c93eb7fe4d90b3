"""The order of layers: from the link header of a frame, through tags, IP and tunnels, to its TCP segment.

The walk is one loop over protocol numbers: every header says which protocol follows, and what a tunnel carries simply
comes round again. A new link layer belongs in :mod:`pcapflow.reader.decode.link`, a new tunnel in
:mod:`pcapflow.reader.decode.tunnels`; neither changes anything here.

Captures are hostile input. No header is read beyond the captured end of its frame, the number of headers in one frame
is bounded, and what cannot be decoded is counted by layer and reason.
"""

from __future__ import annotations

from librt.strings import read_i32_be
from mypy_extensions import i64

from pcapflow.reader.decode.decoder import MAX_HEADERS, Decoder
from pcapflow.reader.decode.ip import ipv4, ipv6
from pcapflow.reader.decode.link import LINKTYPE_ETHERNET, ethernet, link_header
from pcapflow.reader.decode.protocols import (
    DONE,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    ETHERTYPE_OLD_QINQ,
    ETHERTYPE_QINQ,
    ETHERTYPE_VLAN,
    M16,
    MIN_ETHERTYPE,
)
from pcapflow.reader.decode.tunnels import tunnel_header
from pcapflow.reader.segment_batch import SegmentBatch


def decode_frame(
    decoder: Decoder,
    data: bytes,
    start: i64,
    end: i64,
    wire_len: i64,
    link_type: i64,
    time_ns: i64,
    batch: SegmentBatch,
) -> None:
    """Decodes one frame and appends its TCP segment, if it has one, to the batch.

    Args:
        decoder: the decoder of the capture.
        data: a buffer that holds the frame, and others.
        start: offset of the frame's first byte.
        end: offset after its last captured byte.
        wire_len: its length on the wire, at least ``end - start``.
        link_type: LINKTYPE number of its interface.
        time_ns: its time stamp.
        batch: where the segment goes; it must have room for one.
    """
    decoder.frames += 1
    decoder.time_ns = time_ns
    decoder.limit = start + wire_len
    decoder.headers = 1
    decoder.vlan = -1
    decoder.tunnel = 0
    if link_type == LINKTYPE_ETHERNET:
        step: i64 = ethernet(data, start, end)
    else:
        step = link_header(data, start, end, link_type)
    if step < 0:
        decoder.skip_link(step, link_type)
        return
    at: i64 = start
    while decoder.headers <= MAX_HEADERS:
        at += step & M16
        proto: i64 = step >> 16
        if proto == ETHERTYPE_IPV4:
            step = ipv4(decoder, data, at, end, batch)
        elif proto == ETHERTYPE_IPV6:
            step = ipv6(decoder, data, at, end, batch)
        elif proto == ETHERTYPE_VLAN or proto == ETHERTYPE_QINQ or proto == ETHERTYPE_OLD_QINQ:
            step = _vlan_tag(decoder, data, at, end)
        else:
            step = tunnel_header(decoder, data, at, end, proto)
        if step < 0:
            return
        decoder.headers += 1
    decoder.skip("frame", "too many headers")


def _vlan_tag(decoder: Decoder, data: bytes, at: i64, end: i64) -> i64:
    """A tag of IEEE 802.1Q or 802.1ad; the innermost one counts."""
    if at + 4 > end:
        decoder.skip("vlan", "truncated tag")
        return DONE
    word: i64 = i64(read_i32_be(data, at))
    decoder.vlan = (word >> 16) & 0xFFF
    proto: i64 = word & M16
    if proto < MIN_ETHERTYPE:
        decoder.other += 1
        return DONE
    return proto << 16 | 4
