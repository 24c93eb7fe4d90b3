"""PI901 capture-loss."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Severity
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import OPEN, incidents, only, repeated, told
from tests.ladders import ISNS

LACKING = f"""{OPEN}
      3  > P.  1:101     ack 1
      4  < .   1:1       ack 101
      5  < .   1:1001    ack 101
      7  > .   101:101   ack 3001
      8  < .   3001:4001 ack 101
      9  > .   101:101   ack 4001
     10  > P.  101:201   ack 4001
     11  < .   4001:4001 ack 201
"""
SENT_AGAIN = f"""{OPEN}
      3  > P.  1:101     ack 1
      4  < .   1:1       ack 101
      5  < .   1:1001    ack 101
      6  < .   2001:3001 ack 101
      7  > .   101:101   ack 1001
    250  < .   1001:2001 ack 101
    251  > .   101:101   ack 3001
"""


@fires("PI901")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_bytes_that_were_acknowledged_and_never_seen_are_missing_from_the_capture(isn: tuple[int, int]) -> None:
    found = incidents(repeated(LACKING, 4, apart_ms=100), isn=isn)

    lost = only(found, "capture-loss")
    assert lost.headline == (
        "This capture is incomplete: it lacks at least 8,000 bytes of 4 of its 4 connections, so what it does not show "
        "may well have happened."
    )
    assert lost.blame.kind == "capture"
    assert Severity.LOW <= lost.severity <= Severity.MEDIUM


WITHOUT_DATA = f"""{OPEN}
      9  > F.  301:301   ack 4001
     10  < F.  4001:4001 ack 302
     11  > .   302:302   ack 4002
"""


@fires("PI901")
def test_a_filter_that_lets_no_data_pass_is_not_a_buffer_that_overflows() -> None:
    lost = only(incidents(repeated(WITHOUT_DATA, 4, apart_ms=100)), "capture-loss")

    assert lost.headline.startswith("This capture holds no data at all: it lacks at least ")
    assert [step.text for step in lost.remedy] == [
        "capture again without the filter that let no data pass, such as one for SYN, FIN and RST"
    ]


@spares("PI901")
def test_what_was_sent_again_was_lost_in_the_network() -> None:
    assert not told(incidents(repeated(SENT_AGAIN, 4, apart_ms=100)), "capture-loss")


@fires("PI901")
def test_the_frames_that_acknowledge_what_is_missing_are_cited() -> None:
    """And none of those that acknowledge what passed."""
    lost = only(incidents(repeated(LACKING, 1)), "capture-loss")

    assert lost.why[0].frames == (7,)


@spares("PI901")
def test_what_the_capture_holds_after_its_ack_is_not_missing() -> None:
    mixed_up = f"""{OPEN}
      3    > P.  1:101    ack 1
      5    > .   101:101  ack 1001
      5.1  < .   1:1001   ack 101
      8    < .   1001:2001 ack 101
      9    > .   101:101  ack 2001
    """
    assert not told(incidents(repeated(mixed_up, 4, apart_ms=100)), "capture-loss")


@fires("PI901")
def test_what_was_acknowledged_before_its_sender_was_seen_is_cited() -> None:
    late = """
      0    < S.  0:0      ack 1
      1    < P.  1:46     ack 46
      2    > P.  46:65    ack 46
    """
    assert only(incidents(repeated(late, 1)), "capture-loss").why[0].frames == (2,)
