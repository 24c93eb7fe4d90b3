"""PI303 idle-timeout-device."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Severity
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import OPEN, Connection, incidents, only, repeated, told
from tests.ladders import ISNS

ASKED = f"""{OPEN}
      3  > P.  1:101    ack 1
      5  < P.  1:201    ack 101
      6  > .   101:101  ack 201
"""
INTO_THE_VOID = f"""{ASKED}
   1003  > P.  101:201  ack 201
   1005  < P.  201:401  ack 201
   1006  > .   201:201  ack 401
   6006  > P.  201:301  ack 401
   6206  > P.  201:301  ack 401
   6606  > P.  201:301  ack 401
   7406  > P.  201:301  ack 401
"""
FOREIGN_RESET = f"""{ASKED}
   5006  > P.  101:201  ack 201
   5007  < R   201:201  ttl 63
"""
PASSIVE_RESET = f"""{ASKED}
   5006  > P.  101:201  ack 201
   5007  < R   201:201
"""
WORKS = f"""{ASKED}
   2003  > P.  101:201  ack 201
   2005  < P.  201:401  ack 201
   2006  > F.  201:201  ack 401
   2007  < F.  401:401  ack 202
   2008  > .   202:202  ack 402
"""
WORKS_LONGER = f"""{ASKED}
   8003  > P.  101:201  ack 201
   8005  < P.  201:401  ack 201
   8006  > F.  201:201  ack 401
   8007  < F.  401:401  ack 202
   8008  > .   202:202  ack 402
"""
SYN_UNANSWERED = """
      0  > S   0:0
   1000  > S   0:0
   3000  > S   0:0
"""


@fires("PI303")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_silences_after_which_nothing_is_answered_while_others_work_are_a_devices_time_out(
    isn: tuple[int, int],
) -> None:
    found = incidents(
        [*repeated(INTO_THE_VOID, 3, apart_ms=700), *repeated(WORKS, 3, apart_ms=700, at_ms=6500, first_port=41_000)],
        isn=isn,
    )

    told_of = only(found, "idle-timeout-device")
    assert told_of.headline == (
        "Something on the path between 192.0.2.1 and 198.51.100.2 forgets idle connections: 3 of 6 connections were "
        "dead when they were used again after 5 s of silence, since 00:00:06 UTC, while others worked."
    )
    assert any("between 2 s and 5 s" in observation.text for observation in told_of.why)
    assert told_of.blame.text == "the path between 192.0.2.1 and 198.51.100.2"
    assert told_of.severity == Severity.MEDIUM
    assert "after 2 s of silence or earlier" in told_of.remedy[0].text
    assert "nf_conntrack_tcp_timeout_established" in told_of.remedy[-1].text


@fires("PI303")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_resets_with_another_ttl_after_silence_are_a_devices(isn: tuple[int, int]) -> None:
    found = incidents(
        [*repeated(FOREIGN_RESET, 3, apart_ms=700), *repeated(WORKS, 2, at_ms=5500, first_port=41_000)], isn=isn
    )

    told_of = only(found, "idle-timeout-device")
    assert "the TTL of the RST is 63, that of the peer's segments 64" in told_of.why[0].text
    assert len(told_of.explains) == 6
    assert not told(found, "stale-reuse")


@fires("PI303")
def test_keep_alives_that_fail_after_silence_tell_of_it_as_well() -> None:
    probed = f"""{ASKED}
  60006  > .   100:100  ack 201
  61006  > .   100:100  ack 201
  62006  > .   100:100  ack 201
  63006  > R.  101:101  ack 201
