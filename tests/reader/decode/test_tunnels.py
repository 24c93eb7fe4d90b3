"""Tunnels: the segment inside is found, with the innermost addresses, and knows what it came through."""

from __future__ import annotations

import io
import struct

import pytest

import pcapflow
from fixtures.containers import pcap
from pcapflow.reader.decode.tunnels import TUNNELS
from tests.reader.frames import (
    ACK,
    CLIENT,
    CLIENT6,
    CLIENT_PORT,
    GRE,
    IPIP,
    IPV4,
    MPLS,
    PPPOE,
    SERVER,
    SERVER_PORT,
    SIX_IN_FOUR,
    SYN,
    TEB,
    UDP,
    VLAN,
    decode,
    ethernet,
    geneve,
    gre,
    gtpu,
    ipv4,
    ipv6,
    l2tp,
    mpls,
    one,
    pppoe,
    tcp,
    udp,
    vlan,
    vxlan,
    vxlan_gpe,
)

OUTER = {"src": bytes([10, 0, 0, 1]), "dst": bytes([10, 0, 0, 2])}
INNER = ipv4(tcp(b"inner", seq=99), ttl=17, ident=3)
INNER6 = ipv6(tcp(b"inner", seq=99), hop_limit=17)
INNER_FRAME = ethernet(INNER)
# Below a label Wireshark looks for addresses of known vendors to tell Ethernet from anything else.
INTEL_FRAME = bytes.fromhex("001b21000001 001b21000002") + INNER_FRAME[12:]


def outer(carried: bytes, protocol: int) -> bytes:
    """An Ethernet frame of the network that carries the tunnel."""
    return ethernet(ipv4(carried, protocol, ttl=200, **OUTER))  # type: ignore[arg-type]


ERSPAN_2 = struct.pack("!II", 1 << 28, 0)
ERSPAN_3 = struct.pack("!II", 2 << 28, 0) + bytes(4)
ERSPAN_3_SUBHEADER = struct.pack("!II", 2 << 28, 0) + struct.pack("!I", 1) + bytes(8)

FRAMES = {
    "IP in IP": ("ip-in-ip", outer(INNER, IPIP)),
    "6in4": ("ip-in-ip", outer(INNER6, SIX_IN_FOUR)),
    "4in6": ("ip-in-ip", ethernet(ipv6(INNER, IPIP))),
    "6in6": ("ip-in-ip", ethernet(ipv6(INNER6, SIX_IN_FOUR))),
    "GRE": ("gre", outer(gre(INNER), GRE)),
    "GRE with key and sequence": ("gre", outer(gre(INNER6, key=True, sequence=True), GRE)),
    "Ethernet in GRE": ("gre", outer(gre(INNER_FRAME, TEB), GRE)),
    "GRE over IPv6": ("gre", ethernet(ipv6(gre(INNER), GRE))),
    "ERSPAN I": ("erspan", outer(gre(INNER_FRAME, 0x88BE), GRE)),
    "ERSPAN II": ("erspan", outer(gre(ERSPAN_2 + INNER_FRAME, 0x88BE, sequence=True), GRE)),
    "ERSPAN III": ("erspan", outer(gre(ERSPAN_3 + INNER_FRAME, 0x22EB, sequence=True), GRE)),
    "ERSPAN III with subheader": ("erspan", outer(gre(ERSPAN_3_SUBHEADER + INNER_FRAME, 0x22EB, sequence=True), GRE)),
    "VXLAN": ("vxlan", outer(vxlan(INNER_FRAME), UDP)),
    "VXLAN over IPv6": ("vxlan", ethernet(ipv6(vxlan(INNER_FRAME), UDP))),
    "VXLAN-GPE with IPv4": ("vxlan-gpe", outer(vxlan_gpe(INNER, 1), UDP)),
    "VXLAN-GPE with IPv6": ("vxlan-gpe", outer(vxlan_gpe(INNER6, 2), UDP)),
    "VXLAN-GPE": ("vxlan-gpe", outer(vxlan_gpe(INNER_FRAME, 3), UDP)),
    "MPLS in VXLAN-GPE": ("vxlan-gpe", outer(vxlan_gpe(mpls(INNER, 16), 5), UDP)),
    "GENEVE": ("geneve", outer(geneve(INNER_FRAME), UDP)),
    "GENEVE with options": ("geneve", outer(geneve(INNER_FRAME, options=bytes(12)), UDP)),
    "GENEVE with IP": ("geneve", outer(geneve(INNER, IPV4), UDP)),
    "GTP-U": ("gtp-u", outer(gtpu(INNER), UDP)),
    "GTP-U with IPv6": ("gtp-u", outer(gtpu(INNER6), UDP)),
    "GTP-U with sequence number": ("gtp-u", outer(gtpu(INNER, sequence=True), UDP)),
    "GTP-U with extensions": ("gtp-u", outer(gtpu(INNER, extensions=[bytes(2), bytes(6)]), UDP)),
    "L2TP": ("l2tp", outer(l2tp(INNER), UDP)),
    "L2TP with IPv6": ("l2tp", outer(l2tp(INNER6), UDP)),
    "L2TP with every field": ("l2tp", outer(l2tp(INNER, length=True, sequence=True, offset=3), UDP)),
    "MPLS": ("", ethernet(mpls(INNER, 16), MPLS)),
    "MPLS, three labels, IPv6": ("", ethernet(mpls(INNER6, 16, 17, 18), MPLS)),
    "Ethernet over MPLS, control word": ("", ethernet(mpls(bytes(4) + INTEL_FRAME, 16), MPLS)),
    "Ethernet over MPLS": ("", ethernet(mpls(INTEL_FRAME, 16), MPLS)),
    "MPLS in GRE": ("gre", outer(gre(mpls(INNER, 16), MPLS), GRE)),
    "PPPoE": ("pppoe", ethernet(pppoe(INNER), PPPOE)),
    "PPPoE with IPv6": ("pppoe", ethernet(pppoe(INNER6), PPPOE)),
    "PPPoE in a VLAN": ("pppoe", ethernet(vlan(7, pppoe(INNER), PPPOE), VLAN)),
}


