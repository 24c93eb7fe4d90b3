"""A second process that reads the same capture and follows the other half of its connections.

It is a fork of this one, so that it begins at once. It tells, in this order: how many frames it has read, its harvest
column by column, and the checksum of the file, which it takes while this process goes on with the tables.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from pcapflow.checksum import sha256_of, the_only_file
from pcapflow.config import Config
from pcapflow.follow import follow
from pcapflow.reader import open_capture
from pcapflow.reader.batch import Batch
from pcapflow.reader.files import Input
from pcapflow.tracker.flowtable import HALVES

if TYPE_CHECKING:
    from pcapflow.collect import Harvest
    from pcapflow.tables import Column

OTHER: Final = HALVES[1:]


def is_possible() -> bool:
    """Whether this process can be copied: on Linux, where forks are sound, with no thread but this one.

    A worker of a pool cannot: it may have no children, and the other processors have captures of their own.
    """
    if sys.platform != "linux" or multiprocessing.current_process().daemon:
        return False
    try:
        return len(list(Path("/proc/self/task").iterdir())) == 1
    except OSError:
        return False


class OtherHalf:
    """The second process. As a context it is ended where this one fails; else it goes on until it has told all."""

    def __init__(self, inputs: Sequence[Input], config: Config) -> None:
        """Starts it; the inputs must be files that can be opened again."""
        context = multiprocessing.get_context("fork")
        self._path = the_only_file(inputs)
        self._sha256 = ""
        self._ear, mouth = context.Pipe(duplex=False)
        self._process = context.Process(target=_tell, args=(mouth, tuple(inputs), config), daemon=True)
        self._process.start()
        mouth.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            self.end()

    def harvest(self, frames: int) -> Harvest | None:
        """Waits for what its half came to.

        Args:
            frames: how many frames this process has read; of a file that grows meanwhile the other may have read more.

        Returns:
            Nothing where it has read another number of frames, or has died.
        """
        from pcapflow.collect import received

        with contextlib.suppress(EOFError, OSError):
            if self._ear.recv() == frames:
                return received(self._ear.recv, self._fill)
        self.end()
        return None

    def _fill(self, column: Column) -> None:
        """Reads an array's bytes to where they belong; an object would be copied on the way."""
        import numpy as np

        left = column.view(np.uint8).data
        while left:
            read = os.readv(self._ear.fileno(), [left])
            if not read:
                raise EOFError
            left = left[read:]

    def checksum(self) -> str:
        """The checksum of the file, "" of several; waits for it, and takes it here where the other process has died."""
        if self._path and not self._sha256:
            try:
                self._sha256 = str(self._ear.recv())
            except (EOFError, OSError):
                self._sha256 = sha256_of(self._path)
            self.end()
        return self._sha256

    def end(self) -> None:
        """Ends it, whatever it is at."""
        self._process.terminate()
        self._process.join()
        self._ear.close()


def _tell(mouth: Connection, inputs: Sequence[Input], config: Config) -> None:
    """What the second process does."""
    import numpy as np

    from pcapflow.collect import told

    # Ctrl-C reaches both; the first process ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Whatever goes wrong here, the first process hears that nothing comes, does the work itself, and finds the same.
    with contextlib.suppress(Exception):
        batch = Batch()
        with contextlib.closing(open_capture(inputs, engine="native")) as opened:
            more = opened.read(batch)
            (harvest,) = follow(opened, batch, more, OTHER, config)
        mouth.send(opened.frames)
        for piece in told(harvest):
            if isinstance(piece, np.ndarray):
                left = piece.view(np.uint8).data
                while left:
                    left = left[os.write(mouth.fileno(), left) :]
            else:
                mouth.send(piece)
        path = the_only_file(inputs)
        if path:
            mouth.send(sha256_of(path))
