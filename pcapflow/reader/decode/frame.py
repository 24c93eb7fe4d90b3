"""Frames in, TCP segments out: link layers, tags and tunnels, IP, TCP, from bytes to a row of a batch.

The walk is one loop over protocol numbers: every header says which protocol follows, and tunnels simply come round
again. Protocols are named by their EtherType; those that have none (an IP payload) are named by their IP protocol
number. To add a link layer, add it to :mod:`pcapflow.reader.decode.link`; to add a tunnel, add a branch to
:meth:`Decoder.frame`.

Captures are hostile input. No header is read beyond the captured end of its frame, the number of headers in one frame
is bounded, and what cannot be decoded is counted by layer and reason.
"""

from __future__ import annotations

from typing import Final, final

from librt.strings import read_i16_be, read_i32_be, read_i64_be
from mypy_extensions import i64

from pcapflow.reader.decode.fragments import Fragments
from pcapflow.reader.decode.link import (
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    ETHERTYPE_NOT_IP,
    LINKTYPE_ETHERNET,
    LINKTYPE_PPP,
    ethernet,
    link_header,
    ppp,
)
from pcapflow.reader.segment_batch import (
    COL_ACK,
    COL_DST_HI,
    COL_DST_LO,
    COL_FLAGS,
    COL_FRAME,
    COL_IP_ID,
    COL_PAYLOAD_LEN,
    COL_PORTS,
    COL_SACK_LEFT,
    COL_SACK_RIGHT,
    COL_SEQ,
    COL_SRC_HI,
    COL_SRC_LO,
    COL_SYN_OPTIONS,
    COL_TIME_NS,
    COL_TSECR,
    COL_TSVAL,
    COL_TTL,
    COL_TUNNEL,
    COL_VLAN,
    COL_WINDOW,
    COLUMNS,
    CUT_OPTIONS,
    ICMP_QUOTE,
    IS_IPV6,
    Batch,
)
from pcapflow.tcp.flags import TCP_FLAGS

MAX_HEADERS: Final = 32
"""Headers walked in one frame, extension headers and tunnels included; real traffic stays below ten."""
MAX_REASONS: Final = 256
"""Distinct reasons kept for undecoded frames; hostile input could otherwise invent them without end."""

M16: Final = 0xFFFF
M32: Final = 0xFFFF_FFFF

PROTO_ICMP: Final = 1
PROTO_IPIP: Final = 4
PROTO_TCP: Final = 6
PROTO_UDP: Final = 17
PROTO_IPV6: Final = 41
PROTO_GRE: Final = 47
PROTO_ICMPV6: Final = 58

ETHERTYPE_VLAN: Final = 0x8100
ETHERTYPE_QINQ: Final = 0x88A8
ETHERTYPE_OLD_QINQ: Final = 0x9100
ETHERTYPE_MPLS: Final = 0x8847
ETHERTYPE_MPLS_MULTICAST: Final = 0x8848
ETHERTYPE_PPPOE: Final = 0x8864
ETHERTYPE_TRANSPARENT_ETHERNET: Final = 0x6558
ETHERTYPE_ERSPAN_2: Final = 0x88BE
ETHERTYPE_ERSPAN_3: Final = 0x22EB

PORT_VXLAN: Final = 4789
PORT_VXLAN_GPE: Final = 4790
PORT_GENEVE: Final = 6081
PORT_GTPU: Final = 2152
PORT_L2TP: Final = 1701

NO_TUNNEL: Final = 0
TUNNELS: Final = ("", "ip-in-ip", "gre", "erspan", "vxlan", "geneve", "gtp-u", "pppoe", "l2tp", "vxlan-gpe")
_IPIP: Final = 1
_GRE: Final = 2
_ERSPAN: Final = 3
_VXLAN: Final = 4
_GENEVE: Final = 5
_GTPU: Final = 6
_PPPOE: Final = 7
_L2TP: Final = 8
_VXLAN_GPE: Final = 9


