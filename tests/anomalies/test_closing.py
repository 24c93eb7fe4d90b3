"""Connections that do not close, close halfway, or leave too much behind."""

from __future__ import annotations

import dataclasses

import pytest

from pcapflow.anomalies.model import Anomaly, Severity
from pcapflow.config import Config
from pcapflow.tcp import marks as m
from pcapflow.tcp.states import ACK_OF_FIN_RX, CLIENT, FIN_RX, RST_RX, SERVER
from tests.anomalies.builder import Flow, Told
from tests.anomalies.cases import codes, fires, only, spares, told


def _last_ack(flow: Flow) -> Flow:
    """The client closes, the server closes, and the final ACK is missing."""
    return flow.opens().fin(CLIENT, 1.0).takes_fin(SERVER, 1.001).fin(SERVER, 1.002)


@fires("PF201")
def test_a_fin_repeated_in_last_ack() -> None:
    capture = Told(seconds=3)
    flow = _last_ack(capture.flow())
    flow.mark(m.MARK_FIN_REPEATED, SERVER, 1.2, 2).mark(m.MARK_FIN_REPEATED, SERVER, 1.6, 3)
    flow.mark(m.MARK_FIN_REPEATED, SERVER, 2.4, 4)

    row = only(capture.anomalies(), "PF201")

    assert (row.frames, row.severity, row.endpoint) == ((4, 6, 7, 8, 9), Severity.MEDIUM, -1)
    assert (
        "10.0.0.5:80 sent its FIN 4 times (frames 6, 7, 8 and 9), and was still in LAST_ACK at the end of the capture"
        in row.detail
    )
    assert row.detail.endswith("; no ACK of it passed here, and 10.0.0.1:1000 sent nothing more")


@fires("PF201")
def test_a_final_ack_that_passed_and_was_lost_after_it_is_called_lost() -> None:
    capture = Told(seconds=3)
    flow = _last_ack(capture.flow())
    flow.mark(m.MARK_FIN_REPEATED, SERVER, 1.2, 2).remark(m.MARK_TAKEN_BACK, 55).mark(
        m.MARK_FIN_REPEATED, SERVER, 2.0, 3
    )
    flow.columns["client_acked"] = flow.columns["server_sent"]

    row = only(capture.anomalies(), "PF201")

    assert "the final ACK of 10.0.0.1:1000 passed here (frame 55) and did not reach it" in row.detail
    assert 55 in row.frames


@spares("PF201")
def test_a_close_under_way_when_the_capture_ends() -> None:
    capture = Told(seconds=1.9)
    _last_ack(capture.flow()).mark(m.MARK_FIN_REPEATED, SERVER, 1.2, 2)

    assert "PF201" not in codes(capture.anomalies())


@spares("PF201")
def test_a_fin_not_repeated_for_less_than_two_timeouts() -> None:
    capture = Told(seconds=2.9)
    _last_ack(capture.flow())

    assert "PF201" not in codes(capture.anomalies())


def test_a_fin_not_repeated_in_time_was_acknowledged_unseen() -> None:
    capture = Told(seconds=10)
    _last_ack(capture.flow())

    row = only(capture.anomalies(), "PF201")

    assert (row.severity, row.confidence) == (Severity.LOW, "possible")
    assert "which the capture does not hold" in row.detail


def test_a_final_ack_recovered_by_a_repeated_fin_is_information() -> None:
    capture = Told(seconds=10)
    flow = _last_ack(capture.flow()).mark(m.MARK_FIN_REPEATED, SERVER, 1.2, 2).remark(m.MARK_TAKEN_BACK, 7)
    flow.step(CLIENT, FIN_RX, 1.201, 9)
    flow.step(SERVER, ACK_OF_FIN_RX, 1.201, 9)

    assert only(capture.anomalies(), "PF201").severity == Severity.INFO


@spares("PF201", "PF205")
def test_verdicts_on_a_side_of_which_nothing_was_captured_are_withheld() -> None:
    capture = Told(seconds=60)
    flow = capture.flow(server_packets=-3)
    _last_ack(flow).mark(m.MARK_FIN_REPEATED, CLIENT, 1.2, 2)
    assert flow.row()["server_packets"] == 0

    assert not {"PF201", "PF202", "PF203", "PF205"} & codes(capture.anomalies())


