"""How many segments a side sent, and how many again, in units of the MSS; and who sent an ICMP error."""

from __future__ import annotations

import dataclasses

import pytest

from fixtures.ladder import START_NS
from pcapflow.reader.segment_batch import ICMP_QUOTE
from tests.ladders import Climb, Row, Story, _row, run

OPEN = """
      0  > S   0:0
     10  < S.  0:0    ack 1
     20  > .   1:1    ack 1"""


def counted(story: Story, side: str = "client") -> tuple[int, int]:
    """Segments of one side, and those sent again."""
    return story.flow(f"{side}_data_segments"), story.flow(f"{side}_data_segments_again")


def test_a_record_of_forty_segments_counts_for_forty(follow: Climb) -> None:
    """Without an MSS in the SYNs, that of Ethernet."""
    story = follow(f"""{OPEN}
     30  > .   1:58401      ack 1
     31  > P.  58401:58411  ack 1
     40  < .   1:1          ack 58411""")

    assert counted(story) == (41, 0)


def test_a_merged_record_that_is_sent_again_counts_for_what_it_holds(follow: Climb) -> None:
    story = follow(f"""{OPEN}
     30  > .   1:58401      ack 1
    300  > .   1:2921       ack 1
    310  < .   1:1          ack 58401""")

    assert counted(story) == (42, 2)


def test_repeats_of_one_segment_count_once(follow: Climb) -> None:
    story = follow(f"""{OPEN}
     30  > P.  1:11   ack 1
    300  > P.  1:11   ack 1
    900  > P.  1:11   ack 1
   2100  > P.  1:11   ack 1
   2110  < .   1:1    ack 11""")

    assert counted(story) == (2, 1)
    assert story.flow("client_retransmitted") == 3


def test_a_repeated_fin_or_syn_is_no_segment_of_data(follow: Climb) -> None:
    story = follow("""
      0  > S   0:0
   1000  > S   0:0
   1010  < S.  0:0    ack 1
   1020  > F.  1:1    ack 1
   1300  > F.  1:1    ack 1""")

    assert counted(story) == (0, 0)


def test_a_copy_made_in_the_capture_is_not_sent_again(follow: Climb) -> None:
    story = follow(f"""{OPEN}
     30  > P.  1:11   ack 1 id 7
     31  > P.  1:11   ack 1 id 7
     40  < .   1:1    ack 11""")

    assert counted(story) == (1, 0)


def test_what_was_lost_before_the_tap_counts_when_it_fills_the_gap(follow: Climb) -> None:
    """The server reports the gap, and the client answers that a round trip later; Wireshark calls it out of order."""
    story = follow(f"""{OPEN}
     30  > .   1:1001      ack 1
     31  < .   1:1         ack 1001
     40  > .   2001:3001   ack 1
     41  < .   1:1         ack 1001  sack 2001
     51  > .   1001:2001   ack 1
     52  < .   1:1         ack 3001""")

    assert counted(story) == (3, 1)
    assert story.flow("client_retransmitted") == 0


def test_the_second_loss_of_one_window_counts_although_wireshark_calls_it_out_of_order(follow: Climb) -> None:
    """Both had passed the tap before; the second is sent again right after the first, far sooner than a round trip."""
    story = follow(f"""{OPEN}
     30  > .   1:1001      ack 1
     31  > .   1001:2001   ack 1
     32  > .   2001:3001   ack 1
     33  > .   3001:4001   ack 1
     34  > .   4001:5001   ack 1
     42  < .   1:1         ack 1  sack 1001
     43  < .   1:1         ack 1  sack 1001
     44  < .   1:1         ack 1  sack 1001
     45  > .   1:1001      ack 1
     46  > .   2001:3001   ack 1
     56  < .   1:1         ack 5001""")

    assert counted(story) == (7, 2)
    assert story.flow("client_retransmitted") == 1


def test_a_record_in_the_capture_that_holds_what_follows_it_is_not_sent_again(follow: Climb) -> None:
    """The server has asked for nothing: the capture holds a merged record, and the segments that it was cut into."""
    story = follow(f"""{OPEN}
     30  > .   1:5841      ack 1
     31  > .   1461:2921   ack 1
     41  < .   1:1         ack 5841""")

    assert counted(story) == (5, 0)


