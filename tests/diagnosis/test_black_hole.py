"""PI407 black-hole."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Severity
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import Connection, incidents, only, repeated, told
from tests.ladders import ISNS

OPEN = """
      0  > S   0:0     mss 1460
      1  < S.  0:0     ack 1  mss 1460
      2  > .   1:1     ack 1
"""
HANGS = f"""{OPEN}
     10  > P.  1:1461  ack 1
    210  > .   1:1461  ack 1
    610  > .   1:1461  ack 1
   1410  > .   1:1461  ack 1
   3010  > .   1:1461  ack 1
   6210  > .   1:1461  ack 1
"""
SMALL = f"""{OPEN}
   8000  > P.  1:101   ack 1
   8001  < P.  1:201   ack 101
   8002  > .   101:101 ack 201
"""
LARGE = f"""{OPEN}
   8000  > P.  1:1461    ack 1
   8001  < P.  1:201     ack 1461
   8002  > .   1461:1461 ack 201
"""


@fires("PI407")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_full_size_segments_that_vanish_while_small_ones_pass(isn: tuple[int, int]) -> None:
    found = incidents([*repeated(HANGS, 3), *repeated(SMALL, 2, first_port=50_000)], isn=isn)

    hole = only(found, "black-hole")
    assert hole.headline == (
        "Large packets from 192.0.2.1 to 198.51.100.2 vanish on the way while small ones pass: 3 connections hung with "
        "segments of 1,460 bytes (packets of 1,500) since 00:00:00 UTC."
    )
    assert hole.blame.text == "the path between 192.0.2.1 and 198.51.100.2"
    assert (hole.severity, hole.confidence) == (Severity.MEDIUM, "likely")
    assert "is between 140 and 1,499 bytes" in hole.why[-1].text
    assert any("no ICMP message in this capture says" in seen.text for seen in hole.why)
    assert "192.0.2.1 sent segments of 1,460 bytes again 5 times over up to 6 s, on each of these connections" in (
        hole.why[0].text
    )
    assert hole.remedy[1].side == "Client"
    assert len(found) == 1


@spares("PI407")
def test_where_segments_of_that_size_pass_elsewhere_it_is_no_black_hole() -> None:
    found = incidents([*repeated(HANGS, 3), *repeated(LARGE, 2, first_port=50_000)])

    assert not told(found, "black-hole")


@spares("PI407")
def test_one_large_segment_among_small_ones_shows_that_large_ones_pass() -> None:
    mixed = f"""{OPEN}
       8000  > P.  1:101     ack 1
       8001  < .   1:1       ack 101
       8002  > P.  101:1561  ack 1
       8003  < .   1:1       ack 1561
       8004  > P.  1561:1571 ack 1
       8005  < P.  1:201     ack 1571
    """
    found = incidents([*repeated(HANGS, 3), *repeated(mixed, 2, first_port=50_000)])

    assert not told(found, "black-hole")


@fires("PI407")
def test_what_passed_in_smaller_pieces_does_not_show_that_it_passed_whole() -> None:
    probing = f"""{OPEN}
       8000  > P.  1:1461    ack 1
       8020  > .   1:1461    ack 1
       8060  > .   1:513     ack 1
       8061  < .   1:1       ack 513
       8062  > .   513:1025  ack 1
       8063  < .   1:1       ack 1025
       8064  > P.  1025:1461 ack 1
       8065  < P.  1:201     ack 1461
    """
    small = repeated(SMALL, 2, first_port=60_000)
    found = incidents([*repeated(HANGS, 3), *repeated(probing, 1, first_port=50_000), *small])

    assert "is between 405 and 1,499 bytes" in only(found, "black-hole").why[-1].text


@spares("PI407")
def test_a_host_that_is_not_heard_any_more_is_no_black_hole() -> None:
    small = HANGS.replace("1461", "101")

    assert not told(incidents([Connection(small)], end_ms=9000), "black-hole")
