"""Connections that do not open, or open oddly."""

from __future__ import annotations

import ipaddress

import pytest

from pcapflow.anomalies.model import Anomaly, Severity
from pcapflow.config import Config
from pcapflow.tcp import marks as m
from pcapflow.tcp.states import CLIENT, SERVER, SYN_RX, SYN_TX
from tests.anomalies.builder import Told
from tests.anomalies.cases import codes, fires, only, spares, told


@fires("PF101")
def test_a_repeated_syn_without_any_answer() -> None:
    capture = Told(seconds=8)
    capture.flow().syn().mark(m.MARK_SYN_REPEATED, CLIENT, 1.0, 2).mark(m.MARK_SYN_REPEATED, CLIENT, 3.0, 3)

    row = only(capture.anomalies(), "PF101")

    assert (row.flow, row.frames, row.severity, row.confidence) == (0, (1, 2, 3), Severity.MEDIUM, "certain")
    assert row.detail == (
        "10.0.0.1:1000 sent its SYN 3 times (frames 1, 2 and 3) over 3 s to 10.0.0.5:80, and nothing had come back "
        "when the capture ended 5 s after the last"
    )


@fires("PF101")
def test_a_single_syn_with_time_left_to_answer() -> None:
    capture = Told(seconds=3)
    capture.flow().syn()

    assert only(capture.anomalies(), "PF101").confidence == "likely"


@spares("PF101")
def test_a_syn_just_before_the_capture_ends() -> None:
    capture = Told(seconds=2.9)
    capture.flow().syn()

    assert "PF101" not in codes(capture.anomalies())


@spares("PF101")
def test_a_syn_in_a_capture_that_lacks_the_other_direction() -> None:
    capture = Told(seconds=60)
    capture.flow().syn()
    capture.flow(client="10.0.0.1:1001").syn().data(CLIENT, 0.1, acked=False)

    found = codes(capture.anomalies())

    assert "PF101" not in found
    assert "PF902" in found


@fires("PF102")
def test_a_rst_in_answer_to_the_syn() -> None:
    capture = Told()
    capture.flow().syn().reset(SERVER, 0.002)

    row = only(capture.anomalies(), "PF102")

    assert (row.frames, row.endpoint, row.cause, row.severity) == ((1, 2), SERVER, "no-listener", Severity.LOW)
    assert "10.0.0.5:80 answered the SYN of 10.0.0.1:1000 (frame 1) with a RST (frame 2) after 2 ms" in row.detail


def test_a_refusal_with_a_foreign_ttl_looks_like_a_firewall() -> None:
    capture = Told()
    capture.flow(client="10.0.0.1:999", server="10.0.0.5:22").opens()
    capture.flow().syn().reset(SERVER, 0.002, reset_ttl=250)

    row = only(capture.anomalies(), "PF102")

    assert (row.cause, row.endpoint) == ("firewall-reject", -1)
    assert "the RST's TTL is 250 where that of the server's other packets is 64" in row.detail


@spares("PF102")
def test_a_rst_that_the_client_ignored_refuses_nothing() -> None:
    capture = Told()
    capture.flow().syn().mark(m.MARK_RESET_IGNORED, SERVER, 0.001, 77).syn_ack(0.002).ack(0.003)

    assert "PF102" not in codes(capture.anomalies())


@spares("PF102")
def test_a_refusal_that_the_other_ip_version_makes_good_is_information() -> None:
    """A name with two addresses, and a server that listens on one of them."""
    capture = Told()
    capture.flow(client="[::1]:1000", server="[::1]:80").syn().reset(SERVER, 0.002)
    capture.flow(client="127.0.0.1:1001", at=0.003).opens()

    row = only(capture.anomalies(), "PF102")

    assert (row.severity, row.frames) == (Severity.INFO, (1, 2, 3))
    assert row.detail.endswith("then 127.0.0.1:1001 opened a connection to 10.0.0.5:80 (frame 3)")


