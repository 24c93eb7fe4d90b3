"""What only some systems have is done without elsewhere: each is taken away before the package is imported.

``select`` on pipes, which Windows has not, is taken away in ``test_stream_interrupts.py``.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Final

import pytest

import pcapflow
from tests.samples import CLOSED, NO_FINAL_ACK, capture

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGE: Final = Path(pcapflow.__file__).parent
UNIX_ONLY: Final = ("fcntl", "grp", "pty", "pwd", "resource", "termios")

linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is not there to be taken away")


def printed_by(code: str, *arguments: Path) -> str:
    """What a fresh Python prints that runs this code."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return capture(tmp_path / "a.pcap", *[CLOSED, NO_FINAL_ACK] * 50)


SAME_AS_ONE = """
import pcapflow
from pcapflow.engine import second_process
def figures(jobs):
    analysis = pcapflow.analyze(sys.argv[1], jobs=jobs)
    return analysis.to_json(), analysis.flows.to_csv()
print(figures(2) == figures(1), second_process.is_possible())
"""


@linux
@pytest.mark.parametrize(
    "taken_away",
    [
        "del os.memfd_create",
        "import mmap; del mmap.MADV_REMOVE",
        # Libraries are imported first: they look at the platform too, and load what is not there.
        "import ctypes, pandas; sys.platform = 'freebsd14'",
        "import pathlib\ndef nothing(_): raise FileNotFoundError\npathlib.Path.iterdir = nothing",
    ],
    ids=["no memfd_create", "no MADV_REMOVE", "another system", "no /proc"],
)
def test_without_what_a_second_process_needs_one_does_all(taken_away: str, path: Path) -> None:
    assert printed_by(f"import os, sys\n{taken_away}\n{SAME_AS_ONE}", path) == "True False\n"


def test_processors_are_counted_where_nobody_says_which_may_be_used() -> None:
    code = """
        import os
        if hasattr(os, "sched_getaffinity"):
            del os.sched_getaffinity
        from pcapflow.engine import run as engine
        print(engine._processors() == (os.cpu_count() or 1))
    """
    assert printed_by(code) == "True\n"


@pytest.mark.parametrize("library", ["object()", "raises"], ids=["no malloc_trim", "no C library to be found"])
def test_memory_that_cannot_be_given_back_is_kept(library: str) -> None:
    code = f"""
        import ctypes
        def raises():
            raise OSError
        ctypes.CDLL = lambda name: {library.replace("raises", "raises()")}
        from pcapflow.engine import collect
        print(collect._give_back_memory())
    """
    assert printed_by(code) == "None\n"


def test_no_module_that_windows_lacks_is_needed(path: Path, tmp_path: Path) -> None:
    """Not to import, and not on the way from a capture to all outputs."""
    code = f"""
        import sys
        sys.modules.update(dict.fromkeys({UNIX_ONLY!r}))
        from pcapflow.cli.main import run
        out = sys.argv[2]
        print(run(["analyze", sys.argv[1], "-q", "-o", out + "/r.html", "--json", out + "/r.json", "--tables", out]))
    """
    assert printed_by(code, path, tmp_path) == "0\n"
    assert (tmp_path / "r.html").is_file()
    assert (tmp_path / "flows.csv").is_file()


def test_no_module_that_windows_lacks_is_imported_anywhere() -> None:
    found = {
        name.split(".")[0]
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert found
    assert found.isdisjoint(UNIX_ONLY)


def test_the_tests_are_collected_without_what_windows_lacks() -> None:
    """What one of them needs it skips for; a module that cannot be imported would stop all."""
    code = f"""
        import sys
        sys.modules.update(dict.fromkeys({UNIX_ONLY!r}))
        import pytest
        sys.exit(pytest.main(["--collect-only", "-qq", "-p", "no:xdist", "-p", "no:cov", "-p", "no:cacheprovider"]))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_signals_that_a_thread_cannot_take_are_left_alone(tmp_path: Path) -> None:
    """A command that is run in a thread, as by a program that serves others, has no signals."""
    data = capture(tmp_path / "a.pcap", CLOSED).read_bytes()
    code = """
        import sys, threading
        from pcapflow.cli.main import run
        status = []
        thread = threading.Thread(target=lambda: status.append(run(["analyze", "-", "-q", "--no-report"])))
        thread.start()
        thread.join()
        print(status)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, input=data, check=True, capture_output=True)
    assert done.stdout.split() == [b"[0]"]
    assert done.stderr == b""
