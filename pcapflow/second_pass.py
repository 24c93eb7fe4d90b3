"""A second pass over a capture: the segments of the few connections that somebody looks at.

Memory of the first pass grows with connections, not with packets, so segments are not kept there. This pass decodes
the capture again and keeps a bounded number of rows of the connections asked for.
"""

from __future__ import annotations

import collections
import contextlib
import io
import os
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pcapflow.errors import CaptureError
from pcapflow.reader import open_capture
from pcapflow.reader.batch import (
    ACK,
    COL_ACK,
    COL_DST_HI,
    COL_DST_LO,
    COL_FLAGS,
    COL_FRAME,
    COL_PAYLOAD_LEN,
    COL_PORTS,
    COL_SEQ,
    COL_SRC_HI,
    COL_SRC_LO,
    COL_TIME_NS,
    COL_WINDOW,
    COLUMNS,
    ICMP_QUOTE,
    SYN,
    Batch,
)
from pcapflow.reader.files import Engine, Input
from pcapflow.segments import Segment
from pcapflow.tracker.states import CLIENT, SERVER

if TYPE_CHECKING:
    from pcapflow.reader.waypoints import Waypoints
    from pcapflow.tables import Tables

_M32: Final = 0xFFFF_FFFF
_FLAG_BITS: Final = 0xFF
_FILTER_SIZE: Final = 1 << 16
MARGIN: Final = 64
"""Frames read before a connection's first: the fragments of that one may lie there."""

_Key = tuple[int, int, int, int, int]
_Ends = dict[_Key, list[tuple[int, int]]]


def read_segments(
    tables: Tables,
    inputs: Sequence[Input],
    engine: Engine,
    flows: Collection[int],
    limit: int,
    frames: frozenset[int],
    waypoints: Waypoints,
) -> dict[int, list[Segment]]:
    """The segments of some connections: the first and last of each, at most ``limit``, and those of ``frames``.

    What lies between these connections is leapt over by the first pass's ``waypoints``.

    Returns:
        Segments by flow, in order of frames; empty where the input cannot be read a second time.
    """
    if not flows or not rewind(inputs):
        return {}
    chosen = sorted(flows)
    spans = sorted(zip(*(tables.flows[name][chosen].tolist() for name in ("first_frame", "last_frame")), strict=True))
    ends = _ends(tables, chosen)
    wanted = np.zeros(_FILTER_SIZE, dtype=bool)
    wanted[[_folded(key[1], key[3], key[4] >> 16, key[4]) for key in ends]] = True
    rows_of = {flow: _Rows(limit, frames) for flow in chosen}
    try:
        with contextlib.closing(open_capture(inputs, engine=engine, checksum=False)) as opened:
            batch = Batch()
            for first, last in spans:
                # What an earlier one has covered is neither leapt over nor read again.
                opened.skip_to(first - MARGIN, waypoints)
                more = opened.frames < last
                while more:
                    more = opened.read(batch) and opened.frames < last
                    rows = np.frombuffer(memoryview(batch.cells), np.int64).reshape(-1, COLUMNS)[: batch.size]
                    ports = rows[:, COL_PORTS]
                    folded = _folded(rows[:, COL_SRC_LO], rows[:, COL_DST_LO], ports >> 16, ports)
                    for row in rows[wanted[folded]].tolist():
                        _sort_in(row, ends, rows_of, tables)
    except CaptureError:
        # The file was readable a moment ago and is not now: the reader of a report loses the pictures, not the facts.
        return {}
    return {flow: rows.segments() for flow, rows in rows_of.items()}


def rewind(inputs: Sequence[Input]) -> bool:
    """Sets open files to their beginning; says whether everything can be read again."""
    for item in inputs:
        if isinstance(item, (str, os.PathLike)):
            if item == "-":
                return False
        elif item.closed or not item.seekable():
            return False
        else:
            item.seek(0, io.SEEK_SET)
    return True


class _Rows:
    """What is kept of one connection: its first segments, its last ones, and those of the frames asked for."""

    def __init__(self, limit: int, frames: frozenset[int]) -> None:
        self._head_limit = limit - limit // 2
        self._head: list[Segment] = []
        self._named: list[Segment] = []
        self._tail: collections.deque[Segment] = collections.deque(maxlen=limit // 2)
        self._frames = frames
        self._bases = [-1, -1]

    def add(self, row: list[int], endpoint: int) -> None:
        flags = row[COL_FLAGS]
        seq, ack = row[COL_SEQ], row[COL_ACK]
        bases = self._bases
        # Wireshark counts from 0 with a SYN, and from 1 where the capture begins without one.
        if flags & SYN or bases[endpoint] < 0:
            bases[endpoint] = seq if flags & SYN else (seq - 1) & _M32
        if flags & ACK and bases[1 - endpoint] < 0:
            bases[1 - endpoint] = (ack - 1) & _M32
        segment = Segment(
            frame=row[COL_FRAME],
            time_ns=row[COL_TIME_NS],
            endpoint=endpoint,
            flags=flags & _FLAG_BITS,
            rel_seq=(seq - bases[endpoint]) & _M32,
            rel_ack=(ack - bases[1 - endpoint]) & _M32 if flags & ACK else -1,
            payload_len=row[COL_PAYLOAD_LEN],
            window=row[COL_WINDOW],
        )
        if len(self._head) < self._head_limit:
            self._head.append(segment)
            return
        if segment.frame in self._frames:
            self._named.append(segment)
        self._tail.append(segment)

    def segments(self) -> list[Segment]:
        chosen = {segment.frame: segment for segment in (*self._head, *self._named, *self._tail)}
        return [chosen[frame] for frame in sorted(chosen)]


def _folded(src_lo: Any, dst_lo: Any, sport: Any, dport: Any) -> Any:
    """A cheap key of a tuple, the same in both directions: what it lets through is compared in full."""
    mixed = (src_lo ^ dst_lo) ^ (sport ^ dport) * 0x9E37
    return (mixed ^ mixed >> 16 ^ mixed >> 32) & (_FILTER_SIZE - 1)


def _ends(tables: Tables, flows: Sequence[int]) -> _Ends:
    """Which (flow, sender) addresses and ports can mean; several where the ports were used again."""
    table = tables.flows
    ends: _Ends = {}
    for flow in flows:
        client, server = (
            (int(table[f"{side}_hi"][flow]), int(table[f"{side}_lo"][flow])) for side in ("client", "server")
        )
        client_port, server_port = int(table["client_port"][flow]), int(table["server_port"][flow])
        ends.setdefault((*client, *server, client_port << 16 | server_port), []).append((flow, CLIENT))
        ends.setdefault((*server, *client, server_port << 16 | client_port), []).append((flow, SERVER))
    return ends


def _sort_in(row: list[int], ends: _Ends, rows_of: dict[int, _Rows], tables: Tables) -> None:
    if row[COL_FLAGS] & ICMP_QUOTE:
        return
    key = (
        row[COL_SRC_HI],
        row[COL_SRC_LO],
        row[COL_DST_HI],
        row[COL_DST_LO],
        row[COL_PORTS],
    )
    for flow, endpoint in ends.get(key, ()):
        if tables.flows["first_frame"][flow] <= row[COL_FRAME] <= tables.flows["last_frame"][flow]:
            rows_of[flow].add(row, endpoint)
