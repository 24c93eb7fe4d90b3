"""Real runs of the program beside the test: started, watched in /proc, and sent signals to."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from fixtures.frames import write_pcap
from tests.samples import CLOSED, records

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 120
"""Against hangs; nothing here is slow."""
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "utf-8"}
"""Under this locale no file name but an ASCII one is text to Python."""
MARK = "PCAPFLOW_TEST_MARK"


class Running:
    """One run in a process group of its own, found with everything it starts by a mark in the environment."""

    def __init__(
        self,
        *arguments: str | bytes | Path,
        cwd: Path,
        env: dict[str, str] | None = None,
        before: Callable[[], None] | None = None,
        program: Sequence[str] = ("-m", "pcapflow"),
    ) -> None:
        """Starts it; ``before`` is called in the child before the program begins, which must take no lock."""
        self._mark = f"{MARK}={uuid.uuid4().hex}"
        name, _, value = self._mark.partition("=")
        self.process = subprocess.Popen(
            [sys.executable, *program, *map(os.fsencode, arguments)],
            cwd=cwd,
            env={**os.environ, name: value, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=before or as_at_a_shell,  # noqa: PLW1509 -- it starts no thread and takes no lock
        )

    def interrupt(self) -> None:
        """What Ctrl-C at a terminal does: SIGINT to the whole group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> tuple[int, str, str]:
        """Waits for the end; gives status, standard output and standard error."""
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out.decode(), err.decode()

    def others(self) -> dict[int, str]:
        """The living processes that it started, directly or not, with their command lines."""
        found = {}
        for directory in Path("/proc").iterdir():
            if not directory.name.isdigit() or int(directory.name) == self.process.pid:
                continue
            with contextlib.suppress(OSError):
                status = (directory / "stat").read_text().rpartition(")")[2].split()[0]
                if self._mark.encode() in (directory / "environ").read_bytes().split(b"\0") and status not in "ZX":
                    found[int(directory.name)] = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def workers(self) -> list[int]:
        """The processes of its pool that are at work: each leads a group of its own."""
        found = []
        for number, command in self.others().items():
            with contextlib.suppress(OSError):
                if "spawn_main" in command and os.getpgid(number) == number:
                    found.append(number)
        return sorted(found)

    def state(self) -> str:
        """What the kernel says of the program itself: S it waits, T it is stopped."""
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for number in (self.process.pid, *self.others()):
            with contextlib.suppress(OSError):
                os.kill(number, signal.SIGKILL)
        self.process.communicate()


def as_at_a_shell() -> None:
    """Gives a child the default handler of Ctrl-C.

    Whoever passes the tests in the background of a shell has them ignore it, which a child inherits.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run(
    cwd: Path, *arguments: str | bytes | Path, env: dict[str, str] | None = None, stdout: Path | None = None
) -> tuple[int, str, str]:
    """One run to its end: status and outputs, which must be UTF-8; standard output goes to a file if one is named."""
    with contextlib.nullcontext(subprocess.PIPE) if stdout is None else stdout.open("wb") as out:
        done = subprocess.run(
            [sys.executable, "-m", "pcapflow", *map(os.fsencode, arguments)],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdout=out,
            stderr=subprocess.PIPE,
            check=False,
            timeout=PATIENCE_S,
        )
    return done.returncode, (done.stdout or b"").decode(), done.stderr.decode()


def until(condition: Callable[[], object], what: str = "what is waited for", patience_s: float = PATIENCE_S) -> None:
    """Waits until something is so."""
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, f"it never came to this: {what}"
        time.sleep(0.01)


def slow_capture(path: Path) -> Path:
    """A capture of 80,000 frames in 8,000 connections, which takes a while; returns its path."""
    written = []
    apart_ns = 10**9
    once = [frame for i in range(100) for frame in records(CLOSED, port=1024 + i, after_ms=i)]
    once.sort(key=lambda frame: frame[0])
    for number in range(80):
        written += [(time_ns + number * apart_ns, data) for time_ns, data in once]
    write_pcap(path, written)
    return path
