"""Variants of classic pcap that only their records tell apart: they have the magic number of another one.

========================  ==========  ======================================================
variant                   magic       a record's header
========================  ==========  ======================================================
ordinary                  a1b2c3d4    16 bytes: time, captured length, length on the wire
Nokia's IPSO              a1b2c3d4    the same and 4 bytes
patch ss990417            a1b2c3d4    the same and 8: interface, protocol, packet type
(Red Hat 6.1)
patch ss991029            a1b2cd34    as ss990417
patch ss990915            a1b2cd34    as ss990417 and 4: two numbers of processors
(SuSE 6.3)
========================  ==========  ======================================================

A length of header that is not the file's own takes the second record's header from a wrong place, and finds a fraction
of a second above a million there, a time that is years away, or a length that no frame has. Wireshark does the same
(wiretap/libpcap.c).
"""

from __future__ import annotations

from typing import Final

from librt.strings import read_i32_be, read_i32_le
from mypy_extensions import i64

ORDINARY: Final = 16
MODIFIED: Final = 24
NOKIA: Final = 20
SS990417: Final = 24
SS990915: Final = 28
FILE_HEADER: Final = 24

FORMATS: Final[dict[tuple[int, int], str]] = {
    # (length of the header, that of the magic number's usual format): name
    (ORDINARY, ORDINARY): "pcap",
    (NOKIA, ORDINARY): "pcap (Nokia)",
    (SS990417, ORDINARY): "pcap (ss990417, Red Hat 6.1)",
    (MODIFIED, MODIFIED): "pcap",
    (SS990915, MODIFIED): "pcap (ss990915, SuSE 6.3)",
}

MICROSECONDS_PER_SECOND: Final = 1_000_000
LONGEST_FRAME: Final = 256 << 10
"""No writer of these variants made a longer record: Wireshark's limit for Ethernet."""
LONGEST_STEP_S: Final = 10 * 366 * 86_400
"""Seconds between the first record and another one of the same file."""
RECORDS_TRIED: Final = 8
M32: Final = 0xFFFF_FFFF

WHOLE: Final = 2
CUT: Final = 1
WRONG: Final = 0
VERDICTS: Final = 4

_ETHERNET: Final = 1
_ETHERTYPES: Final = (b"\x08\x00", b"\x86\xdd", b"\x08\x06", b"\x81\x00", b"\x88\xa8", b"\x88\x47", b"\x88\x64")


def record_header_bytes(data: bytes, big: bool, usual: int, link_type: i64) -> int:
    """The length of the records' headers.

    Args:
        data: the beginning of the file, with as many records as there are in it.
        big: big endian.
        usual: the length that a file with this magic number has as a rule, 16 or 24.
        link_type: what the file's header says.

    Returns:
        ``usual``, unless the first records contradict that and hold together for a variant.
    """
    judged: i64 = _judge(data, big, usual)
    if judged % VERDICTS == WHOLE:
        return usual
    variants = (SS990417, NOKIA) if usual == ORDINARY else (SS990915,)
    for header in variants:
        other: i64 = _judge(data, big, header)
        if other % VERDICTS != WHOLE:
            continue
        if judged % VERDICTS == WRONG:
            # Where more records hold together with the usual length, the file is damaged after them.
            if other > judged + VERDICTS:
                return header
        # A file that ends inside the header of its second record looks like a whole one with a longer header:
        # then the frame must begin where the variant has it.
        elif _begins_a_frame(data, FILE_HEADER + header, link_type) and not _begins_a_frame(
            data, FILE_HEADER + usual, link_type
        ):
            return header
    return usual


def _judge(data: bytes, big: bool, header: i64) -> i64:
    """How many of the first records hold together, times :data:`VERDICTS`, plus how they end.

    That is WHOLE at the last byte or after several records, CUT inside the first, or WRONG at one that cannot be right.
    """
    at: i64 = FILE_HEADER
    size: i64 = len(data)
    records: i64 = 0
    while records < RECORDS_TRIED:
        if at == size:
            return records * VERDICTS + WHOLE
        if at + header > size:
            return records * VERDICTS + (WHOLE if records > 1 else CUT)
        step_s: i64 = _number(data, at, big) - _number(data, FILE_HEADER, big)
        fraction: i64 = _number(data, at + 4, big)
        captured: i64 = _number(data, at + 8, big)
        is_near = -LONGEST_STEP_S < step_s < LONGEST_STEP_S
        if not is_near or fraction >= MICROSECONDS_PER_SECOND or captured > LONGEST_FRAME:
            return records * VERDICTS + WRONG
        at += header + captured
        if at > size:
            return records * VERDICTS + (WHOLE if records > 0 else CUT)
        records += 1
    return records * VERDICTS + WHOLE


def _number(data: bytes, at: i64, big: bool) -> i64:
    return i64(read_i32_be(data, at) if big else read_i32_le(data, at)) & M32


def _begins_a_frame(data: bytes, at: i64, link_type: i64) -> bool:
    """Whether an Ethernet frame of a common type begins here; of other links nothing is said."""
    return link_type == _ETHERNET and data[at + 12 : at + 14] in _ETHERTYPES
