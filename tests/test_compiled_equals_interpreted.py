"""The compiled engine and the same sources interpreted give the same tables, to the last column, of every fixture.

Where this runs with a compiled build (``nox -s tests``), another process of the same interpreter
analyses the same captures with the checkout's sources, which come first on its path. Both say what each column of
each table comes to, and the anomalies, and what is known of the capture; for a damaged file, the error.

The captures: every format and damage, every committed capture of the kernels from both ends of the wire, those of one
end with sequence numbers that wrap, and one of each generated workload, which is longer than a batch.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.workloads import generate
from fixtures.captures import format_captures, kernel_captures
from fixtures.renumber import write_wrapped
from tests.digests import digests

ROOT = Path(__file__).resolve().parents[1]
WORKLOADS = ("web", "bulk", "flood")
PACKETS = 5000


def test_every_fixture_gives_the_same_tables(compiled: bool, tmp_path: Path) -> None:
    if not compiled:
        pytest.skip("the engine under test is not compiled: there is nothing to compare")
    generated = [tmp_path / f"{workload}.pcap" for workload in WORKLOADS]
    for path in generated:
        generate(path.stem, PACKETS, path)
    wrapped = [write_wrapped(path, tmp_path) for path in kernel_captures("client")]
    captures = [*format_captures(), *kernel_captures(), *wrapped, *generated]

    interpreted = subprocess.run(
        [sys.executable, "-m", "tests.digests", *map(str, captures)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    interpreted_run = json.loads(interpreted.stdout)
    if interpreted_run["compiled"]:
        pytest.skip("the checkout is compiled in place: nothing here is interpreted")

    ours = digests(captures)
    theirs = interpreted_run["digests"]
    assert len(ours) == len(captures) > 400
    assert sum("error" not in found for found in ours.values()) > 400
    different = {
        Path(name).name: sorted(key for key in ours[name].keys() | theirs[name].keys()
                                if ours[name].get(key) != theirs[name].get(key))
        for name in ours
        if ours[name] != theirs[name]
    }  # fmt: skip
    assert different == {}
