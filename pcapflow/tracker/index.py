"""Which connection a segment belongs to: tuples of addresses and ports, found by a hash in either direction.

The hash table is open-addressing and holds integers only, and so do the rows it points to: with millions of connections
there is no object per connection here.
"""

from __future__ import annotations

import os
from typing import Final, final

from librt.vecs import extend, vec
from mypy_extensions import i64

FIRST_SLOTS: Final = 1 << 12
M16: Final = 0xFFFF
M31: Final = 0x7FFF_FFFF
M32: Final = 0xFFFF_FFFF

WIDTH: Final = 6
"""Numbers of one connection: client address (two), server address (two), its tag, and its place, which is looked at
whenever these are. The tag holds family, tunnel and both ports."""
TAG: Final = 4
PLACE: Final = 5
EMPTY_ROWS: Final = vec[i64]([0] * (256 * WIDTH))
"""What is appended when there is no row left: one by one, six numbers cost six calls."""

# What a connection is now, in the low two bits of its place; the rest is where.
IN_SYN_CACHE: Final = 0
LIVE: Final = 1
WRITTEN: Final = 2
EVICTED: Final = 3
ISN_BITS: Final = 33
"""Where a connection is written, the rest is the client's initial sequence number plus one, in this many bits, and
above them the age of the last that the client sent (:mod:`pcapflow.tracker.reuse`)."""


