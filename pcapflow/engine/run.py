"""Reader and trackers over a whole capture, in one process or in two.

The connections are followed in two halves, by a flow table each. Where it pays, a second process reads the capture too
and follows one of them; nothing else differs, so the tables are the same. Each of the two decodes all packets, which is
the smaller part of the work, and no packet goes from one to the other.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from pcapflow.config import Config
from pcapflow.engine.checksum import sha256_beside, the_only_file
from pcapflow.engine.loop import follow
from pcapflow.reader import open_capture
from pcapflow.reader.capture import no_checksum
from pcapflow.reader.open import Engine, Input, is_compiled
from pcapflow.reader.segment_batch import HALVES, Batch
from pcapflow.reader.waypoints import Waypoints

if TYPE_CHECKING:
    from pcapflow.engine.second_process import OtherHalf
    from pcapflow.tables.table import Tables

Progress = Callable[[int, int], None]
"""Called with the bytes read so far and the bytes in all, -1 where that is not known."""

LARGE_BYTES: Final = 8 << 20
"""From this size on a second process saves a third of the time of a whole run, where the engine is interpreted."""
LARGE_WHEN_COMPILED_BYTES: Final = 64 << 20
"""From this size on it saves a sixth, where the engine is compiled: reading, rules and report, which are not shared
out, are most of the time then."""


def run(
    inputs: Sequence[Input],
    reader: Engine,
    config: Config,
    progress: Progress | None = None,
    jobs: int | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> tuple[Tables, Waypoints]:
    """Reads a capture and follows its connections.

    Args:
        inputs: paths, ``-`` for standard input, or binary files, in order.
        reader: see :func:`pcapflow.reader.open_capture`.
        config: thresholds.
        progress: is told how far reading has come, once a batch.
        jobs: processes, 1 or 2; without it, 2 for a large capture where there are processors for both. Where an input
            cannot be read twice, or this process has threads, of which a copy would lack all but one, it is 1.

    Returns:
        The tables, and where a second pass can go on.

    Raises:
        CaptureError: the input cannot be read as a capture.
    """
    total = total_bytes(inputs)

    def on_batch() -> None:
        if progress is not None:
            progress(opened.bytes_read, total)

    batch = Batch()
    with contextlib.closing(open_capture(inputs, engine=reader)) as opened:
        # The first batch decides which engine it is, before anything is shared out.
        more = opened.read(batch)
        other = _other_half(inputs, config, total, jobs) if more and opened.can_be_read_twice else None
        if other is None:
            path = the_only_file(inputs)
            checksum = sha256_beside(path) if path else no_checksum
            harvests = follow(opened, batch, more, HALVES, config, on_batch)
        else:
            with other:
                harvests = follow(opened, batch, more, HALVES[:1], config, on_batch)
                if meanwhile is not None:
                    meanwhile()
                rest = other.harvest(opened.frames)
            if rest is None:
                return run(inputs, reader, config, progress, jobs=1)
            harvests.append(rest)
            checksum = other.checksum
    # Else numpy comes late: importing it may start threads, and a process that has any is not copied.
    from pcapflow.engine.join import join

    return join(harvests, dataclasses.replace(opened.capture(), checksum=checksum)), opened.waypoints


def total_bytes(inputs: Sequence[Input]) -> int:
    """Size of all inputs on disk, -1 where one of them is no file."""
    total = 0
    for item in inputs:
        if not isinstance(item, (str, os.PathLike)) or item == "-":
            return -1
        try:
            total += os.stat(item).st_size  # noqa: PTH116 -- item may be any os.PathLike
        except OSError:
            return -1
    return total


def _other_half(inputs: Sequence[Input], config: Config, total: int, jobs: int | None) -> OtherHalf | None:
    """A second process, where one is wanted and possible."""
    large = LARGE_WHEN_COMPILED_BYTES if is_compiled() else LARGE_BYTES
    if jobs == 1 or (jobs is None and (total < large or _processors() < 2)):
        return None
    from pcapflow.engine.second_process import OtherHalf, is_possible

    if os.environ.get("OPENBLAS_NUM_THREADS") == "1":
        # numpy starts no threads then: it may be imported once for both processes.
        importlib.import_module("pcapflow.engine.collect")
    with contextlib.suppress(OSError):
        return OtherHalf(inputs, config) if is_possible() else None
    return None


def _processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
