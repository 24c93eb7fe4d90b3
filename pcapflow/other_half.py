"""A second process that reads the same capture and follows the other half of its connections.

It is a fork of this one, so that it begins at once. It tells, in this order: how many frames it has read, its harvest
piece by piece, and the checksum of the file, which it takes while this process goes on with the tables.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Final, NoReturn, Self

from pcapflow.checksum import sha256_of, the_only_file
from pcapflow.config import Config
from pcapflow.follow import follow
from pcapflow.reader import open_capture
from pcapflow.reader.batch import HALVES, Batch
from pcapflow.reader.files import Input

if TYPE_CHECKING:
    from pcapflow.collect import Harvest
    from pcapflow.tables import Column

OTHER: Final = HALVES[1:]


def is_possible() -> bool:
    """Whether this process can be copied: on Linux, where forks are sound, with no thread but this one."""
    if sys.platform != "linux":
        return False
    try:
        return len(list(Path("/proc/self/task").iterdir())) == 1
    except OSError:
        return False


class OtherHalf:
    """The second process. As a context it is ended where this one fails; else it goes on until it has told all.

    It ends with this object, or with this process, at the latest.
    """

    def __init__(self, inputs: Sequence[Input], config: Config) -> None:
        """Starts it; the inputs must be files that can be opened again."""
        self._path = the_only_file(inputs)
        self._sha256 = ""
        ear, mouth = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(ear)
            _tell(mouth, inputs, config)
        os.close(mouth)
        self._ear = os.fdopen(ear, "rb")
        self.end = weakref.finalize(self, _end, pid, self._ear)

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

        with contextlib.suppress(EOFError, pickle.UnpicklingError):
            if self._hear() == frames:
                return received(self._hear, self._fill)
        self.end()
        return None

    def checksum(self) -> str:
        """The checksum of the file, "" of several; waits for it, and takes it here where the other process has died."""
        if self._path and not self._sha256:
            try:
                self._sha256 = str(self._hear())
            except (EOFError, pickle.UnpicklingError):
                self._sha256 = sha256_of(self._path)
            self.end()
        return self._sha256

    def _hear(self) -> Any:
        return pickle.load(self._ear)  # noqa: S301 -- it comes from a copy of this process

    def _fill(self, column: Column) -> None:
        """Reads an array's bytes to where they belong; an object would be copied on the way."""
        import numpy as np

        if self._ear.readinto(column.view(np.uint8).data) < column.nbytes:
            raise EOFError


def _end(pid: int, ear: IO[bytes]) -> None:
    ear.close()
    # Whoever waits for every child of this program may have waited for this one; its number may be another's by now.
    with contextlib.suppress(ChildProcessError):
        if os.waitpid(pid, os.WNOHANG) == (0, 0):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _tell(mouth: int, inputs: Sequence[Input], config: Config) -> NoReturn:
    """What the second process does. Whatever goes wrong here, the first one does the work itself and finds the same."""
    try:
        # Ctrl-C reaches both; the first process ends this one.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        batch = Batch()
        with contextlib.closing(open_capture(inputs, engine="native")) as opened:
            more = opened.read(batch)
            (harvest,) = follow(opened, batch, more, OTHER, config)
        with os.fdopen(mouth, "wb") as out:
            pickle.dump(opened.frames, out)
            _tell_harvest(harvest, out)
            path = the_only_file(inputs)
            out.flush()
            pickle.dump(sha256_of(path) if path else "", out)
    finally:
        # Nothing of the first process may be finished here a second time.
        os._exit(0)


def _tell_harvest(harvest: Harvest, out: IO[bytes]) -> None:
    import numpy as np

    from pcapflow.collect import told

    for piece in told(harvest):
        if isinstance(piece, np.ndarray):
            out.write(piece.view(np.uint8).data)
        else:
            pickle.dump(piece, out)