def _half_closed(flow: Flow, first: int = CLIENT, at: float = 1.0) -> Flow:
    return flow.opens().fin(first, at).takes_fin(1 - first, at + 0.001)


@fires("PF202", "PF203")
def test_a_fin_acknowledged_and_never_returned() -> None:
    capture = Told(seconds=227.301)
    _half_closed(capture.flow())

    found = capture.anomalies()
    waiting, blamed = only(found, "PF202"), only(found, "PF203")

    assert (waiting.endpoint, waiting.severity, waiting.confidence) == (SERVER, Severity.LOW, "certain")
    assert (blamed.endpoint, blamed.severity, blamed.confidence) == (SERVER, Severity.MEDIUM, "certain")
    assert blamed.frames == (4, 5)
    assert blamed.detail == (
        "10.0.0.5:80 acknowledged the FIN of 10.0.0.1:1000 (frame 4) and sent neither data nor a FIN of its own for "
        "226.3 s, "
        "to the end of the capture"
    )


@spares("PF202", "PF203")
def test_a_half_close_at_work_still_sends_data() -> None:
    capture = Told(seconds=120)
    _half_closed(capture.flow()).data(SERVER, 70.0)

    assert not {"PF202", "PF203"} & codes(capture.anomalies())


@spares("PF202")
def test_a_fin_that_was_sent_and_did_not_arrive_is_not_owed() -> None:
    capture = Told(seconds=120)
    _half_closed(capture.flow()).fin(SERVER, 1.1).mark(m.MARK_FIN_REPEATED, SERVER, 1.3, 2)

    assert "PF202" not in codes(capture.anomalies())


@spares("PF202", "PF203")
def test_an_acknowledged_fin_just_before_the_end_of_a_short_capture() -> None:
    capture = Told(seconds=1.9)
    _half_closed(capture.flow())

    assert capture.anomalies() == []


def test_in_a_short_capture_the_wait_to_its_end_counts_a_little() -> None:
    capture = Told(seconds=3)
    _half_closed(capture.flow())

    rows = told(capture.anomalies(), "PF203")

    assert [(row.severity, row.confidence) for row in rows] == [(Severity.INFO, "possible")]


def test_a_gap_in_the_capture_lowers_the_verdict_and_says_so() -> None:
    capture = Told(seconds=120)
    _half_closed(capture.flow(server_unseen=1448))

    row = only(capture.anomalies(), "PF203")

    assert (row.severity, row.confidence) == (Severity.LOW, "likely")
    assert row.detail.endswith("(lowered from medium, because the capture lacks 1,448 bytes of it)")


@fires("PF204")
@pytest.mark.parametrize("first", [CLIENT, SERVER])
def test_connections_left_in_close_wait(first: int) -> None:
    capture = Told(seconds=300)
    for i in range(6):
        _half_closed(capture.flow(client=f"10.0.0.1:{1000 + i}", at=i), first)
    capture.flow(client="10.0.0.1:2000").opens()

    found = capture.anomalies()
    row = only(found, "PF204")

    assert (row.flow, row.count, row.endpoint, row.severity) == (-1, 6, 1 - first, Severity.HIGH)
    assert row.flows == (0, 1, 2, 3, 4, 5)
    assert "were in CLOSE_WAIT at the end of the capture; on all it has had" in row.detail
    assert "FIN for 294 s or longer and sent none of its own, on the oldest for 299 s, since 14:02:12" in row.detail
    who = "10.0.0.5:80 does not close its connections: 6 of 7" if first == CLIENT else "10.0.0.1 does not close"
    assert row.detail.startswith(who)
    assert {part.severity for part in told(found, "PF203")} == {Severity.LOW}
    assert found[0] is row


def test_a_leak_tells_those_that_wait_long_from_those_that_only_began() -> None:
    capture = Told(seconds=10)
    for i in range(9):
        _half_closed(capture.flow(client=f"10.0.0.1:{1000 + i}", at=i))

    row = only(capture.anomalies(), "PF204")

    assert "all 9 were in CLOSE_WAIT at the end of the capture; on 8 of these it has had" in row.detail
    assert row.count == 8


