"""Single segments of a few chosen connections, as a second pass over the capture collects them for a ladder."""

from __future__ import annotations

from typing import NamedTuple


class Segment(NamedTuple):
    """One TCP segment, in numbers relative to its connection.

    Attributes:
        frame: its number in the capture, from 1.
        time_ns: its time stamp, nanoseconds since the epoch.
        endpoint: who sent it, 0 client or 1 server.
        flags: the low eight flag bits of the header.
        rel_seq: sequence number relative to the sender's SYN, which is 0.
        rel_ack: acknowledged number relative to the peer's SYN; -1 where the segment carries none.
        payload_len: bytes of payload on the wire.
        window: the window field as sent, before scaling.
    """

    frame: int
    time_ns: int
    endpoint: int
    flags: int
    rel_seq: int
    rel_ack: int
    payload_len: int
    window: int