@pytest.mark.parametrize("name", FRAMES)
def test_the_segment_inside_is_found(name: str) -> None:
    tunnel, frame = FRAMES[name]
    row = one(frame)
    assert (row.seq, row.payload_len, row.ttl, row.tunnel) == (99, 5, 17, tunnel)
    assert row.src == (CLIENT6 if INNER6 in frame else CLIENT)


def test_labels_on_one_direction_alone_leave_it_one_connection() -> None:
    """The last router but one takes the label off: what comes back to this tap has none."""
    there = ethernet(mpls(ipv4(tcp(flags=SYN, seq=1)), 16), MPLS)
    back = ethernet(ipv4(tcp(sport=SERVER_PORT, dport=CLIENT_PORT, flags=SYN | ACK, ack=2), src=SERVER, dst=CLIENT))
    flows = pcapflow.analyze(io.BytesIO(pcap([(0, there), (1, back)]))).flows
    assert flows[["client_packets", "server_packets"]].to_numpy().tolist() == [[1, 1]]


@pytest.mark.parametrize("name", FRAMES)
def test_a_tunnel_cut_anywhere_gives_no_segment_and_is_counted(name: str) -> None:
    """Every byte of the headers: where the frame ends before the window field there is no row, and it is not silent."""
    _, frame = FRAMES[name]
    inner = INNER6 if INNER6 in frame else INNER
    for kept in range(15, frame.index(inner) + len(inner) - 5 - 4):
        reading = decode([frame], snaplen=kept)
        assert reading.rows == []
        assert sum(count for count, _ in reading.undecoded.values()) + reading.capture.other == 1, kept


def test_every_tunnel_is_tried() -> None:
    assert {tunnel for tunnel, _ in FRAMES.values()} == set(TUNNELS)


def test_tunnels_are_listed_once_in_order_of_their_meeting() -> None:
    reading = decode([ethernet(INNER), FRAMES["GRE"][1], FRAMES["VXLAN"][1], FRAMES["GRE"][1]])
    assert reading.capture.tunnels == ("", "gre", "vxlan")
    assert [row.tunnel for row in reading.rows] == ["", "gre", "vxlan", "gre"]


def test_the_innermost_tunnel_and_the_innermost_tag_count() -> None:
    frame = ethernet(vlan(5, ipv4(vxlan(ethernet(vlan(6, ipv4(gre(INNER), GRE)), VLAN)), UDP)), VLAN)
    row = one(frame)
    assert (row.tunnel, row.vlan, row.dst) == ("gre", 6, SERVER)


def test_tunnels_in_tunnels_without_end_are_given_up() -> None:
    packet = INNER
    for _ in range(200):
        packet = ipv4(packet, IPIP)
    reading = decode([ethernet(packet)])
    assert (reading.rows, reading.undecoded) == ([], {("frame", "too many headers"): (1, 1)})


@pytest.mark.parametrize(
    "frame",
    [
        outer(udp(bytes(40), 53), UDP),
        outer(struct.pack("!HH", 1, 0x880B) + bytes(30), GRE),
        outer(udp(bytes([0x32, 1]) + bytes(10), 2152), UDP),
        outer(udp(struct.pack("!HHHH", 0xC802, 12, 1, 0) + bytes(20), 1701), UDP),
        ethernet(struct.pack("!BBHHH", 0x11, 0, 1, 10, 0xC021) + bytes(10), PPPOE),
        outer(geneve(bytes(40), 0x0806), UDP),
        outer(vxlan_gpe(bytes(40), 4), UDP),
        ethernet(mpls(b"\x10" + bytes(40), 16), MPLS),
    ],
    ids=["DNS", "PPTP's GRE", "GTP echo", "L2TP control", "LCP", "ARP in GENEVE", "NSH in VXLAN-GPE", "MPLS channel"],
)
def test_signalling_is_other_traffic(frame: bytes) -> None:
    reading = decode([frame])
    assert (reading.rows, reading.undecoded, reading.capture.other) == ([], {}, 1)


def test_a_gtp_extension_of_length_zero_ends_the_walk() -> None:
    broken = udp(bytes([0x34, 255]) + bytes(6) + bytes([0, 0, 0, 0x85, 0]) + bytes(40), 2152)
    assert decode([outer(broken, UDP)]).undecoded == {("gtp-u", "bad extension header"): (1, 1)}