@spares("PF204")
def test_close_waits_that_drain() -> None:
    capture = Told(seconds=300)
    for i in range(12):
        flow = _half_closed(capture.flow(client=f"10.0.0.1:{1000 + i}", at=i))
        if i > 4:
            flow.fin(SERVER, 100.0).takes_fin(CLIENT, 100.001)

    assert "PF204" not in codes(capture.anomalies())


@spares("PF204")
def test_fewer_than_make_a_leak() -> None:
    capture = Told(seconds=300)
    for i in range(4):
        _half_closed(capture.flow(client=f"10.0.0.1:{1000 + i}", at=i))

    assert "PF204" not in codes(capture.anomalies())


@spares("PF204")
def test_slow_closes_of_a_busy_server_in_a_short_capture() -> None:
    capture = Told(seconds=20)
    for i in range(20):
        flow = _half_closed(capture.flow(client=f"10.0.0.1:{1000 + i}", at=i * 0.9))
        if i < 14:
            flow.fin(SERVER, 6.0).takes_fin(CLIENT, 6.001)

    assert "PF204" not in codes(capture.anomalies())


def _ended(first: int, ending: str) -> list[Anomaly]:
    """A connection half closed for 75 s, and then ended by the side that had not closed, or for it."""
    capture = Told(seconds=100)
    flow = _half_closed(capture.flow(), first)
    last = 1 - first
    if ending == "late FIN":
        flow.fin(last, 76.0).takes_fin(first, 76.001)
    elif ending == "data and a FIN":
        flow.data(last, 76.0).fin(last, 76.1).takes_fin(first, 76.101)
    elif ending == "data that draws a RST":
        flow.data(last, 76.0, acked=False).reset(first, 76.001, passive=True, pending=100)
        flow.columns |= {"pause_ns": 75 * 10**9, "pause_end_ns": flow.ns(76.0)}
    else:
        flow.reset(last, 76.0)
    return capture.anomalies()


@fires("PF203")
@pytest.mark.parametrize("first", [CLIENT, SERVER])
@pytest.mark.parametrize(
    ("ending", "words"),
    [
        ("late FIN", "until it closed (frame 6)"),
        ("data that draws a RST", "reset the connection (frame 7)"),
        ("a RST", "until it reset the connection (frame 6)"),
    ],
)
def test_a_long_wait_in_close_wait_is_told_though_it_ended(first: int, ending: str, words: str) -> None:
    row = only(_ended(first, ending), "PF203")

    assert (row.endpoint, row.severity) == (1 - first, Severity.LOW)
    assert "sent neither data nor a FIN of its own for 75 s, until" in row.detail
    assert row.detail.endswith(words)


@spares("PF203")
def test_a_half_close_whose_answer_took_long_was_no_wait() -> None:
    assert "PF203" not in codes(_ended(CLIENT, "data and a FIN"))


@spares("PF203")
def test_a_close_that_was_owed_for_less_is_not_told() -> None:
    capture = Told(seconds=100)
    _half_closed(capture.flow()).fin(SERVER, 50.0).takes_fin(CLIENT, 50.001)

    assert "PF203" not in codes(capture.anomalies())


def _all_end(apart: float, *, ends: float = 20.0, answer: bool = False) -> list[Anomaly]:
    """A client with a pool of twelve connections that its server closed one after another; it ends after 20 s."""
    capture = Told(seconds=30)
    for i in range(12):
        flow = _half_closed(capture.flow(client=f"10.0.0.1:{1000 + i}"), SERVER, 1.0 + apart * i)
        if answer:
            flow.data(CLIENT, ends - 2)
        flow.fin(CLIENT, ends + i / 1e4).takes_fin(SERVER, ends + 0.01 + i / 1e4)
    return capture.anomalies()


@fires("PF204")
def test_a_leak_of_a_client_that_ended_with_its_process() -> None:
    found = _all_end(0.5)
    row = only(found, "PF204")

    assert (row.count, row.endpoint, row.severity, row.confidence) == (12, CLIENT, Severity.MEDIUM, "likely")
    assert row.detail == (
        "10.0.0.1 did not close its connections: all 12 to 10.0.0.5:80 were in CLOSE_WAIT until 14:02:31 UTC, when "
        "they ended together within 1.1 ms; on all it had had the server's FIN for 13.5 s or longer "
        "and sent none of its own, on the oldest for 19 s, since 14:02:12 UTC"
    )