"""
    found = incidents([*repeated(probed, 3, apart_ms=3000), *repeated(WORKS, 2, at_ms=60_500, first_port=41_000)])

    assert "used again after 60 s of silence" in only(found, "idle-timeout-device").headline


@spares("PI303")
def test_a_host_after_which_nothing_works_has_died() -> None:
    assert not told(incidents(repeated(INTO_THE_VOID, 3, apart_ms=700)), "idle-timeout-device")


@spares("PI303")
def test_a_host_that_could_not_be_reached_meanwhile_was_down() -> None:
    found = incidents([
        *repeated(INTO_THE_VOID, 3, apart_ms=700),
        Connection(SYN_UNANSWERED, 6500, ("192.0.2.1", 42_000)),
        *repeated(WORKS, 3, apart_ms=700, at_ms=12_000, first_port=41_000),
    ])  # fmt: skip

    assert not told(found, "idle-timeout-device")


@spares("PI303")
def test_connections_that_outlive_longer_silences_tell_of_another_cause() -> None:
    longer = repeated(WORKS_LONGER, 2, at_ms=100, first_port=41_000)

    assert not told(incidents([*repeated(INTO_THE_VOID, 3, apart_ms=700), *longer]), "idle-timeout-device")


@spares("PI303")
def test_a_server_that_sent_its_fin_closed_by_itself() -> None:
    closed = f"""{ASKED}
   2005  < F.  201:201  ack 101
   2006  > .   101:101  ack 202
   5006  > P.  101:201  ack 202
   5007  < R   202:202
"""
    found = incidents([*repeated(closed, 3, apart_ms=700), *repeated(WORKS, 2, at_ms=5500, first_port=41_000)])

    assert not told(found, "idle-timeout-device")


@spares("PI303")
def test_resets_that_a_server_which_restarted_in_between_would_send_are_no_devices() -> None:
    found = incidents([*repeated(PASSIVE_RESET, 3, apart_ms=100), *repeated(WORKS, 2, at_ms=5500, first_port=41_000)])

    assert not told(found, "idle-timeout-device")


@spares("PI303")
def test_busy_connections_that_fall_silent_were_not_idle() -> None:
    busy = ASKED + "".join(
        f"{3 + 1000 * i} > P. {1 + 100 * i}:{101 + 100 * i} ack {1 + 200 * i}\n"
        f"{5 + 1000 * i} < P. {1 + 200 * i}:{201 + 200 * i} ack {101 + 100 * i}\n"
        for i in range(1, 6)
    )
    busy += "".join(f"{ms} > P. 601:701 ack 1201\n" for ms in (6003, 6203, 6603, 7403))
    found = incidents([*repeated(busy, 3, apart_ms=100), *repeated(WORKS, 2, at_ms=6500, first_port=41_000)])

    assert not told(found, "idle-timeout-device")


@spares("PI303")
def test_an_old_connection_that_a_syn_on_its_ports_ends_was_not_forgotten_on_the_path() -> None:
    reopened = f"""{ASKED}
   3000  > S   5000:5000
   3001  < .   201:201   ack 101
   3002  > R   101:101
   3010  > S   5000:5000
   3011  < S.  9000:9000 ack 5001
   3012  > .   5001:5001 ack 9001
"""
    found = incidents([*repeated(reopened, 3, apart_ms=700), *repeated(WORKS, 2, at_ms=3500, first_port=41_000)])

    assert not told(found, "idle-timeout-device")


@fires("PI303")
def test_several_clients_that_lose_connections_to_one_server_have_one_device_in_common() -> None:
    found = incidents([
        connection
        for n in (1, 2, 3)
        for connection in (
            *repeated(INTO_THE_VOID, 2, apart_ms=700, client=f"192.0.2.{n}"),
            *repeated(WORKS, 1, at_ms=8000, first_port=41_000, client=f"192.0.2.{n}"),
        )
    ])  # fmt: skip

    told_of = only(found, "idle-timeout-device")
    assert told_of.count == 6
    assert told_of.blame.who == "the path between 192.0.2.1, 192.0.2.2 and 1 more and 198.51.100.2"


@fires("PI303")
def test_silence_that_keep_alives_fill_is_none_that_a_connection_outlived() -> None:
    kept = ASKED + "".join(f"{1006 + ms} > . 100:100 ack 201\n{1007 + ms} < . 201:201 ack 101\n" for ms in
                           range(0, 20_000, 1000))  # fmt: skip
    kept += "21000 > P. 101:201 ack 201\n21001 < P. 201:401 ack 201\n21002 > . 201:201 ack 401\n"
    found = incidents([*repeated(INTO_THE_VOID, 3, apart_ms=700), *repeated(kept, 1, first_port=41_000)])

    told_of = only(found, "idle-timeout-device")
    assert told_of.confidence == "likely"
    assert any("between 1 s and 5 s" in observation.text for observation in told_of.why)
