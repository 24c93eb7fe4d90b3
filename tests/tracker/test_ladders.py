"""The ladders themselves: what they feed the machine is what a capture of the same segments does, and they can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.frames import write_pcap
from pcapflow.analysis import track
from tests.ladders import ISNS, climb

LADDER = """
     ms  segment                             | client       | server       | marks
      0  > S   0:0    scale 7 ts 1 ecr 0     | SYN_SENT     | SYN_RCVD+    |
      1  < S.  0:0    ack 1 scale 6 ts 9 ecr 1 | ESTABLISHED+ |            |
      2  > .   1:1    ack 1 ts 2 ecr 9       |              | ESTABLISHED+ |
     10  > F.  1:1    ack 1 id 7 ts 10 ecr 9 | FIN_WAIT_1   | CLOSE_WAIT+  |
     11  < .   1:1    ack 2 ts 19 ecr 10     | FIN_WAIT_2+  |              |
     20  < F.  1:1    ack 2 ts 28 ecr 10     | TIME_WAIT+   | LAST_ACK     |
    220  < F.  1:1    ack 2 ts 228 ecr 10    |              |              | fin-repeated
    221  > .   2:2    ack 2 ts 221 ecr 28 sack 1 win 0 |    | CLOSED?      |
"""


@pytest.mark.parametrize("isn", list(ISNS.values()), ids=list(ISNS))
def test_a_capture_of_the_same_segments_gives_the_same_tables(isn: tuple[int, int], tmp_path: Path) -> None:
    story = climb(LADDER, isn)
    path = tmp_path / "ladder.pcap"
    write_pcap(path, story.records())

    tables = track(path)

    for ours, read in (
        (story.tables.flows, tables.flows),
        (story.tables.transitions, tables.transitions),
        (story.tables.marks, tables.marks),
    ):
        for column in ours.schema:
            assert list(ours[column]) == list(read[column]), column


def test_a_wrong_cell_is_shown_as_a_diff() -> None:
    with pytest.raises(AssertionError, match=r"(?s)- 20 .*LAST_ACK\?.*\+ 20 .*LAST_ACK *\|"):
        climb(LADDER.replace("| LAST_ACK ", "| LAST_ACK? "))


def test_a_missing_cell_is_shown_too() -> None:
    with pytest.raises(AssertionError, match="CLOSED"):
        climb(LADDER.replace("CLOSED?", ""))


def test_a_line_that_is_no_rung_is_refused() -> None:
    with pytest.raises(ValueError, match="not a rung"):
        climb(LADDER.replace("> .   2:2", "> ?   2:2"))
