"""Resets: what they destroyed, why they were sent, and by whom."""

from __future__ import annotations

from typing import Any

import pytest

from pcapflow.anomalies.model import Anomaly, Severity
from pcapflow.tcp import marks as m
from pcapflow.tcp.endings import GOODBYE, NO_GOODBYE, PERHAPS_GOODBYE
from pcapflow.tcp.states import CLIENT, FIN_RX, SERVER
from tests.anomalies.builder import SECOND, Told
from tests.anomalies.cases import codes, fires, only, spares, told


@fires("PF301", "PF302")
def test_data_for_a_socket_that_was_closed() -> None:
    capture = Told()
    flow = capture.flow().opens().fin(CLIENT, 1.0).takes_fin(SERVER, 1.001)
    flow.data(SERVER, 1.1, 300, acked=False).reset(CLIENT, 1.101, passive=True, pending=300, reset_drew_frame=6)

    found = capture.anomalies()
    row, loss = only(found, "PF301"), only(found, "PF302")

    assert (row.cause, row.confidence, row.endpoint, row.frames) == ("data-after-close", "certain", CLIENT, (4, 6, 7))
    assert "it had closed (frame 4), and data of 10.0.0.5:80 found no socket there; at least 300 bytes" in row.detail
    assert loss.confidence == "certain"
    assert "at least 300 bytes that 10.0.0.5:80 had sent were not acknowledged by 10.0.0.1:1000" in loss.detail


def test_a_server_that_never_answers_the_request_it_acknowledged() -> None:
    capture = Told()
    capture.flow().opens().data(CLIENT, 0.1, 120).reset(SERVER, 0.4)

    found = capture.anomalies()
    row = only(found, "PF301")

    assert (row.cause, row.confidence, row.severity) == ("unread-data", "possible", Severity.MEDIUM)
    assert any("SO_LINGER" in other for other in row.alternatives)
    assert "it closed with data unread or aborted on purpose (SO_LINGER 0), which look the same" in row.detail
    loss = only(found, "PF302")
    assert (loss.confidence, loss.severity) == ("possible", Severity.LOW)
    assert "some of the 120 bytes that 10.0.0.1:1000 had sent were perhaps unread" in loss.detail


@spares("PF302")
@pytest.mark.parametrize("with_data", [False, True])
def test_an_abort_after_everything_was_answered_is_ordinary(with_data: bool) -> None:
    capture = Told()
    flow = capture.flow().opens()
    if with_data:
        flow.data(CLIENT, 0.1).data(SERVER, 0.2)
    flow.reset(SERVER, 0.3)

    found = capture.anomalies()
    row = only(found, "PF301")

    assert (row.cause, row.severity) == ("linger-zero", Severity.INFO)
    # Where data passed, its last answer shows that it had read some of it, and not that it had read all.
    assert row.confidence == ("possible" if with_data else "likely")
    assert ("its application closed with received data still unread" in row.alternatives) == with_data
    assert row.detail.endswith("no data was on its way to it")
    assert "PF302" not in codes(found)


def test_a_client_that_resets_after_its_answer_may_have_read_it() -> None:
    capture = Told()
    capture.flow().opens().data(CLIENT, 0.1).data(SERVER, 0.2).reset(CLIENT, 0.3)

    row = only(capture.anomalies(), "PF301")

    assert (row.cause, row.confidence, row.severity) == ("linger-zero", "possible", Severity.INFO)
    assert "its application closed with received data still unread" in row.alternatives


def test_an_abort_the_moment_data_arrives_is_a_reaction_to_it() -> None:
    capture = Told()
    capture.flow(server_rtt_ns=2_000_000).opens().data(SERVER, 0.1, 1400).reset(CLIENT, 0.1025)

    assert only(capture.anomalies(), "PF301").cause == "linger-zero"


@spares("PF301")
def test_a_rst_after_both_fins_is_cosmetic() -> None:
    capture = Told()
    flow = capture.flow().opens().fin(CLIENT, 1.0).takes_fin(SERVER, 1.001).fin(SERVER, 1.002)
    flow.reset(CLIENT, 1.003, passive=True, pending=0)

    assert not {"PF301", "PF302"} & codes(capture.anomalies())


