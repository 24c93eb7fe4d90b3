"""Makes the tables of a capture from what its flow tables came to."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from pcapflow.engine.partition import MARKS_LOGGED, TRANSITIONS_LOGGED, PartitionResult
from pcapflow.reader.capture import Capture
from pcapflow.tables.schema import FLOWS, MARKS, TRANSITIONS, Column, Schema
from pcapflow.tables.sorting import reorder, stable_order
from pcapflow.tables.table import Table, Tables
from pcapflow.tracker.log import (
    BASIS_BITS,
    CODE_BITS,
    ENDPOINT_SHIFT,
    EVENT_SHIFT,
    FLOW_SHIFT,
    MARK_BITS,
    MARK_ENDPOINT_SHIFT,
    MARK_FLOW_SHIFT,
    NEW_SHIFT,
    OLD_SHIFT,
)


def join(partitions: Sequence[PartitionResult], capture: Capture) -> Tables:
    """Makes the three tables, and numbers all connections in order of their first frames; the partitions are used up.

    ``capture.evicted`` becomes the sum of theirs.
    """
    first_frames = np.concatenate([partition.flows["first_frame"] for partition in partitions])
    # Every first frame is another: a frame holds one segment.
    order = np.argsort(first_frames, kind="stable")
    numbers = np.empty(len(order), dtype=np.int64)
    numbers[order] = np.arange(len(order))
    # By partition: the row in the tables of each of its rows, and the number there of each of its connections.
    places = np.split(numbers, np.cumsum([len(partition.flows["flow"]) for partition in partitions])[:-1])
    ranks: list[Column] = []
    for partition, place in zip(partitions, places, strict=True):
        rank = np.empty(len(place), dtype=np.int64)
        rank[partition.flows["flow"]] = place
        ranks.append(rank)
        partition.flows["flow"] = place
        for columns, shift in ((partition.transitions, FLOW_SHIFT), (partition.marks, MARK_FLOW_SHIFT)):
            columns["codes"] = _renumbered(columns["codes"], shift, rank)
    streams = _streams(first_frames[order], partitions, ranks)
    flows = _joined(FLOWS, [partition.flows for partition in partitions], places)
    transitions = _joined(TRANSITIONS_LOGGED, [partition.transitions for partition in partitions])
    marks = _joined(MARKS_LOGGED, [partition.marks for partition in partitions])
    return Tables(
        flows=Table("flows", FLOWS, {**flows, "stream": streams}),
        transitions=_transitions_table(transitions),
        marks=_marks_table(marks),
        capture=dataclasses.replace(capture, evicted=sum(partition.evicted for partition in partitions)),
    )


def _renumbered(codes: Column, shift: int, rank: Column) -> Column:
    """The codes of a log with each connection's number in the tables for its number in the flow table."""
    flows: Column = rank[codes >> shift]
    flows <<= shift
    flows |= codes & ((1 << shift) - 1)
    return flows


def _streams(first_frames: Column, partitions: Sequence[PartitionResult], ranks: Sequence[Column]) -> Column:
    """Wireshark's ``tcp.stream`` of each connection: how many streams were opened before its own."""
    if not any(part.opened_before or part.quoted_only or part.in_stream_of for part in partitions):
        return np.arange(len(first_frames))
    opened = first_frames.copy()
    for partition, rank in zip(partitions, ranks, strict=True):
        for number, frame in partition.opened_before.items():
            opened[rank[number]] = frame
        # In order of their numbers, so that each finds the stream of the one before.
        for number, before in partition.in_stream_of.items():
            opened[rank[number]] = opened[rank[before]]
    quoted = np.array([frame for partition in partitions for frame in partition.quoted_only], dtype=np.int64)
    streams: Column = np.searchsorted(np.unique(np.concatenate((opened, quoted))), opened)
    return streams


def _joined(
    schema: Schema, parts: Sequence[dict[str, Column]], places: Sequence[Column] | None = None
) -> dict[str, Column]:
    """The columns of several parts, which are taken out of these: one after another, or each row in its place.

    One column is made after another: two copies of one are there at a time, not of all.
    """
    rows = sum(len(next(iter(part.values()))) for part in parts)
    whole: dict[str, Column] = {}
    for name, dtype in schema.items():
        if name not in parts[0]:
            continue
        pieces = [part.pop(name) for part in parts]
        values = {int(piece[0]) for piece in pieces if len(piece)}
        if len(values) == 1 and all(len(piece) <= 1 or piece.strides == (0,) for piece in pieces):
            whole[name] = np.broadcast_to(dtype(values.pop()), (rows,))
        elif places is None:
            whole[name] = np.concatenate(pieces)
        else:
            column = np.empty(rows, dtype)
            for place, piece in zip(places, pieces, strict=True):
                column[place] = piece
            whole[name] = column
    return whole


def _transitions_table(columns: dict[str, Column]) -> Table:
    """The table of transitions. A proven one is dated at the packet that passed the tap, and logged with its proof."""
    reorder(columns, stable_order(columns["time_ns"]))
    codes = columns.pop("codes")
    # All but the flow lies in the lowest 24 bits.
    low = codes.astype(np.uint32)
    columns |= {
        "flow": codes >> FLOW_SHIFT,
        "endpoint": (low >> ENDPOINT_SHIFT & 1).astype(np.uint8),
        "old": (low >> OLD_SHIFT & CODE_BITS).astype(np.uint8),
        "new": (low >> NEW_SHIFT & CODE_BITS).astype(np.uint8),
        "event": (low >> EVENT_SHIFT & CODE_BITS).astype(np.uint8),
        "basis": (low & BASIS_BITS).astype(np.uint8),
    }
    return Table("transitions", TRANSITIONS, columns)


def _marks_table(columns: dict[str, Column]) -> Table:
    """The table of marks, by flow and frame."""
    reorder(columns, np.lexsort((columns["frame"], columns["codes"] >> MARK_FLOW_SHIFT)))
    codes = columns.pop("codes")
    columns |= {
        "flow": codes >> MARK_FLOW_SHIFT,
        "endpoint": (codes >> MARK_ENDPOINT_SHIFT & 1).astype(np.uint8),
        "mark": (codes & MARK_BITS).astype(np.uint8),
    }
    return Table("marks", MARKS, columns)
