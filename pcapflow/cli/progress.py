"""A progress bar on standard error, for captures that take long enough to wonder."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_PATIENCE_S: Final = 0.5


class Bar:
    """Shows how many of a capture's bytes were read; appears after half a second, and leaves no trace."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._started = time.monotonic()
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def update(self, done: int, total: int) -> None:
        """Takes the bytes read so far and in all; -1 where that is unknown."""
        if self._progress is None:
            if time.monotonic() - self._started < _PATIENCE_S:
                return
            self._open(total)
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done)

    def _open(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("reading"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=Console(file=self._stream), transient=True)
        self._task = self._progress.add_task("reading", total=total if total >= 0 else None)
        self._progress.start()
