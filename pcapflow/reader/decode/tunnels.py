"""Tunnels: what each carries is named by its EtherType, and comes round again in the walk through the frame.

To add one, write its header function, call it in :func:`tunnel_header` (or in ``_udp``, by its port), and list its
name in :data:`TUNNELS`. MPLS labels, and Ethernet in a tunnel, are stepped over here too; they are no networks of
their own and have no name.
"""

from __future__ import annotations

from typing import Final

from librt.strings import read_i16_be, read_i32_be
from mypy_extensions import i64

from pcapflow.reader.decode.decoder import NO_TUNNEL, Decoder
from pcapflow.reader.decode.link import LINKTYPE_ETHERNET, LINKTYPE_PPP, ethernet, ppp
from pcapflow.reader.decode.protocols import (
    DONE,
    ETHERTYPE_ERSPAN_2,
    ETHERTYPE_ERSPAN_3,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    ETHERTYPE_MPLS,
    ETHERTYPE_MPLS_MULTICAST,
    ETHERTYPE_PPPOE,
    ETHERTYPE_QINQ,
    ETHERTYPE_TRANSPARENT_ETHERNET,
    ETHERTYPE_VLAN,
    M16,
    M32,
    MIN_ETHERTYPE,
    PPP_IPV4,
    PPP_IPV6,
    PROTO_GRE,
    PROTO_IPIP,
    PROTO_IPV6,
    PROTO_UDP,
)

IP_IN_IP: Final = "ip-in-ip"
GRE: Final = "gre"
ERSPAN: Final = "erspan"
VXLAN: Final = "vxlan"
GENEVE: Final = "geneve"
GTPU: Final = "gtp-u"
PPPOE: Final = "pppoe"
L2TP: Final = "l2tp"
VXLAN_GPE: Final = "vxlan-gpe"
TUNNELS: Final = (NO_TUNNEL, IP_IN_IP, GRE, ERSPAN, VXLAN, GENEVE, GTPU, PPPOE, L2TP, VXLAN_GPE)
"""The names of all tunnels decoded here, and of none."""

PORT_L2TP: Final = 1701
PORT_GTPU: Final = 2152
PORT_VXLAN: Final = 4789
PORT_VXLAN_GPE: Final = 4790
PORT_GENEVE: Final = 6081

GTPU_T_PDU: Final = 255
MAX_GTPU_EXTENSIONS: Final = 8


def tunnel_header(decoder: Decoder, data: bytes, at: i64, end: i64, proto: i64) -> i64:
    """The header at ``at`` of what is neither IP nor a VLAN tag; what is no tunnel either is other traffic.

    Returns:
        As described in :mod:`pcapflow.reader.decode.protocols`.
    """
    if proto == PROTO_UDP:
        return _udp(decoder, data, at, end)
    if proto == PROTO_IPIP:
        decoder.enter_tunnel(IP_IN_IP)
        return ETHERTYPE_IPV4 << 16
    if proto == PROTO_IPV6:
        decoder.enter_tunnel(IP_IN_IP)
        return ETHERTYPE_IPV6 << 16
    if proto == PROTO_GRE:
        return _gre(decoder, data, at, end)
    if proto == ETHERTYPE_TRANSPARENT_ETHERNET:
        step: i64 = ethernet(data, at, end)
        if step < 0:
            decoder.skip_link(step, LINKTYPE_ETHERNET)
            return DONE
        return step
    if proto == ETHERTYPE_MPLS or proto == ETHERTYPE_MPLS_MULTICAST:
        return _mpls(decoder, data, at, end, proto)
    if proto == ETHERTYPE_PPPOE:
        return _pppoe(decoder, data, at, end)
    decoder.other += 1
    return DONE


def _udp(decoder: Decoder, data: bytes, at: i64, end: i64) -> i64:
    """Looks for a tunnel in a UDP datagram, by its ports."""
    if at + 8 > end:
        decoder.skip("udp", "truncated header")
        return DONE
    ports: i64 = i64(read_i32_be(data, at)) & M32
    source: i64 = ports >> 16
    destination: i64 = ports & M16
    if destination == PORT_VXLAN:
        return _vxlan(decoder, at, end)
    if destination == PORT_VXLAN_GPE:
        return _vxlan_gpe(decoder, data, at, end)
    if destination == PORT_GENEVE:
        return _geneve(decoder, data, at, end)
    if destination == PORT_GTPU or source == PORT_GTPU:
        return _gtpu(decoder, data, at, end)
    if destination == PORT_L2TP or source == PORT_L2TP:
        return _l2tp(decoder, data, at, end)
    decoder.other += 1
    return DONE