@pytest.mark.parametrize("report", ["", "41 < . 1:1 ack 1001 sack 2001"], ids=["before any report", "too soon for it"])
def test_a_segment_that_was_overtaken_is_not_sent_again(follow: Climb, report: str) -> None:
    story = follow(f"""{OPEN}
     30  > .   1:1001      ack 1
     31  < .   1:1         ack 1001
     40  > .   2001:3001   ack 1
     {report}
     42  > .   1001:2001   ack 1
     52  < .   1:1         ack 3001""")

    assert counted(story) == (3, 0)


@pytest.mark.parametrize(("code", "again"), [(3 << 8 | 4, 0), (3 << 8 | 1, 2)], ids=["too big", "unreachable"])
@pytest.mark.parametrize("isn", [(1000, 5000), (2**32 - 1, 2**32 - 1)])
def test_segments_that_were_too_big_are_not_lost(code: int, again: int, isn: tuple[int, int]) -> None:
    rungs = f"""{OPEN}
     30  > .   1:1461      ack 1
     31  > .   1461:2921   ack 1
    300  > .   1:1401      ack 1
    301  > .   1401:2801   ack 1
    310  < .   1:1         ack 2801"""
    rows = [_row(rung, isn) for rung in rungs.splitlines() if rung.strip()]
    quote = dataclasses.replace(rows[3].segment, window=code, payload=b"", flags=0)
    rows.insert(5, Row(START_NS + 40_000_000, quote, tsval=0, tsecr=0x0A00_0001, flags=ICMP_QUOTE))

    flows = run(rows).flows

    assert list(flows["client_data_segments_again"]) == [again]
    assert [list(flows[name]) for name in ("icmp_frame", "icmp_hi", "icmp_lo")] == [[6], [0], [0x0A00_0001]]


def test_of_several_icmp_errors_the_first_since_the_peer_was_heard_is_kept() -> None:
    rungs = f"""{OPEN}
     30  > P.  1:11   ack 1
    100  < .   1:1    ack 11
    200  > P.  11:21  ack 1"""
    rows = [_row(rung, (1000, 5000)) for rung in rungs.splitlines() if rung.strip()]

    def error(ms: int, sender: int) -> Row:
        quote = dataclasses.replace(rows[0].segment, window=769, flags=0)
        return Row(START_NS + ms * 1_000_000, quote, tsval=0, tsecr=sender, flags=ICMP_QUOTE)

    every = sorted([*rows, error(40, 1), error(50, 2), error(210, 3), error(220, 4)], key=lambda row: row.time_ns)
    flows = run(every).flows

    assert (int(flows["icmp_lo"][0]), int(flows["icmp_frame"][0])) == (3, 9)


@pytest.mark.parametrize(
    ("acked", "sack", "needless"),
    [(21, 1, True), (21, 11, False), (21, 21, False), (1, 1, False)],
    ids=["the repeat", "another", "beyond the ACK", "its own ACK was lost"],
)
def test_a_duplicate_sack_tells_what_was_sent_again_needlessly(
    follow: Climb, acked: int, sack: int, needless: bool
) -> None:
    story = follow(f"""{OPEN}
     30  > P.  1:11   ack 1
     31  > P.  11:21  ack 1
    300  > P.  1:11   ack 1
    310  < .   1:1    ack {acked}
    311  < .   1:1    ack 21  sack {sack}""")

    assert story.marked("duplicate-sack") == ([(8, "server", 1)] if needless else [])


@pytest.mark.parametrize("late_ms", [40.1, 700.0], ids=["directions mixed up", "sent again needlessly"])
def test_what_passes_after_its_ack_is_neither_missing_nor_sent_again(follow: Climb, late_ms: float) -> None:
    """It passes for the first time: nothing tells that it had been on its way before."""
    story = follow(f"""{OPEN}
     30  > P.  1:11    ack 1
     35  < .   1:1     ack 11
     40  < .   1:1     ack 2931
   {late_ms}  > .   11:1471   ack 1
   {late_ms + 0.1}  > .   1471:2931 ack 1
    800  > P.  2931:2941   ack 1
    810  < .   1:1     ack 2941""")

    assert story.flow("client_unseen") == 0
    assert story.marked("acked-missing") == [(6, "server", 2920)]
    assert counted(story) == (4, 0)


def test_what_passes_after_the_ack_of_more_leaves_the_rest_missing(follow: Climb) -> None:
    story = follow(f"""{OPEN}
     30  > P.  1:11    ack 1
     40  < .   1:1     ack 2931
   40.1  > .   11:1471 ack 1
    400  > .   11:1471 ack 1
    800  > P.  2931:2941   ack 1
    810  < .   1:1     ack 2941""")

    assert story.flow("client_unseen") == 1460
    assert counted(story) == (4, 1)
