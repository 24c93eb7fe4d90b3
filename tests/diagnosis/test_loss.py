"""PI406 loss."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pcapflow.anomalies.model import Severity
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import OPEN, Connection, incidents, only, repeated, told
from tests.ladders import ISNS


def download(segments: int, lost: Iterable[int] = (), *, icmp: bool = False, copies: bool = False) -> str:
    """A server sends segments of 100 bytes every 10 ms, of which some are sent again 300 ms later."""
    rungs, missing = [f"{OPEN} 10 > P. 1:11 ack 1"], set(lost)
    at = 20.0
    for n in range(segments):
        first, last = 1 + 100 * n, 101 + 100 * n
        rungs.append(f"{at} < P. {first}:{last} ack 11 id {1000 + n}")
        if n in missing:
            if icmp:
                rungs.append(f"{at + 1} < P. {first}:{last} ack 11 icmp 772")
            at += 0.5 if copies else 300
            rungs.append(f"{at} < P. {first}:{last} ack 11 id {1000 + n if copies else 5000 + n}")
        rungs.append(f"{at + 4} > . 11:11 ack {last}")
        at += 10
    return "\n".join(rungs)


@fires("PI406")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_a_share_of_the_segments_of_one_direction_is_lost(isn: tuple[int, int]) -> None:
    found = incidents(repeated(download(100, (10, 35, 60, 85)), 2, apart_ms=5000), isn=isn)

    lossy = only(found, "loss")
    assert lossy.headline.startswith(
        "The path between 192.0.2.1 and 198.51.100.2 loses packets: 3.8% of the segments from 198.51.100.2 to "
        "192.0.2.1 (8 of 208), since "
    )
    assert lossy.blame.text == "the path between 192.0.2.1 and 198.51.100.2"
    assert lossy.severity is Severity.LOW
    assert "at least 2.0% and at most 7.4% (95% interval)" in lossy.why[0].text


@fires("PI406")
def test_heavy_loss_is_medium_and_explains_the_card_of_its_connection() -> None:
    found = incidents([Connection(download(60, range(5, 60, 5)))])

    lossy = only(found, "loss")
    assert lossy.severity is Severity.MEDIUM
    assert lossy.explains


@fires("PI406")
def test_what_was_lost_before_the_capture_comes_late_and_once() -> None:
    rungs = [f"{OPEN} 10 > P. 1:11 ack 1 \n 10.5 < P. 1:101 ack 11 \n 10.6 > . 11:11 ack 101"]
    at, offset = 20, 101
    for n in range(40):
        # A round trip takes 0.5 ms: what fills a hole sooner was only out of order.
        rungs.append(f"{at} < P. {offset + 100}:{offset + 200} ack 11")
        rungs.append(f"{at + 0.1} > . 11:11 ack {offset}")
        rungs.append(f"{at + (1 if n < 5 else 0.2)} < P. {offset}:{offset + 100} ack 11")
        rungs.append(f"{at + 2.1} > . 11:11 ack {offset + 200}")
        at, offset = at + 10, offset + 200
    lossy = only(incidents([Connection("\n".join(rungs))]), "loss")

    assert "5 were sent again (each counted once): 6.2% were lost" in lossy.why[0].text


@spares("PI406")
@pytest.mark.parametrize(
    "ladder",
    [download(100, (50,)), download(100, (10, 40, 70), copies=True), download(60, range(5, 60, 5), icmp=True)],
    ids=["one lost segment", "copies that the capture made", "sent again because they are too large"],
)
def test_repeats_with_another_cause_are_no_loss(ladder: str) -> None:
    found = incidents([Connection(ladder)])

    assert not told(found, "loss")


@spares("PI406")
@pytest.mark.parametrize("sack", ["", "sack {offset}"], ids=["no word of it", "duplicate SACK"])
def test_what_was_sent_again_because_its_ack_came_late_is_no_loss(sack: str) -> None:
    rungs, at, offset = [OPEN], 10.0, 1
    for _ in range(20):
        rungs.append(f"{at} > P. {offset}:{offset + 100} ack 1")
        rungs.append(f"{at + 210} > P. {offset}:{offset + 100} ack 1")
        rungs.append(f"{at + 220} < . 1:1 ack {offset + 100}")
        rungs.append(f"{at + 221} < . 1:1 ack {offset + 100} {sack.format(offset=offset)}")
        at, offset = at + 300, offset + 100
    found = incidents([Connection("\n".join(rungs))])

    assert bool(told(found, "loss")) == (not sack)


@spares("PI406")
def test_a_path_that_is_out_for_a_while_is_no_share() -> None:
    stalls = f"""{OPEN}
     10  > P.  1:11   ack 1
     11  < P.  1:21   ack 11
    500  > P.  11:21  ack 21
    700  > P.  11:21  ack 21
   1100  > P.  11:21  ack 21
   1900  > P.  11:21  ack 21
   3500  > P.  11:21  ack 21
   3501  < P.  21:41  ack 21
"""
    assert not told(incidents(repeated(stalls, 6, apart_ms=20)), "loss")


ONE_FLIGHT = f"""{OPEN}
     10    > P.  1:11      ack 1
     10.1  < .   1:1       ack 11
     20    < .   1:101     ack 11
     20.1  < .   101:201   ack 11
     20.2  < .   201:301   ack 11
     20.3  < .   301:401   ack 11
     20.4  < .   401:501   ack 11
     20.5  < P.  501:601   ack 11
     30    > .   11:11     ack 101
    230    < .   101:201   ack 11
    240    > .   11:11     ack 201
    240.1  < .   201:301   ack 11
    240.2  < .   301:401   ack 11
    250    > .   11:11     ack 401
    250.1  < .   401:501   ack 11
    250.2  < P.  501:601   ack 11
    260    > .   11:11     ack 601
"""


@fires("PI406")
def test_one_flight_that_is_repaired_over_several_round_trips_is_a_single_burst() -> None:
    lossy = only(incidents([Connection(ONE_FLIGHT)]), "loss")

    assert lossy.severity is Severity.LOW
    assert "had losses; all of them in one burst (frames" in lossy.why[1].text
    assert "it was a single burst" in lossy.against[0]


@fires("PI406")
def test_a_wait_is_told_only_where_something_was_sent_again_in_it() -> None:
    waits = [
        any("the longest wait" in seen.text for seen in only(incidents([Connection(ladder)]), "loss").why)
        for ladder in (ONE_FLIGHT, download(60, range(5, 60, 5)))
    ]

    assert waits == [False, True]
