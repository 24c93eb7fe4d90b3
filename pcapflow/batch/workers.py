"""A pool of processes that call one function, one task at a time each; the loss of one costs its own task alone.

``concurrent.futures`` gives up all tasks when a process dies, waits for those that run when it is interrupted, and
leaves its processes behind when its own is killed. Here each process has a pipe of its own, so that the parent knows
what was lost with it, and can end it at any moment.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import connection, get_context, parent_process, resource_tracker
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from pcapflow.batch.stop import Stop, held_back, ignore_interrupts

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

TRIES: Final = 2
"""Processes that a task may cost before it is given up."""
_LEAVE_S: Final = 5.0
"""How long a process that has nothing more to do may take to end."""

Task = TypeVar("Task")
Result = TypeVar("Result")


class Lost:
    """In place of a result: as many processes as a task may cost were killed with it."""


class _Ready:
    """From a process: it is about to write what its task came to."""


class _Unstarted(NamedTuple):
    """In place of a result: a process ends before it has begun, for want of a thread."""

    reason: str


@dataclasses.dataclass(eq=False, slots=True)
class _Worker(Generic[Task]):
    """One process.

    Attributes:
        task: empty, or the one that it works on; ``tries`` counts the processes that one was given to.
        is_writing: whether it was let write what its task came to.
    """

    process: SpawnProcess
    pipe: Connection[Any, Any]
    task: tuple[Task, ...] = ()
    tries: int = 0
    is_writing: bool = False


def run_in_workers(
    function: Callable[[Task, Callable[[], object]], Result],
    tasks: Iterable[Task],
    workers: int,
    stop: Stop,
    prepare: Callable[[], object] | None = None,
    say: Callable[[str], object] | None = None,
) -> Iterator[tuple[Task, Result | Lost]]:
    """Calls a function for each task in other processes; yields each task with its result, as they end.

    A task that is lost with its process, which the system kills for want of memory as a rule, is tried once more in a
    fresh one. When ``stop`` notes a signal the processes are ended at once, but for those that write already what their
    task came to: what is written is yielded. They end with this process too, however it ends, and what they started
    ends with them.

    Where the system gives no further process, or a process no thread, those that there are do the work; where it gives
    none, this process does it, and the signal ends the task at hand.

    Args:
        function: what every process calls with a task, and with what it must call itself before it writes anything that
            is to stay; it must be picklable, and should raise nothing: an exception ends its process, and the task is
            lost.
        tasks: picklable; each goes to the process that is free first.
        workers: processes at most.
        stop: notes the signals, where the caller has entered it.
        prepare: is called in every process when it has started: for what all tasks need. Afterwards the process has a
            directory for temporary files that is removed with it.
        say: is told in a line that there are fewer processes than there might be, and why.
    """
    pool = _Pool(function, prepare, workers, say)
    waiting = deque((task, 1) for task in tasks)
    is_finished = False
    try:
        with stop.noting():
            while not stop.signal and (waiting or pool.is_busy):
                while waiting and pool.has_room and pool.give(*waiting[0]):
                    waiting.popleft()
                if not pool.is_busy:
                    # There is no process but this one.
                    task, tries = waiting.popleft()
                    yield from _here(function, task, tries, stop)
                    continue
                for task, tries, result in pool.results(stop):
                    if isinstance(result, _Unstarted):
                        waiting.appendleft((task, tries))
                    elif isinstance(result, Lost) and tries < TRIES:
                        waiting.appendleft((task, tries + 1))
                    else:
                        yield task, result
            while pool.is_writing:
                for task, _, result in pool.results(stop):
                    if not isinstance(result, (Lost, _Unstarted)):
                        yield task, result
        is_finished = not stop.signal
    finally:
        pool.end(at_once=not is_finished)


def _here(
    function: Callable[[Task, Callable[[], object]], Result], task: Task, tries: int, stop: Stop
) -> Iterator[tuple[Task, Result | Lost]]:
    """Does a task in this process; yields nothing where a signal ended it."""
    if tries > 1:
        # What a process was killed for must not be the end of this one.
        yield task, Lost()
        return
    for result in stop.ending(lambda: function(task, stop.note_from_here)):
        yield task, result


class _Pool(Generic[Task, Result]):
    """The processes of one run, and the directory for what they write to the directory for temporary files."""

    def __init__(
        self,
        function: Callable[[Task, Callable[[], object]], Result],
        prepare: Callable[[], object] | None,
        workers: int,
        say: Callable[[str], object] | None,
    ) -> None:
        self._function = function
        self._prepare = prepare
        self._most = workers
        self._say = say
        self._said: list[str] = []
        self._workers: list[_Worker[Task]] = []
        self._scratch = tempfile.mkdtemp(prefix="pcapflow-")

    @property
    def is_busy(self) -> bool:
        """Whether any process has a task."""
        return any(worker.task for worker in self._workers)

    @property
    def is_writing(self) -> bool:
        """Whether any process writes what its task came to."""
        return any(worker.is_writing for worker in self._workers)

    @property
    def has_room(self) -> bool:
        """Whether a task can be given away at once."""
        return sum(bool(worker.task) for worker in self._workers) < self._most

    def give(self, task: Task, tries: int) -> bool:
        """Gives a task to a process that is free, or to a new one; one that was lost before to a new one if possible.

        Returns:
            False where there is neither.
        """
        idle = next((worker for worker in self._workers if not worker.task), None)
        worker = idle
        if idle is None or (tries > 1 and len(self._workers) < self._most):
            try:
                worker = self._start()
            except OSError as error:
                self._do_with_fewer(error.strerror or str(error))
        if worker is None:
            return False
        worker.task, worker.tries = (task,), tries
        # A process that has died meanwhile is noticed by whoever waits for its result.
        with contextlib.suppress(OSError):
            worker.pipe.send(task)
        return True

    def results(self, stop: Stop) -> list[tuple[Task, int, Result | Lost | _Unstarted]]:
        """Waits until a process has a result, or is gone, or a signal is noted; gives task, tries and result."""
        handles: list[Any] = [*stop.waitables]
        for worker in self._workers:
            handles += (worker.pipe, worker.process.sentinel)
        ready = connection.wait(handles)
        stop.drain()
        found: list[tuple[Task, int, Result | Lost | _Unstarted]] = []
        for worker in [w for w in self._workers if w.pipe in ready or w.process.sentinel in ready]:
            result: Result | Lost | _Unstarted | _Ready
            try:
                # What it sent before it ended counts.
                result = worker.pipe.recv() if worker.pipe.poll() else Lost()
            except (EOFError, OSError):
                result = Lost()
            if isinstance(result, _Ready):
                if not stop.signal:
                    worker.is_writing = True
                    with contextlib.suppress(OSError):
                        worker.pipe.send(result)
                continue
            found += [(task, worker.tries, result) for task in worker.task]
            worker.task = ()
            worker.is_writing = False
            if isinstance(result, (Lost, _Unstarted)) or worker.process.sentinel in ready:
                self._remove(worker)
            if isinstance(result, _Unstarted):
                self._do_with_fewer(result.reason)
        return found

    def end(self, *, at_once: bool) -> None:
        """Ends all processes: those that have nothing to do end by themselves, if there is time for that."""
        for worker in self._workers:
            worker.pipe.close()
        for worker in list(self._workers):
            if not at_once:
                worker.process.join(_LEAVE_S)
            self._remove(worker)
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _do_with_fewer(self, reason: str) -> None:
        """Starts no more processes than there are now."""
        self._most = len(self._workers)
        left = "those that there are" if self._most else "this one alone"
        if self._say is not None and left not in self._said:
            self._said.append(left)
            self._say(f"no further process could be started ({reason}): the batch goes on with {left}")

    def _start(self) -> _Worker[Task]:
        """Starts a process.

        Raises:
            OSError: the system gives none.
        """
        if os.name == "posix":
            # It is started with the first process otherwise, and lets signals through again that are held back here.
            resource_tracker.ensure_running()
        # Processes are started fresh: a fork would copy whatever threads numpy has made.
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_serve, args=(self._function, self._prepare, theirs, self._scratch), daemon=True
        )
        try:
            with held_back():
                process.start()
        except OSError:
            ours.close()
            raise
        finally:
            # Else this pipe would not end with the process.
            theirs.close()
        worker: _Worker[Task] = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _remove(self, worker: _Worker[Task]) -> None:
        """Ends a process, if it has not ended, with all that it started."""
        self._workers.remove(worker)
        worker.pipe.close()
        number = worker.process.pid
        if number is not None and hasattr(os, "killpg"):
            # Its group has the process's own number, from when it has begun to run.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(number, signal.SIGKILL)
        worker.process.kill()
        worker.process.join()


def _serve(
    function: Callable[[Task, Callable[[], object]], Result],
    prepare: Callable[[], object] | None,
    pipe: Connection[Any, Any],
    scratch: str,
) -> None:
    """What a process of the pool does: it waits for tasks until there are no more."""
    if hasattr(os, "setpgid"):
        # Ctrl-C at a terminal goes to a whole group: a program that reads for this process must not be ended by it, or
        # what it has read so far would pass for all there is.
        os.setpgid(0, 0)
    ignore_interrupts()
    try:
        threading.Thread(target=_end_with_parent, args=(scratch,), daemon=True).start()
    except RuntimeError as error:
        pipe.send(_Unstarted(str(error)))
        return
    if prepare is not None:
        prepare()
    tempfile.tempdir = scratch

    def wait_for_leave() -> None:
        pipe.send(_Ready())
        pipe.recv()

    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            pipe.send(function(pipe.recv(), wait_for_leave))


def _end_with_parent(scratch: str) -> None:
    """Waits until the parent is gone, and ends this process with all that it started."""
    parent = parent_process()
    if parent is None:
        return
    connection.wait([parent.sentinel])
    shutil.rmtree(scratch, ignore_errors=True)
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