@pytest.mark.parametrize(
    ("client", "server", "at", "opens"),
    [
        ("10.0.0.1:1001", "10.0.0.6:80", 0.003, True),  # the same IP version: another host
        ("[::1]:1001", "[::1]:81", 0.003, True),  # another port
        ("[::1]:1001", "[::1]:80", 0.5, True),  # later
        ("[::1]:1001", "[::1]:80", 0.003, False),  # not opened either
    ],
)
@fires("PF102")
def test_other_connections_make_no_refusal_good(client: str, server: str, at: float, opens: bool) -> None:
    capture = Told()
    capture.flow().syn().reset(SERVER, 0.002)
    other = capture.flow(client=client, server=server, at=at).syn()
    if opens:
        other.syn_ack().ack()
    capture.flow(client="[::2]:7", server="[::2]:7", at=9).opens()

    assert only(capture.anomalies(), "PF102").severity == Severity.LOW


@fires("PF103")
def test_an_icmp_message_ends_the_attempt() -> None:
    capture = Told()
    capture.flow().syn().mark(m.MARK_ICMP_UNREACHABLE, CLIENT, 0.01, 3 * 256 + 13, counted=False)

    found = capture.anomalies()

    assert "communication prohibited by a filter; the connection was not opened" in only(found, "PF103").detail
    assert "PF101" not in codes(found)


@spares("PF103")
def test_an_icmp_message_that_the_connection_outlives_is_information() -> None:
    capture = Told()
    capture.flow().opens().mark(m.MARK_ICMP_UNREACHABLE, CLIENT, 0.01, 3 * 256 + 1, counted=False).data(SERVER, 1.0)

    row = only(capture.anomalies(), "PF103")

    assert row.severity == Severity.INFO
    assert row.detail.endswith("host unreachable; the connection went on regardless")


def _cut_off(sender: str, *, peer_heard: bool = False, seconds: float = 60.0) -> list[Anomaly]:
    """A connection whose client is told that the server cannot be reached, and repeats its data."""
    capture = Told(seconds=seconds)
    flow = capture.flow().opens().data(CLIENT, 0.1, acked=False)
    flow.mark(m.MARK_ICMP_UNREACHABLE, CLIENT, 0.11, 3 * 256 + 1, counted=False)
    flow.columns |= {"icmp_frame": capture.frames, "icmp_hi": 0, "icmp_lo": int(ipaddress.ip_address(sender))}
    for n in range(6):
        flow.mark(m.RETRANSMISSION, CLIENT, 0.3 + n / 10, 100)
    if peer_heard:
        flow.data(SERVER, 1.0)
    return capture.anomalies()


@fires("PF103")
def test_a_connection_whose_peer_is_not_heard_after_the_message_did_not_go_on() -> None:
    """Its own repeats do not count; and the message leads, not the silence that follows from it."""
    found = _cut_off("192.0.2.254")
    row = only(found, "PF103")

    assert (row.severity, row.endpoint) == (Severity.MEDIUM, -1)
    assert row.detail.startswith("the router 192.0.2.254 told 10.0.0.1:1000 by 1 ICMP message (frame 5), about its")
    assert row.detail.endswith("10.0.0.5:80 was not heard again in the 59.9 s to the end of the capture")
    assert only(found, "PF402").severity == Severity.INFO
    assert only(found, "PF402").detail.endswith("an ICMP error says why (see PF103)")
    assert found[0] is row


@spares("PF103")
def test_a_connection_whose_peer_is_heard_after_the_message_went_on() -> None:
    found = _cut_off("192.0.2.254", peer_heard=True)

    assert only(found, "PF103").severity == Severity.INFO
    assert "the connection went on regardless" in only(found, "PF103").detail


def test_a_host_that_rejects_by_itself_is_named_and_blamed() -> None:
    row = only(_cut_off("10.0.0.5"), "PF103")

    assert row.endpoint == SERVER
    assert row.detail.startswith("10.0.0.5 itself told 10.0.0.1:1000 by 1 ICMP message")


