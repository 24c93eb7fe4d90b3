"""Workload `flood`: SYNs from spoofed addresses, half of them answered."""

import random
import struct
from typing import Final

from benchmarks.capture_file import CaptureWriter
from benchmarks.frames import ACK, SYN, Record, Sender, ethernet

SNAP_LEN: Final = 262_144

_START_US: Final = 1_700_000_000_000_000
_ANSWER_US: Final = 30
_SERVER_IP: Final = bytes([198, 51, 100, 5])
_SERVER_PORT: Final = 443
_WINDOW: Final = 64_240
_MSS_OPTION: Final = struct.pack("!BBH", 2, 4, 1460)
_SCATTER: Final = 0x9E37_79B9_7F4A_7C15  # odd: multiplying modulo 2**48 repeats no source
_SOURCES: Final = 1 << 48
_INWARD: Final = ethernet(bytes.fromhex("02005e000001"), bytes.fromhex("02005e000002"), ipv6=False)
_OUTWARD: Final = ethernet(bytes.fromhex("02005e000002"), bytes.fromhex("02005e000001"), ipv6=False)


def write_flood(writer: CaptureWriter, seed: int, packets: int) -> int:
    """Fill a capture with SYNs to one server; a SYN-ACK answers each with a chance of one half.

    Args:
        writer: Takes the packets; what exceeds its limit is a SYN-ACK.
        seed: Decides everything.
        packets: SYNs and SYN-ACKs together.

    Returns:
        The number of SYNs, each of a connection of its own.
    """
    rng = random.Random(seed)
    number = rng.getrandbits(47)
    time_us = _START_US
    syns = answers = 0
    while syns + answers < packets:
        number += 1
        address, port = divmod(number * _SCATTER % _SOURCES, 1 << 16)
        first_octet = address >> 24
        if port < 1024 or not 1 <= first_octet <= 223 or first_octet == 127:
            continue
        source = address.to_bytes(4, "big")
        seq = rng.getrandbits(32)
        attacker = Sender(_INWARD, source, _SERVER_IP, port, _SERVER_PORT, ttl=48, padded=True)
        records: list[Record] = [attacker.record(time_us, seq, 0, SYN, _WINDOW, _MSS_OPTION)]
        if rng.getrandbits(1):
            server = Sender(_OUTWARD, _SERVER_IP, source, _SERVER_PORT, port)
            isn = rng.getrandbits(32)
            answers += 1
            records.append(server.record(time_us + _ANSWER_US, isn, seq + 1, SYN | ACK, _WINDOW, _MSS_OPTION))
        syns += 1
        time_us += 1 + rng.getrandbits(3)
        writer.add(records, time_us)
    return syns
