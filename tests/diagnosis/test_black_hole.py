"""PI407 black-hole."""

from __future__ import annotations

import pytest

from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import incidents, only, repeated, told
from tests.ladders import ISNS

OPEN = """
      0  > S   0:0            mss 1460
      1  < S.  0:0    ack 1   mss 1460
      2  > .   1:1    ack 1
"""
LARGE_ONES_VANISH = f"""{OPEN}
      3  > P.  1:101       ack 1
      4  < P.  1:201       ack 101
      5  > .   101:1561    ack 201
    205  > .   101:1561    ack 201
    605  > .   101:1561    ack 201
   1405  > .   101:1561    ack 201
   3005  > .   101:1561    ack 201
   6205  > .   101:1561    ack 201
   6300  < P.  201:211     ack 101
   6301  > .   1561:1561   ack 211
"""
NOTHING_PASSES = "\n".join(LARGE_ONES_VANISH.splitlines()[:-2])
LARGE_ONES_PASS = f"""{OPEN}
      3  > P.  1:101       ack 1
      4  < P.  1:201       ack 101
      5  > .   101:1561    ack 201
      6  < .   201:201     ack 1561
"""


@fires("PI407")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_full_segments_that_vanish_while_small_ones_pass_are_a_black_hole(isn: tuple[int, int]) -> None:
    found = incidents(repeated(LARGE_ONES_VANISH, 3, apart_ms=100), end_ms=15_000, isn=isn)

    hole = only(found, "black-hole")
    assert hole.headline.startswith(
        "Large packets from 192.0.2.1 to 198.51.100.2 vanish on the way while small ones pass: 3 connections hung with "
        "segments of 1,460 bytes"
    )
    assert hole.blame.kind == "path"
    assert any("net.ipv4.tcp_mtu_probing=1" in step.text for step in hole.remedy)


@spares("PI407")
def test_a_peer_of_which_nothing_is_heard_any_more_is_gone() -> None:
    found = incidents(repeated(NOTHING_PASSES, 3, apart_ms=10), end_ms=15_000)

    assert not told(found, "black-hole")


@spares("PI407")
def test_a_large_segment_that_passes_is_no_black_hole() -> None:
    assert not told(incidents(repeated(LARGE_ONES_PASS, 5, apart_ms=100), end_ms=15_000), "black-hole")