def test_a_capture_that_ends_right_after_the_message_does_not_say_what_it_led_to() -> None:
    row = only(_cut_off("192.0.2.254", seconds=0.9), "PF103")

    assert row.severity == Severity.INFO
    assert row.detail.endswith("the capture ends 790 ms later")


def test_a_message_about_a_connection_that_was_over_is_information() -> None:
    capture = Told(seconds=60)
    flow = capture.flow().opens().closes(CLIENT, 1.0)
    flow.mark(m.MARK_ICMP_UNREACHABLE, CLIENT, 5.0, 3 * 256 + 3, counted=False)

    row = only(capture.anomalies(), "PF103")

    assert row.severity == Severity.INFO
    assert row.detail.endswith("port unreachable; the connection was over by then")


@spares("PF103")
@pytest.mark.parametrize("kind", [4, 5])
def test_a_redirect_or_source_quench_rejects_nothing(kind: int) -> None:
    capture = Told(seconds=60)
    capture.flow().syn().mark(m.MARK_ICMP_UNREACHABLE, CLIENT, 0.01, kind * 256 + 1, counted=False)

    assert codes(capture.anomalies()) == {"PF101"}


@fires("PF104")
def test_a_repeated_syn_ack_that_nobody_answers() -> None:
    capture = Told(seconds=8)
    capture.flow().syn().syn_ack().mark(m.MARK_SYN_REPEATED, SERVER, 1.0, 2).mark(m.MARK_SYN_REPEATED, SERVER, 3.0, 3)

    row = only(capture.anomalies(), "PF104")

    assert row.frames == (1, 2, 3, 4)
    assert "sent its SYN-ACK 3 times (frames 2, 3 and 4)" in row.detail
    assert row.detail.endswith("the client sent nothing more")


@spares("PF104")
def test_a_handshake_under_way_when_the_capture_ends() -> None:
    capture = Told(seconds=2.9)
    capture.flow().syn().syn_ack()

    assert "PF104" not in codes(capture.anomalies())


def _half_open(capture: Told, number: int, *, answered: bool = True) -> None:
    for i in range(number):
        client = f"192.0.{i // 200}.{1 + i % 200}:{2000 + i}"
        flow = capture.flow(client=client, at=i / 100).syn()
        if answered:
            flow.syn_ack()


@fires("PF105")
def test_many_half_open_connections_from_many_addresses() -> None:
    capture = Told(seconds=30)
    _half_open(capture, 120)
    capture.flow().opens()

    row = only(capture.anomalies(), "PF105")

    assert (row.flow, row.count, row.confidence) == (-1, 120, "likely")
    assert "10.0.0.5:80 got 121 connection attempts, of which 120 were never completed" in row.detail
    assert "120 addresses" in row.detail
    assert {anomaly.severity for anomaly in told(capture.anomalies(), "PF104")} == {Severity.INFO}


@fires("PF105")
def test_a_short_capture_shows_a_flood_by_its_rate() -> None:
    capture = Told(seconds=2)
    _half_open(capture, 30)

    row = only(capture.anomalies(), "PF105")

    assert (row.count, row.severity) == (30, Severity.MEDIUM)
    # 30 in 0.29 s fill 4,096 places in 39.6 s; the interval of so few leaves open that it takes longer than a minute.
    assert row.detail.endswith("103 a second on average; at that rate a SYN queue of 4,096 places is full in 39.6 s")


@fires("PF105")
def test_a_flood_that_fills_the_syn_queue_within_a_minute_is_grave() -> None:
    capture = Told(seconds=30)
    _half_open(capture, 200)

    assert only(capture.anomalies(), "PF105").severity == Severity.HIGH


@spares("PF105")
def test_a_trickle_of_lost_attempts_fills_no_queue() -> None:
    capture = Told(seconds=100)
    for i in range(60):
        capture.flow(client=f"10.1.0.{1 + i}:2000", at=1.5 * i).syn().syn_ack()

    assert "PF105" not in codes(capture.anomalies())


