"""What is known of a capture as a whole: where it came from, and how far its evidence can be trusted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable


def no_checksum() -> str:
    """In place of a checksum that was not taken."""
    return ""


@dataclasses.dataclass(frozen=True, slots=True)
class Undecoded:
    """Frames that were not decoded to a TCP segment although something should have been there.

    Attributes:
        layer: where decoding stopped, e.g. ``ipv4``.
        reason: why, e.g. ``truncated header``.
        count: how many frames.
        first_frame: the first of them.
    """

    layer: str
    reason: str
    count: int
    first_frame: int


@dataclasses.dataclass(frozen=True, slots=True)
class Capture:
    """Metadata and quality of one capture (or of a ring of files read as one).

    Attributes:
        paths: the inputs as named by the user; ``-`` is standard input.
        name: what a report calls it.
        size_bytes: bytes read, before decompression of the container; -1 unknown.
        format: ``pcap``, ``pcapng``, or what the pyshark engine read.
        reader: ``native`` or ``pyshark``.
        compiled: whether reader and tracker ran as compiled modules.
        link_types: names of the link types seen.
        frames: all frames in the capture, numbered as Wireshark numbers them.
        segments: TCP segments decoded.
        other: frames that are well understood and are not TCP (ARP, UDP, ...).
        first_ns, last_ns: earliest and latest time stamp, -1 without frames.
        snaplen: the smallest snap length declared, 0 unknown.
        cut_frames: frames captured shorter than they were on the wire.
        truncated: how the file ends early, "" when it does not.
        undecoded: what could not be decoded, by layer and reason.
        dropped: packets the capturing program says it lost, -1 where it does not say.
        clock_steps: how often a time stamp lies before its predecessor by more than reordering explains.
        first_clock_step_frame: the first such frame, 0 without.
        tunnels: names of the tunnels met; index 0 is "".
        evicted: connections let go because of the limit on open flows.
        notes: what else is to be known about how it was read, a sentence each.
        checksum: gives ``sha256``, and waits until it is known.
    """

    paths: tuple[str, ...]
    name: str
    size_bytes: int
    format: str
    reader: str
    compiled: bool
    link_types: tuple[str, ...]
    frames: int
    segments: int
    other: int
    first_ns: int
    last_ns: int
    snaplen: int
    cut_frames: int
    truncated: str
    undecoded: tuple[Undecoded, ...]
    dropped: int
    clock_steps: int
    first_clock_step_frame: int
    tunnels: tuple[str, ...] = ("",)
    evicted: int = 0
    notes: tuple[str, ...] = ()
    checksum: Callable[[], str] = no_checksum

    @property
    def sha256(self) -> str:
        """SHA-256 of the file's bytes in hexadecimal digits, "" where it was not taken."""
        return self.checksum()