def test_data_lost_between_both_fins_is_not_cosmetic() -> None:
    capture = Told()
    flow = capture.flow().opens().fin(CLIENT, 1.0).takes_fin(SERVER, 1.001)
    flow.data(SERVER, 1.002, 5000, acked=False).fin(SERVER, 1.003).reset(CLIENT, 1.004, passive=True, pending=5000)

    assert "at least 5,000 bytes" in only(capture.anomalies(), "PF302").detail


def _lost_after_a_fin(goodbye: int, size: int) -> list[Anomaly]:
    capture = Told()
    flow = capture.flow().opens().fin(SERVER, 1.0).takes_fin(CLIENT, 1.001)
    flow.data(CLIENT, 1.002, size, acked=False)
    flow.reset(SERVER, 1.004, passive=True, pending=size, reset_goodbye=goodbye)
    return capture.anomalies()


@spares("PF302")
@pytest.mark.parametrize(("goodbye", "confidence"), [(GOODBYE, "certain"), (PERHAPS_GOODBYE, "possible")])
def test_a_close_notify_lost_after_a_fin_is_information(goodbye: int, confidence: str) -> None:
    found = _lost_after_a_fin(goodbye, 31)

    assert {row.severity for row in found} == {Severity.INFO}
    assert only(found, "PF302").confidence == confidence
    assert "a TLS alert, a close_notify as a rule" in only(found, "PF302").detail
    assert only(found, "PF301").detail.endswith("only a TLS alert was lost, a close_notify as a rule")


def test_fourteen_bytes_of_a_query_are_lost_data() -> None:
    row = only(_lost_after_a_fin(NO_GOODBYE, 14), "PF302")

    assert (row.severity, row.confidence) == (Severity.MEDIUM, "certain")
    assert "at least 14 bytes that 10.0.0.1:1000 had sent" in row.detail


def test_a_shut_window_proves_that_data_was_unread() -> None:
    capture = Told()
    flow = capture.flow().opens().data(CLIENT, 0.1).data(SERVER, 0.2).data(CLIENT, 0.3, 60_000)
    flow.mark(m.ZERO_WINDOW, SERVER, 0.3).reset(SERVER, 9.0)

    found = capture.anomalies()
    row = only(found, "PF301")

    assert (row.cause, row.confidence, row.alternatives) == ("unread-data", "certain", ())
    assert "it had shut its receive window, so what 10.0.0.1:1000 had sent was unread in its buffer" in row.detail
    # Where that proves it, nothing else fits.
    loss = only(capture.anomalies(), "PF302")
    assert (loss.confidence, loss.alternatives) == ("certain", ())
    assert only(found, "PF302").severity == Severity.MEDIUM


def test_a_window_that_opened_again_proves_nothing() -> None:
    capture = Told()
    flow = capture.flow().opens().data(CLIENT, 0.1).data(SERVER, 0.2).data(CLIENT, 0.3, 60_000)
    flow.mark(m.ZERO_WINDOW, SERVER, 0.3).mark(m.WINDOW_UPDATE, SERVER, 0.4).reset(SERVER, 9.0)

    assert only(capture.anomalies(), "PF301").confidence == "possible"


@pytest.mark.parametrize(("number", "severity"), [(2, Severity.INFO), (3, Severity.LOW)])
def test_a_server_that_resets_several_first_requests_at_once_is_no_chance(number: int, severity: Severity) -> None:
    capture = Told()
    for i in range(number):
        flow = capture.flow(client=f"10.0.0.{1 + i}:1000", at=i).opens().data(CLIENT, 0.1)
        flow.reset(SERVER, 0.101)

    rows = told(capture.anomalies(), "PF301")

    assert {row.severity for row in rows} == {severity}
    words = "10.0.0.5:80 reset 3 first requests so, without a byte of an answer"
    assert all((words in row.detail) == (number == 3) for row in rows)


def test_servers_that_answer_first_requests_are_not_counted() -> None:
    capture = Told()
    for i in range(5):
        flow = capture.flow(client=f"10.0.0.{1 + i}:1000", at=i).opens().data(CLIENT, 0.1).data(SERVER, 0.2)
        flow.reset(SERVER, 0.3)

    assert {row.severity for row in told(capture.anomalies(), "PF301")} == {Severity.INFO}