def _vxlan(decoder: Decoder, at: i64, end: i64) -> i64:
    """VXLAN (RFC 7348, 5): Ethernet behind 8 bytes."""
    if at + 16 > end:
        decoder.skip("vxlan", "truncated header")
        return DONE
    decoder.enter_tunnel(VXLAN)
    return ETHERTYPE_TRANSPARENT_ETHERNET << 16 | 16


def _vxlan_gpe(decoder: Decoder, data: bytes, at: i64, end: i64) -> i64:
    """VXLAN that names what it carries (draft-ietf-nvo3-vxlan-gpe-13, 3.1); NSH and others are not followed."""
    if at + 16 > end:
        decoder.skip("vxlan-gpe", "truncated header")
        return DONE
    following: i64 = i64(data[at + 11])
    if following == 1:
        proto: i64 = ETHERTYPE_IPV4
    elif following == 2:
        proto = ETHERTYPE_IPV6
    elif following == 3:
        proto = ETHERTYPE_TRANSPARENT_ETHERNET
    elif following == 5:
        proto = ETHERTYPE_MPLS
    else:
        decoder.other += 1
        return DONE
    decoder.enter_tunnel(VXLAN_GPE)
    return proto << 16 | 16


def _geneve(decoder: Decoder, data: bytes, at: i64, end: i64) -> i64:
    """Geneve (RFC 8926, 3.4): its options are stepped over."""
    if at + 16 > end:
        decoder.skip("geneve", "truncated header")
        return DONE
    options_len: i64 = (i64(data[at + 8]) & 0x3F) * 4
    proto: i64 = i64(read_i16_be(data, at + 10)) & M16
    decoder.enter_tunnel(GENEVE)
    return proto << 16 | (16 + options_len)


def _gtpu(decoder: Decoder, data: bytes, at: i64, end: i64) -> i64:
    """GTP-U version 1 (3GPP TS 29.281, 5.1): a T-PDU is an IP packet; everything else is signalling."""
    if at + 16 > end:
        decoder.skip("gtp-u", "truncated header")
        return DONE
    bits: i64 = i64(data[at + 8])
    if bits >> 4 != 3 or data[at + 9] != GTPU_T_PDU:
        decoder.other += 1
        return DONE
    advance: i64 = 16
    if bits & 7:
        advance = 20
        # Each extension header gives its length in units of four bytes and names the next in its last byte.
        for _ in range(MAX_GTPU_EXTENSIONS):
            if at + advance > end or not bits & 4 or data[at + advance - 1] == 0:
                break
            if at + advance + 1 > end or data[at + advance] == 0:
                decoder.skip("gtp-u", "bad extension header")
                return DONE
            advance += i64(data[at + advance]) * 4
    if at + advance + 1 > end:
        decoder.skip("gtp-u", "truncated packet")
        return DONE
    proto: i64 = _ip_by_version(data, at + advance)
    if proto < 0:
        decoder.other += 1
        return DONE
    decoder.enter_tunnel(GTPU)
    return proto << 16 | advance


def _l2tp(decoder: Decoder, data: bytes, at: i64, end: i64) -> i64:
    """L2TP version 2 (RFC 2661, 3.1): a data message carries PPP; control messages are signalling."""
    if at + 14 > end:
        decoder.skip("l2tp", "truncated header")
        return DONE
    bits: i64 = i64(read_i16_be(data, at + 8)) & M16
    if bits & 0x800F != 2:
        decoder.other += 1
        return DONE
    # Tunnel and session are always there; length, sequence numbers and padding where their bits say so.
    advance: i64 = 14
    if bits & 0x4000:
        advance += 2
    if bits & 0x0800:
        advance += 4
    if bits & 0x0200:
        if at + advance + 2 > end:
            decoder.skip("l2tp", "truncated header")
            return DONE
        advance += 2 + (i64(read_i16_be(data, at + advance)) & M16)
    step: i64 = ppp(data, at + advance, end)
    if step < 0:
        decoder.skip_link(step, LINKTYPE_PPP)
        return DONE
    advance += step & M16
    if advance > M16:
        decoder.skip("l2tp", "bad offset")
        return DONE
    decoder.enter_tunnel(L2TP)
    return (step >> 16) << 16 | advance


