"""A batch of TCP segments as typed columns: what every reader fills and the tracker consumes.

All integers are 64 bits wide and non-negative unless a column says that -1 means "absent".
"""

from __future__ import annotations

from typing import Final, final

from librt.vecs import vec
from mypy_extensions import i64

CAPACITY: Final = 2048
"""Segments in a full batch, which then fits in a second-level cache."""

# Column `flags`: the TCP flags as on the wire (:mod:`pcapflow.tcp.flags`), and these facts about the segment.
IS_IPV6: Final = 0x1000
CUT_OPTIONS: Final = 0x2000
"""The TCP options were cut off by the snap length: one that is missing is unknown, not absent."""
ICMP_QUOTE: Final = 0x4000
"""Not a segment on the wire, but the head of one quoted in an ICMP error: `window` is ``type << 8 | code``, `tsval` and
`tsecr` are the halves of the address that the error came from."""
TLS_ALERT: Final = 0x8000
"""The payload is one TLS record that holds an alert, and nothing else."""
CUT_ALERT: Final = 0x10000
"""The payload has the length of such a record, and the snap length cut its first bytes off."""

# Column `syn_options`, of a segment with SYN: mss | (wscale + 1) << 16 | sack permitted << 24 | order << 25, the
# number of the order of its options (:mod:`pcapflow.tcp.syn_options`); 0 without SYN.
NO_OPTIONS: Final = 0
SYN_ORDER_SHIFT: Final = 25


# The columns: that of row `i` is at `cells[i * COLUMNS + COL_SEQ]`.
COL_FRAME: Final = 0
COL_TIME_NS: Final = 1
COL_SRC_HI: Final = 2
COL_SRC_LO: Final = 3
COL_DST_HI: Final = 4
COL_DST_LO: Final = 5
COL_PORTS: Final = 6
COL_SEQ: Final = 7
COL_ACK: Final = 8
COL_FLAGS: Final = 9
COL_WINDOW: Final = 10
COL_PAYLOAD_LEN: Final = 11
COL_IP_ID: Final = 12
COL_TTL: Final = 13
COL_VLAN: Final = 14
COL_TUNNEL: Final = 15
COL_SYN_OPTIONS: Final = 16
COL_TSVAL: Final = 17
COL_TSECR: Final = 18
COL_SACK_LEFT: Final = 19
COL_SACK_RIGHT: Final = 20
COLUMNS: Final = 21


ALL_SHARDS: Final = -1
"""In place of a shard: the segments of all connections."""
SHARDS: Final = (0, 1)
"""Connections fall into two shards, which have nothing to do with one another."""


def shard_of(mixed: i64) -> i64:
    """Which shard a connection belongs to, by the exclusive or of its addresses' lower halves and its two ports.

    It is the parity of the bits, which changes evenly along whatever steps addresses and ports are given out in.
    """
    mixed ^= mixed >> 32
    mixed ^= mixed >> 16
    mixed ^= mixed >> 8
    mixed ^= mixed >> 4
    return (0x6996 >> (mixed & 15)) & 1


@final
class SegmentBatch:
    """Columns of the segments among the next :data:`CAPACITY` that are of one shard, or of all; ``size`` are filled.

    Attributes:
        shard: the shard whose segments it is filled with. Whichever it is, batches begin and end at the same segments.
        seen: segments of either shard that the batch stands for.
        last_ns: time of the last of these.
        latest_ns: the latest of their times, and of all before.
        keeps_payload: whether the bytes that the segments carry are kept too; only a second pass asks for them.
        payloads: by row, the captured bytes of its payload; rows without any are missing.

    Its rows lie in one array, ``cells``, one after another: to reach an array costs more than to write to it, and a row
    takes three lines of the processor's cache. The columns:

    COL_FRAME       number of the frame in the capture, from 1, as Wireshark counts
    COL_TIME_NS     nanoseconds since 1970-01-01 UTC
    COL_SRC_HI, LO  source address as two big-endian halves; IPv4 is ``0`` and the 32-bit address
    COL_DST_HI, LO  destination address, likewise
    COL_PORTS       ``source << 16 | destination``
    COL_SEQ, ACK    as on the wire, 0 to 2**32-1
    COL_FLAGS       TCP flags and the facts above
    COL_WINDOW      as on the wire, not scaled
    COL_PAYLOAD_LEN bytes of TCP payload by the IP header (not by what was captured)
    COL_IP_ID       IPv4 identification, -1 for IPv6
    COL_TTL         time to live or hop limit of the (innermost) IP header
    COL_VLAN        VLAN identifier of the innermost 802.1Q tag, -1 without
    COL_TUNNEL      index into the reader's list of tunnel names, 0 for none
    COL_SYN_OPTIONS see above
    COL_TSVAL       time stamp option, -1 without; of a quote see above
    COL_TSECR       its echo, -1 without; of a quote see above
    COL_SACK_LEFT   first SACK block as on the wire, -1 without
    COL_SACK_RIGHT  its right edge
    """

    def __init__(self) -> None:
        self.shard: i64 = ALL_SHARDS
        self.size: i64 = 0
        self.seen: i64 = 0
        self.last_ns: i64 = -1
        self.latest_ns: i64 = -1
        self.keeps_payload = False
        self.payloads: dict[int, bytes] = {}
        self.cells: vec[i64] = vec[i64]([0] * (COLUMNS * CAPACITY))

    def clear(self) -> None:
        """Makes room for the next segments."""
        self.size = 0
        self.seen = 0
        if self.keeps_payload:
            self.payloads = {}

    def wants(self, time_ns: i64, mixed: i64) -> bool:
        """Counts a segment; whether it is to have a row, by ``mixed`` as for :func:`shard_of`."""
        self.seen += 1
        self.last_ns = time_ns
        if time_ns > self.latest_ns:
            self.latest_ns = time_ns
        return self.shard < 0 or shard_of(mixed) == self.shard
