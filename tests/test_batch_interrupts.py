"""Batches that are interrupted, ended, killed, or lose a process: real ones, sent real signals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from pcapflow.batch.stop import Stop
from pcapflow.batch.workers import Lost, run_in_workers
from tests.processes import ASCII, PATIENCE_S, Running, slow_capture, until
from tests.samples import CLOSED, capture

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked for in /proc")

MANY = 40


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of captures that take a while."""
    directory = tmp_path_factory.mktemp("slow")
    first = slow_capture(directory / "00.pcap")
    for number in range(1, MANY):
        (directory / f"{number:02}.pcap").hardlink_to(first)
    return directory


def batch(captures: Path, out: Path, *more: str | Path, scratch: Path | None = None) -> Running:
    env = {} if scratch is None else {"TMPDIR": str(scratch)}
    return Running("batch", captures, "-o", out, "--jobs", "2", *more, cwd=out.parent, env=env)


def is_begun(out: Path) -> bool:
    return len(list(out.glob("*.html"))) >= 2


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_what_is_done_is_indexed_and_nothing_is_left(
    slow: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    out, junit, sarif, scratch = (tmp_path / name for name in ("out", "junit.xml", "log.sarif", "scratch"))
    scratch.mkdir()
    with batch(slow, out, "--junit", junit, "--sarif", sarif, scratch=scratch) as run:
        until(lambda: is_begun(out))
        if number == signal.SIGINT:
            run.interrupt()
        else:
            run.process.terminate()
        ended, _, err = run.end()
        until(lambda: not run.others())
    assert ended == status
    assert "Traceback" not in err
    summary = json.loads((out / "summary.json").read_text())
    done = summary["captures"]
    assert 2 <= len(done) < MANY
    assert not any(item["error"] for item in done)
    assert f"pcapflow: interrupted: {len(done)} of {MANY} captures were analysed\n" in err
    assert sorted(summary["left_out"] + [item["path"] for item in done]) == sorted(map(str, slow.iterdir()))
    expected = {"index.html", "summary.json", *(item["report"] for item in done), *(item["json"] for item in done)}
    assert {path.name for path in out.iterdir()} == expected
    assert f"Interrupted: {len(done)} of {MANY} captures were analysed." in (out / "index.html").read_text()
    root = ET.fromstring(junit.read_text())
    assert (len(root), root.get("skipped"), root.get("errors")) == (MANY, str(MANY - len(done)), "0")
    (invocation,) = json.loads(sarif.read_text())["runs"][0]["invocations"]
    assert len(invocation["toolExecutionNotifications"]) == MANY - len(done)
    assert [path for path in scratch.iterdir() if path.name.startswith("pcapflow-")] == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_a_batch_of_one_capture_is_indexed_too(slow: Path, tmp_path: Path, number: signal.Signals, status: int) -> None:
    out, path = tmp_path / "out", slow / "00.pcap"
    with batch(path, out) as run:
        until(run.workers)
        os.killpg(run.process.pid, number)
        ended, _, err = run.end()
        until(lambda: not run.others())
    assert (ended, err) == (
        status,
        f"index: {out / 'index.html'}\npcapflow: interrupted: 0 of 1 captures were analysed\n",
    )
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["captures"], summary["left_out"]) == ([], [str(path)])
    assert {file.name for file in out.iterdir()} == {"index.html", "summary.json"}


def test_captures_that_are_left_out_are_named_as_the_others_are(slow: Path, tmp_path: Path) -> None:
    """Under a locale where none of these names is text: what is UTF-8 is read as such."""
    captures, out, junit = tmp_path / "märz", tmp_path / "öut", tmp_path / "j.xml"
    captures.mkdir()
    for name in (b"a.pcap", "ä.pcap".encode(), b"\xe9.pcap"):
        (captures / os.fsdecode(name)).hardlink_to(slow / "00.pcap")
    arguments = ("batch", "märz", "gone-ä", "-o", "öut", "--jobs", "1", "--junit", junit)
    with Running(*arguments, cwd=tmp_path, env=ASCII) as run:
        until(run.workers)
        run.interrupt()
        status, _, err = run.end()
    left_out = ["märz/a.pcap", "märz/ä.pcap", r"märz/\xe9.pcap"]
    assert status == 130
    assert err.splitlines()[:2] == ["pcapflow: gone-ä: no such file", "index: öut/index.html"]
    summary = json.loads((out / "summary.json").read_text())
    assert ([item["path"] for item in summary["captures"]], summary["left_out"]) == (["gone-ä"], left_out)
    page = (out / "index.html").read_text()
    assert all(f">{name}<" in page for name in ["gone-ä", *left_out])
    assert [suite.get("name") for suite in ET.fromstring(junit.read_text())] == ["gone-ä", *left_out]


