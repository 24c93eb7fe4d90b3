"""Reading a capture once more: the rows of some connections, from some stretches of frames."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from pcapflow.reader import open_capture
from pcapflow.reader.open import Engine, Input, is_file
from pcapflow.reader.segment_batch import (
    COL_DST_HI,
    COL_DST_LO,
    COL_FLAGS,
    COL_FRAME,
    COL_PORTS,
    COL_SRC_HI,
    COL_SRC_LO,
    COLUMNS,
    ICMP_QUOTE,
    SegmentBatch,
)
from pcapflow.tcp.states import CLIENT, SERVER

if TYPE_CHECKING:
    from pcapflow.reader.waypoints import Waypoints
    from pcapflow.tables.table import Tables

_FILTER_SIZE: Final = 1 << 16
MARGIN: Final = 64
"""Frames read before a connection's first: the fragments of that one may lie there."""

Span = tuple[int, int]
"""The first and the last frame of a stretch that is read."""
Way = tuple[int, int, int, int, int]
"""One direction of a connection as a batch has it: both halves of the source, of the destination, and the ports."""
Ends = dict[Way, list[tuple[int, int]]]
"""By direction the (flow, sender) that it can mean."""


class FlowRow(NamedTuple):
    """A segment of a connection that was asked for.

    Attributes:
        flow: the connection.
        endpoint: who sent it, 0 client or 1 server.
        row: its columns, as :class:`~pcapflow.reader.segment_batch.SegmentBatch` describes them.
        payload: the captured bytes that it carries, where they were asked for and the engine is the native one.
    """

    flow: int
    endpoint: int
    row: list[int]
    payload: bytes


def rows_of_flows(
    tables: Tables,
    inputs: Sequence[Input],
    engine: Engine,
    flows: Sequence[int],
    spans: Iterable[Span],
    waypoints: Waypoints,
    *,
    with_payload: bool = False,
) -> Iterator[FlowRow]:
    """The rows of some connections in order of frames, ICMP quotes left out.

    Frames outside the spans are leapt over as far as ``waypoints`` allow; those read on the way are given too.
    The inputs must have been set to their beginning (:func:`rewind`).

    Raises:
        CaptureError: the file cannot be read any more.
    """
    ends = ends_of(tables, flows)
    firsts, lasts = (tables.flows[name][flows].tolist() for name in ("first_frame", "last_frame"))
    life = dict(zip(flows, zip(firsts, lasts, strict=True), strict=True))
    wanted = np.zeros(_FILTER_SIZE, dtype=bool)
    wanted[[folded(key[1], key[3], key[4] >> 16, key[4]) for key in ends]] = True
    with contextlib.closing(open_capture(inputs, engine=engine)) as opened:
        batch = SegmentBatch()
        if with_payload:
            opened.keep_payload(batch)
        for first, last in sorted(set(spans)):
            # What an earlier one has covered is neither leapt over nor read again.
            opened.skip_to(first - MARGIN, waypoints)
            more = opened.frames < last
            while more:
                more = opened.read(batch) and opened.frames < last
                rows = np.frombuffer(memoryview(batch.cells), np.int64).reshape(-1, COLUMNS)[: batch.size]
                ports = rows[:, COL_PORTS]
                places = np.flatnonzero(wanted[folded(rows[:, COL_SRC_LO], rows[:, COL_DST_LO], ports >> 16, ports)])
                for place, row in zip(places.tolist(), rows[places].tolist(), strict=True):
                    if row[COL_FLAGS] & ICMP_QUOTE:
                        continue
                    key = (row[COL_SRC_HI], row[COL_SRC_LO], row[COL_DST_HI], row[COL_DST_LO], row[COL_PORTS])
                    for flow, endpoint in ends.get(key, ()):
                        begins, closes = life[flow]
                        if begins <= row[COL_FRAME] <= closes:
                            yield FlowRow(flow, endpoint, row, batch.payloads.get(place, b""))


def rewind(inputs: Sequence[Input]) -> bool:
    """Sets open files to their beginning; says whether everything can be read again."""
    for item in inputs:
        if isinstance(item, (str, os.PathLike)):
            if not is_file(item):
                return False
        elif item.closed or not item.seekable():
            return False
        else:
            item.seek(0, io.SEEK_SET)
    return True


def folded(src_lo: Any, dst_lo: Any, sport: Any, dport: Any) -> Any:
    """A cheap key of a tuple, the same in both directions: what it lets through is compared in full."""
    mixed = (src_lo ^ dst_lo) ^ (sport ^ dport) * 0x9E37
    return (mixed ^ mixed >> 16 ^ mixed >> 32) & (_FILTER_SIZE - 1)


def ends_of(tables: Tables, flows: Sequence[int]) -> Ends:
    """Which (flow, sender) addresses and ports can mean; several where the ports were used again."""
    names = [f"{side}_{half}" for side in ("client", "server") for half in ("hi", "lo", "port")]
    columns = [tables.flows[name][flows].tolist() for name in names]
    ends: Ends = {}
    for flow, client_hi, client_lo, client_port, server_hi, server_lo, server_port in zip(flows, *columns, strict=True):
        client, server = (client_hi, client_lo), (server_hi, server_lo)
        ends.setdefault((*client, *server, client_port << 16 | server_port), []).append((flow, CLIENT))
        ends.setdefault((*server, *client, server_port << 16 | client_port), []).append((flow, SERVER))
    return ends
