"""Frames of one TCP endpoint: Ethernet, an optional VLAN tag, IPv4 or IPv6, TCP."""

import struct
from typing import Final, NamedTuple

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
PSH: Final = 0x08
ACK: Final = 0x10

SEQ_MASK: Final = 0xFFFF_FFFF

_IPV4_TCP: Final = struct.Struct("!BBHHHBBH4s4sHHIIHHHH")
_IPV6_TCP: Final = struct.Struct("!IHBB16s16sHHIIHHHH")
_VERSION_AND_HEADER_LEN: Final = 0x45
_DONT_FRAGMENT: Final = 0x4000
_PROTOCOL_TCP: Final = 6
_TCP_HEADER_LEN: Final = 20
_MIN_ETHERNET_LEN: Final = 60
_TIMESTAMP_HEAD: Final = 0x0101_080A  # two NOPs, kind 8, length 10
_TIMESTAMP: Final = struct.Struct("!III")


class Record(NamedTuple):
    """One captured frame, ordered by time.

    Attributes:
        time_us: Microseconds since the epoch.
        frame: The bytes that the capture holds.
        wire_len: Length in bytes the frame had on the wire.
    """

    time_us: int
    frame: bytes
    wire_len: int


def ethernet(src: bytes, dst: bytes, *, ipv6: bool, vlan: int | None = None) -> bytes:
    """Ethernet II header, 14 bytes, or 18 with one 802.1Q tag."""
    ethertype = 0x86DD if ipv6 else 0x0800
    if vlan is None:
        return dst + src + struct.pack("!H", ethertype)
    return dst + src + struct.pack("!HHH", 0x8100, vlan, ethertype)


def timestamp_option(value: int, echo: int) -> bytes:
    """RFC 7323 time stamps, padded to 12 bytes as common stacks send them."""
    return _TIMESTAMP.pack(_TIMESTAMP_HEAD, value & SEQ_MASK, echo & SEQ_MASK)


def syn_options(mss: int, window_scale: int, timestamps: tuple[int, int] | None) -> bytes:
    """Options of a SYN in Linux's order.

    Args:
        mss: Maximum segment size in bytes.
        window_scale: Shift count.
        timestamps: Value and echo, or None for an endpoint without them.

    Returns:
        20 bytes with time stamps, 12 without: MSS, SACK permitted, time stamps, window scale.
    """
    head = struct.pack("!BBH", 2, 4, mss)
    scale = struct.pack("!BBBB", 1, 3, 3, window_scale)
    if timestamps is None:
        return head + b"\x01\x01\x04\x02" + scale
    value, echo = timestamps
    return head + struct.pack("!BBBBII", 4, 2, 8, 10, value & SEQ_MASK, echo & SEQ_MASK) + scale


class Sender:
    """Builds what one endpoint puts on the wire.

    The IPv4 header checksum is right. The TCP checksum is left 0, as on a sender whose network
    card fills it in.
    """

    __slots__ = ("_dport", "_dst", "_ident", "_ipv6", "_link", "_padded", "_sport", "_src", "_sum", "_ttl")

    def __init__(
        self, link: bytes, src: bytes, dst: bytes, sport: int, dport: int, *, ttl: int = 64, padded: bool = False
    ) -> None:
        """Fix what does not change from frame to frame.

        Args:
            link: Link-layer header, from `ethernet`.
            src: 4 or 16 bytes.
            dst: As long as `src`.
            sport: Source port.
            dport: Destination port.
            ttl: Time to live, or hop limit.
            padded: Fill short frames to Ethernet's minimum, as a capture sees them on arrival.
        """
        self._link = link
        self._src = src
        self._dst = dst
        self._sport = sport
        self._dport = dport
        self._ttl = ttl
        self._padded = padded
        self._ipv6 = len(src) == 16
        self._ident = (sport * 257 + src[-1]) & 0xFFFF
        self._sum = 0
        if not self._ipv6:
            words = struct.unpack("!4H", src + dst)
            self._sum = (_VERSION_AND_HEADER_LEN << 8) + _DONT_FRAGMENT + (ttl << 8) + _PROTOCOL_TCP + sum(words)

    def record(
        self,
        time_us: int,
        seq: int,
        ack: int,
        flags: int,
        window: int,
        options: bytes = b"",
        payload: bytes = b"",
        payload_len: int | None = None,
    ) -> Record:
        """One segment.

        Args:
            time_us: When it passes the tap.
            seq: Sequence number; wraps here.
            ack: Acknowledgment number; wraps here.
            flags: TCP flags.
            window: As on the wire, not scaled.
            options: TCP options, a multiple of 4 bytes.
            payload: The payload that is captured.
            payload_len: Length of the payload on the wire where it is more than was captured.
        """
        on_wire = len(payload) if payload_len is None else payload_len
        tcp_len = _TCP_HEADER_LEN + len(options) + on_wire
        offset_flags = (5 + (len(options) >> 2)) << 12 | flags
        if self._ipv6:
            header = _IPV6_TCP.pack(
                0x6000_0000, tcp_len, _PROTOCOL_TCP, self._ttl, self._src, self._dst,
                self._sport, self._dport, seq & SEQ_MASK, ack & SEQ_MASK, offset_flags, window, 0, 0,
            )  # fmt: skip
        else:
            total_len = tcp_len + 20
            self._ident = ident = (self._ident + 1) & 0xFFFF
            total = self._sum + total_len + ident
            total = (total & 0xFFFF) + (total >> 16)
            header = _IPV4_TCP.pack(
                _VERSION_AND_HEADER_LEN, 0, total_len, ident, _DONT_FRAGMENT, self._ttl, _PROTOCOL_TCP,
                ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF, self._src, self._dst,
                self._sport, self._dport, seq & SEQ_MASK, ack & SEQ_MASK, offset_flags, window, 0, 0,
            )  # fmt: skip
        frame = self._link + header + options + payload
        wire_len = len(frame) - len(payload) + on_wire
        if self._padded and wire_len < _MIN_ETHERNET_LEN:
            frame = frame.ljust(_MIN_ETHERNET_LEN, b"\0")
            wire_len = _MIN_ETHERNET_LEN
        return Record(time_us, frame, wire_len)
