"""Where the system gives few processes and threads, or none: what is there does the work, and says so in a line."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pcapflow.batch.stop import Stop
from pcapflow.batch.workers import Lost, run_in_workers
from tests.processes import ROOT, Running, as_at_a_shell, slow_capture, until
from tests.samples import CLOSED, NO_FINAL_ACK, capture

resource = pytest.importorskip("resource")
pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked for in /proc")

_users = itertools.count()
IS_ROOT = os.name == "posix" and os.geteuid() == 0
NAMES = ["a.pcap", "b.pcap", "c.pcap", "d.pcap"]
NO_PROCESS = "pcapflow: no further process could be started "
ALONE = "(Resource temporarily unavailable): the batch goes on with this one alone\n"


def limited(processes: int) -> Callable[[], None]:
    """Makes a child an unprivileged user's, who may have so many processes and threads: of root none are counted."""
    # Never the same twice: a process of another test that is still ending would count.
    user = 50_000 + (os.getpid() * 64 + next(_users)) % 10_000

    def before_it_begins() -> None:
        as_at_a_shell()
        resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
        if IS_ROOT:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)

    return before_it_begins


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A directory that this user may write to as well."""
    if not IS_ROOT:
        yield tmp_path
        return
    if not all(path.stat().st_mode & 0o005 == 0o005 for path in (ROOT, *ROOT.parents, Path(sys.executable).parent)):
        pytest.skip("other users may not read the checkout")
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.chmod(0o777)
        yield directory


@pytest.fixture
def captures(shared: Path) -> list[Path]:
    return [capture(shared / name, CLOSED) for name in NAMES]


def end_of(processes: int, *arguments: str | Path, cwd: Path) -> tuple[int, str, str]:
    with Running(*arguments, cwd=cwd, env={"HOME": str(cwd)}, before=limited(processes)) as run:
        return run.end()


def test_a_batch_without_a_second_process_is_done_by_the_first(captures: list[Path], shared: Path) -> None:
    status, _, err = end_of(1, "batch", *captures, "-o", "out", "--jobs", "3", cwd=shared)
    assert (status, err) == (0, f"{NO_PROCESS}{ALONE}index: out/index.html\n")
    summary = json.loads((shared / "out" / "summary.json").read_text())
    assert [(item["path"], item["error"]) for item in summary["captures"]] == [(str(path), None) for path in captures]
    for path in captures:
        document = json.loads((shared / "out" / f"{path.stem}.json").read_text())
        assert document["capture"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.skipif(not IS_ROOT, reason="how many processes this user has already is not known")
@pytest.mark.parametrize("processes", [2, 3, 4, 5, 6])
def test_as_many_processes_as_there_may_be_share_the_work(captures: list[Path], shared: Path, processes: int) -> None:
    """Python starts one more that keeps an eye on these, and each has a thread or two."""
    status, _, err = end_of(processes, "batch", *captures, "-o", "out", "--jobs", "3", cwd=shared)
    *said, index = err.splitlines()
    assert (status, index) == (0, "index: out/index.html")
    assert 1 <= len(said) <= 2
    assert all(line.startswith(NO_PROCESS) for line in said)
    summary = json.loads((shared / "out" / "summary.json").read_text())
    assert [item["error"] for item in summary["captures"]] == [None] * len(captures)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupt_ends_the_capture_at_hand_and_the_rest_is_indexed(
    shared: Path, number: signal.Signals, status: int
) -> None:
    capture(shared / "0.pcap", CLOSED)
    slow_capture(shared / "1.pcap")
    shutil.copy(shared / "1.pcap", shared / "2.pcap")
    out = shared / "out"

    def opened() -> set[str]:
        found = set()
        for file in Path(f"/proc/{run.process.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found.add(file.readlink().name)
        return found

    with Running("batch", ".", "-o", "out", cwd=shared, env={"HOME": str(shared)}, before=limited(1)) as run:
        until(lambda: "1.pcap" in opened())
        os.killpg(run.process.pid, number)
        ended, _, err = run.end()
    said = "index: out/index.html\npcapflow: interrupted: 1 of 3 captures were analysed\n"
    assert (ended, err) == (status, f"{NO_PROCESS}{ALONE}{said}")
    summary = json.loads((out / "summary.json").read_text())
    assert ([item["path"] for item in summary["captures"]], summary["left_out"]) == (["0.pcap"], ["1.pcap", "2.pcap"])
    assert {path.name for path in out.iterdir()} == {"index.html", "summary.json", "0.html", "0.json"}


@pytest.mark.usefixtures("tshark")
def test_tshark_needs_a_thread(shared: Path) -> None:
    path = capture(shared / "a.pcap", NO_FINAL_ACK)
    status, _, err = end_of(1, "analyze", path, "--reader", "pyshark", "--no-report", cwd=shared)
    assert (status, err) == (3, f"pcapflow: {path}: tshark cannot be started: can't start new thread\n")


def work(task: int, before_writing: Callable[[], object]) -> int:  # noqa: ARG001 -- as the pool calls it
    """Doubles a task; one costs its process, and its parent every further one."""
    if task == 3:
        resource.prlimit(os.getppid(), resource.RLIMIT_NPROC, (1, 1))
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * task


def print_results() -> None:
    results = run_in_workers(work, [3, 1, 2], 1, Stop(), say=print)
    print([(task, "lost" if isinstance(result, Lost) else result) for task, result in results])


def test_what_a_process_was_killed_for_is_not_tried_by_the_only_one_left(shared: Path) -> None:
    code = "from tests.test_process_limits import print_results; print_results()"
    environment = {"HOME": str(shared), "PYTHONPATH": os.pathsep.join([os.environ["PYTHONPATH"], str(ROOT)])}
    limit = limited(100 if IS_ROOT else resource.getrlimit(resource.RLIMIT_NPROC)[0])
    with Running("-c", code, cwd=shared, env=environment, before=limit, program=()) as run:
        status, out, err = run.end()
    assert (status, err) == (0, "")
    assert out == f"{NO_PROCESS.removeprefix('pcapflow: ')}{ALONE}[(3, 'lost'), (1, 2), (2, 4)]\n"