def test_a_refused_attempt_is_told_once_and_pointed_to() -> None:
    capture = Told()
    for port in (1000, 1001):
        capture.flow(client=f"10.0.0.1:{port}").syn().reset(SERVER, 0.002)

    found = capture.anomalies()
    row = only(found, "PF301")

    assert (row.cause, row.severity, row.count) == ("no-listener", Severity.INFO, 2)
    assert len(told(found, "PF102")) == 2


def test_a_server_that_forgot_a_connection_and_refuses_new_ones_died() -> None:
    capture = Told()
    capture.flow().opens().data(CLIENT, 5.0, acked=False).reset(SERVER, 5.001, passive=True, pending=100)
    capture.flow(client="10.0.0.1:1001", at=6.0).syn().reset(SERVER, 0.001)

    causes = {row.flow: row.cause for row in told(capture.anomalies(), "PF301")}

    assert causes == {0: "process-died", 1: "no-listener"}


def test_a_server_that_forgot_a_connection_without_a_fin() -> None:
    capture = Told()
    capture.flow().opens().data(CLIENT, 5.0, acked=False).reset(SERVER, 5.001, passive=True, pending=100)

    row = only(capture.anomalies(), "PF301")

    assert (row.cause, row.confidence) == ("data-after-close", "possible")
    assert any("restarted" in other for other in row.alternatives)


def test_a_rst_before_the_handshake_is_complete_has_no_known_cause() -> None:
    capture = Told()
    capture.flow().syn().syn_ack().reset(CLIENT, 0.002, passive=True)

    row = only(capture.anomalies(), "PF301")

    assert (row.cause, row.severity) == ("unknown", Severity.INFO)


def test_keepalives_unanswered_and_then_a_rst() -> None:
    capture = Told(seconds=400)
    flow = capture.flow().opens()
    for n in range(3):
        flow.mark(m.KEEP_ALIVE, SERVER, 100.0 + 75 * n)
    flow.reset(SERVER, 325.0, idle_ns=100 * SECOND, idle_end_ns=flow.ns(100.0), idle_endpoint=SERVER)

    found = capture.anomalies()
    row = only(found, "PF301")

    assert row.cause == "keepalive-timeout"
    assert row.frames == (4, 5, 6, 7)
    assert "then 10.0.0.5:80 reset the connection (frame 7)" in only(found, "PF403").detail


def test_repeats_unanswered_and_then_a_rst() -> None:
    capture = Told()
    flow = capture.flow().opens().data(CLIENT, 1.0, acked=False)
    for n in range(4):
        flow.mark(m.RETRANSMISSION, CLIENT, 2.0 + n, 100)
    flow.reset(CLIENT, 10.0)

    assert only(capture.anomalies(), "PF301").cause == "retransmission-timeout"


@fires("PF303")
def test_a_rst_outside_the_window() -> None:
    capture = Told()
    flow = capture.flow().opens().mark(m.MARK_RESET_IGNORED, SERVER, 1.0, 70_000)
    flow.mark(m.MARK_CHALLENGE_ACK, CLIENT, 1.001).data(CLIENT, 5.0)

    row = only(capture.anomalies(), "PF303")

    assert (row.frames, row.severity, row.endpoint) == ((4, 5), Severity.LOW, -1)
    assert (
        "10.0.0.1:1000 ignored 1 RST from 10.0.0.5:80 (frame 4), whose sequence number lies 70,000 beyond the one "
        "expected" in row.detail
    )
    assert "answered with a challenge ACK (frame 5)" in row.detail


@fires("PF303")
def test_a_rst_in_the_name_of_the_side_that_is_reset_later() -> None:
    capture = Told()
    capture.flow().opens().mark(m.MARK_RESET_IGNORED, CLIENT, 1.0, 70_000).data(SERVER, 2.0).reset(SERVER, 3.0)

    assert only(capture.anomalies(), "PF303").frames == (4,)