def test_a_second_interrupt_ends_at_once(slow: Path, tmp_path: Path) -> None:
    out, junit = tmp_path / "out", tmp_path / "junit"
    # Whoever writes to a pipe that nobody reads waits: the index is being written as long as that.
    os.mkfifo(junit)
    with batch(slow, out, "--junit", junit) as run:
        until(lambda: is_begun(out))
        run.interrupt()
        until(lambda: (out / "index.html").exists() and run.state() == "S")
        run.interrupt()
        status, _, err = run.end()
        until(lambda: not run.others())
    assert status == 130
    assert err.endswith("pcapflow: interrupted\n")
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_when_all_is_analysed_ends_too(tmp_path: Path, number: signal.Signals) -> None:
    out, junit = tmp_path / "out", tmp_path / "junit"
    os.mkfifo(junit)
    paths = [capture(tmp_path / name, CLOSED) for name in ("a.pcap", "b.pcap")]
    with Running("batch", *paths, "-o", out, "--junit", junit, cwd=tmp_path) as run:
        until(lambda: (out / "index.html").exists() and run.state() == "S")
        run.process.send_signal(number)
        assert run.end()[0] == 128 + number
        until(lambda: not run.others())


def test_the_processes_end_with_their_parent_however_it_ends(slow: Path, tmp_path: Path) -> None:
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    scratch.mkdir()
    with batch(slow, out, scratch=scratch) as run:
        until(lambda: is_begun(out) and len(run.workers()) == 2)
        run.process.kill()
        until(lambda: not run.others())
    assert [path for path in scratch.iterdir() if path.name.startswith("pcapflow-")] == []


def test_a_killed_process_costs_its_own_capture_a_second_try(slow: Path, tmp_path: Path) -> None:
    few, out = tmp_path / "few", tmp_path / "out"
    few.mkdir()
    for number in range(4):
        (few / f"{number}.pcap").hardlink_to(slow / "00.pcap")
    with batch(few, out) as run:
        until(lambda: len(run.workers()) == 2)
        lost, kept = run.workers()
        os.kill(lost, signal.SIGKILL)
        until(lambda: len(set(run.workers()) - {lost}) == 2)
        assert kept in run.workers(), "the other one goes on"
        status, _, err = run.end()
    assert (status, "was killed" in err) == (0, False)
    captures = json.loads((out / "summary.json").read_text())["captures"]
    assert [item["error"] for item in captures] == [None] * 4


def test_a_capture_that_costs_two_processes_is_given_up(slow: Path, tmp_path: Path) -> None:
    few, out = tmp_path / "few", tmp_path / "out"
    few.mkdir()
    (few / "0.pcap").hardlink_to(slow / "00.pcap")
    for name in ("1.pcap", "2.pcap"):
        capture(few / name, CLOSED)
    with Running("batch", few, "-o", out, "--jobs", "1", cwd=tmp_path) as run:
        killed: set[int] = set()
        for _ in range(2):
            until(lambda: set(run.workers()) - killed)
            (number,) = set(run.workers()) - killed
            os.kill(number, signal.SIGKILL)
            killed.add(number)
        status, _, err = run.end()
    assert status == 3
    reason = "the process analysing it was killed, perhaps for want of memory"
    assert f"pcapflow: {few / '0.pcap'}: {reason}\n" in err
    captures = json.loads((out / "summary.json").read_text())["captures"]
    assert [item["error"] for item in captures] == [reason, None, None]
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []


