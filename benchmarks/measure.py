"""Runs a pipe of commands once and says how long it took and how much memory it held."""

import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

_SAMPLE_EVERY_S: Final = 0.05
_MAXRSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024
_LONGEST_MESSAGE: Final = 200


@dataclass(frozen=True)
class Outcome:
    """One run.

    Attributes:
        seconds: From just before the first command starts until the last one has ended.
        cpu_seconds: User and system time of all commands and what they waited for.
        peak_bytes: Memory; see `run`.
        error: None where every command ended with status 0; else which did not, and its last words.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    error: str | None


def own_peak_bytes() -> int:
    """The most memory this process has held: the floor of what `run` can find."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT


def run(
    commands: Sequence[Sequence[str]],
    output: Path,
    *,
    environment: Mapping[str, str],
    directory: Path,
    timeout_s: float,
    memory_limit: int,
) -> Outcome:
    """Run commands joined by pipes.

    The memory of a command is the largest resident set of any one process in its tree, as the
    kernel tells who waits for it (`wait4`). Where a command has children at work beside it, their
    proportional set sizes are summed twenty times a second, and the greater figure counts.
    Commands of one pipe run at the same time, so their figures are added. A process cannot show
    less than the harness itself held when it forked, some 15 MiB.

    Args:
        commands: Each with its arguments.
        output: Receives the last command's standard output.
        environment: Variables to add to this process's.
        directory: Where the commands run.
        timeout_s: After so long all are killed.
        memory_limit: Address space in bytes that each process may take.

    Returns:
        What happened; a command that fails is an outcome too, not an exception.
    """
    variables = {**os.environ, **environment}
    # An installed program finds the bytecode of its packages; one that may not write it would be measured compiling.
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    processes: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as scratch, output.open("wb") as last:
        messages = [Path(scratch, str(index)) for index in range(len(commands))]
        begun = time.perf_counter()
        feed: IO[bytes] | int = subprocess.DEVNULL
        for index, command in enumerate(commands):
            final = index == len(commands) - 1
            with messages[index].open("wb") as words:
                process = subprocess.Popen(
                    command,
                    stdin=feed,
                    stdout=last if final else subprocess.PIPE,
                    stderr=words,
                    env=variables,
                    cwd=directory,
                    start_new_session=True,
                )
            _limit_memory(process.pid, memory_limit)
            if not isinstance(feed, int):
                feed.close()
            feed = process.stdout or subprocess.DEVNULL
            processes.append(process)
        watch = _Watch([process.pid for process in processes], timeout_s)
        watch.start()
        usages = [_wait(process) for process in processes]
        seconds = time.perf_counter() - begun
        watch.stop()
        error = f"stopped after {timeout_s:g} s" if watch.timed_out else _failure(processes, messages)
    peaks = [
        max(usage.ru_maxrss * _MAXRSS_UNIT, watch.peaks[p.pid]) for p, usage in zip(processes, usages, strict=True)
    ]
    cpu_seconds = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    return Outcome(seconds, cpu_seconds, sum(peaks), error)


def _wait(process: subprocess.Popen[bytes]) -> resource.struct_rusage:
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage


def _limit_memory(pid: int, memory_limit: int) -> None:
    if sys.platform == "linux":
        try:
            resource.prlimit(pid, resource.RLIMIT_AS, (memory_limit, memory_limit))
        except ProcessLookupError:
            return


def _failure(processes: Sequence[subprocess.Popen[bytes]], messages: Sequence[Path]) -> str | None:
    for process, said in zip(processes, messages, strict=True):
        if process.returncode:
            lines = said.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            words = lines[-1][:_LONGEST_MESSAGE] if lines else "nothing on standard error"
            return f"exit {process.returncode}: {words}"
    return None


class _Watch(threading.Thread):
    """Looks at the process trees from time to time; kills them when the time is up."""

    def __init__(self, pids: Sequence[int], timeout_s: float) -> None:
        super().__init__(daemon=True)
        self._pids = pids
        self._deadline = time.monotonic() + timeout_s
        self._done = threading.Event()
        self.peaks = dict.fromkeys(pids, 0)
        self.timed_out = False

    def stop(self) -> None:
        """End the watch, and wait for its end."""
        self._done.set()
        self.join()

    def run(self) -> None:
        """Sample until stopped."""
        while not self._done.wait(_SAMPLE_EVERY_S):
            if time.monotonic() > self._deadline and not self.timed_out:
                self.timed_out = True
                for pid in self._pids:
                    _kill_session(pid)
            for pid in self._pids:
                tree = _tree(pid)
                if len(tree) > 1:
                    self.peaks[pid] = max(self.peaks[pid], sum(_proportional_set(member) for member in tree))


def _kill_session(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _tree(pid: int) -> list[int]:
    """The process and its living descendants; the process alone where the kernel does not tell."""
    tree = [pid]
    for member in tree:
        try:
            for thread in Path(f"/proc/{member}/task").iterdir():
                tree += map(int, (thread / "children").read_text(encoding="ascii").split())
        except OSError:
            continue  # it has ended, or the kernel does not tell
    return tree


def _proportional_set(pid: int) -> int:
    """Resident memory in bytes, pages shared by n processes counted as 1/n; 0 for one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
