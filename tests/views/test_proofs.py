"""The reason of every change of state names the frame that shows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pcapflow
from fixtures.captures import kernel_capture
from fixtures.frames import write_pcap
from pcapflow.tables.segments import Segment
from pcapflow.tables.table import Tables
from pcapflow.tcp.states import BASIS_NAMES, ENDPOINT_NAMES, STATE_NAMES
from pcapflow.views.proofs import reasons, withdrawals
from tests.ladders import ISNS, RTO_NS, climb

OPEN = """
     ms  segment                | client       | server
      0  > S   0:0              | SYN_SENT     | SYN_RCVD+
      1  < S.  0:0    ack 1     | ESTABLISHED+ |
      2  > .   1:1    ack 1     |              | ESTABLISHED{sign}
"""


def read_back(text: str, path: Path, isn: tuple[int, int] = (1000, 5000)) -> tuple[Tables, list[Segment]]:
    """The tables and the segments of a ladder, read back from a capture of it."""
    write_pcap(path, climb(text, isn).records())
    analysis = pcapflow.analyze(path)
    return analysis.tables, analysis.segments([0]).get(0, [])


def why(tables: Tables, segments: list[Segment]) -> dict[tuple[str, str], str]:
    """The reasons by endpoint and new state."""
    t, rows = tables.transitions, tables.transitions_of(0)
    texts = reasons(tables, 0, segments, RTO_NS)
    return {
        (ENDPOINT_NAMES[t["endpoint"][row]], STATE_NAMES[t["new"][row]]): text
        for row, text in zip(rows, texts, strict=True)
    }


@pytest.mark.parametrize("isn", list(ISNS.values()), ids=list(ISNS))
def test_an_ordinary_close_can_be_followed_by_hand(isn: tuple[int, int], tmp_path: Path) -> None:
    ladder = (
        OPEN.format(sign="+")
        + """
      5  > P.  1:6    ack 1     |              |
      6  < .   1:1    ack 6     |              |
     10  > F.  6:6    ack 1     | FIN_WAIT_1   | CLOSE_WAIT+
     11  < .   1:1    ack 7     | FIN_WAIT_2+  |
     20  < F.  1:1    ack 7     | TIME_WAIT+   | LAST_ACK
     21  > .   7:7    ack 2     |              | CLOSED?
    """
    )

    found = why(*read_back(ladder, tmp_path / "a.pcap", isn))

    assert found == {
        ("client", "SYN_SENT"): "frame 1 is its own SYN",
        ("server", "SYN_RCVD"): "its own frame 2 acknowledges that SYN (ack 1)",
        ("client", "ESTABLISHED"): "its own frame 3 acknowledges that SYN-ACK (ack 1)",
        ("server", "ESTABLISHED"): "its own frame 5 acknowledges what came with or after that ACK (ack 6)",
        ("client", "FIN_WAIT_1"): "frame 6 is its own FIN",
        ("server", "CLOSE_WAIT"): "its own frame 7 acknowledges that FIN (ack 7)",
        ("client", "FIN_WAIT_2"): "its own frame 9 acknowledges frame 8, which says the same (ack 2)",
        ("server", "LAST_ACK"): "frame 8 is its own FIN",
        ("client", "TIME_WAIT"): "its own frame 9 acknowledges that FIN (ack 2)",
        ("server", "CLOSED"): (
            "frame 9 passed here; no answer would show that it arrived, but its FIN was not repeated after it"
        ),
    }


def test_a_reset_is_accepted_and_nothing_answers_it(tmp_path: Path) -> None:
    ladder = (
        OPEN.format(sign="?")
        + """
      9  > R.  1:1    ack 1     | CLOSED       | CLOSED?
    """
    )

    found = why(*read_back(ladder, tmp_path / "a.pcap"))

    assert found["client", "CLOSED"] == "frame 4 is its own RST"
    assert found["server", "CLOSED"].startswith("frame 4 passed here and fits what it expects")
    assert found["server", "ESTABLISHED"].endswith("but its SYN-ACK was not repeated after it")


def test_a_fin_that_nobody_had_time_to_answer(tmp_path: Path) -> None:
    ladder = (
        OPEN.format(sign="?")
        + """
      9  > F.  1:1    ack 1     | FIN_WAIT_1   | CLOSE_WAIT?
    """
    )

    found = why(*read_back(ladder, tmp_path / "a.pcap"))

    assert found["server", "CLOSE_WAIT"] == (
        "frame 4 passed here too shortly before the end of the capture to be answered or repeated"
    )


def test_a_connection_that_was_open_before(tmp_path: Path) -> None:
    ladder = """
     ms  segment                | client       | server
      0  > P.  1:6    ack 1     | ESTABLISHED? | ESTABLISHED?
    """

    found = why(*read_back(ladder, tmp_path / "a.pcap"))

    assert found["server", "ESTABLISHED"] == (
        "frame 1 is the first here, and no SYN came before it: it was open already"
    )


def test_an_assumption_that_did_not_hold_is_told(tmp_path: Path) -> None:
    ladder = (
        OPEN.format(sign="+")
        + """
     10  > F.  1:1    ack 1     | FIN_WAIT_1   | CLOSE_WAIT+
     20  < F.  1:1    ack 2     | FIN_WAIT_2+ TIME_WAIT+ | LAST_ACK
     21  > .   2:2    ack 2     |              |
    220  < F.  1:1    ack 2     |              |
    221  > .   2:2    ack 2     |              | CLOSED?
    """
    )

    tables, segments = read_back(ladder, tmp_path / "a.pcap")

    assert list(withdrawals(tables, 0, segments)) == [
        (7, "the server repeats its FIN: frame 6 had not reached it, or not yet")
    ]
    assert "frame 8 passed here" in why(tables, segments)["server", "CLOSED"]


def test_a_reset_in_anothers_name_is_taken_back() -> None:
    analysis = pcapflow.analyze(kernel_capture("abort_injected_to_client", "client"))

    found = list(withdrawals(analysis.tables, 0, analysis.segments([0])[0]))

    assert found == [(9, "the server goes on as before: frame 8 was not its own")]


def test_without_segments_the_reason_has_no_frame_of_proof(tmp_path: Path) -> None:
    tables, _ = read_back(OPEN.format(sign="?"), tmp_path / "a.pcap")

    found = why(tables, [])

    assert found["client", "SYN_SENT"] == "frame 1 is its own SYN"
    assert found["server", "SYN_RCVD"] == "a later segment of its own could not have been sent otherwise"


SCENARIOS = [
    "open_normal",
    "open_simultaneous",
    "open_ack_lost_server_speaks_first",
    "close_client_first",
    "close_simultaneous",
    "close_half_close_then_reply",
    "close_second_fin_lost_twice",
    "abort_crosses_fin",
    "random_loss_15",
]


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_proves_a_transition_is_a_later_segment_of_the_same_endpoint(name: str) -> None:
    analysis = pcapflow.analyze(kernel_capture(name, "client"))
    t, flows = analysis.tables.transitions, range(len(analysis.flows))
    segments = analysis.segments(list(flows), 10_000)
    for flow in flows:
        by_frame = {segment.frame: segment for segment in segments[flow]}
        for row, text in zip(
            analysis.tables.transitions_of(flow), reasons(analysis.tables, flow, segments[flow], RTO_NS), strict=True
        ):
            proof = re.match(r"its own frame (\d+) ", text)
            assert (proof is None) or BASIS_NAMES[t["basis"][row]] == "proven"
            if proof:
                shown = by_frame[int(proof[1])]
                assert shown.endpoint == t["endpoint"][row]
                assert shown.frame > t["frame"][row]
            elif BASIS_NAMES[t["basis"][row]] == "proven":
                assert "did not pass here" in text
