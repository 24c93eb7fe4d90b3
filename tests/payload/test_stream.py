"""A text in one direction: segments cut apart, sent again, out of order, missing; numbers that wrap."""

from __future__ import annotations

import itertools
import random

import pytest

from pcapflow.payload import stream
from pcapflow.payload.stream import Match, Piece, Stream

TEXT = b"request-4711"
HALF = 1 << 31


def pieces(*parts: bytes, seq: int = 1000) -> list[Piece]:
    """Segments one after another, a frame each."""
    made = []
    for number, part in enumerate(parts):
        made.append(Piece(seq & 0xFFFF_FFFF, len(part), part, number + 1, number * 1000))
        seq += len(part)
    return made


def searched(segments: list[Piece], *, text: bytes = TEXT, first_seq: int = 1000) -> Match | None:
    """The first match in these segments, with what is given at the end."""
    found = Stream(text, first_seq)
    for piece in segments:
        if match := found.take(piece):
            return match
    return found.give_up()


def test_a_text_within_a_segment_is_found_with_its_line() -> None:
    match = searched(pieces(b"GET / HTTP/1.1\r\nX-Id: request-4711\r\nHost: a\r\n"))
    assert match == Match(1, 1, 0, b"X-Id: ", b"request-4711", b"")


def test_case_does_not_matter() -> None:
    assert searched(pieces(b"REQUEST-4711")) is not None


@pytest.mark.parametrize("cut", range(1, len(TEXT)))
def test_a_text_cut_over_two_segments_is_found_at_every_cut(cut: int) -> None:
    match = searched(pieces(b"abc" + TEXT[:cut], TEXT[cut:] + b"def"))
    assert match is not None
    assert match[:3] == (1, 2, 0)
    assert (match.text, match.after) == (TEXT, b"def")


def test_a_text_cut_over_three_segments_begins_in_the_first() -> None:
    match = searched(pieces(b"filler", b"request", b"-47", b"11"))
    assert match is not None
    assert (match.frame, match.last_frame, match.time_ns) == (2, 4, 1000)


def test_every_byte_in_a_segment_of_its_own_is_found_too() -> None:
    match = searched(pieces(*[bytes([byte]) for byte in b"xx" + TEXT]))
    assert match is not None
    assert (match.frame, match.last_frame) == (3, 14)


def test_what_is_sent_again_in_between_is_not_doubled() -> None:
    first, second = pieces(b"reques", b"t-4711")
    assert searched([first, first._replace(frame=7), second]) is not None


def test_a_text_that_only_repetition_would_make_is_not_found() -> None:
    # "ab" sent twice is "ab", not "abab".
    first, second = pieces(b"ab", b"cd")
    assert searched([first, first._replace(frame=9), second], text=b"abab") is None


def test_an_overlap_counts_once() -> None:
    whole = b"request-4711"
    first = Piece(1000, 7, whole[:7], 1, 0)
    second = Piece(1004, 8, whole[4:], 2, 1)
    assert searched([first, second]) is not None
    assert searched([first, second], text=b"requestest") is None


def test_segments_out_of_order_are_put_in_order() -> None:
    a, b, c = pieces(b"requ", b"est-", b"4711")
    assert searched([a, c, b]) is not None
    assert searched([c, b, a]) is not None


def test_numbers_may_wrap() -> None:
    seq = 0xFFFF_FFFC
    a, b, c = pieces(b"requ", b"est-", b"4711", seq=seq)
    assert searched([a, c, b], first_seq=seq) is not None


def test_nothing_is_put_together_over_a_hole() -> None:
    a, _, c = pieces(b"request", b"????", b"-4711")
    assert searched([a, c]) is None


def test_a_text_behind_a_hole_is_found() -> None:
    a, _, c = pieces(b"abc", b"????", b"xx request-4711")
    match = searched([a, c])
    assert match is not None
    assert match.frame == 3


def test_what_was_missing_and_comes_late_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MOST_WAITING", 1)
    a, late, *rest = pieces(b"abc", b"request-4711", b"1", b"2", b"3")
    match = searched([a, *rest, late])
    assert match is not None
    assert match.frame == 2


def test_a_snap_length_leaves_a_hole() -> None:
    cut = Piece(1000, 100, b"request", 1, 0)
    then = Piece(1100, 5, b"-4711", 2, 1)
    assert searched([cut, then]) is None
    assert searched([cut, then._replace(data=b"x request-4711", length=14)]) is not None


def test_a_stream_that_begins_in_the_midst_is_searched() -> None:
    assert searched(pieces(b"reques", b"t-4711", seq=77), first_seq=-1) is not None


def test_what_waits_is_bounded_in_segments_and_in_bytes() -> None:
    waiting = Stream(TEXT, 0)
    for number in range(10 * stream.MOST_WAITING):
        waiting.take(Piece(10_000 + 20 * number, 10, b"x" * 10, number, number))
        assert waiting.waiting_bytes <= 10 * stream.MOST_WAITING
    waiting = Stream(TEXT, 0)
    for number in range(40):
        waiting.take(Piece(10_000 + 70_000 * number, 65_000, b"x" * 65_000, number, number))
        assert waiting.waiting_bytes <= stream.MOST_WAITING_BYTES


@pytest.mark.parametrize("seed", range(30))
def test_any_order_with_repetitions_gives_what_the_bytes_in_order_give(seed: int) -> None:
    chance = random.Random(seed)
    data = bytes(chance.choice(b"ab-") for _ in range(300))
    text = bytes(chance.choice(b"ab-") for _ in range(6))
    cuts = sorted({0, 300, *(chance.randrange(300) for _ in range(25))})
    parts = [
        Piece(1000 + low, high - low, data[low:high], number, number)
        for number, (low, high) in enumerate(itertools.pairwise(cuts))
    ]
    passed = parts + chance.sample(parts, 10)
    # No more than a few places away: the first stays where it is.
    order = sorted(range(len(passed)), key=lambda place: place % len(parts) + chance.uniform(0, 5))
    assert (searched([passed[place] for place in order], text=text) is not None) == (text in data)
