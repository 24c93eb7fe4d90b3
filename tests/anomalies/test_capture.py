"""What the capture itself lacks, or has too much of."""

from __future__ import annotations

from pcapflow.anomalies.model import Severity
from pcapflow.reader.capture import Undecoded
from pcapflow.tcp import marks as m
from pcapflow.tcp.states import CLIENT, SERVER
from tests.anomalies.builder import Told
from tests.anomalies.cases import codes, fires, only, spares


@fires("PF901")
def test_acknowledged_bytes_that_the_capture_lacks() -> None:
    capture = Told()
    capture.flow(server_unseen=1448).opens().data(SERVER, 1.0, 100_000).mark(m.MARK_ACKED_MISSING, CLIENT, 2.0)

    row = only(capture.anomalies(), "PF901")

    assert (row.severity, row.frames, row.count, row.flows) == (Severity.LOW, (6,), 1, (0,))
    assert "on 1 connection of 1 at least 1,448 bytes were acknowledged that the capture does not hold" in row.detail


def test_packets_that_the_capturing_program_lost_are_told() -> None:
    capture = Told(dropped=12)
    capture.flow().opens()

    assert only(capture.anomalies(), "PF901").detail == "the capturing program lost 12 packets by its own count"


@spares("PF901")
def test_loss_that_a_repeat_made_good() -> None:
    capture = Told()
    flow = capture.flow().opens().mark(m.LOST_SEGMENT, SERVER, 1.0).mark(m.RETRANSMISSION, SERVER, 1.2, 1448)
    flow.data(SERVER, 1.3)

    assert "PF901" not in codes(capture.anomalies())


@fires("PF902")
def test_a_client_that_talks_to_nobody_visible() -> None:
    capture = Told()
    capture.flow().syn().data(CLIENT, 0.1, acked=False)

    row = only(capture.anomalies(), "PF902")

    assert (row.severity, row.confidence) == (Severity.MEDIUM, "certain")
    assert "all connections with data were captured in one direction only (1 from the client)" in row.detail


@spares("PF902")
def test_one_stray_segment_among_connections_with_both_sides() -> None:
    capture = Told()
    capture.flow().opens()
    capture.flow(client="10.0.0.1:1001", client_packets=1, midstream=1)

    assert "PF902" not in codes(capture.anomalies())


@fires("PF903")
def test_copies_of_packets() -> None:
    capture = Told()
    capture.flow().opens().mark(m.MARK_DUPLICATE_PACKET, SERVER, 1.0)

    row = only(capture.anomalies(), "PF903")

    assert (row.severity, row.frames) == (Severity.INFO, (4,))


@spares("PF903")
def test_real_repeats_are_no_copies() -> None:
    capture = Told()
    capture.flow().opens().mark(m.RETRANSMISSION, SERVER, 1.0, 100)

    assert "PF903" not in codes(capture.anomalies())


@fires("PF904")
def test_a_file_that_ends_inside_a_record() -> None:
    capture = Told(truncated="the file ends inside the record of frame 12, at byte 1034", frames=11)

    row = only(capture.anomalies(), "PF904")

    assert (
        row.detail == "the file ends inside the record of frame 12, at byte 1034; the 11 frames before it were analysed"
    )


@spares("PF904", "PF905", "PF906", "PF907")
def test_a_clean_capture() -> None:
    assert Told().anomalies() == []


@fires("PF905")
def test_time_stamps_that_go_back() -> None:
    capture = Told(clock_steps=2, first_clock_step_frame=7)

    row = only(capture.anomalies(), "PF905")

    assert row.frames == (6, 7)
    assert "time stamps go back twice, first at frame 7" in row.detail


@fires("PF906")
def test_frames_that_nothing_decodes() -> None:
    undecoded = (Undecoded("ipv4", "truncated header", 3, 9), Undecoded("ethernet", "unknown type 0x88cc", 40, 5))
    capture = Told(undecoded=undecoded)

    row = only(capture.anomalies(), "PF906")

    assert (row.count, row.frames, row.severity) == (43, (5, 9), Severity.INFO)
    assert row.detail.endswith(
        "could not be decoded: 40 for ethernet: unknown type 0x88cc (frame 5); 3 for ipv4: truncated header (frame 9)"
    )


@fires("PF907")
def test_connections_let_go() -> None:
    assert only(Told(evicted=5).anomalies(), "PF907").count == 5
