"""Link layers: what a frame of each carries is found, and what is cut off or unknown is counted."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.containers import pcap
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


def test_link_types_with_a_name_are_those_with_a_header_function() -> None:
    assert {link for link, _ in FRAMES.values()} == set(LINK_TYPES)
    decoded = {link for link in range(1 << 16) if link_header(ethernet(V4), 0, 60, link) != UNKNOWN_LINK_TYPE}
    assert decoded == set(LINK_TYPES)


HEADER_FUNCTION = """\
    if link_type == LINKTYPE_USER0:
        return _user0(data, at, end)
    return UNKNOWN_LINK_TYPE


def _user0(data: bytes, at: i64, end: i64) -> i64:
    return TRUNCATED if at + 6 > end else ETHERTYPE_IPV4 << 16 | 6
"""
RECIPE = (
    ("LINKTYPE_PPP: Final = 9\n", "LINKTYPE_PPP: Final = 9\nLINKTYPE_USER0: Final = 147\n"),
    ('    LINKTYPE_PPP: "PPP",\n', '    LINKTYPE_PPP: "PPP",\n    LINKTYPE_USER0: "USER0",\n'),
    ("    return UNKNOWN_LINK_TYPE\n", HEADER_FUNCTION),
)
"""The three steps that link.py asks of whoever adds a link layer: a header of six bytes, always followed by IPv4."""

READ = """
import sys
import pcapflow.reader.decode.link as link
from pcapflow.reader import open_capture
from pcapflow.reader.segment_batch import COL_SEQ, COLUMNS, SegmentBatch
opened, batch = open_capture([sys.argv[1]], "native"), SegmentBatch()
while opened.read(batch):
    pass
capture = opened.capture()
print(link.__file__)
print([batch.cells[row * COLUMNS + COL_SEQ] for row in range(batch.size)])
print(capture.link_types, [(kind.layer, kind.reason) for kind in capture.undecoded])
"""


def test_a_link_layer_is_added_in_one_file(tmp_path: Path) -> None:
    """A copy of the package, interpreted, of which link.py alone is edited as it says itself."""
    package = Path(__file__).parents[3] / "pcapflow"
    shutil.copytree(package, tmp_path / "pcapflow", ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"))
    link = tmp_path / "pcapflow/reader/decode/link.py"
    source = link.read_text(encoding="utf-8")
    for before, after in RECIPE:
        assert source.count(before) == 1
        source = source.replace(before, after)
    link.write_text(source, encoding="utf-8")
    capture = tmp_path / "user0.pcap"
    capture.write_bytes(pcap([(0, bytes(6) + V4), (1, bytes(5))], link=147))
    run = subprocess.run(
        [sys.executable, "-c", READ, str(capture)], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    edited, seqs, summary = run.stdout.splitlines()
    assert edited == str(link)
    assert seqs == "[77]"
    assert summary == "('USER0',) [('link', 'truncated header')]"


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
