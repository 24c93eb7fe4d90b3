"""Many captures in one, so that one run of tshark judges them all: starting it takes longer than most captures.

Each capture's addresses are moved to a range of their own, so that connections of two captures do not meet (where a
tunnel carries the same ones, they meet for both programs). Neither looks at checksums here: nothing else has to change.
"""

from __future__ import annotations

import gzip
import struct
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from fixtures.frames import ETHERTYPE_IPV4, ETHERTYPE_IPV6, write_pcap

CORPUS: Final = Path(__file__).parents[2] / "shared" / "corpus"
MAX_BYTES: Final = 1_000_000
"""Larger captures are left out."""

_MAGICS: Final = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
_ETHERNET: Final = 1
_VLAN: Final = {0x8100, 0x88A8}


def sample(step: int) -> list[Path]:
    """Every ``step``-th capture of the corpus that is not too large; none where the corpus is absent."""
    found = (path for path in CORPUS.rglob("*") if path.suffix in {".pcap", ".cap"} and path.is_file())
    return sorted(path for path in found if path.stat().st_size < MAX_BYTES)[::step]


def merge(captures: Iterable[Path], out: Path) -> int:
    """Writes the Ethernet frames of classic pcap files one after another; returns how many files had any."""
    merged: list[tuple[int, bytes]] = []
    used = 0
    for path in captures:
        records = list(_records(path.read_bytes()))
        if records:
            used += 1
            merged += [(time_ns, _moved(frame, used)) for time_ns, frame in records]
    write_pcap(out, merged)
    return used


def fields(tshark: str, capture: Path, names: Sequence[str], *, passes: int = 1) -> Iterator[list[str]]:
    """The named fields of every frame with a TCP segment, by tshark in one or two passes; several are joined by ``;``.

    In two passes it shows in every frame what it knows at the end of the capture.
    """
    command = [tshark, "-n", "-r", str(capture), "-Y", "tcp", "-T", "fields"]
    command += ["-E", "occurrence=a", "-E", "aggregator=;"]
    command += ["-2"] if passes == 2 else []
    for name in names:
        command += ["-e", name]
    done = subprocess.run(command, capture_output=True, check=True, timeout=300)
    for line in done.stdout.decode(errors="replace").splitlines():
        yield line.split("\t")


def _records(data: bytes) -> Iterator[tuple[int, bytes]]:
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    if data[:4] not in _MAGICS or len(data) < 24:
        return
    order, unit_ns = _MAGICS[data[:4]]
    if struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF != _ETHERNET:
        return
    start = 24
    while start + 16 <= len(data):
        seconds, fraction, captured, original = struct.unpack_from(order + "IIII", data, start)
        frame = data[start + 16 : start + 16 + captured]
        if len(frame) < captured:
            return
        # A frame that was cut short is filled up: the merged file has one snap length.
        yield seconds * 1_000_000_000 + fraction * unit_ns, frame.ljust(min(original, 262_144), b"\0")
        start += 16 + captured


def _moved(frame: bytes, number: int) -> bytes:
    """The frame with the first two bytes of both addresses turned by the capture's number."""
    at = 12
    while len(frame) >= at + 6 and int.from_bytes(frame[at : at + 2], "big") in _VLAN:
        at += 4
    ethertype = int.from_bytes(frame[at : at + 2], "big")
    if ethertype == ETHERTYPE_IPV4:
        starts, end = (at + 14, at + 18), at + 22
    elif ethertype == ETHERTYPE_IPV6:
        starts, end = (at + 10, at + 26), at + 42
    else:
        return frame
    if len(frame) < end:
        return frame
    moved = bytearray(frame)
    for start in starts:
        moved[start] ^= number >> 8
        moved[start + 1] ^= number & 0xFF
    return bytes(moved)
