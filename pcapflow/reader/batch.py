"""A batch of TCP segments as typed columns: what every reader fills and the tracker consumes.

All integers are 64 bits wide and non-negative unless a column says that -1 means "absent".
"""

from __future__ import annotations

from typing import Final, final

from librt.vecs import vec
from mypy_extensions import i64

CAPACITY: Final = 2048
"""Segments in a full batch; the columns of one batch then fit in a second-level cache."""

# Column `flags`: the nine TCP flags as on the wire, then facts about the segment.
FIN: Final = 0x001
SYN: Final = 0x002
RST: Final = 0x004
PSH: Final = 0x008
ACK: Final = 0x010
URG: Final = 0x020
TCP_FLAGS: Final = 0x1FF
"""All nine."""
IS_IPV6: Final = 0x1000
CUT_OPTIONS: Final = 0x2000
"""The TCP options were cut off by the snap length: one that is missing is unknown, not absent."""
ICMP_QUOTE: Final = 0x4000
"""Not a segment on the wire, but the head of one quoted in an ICMP error (`window` is ``type << 8 | code``)."""

# Column `syn_options`, of a segment with SYN: mss | (wscale + 1) << 16 | sack permitted << 24; 0 without SYN.
NO_OPTIONS: Final = 0


@final
class Batch:
    """Columns of up to :data:`CAPACITY` segments; ``size`` of them are filled.

    frame         number of the frame in the capture, from 1, as Wireshark counts
    time_ns       nanoseconds since 1970-01-01 UTC
    src_hi/lo     source address as two big-endian halves; IPv4 is ``0`` and the 32-bit address
    dst_hi/lo     destination address, likewise
    ports         ``source << 16 | destination``
    seq, ack      as on the wire, 0 to 2**32-1
    flags         TCP flags and the facts above
    window        as on the wire, not scaled
    payload_len   bytes of TCP payload by the IP header (not by what was captured)
    ip_id         IPv4 identification, -1 for IPv6
    ttl           time to live or hop limit of the (innermost) IP header
    vlan          VLAN identifier of the innermost 802.1Q tag, -1 without
    tunnel        index into the reader's list of tunnel names, 0 for none
    syn_options   see above
    tsval, tsecr  time stamp option, -1 without
    sack_left,    first SACK block as on the wire, -1 without
    sack_right
    """

    def __init__(self) -> None:
        self.size: i64 = 0
        zeros = [0] * CAPACITY
        self.frame: vec[i64] = vec[i64](zeros)
        self.time_ns: vec[i64] = vec[i64](zeros)
        self.src_hi: vec[i64] = vec[i64](zeros)
        self.src_lo: vec[i64] = vec[i64](zeros)
        self.dst_hi: vec[i64] = vec[i64](zeros)
        self.dst_lo: vec[i64] = vec[i64](zeros)
        self.ports: vec[i64] = vec[i64](zeros)
        self.seq: vec[i64] = vec[i64](zeros)
        self.ack: vec[i64] = vec[i64](zeros)
        self.flags: vec[i64] = vec[i64](zeros)
        self.window: vec[i64] = vec[i64](zeros)
        self.payload_len: vec[i64] = vec[i64](zeros)
        self.ip_id: vec[i64] = vec[i64](zeros)
        self.ttl: vec[i64] = vec[i64](zeros)
        self.vlan: vec[i64] = vec[i64](zeros)
        self.tunnel: vec[i64] = vec[i64](zeros)
        self.syn_options: vec[i64] = vec[i64](zeros)
        self.tsval: vec[i64] = vec[i64](zeros)
        self.tsecr: vec[i64] = vec[i64](zeros)
        self.sack_left: vec[i64] = vec[i64](zeros)
        self.sack_right: vec[i64] = vec[i64](zeros)