@spares("PF204")
def test_connections_that_were_closed_in_one_moment_and_ended_in_one_moment() -> None:
    """A server that restarts, and the pool that looks a while later."""
    assert "PF204" not in codes(_all_end(0.01))


@spares("PF204")
def test_connections_that_end_together_soon_after_their_peer_closed() -> None:
    assert "PF204" not in codes(_all_end(0.15, ends=3.0))


@spares("PF204")
def test_connections_that_end_together_and_still_sent_data() -> None:
    assert "PF204" not in codes(_all_end(0.5, answer=True))


@fires("PF205")
def test_a_fin_that_nobody_acknowledges() -> None:
    capture = Told(seconds=5)
    flow = capture.flow().opens().fin(CLIENT, 1.0)
    for n, at in enumerate((1.2, 1.6, 2.4, 4.0)):
        flow.mark(m.MARK_FIN_REPEATED, CLIENT, at, 2 + n)

    row = only(capture.anomalies(), "PF205")

    assert (row.severity, row.confidence, row.endpoint) == (Severity.MEDIUM, "certain", -1)
    assert "sent its FIN 5 times (frames 4, 5, 6 ... 8) over 3 s, and it was never acknowledged" in row.detail


@spares("PF205")
def test_a_fin_sent_once_and_not_acknowledged_here() -> None:
    capture = Told(seconds=60)
    capture.flow().opens().fin(CLIENT, 1.0)

    assert "PF205" not in codes(capture.anomalies())


def test_repeats_that_stop_early_were_answered_unseen() -> None:
    capture = Told(seconds=60)
    capture.flow().opens().fin(CLIENT, 1.0).mark(m.MARK_FIN_REPEATED, CLIENT, 1.2, 2)

    row = only(capture.anomalies(), "PF205")

    assert (row.severity, row.confidence) == (Severity.LOW, "possible")
    assert "an ACK probably came that the capture does not hold" in row.detail


@fires("PF206")
def test_data_after_the_peers_fin() -> None:
    capture = Told()
    _half_closed(capture.flow()).data(SERVER, 2.0, 500).fin(SERVER, 2.1).takes_fin(CLIENT, 2.101)

    row = only(capture.anomalies(), "PF206")

    assert row.severity == Severity.INFO
    assert "10.0.0.5:80 sent 500 bytes more and closed 1.1 s later" in row.detail


@spares("PF206")
def test_data_that_only_crosses_the_fin() -> None:
    capture = Told()
    flow = capture.flow(client_rtt_ns=50_000_000).opens().fin(CLIENT, 1.0).data(SERVER, 1.02, acked=False)
    flow.takes_fin(SERVER, 1.05).fin(SERVER, 1.06).takes_fin(CLIENT, 1.07)

    assert "PF206" not in codes(capture.anomalies())


@fires("PF207")
def test_fins_that_cross() -> None:
    capture = Told()
    flow = capture.flow().opens().fin(CLIENT, 1.0).fin(SERVER, 1.001)
    for endpoint in (CLIENT, SERVER):
        flow.step(endpoint, FIN_RX, 1.01, 6)
    for endpoint in (CLIENT, SERVER):
        flow.step(endpoint, ACK_OF_FIN_RX, 1.02, 7)

    assert only(capture.anomalies(), "PF207").frames == (4, 5)


@spares("PF207")
def test_an_ordinary_close() -> None:
    capture = Told()
    capture.flow().opens().closes(CLIENT, 1.0)

    assert capture.anomalies() == []


@fires("PF208")
def test_new_data_beyond_the_fin() -> None:
    capture = Told()
    _half_closed(capture.flow()).mark(m.MARK_DATA_AFTER_FIN, CLIENT, 1.5, 20)

    row = only(capture.anomalies(), "PF208")

    assert (row.endpoint, row.frames) == (CLIENT, (4, 6))
    assert "up to 20 bytes past it" in row.detail


@spares("PF208")
def test_a_repeat_of_data_below_the_fin() -> None:
    capture = Told()
    _half_closed(capture.flow()).mark(m.RETRANSMISSION, CLIENT, 1.5, 20)

    assert "PF208" not in codes(capture.anomalies())


def _short(capture: Told, number: int, every: float, *, first: int = CLIENT, server: str = "10.0.0.5:80") -> None:
    """Connections one after another, each closed at once by this side."""
    for i in range(number):
        flow = capture.flow(client=f"10.0.0.1:{1000 + i}", server=server, at=i * every).opens()
        flow.closes(first, 0.0025)


