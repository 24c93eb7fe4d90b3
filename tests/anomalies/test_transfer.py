"""Connections that open and close as they should and yet do not move their data."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Severity
from pcapflow.tcp import marks as m
from pcapflow.tcp.states import CLIENT, SERVER
from tests.anomalies.builder import SECOND, Flow, Told
from tests.anomalies.cases import codes, fires, only, spares


@fires("PF401")
def test_a_window_closed_for_long() -> None:
    capture = Told()
    flow = capture.flow().opens().mark(m.ZERO_WINDOW, CLIENT, 1.0).mark(m.ZERO_WINDOW_PROBE, SERVER, 3.0)
    flow.columns |= {"client_zero_ns": 12 * SECOND, "client_zero_frame": 4}

    row = only(capture.anomalies(), "PF401")

    assert (row.endpoint, row.severity, row.frames) == (CLIENT, Severity.MEDIUM, (4, 5))
    assert "10.0.0.5:80 had to wait and asked once (frame 5)" in row.detail


@spares("PF401")
def test_a_window_closed_for_a_moment() -> None:
    capture = Told()
    flow = capture.flow().opens().mark(m.ZERO_WINDOW, CLIENT, 1.0)
    flow.columns |= {"client_zero_ns": SECOND // 10, "client_zero_frame": 4}

    assert "PF401" not in codes(capture.anomalies())


def _repeated(flow: Flow, times: int, size: int = 100) -> Flow:
    flow.opens().data(CLIENT, 1.0, size, acked=False)
    for n in range(times):
        flow.mark(m.RETRANSMISSION, CLIENT, 1.2 + 2**n / 10, size)
    return flow


@fires("PF402")
def test_data_repeated_without_any_answer() -> None:
    capture = Told()
    _repeated(capture.flow(), 6)

    row = only(capture.anomalies(), "PF402")

    assert (row.endpoint, row.frames) == (-1, (5, 6, 7, 8, 9, 10))
    assert "10.0.0.1:1000 repeated its data 6 times (frames 5, 6, 7 ... 10)" in row.detail


@spares("PF402")
def test_an_answer_after_many_repeats() -> None:
    capture = Told()
    _repeated(capture.flow(), 6).data(SERVER, 20.0)

    assert "PF402" not in codes(capture.anomalies())


@spares("PF402")
def test_a_few_repeats_without_an_answer() -> None:
    capture = Told()
    _repeated(capture.flow(), 3)

    assert "PF402" not in codes(capture.anomalies())


@fires("PF403")
def test_keepalives_without_an_answer() -> None:
    capture = Told(seconds=400)
    flow = capture.flow().opens()
    for n in range(3):
        flow.mark(m.KEEP_ALIVE, CLIENT, 60.0 + n)

    row = only(capture.anomalies(), "PF403")

    assert (row.confidence, row.frames) == ("certain", (4, 5, 6))
    assert "sent 3 keep-alives (frames 4, 5 and 6) over 2 s, and 10.0.0.5:80 answered none of them" in row.detail


@spares("PF403")
def test_keepalives_that_are_answered() -> None:
    capture = Told(seconds=400)
    flow = capture.flow().opens()
    for n in range(5):
        flow.mark(m.KEEP_ALIVE, CLIENT, 60.0 + n).mark(m.KEEP_ALIVE_ACK, SERVER, 60.001 + n)

    assert "PF403" not in codes(capture.anomalies())


@fires("PF404")
def test_every_tenth_segment_sent_again() -> None:
    capture = Told()
    _sent(capture, 1000, again=100)

    row = only(capture.anomalies(), "PF404")

    assert (row.severity, row.frames) == (Severity.LOW, (4,))
    assert "10.0.0.5:80 sent 100 of 1,000 segments to 10.0.0.1:1000 again: 10.0%, at least 8.3%" in row.detail


def _sent(capture: Told, segments: int, *, again: int) -> None:
    flow = capture.flow(server_data_segments=segments, server_data_segments_again=again).opens()
    flow.mark(m.RETRANSMISSION, SERVER, 1.0, 1448).data(CLIENT, 2.0)


@fires("PF404")
@pytest.mark.parametrize(
    ("segments", "again", "severity"), [(52, 6, Severity.LOW), (10, 3, Severity.LOW), (52, 20, Severity.MEDIUM)]
)
def test_a_share_of_few_segments_is_heavy_where_its_interval_is(segments: int, again: int, severity: Severity) -> None:
    capture = Told()
    _sent(capture, segments, again=again)

    assert only(capture.anomalies(), "PF404").severity == severity


def test_the_share_of_few_segments_is_told_with_its_interval() -> None:
    capture = Told()
    _sent(capture, 52, again=6)

    assert only(capture.anomalies(), "PF404").detail.endswith(
        "sent 6 of 52 segments to 10.0.0.1:1000 again: 11.5%, at least 5.4% and at most 23.0% (95% interval)"
    )


@spares("PF404")
@pytest.mark.parametrize(
    ("segments", "again"),
    [(52, 5), (20, 2), (2, 2), (1000, 60)],
    ids=["not sure", "two", "all two", "six in a hundred"],
)
def test_a_share_that_may_be_an_ordinary_one(segments: int, again: int) -> None:
    capture = Told()
    _sent(capture, segments, again=again)

    assert "PF404" not in codes(capture.anomalies())


@spares("PF404")
def test_repeats_that_nothing_answers_are_silence_and_no_share() -> None:
    capture = Told()
    flow = capture.flow(server_data_segments=10, server_data_segments_again=5).opens()
    for n in range(5):
        flow.mark(m.RETRANSMISSION, SERVER, 1.0 + n, 1000 + n)

    assert codes(capture.anomalies()) == {"PF402"}


@spares("PF404")
def test_what_a_black_hole_swallows_is_no_share() -> None:
    capture = Told()
    flow = capture.flow(client_mss=1460, server_mss=1460, server_data_segments=20, server_data_segments_again=6).opens()
    flow.data(SERVER, 0.6, 1448, acked=False)
    for n in range(4):
        flow.mark(m.RETRANSMISSION, SERVER, 1.0 + n, 1448)
    flow.columns["client_last_ns"] = flow.ns(9.0)

    assert codes(capture.anomalies()) == {"PF405"}


@fires("PF405")
def test_only_full_size_segments_are_lost() -> None:
    capture = Told()
    flow = capture.flow(client_mss=1460, server_mss=1460).opens().data(CLIENT, 0.5, 80)
    flow.data(SERVER, 0.6, 1448, acked=False)
    for n in range(4):
        flow.mark(m.RETRANSMISSION, SERVER, 1.0 + n, 1448)

    row = only(capture.anomalies(), "PF405")

    assert (row.severity, row.confidence) == (Severity.MEDIUM, "possible")
    assert "10.0.0.5:80 repeated segments of 1,448 bytes 4 times" in row.detail


def test_small_segments_that_still_pass_make_it_likely() -> None:
    capture = Told()
    flow = capture.flow(client_mss=1460, server_mss=1460).opens().data(SERVER, 0.6, 1448, acked=False)
    for n in range(4):
        flow.mark(m.RETRANSMISSION, SERVER, 1.0 + n, 1448)
    flow.columns["client_last_ns"] = flow.ns(3.0)

    assert only(capture.anomalies(), "PF405").confidence == "likely"


@spares("PF405")
def test_small_segments_are_lost_too() -> None:
    capture = Told()
    flow = capture.flow(client_mss=1460, server_mss=1460).opens().data(SERVER, 0.6, 1448, acked=False)
    for n in range(4):
        flow.mark(m.RETRANSMISSION, SERVER, 1.0 + n, 1448).mark(m.RETRANSMISSION, SERVER, 1.1 + n, 20)

    assert "PF405" not in codes(capture.anomalies())


@spares("PF405")
def test_a_full_size_segment_that_got_through_in_the_end() -> None:
    capture = Told()
    flow = capture.flow(client_mss=1460, server_mss=1460).opens().data(SERVER, 0.6, 1448)
    for n in range(4):
        flow.mark(m.RETRANSMISSION, SERVER, 1.0 + n, 1448)

    assert "PF405" not in codes(capture.anomalies())
