"""A second process that reads the same capture and follows the other shard of its connections.

It is a fork of this one, so that it begins at once. It sends, in this order: how many frames it has read, its result,
and the checksum of the file, which it takes while this process goes on with the tables. The columns of its result lie
in memory that both processes share: they are not copied through a pipe, and it need not wait until they are taken.
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

from pcapflow.config import Config
from pcapflow.engine.checksum import sha256_by_mapping, sha256_of
from pcapflow.engine.loop import follow
from pcapflow.reader import open_capture
from pcapflow.reader.open import Input
from pcapflow.reader.segment_batch import SHARDS, SegmentBatch

if TYPE_CHECKING:
    import numpy as np

    from pcapflow.engine.partition import PartitionResult
    from pcapflow.tables.schema import Column

SECOND: Final = SHARDS[1:]
_ALIGNMENT: Final = mmap.PAGESIZE


def is_possible() -> bool:
    """Whether this process can be forked: on Linux, where forks are sound, with no thread but this one."""
    if sys.platform != "linux":
        return False
    try:
        return len(list(Path("/proc/self/task").iterdir())) == 1
    except OSError:
        return False


class SecondProcess:
    """The second process. As a context it is ended where this one fails; else it goes on until it has sent all.

    It ends with this object, or with this process, at the latest.
    """

    def __init__(self, inputs: Sequence[Input], sizes: Sequence[int], config: Config) -> None:
        """Starts it.

        Args:
            inputs: files that can be opened again.
            sizes: how many bytes of each to read.
            config: thresholds.

        Raises:
            OSError: the system gives no process, or no memory to share.
        """
        self._only_file = (os.fspath(inputs[0]), sizes[0]) if len(inputs) == 1 else ("", 0)  # type: ignore[arg-type]
        self._sha256 = ""
        with contextlib.ExitStack() as on_failure:
            read_fd, write_fd = os.pipe()
            on_failure.callback(os.close, write_fd)
            self._pipe = on_failure.enter_context(os.fdopen(read_fd, "rb"))
            shared_fd = os.memfd_create("pcapflow")
            self._shared = on_failure.enter_context(os.fdopen(shared_fd, "rb"))
            pid = os.fork()
            if pid == 0:
                os.close(read_fd)
                _work(write_fd, shared_fd, inputs, sizes, config, self._only_file)
            on_failure.pop_all()
        os.close(write_fd)
        self.end = weakref.finalize(self, _end, pid, self._pipe, self._shared)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            self.end()

    def result(self, frames: int) -> PartitionResult | None:
        """Waits for what its shard came to.

        Args:
            frames: how many frames this process has read.

        Returns:
            Nothing where it has read another number of frames, or has died.
        """
        from pcapflow.engine.partition import deserialize

        with contextlib.suppress(EOFError, pickle.UnpicklingError):
            if self._receive() == frames:
                return deserialize(self._receive, self._columns())
        self.end()
        return None

    def checksum(self) -> str:
        """The checksum of the file, "" of several; waits for it, and takes it here where the other process has died."""
        path, size = self._only_file
        if path and not self._sha256:
            try:
                self._sha256 = str(self._receive())
            except (EOFError, pickle.UnpicklingError):
                self._sha256 = sha256_of(path, size)
            self.end()
        return self._sha256

    def _receive(self) -> Any:
        return pickle.load(self._pipe)  # noqa: S301 -- it comes from a fork of this process

    def _columns(self) -> Callable[[np.dtype[Any], int], Column]:
        """Gives column after column, of this type and length, from where the other process has put them."""
        import numpy as np

        with self._shared:
            size, at = os.fstat(self._shared.fileno()).st_size, 0
            shared = mmap.mmap(self._shared.fileno(), size) if size else None

        def column(dtype: np.dtype[Any], length: int) -> Column:
            nonlocal at
            room = _aligned(length * dtype.itemsize)
            if at + room > size:
                raise EOFError
            if shared is None or not room:
                return np.empty(0, dtype)
            found: Column = np.frombuffer(shared, dtype, length, at)
            # The pages of a column that is freed go back to the system, column by column.
            weakref.finalize(found, shared.madvise, mmap.MADV_REMOVE, at, room).atexit = False
            at += room
            return found

        return column


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _end(pid: int, pipe: IO[bytes], shared: IO[bytes]) -> None:
    pipe.close()
    shared.close()
    # Whoever waits for every child of this program may have waited for this one; its number may be another's by now.
    with contextlib.suppress(ChildProcessError):
        if os.waitpid(pid, os.WNOHANG) == (0, 0):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _work(
    write_fd: int,
    shared_fd: int,
    inputs: Sequence[Input],
    sizes: Sequence[int],
    config: Config,
    only_file: tuple[str, int],
) -> NoReturn:
    """What the second process does. If anything fails here, the first one does the work itself and finds the same."""
    try:
        # Ctrl-C reaches both; the first process ends this one.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        batch = SegmentBatch()
        with contextlib.closing(open_capture(inputs, "native", sizes)) as opened:
            more = opened.read(batch)
            (result,) = follow(opened, batch, more, SECOND, config)
        with os.fdopen(write_fd, "wb") as out:
            pickle.dump(opened.frames, out)
            for piece in _share(result, shared_fd):
                pickle.dump(piece, out)
            out.flush()
            pickle.dump(sha256_by_mapping(*only_file) if only_file[0] else "", out)
    finally:
        # Nothing of the first process may be finished here a second time.
        os._exit(0)


def _share(result: PartitionResult, shared_fd: int) -> list[object]:
    """Writes the columns of a result to the shared memory; returns the objects that describe them."""
    import numpy as np

    from pcapflow.engine.partition import serialize

    objects = []
    with os.fdopen(shared_fd, "wb") as out:
        for piece in serialize(result):
            if isinstance(piece, np.ndarray):
                out.write(piece.view(np.uint8).data)
                out.write(bytes(_aligned(piece.nbytes) - piece.nbytes))
            else:
                objects.append(piece)
    return objects