@pytest.mark.usefixtures("tshark")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_tshark_ends_with_the_batch(slow: Path, tmp_path: Path, number: signal.Signals) -> None:
    out, scratch, packed = tmp_path / "out", tmp_path / "scratch", tmp_path / "packed"
    scratch.mkdir()
    packed.mkdir()
    for name in ("a.pcap", "b.pcap"):
        shutil.copy(slow / "00.pcap", packed / name)
    with batch(packed, out, "--reader", "pyshark", scratch=scratch) as run:
        until(lambda: sum("tshark" in command for command in run.others().values()) >= 2)
        os.killpg(run.process.pid, number)
        status, _, _ = run.end()
        until(lambda: not run.others())
    assert status == (130 if number == signal.SIGINT else -signal.SIGKILL)
    assert [path for path in scratch.iterdir() if path.name.startswith("pcapflow-")] == []


@pytest.mark.usefixtures("tshark")
def test_tshark_ends_with_the_process_that_started_it(slow: Path, tmp_path: Path) -> None:
    few, out = tmp_path / "few", tmp_path / "out"
    few.mkdir()
    for name in ("a.pcap", "b.pcap"):
        (few / name).hardlink_to(slow / "00.pcap")
    with batch(few, out, "--reader", "pyshark") as run:

        def tsharks() -> set[int]:
            return {number for number, command in run.others().items() if "tshark -" in command}

        until(lambda: len(tsharks()) >= 2)
        first = run.workers()[0]
        children = {number for number in tsharks() if os.getpgid(number) == first}
        assert children
        os.kill(first, signal.SIGKILL)
        until(lambda: not children & tsharks())


# The pool itself


def work(task: int, before_writing: Callable[[], object]) -> int:
    """What the pool calls in the tests: it doubles, but for one task that kills its process."""
    if task == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    before_writing()
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(b"left behind")
    return 2 * task


@pytest.fixture
def own_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("workers", [1, 3])
def test_each_task_gets_its_own_result(workers: int, own_temporary_directory: Path) -> None:
    results = dict(run_in_workers(work, range(8), workers, Stop()))
    assert isinstance(results.pop(3), Lost)
    assert results == {task: 2 * task for task in range(8) if task != 3}
    assert list(own_temporary_directory.iterdir()) == []


def write_slowly(task: Path, before_writing: Callable[[], object]) -> str:
    """Writes two files a while apart; one task never comes to write."""
    begun, written = task / "begun", task / "written"
    if task.name == "not yet":
        begun.touch()
        time.sleep(PATIENCE_S)
    before_writing()
    begun.touch()
    time.sleep(1)
    written.touch()
    return task.name


def test_an_interrupt_waits_for_who_writes_and_for_nobody_else(tmp_path: Path) -> None:
    tasks = [tmp_path / name for name in ("writing", "not yet", "waiting")]
    for task in tasks:
        task.mkdir()

    def interrupt() -> None:
        until(lambda: (tasks[0] / "begun").exists() and (tasks[1] / "begun").exists())
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    with Stop() as stop:
        thread.start()
        started = time.monotonic()
        results = [result for _, result in run_in_workers(write_slowly, tasks, 2, stop)]
        assert time.monotonic() - started < PATIENCE_S
        thread.join()
        assert (results, stop.signal) == (["writing"], signal.SIGINT)
    assert sorted(path.parent.name for path in tmp_path.glob("*/written")) == ["writing"]
    assert sorted(path.parent.name for path in tmp_path.glob("*/begun")) == ["not yet", "writing"]


@pytest.mark.parametrize(("writes", "done"), [(False, []), (True, [True])], ids=["before", "after it began to write"])
def test_an_interrupt_of_work_in_this_process_ends_it_unless_it_writes(writes: bool, done: list[bool]) -> None:
    with Stop() as stop, stop.noting():

        def interrupted() -> bool:
            if writes:
                stop.note_from_here()
            signal.raise_signal(signal.SIGINT)
            return True

        assert list(stop.ending(interrupted)) == done
        assert stop.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            stop.ending(lambda: signal.raise_signal(signal.SIGINT))


def test_who_stops_asking_ends_the_processes() -> None:
    results = run_in_workers(work, [0, 1, 2], 2, Stop())
    next(results)
    results.close()  # type: ignore[attr-defined]
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    if children.exists():
        commands = [Path(f"/proc/{child}/cmdline").read_text() for child in children.read_text().split()]
        assert not [command for command in commands if "spawn_main" in command]
