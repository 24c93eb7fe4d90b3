"""Link layers: which protocol a frame of each link type carries, and how long its link header is.

To add one, and nothing outside this file:

1. give its number a name: it is that of the registry at https://www.tcpdump.org/linktypes.html;
2. list the number in :data:`LINK_TYPES`, with the registry's name;
3. write its header function, and call it for the number in :func:`link_header`.

A header function gets the frame as ``data[at:end]`` and returns ``EtherType << 16 | header length``, or one of the
negative codes below; it reads nothing at ``end`` or after. An example frame belongs in the test of link layers.
"""

from __future__ import annotations

from typing import Final

from librt.strings import read_i16_be, read_i32_be, read_i32_le, read_i64_be
from mypy_extensions import i64

from pcapflow.reader.decode.protocols import ETHERTYPE_IPV4, ETHERTYPE_IPV6, M16, MIN_ETHERTYPE, PPP_IPV4, PPP_IPV6

TRUNCATED: Final = -1
UNKNOWN_LINK_TYPE: Final = -2
ETHERTYPE_NOT_IP: Final = -3
"""Understood, and nothing that could carry TCP."""

LINKTYPE_NULL: Final = 0
LINKTYPE_ETHERNET: Final = 1
LINKTYPE_PPP: Final = 9
LINKTYPE_RAW_OF_BSD: Final = 12
LINKTYPE_RAW_OF_OPENBSD: Final = 14
LINKTYPE_PPP_HDLC: Final = 50
LINKTYPE_RAW: Final = 101
LINKTYPE_C_HDLC: Final = 104
LINKTYPE_LOOP: Final = 108
LINKTYPE_LINUX_SLL: Final = 113
LINKTYPE_IPV4: Final = 228
LINKTYPE_IPV6: Final = 229
LINKTYPE_LINUX_SLL2: Final = 276

LINK_TYPES: Final[dict[int, str]] = {
    LINKTYPE_NULL: "NULL",
    LINKTYPE_ETHERNET: "ETHERNET",
    LINKTYPE_PPP: "PPP",
    LINKTYPE_RAW_OF_BSD: "RAW",
    LINKTYPE_RAW_OF_OPENBSD: "RAW",
    LINKTYPE_PPP_HDLC: "PPP_HDLC",
    LINKTYPE_RAW: "RAW",
    LINKTYPE_C_HDLC: "C_HDLC",
    LINKTYPE_LOOP: "LOOP",
    LINKTYPE_LINUX_SLL: "LINUX_SLL",
    LINKTYPE_IPV4: "IPV4",
    LINKTYPE_IPV6: "IPV6",
    LINKTYPE_LINUX_SLL2: "LINUX_SLL2",
}
"""Every link type decoded here, with its name; BSDs write numbers of their own for RAW."""


def link_header(data: bytes, at: i64, end: i64, link_type: i64) -> i64:
    """The header of a frame of any known link type."""
    if link_type == LINKTYPE_ETHERNET:
        return ethernet(data, at, end)
    if link_type == LINKTYPE_LINUX_SLL:
        return _linux_sll(data, at, end)
    if link_type == LINKTYPE_LINUX_SLL2:
        return _linux_sll2(data, at, end)
    if link_type == LINKTYPE_RAW or link_type == LINKTYPE_RAW_OF_BSD or link_type == LINKTYPE_RAW_OF_OPENBSD:
        return _raw(data, at, end)
    if link_type == LINKTYPE_IPV4:
        return ETHERTYPE_IPV4 << 16
    if link_type == LINKTYPE_IPV6:
        return ETHERTYPE_IPV6 << 16
    if link_type == LINKTYPE_NULL or link_type == LINKTYPE_LOOP:
        return _loopback(data, at, end)
    if link_type == LINKTYPE_PPP or link_type == LINKTYPE_PPP_HDLC:
        return ppp(data, at, end)
    if link_type == LINKTYPE_C_HDLC:
        return _c_hdlc(data, at, end)
    return UNKNOWN_LINK_TYPE


def ethernet(data: bytes, at: i64, end: i64) -> i64:
    """Ethernet II, and IEEE 802.3 with LLC and SNAP (RFC 1042)."""
    if at + 14 > end:
        return TRUNCATED
    ethertype: i64 = read_i64_be(data, at + 6) & M16
    if ethertype >= MIN_ETHERTYPE:
        return ethertype << 16 | 14
    return _llc(data, at + 14, end, 14)


