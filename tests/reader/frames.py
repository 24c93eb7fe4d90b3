"""Frames built layer by layer, and what the native reader makes of them.

Every layer is a function from what it carries to bytes, so that a frame reads from the outside in:
``ethernet(vlan(7, ipv4(tcp(seq=1))))``. A layer that must name what it carries asks for it (``ethertype``,
``protocol``) or guesses it from the first nibble, as IP allows.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fixtures.containers import pcap
from pcapflow.reader import open_capture
from pcapflow.reader.capture import Capture
from pcapflow.reader.segment_batch import COLUMNS, SegmentBatch

IPV4, IPV6, VLAN, QINQ, MPLS, PPPOE, TEB = 0x0800, 0x86DD, 0x8100, 0x88A8, 0x8847, 0x8864, 0x6558
TCP, UDP, GRE, IPIP, SIX_IN_FOUR, ICMP, ICMPV6 = 6, 17, 47, 4, 41, 1, 58
HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION = 0, 43, 44, 51, 60
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
MORE, DONT = 0x2000, 0x4000

MAC = bytes.fromhex("020000000002 020000000001")
CLIENT, SERVER = bytes([192, 0, 2, 1]), bytes([198, 51, 100, 2])
CLIENT6, SERVER6 = bytes.fromhex("20010db8" + "00" * 11 + "01"), bytes.fromhex("20010db8" + "00" * 11 + "02")
CLIENT_PORT, SERVER_PORT = 50_000, 80


def tcp(
    payload: bytes = b"",
    *,
    sport: int = CLIENT_PORT,
    dport: int = SERVER_PORT,
    seq: int = 1000,
    ack: int = 5000,
    flags: int = ACK,
    window: int = 64_240,
    options: bytes = b"",
    header_len: int | None = None,
) -> bytes:
    """A TCP segment; ``header_len`` may lie."""
    options += bytes(-len(options) % 4)
    words = (20 + len(options) if header_len is None else header_len) // 4
    head = struct.pack("!HHIIHHHH", sport, dport, seq, ack, words << 12 | flags, window, 0, 0)
    return head + options + payload


def ipv4(
    carried: bytes,
    protocol: int = TCP,
    *,
    src: bytes = CLIENT,
    dst: bytes = SERVER,
    ident: int = 7,
    ttl: int = 64,
    options: bytes = b"",
    fragment: int = 0,
    total_len: int | None = None,
    header_len: int | None = None,
) -> bytes:
    """An IPv4 packet; ``fragment`` holds the flags and the offset in units of 8 bytes. The lengths may lie."""
    options += bytes(-len(options) % 4)
    own = 20 + len(options)
    total = own + len(carried) if total_len is None else total_len
    words = (own if header_len is None else header_len) // 4
    head = struct.pack("!BBHHHBBH", 4 << 4 | words, 0, total, ident, fragment, ttl, protocol, 0)
    return head + src + dst + options + carried


def ipv6(
    carried: bytes,
    next_header: int = TCP,
    *,
    src: bytes = CLIENT6,
    dst: bytes = SERVER6,
    hop_limit: int = 64,
    payload_len: int | None = None,
) -> bytes:
    """An IPv6 packet; extension headers are part of what it carries. The length may lie."""
    length = len(carried) if payload_len is None else payload_len
    return struct.pack("!IHBB", 6 << 28, length, next_header, hop_limit) + src + dst + carried


def extension(following: int, carried: bytes, *, data: bytes = bytes(6)) -> bytes:
    """A hop-by-hop, routing or destination options header: 8 bytes, or more with more data."""
    assert (len(data) + 2) % 8 == 0
    return bytes([following, (len(data) + 2) // 8 - 1]) + data + carried


def authentication(following: int, carried: bytes) -> bytes:
    """An authentication header of 24 bytes; its length counts 4 bytes and omits two of them (RFC 4302, 2.2)."""
    return bytes([following, 4]) + bytes(22) + carried


def fragment6(following: int, carried: bytes, *, offset: int, more: bool, ident: int = 9) -> bytes:
    """An IPv6 fragment header; the offset is in bytes."""
    return struct.pack("!BBHI", following, 0, offset | more, ident) + carried


def udp(carried: bytes, dport: int, sport: int = 40_000) -> bytes:
    """A UDP datagram without a checksum."""
    return struct.pack("!HHHH", sport, dport, 8 + len(carried), 0) + carried


def ethernet(carried: bytes, ethertype: int | None = None) -> bytes:
    """An Ethernet II frame."""
    return MAC + struct.pack("!H", ethertype or ip_ethertype(carried)) + carried


def vlan(identifier: int, carried: bytes, ethertype: int | None = None) -> bytes:
    """The rest of a frame after its VLAN EtherType."""
    return struct.pack("!HH", identifier, ethertype or ip_ethertype(carried)) + carried


def ip_ethertype(packet: bytes) -> int:
    """The EtherType of an IP packet, by its version."""
    return IPV6 if packet[0] >> 4 == 6 else IPV4


def gre(carried: bytes, protocol: int | None = None, *, key: bool = False, sequence: bool = False) -> bytes:
    """GRE (RFC 2784), with the fields of RFC 2890 where asked for."""
    flags = key << 13 | sequence << 12
    return struct.pack("!HH", flags, protocol or ip_ethertype(carried)) + bytes(4 * (key + sequence)) + carried


def vxlan(carried: bytes) -> bytes:
    """VXLAN in UDP (RFC 7348)."""
    return udp(struct.pack("!II", 0x0800_0000, 42 << 8) + carried, 4789)


def vxlan_gpe(carried: bytes, following: int) -> bytes:
    """VXLAN with a next protocol (1 IPv4, 2 IPv6, 3 Ethernet, 5 MPLS) in UDP (draft-ietf-nvo3-vxlan-gpe)."""
    return udp(struct.pack("!II", 0x0C00_0000 | following, 42 << 8) + carried, 4790)


def geneve(carried: bytes, protocol: int = TEB, *, options: bytes = b"") -> bytes:
    """GENEVE in UDP (RFC 8926)."""
    return udp(struct.pack("!BBHI", len(options) // 4, 0, protocol, 42 << 8) + options + carried, 6081)


def gtpu(carried: bytes, *, sequence: bool = False, extensions: Sequence[bytes] = ()) -> bytes:
    """A GTP-U T-PDU in UDP (3GPP TS 29.281); an extension is its content of 4n - 2 bytes."""
    flags = 0x30 | 4 * bool(extensions) | 2 * sequence
    optional = b""
    if flags & 7:
        optional = struct.pack("!HBB", 1, 0, 0x85 if extensions else 0)
        for n, content in enumerate(extensions):
            optional += bytes([(len(content) + 2) // 4]) + content + bytes([0x85 if n + 1 < len(extensions) else 0])
    return udp(struct.pack("!BBHI", flags, 255, len(optional) + len(carried), 1) + optional + carried, 2152)


def mpls(carried: bytes, *labels: int) -> bytes:
    """A stack of MPLS labels (RFC 3032)."""
    words = [label << 12 | (n == len(labels) - 1) << 8 | 64 for n, label in enumerate(labels)]
    return struct.pack(f"!{len(words)}I", *words) + carried


def pppoe(carried: bytes) -> bytes:
    """A PPPoE session frame (RFC 2516) with its PPP protocol."""
    protocol = 0x57 if carried[0] >> 4 == 6 else 0x21
    return struct.pack("!BBHHH", 0x11, 0, 1, len(carried) + 2, protocol) + carried


def l2tp(carried: bytes, *, length: bool = False, sequence: bool = False, offset: int | None = None) -> bytes:
    """An L2TP version 2 data message in UDP (RFC 2661, 3.1) around PPP with address and control bytes."""
    ppp = b"\xff\x03" + struct.pack("!H", 0x57 if carried[0] >> 4 == 6 else 0x21) + carried
    flags = 2 | length << 14 | sequence << 11 | (offset is not None) << 9
    tail = struct.pack("!HH", 1, 2) + bytes(4 * sequence)
    if offset is not None:
        tail += struct.pack("!H", offset) + bytes(offset)
    whole = 2 + 2 * length + len(tail) + len(ppp)
    return udp(struct.pack("!H", flags) + (struct.pack("!H", whole) if length else b"") + tail + ppp, 1701)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a batch, with ports apart and the tunnel by its name."""

    frame: int
    time_ns: int
    src: bytes
    dst: bytes
    sport: int
    dport: int
    seq: int
    ack: int
    flags: int
    window: int
    payload_len: int
    ip_id: int
    ttl: int
    vlan: int
    tunnel: str
    syn_options: int
    tsval: int
    tsecr: int
    sack_left: int
    sack_right: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader made of a capture."""

    rows: list[Row]
    capture: Capture

    @property
    def undecoded(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Layer and reason to the count and the first frame."""
        return {(u.layer, u.reason): (u.count, u.first_frame) for u in self.capture.undecoded}


