"""Reader and trackers over a whole capture, in one process or in two.

The connections are followed in two shards, by a flow table each. Where it pays, a second process reads the capture too
and follows one of them; nothing else differs, so the tables are the same. Each of the two decodes all packets, which is
the smaller part of the work, and no packet goes from one to the other.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from pcapflow.config import Config
from pcapflow.engine.checksum import of_what_was_read, sha256_beside
from pcapflow.engine.loop import follow
from pcapflow.reader import open_capture
from pcapflow.reader.capture import Capture, no_checksum
from pcapflow.reader.file_state import FileState, change, state_of
from pcapflow.reader.open import Engine, Input, is_compiled
from pcapflow.reader.segment_batch import SHARDS, SegmentBatch
from pcapflow.reader.waypoints import Waypoints

if TYPE_CHECKING:
    from pcapflow.engine.partition import PartitionResult
    from pcapflow.engine.second_process import SecondProcess
    from pcapflow.tables.table import Tables

Progress = Callable[[int, int], None]
"""Called with the bytes read so far and the bytes in all, -1 where that is not known."""

LARGE_BYTES: Final = 8 << 20
"""From this size on a second process saves a third of the time of a whole run, where the engine is interpreted."""
LARGE_WHEN_COMPILED_BYTES: Final = 64 << 20
"""From this size on it saves a sixth, where the engine is compiled: reading, rules and report, which are not shared
out, are most of the time then."""


class _NeedsPysharkError(Exception):
    """A member came that two processes do not read: each would start a tshark of its own."""


def run(
    inputs: Sequence[Input],
    reader: Engine,
    config: Config,
    progress: Progress | None = None,
    jobs: int | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> tuple[Tables, Waypoints]:
    """Reads a capture and follows its connections.

    A file is read up to the size that it has now, though it may grow meanwhile.

    Args:
        inputs: paths, ``-`` for standard input, or binary files, in order.
        reader: see :func:`pcapflow.reader.open_capture`.
        config: thresholds.
        progress: is told how far reading has come, once a batch.
        jobs: processes, 1 or 2; without it, 2 for a large capture where there are processors for both. Where an input
            cannot be read twice, or this process has threads, of which a fork would have none, it is 1.
        meanwhile: is called where this process would only wait for the second one.

    Returns:
        The tables, and where a second pass can go on.

    Raises:
        CaptureError: the input cannot be read as a capture.
    """
    states = [state_of(item) for item in inputs]
    followed = _follow(inputs, states, reader, config, progress, jobs, meanwhile)
    if followed is None:
        # One process does all of it.
        followed = _follow(inputs, states, reader, config, progress, 1, None)
        assert followed is not None
    results, capture, waypoints = followed
    # Until here numpy comes late: importing it may start threads, and a process that has any is not forked.
    from pcapflow.engine.join import join

    return join(results, capture), waypoints


def total_bytes(inputs: Sequence[Input]) -> int:
    """Size of all inputs on disk, -1 where one of them is no file."""
    return _total(_sizes([state_of(item) for item in inputs]))


def _sizes(states: Sequence[FileState | None]) -> list[int]:
    """How many bytes of each input are to be read, -1 where it is no file."""
    return [-1 if state is None else state.size for state in states]


def _total(sizes: Sequence[int]) -> int:
    return -1 if -1 in sizes else sum(sizes)


def _follow(
    inputs: Sequence[Input],
    states: Sequence[FileState | None],
    reader: Engine,
    config: Config,
    progress: Progress | None,
    jobs: int | None,
    meanwhile: Callable[[], None] | None,
) -> tuple[list[PartitionResult], Capture, Waypoints] | None:
    """Reads the capture once.

    Returns:
        Nothing where a second process took part and failed, has read another number of frames, or met a member that
        needs pyshark.
    """
    sizes = _sizes(states)
    total = _total(sizes)

    def on_batch() -> None:
        if progress is not None:
            progress(opened.bytes_read, total)
        if second is not None and opened.engine != "native":
            raise _NeedsPysharkError

    batch = SegmentBatch()
    with contextlib.closing(open_capture(inputs, reader, sizes)) as opened:
        # The first batch decides which engine it is, before anything is shared out.
        more = opened.read(batch)
        second = _second_process(inputs, sizes, config, total, jobs) if more and opened.can_be_read_twice else None
        if second is None:
            is_one_file = len(inputs) == 1 and states[0] is not None
            checksum = sha256_beside(os.fspath(inputs[0]), sizes[0]) if is_one_file else no_checksum  # type: ignore[arg-type]
            results = follow(opened, batch, more, SHARDS, config, on_batch)
        else:
            checksum = second.checksum
            rest = None
            with contextlib.suppress(_NeedsPysharkError), second:
                results = follow(opened, batch, more, SHARDS[:1], config, on_batch)
                if meanwhile is not None:
                    meanwhile()
                rest = second.result(opened.frames)
            if rest is None:
                return None
            results.append(rest)
        capture = opened.capture()
    capture = dataclasses.replace(
        capture,
        checksum=functools.partial(of_what_was_read, checksum, inputs, states),
        notes=(*capture.notes, *_changes(inputs, states, capture)),
    )
    return results, capture, opened.waypoints


def _changes(inputs: Sequence[Input], states: Sequence[FileState | None], capture: Capture) -> list[str]:
    """How the files changed while they were read, of each that did."""
    notes = []
    for item, state, path in zip(inputs, states, capture.paths, strict=True):
        if state is None:
            continue
        now = state_of(item)
        # That what is missing was missed while reading has been said, with the frame.
        if now is not None and now.size < state.size and capture.truncated:
            continue
        if text := change(state, now):
            notes.append(text if len(inputs) == 1 else f"{path}: {text}")
    return notes


def _second_process(
    inputs: Sequence[Input], sizes: Sequence[int], config: Config, total: int, jobs: int | None
) -> SecondProcess | None:
    """A second process, where one is wanted and possible."""
    large = LARGE_WHEN_COMPILED_BYTES if is_compiled() else LARGE_BYTES
    if jobs == 1 or (jobs is None and (total < large or _processors() < 2)):
        return None
    from pcapflow.engine.second_process import SecondProcess, is_possible

    if os.environ.get("OPENBLAS_NUM_THREADS") == "1":
        # numpy starts no threads then: it may be imported once for both processes.
        importlib.import_module("pcapflow.engine.collect")
    with contextlib.suppress(OSError):
        return SecondProcess(inputs, sizes, config) if is_possible() else None
    return None


def _processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
