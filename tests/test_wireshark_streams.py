"""Flows are Wireshark's streams: number, addresses, first and last frame, packets and completeness."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from fixtures.captures import kernel_captures
from fixtures.renumber import write_wrapped
from fixtures.stacks.run import CAPTURES
from pcapflow.analysis import track
from pcapflow.tables.table import Tables
from pcapflow.tcp.states import CLIENT, SERVER
from tests.wireshark import fields, merge, sample

FIELDS: Final = (
    "frame.number",
    "tcp.stream",
    "ip.src",
    "ipv6.src",
    "ip.dst",
    "ipv6.dst",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.completeness",
    "frame.protocols",
)
SHARE: Final = 0.99

_CHALLENGED: Final = re.compile(r"_challenged|half_open_recovered|old_syn_late|reuse_in_close_wait|reuse_in_last_ack")
"""Where a SYN is merely challenged, Wireshark splits what is one connection (docs/wireshark.md)."""


class Stream(NamedTuple):
    """What both programs say of a stream."""

    ends: frozenset[tuple[str, int]]
    first_frame: int
    last_frame: int
    packets: int


def test_fixtures_have_wiresharks_streams(tshark: str, tmp_path: Path) -> None:
    """Every one of them, from both ends of the wire, and those of one end with sequence numbers that wrap."""
    captures = [path for path in kernel_captures() if not _CHALLENGED.search(path.name)]
    captures += [write_wrapped(path, tmp_path) for path in captures if ".client." in path.name]

    same, total, complete = _compare(tshark, captures, tmp_path / "merged.pcap", numbers=True)

    assert total > len(captures)
    assert same == total
    assert complete == total


@pytest.mark.skipif(not sample(100), reason="the corpus is not here")
def test_captures_of_all_kinds_have_wiresharks_streams(tshark: str, tmp_path: Path) -> None:
    """Captures of other projects, broken ones too."""
    same, total, complete = _compare(tshark, sample(2), tmp_path / "merged.pcap", numbers=False)

    assert total > 100
    assert same >= total * SHARE
    assert complete >= same * SHARE


def test_what_begins_with_the_number_of_one_before_is_in_its_stream(tshark: str, tmp_path: Path) -> None:
    """With lwIP, a number is used again: a connection of its own to pcapflow, while Wireshark's old stream goes on."""
    captures = sorted((CAPTURES / "lwip").glob("reuse_*_as_client.*.pcap"))
    merge(captures, merged := tmp_path / "merged.pcap")
    stream_of = {int(frame): int(stream) for frame, stream in fields(tshark, merged, FIELDS[:2], passes=2) if stream}

    flows = track(merged).flows

    assert len(flows) > len(set(stream_of.values()))
    assert [stream_of[int(frame)] for frame in flows["first_frame"]] == list(flows["stream"])


def _compare(tshark: str, captures: list[Path], merged: Path, *, numbers: bool) -> tuple[int, int, int]:
    """Streams that agree, streams there are, and those of the former whose completeness agrees too.

    Without ``numbers`` only the order must agree: one stream that only one program reads moves all that follow.
    """
    used = merge(captures, merged)
    theirs, completeness = _theirs(tshark, merged)
    tables = track(merged)
    ours = _ours(tables)
    row_of = {stream: row for row, stream in enumerate(ours)}
    same = [stream for stream, key in theirs.items() if key in row_of]
    if numbers:
        same = [stream for stream in same if tables.flows["stream"][row_of[theirs[stream]]] == stream]
    complete = [s for s in same if tables.flows["completeness"][row_of[theirs[s]]] == completeness[s]]
    print(f"\n{used} captures: {len(same)} of {len(theirs)} streams agree, {len(complete)} in completeness too")
    for stream in sorted(set(theirs) - set(same))[:10]:
        print(f"  stream {stream}: Wireshark {theirs[stream]}")
    for stream in sorted(set(same) - set(complete))[:10]:
        row = row_of[theirs[stream]]
        print(f"  stream {stream}: completeness {completeness[stream]}, ours {tables.flows['completeness'][row]}")
    rows = [row_of[theirs[stream]] for stream in sorted(same)]
    assert rows == sorted(rows) or numbers
    return len(same), len(theirs), len(complete)


def _theirs(tshark: str, capture: Path) -> tuple[dict[int, Stream], dict[int, int]]:
    streams: dict[int, Stream] = {}
    completeness: dict[int, int] = {}
    for row in fields(tshark, capture, FIELDS, passes=2):
        frame, number, ipv4_src, ipv6_src, ipv4_dst, ipv6_dst, sport, dport, complete, protocols = row
        above = protocols.split(":")
        if not number or ";" in number or {"icmp", "icmpv6"} & set(above[: above.index("tcp")]):
            continue
        # The innermost address is the last.
        src, dst = (_last(ipv4_src) or _last(ipv6_src)), (_last(ipv4_dst) or _last(ipv6_dst))
        ends = frozenset([(src, int(_last(sport))), (dst, int(_last(dport)))])
        first = streams.get(int(number), Stream(ends, int(frame), 0, 0))
        streams[int(number)] = Stream(ends, first.first_frame, int(frame), first.packets + 1)
        completeness[int(number)] = int(_last(complete) or 0)
    return streams, completeness


def _last(values: str) -> str:
    return values.rsplit(";", maxsplit=1)[-1]


def _ours(tables: Tables) -> list[Stream]:
    flows = tables.flows
    return [
        Stream(
            frozenset(
                [
                    (tables.ip(at, CLIENT), int(flows["client_port"][at])),
                    (tables.ip(at, SERVER), int(flows["server_port"][at])),
                ]
            ),
            int(flows["first_frame"][at]),
            int(flows["last_frame"][at]),
            int(flows["client_packets"][at] + flows["server_packets"][at]),
        )
        for at in range(len(flows))
    ]
