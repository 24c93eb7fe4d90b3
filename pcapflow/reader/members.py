"""Several files that are one capture, such as a ring that tcpdump or dumpcap wrote: the order in which to read them.

Names do not tell it: a shell puts ``r.pcap10`` before ``r.pcap2``, and a ring that has wrapped begins in its midst.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pcapflow.errors import CaptureError, EmptyCapture
from pcapflow.reader.open import Engine, Input, is_file, open_capture
from pcapflow.reader.segment_batch import SegmentBatch
from pcapflow.text.escape import path_text

GLANCE_BYTES: Final = 64 * 1024
"""What is read of a member to see its first time stamp; where no frame begins within, all of it is."""


def in_order_of_time(inputs: Sequence[Input], engine: Engine = "auto") -> tuple[Input, ...]:
    """The inputs in the order of their first time stamps.

    One that can be read only once (standard input, a pipe, an open file) keeps its place among the others, and one
    without a frame comes last.

    Raises:
        CaptureError: a file is named twice, or cannot be read as a capture.
    """
    if len(inputs) == 1:
        return tuple(inputs)
    _refuse_repetition(inputs)
    files = [item for item in inputs if is_file(item)]
    times = {id(item): _first_ns(item, engine) for item in files}
    ordered = iter(sorted(files, key=lambda item: (times[id(item)] < 0, times[id(item)])))
    return tuple(next(ordered) if id(item) in times else item for item in inputs)


def _first_ns(item: Input, engine: Engine) -> int:
    """The earliest time stamp near the beginning of a file, -1 without a frame."""
    for size in (GLANCE_BYTES, -1):
        with contextlib.suppress(EmptyCapture), contextlib.closing(open_capture([item], engine, [size])) as opened:
            batch = SegmentBatch()
            while opened.read(batch) and opened.first_ns < 0:
                pass
            if opened.first_ns >= 0:
                return opened.first_ns
    return -1


def _refuse_repetition(inputs: Sequence[Input]) -> None:
    seen: dict[tuple[int, int], str] = {}
    for item in inputs:
        if not is_file(item):
            continue
        name, status = os.fspath(item), Path(item).stat()
        key = (status.st_dev, status.st_ino)
        if key in seen:
            also = "" if seen[key] == name else f", as {path_text(seen[key])} too"
            raise CaptureError(name, f"is named twice{also}; every packet of it would count twice")
        seen[key] = name
