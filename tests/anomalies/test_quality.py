"""What the capture lacks or holds twice weakens the verdicts that rest on it, and they say so."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Anomaly, Severity
from pcapflow.tcp import marks as m
from pcapflow.tcp.states import CLIENT, SERVER
from tests.anomalies.builder import Flow, Told
from tests.anomalies.cases import codes, only


def half_closed(flow: Flow) -> Flow:
    """The client closes, the server does not: PF203, medium and certain."""
    return flow.opens().fin(CLIENT, 1.0).takes_fin(SERVER, 1.001)


def last_ack(flow: Flow) -> Flow:
    """Both close, and the server repeats its FIN: PF201, medium and certain."""
    flow.opens().fin(CLIENT, 1.0).takes_fin(SERVER, 1.001).fin(SERVER, 1.002)
    return flow.mark(m.MARK_FIN_REPEATED, SERVER, 1.2, 2).mark(m.MARK_FIN_REPEATED, SERVER, 1.6, 3)


def worth(row: Anomaly) -> tuple[Severity, str]:
    return row.severity, row.confidence


def leak(capture: Told, *unseen: int) -> None:
    """Connections in CLOSE_WAIT: PF204, high and certain."""
    for i, number in enumerate(unseen):
        half_closed(capture.flow(client=f"10.0.0.1:{1000 + i}", server_unseen=number))


# Bytes that the capture lacks (PF901)


def test_missing_bytes_lower_the_severity() -> None:
    capture = Told()
    half_closed(capture.flow(server_unseen=1))

    row = only(capture.anomalies(), "PF203")

    assert worth(row) == (Severity.LOW, "likely")
    assert row.detail.endswith("(lowered from medium, because the capture lacks 1 byte of it)")


def test_bytes_missing_of_another_connection_lower_nothing() -> None:
    capture = Told()
    half_closed(capture.flow())
    capture.flow(client="10.0.0.1:1001", server_unseen=1448).opens()

    row = only(capture.anomalies(), "PF203")

    assert worth(row) == (Severity.MEDIUM, "certain")
    assert "lacks" not in row.detail


def test_information_cannot_be_lowered_and_says_what_is_missing() -> None:
    capture = Told()
    capture.flow(server_unseen=1448).opens().data(CLIENT, 0.1).data(SERVER, 0.2).reset(CLIENT, 0.3)

    row = only(capture.anomalies(), "PF301")

    assert row.severity == Severity.INFO
    assert row.detail.endswith("(the capture lacks 1,448 bytes of it)")


def test_bytes_missing_of_most_connections_lower_what_is_said_of_all() -> None:
    capture = Told(seconds=300)
    leak(capture, 9, 9, 9, 0, 0)

    row = only(capture.anomalies(), "PF204")

    assert worth(row) == (Severity.MEDIUM, "likely")
    assert row.detail.endswith("(lowered from high, because the capture lacks bytes of 3 of these connections)")


def test_bytes_missing_of_a_few_connections_do_not() -> None:
    capture = Told(seconds=300)
    leak(capture, 9, 9, 0, 0, 0)

    assert worth(only(capture.anomalies(), "PF204")) == (Severity.HIGH, "certain")


@pytest.mark.parametrize(("dropped", "confidence"), [(12, "likely"), (0, "certain"), (-1, "certain")])
def test_packets_that_the_capturing_program_lost_make_less_sure(dropped: int, confidence: str) -> None:
    capture = Told(dropped=dropped)
    half_closed(capture.flow())

    row = only(capture.anomalies(), "PF203")

    assert worth(row) == (Severity.MEDIUM, confidence)
    assert ("less sure, because the capturing program lost 12 packets" in row.detail) == (dropped > 0)


def test_a_verdict_that_rests_on_what_was_seen_is_not_lowered() -> None:
    """The refusal is in the capture, whatever else is not."""
    capture = Told(dropped=12)
    capture.flow(server_unseen=1448).syn().reset(SERVER, 0.001)

    assert "lack" not in only(capture.anomalies(), "PF102").detail


# One direction only (PF902)


def test_a_leak_of_which_one_side_was_captured_is_withheld() -> None:
    capture = Told(seconds=300)
    for i in range(6):
        half_closed(capture.flow(client=f"10.0.0.1:{1000 + i}", server_packets=-2))

    found = capture.anomalies()

    assert "PF902" in codes(found)
    assert not {"PF202", "PF203", "PF204"} & codes(found)


def test_the_same_leak_with_both_sides_is_told() -> None:
    capture = Told(seconds=300)
    leak(capture, *[0] * 6)

    assert "PF204" in codes(capture.anomalies())


def test_of_a_reset_without_the_other_side_the_cause_is_unknown_and_no_loss_is_told() -> None:
    capture = Told()
    capture.flow(server_packets=-2).opens().data(CLIENT, 0.1, acked=True).reset(CLIENT, 0.3, pending=500)

    found = capture.anomalies()
    row = only(found, "PF301")

    assert (row.cause, row.confidence) == ("unknown", "possible")
    assert "the capture holds nothing of 10.0.0.5:80, and so does not show why" in row.detail
    assert "PF302" not in codes(found)


def test_of_the_same_reset_with_the_other_side_the_cause_is_told() -> None:
    capture = Told()
    capture.flow().opens().data(CLIENT, 0.1).reset(CLIENT, 0.3, pending=500)

    found = capture.anomalies()

    assert only(found, "PF301").cause == "linger-zero"
    assert "PF302" in codes(found)


# Packets that were captured twice (PF903)


def test_copies_make_less_sure_of_what_counts_repeats() -> None:
    capture = Told(seconds=3)
    last_ack(capture.flow()).mark(m.MARK_DUPLICATE_PACKET, SERVER, 1.61)

    row = only(capture.anomalies(), "PF201")

    assert worth(row) == (Severity.MEDIUM, "likely")
    assert row.detail.endswith("(less sure, because the capture holds copies of its packets)")


def test_copies_of_another_connections_packets_do_not() -> None:
    capture = Told(seconds=3)
    last_ack(capture.flow())
    capture.flow(client="10.0.0.1:1001").opens().mark(m.MARK_DUPLICATE_PACKET, SERVER, 1.61)

    assert worth(only(capture.anomalies(), "PF201")) == (Severity.MEDIUM, "certain")


def test_copies_do_not_weaken_what_counts_no_repeats() -> None:
    capture = Told()
    half_closed(capture.flow()).mark(m.MARK_DUPLICATE_PACKET, CLIENT, 1.1)

    assert worth(only(capture.anomalies(), "PF203")) == (Severity.MEDIUM, "certain")


# The end of the file (PF904) and the clock (PF905)


def test_a_clock_that_went_back_makes_less_sure_of_intervals() -> None:
    capture = Told(clock_steps=1, first_clock_step_frame=2)
    half_closed(capture.flow())

    row = only(capture.anomalies(), "PF203")

    assert worth(row) == (Severity.MEDIUM, "likely")
    assert row.detail.endswith("(less sure of the time, because the capture's clock went back)")


def test_a_clock_that_went_back_does_not_touch_what_needs_none() -> None:
    capture = Told(clock_steps=1, first_clock_step_frame=2)
    half_closed(capture.flow()).mark(m.MARK_DATA_AFTER_FIN, CLIENT, 1.5, 20)

    assert "clock" not in only(capture.anomalies(), "PF208").detail


def test_a_file_cut_off_is_a_capture_that_ends_there() -> None:
    """What is judged by the end of the capture knows that end; it needs no other doubt."""
    capture = Told(truncated="the file ends inside the record of frame 12, at byte 1034")
    half_closed(capture.flow())

    found = capture.anomalies()

    assert "PF904" in codes(found)
    assert worth(only(found, "PF203")) == (Severity.MEDIUM, "certain")


def _one_way(capture: Told, client: str, server: str) -> None:
    """The client is seen to go on as if it was answered."""
    flow = capture.flow(client=client, server=server, server_unseen=900).syn().data(CLIENT, 0.1, acked=False)
    flow.mark(m.ACKED_UNSEEN, CLIENT, 0.2)


def test_one_direction_captured_on_purpose_is_one_fact_and_no_gap() -> None:
    capture = Told()
    for i in range(5):
        _one_way(capture, f"10.0.0.1:{1000 + i}", "10.0.0.5:80")

    assert codes(capture.anomalies()) == {"PF902"}


def test_one_direction_of_one_host_is_told_once_however_few_its_connections_are() -> None:
    capture = Told(seconds=60)
    for i in range(60):
        capture.flow(client=f"10.0.0.1:{1000 + i}", at=i / 10).opens().data(CLIENT, 0.1).data(SERVER, 0.2)
    for i in range(3):
        _one_way(capture, f"10.0.0.2:{1000 + i}", "10.0.0.9:80")
    capture.flow(client="10.0.0.2:1999", server="10.0.0.9:443").syn()

    found = capture.anomalies()
    row = only(found, "PF902")

    # Nor is the SYN that nobody answers told as such: of this host no answer was captured.
    assert codes(found) == {"PF902"}
    assert row.detail.startswith(
        "3 of 63 connections with data were captured in one direction only (3 from the client)"
    )
    assert "among them all of 10.0.0.2" in row.detail


def test_a_host_with_one_connection_without_an_answer_is_chance() -> None:
    capture = Told(seconds=60)
    for i in range(60):
        capture.flow(client=f"10.0.0.1:{1000 + i}", at=i / 10).opens().data(CLIENT, 0.1).data(SERVER, 0.2)
    _one_way(capture, "10.0.0.2:1000", "10.0.0.9:80")
    capture.flow(client="10.0.0.2:1999", server="10.0.0.9:443").syn()

    assert codes(capture.anomalies()) == {"PF101"}
