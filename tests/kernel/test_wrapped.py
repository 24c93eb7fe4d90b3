"""Sequence numbers that wrap change nothing: every committed capture, moved to begin at 2**32 - 1, says the same.

The paths of the captures as they are have been compared with the kernels' (``test_committed.py``); equal tables show
that those hold here too.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import pcapflow
from fixtures.captures import VIEWS, kernel_capture, scenarios_in
from fixtures.frames import SYN, parse, read_pcap
from fixtures.renumber import WRAPPED_ISN, write_wrapped
from pcapflow.tcp.marks import MARK_NAMES

WINDOW_UPDATE = MARK_NAMES.index("window-update")


def said(capture: Path) -> dict[str, object]:
    """Flows, transitions, anomalies and marks.

    Without the window updates: Wireshark takes the number 0 for "not known yet", and we count as it does
    (docs/wireshark.md).
    """
    analysis = pcapflow.analyze(capture, reader="native")
    tables = analysis.tables
    marks = zip(*(column.tolist() for column in tables.marks.columns.values()), strict=True)
    kind = list(tables.marks.columns).index("mark")
    return {
        "anomalies": [dataclasses.asdict(finding) for finding in analysis.findings],
        "marks": [row for row in marks if row[kind] != WINDOW_UPDATE],
        **{
            f"{table.name}.{name}": column.tolist()
            for table in (tables.flows, tables.transitions)
            for name, column in table.columns.items()
        },
    }


@pytest.mark.parametrize("name", scenarios_in())
def test_a_capture_whose_sequence_numbers_wrap_says_the_same(name: str, tmp_path: Path) -> None:
    for view in VIEWS:
        plain = kernel_capture(name, view)
        assert said(write_wrapped(plain, tmp_path)) == said(plain)

    # Every client sends at least its SYN; nothing may come through to the server.
    first = parse(read_pcap(tmp_path / f"{name}_wrapped.client.pcap")[0][1])
    assert first is not None
    assert (first.flags & SYN, first.seq) == (SYN, WRAPPED_ISN)