def _gre(decoder: Decoder, data: bytes, at: i64, end: i64) -> i64:
    """GRE (RFC 2784, 2890) with what it carries; ERSPAN headers are stepped over with it."""
    if at + 4 > end:
        decoder.skip("gre", "truncated header")
        return DONE
    word: i64 = i64(read_i32_be(data, at)) & M32
    proto: i64 = word & M16
    advance: i64 = 4
    if word & 0x8000_0000:
        advance += 4
    if word & 0x2000_0000:
        advance += 4
    if word & 0x1000_0000:
        advance += 4
    if proto == ETHERTYPE_ERSPAN_2:
        # Without a sequence number this is ERSPAN type I, which has no header of its own.
        if word & 0x1000_0000:
            advance += 8
        decoder.enter_tunnel(ERSPAN)
        return ETHERTYPE_TRANSPARENT_ETHERNET << 16 | advance
    if proto == ETHERTYPE_ERSPAN_3:
        if at + advance + 12 > end:
            decoder.skip("erspan", "truncated header")
            return DONE
        # Its last bit says whether a subheader of 8 bytes follows.
        advance += 20 if data[at + advance + 11] & 1 else 12
        decoder.enter_tunnel(ERSPAN)
        return ETHERTYPE_TRANSPARENT_ETHERNET << 16 | advance
    if word & 7 << 16 or proto < MIN_ETHERTYPE:
        decoder.other += 1
        return DONE
    decoder.enter_tunnel(GRE)
    return proto << 16 | advance


def _mpls(decoder: Decoder, data: bytes, at: i64, end: i64, proto: i64) -> i64:
    """One label (RFC 3032, 2.1): the last of a stack is followed by IP, or by Ethernet as the first nibble tells.

    A label is no network of its own: often only one direction of a connection bears any (RFC 3031, 3.16).
    """
    if at + 5 > end:
        decoder.skip("mpls", "truncated label")
        return DONE
    if not i64(read_i32_be(data, at)) & 0x100:
        return proto << 16 | 4
    ip: i64 = _ip_by_version(data, at + 4)
    if ip >= 0:
        return ip << 16 | 4
    control_word_len: i64 = _pseudowire(data, at + 4, end)
    if control_word_len < 0:
        decoder.other += 1
        return DONE
    return ETHERTYPE_TRANSPARENT_ETHERNET << 16 | (4 + control_word_len)


def _pppoe(decoder: Decoder, data: bytes, at: i64, end: i64) -> i64:
    """A PPPoE session packet (RFC 2516, 4 and 6); PPP's own protocols are signalling."""
    if at + 8 > end:
        decoder.skip("pppoe", "truncated header")
        return DONE
    decoder.enter_tunnel(PPPOE)
    protocol: i64 = i64(read_i16_be(data, at + 6)) & M16
    if protocol == PPP_IPV4:
        return ETHERTYPE_IPV4 << 16 | 8
    if protocol == PPP_IPV6:
        return ETHERTYPE_IPV6 << 16 | 8
    decoder.other += 1
    return DONE


def _ip_by_version(data: bytes, at: i64) -> i64:
    """The EtherType of an IP packet that nothing names, by its first nibble; -1 where it is none."""
    version: i64 = i64(data[at]) >> 4
    if version == 4:
        return ETHERTYPE_IPV4
    if version == 6:
        return ETHERTYPE_IPV6
    return -1


def _pseudowire(data: bytes, at: i64, end: i64) -> i64:
    """Ethernet below an MPLS label, with a control word of 4 bytes or without (RFC 4448): no label tells which.

    Returns:
        How far the Ethernet header is, -1 where nothing looks like one.
    """
    if at + 18 <= end and i64(data[at]) >> 4 == 0 and _carries_ip(i64(read_i16_be(data, at + 16)) & M16):
        return 4
    if at + 14 <= end and _carries_ip(i64(read_i16_be(data, at + 12)) & M16):
        return 0
    return -1


def _carries_ip(ethertype: i64) -> bool:
    return (
        ethertype == ETHERTYPE_IPV4
        or ethertype == ETHERTYPE_IPV6
        or ethertype == ETHERTYPE_VLAN
        or ethertype == ETHERTYPE_QINQ
    )
