"""A second process that reads the same capture and follows the other half of its connections.

It is a fork of this one, so that it begins at once. It tells, in this order: how many frames it has read, its harvest,
and the checksum of the file, which it takes while this process goes on with the tables. The harvest's columns lie in
memory that both processes have; nobody copies them, and the second one need not wait for the first to take them.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import pickle
import signal
import sys
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Final, NoReturn, Self

from pcapflow.checksum import sha256_by_mapping, sha256_of, the_only_file
from pcapflow.config import Config
from pcapflow.follow import follow
from pcapflow.reader import open_capture
from pcapflow.reader.batch import HALVES, Batch
from pcapflow.reader.files import Input

if TYPE_CHECKING:
    import numpy as np

    from pcapflow.collect import Harvest
    from pcapflow.tables import Column

OTHER: Final = HALVES[1:]
_ALIGNMENT: Final = mmap.PAGESIZE


def is_possible() -> bool:
    """Whether this process can be copied: on Linux, where forks are sound, with no thread but this one."""
    if sys.platform != "linux" or not hasattr(os, "memfd_create") or not hasattr(mmap, "MADV_REMOVE"):
        # Python has the two only where the C library that it was built with has them.
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
        """Starts it; the inputs must be files that can be opened again.

        Raises:
            OSError: the system gives no process, or no memory to share.
        """
        self._path = the_only_file(inputs)
        self._sha256 = ""
        with contextlib.ExitStack() as unless_all_goes_well:
            ear, mouth = os.pipe()
            unless_all_goes_well.callback(os.close, mouth)
            self._ear = unless_all_goes_well.enter_context(os.fdopen(ear, "rb"))
            store = os.memfd_create("pcapflow")
            self._store = unless_all_goes_well.enter_context(os.fdopen(store, "rb"))
            pid = os.fork()
            if pid == 0:
                os.close(ear)
                _tell(mouth, store, inputs, config, self._path)
            unless_all_goes_well.pop_all()
        os.close(mouth)
        self.end = weakref.finalize(self, _end, pid, self._ear, self._store)

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
                return received(self._hear, self._columns())
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

    def _columns(self) -> Callable[[np.dtype[Any], int], Column]:
        """Gives column after column, of this type and length, from where the other process has put them."""
        import numpy as np

        with self._store:
            size, at = os.fstat(self._store.fileno()).st_size, 0
            store = mmap.mmap(self._store.fileno(), size) if size else None

        def column(dtype: np.dtype[Any], length: int) -> Column:
            nonlocal at
            room = _aligned(length * dtype.itemsize)
            if at + room > size:
                raise EOFError
            if store is None or not room:
                return np.empty(0, dtype)
            found: Column = np.frombuffer(store, dtype, length, at)
            # What is let go is given back, column by column.
            weakref.finalize(found, store.madvise, mmap.MADV_REMOVE, at, room).atexit = False
            at += room
            return found

        return column


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _end(pid: int, ear: IO[bytes], store: IO[bytes]) -> None:
    ear.close()
    store.close()
    # Whoever waits for every child of this program may have waited for this one; its number may be another's by now.
    with contextlib.suppress(ChildProcessError):
        if os.waitpid(pid, os.WNOHANG) == (0, 0):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _tell(mouth: int, store: int, inputs: Sequence[Input], config: Config, path: str) -> NoReturn:
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
            for piece in _put(harvest, store):
                pickle.dump(piece, out)
            out.flush()
            pickle.dump(sha256_by_mapping(path), out)
    finally:
        # Nothing of the first process may be finished here a second time.
        os._exit(0)


def _put(harvest: Harvest, store: int) -> list[object]:
    """Puts the columns of a harvest where the first process finds them; returns what is to be told of them."""
    import numpy as np

    from pcapflow.collect import told

    objects = []
    with os.fdopen(store, "wb") as out:
        for piece in told(harvest):
            if isinstance(piece, np.ndarray):
                out.write(piece.view(np.uint8).data)
                out.write(bytes(_aligned(piece.nbytes) - piece.nbytes))
            else:
                objects.append(piece)
    return objects
