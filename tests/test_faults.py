"""Faults of pcapflow itself, made real: a template that is broken, and too little memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jinja2
import pytest

import pcapflow
from pcapflow.report.templating import environment
from tests.processes import run, slow_capture
from tests.samples import CLOSED, capture


def broken(tmp_path: Path, template: str) -> dict[str, str]:
    """An environment in which the package is a copy with one broken template."""
    package = tmp_path / "copy" / "pcapflow"
    shutil.copytree(Path(pcapflow.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__", "templates"))
    loader = environment().loader
    assert isinstance(loader, jinja2.FileSystemLoader)
    shutil.copytree(loader.searchpath[0], package / "templates")
    (package / "templates" / template).write_text("{{ what_nobody_set }}")
    path = os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path}


def test_a_fault_of_ours_has_a_status_of_its_own_and_one_line(tmp_path: Path) -> None:
    env = broken(tmp_path, "page.html")
    capture(tmp_path / "a.pcap", CLOSED)
    status, _, err = run(tmp_path, "analyze", "a.pcap", "--fail-on", "info", env=env)
    assert (status, err.count("\n")) == (70, 1)
    assert err.startswith("pcapflow: this is a fault in pcapflow: UndefinedError: 'what_nobody_set' is undefined at ")
    assert "page.html" in err
    assert err.endswith("; PCAPFLOW_TRACEBACK=1 shows the traceback\n")
    assert not list(tmp_path.glob("*.html"))
    status, _, err = run(tmp_path, "analyze", "a.pcap", env={**env, "PCAPFLOW_TRACEBACK": "1"})
    assert status == 70
    assert "Traceback (most recent call last)" in err


def test_in_a_batch_it_is_one_captures_outcome(tmp_path: Path) -> None:
    env = broken(tmp_path, "page.html")
    for name in ("a.pcap", "b.pcap"):
        capture(tmp_path / name, CLOSED)
    status, _, err = run(tmp_path, "batch", "a.pcap", "b.pcap", "-o", "out", "--fail-on", "info", env=env)
    assert status == 3
    assert err.count("this is a fault in pcapflow: UndefinedError") == 2
    captures = json.loads((tmp_path / "out" / "summary.json").read_text())["captures"]
    assert all("fault in pcapflow" in item["error"] for item in captures)


def test_an_index_that_fails_is_a_fault_of_ours(tmp_path: Path) -> None:
    env = broken(tmp_path, "index.html")
    capture(tmp_path / "a.pcap", CLOSED)
    status, _, err = run(tmp_path, "batch", "a.pcap", "-o", "out", env=env)
    assert (status, err.count("\n")) == (70, 1)
    assert "UndefinedError" in err


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and a limit of address space")
@pytest.mark.parametrize("command", ["analyze", "batch"])
def test_too_little_memory_is_one_clear_line(tmp_path: Path, command: str) -> None:
    path = slow_capture(tmp_path / "slow.pcap")
    code = """
import importlib, os, resource, sys, threading
threading.stack_size(256 << 10)
for name in ("analysis", "anomalies.catalogue", "anomalies.run", "cli.main", "batch.run", "engine.collect",
             "engine.join", "report.html", "report.page", "report.index", "export.json", "export.terminal",
             "export.sarif", "export.junit"):
    importlib.import_module(f"pcapflow.{name}")
with open("/proc/self/statm") as file:
    size = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (6 << 20),) * 2)
from pcapflow.cli.main import run
os._exit(run(sys.argv[1:]))
"""
    more = ["--jobs", "1"] if command == "analyze" else ["-o", "out"]
    done = subprocess.run(
        [sys.executable, "-c", code, command, path, "-q", *more],
        cwd=tmp_path,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "out of memory: " in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.returncode == (70 if command == "analyze" else 3)


FREED_FROM_DEPTHS = """
import sys
from pcapflow.reader import open_capture
from pcapflow.reader.segment_batch import SegmentBatch
from pcapflow.tracker.flow_table import FlowTable

batch = SegmentBatch()
open_capture([sys.argv[1]]).read(batch)
for depth in range(100):
    nested = FlowTable(100, 100, 200_000_000)
    nested.consume(batch)
    for _ in range(depth):
        nested = [nested]
    del nested
"""


def test_connections_are_freed_from_any_depth(tmp_path: Path) -> None:
    """A fault that passes through many frames frees what these hold one inside the other.

    Past some fifty levels the interpreter puts off what is to be freed, in a list that it keeps in the objects' headers
    for the garbage collector: connections must have these.
    """
    path = capture(tmp_path / "open.pcap", CLOSED[:3], CLOSED[:3])
    done = subprocess.run(
        [sys.executable, "-c", FREED_FROM_DEPTHS, path],
        cwd=tmp_path,
        # Memory that is written to beside an object is noticed when the object is freed.
        env={**os.environ, "PYTHONMALLOC": "debug"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
