"""Writes records as a classic pcap file, in time order and with bounded memory."""

import struct
from bisect import bisect_left
from typing import BinaryIO, Final

from benchmarks.frames import Record

MAGIC_MICROSECONDS: Final = 0xA1B2C3D4
LINKTYPE_ETHERNET: Final = 1
_FILE_HEADER: Final = struct.Struct("<IHHiIII")
_RECORD_HEADER: Final = struct.Struct("<IIII")
_SORT_EVERY: Final = 8192


class CaptureWriter:
    """A pcap file in the making: records arrive roughly in order and leave exactly in order.

    Attributes:
        packets: Records written.
        size: Bytes written.
        last_us: Time of the last record written, in microseconds since the epoch.
    """

    def __init__(self, file: BinaryIO, *, snap_len: int, limit: int | None = None) -> None:
        """Write the file header.

        Args:
            file: Where the bytes go.
            snap_len: Bytes kept of each frame.
            limit: Records to write at most; the rest is ignored.
        """
        self._file = file
        self._snap_len = snap_len
        self._limit = limit
        self._pending: list[Record] = []
        self._sort_at = _SORT_EVERY
        self.packets = 0
        self.last_us = 0
        self.size = file.write(_FILE_HEADER.pack(MAGIC_MICROSECONDS, 2, 4, 0, 0, snap_len, LINKTYPE_ETHERNET))

    @property
    def full(self) -> bool:
        """Whether nothing more will be written."""
        return self.packets == self._limit

    def add(self, records: list[Record], settled_us: int) -> None:
        """Take records in any order, and write those that can no longer be overtaken.

        Args:
            records: Any number, at or after every earlier `settled_us`.
            settled_us: No record added later is earlier than this.
        """
        self._pending += records
        if len(self._pending) < self._sort_at:
            return
        self._pending.sort()
        settled = bisect_left(self._pending, settled_us, key=_time_of)
        self._write(self._pending[:settled])
        del self._pending[:settled]
        self._sort_at = len(self._pending) + _SORT_EVERY

    def finish(self) -> None:
        """Write what is left."""
        self._pending.sort()
        self._write(self._pending)
        self._pending = []

    def _write(self, records: list[Record]) -> None:
        if self._limit is not None:
            records = records[: self._limit - self.packets]
        pack = _RECORD_HEADER.pack
        snap_len = self._snap_len
        parts: list[bytes] = []
        for time_us, frame, wire_len in records:
            captured = frame[:snap_len]
            seconds, fraction = divmod(time_us, 1_000_000)
            parts += (pack(seconds, fraction, len(captured), wire_len), captured)
            self.size += _RECORD_HEADER.size + len(captured)
        self._file.writelines(parts)
        if records:
            self.packets += len(records)
            self.last_us = records[-1].time_us


def _time_of(record: Record) -> int:
    return record.time_us
