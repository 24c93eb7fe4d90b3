"""PI106 unread-data-reset."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Severity
from pcapflow.payload.said import Said
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import OPEN, Connection, incidents, only, repeated, told
from tests.diagnosis.outages import ANSWERED, asked, at, refusals, unaccepted
from tests.ladders import ISNS, SERVER

CUT = f"""{OPEN}
      3   > P.  1:1461     ack 1
      4   < .   1:1        ack 1461
      5   > P.  1461:4381  ack 1
      6   < P.  1:181      ack 1461
      7   < R.  181:181    ack 1461
"""
"""An answer to a request that is still coming, and a RST before the client has acknowledged it."""
FULL = f"""{OPEN}
      3   > P.  1:4381     ack 1
      4   < .   1:1        ack 4381  win 0
      5   < P.  1:181      ack 4381  win 0
      6   > .   4381:4381  ack 181
      7   < F.  181:181    ack 4381  win 0
      8   > .   4381:4381  ack 182
      9   < R.  182:182    ack 4381
"""
"""An answer and a FIN arrive while the server's buffer is full of what it did not read; then the RST."""


@fires("PI106")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_an_early_answer_that_its_own_reset_destroys(isn: tuple[int, int]) -> None:
    found = incidents(repeated(CUT, 3, apart_ms=300, server=(SERVER[0], 8080)), isn=isn)

    reset = only(found, "unread-data-reset")
    assert reset.headline == (
        "198.51.100.2:8080 closed 3 connections without reading all that 192.0.2.1 sent, and so reset them, since "
        "00:00:00 UTC: 3 answers had not arrived whole."
    )
    assert reset.blame.text == "server 198.51.100.2:8080"
    assert reset.severity == Severity.MEDIUM
    assert "at least 540 bytes were never acknowledged" in " | ".join(observation.text for observation in reset.why)
    assert "shutdown(SHUT_WR)" in reset.remedy[0].text
    assert "lingering_close" in reset.remedy[1].text
    assert [incident.pattern for incident in found] == ["unread-data-reset"]


@fires("PI106")
def test_what_was_said_on_its_connections_is_told_once() -> None:
    words = [
        Said(
            flow=flow,
            protocol="http",
            what=f"POST /{flow % 2} -> 413",
            error="no",
            error_by=1,
            error_frame=5 + 5 * flow,
        )
        for flow in range(4)
    ]
    reset = only(incidents(repeated(CUT, 4, apart_ms=300), said=words), "unread-data-reset")

    assert [text for text in (seen.text for seen in reset.why) if "-> 413" in text] == [
        "the error that was sent on 2 of the 4 connections whose payload was read: POST /0 -> 413 (frames 5 and 15)",
        "the error that was sent on 2 of the 4 connections whose payload was read: POST /1 -> 413 (frames 10 and 20)",
    ]


@fires("PI106")
def test_an_answer_that_arrived_before_the_reset_is_said_to_have_arrived() -> None:
    reset = only(incidents(repeated(FULL, 2, apart_ms=300)), "unread-data-reset")

    assert reset.headline.endswith(": 2 answers had arrived just before.")
    assert reset.severity == Severity.LOW
    assert reset.confidence == "likely"
    assert any("its buffer was full" in observation.text for observation in reset.why)


@fires("PI106")
def test_requests_that_a_server_never_read_got_no_answer() -> None:
    reset = only(incidents(repeated(unaccepted(500), 4, apart_ms=700)), "unread-data-reset")

    assert "4 requests got no answer" in reset.headline
    assert reset.severity == Severity.MEDIUM
    assert any("SO_LINGER" in text for text in reset.against)
    assert any("killed" in text for text in reset.against)


@fires("PI106")
@pytest.mark.parametrize("goes", [False, True])
def test_a_server_that_resets_whoever_asks_it_may_not_have_read(goes: bool) -> None:
    """As soon as the request is there; it is harmless where the client had closed and waits for nothing."""
    mute = f"""{OPEN}
      3  > {"F" if goes else "P"}.  1:31   ack 1
      4  < .   1:1    ack 31
      5  < R.  1:1    ack 31
    """
    reset = only(incidents(repeated(mute, 4)), "unread-data-reset")

    assert "4 requests got no answer" in reset.headline
    assert (reset.severity, reset.confidence) == (Severity.LOW if goes else Severity.MEDIUM, "possible")
    assert any("SO_LINGER" in text for text in reset.against)


@fires("PI106")
def test_a_server_that_closes_while_an_upload_is_on_its_way_has_not_read_it() -> None:
    """Its FIN comes first, since all that had arrived was read; the rest finds no socket."""
    upload = f"""{OPEN}
      3   > P.  1:1001     ack 1
      4   < .   1:1        ack 1001
      5   > P.  1001:2001  ack 1
      5.5 < F.  1:1        ack 1001
      6   > P.  2001:3001  ack 1
      7   < R   2:2        win 0
    """
    reset = only(incidents(repeated(upload, 3, apart_ms=300)), "unread-data-reset")

    assert reset.headline == (
        "198.51.100.2:80 closed 3 connections without reading all that 192.0.2.1 sent, and so reset them, since "
        "00:00:00 UTC: 3 requests got no answer."
    )
    assert reset.severity == Severity.MEDIUM