@spares("PF105")
def test_what_began_just_before_the_end_may_still_be_completed() -> None:
    capture = Told(seconds=10)
    for i in range(150):
        capture.flow(client=f"10.1.0.{1 + i}:2000", at=9.1 + i / 1000).syn().syn_ack()
    capture.flow(client="10.1.1.1:2000").opens()

    assert "PF105" not in codes(capture.anomalies())


@spares("PF105")
def test_a_busy_and_healthy_server() -> None:
    capture = Told(seconds=30)
    for i in range(300):
        capture.flow(client=f"10.1.0.{1 + i % 200}:{2000 + i}", at=i / 100).opens()
    _half_open(capture, 110)

    assert "PF105" not in codes(capture.anomalies())


@spares("PF105")
def test_ordinary_clients_of_a_server_that_is_down_repeat_their_syn() -> None:
    capture = Told(seconds=30)
    for i in range(150):
        capture.flow(client=f"10.1.0.{1 + i}:2000", at=i / 100).syn().mark(m.MARK_SYN_REPEATED, CLIENT, 1.0, 2)

    assert "PF105" not in codes(capture.anomalies())


def _overflows(capture: Told, number: int) -> None:
    for i in range(number):
        flow = capture.flow(client=f"10.0.0.{1 + i}:1000").opens()
        flow.mark(m.MARK_SYN_REPEATED, SERVER, 1.0, 2).remark(m.MARK_TAKEN_BACK, 3)


@fires("PF106")
def test_several_final_acks_not_taken_by_one_server() -> None:
    capture = Told()
    _overflows(capture, 3)

    row = only(capture.anomalies(), "PF106")

    assert (row.count, row.endpoint) == (3, SERVER)
    assert (
        "on 3 connections 10.0.0.5:80 did not take the ACK that completes the handshake: it repeated its SYN-ACK on 3"
        in row.detail
    )


@fires("PF106")
@pytest.mark.parametrize("ttl", [64, 255])
def test_final_acks_that_draw_a_rst(ttl: int) -> None:
    """Of the server, whose SYN-ACK has a TTL of 64, or of a device on the way."""
    capture = Told()
    for i in range(3):
        flow = capture.flow(client=f"10.0.0.{1 + i}:1000").syn().syn_ack()
        flow.columns["completeness"] |= 4
        flow.reset(SERVER, 0.003, reset_ttl=ttl)

    found = told(capture.anomalies(), "PF106")

    assert ["sent a RST on 3" in row.detail for row in found] == ([True] if ttl == 64 else [])


@spares("PF106")
def test_one_final_ack_not_taken_is_a_lost_packet() -> None:
    capture = Told()
    _overflows(capture, 1)

    assert "PF106" not in codes(capture.anomalies())


@fires("PF108")
def test_syns_that_cross() -> None:
    capture = Told()
    flow = capture.flow().syn()
    frame = capture.frame()
    flow.states[SERVER] = 0
    flow.step(SERVER, SYN_TX, 0.001, frame)
    flow.step(CLIENT, SYN_RX, 0.002, frame)
    flow.step(SERVER, SYN_RX, 0.003, 1)

    assert only(capture.anomalies(), "PF108").frames == (1, 2)


@spares("PF108")
def test_an_ordinary_handshake() -> None:
    capture = Told()
    capture.flow().opens()

    assert capture.anomalies() == []


@pytest.mark.parametrize("rows", [5, 50])
def test_of_too_many_hits_the_worst_are_listed_and_the_rest_is_one_row(rows: int) -> None:
    capture = Told(seconds=60)
    for i in range(80):
        flow = capture.flow(client=f"10.0.1.{1 + i}:1000", at=i / 10).syn()
        for n in range(3 if i == 70 else 1):
            flow.mark(m.MARK_SYN_REPEATED, CLIENT, 1.0 + n, 2 + n)

    found = told(capture.anomalies(Config(rows_per_rule=rows)), "PF101")

    assert len(found) == rows + 1
    assert found[0].flow == 70
    assert (found[-1].flow, found[-1].count) == (-1, 80 - rows)
    assert f"{80 - rows} more connections of this kind, not listed, all to 10.0.0.5:80" in found[-1].detail
