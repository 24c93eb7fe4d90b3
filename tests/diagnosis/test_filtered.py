"""PI405 filtered."""

from __future__ import annotations

import pytest

from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import OPEN, incidents, only, repeated, told
from tests.ladders import ISNS

WORKS = f"""{OPEN}
      5  > P.  1:101    ack 1
      6  < P.  1:201    ack 101
      7  > .   101:101  ack 201
"""
UNANSWERED = """
      0  > S   0:0
   1000  > S   0:0
   3000  > S   0:0
   7000  > S   0:0
"""
OTHER_PORT = ("198.51.100.2", 6380)


@fires("PI405")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_a_port_that_never_answers_at_a_host_that_does_is_filtered(isn: tuple[int, int]) -> None:
    found = incidents(
        [
            *repeated(WORKS, 8, apart_ms=1000),
            *repeated(UNANSWERED, 3, at_ms=500, apart_ms=700, first_port=50_000, server=OTHER_PORT),
        ],
        end_ms=20_000,
        isn=isn,
    )

    dropped = only(found, "filtered")
    assert dropped.headline.startswith("What is sent to ")
    assert "6380" in dropped.headline
    assert "while 198.51.100.2 answers on port 80" in dropped.headline


@fires("PI405")
def test_a_host_that_is_never_heard_may_be_down_as_well() -> None:
    found = incidents(repeated(UNANSWERED, 3, apart_ms=500), end_ms=20_000)

    assert "is down, the address is wrong, or what 192.0.2.1 sends it is dropped" in only(found, "filtered").headline


@spares("PI405")
def test_attempts_that_are_answered_are_not_filtered() -> None:
    assert not told(incidents(repeated(WORKS, 8, apart_ms=1000), end_ms=20_000), "filtered")


@fires("PI405")
def test_a_single_syn_had_no_answer_until_the_capture_ended() -> None:
    found = incidents(repeated("0  > S   0:0", 1), end_ms=20_000)

    assert (
        "1 SYN of 1 attempt to 198.51.100.2:80 had no answer in the 20 s that were left"
        in only(found, "filtered").why[0].text
    )


ANSWERED_IN_VAIN = """
      0  > S   0:0
      1  < S.  0:0    ack 1
   1000  > S   0:0
   1001  < S.  0:0    ack 1
   2100  < S.  0:0    ack 1
   3000  > S   0:0
   3001  < S.  0:0    ack 1
"""
LATE_HANDSHAKE = f"""{ANSWERED_IN_VAIN}
   3002  > .   1:1    ack 1
   3003  > P.  1:101  ack 1
   3004  < P.  1:201  ack 101
"""


@fires("PI405")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_answers_that_never_arrive_are_dropped_on_their_way_back(isn: tuple[int, int]) -> None:
    attempts = repeated(ANSWERED_IN_VAIN, 3, at_ms=500, apart_ms=700, first_port=50_000, server=OTHER_PORT)
    found = incidents([*repeated(WORKS, 8, apart_ms=1000), *attempts], end_ms=20_000, isn=isn)

    dropped = only(found, "filtered")
    assert dropped.headline == (
        "What 198.51.100.2:6380 answers to 192.0.2.1 is dropped: 3 attempts since 00:00:00 UTC drew SYN-ACKs that did "
        "not arrive."
    )
    assert dropped.blame.kind == "path"
    assert "12 SYN-ACKs" in dropped.why[0].text
    assert "8 connections between the same hosts came about, to port 80" in dropped.why[1].text
    assert not told(found, "not-accepting")


@spares("PI405")
def test_a_client_whose_handshakes_come_about_at_other_times_loses_packets_only() -> None:
    attempts = [
        *repeated(ANSWERED_IN_VAIN, 3, at_ms=500, apart_ms=700, first_port=50_000),
        *repeated(LATE_HANDSHAKE, 2, at_ms=5000, first_port=51_000),
    ]
    assert not told(incidents(attempts, end_ms=20_000), "filtered")


@spares("PI405")
def test_a_syn_that_is_not_repeated_does_not_show_that_its_answer_was_lost() -> None:
    forged = "\n".join(line for line in ANSWERED_IN_VAIN.splitlines() if "000  >" not in line)

    assert not told(incidents(repeated(forged, 3, apart_ms=700), end_ms=20_000), "filtered")
