"""Small captures with a known story, for tests of what comes after the engine."""

from __future__ import annotations

from pathlib import Path

from fixtures.frames import ACK, FIN, PSH, RST, SYN, Segment, ethernet, tcp_packet, write_pcap

START_NS = 1_767_322_800_000_000_000  # 2026-01-02 03:00:00 UTC
CLIENT_IP, SERVER_IP = "192.0.2.1", "198.51.100.7"
_MAC_A, _MAC_B = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
_ISN = (1000, 5000)

Line = tuple[int, str, int, int, int, bytes]
"""Milliseconds, direction, flags, relative sequence number, relative acknowledgement, payload."""

HANDSHAKE: list[Line] = [
    (0, ">", SYN, 0, 0, b""),
    (1, "<", SYN | ACK, 0, 1, b""),
    (2, ">", ACK, 1, 1, b""),
]
EXCHANGE: list[Line] = [
    (3, ">", PSH | ACK, 1, 1, b"hello"),
    (4, "<", PSH | ACK, 1, 6, b"world"),
    (5, ">", ACK, 6, 6, b""),
]
CLOSED: list[Line] = [
    *HANDSHAKE,
    *EXCHANGE,
    (10, ">", FIN | ACK, 6, 6, b""),
    (11, "<", ACK, 6, 7, b""),
    (12, "<", FIN | ACK, 6, 7, b""),
    (13, ">", ACK, 7, 7, b""),
]
"""Opened, used, and closed by the client in four segments: nothing to report."""
REFUSED: list[Line] = [
    (0, ">", SYN, 0, 0, b""),
    (1, "<", RST | ACK, -5000, 1, b""),
]
"""A SYN answered by a RST: PF102."""
NO_FINAL_ACK: list[Line] = [
    *HANDSHAKE,
    *EXCHANGE,
    (10, ">", FIN | ACK, 6, 6, b""),
    (11, "<", ACK, 6, 7, b""),
    (12, "<", FIN | ACK, 6, 7, b""),
    (220, "<", FIN | ACK, 6, 7, b""),
    (640, "<", FIN | ACK, 6, 7, b""),
    (1480, "<", FIN | ACK, 6, 7, b""),
]
"""The server's FIN is sent four times and never acknowledged: PF201."""


def records(lines: list[Line], *, port: int = 40000, after_ms: int = 0) -> list[tuple[int, bytes]]:
    """Frames of one connection between the two hosts; ``port`` is the client's."""
    frames = []
    for ms, direction, flags, seq, ack, payload in lines:
        up = direction == ">"
        segment = Segment(
            src=CLIENT_IP if up else SERVER_IP,
            dst=SERVER_IP if up else CLIENT_IP,
            sport=port if up else 80,
            dport=80 if up else port,
            seq=_ISN[not up] + seq,
            ack=_ISN[up] + ack if flags & ACK else 0,
            flags=flags,
            window=64240,
            payload=payload,
        )
        macs = (_MAC_A, _MAC_B) if up else (_MAC_B, _MAC_A)
        frames.append((START_NS + (after_ms + ms) * 1_000_000, ethernet(tcp_packet(segment), *macs)))
    return frames


def capture(path: Path, *connections: list[Line]) -> Path:
    """Writes a capture of these connections one after another, two seconds apart; returns its path."""
    written: list[tuple[int, bytes]] = []
    for number, lines in enumerate(connections):
        written += records(lines, port=40000 + number, after_ms=2000 * number)
    write_pcap(path, written)
    return path
