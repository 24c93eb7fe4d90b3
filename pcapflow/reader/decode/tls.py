"""The one thing that is looked at in a payload: whether a segment carries a TLS alert alone, as a close_notify does.

Source: RFC 8446, 5.1, 5.2 and 6; RFC 5246, 6.2 and 7.2.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from pcapflow.reader.segment_batch import CUT_ALERT, TLS_ALERT

RECORD_HEADER_BYTES: Final = 5
LONGEST_ALERT_BYTES: Final = 85
"""A record of TLS 1.2 with an encrypted alert: header, a block as initialization vector, and alert, SHA-384 and padding
in four blocks of sixteen bytes."""

ALERT: Final = 21
APPLICATION_DATA: Final = 23
MAJOR_VERSION: Final = 3

_ALERT_OF_TLS_1_3: Final = 19
"""Where TLS 1.3 hides the type: level, description and type, and a tag of sixteen bytes (of eight in CCM_8)."""
_ALERT_OF_TLS_1_3_CCM_8: Final = 11


def alert_facts(data: bytes, at: i64, end: i64, payload_len: i64) -> i64:
    """What a short payload adds to the facts about its segment: :data:`TLS_ALERT`, :data:`CUT_ALERT`, or nothing.

    Args:
        data: holds the payload.
        at: where it begins.
        end: offset after the last captured byte.
        payload_len: its bytes on the wire, at most :data:`LONGEST_ALERT_BYTES`.
    """
    record_len: i64 = payload_len - RECORD_HEADER_BYTES
    if record_len < 2:
        return 0
    if at + RECORD_HEADER_BYTES > end:
        return CUT_ALERT
    if data[at + 1] != MAJOR_VERSION or i64(data[at + 3]) << 8 | i64(data[at + 4]) != record_len:
        return 0
    kind: i64 = i64(data[at])
    hidden = record_len == _ALERT_OF_TLS_1_3 or record_len == _ALERT_OF_TLS_1_3_CCM_8
    return TLS_ALERT if kind == ALERT or (kind == APPLICATION_DATA and hidden) else 0
