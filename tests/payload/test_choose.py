"""Which connections are asked and which of their frames are dissected: bounded, and shared out fairly."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Anomaly
from pcapflow.anomalies.severity import Severity
from pcapflow.payload.choose import (
    MOST_FLOWS,
    MOST_FRAMES,
    Candidates,
    Sent,
    asked_flows,
    chosen,
    named_flows,
    wants_more,
)
from pcapflow.payload.stream import Piece
from pcapflow.tcp.states import CLIENT, SERVER


def anomaly(code: str, flow: int, flows: tuple[int, ...] = (), frames: tuple[int, ...] = ()) -> Anomaly:
    return Anomaly(
        code=code, name="x", severity=Severity.LOW, flow=flow, flows=flows, frames=frames, time_ns=0, detail="x"
    )


def piece(frame: int, *, seq: int | None = None, data: bytes = b"x") -> Piece:
    return Piece(frame * 100 if seq is None else seq, len(data), data, frame, frame)


def long_talk(first_frame: int, evidence: int = 0) -> Candidates:
    """A connection with as much at hand as any has."""
    frames = iter(range(first_frame, first_frame + 100))
    heads = ([piece(next(frames)) for _ in range(3)], [piece(next(frames)) for _ in range(3)])
    cited = [Sent(SERVER, piece(next(frames))) for _ in range(evidence)]
    return Candidates(heads, ([piece(next(frames))], [piece(next(frames))]), cited)


def test_the_first_of_every_kind_of_anomaly_comes_before_the_second_of_any() -> None:
    many = anomaly("PF101", -1, tuple(range(1000)))
    other = anomaly("PF301", 5000, frames=(7,))
    named = named_flows([many, other], 6000)
    assert list(named)[:3] == [0, 5000, 1]
    assert len(named) == MOST_FLOWS
    assert named[5000] == {7}


def test_a_flow_that_is_no_connection_is_not_named() -> None:
    assert named_flows([anomaly("PF901", -1), anomaly("PF101", 9)], 9) == {}


def test_others_fill_up_what_the_named_leave() -> None:
    assert asked_flows([7, 3], 9) == [7, 3, 0, 1, 2, 4, 5, 6, 8]
    assert len(asked_flows([7], 5_000_000)) == MOST_FLOWS
    assert asked_flows(range(1000, 1000 + MOST_FLOWS), 5_000_000) == list(range(1000, 1000 + MOST_FLOWS))


def test_no_more_frames_than_the_bound_and_every_connection_has_both_directions() -> None:
    candidates = {flow: long_talk(flow * 100, evidence=4) for flow in range(MOST_FLOWS)}
    taken = chosen(candidates, range(0))
    assert sum(map(len, taken.values())) == MOST_FRAMES
    assert all([sent.endpoint for sent in taken[flow]] == [CLIENT, SERVER] for flow in candidates)


def test_named_connections_tell_their_ends_before_others_begin() -> None:
    candidates = {flow: long_talk(flow * 100) for flow in range(150)}
    taken = chosen(candidates, range(80))
    assert {len(taken[flow]) for flow in range(80)} == {4}
    assert {tuple(sent.endpoint for sent in taken[flow]) for flow in range(80, 120)} == {(CLIENT, SERVER)}
    assert set(taken) == set(range(120))


def test_where_there_is_room_all_at_hand_is_taken_in_order_of_frames() -> None:
    (sents,) = chosen({0: long_talk(1, evidence=4)}, [0]).values()
    assert [sent.piece.frame for sent in sents] == list(range(1, 13))


def test_bytes_sent_again_are_taken_once() -> None:
    again = [Sent(SERVER, piece(9, seq=500)), Sent(SERVER, piece(10, seq=500)), Sent(CLIENT, piece(11, seq=500))]
    (sents,) = chosen({0: Candidates(([], []), ([], []), again)}, [0]).values()
    assert [(sent.endpoint, sent.piece.frame) for sent in sents] == [(SERVER, 9), (CLIENT, 11)]


@pytest.mark.parametrize(("length", "first"), [(20, 3), (10, 2), (5, 1)])
def test_a_long_hello_is_taken_whole_before_anything_else(length: int, first: int) -> None:
    hello = b"\x16\x03\x01\x00" + bytes([length - 5]) + b"x" * 3
    heads = [piece(1, data=hello), piece(2, data=b"y" * 6), piece(3, data=b"z" * 6)]
    crowd = {flow: long_talk(flow * 100) for flow in range(1, MOST_FLOWS + 1)}
    taken = chosen({0: Candidates((heads, []), ([], []), []), **crowd}, [])
    assert [sent.piece.frame for sent in taken[0]] == [1, 2, 3][:first]


def test_more_of_a_hello_is_kept_at_hand_and_no_more_than_that() -> None:
    plain = [piece(n) for n in range(1, 4)]
    assert wants_more(plain[:2])
    assert not wants_more(plain)
    hello = [piece(1, data=b"\x16\x03\x01\x40\x00" + b"x" * 95), *plain[1:]]
    assert wants_more(hello)
    assert not wants_more([*hello, *(piece(n) for n in range(4, 9))])