def read(data: bytes) -> Reading:
    """Reads the bytes of a capture file with the native reader."""
    return read_input(io.BytesIO(data), "native")


def read_input(item: str | io.BytesIO, engine: str) -> Reading:
    """What an engine makes of one input."""
    return read_inputs([item], engine)


def read_inputs(items: Sequence[str | io.BytesIO], engine: str) -> Reading:
    """What an engine makes of several inputs, one after another."""
    assert engine in ("native", "pyshark", "auto")
    opened = open_capture(items, engine=engine)  # type: ignore[arg-type]
    batch, raw, more = SegmentBatch(), [], True
    try:
        while more:
            more = opened.read(batch)
            raw += [_raw_row(batch, i) for i in range(batch.size)]
    finally:
        opened.close()
    capture = opened.capture()
    return Reading([_row(values, capture.tunnels) for values in raw], capture)


def decode(frames: Iterable[bytes], link: int = 1, *, snaplen: int = 262_144) -> Reading:
    """Reads frames, a second apart, of one link type."""
    return read(pcap([(n * 1_000_000_000, frame) for n, frame in enumerate(frames)], link, snaplen=snaplen))


def one(frame: bytes, link: int = 1, *, snaplen: int = 262_144) -> Row:
    """The only segment of one frame, with nothing left undecoded."""
    reading = decode([frame], link, snaplen=snaplen)
    assert reading.undecoded == {}
    (row,) = reading.rows
    return row


def _raw_row(batch: SegmentBatch, i: int) -> tuple[int, ...]:
    return tuple(int(batch.cells[i * COLUMNS + column]) for column in range(COLUMNS))


def _row(values: tuple[int, ...], tunnels: Sequence[str]) -> Row:
    frame, time_ns, src_hi, src_lo, dst_hi, dst_lo, ports, seq, ack, flags = values[:10]
    window, payload_len, ip_id, ttl, vlan, tunnel = values[10:16]
    syn_options, tsval, tsecr, sack_left, sack_right = values[16:]
    is_ipv6 = flags & 0x1000
    src = struct.pack("!qq", src_hi, src_lo) if is_ipv6 else struct.pack("!I", src_lo)
    dst = struct.pack("!qq", dst_hi, dst_lo) if is_ipv6 else struct.pack("!I", dst_lo)
    return Row(
        frame, time_ns, src, dst, ports >> 16, ports & 0xFFFF, seq, ack, flags, window, payload_len, ip_id, ttl, vlan,
        tunnels[tunnel], syn_options, tsval, tsecr, sack_left, sack_right,
    )  # fmt: skip