@spares("PI106")
@pytest.mark.parametrize("acked_before", [True, False])
def test_a_goodbye_to_a_server_that_has_closed_was_not_left_unread(acked_before: bool) -> None:
    goodbye = f"""{ANSWERED}
      100    < F.  21:21  ack 11
      {"100.5  > .   11:11  ack 22" if acked_before else ""}
      101    > P.  11:17  ack 22
      102    < R   22:22  win 0
    """
    assert not told(incidents(repeated(goodbye, 3)), "unread-data-reset")


@spares("PI106")
def test_a_server_that_greets_and_resets_what_it_does_not_like_has_read_it() -> None:
    greeted = f"""{OPEN}
      3   < P.  1:21   ack 1
      4   > .   1:1    ack 21
      50  > P.  1:31   ack 21
      51  < R.  21:21  ack 31
    """
    assert not told(incidents(repeated(greeted, 4)), "unread-data-reset")


@fires("PI106")
def test_a_client_that_closes_without_reading_is_told_quietly() -> None:
    banner = f"""{OPEN}
      3     < P.  1:41  ack 1
      4     > .   1:1   ack 41
      2000  > R.  1:1   ack 41
    """
    reset = only(incidents(repeated(banner, 2)), "unread-data-reset")

    assert reset.blame.text == "client 192.0.2.1"
    assert reset.severity == Severity.INFO


@spares("PI106")
def test_a_server_that_dies_with_requests_unread_is_told_as_that() -> None:
    connections: list[Connection] = [
        at(0, asked(4000), 40_000),
        at(100, asked(3901), 40_001),
        at(3500, unaccepted(502), 40_002),
        *refusals(4100, 6),
        at(6000, ANSWERED, 41_000),
    ]

    found = incidents(connections, end_ms=9000)
    assert [incident.pattern for incident in found] == ["crash"]


@spares("PI106")
def test_data_for_a_socket_that_is_gone_was_not_left_unread() -> None:
    late = f"""{ANSWERED}
      1000  < F.  21:21  ack 11
      1001  > .   11:11  ack 22
      3000  > P.  11:21  ack 22
      3001  < R   22:22  win 0
    """
    assert not told(incidents(repeated(late, 3)), "unread-data-reset")


@spares("PI106")
def test_a_reset_after_everything_was_answered_is_a_choice() -> None:
    chosen = f"""{ANSWERED}
      900  < R.  21:21  ack 11
    """
    assert not told(incidents(repeated(chosen, 3)), "unread-data-reset")


@spares("PI106")
def test_a_reset_that_a_device_sent_says_nothing_of_the_server() -> None:
    injected = f"""{OPEN.replace("ack 1", "ack 1 ttl 60")}
      3  > P.  1:11  ack 1  ttl 64
      4  < .   1:1   ack 11 ttl 60
      5  < R.  1:1   ack 11 ttl 200
      6  < P.  1:21  ack 11 ttl 60
    """
    assert not told(incidents(repeated(injected, 3)), "unread-data-reset")


@fires("PI106")
@pytest.mark.parametrize(("gave_up", "confidence"), [(False, "likely"), (True, "possible")])
def test_a_client_that_resets_a_download_had_not_read_it_while_it_still_came(gave_up: bool, confidence: str) -> None:
    """Long after the last of it, the client may as well have given up what no longer came."""
    download = f"""{OPEN}
      3      > P.  1:101      ack 1
      4      < .   1:1461     ack 101
      5      < .   1461:2921  ack 101
      6      > .   101:101    ack 2921
      7      < .   2921:4381  ack 101
      {30_000 if gave_up else 8}  > R.  101:101  ack 2921
    """
    reset = only(incidents(repeated(download, 2)), "unread-data-reset")

    assert reset.confidence == confidence
    texts = " | ".join(observation.text for observation in reset.why)
    assert ("data of the server still came" in texts) == (not gave_up)
    assert "had begun to speak" not in texts


@fires("PI106")
def test_a_goodbye_is_not_called_a_request() -> None:
    goodbye = f"""{ANSWERED}
      100  > F.  11:16  ack 21
      101  < .   21:21  ack 17
      130  < R.  21:21  ack 17
    """
    reset = only(incidents(repeated(goodbye, 2)), "unread-data-reset")

    assert reset.headline.endswith(": 2 clients had closed after words that got no answer.")
    assert reset.severity == Severity.LOW


@fires("PI106")
@pytest.mark.parametrize(("sent", "severity"), [(2, Severity.LOW), (400, Severity.MEDIUM)])
def test_a_few_bytes_that_cross_the_fin_are_mild(sent: int, severity: Severity) -> None:
    crossed = f"""{ANSWERED}
      100    > P.  11:{11 + sent}       ack 21
      100.3  < F.  21:21       ack 11
      100.6  > .   {11 + sent}:{11 + sent}  ack 22
      100.7  < R   21:21
    """
    assert only(incidents([at(0, crossed, 40_000)]), "unread-data-reset").severity == severity


@fires("PI106")
def test_a_request_that_crosses_the_fin_is_a_request_although_the_client_closes_then() -> None:
    crossed = f"""{ANSWERED}
      100    > P.  11:411   ack 21
      100.3  < F.  21:21    ack 11
      100.6  > F.  411:411  ack 22
      100.7  < R   21:21
    """
    reset = only(incidents([at(0, crossed, 40_000)]), "unread-data-reset")

    assert reset.headline.endswith(": 1 request got no answer.")