@fires("PF209")
def test_a_server_that_closes_first_and_fast() -> None:
    capture = Told()
    _short(capture, 12, 1.0, first=SERVER)

    row = only(capture.anomalies(Config(time_wait_many=10, ephemeral_ports=50)), "PF209")

    assert (row.count, row.endpoint, row.severity) == (12, SERVER, Severity.LOW)
    assert row.detail == (
        "10.0.0.5, as the server, was the first to close 12 connections, 12 within 11 s, 1.1 a second; at 60 s each, "
        "up to 12 were in TIME_WAIT at once (14:02:22 UTC), and 65 would be at that rate, where a client has 50 ports "
        "for one server"
    )


@fires("PF209", "PF210")
def test_what_a_client_leaves_in_time_wait_is_told_by_the_ports_it_has_left() -> None:
    """2,500 in 0.3 s use up 28,232 ports in 3.4 s."""
    capture = Told(seconds=0.4)
    _short(capture, 2500, 0.294 / 2499)

    found = capture.anomalies()
    crowd, ports = only(found, "PF209"), only(found, "PF210")

    assert (ports.severity, ports.endpoint, crowd.severity) == (Severity.MEDIUM, CLIENT, Severity.INFO)
    assert ports.detail == (
        "10.0.0.1 had 2,500 ports in use towards 10.0.0.5:80 at 14:02:11 UTC, open or in TIME_WAIT, 8.9% of "
        "28,232 (assumed); it closed 2,500 within 300 ms, 8,347 a second: at that rate the 28,232 ports are used up in "
        "3.4 s, before the first TIME_WAIT ends"
    )
    assert crowd.detail.endswith("PF210 tells what it leads to")


def test_a_burst_that_did_not_go_on_weighs_less() -> None:
    capture = Told(seconds=60)
    _short(capture, 2500, 0.294 / 2499)

    row = only(capture.anomalies(), "PF210")

    assert row.severity == Severity.LOW
    assert row.detail.endswith("; it did not go on so")


def test_a_rate_that_takes_most_of_the_ports_and_not_all() -> None:
    capture = Told(seconds=4)
    _short(capture, 1200, 1 / 300)

    row = only(capture.anomalies(), "PF210")

    assert row.severity == Severity.LOW
    assert "at that rate 64% of its ports are always in TIME_WAIT" in row.detail


@spares("PF209", "PF210")
def test_a_thousand_time_waits_at_eight_a_second_are_health() -> None:
    capture = Told(seconds=130)
    _short(capture, 1000, 1 / 8)

    assert capture.anomalies() == []


def test_a_loop_of_few_connections_is_told_with_little_weight() -> None:
    capture = Told(seconds=0.4)
    _short(capture, 60, 0.006)

    row = only(capture.anomalies(Config(ephemeral_ports=8000)), "PF210")

    assert row.severity == Severity.LOW
    assert "60 ports in use towards 10.0.0.5:80 at 14:02:11 UTC, open or in TIME_WAIT, 0.8% of 8,000" in row.detail
    assert "it closed 60 within 360 ms, 167 a second: at that rate the 8,000 ports are used up in 47.9 s" in row.detail


@spares("PF209", "PF210")
def test_a_loop_of_few_connections_that_ended_led_nowhere() -> None:
    capture = Told(seconds=70)
    _short(capture, 60, 0.006)

    assert capture.anomalies(Config(ephemeral_ports=8000)) == []


@spares("PF209", "PF210")
def test_parallel_connections_that_end_at_once_are_no_rate() -> None:
    capture = Told(seconds=0.1)
    _short(capture, 60, 0.0001)

    assert capture.anomalies() == []


@spares("PF209", "PF210")
def test_a_pool_that_closes_its_old_connections_at_once_is_no_rate() -> None:
    capture = Told(seconds=61)
    for i in range(1100):
        capture.flow(client=f"10.0.0.1:{1000 + i}").opens().closes(CLIENT, 60 + i / 1e4)

    assert capture.anomalies() == []