@final
class Decoder:
    """Decodes the frames of one capture; keeps what spans frames: fragments, tunnels, counts.

    Attributes:
        frames: frames given so far; the number of the newest.
        segments: TCP segments written to batches.
        other: frames understood as something other than TCP.
        skips: ``(layer, reason)`` to ``[count, first frame]`` of what could not be decoded.
        tunnels: names of the tunnels met, ``""`` first; a segment's ``tunnel`` indexes it.
    """

    def __init__(self) -> None:
        self.frames: i64 = 0
        self.segments: i64 = 0
        self.other: i64 = 0
        self.skips: dict[tuple[str, str], list[int]] = {}
        self.tunnels: list[str] = [""]
        self._tunnel_ids: dict[str, int] = {"": 0}
        self._fragments = Fragments()

    def frame(
        self, data: bytes, start: i64, end: i64, wire_len: i64, link_type: i64, time_ns: i64, batch: Batch
    ) -> None:
        """Decodes one frame and appends its TCP segment, if it has one, to the batch.

        Args:
            data: a buffer that holds the frame, and others.
            start: offset of the frame's first byte.
            end: offset after its last captured byte.
            wire_len: its length on the wire, at least ``end - start``.
            link_type: LINKTYPE number of its interface.
            time_ns: its time stamp.
            batch: where the segment goes; it must have room for one.
        """
        self.frames += 1
        at: i64 = start
        # Where the frame would end had it been captured whole: lengths are taken from here, bytes are not.
        limit: i64 = start + wire_len
        vlan: i64 = -1
        tunnel: i64 = 0
        if link_type == LINKTYPE_ETHERNET:
            link: i64 = ethernet(data, at, end)
        else:
            link = link_header(data, at, end, link_type)
        if link < 0:
            self._skip_link(link, link_type)
            return
        proto: i64 = link >> 16
        at += link & M16
        headers: i64 = 0
        while headers < MAX_HEADERS:
            headers += 1
            if proto == ETHERTYPE_IPV4:
                if at + 20 > end:
                    self.skip("ipv4", "truncated header")
                    return
                word: i64 = read_i64_be(data, at)
                header_len: i64 = (word >> 54) & 0x3C
                if (word >> 60) & 0xF != 4 or header_len < 20:
                    self.skip("ipv4", "bad version or header length")
                    return
                total: i64 = (word >> 32) & M16
                if total != 0:
                    # Total length 0 is a segment that the card was still to cut up (TSO): the frame's end counts.
                    if total < header_len:
                        self.skip("ipv4", "total length below header length")
                        return
                    limit = min(limit, at + total)
                fragment: i64 = word & 0x3FFF
                ip_id: i64 = (word >> 16) & M16
                word = read_i64_be(data, at + 8)
                ttl: i64 = (word >> 56) & 0xFF
                ip_proto: i64 = (word >> 48) & 0xFF
                src_lo: i64 = word & M32
                dst_lo: i64 = read_i64_be(data, at + 12) & M32
                ip_at: i64 = at
                at += header_len
                if fragment:
                    self._fragment(
                        data, ip_at, at, end, limit, ip_proto, ip_id, ttl, vlan, tunnel, fragment, time_ns, batch
                    )
                    return
                if ip_proto == PROTO_TCP:
                    self.segment(
                        data, at, end, limit, 0, src_lo, 0, dst_lo, 0, ip_id, ttl, vlan, tunnel, time_ns, batch
                    )
                    return
                if ip_proto == PROTO_ICMP:
                    self._icmp(data, at, end, time_ns, batch)
                    return
                proto = ip_proto
            elif proto == ETHERTYPE_IPV6:
                if at + 40 > end:
                    self.skip("ipv6", "truncated header")
                    return
                word = read_i64_be(data, at)
                if (word >> 60) & 0xF != 6:
                    self.skip("ipv6", "bad version")
                    return
                total = (word >> 16) & M16
                if total != 0 and at + 40 + total < limit:
                    limit = at + 40 + total
                ip_proto = (word >> 8) & 0xFF
                ttl = word & 0xFF
                src_hi: i64 = read_i64_be(data, at + 8)
                src_lo = read_i64_be(data, at + 16)
                dst_hi: i64 = read_i64_be(data, at + 24)
                dst_lo = read_i64_be(data, at + 32)
                ip_at = at
                at += 40
                while ip_proto != PROTO_TCP:
                    if ip_proto == 44:
                        if at + 8 > end:
                            self.skip("ipv6", "truncated extension header")
                            return
                        word = i64(read_i32_be(data, at))
                        if word & 0xFFF9:
                            fragment = (word & 0xFFF8) >> 3 | (word & 1) << 13
                            ip_id = i64(read_i32_be(data, at + 4)) & M32
                            self._fragment(
                                data, ip_at, at + 8, end, limit, (word >> 24) & 0xFF, ip_id, ttl, vlan, tunnel,
                                fragment, time_ns, batch,
                            )  # fmt: skip
                            return
                        ip_proto = (word >> 24) & 0xFF
                        at += 8
                    elif ip_proto == 0 or ip_proto == 43 or ip_proto == 60 or ip_proto == 135 or ip_proto == 51:
                        if at + 8 > end:
                            self.skip("ipv6", "truncated extension header")
                            return
                        word = i64(read_i16_be(data, at)) & M16
                        # The length of AH counts 4 bytes and omits two of them (RFC 4302, 2.2).
                        at += (word & 0xFF) * 4 + 8 if ip_proto == 51 else (word & 0xFF) * 8 + 8
                        ip_proto = word >> 8
                    else:
                        break
                    headers += 1
                    if headers >= MAX_HEADERS:
                        self.skip("ipv6", "endless extension headers")
                        return
                if ip_proto == PROTO_TCP:
                    self.segment(
                        data, at, end, limit, src_hi, src_lo, dst_hi, dst_lo, IS_IPV6, -1, ttl, vlan, tunnel,
                        time_ns, batch,
                    )  # fmt: skip
                    return
                if ip_proto == PROTO_ICMPV6:
                    self._icmp6(data, at, end, time_ns, batch)
                    return
                proto = ip_proto
            elif proto == ETHERTYPE_VLAN or proto == ETHERTYPE_QINQ or proto == ETHERTYPE_OLD_QINQ:
                if at + 4 > end:
                    self.skip("vlan", "truncated tag")
                    return
                word = i64(read_i32_be(data, at))
                vlan = (word >> 16) & 0xFFF
                proto = word & M16
                at += 4
                if proto < 0x600:
                    self.other += 1
                    return
            elif proto == PROTO_UDP:
                step: i64 = self._udp(data, at, end)
                if step == 0:
                    return
                tunnel = self.tunnel_index(TUNNELS[step >> 56])
                proto = (step >> 16) & M16
                at += step & M16
            elif proto == PROTO_IPIP:
                tunnel = self.tunnel_index(TUNNELS[_IPIP])
                proto = ETHERTYPE_IPV4
            elif proto == PROTO_IPV6:
                tunnel = self.tunnel_index(TUNNELS[_IPIP])
                proto = ETHERTYPE_IPV6
            elif proto == PROTO_GRE:
                step = self._gre(data, at, end)
                if step == 0:
                    return
                proto = (step >> 16) & M16
                at += step & M16
                tunnel = self.tunnel_index(TUNNELS[step >> 56])
            elif proto == ETHERTYPE_TRANSPARENT_ETHERNET:
                link = ethernet(data, at, end)
                if link < 0:
                    self._skip_link(link, LINKTYPE_ETHERNET)
                    return
                proto = link >> 16
                at += link & M16
            elif proto == ETHERTYPE_MPLS or proto == ETHERTYPE_MPLS_MULTICAST:
                if at + 5 > end:
                    self.skip("mpls", "truncated label")
                    return
                word = i64(read_i32_be(data, at))
                at += 4
                # A label is no network of its own: often only one direction of a connection bears any (RFC 3031, 3.16).
                if word & 0x100:
                    version: i64 = i64(data[at]) >> 4
                    if version == 4:
                        proto = ETHERTYPE_IPV4
                    elif version == 6:
                        proto = ETHERTYPE_IPV6
                    else:
                        step = _pseudowire(data, at, end)
                        if step < 0:
                            self.other += 1
                            return
                        at += step
                        proto = ETHERTYPE_TRANSPARENT_ETHERNET
            elif proto == ETHERTYPE_PPPOE:
                if at + 8 > end:
                    self.skip("pppoe", "truncated header")
                    return
                tunnel = self.tunnel_index(TUNNELS[_PPPOE])
                word = i64(read_i16_be(data, at + 6)) & M16
                at += 8
                if word == 0x0021:
                    proto = ETHERTYPE_IPV4
                elif word == 0x0057:
                    proto = ETHERTYPE_IPV6
                else:
                    self.other += 1
                    return
            else:
                self.other += 1
                return
        self.skip("frame", "too many headers")

    def skip(self, layer: str, reason: str) -> None:
        """Counts the current frame as undecoded."""
        key = (layer, reason)
        entry = self.skips.get(key)
        if entry is not None:
            entry[0] += 1
        elif len(self.skips) < MAX_REASONS:
            self.skips[key] = [1, int(self.frames)]
        else:
            self.skips.setdefault(("frame", "other reasons"), [0, int(self.frames)])[0] += 1

    def finish(self) -> None:
        """Counts the datagrams whose fragments never became whole."""
        for first_frame in self._fragments.unfinished():
            entry = self.skips.setdefault(("ip", "fragments without their datagram"), [0, first_frame])
            entry[0] += 1

    def _skip_link(self, code: i64, link_type: i64) -> None:
        if code == ETHERTYPE_NOT_IP:
            self.other += 1
        elif code == -2:
            self.skip("link", f"link type {link_type}")
        else:
            self.skip("link", "truncated header")

    def tunnel_index(self, name: str) -> i64:
        """The index of a tunnel's name in ``tunnels``, new where it was not met before."""
        known = self._tunnel_ids.get(name)
        if known is None:
            known = len(self.tunnels)
            self._tunnel_ids[name] = known
            self.tunnels.append(name)
        return known

    def segment(
        self,
        data: bytes,
        at: i64,
        end: i64,
        limit: i64,
        src_hi: i64,
        src_lo: i64,
        dst_hi: i64,
        dst_lo: i64,
        facts: i64,
        ip_id: i64,
        ttl: i64,
        vlan: i64,
        tunnel: i64,
        time_ns: i64,
        batch: Batch,
    ) -> None:
        """Writes one segment: a TCP header at ``at`` whose payload ends, on the wire, at ``limit`` (RFC 9293, 3.1)."""
        if at + 16 > end:
            self.skip("tcp", "truncated header")
            return
        word: i64 = read_i64_be(data, at + 8)
        ack: i64 = (word >> 32) & M32
        header_len: i64 = (word >> 26) & 0x3C
        flags: i64 = (word >> 16) & TCP_FLAGS | facts
        begin: i64 = read_i64_be(data, at)
        ports: i64 = (begin >> 32) & M32
        payload_len: i64 = limit - at - header_len
        if header_len < 20 or payload_len < 0:
            # The stream is known all the same, and Wireshark counts the frame in it.
            self.skip("tcp", "bad header length")
            if header_len < 20:
                # Like Wireshark, read no further than a length that no header has.
                ack = 0
                flags = facts
                word = 0
            payload_len = 0
            header_len = 20
        self.segments += 1
        if not batch.wants(time_ns, src_lo ^ dst_lo ^ (ports >> 16) ^ (ports & M16)):
            return
        tsval: i64 = -1
        tsecr: i64 = -1
        syn_options: i64 = 0
        sack_left: i64 = -1
        sack_right: i64 = -1
        cells = batch.cells
        row: i64 = batch.size * COLUMNS
        if header_len > 20:
            if header_len == 32 and at + 32 <= end and read_i32_be(data, at + 20) == 0x0101_080A:
                stamps: i64 = read_i64_be(data, at + 24)
                tsval = (stamps >> 32) & M32
                tsecr = stamps & M32
            else:
                option: i64 = at + 20
                options_end: i64 = at + header_len
                if options_end > end:
                    options_end = end
                    flags |= CUT_OPTIONS
                while option < options_end:
                    kind: i64 = data[option]
                    if kind == 0:
                        break
                    if kind == 1:
                        option += 1
                        continue
                    if option + 1 >= options_end:
                        break
                    length: i64 = data[option + 1]
                    # A length below 2 would never advance (RFC 9293, 3.1: kind and length count themselves).
                    if length < 2 or option + length > options_end:
                        break
                    if kind == 8 and length == 10:
                        stamps = read_i64_be(data, option + 2)
                        tsval = (stamps >> 32) & M32
                        tsecr = stamps & M32
                    elif kind == 5 and length >= 10 and sack_left < 0:
                        edges: i64 = read_i64_be(data, option + 2)
                        sack_left = (edges >> 32) & M32
                        sack_right = edges & M32
                    elif flags & 0x002:
                        if kind == 2 and length == 4:
                            syn_options |= i64(read_i16_be(data, option + 2)) & M16
                        elif kind == 3 and length == 3:
                            syn_options |= (i64(data[option + 2]) & 0x3F) + 1 << 16
                        elif kind == 4 and length == 2:
                            syn_options |= 1 << 24
                    option += length
        cells[row + COL_FRAME] = self.frames
        cells[row + COL_TIME_NS] = time_ns
        cells[row + COL_SRC_HI] = src_hi
        cells[row + COL_SRC_LO] = src_lo
        cells[row + COL_DST_HI] = dst_hi
        cells[row + COL_DST_LO] = dst_lo
        cells[row + COL_PORTS] = ports
        cells[row + COL_SEQ] = begin & M32
        cells[row + COL_ACK] = ack
        cells[row + COL_FLAGS] = flags
        cells[row + COL_WINDOW] = word & M16
        cells[row + COL_PAYLOAD_LEN] = payload_len
        cells[row + COL_IP_ID] = ip_id
        cells[row + COL_TTL] = ttl
        cells[row + COL_VLAN] = vlan
        cells[row + COL_TUNNEL] = tunnel
        cells[row + COL_SYN_OPTIONS] = syn_options
        cells[row + COL_TSVAL] = tsval
        cells[row + COL_TSECR] = tsecr
        cells[row + COL_SACK_LEFT] = sack_left
        cells[row + COL_SACK_RIGHT] = sack_right
        batch.size += 1

    def _udp(self, data: bytes, at: i64, end: i64) -> i64:
        """Looks for a tunnel in a UDP datagram.

        Returns:
            ``tunnel kind << 56 | next protocol << 16 | bytes to advance``; 0 when there is none (the frame is counted).
        """
        if at + 8 > end:
            self.skip("udp", "truncated header")
            return 0
        ports: i64 = i64(read_i32_be(data, at)) & M32
        destination: i64 = ports & M16
        if destination == PORT_VXLAN:
            if at + 16 > end:
                self.skip("vxlan", "truncated header")
                return 0
            return _VXLAN << 56 | ETHERTYPE_TRANSPARENT_ETHERNET << 16 | 16
        if destination == PORT_VXLAN_GPE:
            return self._vxlan_gpe(data, at, end)
        if destination == PORT_GENEVE:
            if at + 16 > end:
                self.skip("geneve", "truncated header")
                return 0
            options_len: i64 = (i64(data[at + 8]) & 0x3F) * 4
            following: i64 = i64(read_i16_be(data, at + 10)) & M16
            return _GENEVE << 56 | following << 16 | (16 + options_len)
        if destination == PORT_GTPU or ports >> 16 == PORT_GTPU:
            return self._gtpu(data, at, end)
        if destination == PORT_L2TP or ports >> 16 == PORT_L2TP:
            return self._l2tp(data, at, end)
        self.other += 1
        return 0

    def _vxlan_gpe(self, data: bytes, at: i64, end: i64) -> i64:
        """VXLAN that names what it carries (draft-ietf-nvo3-vxlan-gpe-13, 3.1); NSH and others are not followed."""
        if at + 16 > end:
            self.skip("vxlan-gpe", "truncated header")
            return 0
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
            self.other += 1
            return 0
        return _VXLAN_GPE << 56 | proto << 16 | 16

    def _l2tp(self, data: bytes, at: i64, end: i64) -> i64:
        """L2TP version 2 (RFC 2661, 3.1): a data message carries PPP; control messages are signalling."""
        if at + 14 > end:
            self.skip("l2tp", "truncated header")
            return 0
        bits: i64 = i64(read_i16_be(data, at + 8)) & M16
        if bits & 0x800F != 2:
            self.other += 1
            return 0
        # Tunnel and session are always there; length, sequence numbers and padding where their bits say so.
        advance: i64 = 14
        if bits & 0x4000:
            advance += 2
        if bits & 0x0800:
            advance += 4
        if bits & 0x0200:
            if at + advance + 2 > end:
                self.skip("l2tp", "truncated header")
                return 0
            advance += 2 + (i64(read_i16_be(data, at + advance)) & M16)
        link: i64 = ppp(data, at + advance, end)
        if link < 0:
            self._skip_link(link, LINKTYPE_PPP)
            return 0
        advance += link & M16
        if advance > M16:
            self.skip("l2tp", "bad offset")
            return 0
        return _L2TP << 56 | (link >> 16) << 16 | advance

    def _gtpu(self, data: bytes, at: i64, end: i64) -> i64:
        """GTP-U version 1 (3GPP TS 29.281, 5.1): a T-PDU is an IP packet; everything else is signalling."""
        if at + 16 > end:
            self.skip("gtp-u", "truncated header")
            return 0
        bits: i64 = i64(data[at + 8])
        if bits >> 4 != 3 or data[at + 9] != 255:
            self.other += 1
            return 0
        advance: i64 = 16
        if bits & 7:
            advance = 20
            # Each extension header gives its length in units of four bytes and names the next in its last byte.
            for _ in range(8):
                if at + advance > end or not bits & 4 or data[at + advance - 1] == 0:
                    break
                if at + advance + 1 > end or data[at + advance] == 0:
                    self.skip("gtp-u", "bad extension header")
                    return 0
                advance += i64(data[at + advance]) * 4
        if at + advance + 1 > end:
            self.skip("gtp-u", "truncated packet")
            return 0
        version: i64 = i64(data[at + advance]) >> 4
        if version == 4:
            return _GTPU << 56 | ETHERTYPE_IPV4 << 16 | advance
        if version == 6:
            return _GTPU << 56 | ETHERTYPE_IPV6 << 16 | advance
        self.other += 1
        return 0

    def _gre(self, data: bytes, at: i64, end: i64) -> i64:
        """GRE (RFC 2784, 2890) with what it carries; ERSPAN headers are stepped over with it.

        Returns:
            ``tunnel kind << 56 | next protocol << 16 | bytes to advance``; 0 when it carries nothing we follow (the
            frame is counted).
        """
        if at + 4 > end:
            self.skip("gre", "truncated header")
            return 0
        word: i64 = i64(read_i32_be(data, at)) & M32
        following: i64 = word & M16
        kind: i64 = _GRE
        advance: i64 = 4
        if word & 0x8000_0000:
            advance += 4
        if word & 0x2000_0000:
            advance += 4
        if word & 0x1000_0000:
            advance += 4
        if following == ETHERTYPE_ERSPAN_2:
            kind = _ERSPAN
            # Without a sequence number this is ERSPAN type I, which has no header of its own.
            if word & 0x1000_0000:
                advance += 8
            following = ETHERTYPE_TRANSPARENT_ETHERNET
        elif following == ETHERTYPE_ERSPAN_3:
            kind = _ERSPAN
            if at + advance + 12 > end:
                self.skip("erspan", "truncated header")
                return 0
            advance += 20 if data[at + advance + 11] & 1 else 12
            following = ETHERTYPE_TRANSPARENT_ETHERNET
        elif word & 7 << 16 or following < 0x600:
            self.other += 1
            return 0
        return kind << 56 | following << 16 | advance

    def _fragment(
        self,
        data: bytes,
        ip_at: i64,
        at: i64,
        end: i64,
        limit: i64,
        ip_proto: i64,
        ip_id: i64,
        ttl: i64,
        vlan: i64,
        tunnel: i64,
        fragment: i64,
        time_ns: i64,
        batch: Batch,
    ) -> None:
        """Takes one IP fragment; the one that makes its datagram whole yields the segment, as in Wireshark.

        ``fragment`` is the offset in units of 8 bytes, and bit 13 for "more follow".
        """
        if ip_proto != PROTO_TCP:
            self.other += 1
            return
        is_ipv6 = i64(data[ip_at]) >> 4 == 6
        addresses = data[ip_at + 8 : ip_at + 40] if is_ipv6 else data[ip_at + 12 : ip_at + 20]
        captured_end: i64 = min(limit, end)
        head = self._fragments.add(
            addresses + int(ip_id).to_bytes(4, "big"),
            int(self.frames),
            int((fragment & 0x1FFF) * 8),
            int(limit - at),
            fragment & 0x2000 != 0,
            data[at:captured_end] if captured_end > at else b"",
        )
        if head is None:
            self.other += 1
            return
        total: i64 = self._fragments.length
        if is_ipv6:
            self.segment(
                head, 0, len(head), total, read_i64_be(addresses, 0), read_i64_be(addresses, 8),
                read_i64_be(addresses, 16), read_i64_be(addresses, 24), IS_IPV6, -1, ttl, vlan, tunnel, time_ns, batch,
            )  # fmt: skip
        else:
            self.segment(
                head, 0, len(head), total, 0, i64(read_i32_be(addresses, 0)) & M32, 0,
                i64(read_i32_be(addresses, 4)) & M32, 0, ip_id, ttl, vlan, tunnel, time_ns, batch,
            )  # fmt: skip

    def _icmp(self, data: bytes, at: i64, end: i64, time_ns: i64, batch: Batch) -> None:
        """An ICMP error quotes the head of the packet it answers (RFC 792; RFC 1812, 4.3.2.3)."""
        self.other += 1
        if at + 8 + 20 > end:
            return
        kind: i64 = i64(data[at])
        if kind != 3 and kind != 4 and kind != 5 and kind != 11 and kind != 12:
            return
        ip_at: i64 = at + 8
        word: i64 = i64(read_i32_be(data, ip_at))
        header_len: i64 = (word >> 22) & 0x3C
        if (word >> 28) & 0xF != 4 or header_len < 20 or data[ip_at + 9] != PROTO_TCP:
            return
        if read_i16_be(data, ip_at + 6) & 0x1FFF:
            return
        src_lo: i64 = i64(read_i32_be(data, ip_at + 12)) & M32
        dst_lo: i64 = i64(read_i32_be(data, ip_at + 16)) & M32
        code: i64 = kind << 8 | i64(data[at + 1])
        self.quote(data, ip_at + header_len, end, 0, src_lo, 0, dst_lo, 0, code, time_ns, batch)

    def _icmp6(self, data: bytes, at: i64, end: i64, time_ns: i64, batch: Batch) -> None:
        """An ICMPv6 error (types below 128) quotes likewise (RFC 4443, 2.4)."""
        self.other += 1
        if at + 8 + 40 > end or data[at] >= 128 or data[at + 8 + 6] != PROTO_TCP:
            return
        ip_at: i64 = at + 8
        self.quote(
            data, ip_at + 40, end, read_i64_be(data, ip_at + 8), read_i64_be(data, ip_at + 16),
            read_i64_be(data, ip_at + 24), read_i64_be(data, ip_at + 32), IS_IPV6,
            i64(data[at]) << 8 | i64(data[at + 1]), time_ns, batch,
        )  # fmt: skip

    def quote(
        self,
        data: bytes,
        at: i64,
        end: i64,
        src_hi: i64,
        src_lo: i64,
        dst_hi: i64,
        dst_lo: i64,
        facts: i64,
        code: i64,
        time_ns: i64,
        batch: Batch,
    ) -> None:
        """Writes the quoted head of a segment; its ``payload_len`` is the number of TCP bytes quoted."""
        if at + 8 > end:
            return
        begin: i64 = read_i64_be(data, at)
        ports: i64 = (begin >> 32) & M32
        if not batch.wants(time_ns, src_lo ^ dst_lo ^ (ports >> 16) ^ (ports & M16)):
            return
        cells = batch.cells
        row: i64 = batch.size * COLUMNS
        cells[row + COL_FRAME] = self.frames
        cells[row + COL_TIME_NS] = time_ns
        cells[row + COL_SRC_HI] = src_hi
        cells[row + COL_SRC_LO] = src_lo
        cells[row + COL_DST_HI] = dst_hi
        cells[row + COL_DST_LO] = dst_lo
        cells[row + COL_PORTS] = ports
        cells[row + COL_SEQ] = begin & M32
        cells[row + COL_ACK] = 0
        cells[row + COL_FLAGS] = ICMP_QUOTE | facts
        cells[row + COL_WINDOW] = code
        cells[row + COL_PAYLOAD_LEN] = end - at
        cells[row + COL_IP_ID] = -1
        cells[row + COL_TTL] = -1
        cells[row + COL_VLAN] = -1
        cells[row + COL_TUNNEL] = 0
        cells[row + COL_SYN_OPTIONS] = 0
        cells[row + COL_TSVAL] = -1
        cells[row + COL_TSECR] = -1
        cells[row + COL_SACK_LEFT] = -1
        cells[row + COL_SACK_RIGHT] = -1
        batch.size += 1


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
