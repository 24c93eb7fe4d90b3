"""One process or two: the tables are the same, and what goes wrong with the second one is made good by the first.

A process that has threads is not copied, and one that runs tests has some: each test starts a fresh one.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from benchmarks.workloads import generate
from pcapflow.engine.run import LARGE_BYTES
from pcapflow.reader import open_capture
from pcapflow.reader.segment_batch import SegmentBatch

ROOT = Path(__file__).resolve().parents[1]
PACKETS = 20_000
linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no second process")


def fresh(*arguments: str) -> str:
    """What another interpreter with this package prints; numpy's algebra starts no threads there."""
    path = os.pathsep.join([os.environ["PYTHONPATH"], str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-P", *arguments],
        env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


def run(code: str, capture: Path) -> str:
    """What these lines print, with the capture's path as ``path``, and ``figures`` of an analysis to compare."""
    head = """
        import os, pickle, sys
        import numpy as np
        from pcapflow import analyze
        from pcapflow.engine import second_process
        path = sys.argv[1]
        FLOW = [("flow", np.dtype("i8"), 3)]
        def children():
            try:
                return os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return "none left"
        def figures(analysis):
            columns = analysis.tables.flows.columns.items()
            return analysis.capture.sha256, {name: column.tolist() for name, column in columns}
    """
    return fresh("-c", textwrap.dedent(head) + textwrap.dedent(code), str(capture))


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("engine") / "web.pcap"
    generate("web", PACKETS, path)
    return path


@linux
def test_two_processes_give_the_tables_of_one(tmp_path: Path) -> None:
    """Every column of every table, the anomalies, and what is known of the capture with its checksum."""
    captures = []
    for workload in ("web", "bulk", "flood"):
        path = tmp_path / f"{workload}.pcap"
        generate(workload, PACKETS, path)
        captures.append(str(path))

    one = json.loads(fresh("-m", "tests.digests", *captures))
    two = json.loads(fresh("-m", "tests.digests", "--jobs", "2", *captures))

    assert (one["in_two"], two["in_two"]) == (0, len(captures))
    assert two["digests"] == one["digests"]


@linux
@pytest.mark.parametrize(
    "does",
    [
        "os._exit(1)",
        "os.write(write_fd, pickle.dumps(7))",
        "os.write(write_fd, pickle.dumps(20000))",
        "os.write(write_fd, b'nonsense')",
        "os.write(shared_fd, b'12345'); os.write(write_fd, pickle.dumps(20000) + pickle.dumps((3, FLOW)))",
    ],
    ids=["dies at once", "read another file", "dies then", "talks nonsense", "dies inside a column"],
)
def test_a_second_process_that_fails_costs_time_and_nothing_else(does: str, web: Path) -> None:
    printed = run(
        f"""
        alone = figures(analyze(path, jobs=1))
        def work(write_fd, shared_fd, *_):
            {does}
            os._exit(1)
        second_process._work = work
        assert figures(analyze(path, jobs=2)) == alone
        print(children())
        """,
        web,
    )

    assert printed == "none left\n"


@linux
@pytest.mark.parametrize("call", ["pipe", "memfd_create", "fork"])
def test_a_system_that_gives_no_second_process(call: str, web: Path) -> None:
    printed = run(
        f"""
        alone = figures(analyze(path, jobs=1))
        def refuse(*_):
            raise OSError
        before = os.listdir("/proc/self/fd")
        os.{call} = refuse
        assert figures(analyze(path, jobs=2)) == alone
        print(os.listdir("/proc/self/fd") == before, children())
        """,
        web,
    )

    assert printed == "True none left\n"


@linux
def test_the_time_of_waiting_for_the_second_process_can_be_used(web: Path) -> None:
    printed = run(
        """
        for jobs in (1, 2):
            analyze(path, jobs=jobs, meanwhile=lambda: print("meanwhile, of", jobs))
        """,
        web,
    )

    assert printed == "meanwhile, of 2\n"


@linux
def test_columns_that_are_let_go_take_no_memory() -> None:
    """Those of the second process, which are in memory that both have."""
    printed = fresh(
        "-c",
        textwrap.dedent("""
            import os
            import numpy as np
            from types import SimpleNamespace
            from pcapflow.engine import second_process
            from pcapflow.engine.partition import PartitionResult

            columns = {name: np.arange(100_000) for name in "ab"}
            store = os.memfd_create("test")
            shown = os.dup(store)
            result = PartitionResult(columns, {"c": np.zeros(3)}, {"d": np.zeros(0)}, {}, [], {}, 0)
            second_process._share(result, os.dup(store))
            column = second_process.SecondProcess._columns(SimpleNamespace(_shared=os.fdopen(store, "rb")))
            first, second = (column(np.dtype("i8"), 100_000) for _ in range(2))
            full = os.fstat(shown).st_blocks
            del first
            print(round(os.fstat(shown).st_blocks / full, 1), int(second[-1]))
        """),
    )

    assert printed == "0.5 99999\n"


@linux
def test_a_checksum_that_never_comes_is_taken_here(web: Path) -> None:
    printed = run(
        """
        alone = figures(analyze(path, jobs=1))
        second_process.sha256_by_mapping = lambda path, size: os._exit(1)
        both = analyze(path, jobs=2)
        assert figures(both) == alone
        print(len(both.capture.sha256), children())
        """,
        web,
    )

    assert printed == "64 none left\n"


@linux
def test_an_interrupt_ends_both(web: Path) -> None:
    printed = run(
        """
        def progress(done, total):
            raise KeyboardInterrupt
        try:
            analyze(path, jobs=2, progress=progress)
        except KeyboardInterrupt:
            print("interrupted", children())
        """,
        web,
    )

    assert printed == "interrupted none left\n"


@linux
def test_a_process_with_threads_is_not_copied() -> None:
    """A lock that another thread holds would never be released in the copy."""
    printed = fresh(
        "-c",
        textwrap.dedent("""
            import threading
            from pcapflow.engine.second_process import is_possible
            print(is_possible())
            event = threading.Event()
            thread = threading.Thread(target=event.wait)
            thread.start()
            print(is_possible())
            event.set()
        """),
    )

    assert printed.split() == ["True", "False"]


@linux
def test_a_large_capture_is_read_by_two_processes(web: Path) -> None:
    printed = run(
        """
        from pcapflow.engine import run as engine
        engine.LARGE_BYTES = engine.LARGE_WHEN_COMPILED_BYTES = os.stat(path).st_size
        engine._processors = lambda: 2
        second_process.SecondProcess = None
        try:
            analyze(path)
        except TypeError:
            print("in two")
        engine._processors = lambda: 1
        analyze(path)
        """,
        web,
    )

    assert printed == "in two\n"


@linux
def test_a_small_capture_is_read_by_one_process_unless_asked_otherwise(web: Path) -> None:
    assert web.stat().st_size < LARGE_BYTES
    printed = run(
        """
        second_process.SecondProcess = None
        analyze(path)
        try:
            analyze(path, jobs=2)
        except TypeError:
            print("asked")
        """,
        web,
    )

    assert printed == "asked\n"


def test_what_cannot_be_opened_again_is_read_once(web: Path, tmp_path: Path) -> None:
    """A compressed file could, but both processes would spend their time on decompressing it."""
    packed = tmp_path / "web.pcap.gz"
    packed.write_bytes(gzip.compress(web.read_bytes(), 1))
    with web.open("rb") as stream:
        twice = []
        for item in (web, packed, stream):
            opened = open_capture([item])
            opened.read(SegmentBatch())
            twice.append(opened.can_be_read_twice)
            opened.close()

    assert twice == [True, False, False]