@spares("PF210")
def test_the_ports_of_each_server_are_counted_apart() -> None:
    capture = Told(seconds=7)
    for n in range(4):
        _short(capture, 600, 1 / 100, server=f"10.0.0.{10 + n}:80")

    found = capture.anomalies()

    assert "PF210" not in codes(found)
    assert only(found, "PF209").severity == Severity.INFO


@fires("PF210")
def test_a_client_with_most_of_its_ports_in_use() -> None:
    capture = Told()
    for i in range(10):
        flow = capture.flow(client=f"10.0.0.1:{1000 + i}", at=i).opens()
        if i % 2:
            flow.closes(CLIENT, 0.1)

    row = only(capture.anomalies(Config(ephemeral_ports=12)), "PF210")

    assert (row.severity, row.endpoint) == (Severity.MEDIUM, CLIENT)
    assert "10.0.0.1 had 10 ports in use towards 10.0.0.5:80" in row.detail
    assert "83% of 12" in row.detail


@spares("PF210")
def test_ports_that_the_server_keeps_in_time_wait_are_free_for_the_client() -> None:
    capture = Told()
    for i in range(10):
        capture.flow(client=f"10.0.0.1:{1000 + i}", at=i).opens().closes(SERVER, 0.1)

    assert "PF210" not in codes(capture.anomalies(Config(ephemeral_ports=12)))


@fires("PF211")
def test_ports_used_again_within_time_wait() -> None:
    capture = Told()
    capture.flow().opens().closes(SERVER, 1.0)
    capture.flow(at=3.0).opens()

    row = only(capture.anomalies(), "PF211")

    assert (row.flow, row.severity) == (1, Severity.INFO)
    assert row.detail.endswith("had entered TIME_WAIT at the server (frame 7); it was accepted")


def test_a_reuse_that_is_not_answered_is_worse() -> None:
    capture = Told()
    capture.flow().opens().closes(SERVER, 1.0)
    capture.flow(at=3.0).syn().mark(m.MARK_SYN_REPEATED, CLIENT, 1.0, 2)

    assert only(capture.anomalies(), "PF211").severity == Severity.MEDIUM


@spares("PF211")
def test_ports_used_again_after_time_wait() -> None:
    capture = Told()
    capture.flow().opens().closes(SERVER, 1.0)
    capture.flow(at=62.0).opens()

    assert "PF211" not in codes(capture.anomalies())


@fires("PF212")
def test_a_rst_accepted_in_time_wait() -> None:
    capture = Told()
    flow = capture.flow().opens().closes(CLIENT, 1.0).mark(m.MARK_RESET_AFTER_CLOSE, SERVER, 2.0)
    flow.step(CLIENT, RST_RX, 2.0, 8)

    row = only(capture.anomalies(), "PF212")

    assert (row.frames, row.severity) == ((7, 8), Severity.INFO)


def test_a_rst_in_time_wait_with_another_ttl_is_laid_at_nobodys_door() -> None:
    capture = Told()
    flow = capture.flow().opens().closes(CLIENT, 1.0).mark(m.MARK_RESET_AFTER_CLOSE, SERVER, 2.0, 255)
    flow.step(CLIENT, RST_RX, 2.0, 8)

    row = only(capture.anomalies(), "PF212")

    assert row.endpoint == -1
    assert row.detail.endswith(
        "the RST's TTL is 255 where that of its other packets is 64: a device on the way may have sent it"
    )


@spares("PF212")
def test_a_rst_towards_an_endpoint_that_is_closed() -> None:
    capture = Told()
    capture.flow().opens().closes(CLIENT, 1.0).mark(m.MARK_RESET_AFTER_CLOSE, CLIENT, 2.0)

    assert "PF212" not in codes(capture.anomalies())


def test_a_clock_that_went_back_weakens_what_hangs_on_durations() -> None:
    capture = Told(seconds=120, clock_steps=1, first_clock_step_frame=3)
    _half_closed(capture.flow())

    row = only(capture.anomalies(), "PF203")

    assert row.confidence == "likely"
    assert "the capture's clock went back" in row.detail


def test_a_finding_is_plain_data() -> None:
    capture = Told(seconds=120)
    _half_closed(capture.flow())

    row = dataclasses.asdict(only(capture.anomalies(), "PF203"))

    assert all(type(value) in (int, str, tuple) for name, value in row.items() if name != "severity")
    assert all(type(frame) is int for frame in row["frames"])