@final
class ConnectionIndex:
    """The tuples of all connections, which are numbered from 0 in the order in which they were added.

    Attributes:
        count: how many there are.
    """

    def __init__(self) -> None:
        self.count: i64 = 0
        self._rows: vec[i64] = vec[i64]()
        # A slot holds `hash << 32 | number + 1`; 0 is empty. A new incarnation of a tuple takes over its slot.
        self._slots: vec[i64] = vec[i64]([0] * FIRST_SLOTS)
        self._mask: i64 = FIRST_SLOTS - 1
        self._used: i64 = 0
        # The tuple that was looked for last: its hash, its slot, what was found, and its ends.
        self._hashed: i64 = 0
        self._slot: i64 = 0
        self._recent: i64 = -1
        self._src_hi: i64 = 0
        self._src_lo: i64 = 0
        self._dst_hi: i64 = 0
        self._dst_lo: i64 = 0
        self._forward: i64 = 0
        # Odd multipliers nobody outside can know: a capture cannot be made to fill one chain.
        self._k1: i64 = int.from_bytes(os.urandom(4), "big") >> 1 | 1
        self._k2: i64 = int.from_bytes(os.urandom(4), "big") >> 1 | 1
        self._k3: i64 = int.from_bytes(os.urandom(4), "big") >> 1 | 1

    def hash(self, hi: i64, lo: i64, port: i64) -> i64:
        """31 bits of one end; every step stays below 2**63, so that compiled and interpreted agree.

        Address and port are multiplied one after the other: mixed before a secret multiplier was applied, they could
        be chosen to cancel each other.
        """
        h: i64 = (lo & M31) * self._k1
        h = (h >> 17) & M31 ^ (lo >> 31) & M31
        if hi:
            h = h * self._k2
            h = (h >> 17) & M31 ^ (hi & M31)
            h = h * self._k3
            h = (h >> 17) & M31 ^ (hi >> 31) & M31
            h = h * self._k1
            h = (h >> 17) & M31
        h = (h ^ port) * self._k2
        return (h >> 23) & M31

    def find(self, src_hi: i64, src_lo: i64, dst_hi: i64, dst_lo: i64, ports: i64, tag: i64) -> i64:
        """Finds a tuple in either direction; :meth:`add` may follow for the same tuple.

        Args:
            src_hi, src_lo, dst_hi, dst_lo: addresses in halves.
            ports: ``source << 16 | destination``.
            tag: what else is in a connection's tag.

        Returns:
            The number of its connection times two, plus one where its client is the source; -1 where there is none.
        """
        forward: i64 = ports | tag
        backward: i64 = (ports & M16) << 16 | ports >> 16 | tag
        # Segments of one connection come several in a row.
        if self._recent >= 0:
            if src_lo == self._src_lo and dst_lo == self._dst_lo:
                if forward == self._forward and src_hi == self._src_hi and dst_hi == self._dst_hi:
                    return self._recent
            if src_lo == self._dst_lo and dst_lo == self._src_lo:
                if backward == self._forward and src_hi == self._dst_hi and dst_hi == self._src_hi:
                    return self._recent ^ 1
        hashed: i64 = (self.hash(src_hi, src_lo, ports >> 16) + self.hash(dst_hi, dst_lo, ports & M16)) & M31
        found: i64 = self._look_up(hashed, src_hi, src_lo, dst_hi, dst_lo, forward, backward)
        self._hashed = hashed
        self._recent = found
        if found >= 0:
            self._src_hi = src_hi
            self._src_lo = src_lo
            self._dst_hi = dst_hi
            self._dst_lo = dst_lo
            self._forward = forward
        return found

    def _look_up(
        self, hashed: i64, src_hi: i64, src_lo: i64, dst_hi: i64, dst_lo: i64, forward: i64, backward: i64
    ) -> i64:
        slots = self._slots
        rows = self._rows
        slot: i64 = hashed & self._mask
        entry: i64 = slots[slot]
        while entry != 0:
            if entry >> 32 == hashed:
                number: i64 = (entry & M32) - 1
                at: i64 = number * WIDTH
                tag: i64 = rows[at + TAG]
                if tag == forward and rows[at + 1] == src_lo and rows[at + 3] == dst_lo:
                    if rows[at] == src_hi and rows[at + 2] == dst_hi:
                        self._slot = slot
                        return number << 1 | 1
                if tag == backward and rows[at + 1] == dst_lo and rows[at + 3] == src_lo:
                    if rows[at] == dst_hi and rows[at + 2] == src_hi:
                        self._slot = slot
                        return number << 1
            slot = (slot + 1) & self._mask
            entry = slots[slot]
        self._slot = slot
        return -1

    def add(self, client_hi: i64, client_lo: i64, server_hi: i64, server_lo: i64, tag: i64, place: i64) -> i64:
        """Gives a connection a number, and the slot of its tuple, which was looked for last, to it."""
        number: i64 = self.count
        self.count += 1
        at: i64 = number * WIDTH
        if at == len(self._rows):
            self._rows = extend(self._rows, EMPTY_ROWS)
        rows = self._rows
        rows[at] = client_hi
        rows[at + 1] = client_lo
        rows[at + 2] = server_hi
        rows[at + 3] = server_lo
        rows[at + TAG] = tag
        rows[at + PLACE] = place
        if self._slots[self._slot] == 0:
            self._used += 1
        self._slots[self._slot] = self._hashed << 32 | number + 1
        self._recent = -1
        if self._used * 3 > self._mask * 2:
            self._grow()
        return number

    def place(self, number: i64) -> i64:
        """What a connection is now, and where, as :meth:`move` noted last."""
        return self._rows[number * WIDTH + PLACE]

    def move(self, number: i64, place: i64) -> None:
        """Notes what a connection has become."""
        self._rows[number * WIDTH + PLACE] = place

    def cell(self, number: i64, column: i64) -> i64:
        """One of the numbers of a connection, by its position in :data:`WIDTH`."""
        return self._rows[number * WIDTH + column]

    def close_slots(self) -> None:
        """Frees the hash table: nothing will be found any more."""
        self._slots = vec[i64]()

    def close_rows(self) -> None:
        """Frees the rest."""
        self._rows = vec[i64]()

    def _grow(self) -> None:
        old = self._slots
        size: i64 = (self._mask + 1) * 2
        slots = vec[i64]([0] * int(size))
        mask: i64 = size - 1
        for at in range(len(old)):
            entry: i64 = old[at]
            if entry != 0:
                slot: i64 = entry >> 32 & mask
                while slots[slot] != 0:
                    slot = (slot + 1) & mask
                slots[slot] = entry
        self._slots = slots
        self._mask = mask