@spares("PF303")
def test_a_rst_that_its_sender_had_to_repeat() -> None:
    """Challenged, or lost on the way: the connection did end by a RST of that endpoint."""
    capture = Told()
    capture.flow().opens().mark(m.MARK_RESET_IGNORED, SERVER, 1.0).data(CLIENT, 2.0).reset(SERVER, 3.0, passive=True)

    assert "PF303" not in codes(capture.anomalies())


@spares("PF303")
def test_a_rst_when_nothing_is_left_to_abort() -> None:
    capture = Told()
    capture.flow().opens().closes(CLIENT, 1.0).mark(m.MARK_RESET_AFTER_CLOSE, SERVER, 1.1)

    assert "PF303" not in codes(capture.anomalies())


def with_an_injected_rst() -> Told:
    """A RST in the server's name, with another TTL and without the time stamp that the connection uses."""
    capture = Told()
    flow = capture.flow(client_timestamps=1, server_timestamps=1).opens().data(CLIENT, 0.1).data(SERVER, 0.2)
    flow.reset(SERVER, 0.5, reset_ttl=44)
    return capture


@fires("PF304")
def test_two_signs_of_a_third_party() -> None:
    found = with_an_injected_rst().anomalies()
    row = only(found, "PF304")

    assert (row.endpoint, row.confidence, row.cause) == (-1, "likely", "injected")
    assert row.severity == Severity.MEDIUM
    assert row.detail.startswith(
        "the RST in the name of 10.0.0.5:80 (frame 8) that ended its connection with 10.0.0.1:1000 is probably not its "
        "own: its TTL is 44 where that of the sender's other packets is 64 and it carries no time stamp"
    )


def test_an_injected_rst_is_told_once() -> None:
    """PF304 tells of it; PF301 names its cause, blames nobody, and points there."""
    found = with_an_injected_rst().anomalies()
    row = only(found, "PF301")

    assert [each.code for each in found if each.severity > Severity.INFO] == ["PF304"]
    assert (row.cause, row.endpoint, row.severity) == ("injected", -1, Severity.INFO)
    assert "the RST is probably not that endpoint's own (see PF304)" in row.detail
    assert "TTL" not in row.detail


@spares("PF304")
@pytest.mark.parametrize(
    "sign", [{"reset_ttl": 44, "reset_options": 1}, {"reset_options": 0}], ids=["another TTL", "no time stamp"]
)
def test_one_sign_of_a_third_party_is_not_enough(sign: dict[str, Any]) -> None:
    capture = Told()
    flow = capture.flow(client_timestamps=1, server_timestamps=1).opens().data(CLIENT, 0.1).data(SERVER, 0.2)
    flow.reset(SERVER, 0.5, **sign)

    found = capture.anomalies()

    assert "PF304" not in codes(found)
    assert only(found, "PF301").endpoint == (-1 if "reset_ttl" in sign else SERVER)


def _reset_with_a_ttl(ttl: int, *, elsewhere: int = 64) -> list[Anomaly]:
    """The server closed, and a RST in its name answers what comes after; on another connection it has another TTL."""
    capture = Told()
    flow = capture.flow().opens().fin(SERVER, 1.0).takes_fin(CLIENT, 1.001)
    flow.data(CLIENT, 1.1, 300, acked=False).reset(SERVER, 1.101, passive=True, pending=300, reset_ttl=ttl)
    capture.flow(client="10.0.0.2:1000", server_ttl=elsewhere).opens()
    return capture.anomalies()


def test_a_rst_with_another_ttl_is_laid_at_nobodys_door() -> None:
    found = _reset_with_a_ttl(255)

    for row in (only(found, "PF301"), only(found, "PF302")):
        assert row.endpoint == -1
        assert (
            "the RST's TTL is 255 where that of the other packets of 10.0.0.5 is 64: a device on the way" in row.detail
        )
    assert only(found, "PF301").confidence == "possible"
    assert only(found, "PF301").alternatives[0] == "a device in between forgot the connection and sent the RST"


@pytest.mark.parametrize(("ttl", "elsewhere"), [(64, 64), (63, 63), (-1, 64)])
def test_a_rst_with_a_ttl_that_its_sender_has_elsewhere_is_its_own(ttl: int, elsewhere: int) -> None:
    """As it was on this connection, or on another one of the host: several paths lead there."""
    row = only(_reset_with_a_ttl(ttl, elsewhere=elsewhere), "PF301")

    assert (row.endpoint, row.confidence) == (SERVER, "certain")
    assert "TTL" not in row.detail


