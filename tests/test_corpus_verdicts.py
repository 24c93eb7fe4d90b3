"""Verdicts that exclude one another, over captures of other projects: hosts of all kinds, broken captures too."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import pcapflow
from fixtures.frames import ACK, RST, SYN
from pcapflow.errors import PcapflowError
from tests.wireshark import CORPUS, fields

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of real captures is not here"),
]

EXCLUSIVE = (("PF201", "PF207"), ("PF206", "PF207"))
"""A close whose end is missing is no simultaneous one, and neither is one after which data was still sent."""


class Verdict(NamedTuple):
    """What was said of a connection of a capture; no flow where it is of many."""

    capture: Path
    code: str
    flow: int
    frames: tuple[int, ...]


@pytest.fixture(scope="module", name="verdicts")
def verdicts_() -> list[Verdict]:
    """All anomalies of all captures of the corpus that can be read."""
    return [verdict for path in sorted(CORPUS.rglob("*")) if path.is_file() for verdict in _verdicts(path)]


def _verdicts(path: Path) -> Iterator[Verdict]:
    try:
        analysis = pcapflow.analyze(path, reader="native")
    except PcapflowError:
        return
    for row in analysis.findings:
        yield Verdict(path, row.code, row.flow, row.frames)


def test_no_connection_has_two_verdicts_that_exclude_one_another(verdicts: list[Verdict]) -> None:
    said: defaultdict[tuple[Path, int], set[str]] = defaultdict(set)
    for verdict in verdicts:
        if verdict.flow >= 0:
            said[verdict.capture, verdict.flow].add(verdict.code)

    assert len(said) > 100
    assert [(place, pair) for place, codes in said.items() for pair in EXCLUSIVE if set(pair) <= codes] == []


def test_no_gap_rests_on_an_ack_that_answers_a_syn(tshark: str, verdicts: list[Verdict]) -> None:
    gaps = [verdict for verdict in verdicts if verdict.code == "PF901" and verdict.frames]

    assert len(gaps) > 5
    wrong = [(gap.capture, frame) for gap in gaps for frame in gap.frames if frame in _answers_to_syns(tshark, gap)]
    assert wrong == []


def _answers_to_syns(tshark: str, gap: Verdict) -> set[int]:
    """Frames with a first ACK of their sender, to whom the other side had sent nothing but SYNs and RSTs by then."""
    found: set[int] = set()
    said: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for number, stream, port, flags in fields(
        tshark, gap.capture, ["frame.number", "tcp.stream", "tcp.srcport", "tcp.flags"]
    ):
        if ";" in stream or not stream:
            continue
        own, bits = int(flags, 16), said[stream, port]
        others = [kinds for (other, side), kinds in said.items() if other == stream and side != port]
        is_first = not any(kind & ACK and not kind & SYN for kind in bits)
        if own & ACK and is_first and others and all(kind & (SYN | RST) for kinds in others for kind in kinds):
            found.add(int(number))
        bits.add(own & (ACK | SYN | RST))
    return found