def _llc(data: bytes, at: i64, end: i64, header_len: i64) -> i64:
    """LLC at ``at``: followed by SNAP with an EtherType, or nothing that carries IP."""
    if at + 8 > end or i64(read_i32_be(data, at)) & 0xFFFF_FF00 != 0xAAAA_0300:
        return ETHERTYPE_NOT_IP
    protocol: i64 = i64(read_i16_be(data, at + 6)) & M16
    return protocol << 16 | (header_len + 8) if protocol >= MIN_ETHERTYPE else ETHERTYPE_NOT_IP


def _linux_sll(data: bytes, at: i64, end: i64) -> i64:
    """LINKTYPE_LINUX_SLL (``tcpdump -i any``): 16 bytes, the protocol last; 4 stands for LLC."""
    if at + 16 > end:
        return TRUNCATED
    protocol: i64 = i64(read_i16_be(data, at + 14)) & M16
    if protocol == 4:
        return _llc(data, at + 16, end, 16)
    return protocol << 16 | 16 if protocol >= MIN_ETHERTYPE else ETHERTYPE_NOT_IP


def _linux_sll2(data: bytes, at: i64, end: i64) -> i64:
    """LINKTYPE_LINUX_SLL2: 20 bytes, the protocol first."""
    if at + 20 > end:
        return TRUNCATED
    protocol: i64 = i64(read_i16_be(data, at)) & M16
    if protocol == 4:
        return _llc(data, at + 20, end, 20)
    return protocol << 16 | 20 if protocol >= MIN_ETHERTYPE else ETHERTYPE_NOT_IP


def _raw(data: bytes, at: i64, end: i64) -> i64:
    """LINKTYPE_RAW: no header; the IP version nibble tells."""
    if at >= end:
        return TRUNCATED
    version: i64 = i64(data[at]) >> 4
    if version == 4:
        return ETHERTYPE_IPV4 << 16
    if version == 6:
        return ETHERTYPE_IPV6 << 16
    return ETHERTYPE_NOT_IP


def _loopback(data: bytes, at: i64, end: i64) -> i64:
    """LINKTYPE_NULL and LINKTYPE_LOOP: four bytes of address family, in the byte order of whoever captured."""
    if at + 4 > end:
        return TRUNCATED
    family: i64 = i64(read_i32_be(data, at))
    if family & 0xFFFF_0000:
        family = i64(read_i32_le(data, at))
    if family == 2:
        return ETHERTYPE_IPV4 << 16 | 4
    # AF_INET6 is 10 on Linux, 24 on NetBSD and OpenBSD, 28 on FreeBSD, 30 on macOS.
    if family == 24 or family == 28 or family == 30 or family == 10:
        return ETHERTYPE_IPV6 << 16 | 4
    return ETHERTYPE_NOT_IP


def _c_hdlc(data: bytes, at: i64, end: i64) -> i64:
    """Cisco HDLC: address and control, then an EtherType."""
    if at + 4 > end:
        return TRUNCATED
    protocol: i64 = i64(read_i16_be(data, at + 2)) & M16
    return protocol << 16 | 4 if protocol >= MIN_ETHERTYPE else ETHERTYPE_NOT_IP


def ppp(data: bytes, at: i64, end: i64) -> i64:
    """PPP (RFC 1661), with or without the address and control bytes of RFC 1662; the protocol may be one byte."""
    if at + 4 > end:
        return TRUNCATED
    header_len: i64 = 0
    if i64(read_i16_be(data, at)) & M16 == 0xFF03:
        header_len = 2
    protocol: i64 = i64(data[at + header_len])
    if protocol & 1:
        # Protocol field compression (RFC 1661, 6.5): an odd first byte is the whole number.
        header_len += 1
    else:
        protocol = protocol << 8 | i64(data[at + header_len + 1])
        header_len += 2
    if protocol == PPP_IPV4:
        return ETHERTYPE_IPV4 << 16 | header_len
    if protocol == PPP_IPV6:
        return ETHERTYPE_IPV6 << 16 | header_len
    return ETHERTYPE_NOT_IP