@spares("PF304")
def test_an_answer_without_a_socket_never_carries_a_time_stamp() -> None:
    capture = Told()
    flow = capture.flow(client_timestamps=1, server_timestamps=1).opens().data(CLIENT, 0.1, acked=False)
    flow.reset(SERVER, 0.102, passive=True, pending=100, reset_ttl=255)

    assert "PF304" not in codes(capture.anomalies())


def _silence(capture: Told, seconds: float, *, answered_by: int = SERVER) -> None:
    flow = capture.flow().opens().data(CLIENT, 1.0)
    flow.data(1 - answered_by, 1.0 + seconds, acked=False)
    frame = capture.frames
    flow.reset(answered_by, 1.002 + seconds, passive=True, pending=100)
    flow.columns |= {
        "idle_ns": round(seconds * SECOND),
        "idle_end_ns": flow.ns(1.0 + seconds),
        "idle_frame": frame,
        "idle_endpoint": 1 - answered_by,
    }


@fires("PF305")
def test_the_first_packet_after_350_s_draws_a_rst() -> None:
    capture = Told(seconds=400)
    _silence(capture, 350.4)

    found = capture.anomalies()
    row = only(found, "PF305")

    assert (row.severity, row.confidence, row.frames) == (Severity.MEDIUM, "likely", (6, 7))
    assert "after 350.4 s of silence, close to a usual time-out (350 s)" in row.detail
    assert (only(found, "PF301").cause, only(found, "PF301").severity) == ("idle-timeout", Severity.INFO)


def test_a_device_that_answers_after_a_silence_is_known_by_its_ttl() -> None:
    capture = Told(seconds=400)
    _silence(capture, 350.4)
    capture.flows[0].columns["reset_ttl"] = 63

    assert (
        "the RST's TTL is 63 where that of the other packets of 10.0.0.5 is 64"
        in only(capture.anomalies(), "PF305").detail
    )


def test_a_silence_like_no_usual_time_out_is_only_possible() -> None:
    capture = Told(seconds=400)
    _silence(capture, 97.0)

    row = only(capture.anomalies(), "PF305")

    assert (row.severity, row.confidence) == (Severity.LOW, "possible")


@spares("PF305")
def test_a_rst_after_a_short_pause() -> None:
    capture = Told()
    _silence(capture, 20.0)

    assert "PF305" not in codes(capture.anomalies())


def test_the_first_packet_after_a_long_silence_is_lost_for_good() -> None:
    capture = Told(seconds=400)
    flow = capture.flow().opens().data(CLIENT, 1.0).data(CLIENT, 301.0, acked=False)
    flow.columns |= {"idle_ns": 300 * SECOND, "idle_end_ns": flow.ns(301.0), "idle_frame": 6, "idle_endpoint": CLIENT}
    for n in range(3):
        flow.mark(m.RETRANSMISSION, CLIENT, 302.0 + n, 100)

    row = only(capture.anomalies(), "PF305")

    assert row.frames == (6, 7, 8, 9)
    assert "was not answered, nor were 3 repeats of it" in row.detail


@spares("PF305")
def test_a_connection_that_closes_after_a_long_silence() -> None:
    capture = Told(seconds=400)
    flow = capture.flow().opens().data(CLIENT, 1.0).closes(SERVER, 301.0)
    flow.columns |= {"idle_ns": 300 * SECOND, "idle_end_ns": flow.ns(301.0), "idle_frame": 6, "idle_endpoint": SERVER}

    assert capture.anomalies() == []


def test_a_reset_of_a_half_closed_connection_with_nothing_lost_is_information() -> None:
    capture = Told()
    flow = capture.flow().opens().fin(SERVER, 1.0)
    flow.step(CLIENT, FIN_RX, 1.001, capture.frames)
    flow.reset(SERVER, 1.5)

    assert {row.severity for row in told(capture.anomalies(), "PF301")} == {Severity.INFO}
