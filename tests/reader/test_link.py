"""Link layers: what a frame of each carries is found, and what is cut off or unknown is counted."""

from __future__ import annotations

import struct

import pytest

from pcapflow.reader.decode.link import LINK_TYPES, UNKNOWN_LINK_TYPE, link_header
from tests.reader.frames import IPV4, IPV6, MAC, QINQ, VLAN, decode, ethernet, ip_ethertype, ipv4, ipv6, one, tcp, vlan

V4, V6 = ipv4(tcp(seq=77)), ipv6(tcp(seq=77))

SLL_HEAD = struct.pack("!HHH8s", 0, 1, 6, MAC[:8])
SNAP = b"\xaa\xaa\x03\0\0\0"

FRAMES = {
    "ethernet": (1, ethernet(V4)),
    "ethernet, IPv6": (1, ethernet(V6)),
    "802.3 with LLC and SNAP": (1, MAC + struct.pack("!H", len(V4) + 8) + SNAP + struct.pack("!H", IPV4) + V4),
    "null, little endian": (0, struct.pack("<I", 2) + V4),
    "null, big endian": (0, struct.pack(">I", 2) + V4),
    "null, IPv6 of NetBSD": (0, struct.pack("<I", 24) + V6),
    "null, IPv6 of FreeBSD": (0, struct.pack("<I", 28) + V6),
    "null, IPv6 of macOS": (0, struct.pack("<I", 30) + V6),
    "null, IPv6 of macOS, big endian": (0, struct.pack(">I", 30) + V6),
    "loop": (108, struct.pack(">I", 2) + V4),
    "loop, IPv6": (108, struct.pack(">I", 24) + V6),
    "raw": (101, V4),
    "raw, IPv6": (101, V6),
    "raw of a BSD": (12, V4),
    "raw of OpenBSD": (14, V6),
    "ipv4": (228, V4),
    "ipv6": (229, V6),
    "linux cooked": (113, SLL_HEAD + struct.pack("!H", IPV4) + V4),
    "linux cooked, IPv6": (113, SLL_HEAD + struct.pack("!H", IPV6) + V6),
    "linux cooked, LLC": (113, SLL_HEAD + struct.pack("!H", 4) + SNAP + struct.pack("!H", IPV4) + V4),
    "linux cooked, VLAN": (113, SLL_HEAD + struct.pack("!H", VLAN) + vlan(9, V4)),
    "linux cooked 2": (276, struct.pack("!HHIHBB8s", IPV4, 0, 3, 1, 0, 6, MAC[:8]) + V4),
    "linux cooked 2, IPv6": (276, struct.pack("!HHIHBB8s", IPV6, 0, 3, 1, 0, 6, MAC[:8]) + V6),
    "ppp": (9, b"\xff\x03\x00\x21" + V4),
    "ppp, IPv6": (9, b"\xff\x03\x00\x57" + V6),
    "ppp without address and control": (9, b"\x00\x21" + V4),
    "ppp in hdlc framing": (50, b"\xff\x03\x00\x21" + V4),
    "cisco hdlc": (104, b"\x0f\x00\x08\x00" + V4),
}


@pytest.mark.parametrize("name", FRAMES)
def test_what_a_link_layer_carries_is_found(name: str) -> None:
    link, frame = FRAMES[name]
    row = one(frame, link)
    assert (row.seq, row.sport, row.dport, row.payload_len) == (77, 50_000, 80, 0)


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_cut_inside_its_link_header_is_counted_and_gives_nothing(name: str) -> None:
    link, frame = FRAMES[name]
    packet_len = len(V6 if frame.endswith(V6) else V4)
    for kept in range(len(frame) - packet_len):
        reading = decode([frame], link, snaplen=kept) if kept else decode([b""], link)
        assert reading.rows == []
        assert sum(count for count, _ in reading.undecoded.values()) + reading.capture.other == 1


def test_every_link_type_with_a_name_is_decoded() -> None:
    assert {link for link, _ in FRAMES.values()} == set(LINK_TYPES)
    for link in LINK_TYPES:
        assert link_header(ethernet(V4), 0, 60, link) != UNKNOWN_LINK_TYPE


def test_an_unknown_link_type_is_counted_frame_by_frame_and_named() -> None:
    reading = decode([b"x" * 60, b"y" * 60], 147)
    assert reading.undecoded == {("link", "link type 147"): (2, 1)}
    assert reading.capture.link_types == ("link type 147",)
    assert reading.capture.frames == 2


def test_the_upper_bits_of_a_pcap_link_type_are_about_checksums_and_ignored() -> None:
    assert one(ethernet(V4), 1 | 0x5400_0000).seq == 77


def test_arp_and_llc_without_snap_are_other_traffic_not_undecoded() -> None:
    arp = MAC + b"\x08\x06" + bytes(28)
    spanning_tree = MAC + struct.pack("!H", 38) + b"\x42\x42\x03" + bytes(35)
    reading = decode([arp, spanning_tree])
    assert (reading.rows, reading.undecoded, reading.capture.other) == ([], {}, 2)


@pytest.mark.parametrize(
    ("tags", "innermost"),
    [
        ([(VLAN, 42)], 42),
        ([(QINQ, 300), (VLAN, 7)], 7),
        ([(0x9100, 300), (VLAN, 7)], 7),
        ([(VLAN, 1), (VLAN, 2), (VLAN, 3), (VLAN, 4)], 4),
        ([(VLAN, 0xF000 | 5)], 5),
    ],
    ids=["802.1Q", "802.1ad", "old QinQ", "four tags", "priority bits are no part of it"],
)
def test_the_innermost_vlan_tag_counts(tags: list[tuple[int, int]], innermost: int) -> None:
    carried, ethertype = V4, ip_ethertype(V4)
    for tag_type, identifier in reversed(tags):
        carried, ethertype = vlan(identifier, carried, ethertype), tag_type
    assert one(ethernet(carried, ethertype)).vlan == innermost


def test_without_a_tag_the_vlan_is_minus_one() -> None:
    assert one(ethernet(V4)).vlan == -1


def test_a_vlan_tag_that_is_cut_off_is_counted() -> None:
    reading = decode([ethernet(vlan(7, V4), VLAN)], snaplen=17)
    assert reading.undecoded == {("vlan", "truncated tag"): (1, 1)}


def test_more_tags_than_any_network_has_end_the_walk() -> None:
    carried, ethertype = V4, IPV4
    for _ in range(1000):
        carried, ethertype = vlan(1, carried, ethertype), VLAN
    reading = decode([ethernet(carried, ethertype)])
    assert reading.undecoded == {("frame", "too many headers"): (1, 1)}


def test_ethernet_padding_is_no_payload() -> None:
    assert one(ethernet(V4).ljust(60, b"\x55")).payload_len == 0
