"""Addresses as text: the examples of RFC 5952, and the order in which it decides."""

from __future__ import annotations

import ipaddress
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.frames import ACK, SYN, Segment, ethernet, tcp_packet, write_pcap
from pcapflow.analysis import analyze
from pcapflow.text.addresses import address_text, host_and_port

PACKAGE = Path(__file__).resolve().parents[1] / "pcapflow"


def text_of(written: str) -> str:
    """An address that somebody wrote in any form, as pcapflow writes it."""
    value = int(ipaddress.IPv6Address(written))
    return address_text(6, value >> 64, value & ((1 << 64) - 1))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        # RFC 5952, 1 and 2: eight ways to write one address.
        ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("2001:0db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("2001:db8::1:0:0:1", "2001:db8::1:0:0:1"),
        ("2001:db8::0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("2001:0db8::1:0:0:1", "2001:db8::1:0:0:1"),
        ("2001:db8:0:0:1::1", "2001:db8::1:0:0:1"),
        ("2001:db8:0000:0:1::1", "2001:db8::1:0:0:1"),
        ("2001:DB8:0:0:1::1", "2001:db8::1:0:0:1"),
        # 4.1: leading zeros are left out, and a group of zeros is one zero.
        ("2001:0db8::0001", "2001:db8::1"),
        ("2001:db8:aaaa:bbbb:cccc:dddd:eeee:0001", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:1"),
        # 4.2.1: shortened as much as possible.
        ("2001:db8:0:0:0:0:2:1", "2001:db8::2:1"),
        ("2001:db8::0:1", "2001:db8::1"),
        # 4.2.2: not for one group alone.
        ("2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        # 4.2.3: the longest run of zeros, the first of equal ones. (Its last example is the first above.)
        ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
        # 4.3: lower case.
        ("2001:DB8::ABCD:EF", "2001:db8::abcd:ef"),
        # 5: an IPv4 address inside, where a well-known prefix says so.
        ("::ffff:c000:201", "::ffff:192.0.2.1"),
        ("0:0:0:0:0:ffff:192.0.2.1", "::ffff:192.0.2.1"),
        ("::ffff:0:0", "::ffff:0.0.0.0"),
        ("::ffff:ffff:ffff", "::ffff:255.255.255.255"),
        # What is near that prefix is none.
        ("::fffe:c000:201", "::fffe:c000:201"),
        ("::1:ffff:c000:201", "::1:ffff:c000:201"),
        ("::", "::"),
        ("::1", "::1"),
        ("1::", "1::"),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ],
)
def test_ipv6_addresses_are_written_as_rfc_5952_says(written: str, expected: str) -> None:
    assert text_of(written) == expected


@given(st.lists(st.sampled_from([0, 0, 0, 1, 0xFFFF, 0xDB8]) | st.integers(0, 0xFFFF), min_size=8, max_size=8))
def test_every_ipv6_address_follows_the_rules(groups: list[int]) -> None:
    """The rules of section 4, stated here a second time, over addresses with many zeros."""
    value = sum(group << 16 * (7 - i) for i, group in enumerate(groups))
    text = text_of(str(ipaddress.IPv6Address(value)))
    assert int(ipaddress.IPv6Address(text)) == value
    assert text == text.lower()
    if groups[:6] == [0, 0, 0, 0, 0, 0xFFFF]:
        assert text.startswith("::ffff:")
        assert text.count(".") == 3
        return
    runs = [(start, end) for start in range(8) for end in range(start + 2, 9) if not any(groups[start:end])]
    if not runs:
        assert text == ":".join(f"{group:x}" for group in groups)
        return
    start, end = max(runs, key=lambda run: (run[1] - run[0], -run[0]))
    left, right = (":".join(f"{group:x}" for group in part) for part in (groups[:start], groups[end:]))
    assert text == f"{left}::{right}"


def test_the_halves_may_be_signed_as_the_tables_hold_them() -> None:
    assert address_text(6, -1, -2) == "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"
    assert address_text(4, 0, 0xC0000201) == "192.0.2.1"


def test_a_port_stands_outside_the_brackets() -> None:
    assert host_and_port("2001:db8::1", 80) == "[2001:db8::1]:80"
    assert host_and_port("::ffff:192.0.2.1", 80) == "[::ffff:192.0.2.1]:80"
    assert host_and_port("192.0.2.1", 80) == "192.0.2.1:80"


def test_every_output_writes_mapped_addresses_alike(tmp_path: Path) -> None:
    """An IPv4 address inside an IPv6 one, which versions of Python write in two ways."""
    client, server = "::ffff:192.0.2.1", "2001:db8:0:0:1:0:0:1"
    frames = []
    for n, (source, target, flags) in enumerate([(client, server, SYN), (server, client, SYN | ACK)]):
        ports = (40000, 80) if source == client else (80, 40000)
        segment = Segment(source, target, *ports, seq=n, ack=1 if flags & ACK else 0, flags=flags)
        frames.append((n * 1_000_000, ethernet(tcp_packet(segment), bytes(6), bytes(6))))
    path = tmp_path / "mapped.pcap"
    write_pcap(path, frames)
    analysis = analyze(path)
    assert analysis.flows["client_ip"].tolist() == ["::ffff:192.0.2.1"]
    assert analysis.flows["server_ip"].tolist() == ["2001:db8::1:0:0:1"]
    assert analysis.tables.client(0) == "[::ffff:192.0.2.1]:40000"
    for text in (analysis.to_html(), analysis.to_json()):
        assert "::ffff:c000:201" not in text


def test_one_module_writes_addresses() -> None:
    """``str`` of an ``ipaddress`` object differs between versions of Python."""
    users = {path.name for path in PACKAGE.rglob("*.py") if "ipaddress" in path.read_text(encoding="utf-8")}
    # The others take numbers from constants, and networks from the configuration, and write none.
    readers = {"anonymize.py", "config.py", "habits.py"}
    assert users <= {"addresses.py", *readers}
    for path in PACKAGE.rglob("*.py"):
        assert path.name not in readers or "str(ip" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("version", ["3.12", "3.13", "3.14"])
def test_other_versions_of_python_write_them_alike(version: str) -> None:
    """The module needs the standard library alone, so any Python that is there can be asked."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import addresses\n"
        "print(addresses.address_text(6, 0, 0xFFFF << 32 | 0xC0000201), addresses.address_text(6, 1 << 48, 1))"
    )
    program = shutil.which(f"python{version}")
    # What is found may be a shim for a version that nobody has chosen.
    if program is None or subprocess.run([program, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip(f"no Python {version} on this machine")
    done = subprocess.run([program, "-I", "-c", code, PACKAGE], capture_output=True, text=True, check=True)
    assert done.stdout == "::ffff:192.0.2.1 1::1\n"
