"""Stacks are guessed by their SYNs: each signature against the SYN it describes, and hosts of the public captures."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

import pcapflow
from fixtures.frames import ACK, SYN, Segment, ethernet, tcp_packet, write_pcap
from pcapflow.config import Config
from pcapflow.stacks import SIGNATURES, STACKS, Signature, Syn, has_window, initial_ttl, signature_of
from pcapflow.tcp.syn_options import ORDERS
from pcapflow.views.hosts import host_table
from pcapflow.views.stack_guess import Guess, guess

STACKS_DIRECTORY = Path(__file__).parents[1] / "fixtures" / "stacks"
CORPUS = Path(__file__).parents[2] / "shared" / "corpus"
MSS = 1460
_BYTES = {
    "1": b"\x01",
    "2": struct.pack("!BBH", 2, 4, MSS),
    "4": b"\x04\x02",
    "5": struct.pack("!BBII", 8, 10, 1, 0),
    "6": b"\x00",
    "7": b"\xfe\x02",
}


def options(order: int, scale: int) -> bytes:
    """The options of a SYN in this order: they fill whole words, or are followed by the end of the list."""
    digits = f"{order:o}"
    packed = b"".join(_BYTES.get(digit, struct.pack("!3B", 3, 3, scale)) for digit in digits)
    short = -len(packed) % 4
    unknown = _BYTES["7"]
    return packed.replace(unknown, struct.pack("!BB", 254, 2 + short).ljust(2 + short, b"\x01")).ljust(
        len(packed) + short, b"\x00"
    )


def host_of(
    path: Path, *syns: tuple[Signature, int], ttl: int = 0, flags: int = SYN, hops: int = 3
) -> tuple[Guess, int, int]:
    """What is guessed of a host that sends a SYN like each of these, with this window, and its TTL and hops."""
    frames = []
    for n, (signature, window) in enumerate(syns):
        own = Segment(
            "192.0.2.1", "198.51.100.2", 40_000 + n, 80, seq=1, flags=flags, window=window,
            ack=9 if flags & ACK else 0,
            options=options(signature.order, max(signature.scale, 7) if signature.scale < 0 else signature.scale),
            ttl=(ttl or signature.ttl) - hops,
        )  # fmt: skip
        peer = Segment("198.51.100.2", "192.0.2.1", 80, 40_000 + n, seq=8, ack=2, flags=SYN | ACK, ttl=64)
        final = Segment("192.0.2.1", "198.51.100.2", 40_000 + n, 80, seq=2, ack=9, flags=ACK, window=500, ttl=own.ttl)
        story = [own, peer, final] if not flags & ACK else [own]
        frames += [
            ((3 * n + at) * 1_000_000, ethernet(tcp_packet(segment), bytes(6), bytes(6)))
            for at, segment in enumerate(story)
        ]
    write_pcap(path, frames)
    table = host_table(pcapflow.track(path, jobs=1), Config())
    (host,) = table.at([table.place_of("192.0.2.1")])
    return host.guess, host.ttl, host.hops


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda signature: f"{signature.stack} {signature.order:o}")
def test_a_syn_is_known_by_its_signature(tmp_path: Path, signature: Signature) -> None:
    for window in signature.windows or (MSS * 20, 64_240):
        found, ttl, hops = host_of(tmp_path / "syn.pcap", (signature, window))
        assert (found.stack, found.confidence) == (signature.stack, "likely")
        assert found.why.startswith("SYN: mss")
        assert found.why.endswith(f", window {window}, TTL {signature.ttl}")
        assert (ttl, hops) == (signature.ttl, 3)


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda signature: f"{signature.stack} {signature.order:o}")
def test_another_window_makes_it_only_possible_and_another_ttl_unknown(tmp_path: Path, signature: Signature) -> None:
    found, _, _ = host_of(tmp_path / "syn.pcap", (signature, 1001))
    # Without its own window a netstack looks like a Linux.
    assert (found.stack, found.confidence) == ("Linux" if signature.stack == "gVisor" else signature.stack, "possible")

    found, ttl, _ = host_of(tmp_path / "syn.pcap", (signature, 64_240), ttl=32)
    assert (found.stack, found.confidence, ttl) == ("", "", 32)
    assert found.why.startswith("SYN: mss")


def test_a_syn_ack_alone_is_no_more_than_possible(tmp_path: Path) -> None:
    linux = next(each for each in SIGNATURES if each.stack == "Linux")

    found, _, _ = host_of(tmp_path / "syn.pcap", (linux, 65_160), flags=SYN | ACK)

    assert found == Guess("Linux", "possible", "SYN-ACK: mss,sackOK,ts,nop,ws, window 65160, TTL 64")


def test_two_stacks_behind_one_address_are_said(tmp_path: Path) -> None:
    linux, windows = (next(each for each in SIGNATURES if each.stack == name) for name in ("Linux", "Windows"))

    found, _, _ = host_of(tmp_path / "syn.pcap", (linux, 64_240), (windows, 8192), (linux, 29_200))

    assert (found.stack, found.confidence) == ("Linux", "possible")
    assert found.why.startswith("its SYNs differ, as behind a NAT: 2 SYNs as Linux, 1 SYN as Windows; SYN: mss,sackOK")


def test_a_stack_and_what_is_of_none_is_only_possible() -> None:
    known = Syn(ORDERS.index(SIGNATURES[1].order), 64, 64_240, 7, is_whole=True)
    other = Syn(0, 64, 1024, -1, is_whole=False)

    assert guess([(known, 5), (other, 1)]).why.startswith(
        "its SYNs differ, as behind a NAT: 5 SYNs as Linux, 1 as others;"
    )
    assert guess([(other, 1)]) == Guess("", "", "SYN: no options, or in no known order, window 1024, TTL 64")
    assert guess([]) == Guess("", "", "")


def test_every_signature_can_be_found_and_says_where_it_is_from() -> None:
    for signature in SIGNATURES:
        assert signature.order in ORDERS
        assert signature.source
        window = (signature.windows or (64_240,))[0]
        syn = Syn(ORDERS.index(signature.order), signature.ttl, window, signature.scale, is_whole=True)
        assert signature_of(syn) == signature
        assert has_window(signature, syn)


def test_a_packet_began_with_the_next_higher_of_the_usual_ttls() -> None:
    assert [initial_ttl(ttl) for ttl in (1, 32, 33, 64, 65, 128, 129, 255)] == [32, 32, 64, 64, 128, 128, 255, 255]


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of real captures is not here")
@pytest.mark.parametrize(
    ("name", "address", "stack"),
    [
        ("OISF+suricata-verify/tests/smb1-02/smb1_osx.pcap", "192.168.1.10", "macOS or iOS"),
        ("arkime+arkime/tests/pcap/aerospike.pcap", "10.0.0.1", "macOS or iOS"),
        ("kbandla+dpkt/examples/data/http.pcap", "145.254.160.237", "Windows XP"),
        ("OISF+suricata-verify/tests/output-multi-eve/input.pcap", "172.16.238.10", "Linux"),
    ],
)
def test_hosts_of_public_captures(name: str, address: str, stack: str) -> None:
    """Named by what their payload says they are: a Finder, a browser of Windows, a container."""
    table = host_table(pcapflow.track(CORPUS / name, jobs=1), Config())

    (host,) = table.at([table.place_of(address)])

    assert host.guess.stack == stack


@pytest.mark.parametrize(
    ("kind", "stack", "confidence"),
    [("gvisor", "gVisor", "likely"), ("lwip", "lwIP", "likely"), ("pytcp", "PyTCP", "likely"), ("slirp", "", "")],
)
@pytest.mark.parametrize("tap", ["stack", "linux"])
def test_stacks_of_the_laboratory_and_their_peer(kind: str, stack: str, confidence: str, tap: str) -> None:
    """The peer is a Linux; slirp's SYN, which has an MSS alone, may be anybody's."""
    captures = STACKS_DIRECTORY / "captures" / kind
    table = host_table(pcapflow.track(captures / f"abort_by_client_as_client.{tap}.pcap", jobs=1), Config())
    (client,) = (host for host in table.rows if host.as_client)
    assert (client.guess.stack, client.guess.confidence) == (stack, confidence)

    table = host_table(pcapflow.track(captures / f"abort_by_client_as_server.{tap}.pcap", jobs=1), Config())
    client, server = sorted(table.rows, key=lambda host: host.as_server)
    assert (client.guess.stack, client.guess.confidence) == ("Linux", "likely")
    assert (server.guess.stack, server.guess.confidence) == (stack, "possible" if stack else "")


def test_names_of_stacks_are_plain_words() -> None:
    assert all(name.replace("-", "").isalnum() and name == name.lower() for name in STACKS)
