"""The workloads by name, and how one becomes a file."""

import gc
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks import bulk, flood, web
from benchmarks.capture_file import CaptureWriter

SEED: Final = 1
_BUFFER_LEN: Final = 1 << 18
_SOURCES: Final = ("bulk.py", "capture_file.py", "conversation.py", "flood.py", "frames.py", "web.py", "workloads.py")


@dataclass(frozen=True)
class Workload:
    """A kind of capture.

    Attributes:
        name: As on the command line.
        packets: Packets at scale 1.
        scales: Whether `--scale` and `--growth` apply.
        shows: What it stands for, in a few words.
    """

    name: str
    packets: int
    scales: bool
    shows: str


@dataclass(frozen=True)
class Generated:
    """What a generated file holds. `size` is in bytes."""

    workload: str
    packets: int
    connections: int
    size: int
    seed: int


WORKLOADS: Final = {
    workload.name: workload
    for workload in (
        Workload("web", 2_000_000, True, "many short connections, interleaved"),
        Workload("bulk", 2_000_000, True, "twenty long flows with loss and reordering"),
        Workload("flood", 3_000_000, True, "two million spoofed SYNs, half answered"),
        Workload("small", 100, False, "the first hundred packets of web: start-up time"),
    )
}


def generate(workload: str, packets: int, path: Path, *, seed: int = SEED, whole: bool = False) -> Generated:
    """Write a capture; the same arguments give the same bytes everywhere.

    Args:
        workload: A key of `WORKLOADS`.
        packets: How many; `bulk` may exceed it by a round of its flows.
        path: The file to write.
        seed: Decides everything.
        whole: `bulk` with every payload byte instead of 128 bytes a frame.

    Returns:
        What was written.
    """
    with path.open("wb", buffering=_BUFFER_LEN) as file, _no_cycle_search():
        if workload == "bulk":
            writer = CaptureWriter(file, snap_len=bulk.WHOLE_SNAP_LEN if whole else bulk.SNAP_LEN)
            connections = bulk.write_bulk(writer, seed, packets, whole=whole)
        elif workload == "flood":
            writer = CaptureWriter(file, snap_len=flood.SNAP_LEN, limit=packets)
            connections = flood.write_flood(writer, seed, packets)
        else:
            writer = CaptureWriter(file, snap_len=web.SNAP_LEN, limit=packets)
            connections = web.write_web(writer, seed)
        writer.finish()
    return Generated(workload, writer.packets, connections, writer.size, seed)


@contextmanager
def _no_cycle_search() -> Iterator[None]:
    """Millions of records without a cycle among them: do not let the collector look for one."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def cached_path(directory: Path, workload: str, packets: int, seed: int) -> Path:
    """Where the capture of this generator, size and seed is kept."""
    return directory / f"{workload}-{packets}-{seed}-{_fingerprint()}.pcap"


def write_note(generated: Generated, path: Path) -> None:
    """Keep beside a capture what it holds; written last, so that a note means a whole file."""
    path.with_suffix(".json").write_text(json.dumps(asdict(generated)), encoding="utf-8")


def read_note(path: Path) -> Generated | None:
    """What the capture at `path` holds, or None where it is not there or not whole."""
    note = path.with_suffix(".json")
    if not (path.exists() and note.exists()):
        return None
    return Generated(**json.loads(note.read_text(encoding="utf-8")))


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update(Path(__file__).with_name(name).read_bytes())
    return digest.hexdigest()[:8]
