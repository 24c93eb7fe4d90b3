"""A segment that carries a TLS alert alone: the one thing that is looked at in a payload."""

from __future__ import annotations

import struct

import pytest

from pcapflow.reader.decode.tls import LONGEST_ALERT_BYTES
from pcapflow.reader.segment_batch import CUT_ALERT, TLS_ALERT
from tests.reader.frames import ethernet, ipv4, one, tcp

HEADERS = 14 + 20 + 20


def record(kind: int, length: int, *, version: int = 0x0303, more: bytes = b"") -> bytes:
    """A TLS record whose body is of no interest."""
    return struct.pack("!BHH", kind, version, length) + bytes(length) + more


def facts(payload: bytes, *, snaplen: int = 65_535, options: bytes = b"") -> int:
    """What is said of a segment with this payload."""
    row = one(ethernet(ipv4(tcp(payload, options=options))), snaplen=snaplen)
    return row.flags & (TLS_ALERT | CUT_ALERT)


@pytest.mark.parametrize(
    "payload",
    [
        record(21, 2, version=0x0301),
        record(21, 26),
        record(21, 80),
        record(23, 19),
        record(23, 11),
    ],
    ids=["plain", "AES-GCM", "AES-CBC with SHA-384", "TLS 1.3", "TLS 1.3 with CCM_8"],
)
@pytest.mark.parametrize("options", [b"", b"\x01\x01\x08\x0a" + bytes(8), b"\x01\x01\x05\x0a" + bytes(8)])
def test_an_alert_is_known_by_its_record(payload: bytes, options: bytes) -> None:
    assert facts(payload, options=options) == TLS_ALERT


@pytest.mark.parametrize(
    "payload",
    [
        b"SELECT 1 + 1;\n",
        record(23, 20),
        record(22, 2),
        record(21, 2, version=0x0203),
        record(21, 2, more=b"x"),
        record(21, 2)[:-1],
        record(21, 81),
        b"\x15\x03\x03",
    ],
    ids=["SQL", "data", "handshake", "no TLS", "more than it", "less than it", "longer than any", "no header"],
)
def test_other_words_are_no_alert(payload: bytes) -> None:
    assert facts(payload) == 0


def test_what_the_snap_length_cut_off_may_be_one() -> None:
    assert facts(record(21, 26), snaplen=HEADERS + 5) == TLS_ALERT
    assert facts(record(21, 26), snaplen=HEADERS + 4) == CUT_ALERT
    assert facts(b"SELECT 1 + 1;\n", snaplen=HEADERS) == CUT_ALERT
    assert facts(bytes(LONGEST_ALERT_BYTES + 1), snaplen=HEADERS) == 0
    assert facts(b"quit\r\n", snaplen=HEADERS) == 0


def test_padding_of_the_frame_is_no_payload() -> None:
    assert one(ethernet(ipv4(tcp(b""))) + record(21, 2)).flags & (TLS_ALERT | CUT_ALERT) == 0
