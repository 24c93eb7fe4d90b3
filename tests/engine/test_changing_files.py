"""Files that change while they are read: the end of what was read is said, and no checksum speaks of other bytes."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from benchmarks.workloads import generate

ROOT = Path(__file__).resolve().parents[2]
PACKETS = 30_000

CODE = """
    import json, os, sys
    import pcapflow
    path, reader, jobs, does, afterwards = sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:]
    done = False
    def change(bytes_read, total):
        global done
        if not done:
            done = True
            exec(does)
    analysis = pcapflow.analyze(path, reader=reader, jobs=jobs, progress=change)
    capture = analysis.capture
    exec(afterwards)
    print(json.dumps({
        "frames": capture.frames, "truncated": capture.truncated, "notes": capture.notes, "sha256": capture.sha256,
        "codes": [finding.code for finding in analysis.findings],
    }))
"""


def analysed(
    path: Path, does: str, *, afterwards: str = "pass", reader: str = "native", jobs: int = 1
) -> dict[str, object]:
    """What a fresh process finds in a capture.

    The statements of ``does`` are run after its first batch, those of ``afterwards`` when all was analysed.
    """
    places = os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(CODE), str(path), reader, str(jobs), does, afterwards],
        env={**os.environ, "PYTHONPATH": places, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("changing") / "web.pcap"
    generate("web", PACKETS, path)
    return path


@pytest.fixture
def web(original: Path, tmp_path: Path) -> Path:
    """A capture to be changed."""
    path = tmp_path / "web.pcap"
    shutil.copy(original, path)
    return path


BOTH = [1, pytest.param(2, marks=pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is one process"))]


@pytest.mark.parametrize("jobs", BOTH)
def test_a_file_that_stays_as_it_is_has_its_checksum_and_no_note(web: Path, jobs: int) -> None:
    found = analysed(web, "pass", jobs=jobs)
    assert found["frames"] == PACKETS
    assert found["sha256"] == hashlib.sha256(web.read_bytes()).hexdigest()
    assert (found["truncated"], found["notes"]) == ("", [])


@pytest.mark.parametrize("jobs", BOTH)
def test_a_file_that_is_cut_short_is_told_to_end_early(web: Path, jobs: int) -> None:
    size = web.stat().st_size
    found = analysed(web, f"os.truncate(path, {size // 2})", jobs=jobs)
    frames = found["frames"]
    assert isinstance(frames, int)
    assert 0 < frames < PACKETS
    assert f"the file was cut short while it was read: {size // 2:,} of {size:,} bytes were there" in str(
        found["truncated"]
    )
    assert f"after frame {frames}" in str(found["truncated"])
    assert "PF904" in str(found["codes"])
    assert found["sha256"] == ""


@pytest.mark.parametrize("jobs", BOTH)
def test_a_file_that_grows_is_read_up_to_the_size_it_had(web: Path, jobs: int) -> None:
    """What is appended are whole records, so that nothing but the note tells."""
    size = web.stat().st_size
    found = analysed(web, "data = open(path, 'rb').read()[24:]; open(path, 'ab').write(data)", jobs=jobs)
    assert found["frames"] == PACKETS
    grown = 2 * size - 24
    assert found["notes"] == [
        f"the file was still being written: its first {size:,} bytes were analysed, and it has {grown:,} now"
    ]
    assert (found["truncated"], found["sha256"]) == ("", "")


def test_a_file_that_is_written_over_in_place_has_no_checksum(web: Path) -> None:
    """Nobody knows which bytes were read, the old ones or the new."""
    found = analysed(web, "open(path, 'r+b').write(open(path, 'rb').read())")
    assert found["sha256"] == ""
    assert found["notes"] == [
        "the file was changed while it was read: what was analysed may be neither its old content nor its new"
    ]


def test_a_file_that_is_replaced_is_analysed_as_it_was(web: Path) -> None:
    found = analysed(web, "os.rename(path, path + '.1'); open(path, 'wb').write(b'other')")
    assert found["frames"] == PACKETS
    assert found["sha256"] == ""
    assert found["notes"] == ["the file was removed or replaced while it was read; what was open is what was analysed"]


def test_a_file_that_changes_before_its_checksum_is_asked_for_has_none(web: Path) -> None:
    found = analysed(web, "pass", afterwards="os.truncate(path, 100)")
    assert found["frames"] == PACKETS
    assert found["sha256"] == ""


def test_a_compressed_file_that_is_cut_short(web: Path, tmp_path: Path) -> None:
    packed = tmp_path / "web.pcap.gz"
    packed.write_bytes(gzip.compress(web.read_bytes(), 1))
    size = packed.stat().st_size
    found = analysed(packed, f"os.truncate(path, {size // 2})")
    assert "cut short while it was read" in str(found["truncated"])
    assert found["sha256"] == ""


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_a_file_that_grows_while_tshark_reads_it_has_no_checksum(tmp_path: Path) -> None:
    path = tmp_path / "small.pcap"
    generate("web", 3000, path)
    found = analysed(path, "open(path, 'ab').write(b'x' * 7)", reader="pyshark")
    assert found["sha256"] == ""
    assert "still being written" in str(found["notes"])
