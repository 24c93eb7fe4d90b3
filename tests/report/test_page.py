"""What a report says, computed from tables made by hand."""

from __future__ import annotations

import dataclasses

import pytest

from pcapflow.anomalies.model import Anomaly, Severity
from pcapflow.config import Config
from pcapflow.diagnosis.model import NOBODY, Blame, Incident, Observation
from pcapflow.reader.capture import Undecoded, no_checksum
from pcapflow.report import build
from pcapflow.report.ladder_choice import wanted_flows
from pcapflow.report.page import ReportView
from pcapflow.tcp import states as s
from pcapflow.views.groups import anomaly_groups
from tests.report.scenes import SECOND, START_NS, Scene, checkout


def _view(scene: Scene, found: list[Anomaly], config: Config | None = None) -> ReportView:
    tables, config = scene.tables(), config or Config()
    drawn = wanted_flows(tables, anomaly_groups(found), config)
    return build(tables, found, config, {flow: scene.segments[flow] for flow in drawn})


def _said(view: ReportView) -> str:
    return view.verdict.lead + " " + "".join(span.text for span in view.verdict.rest)


def _closed(scene: Scene, at: float = 1.0) -> None:
    connection = scene.connection("10.0.0.1:40000", "10.0.0.2:80", at)
    connection.handshake()
    connection.fin(s.CLIENT)
    connection.fin(s.SERVER)


@pytest.mark.parametrize(
    ("servers", "named"),
    [
        (("10.0.0.2:80", "10.0.0.2:80"), "10.0.0.2:80 does not close its side"),
        (("10.0.0.2:80", "10.0.0.2:81"), "2 ports of 10.0.0.2 do not close their side"),
        (("10.0.0.2:80", "10.0.0.3:81", "10.0.0.3:82"), "2 servers do not close their side"),
    ],
    ids=["one", "two ports of one host", "hosts are counted as hosts"],
)
def test_of_several_the_verdict_speaks_in_the_plural(servers: tuple[str, ...], named: str) -> None:
    scene = Scene()
    for at, server in enumerate(servers):
        connection = scene.connection(f"10.0.0.1:{40000 + at}", server, 1.0 + 80 + at)
        connection.handshake()
        connection.fin(s.CLIENT)
    found = [
        Anomaly(
            code="PF203", name="stuck-close-wait", severity=Severity.MEDIUM, flow=flow, endpoint=s.SERVER,
            time_ns=scene.capture.first_ns, frames=(1,), detail="it did not close", flows=(flow,),
        )
        for flow in range(len(servers))
    ]  # fmt: skip

    assert _view(scene, found).verdict.lead == f"{named} of connections."


def test_the_worst_finding_is_the_verdict_and_names_who_does_it() -> None:
    view = _view(*checkout())

    assert view.verdict.lead == "10.0.0.5:8080 does not close its connections."
    assert [chip.text for chip in view.verdict.chips] == [
        "high",
        "on the server's side",
        "certain",
        "frames 235, 301, …",
        "2 more findings",
    ]


def test_a_capture_without_faults_says_so_plainly() -> None:
    scene = Scene()
    _closed(scene)

    view = _view(scene, [])

    assert view.verdict.tone == "good"
    assert _said(view).startswith("TCP worked as it should. That goes for the one connection, as far as the capture")
    assert view.cards == view.notices == ()


def test_nobody_is_named_whom_the_rule_does_not_blame() -> None:
    scene = Scene()
    connection = scene.connection("10.0.0.1:40000", "10.0.0.2:80", 1.0)
    connection.handshake()
    frame = connection.reset(s.CLIENT)
    aborted = Anomaly(
        code="PF301",
        name="aborted",
        severity=Severity.MEDIUM,
        flow=connection.flow,
        time_ns=scene.ns(connection.at),
        frames=(frame,),
        detail="a RST ended it",
        cause="injected",
    )

    neutral = _view(scene, [aborted])
    certain = _view(scene, [dataclasses.replace(aborted, endpoint=s.CLIENT)])

    assert neutral.verdict.lead == "A connection to 10.0.0.2:80 was reset."
    assert certain.verdict.lead == "10.0.0.1 aborted a connection."


def test_information_is_told_apart_from_faults() -> None:
    scene = Scene()
    _closed(scene)
    notice = Anomaly(
        code="PF206", name="half-close", severity=Severity.INFO, flow=0, time_ns=scene.ns(1), frames=(1,), detail="x"
    )

    view = _view(scene, [notice])

    assert view.verdict.tone == "good"
    assert view.cards == ()
    assert [card.code for card in view.notices] == ["PF206"]
    assert [chip.text for chip in view.verdict.chips] == ["1 notice"]
    assert view.verdict.lead == "TCP worked, and nothing in it calls for action."


def _incident(headline: str, severity: Severity, blame: Blame = NOBODY) -> Incident:
    return Incident(
        severity=severity, headline=headline, blame=blame, start_ns=START_NS, end_ns=START_NS + SECOND, flows=(0,),
        count=1, why=(Observation("fd98::1 said so", (1,)),), number=0, code="PI101", pattern="restart",
    )  # fmt: skip


def test_what_happened_and_is_harmless_is_told_as_that() -> None:
    scene = Scene()
    _closed(scene)
    _closed(scene, 2.0)
    tables = scene.tables()

    view = build(tables, [], Config(), {}, [_incident("A server closed `idle` connections.", Severity.INFO)])

    assert view.verdict.lead == "TCP worked, and nothing in it calls for action."
    assert "That goes for both connections" in _said(view)
    assert _said(view).endswith("What happened and is harmless: A server closed idle connections.")
    assert view.harmless[0].where == "neither side at fault, 1 connection"


def test_the_verdict_on_an_incident_is_its_headline_and_why_in_words_that_can_be_forwarded() -> None:
    scene = Scene()
    _closed(scene)
    told = _incident("`db.internal` refused a client.", Severity.HIGH, Blame("host", "10.0.0.2", "server"))

    view = build(scene.tables(), [], Config(), {}, [told])

    assert _said(view) == "db.internal refused a client. fd98::1 said so. First seen at 14:02:11."


def test_a_state_of_a_moment_is_no_verdict_on_a_connection() -> None:
    scene = Scene()
    for at in (1.0, 268.9995):
        connection = scene.connection("10.0.0.1:40000", "10.0.0.2:80", at)
        connection.handshake()
        connection.fin(s.CLIENT)
    told = dataclasses.replace(_incident("It happened.", Severity.LOW), flows=(0, 1), count=2)

    rows = build(scene.tables(), [], Config(), {}, [told]).connections.rows

    assert [row.verdict for row in rows] == ["CLOSE_WAIT", "restart"]


def test_a_limited_capture_is_loud_and_casts_doubt_on_a_clean_verdict() -> None:
    scene = Scene(dropped=17, truncated="the file ends inside the record of frame 9")
    _closed(scene)

    view = _view(scene, [])

    loud = [item.text for item in view.quality.items if item.loud]
    assert loud == ["17 packets dropped while capturing", "the file ends inside the record of frame 9"]
    assert not view.quality.good
    assert "may hide a fault" in _said(view)


def test_what_could_not_be_decoded_is_counted_and_bounded() -> None:
    kinds = tuple(Undecoded("ipv4", f"reason {i}", 100 - i, 1) for i in range(50))
    scene = Scene(undecoded=kinds)
    _closed(scene)

    texts = [item.text for item in _view(scene, []).quality.items]

    assert "100 frames not decoded (ipv4: reason 0)" in texts
    assert sum("not decoded" in text for text in texts) == 5
    assert f"{sum(k.count for k in kinds[4:]):,} frames not decoded for other reasons" in texts


def test_a_card_draws_its_worst_connection_and_each_connection_is_drawn_once() -> None:
    scene, found = checkout()

    view = _view(scene, found)

    drawn = [card.ladder.flow for card in view.cards if card.ladder]
    drawn += [row.ladder.flow for card in view.cards for row in card.instances if row.ladder]
    assert len(drawn) == len(set(drawn))
    assert view.cards[0].ladder is not None
    assert view.cards[0].ladder.flow == found[0].flows[0]
    assert [card.open for card in view.cards] == [True, False, False]


def test_a_card_says_what_its_cause_means_and_nothing_of_the_other_causes() -> None:
    scene, found = checkout()
    reset = dataclasses.replace(found[0], code="PF301", name="aborted", cause="unread-data", endpoint=s.SERVER)

    card = _view(scene, [reset]).cards[0]

    means = "".join(span.text for span in card.means)
    assert "received data still unread" in means
    assert "keepalive-timeout" not in means
    assert [advice.who for advice in card.advice] == ["Server", "Client"]


def test_no_more_ladders_than_configured_and_one_for_each_finding_first() -> None:
    scene, found = checkout()

    drawn = wanted_flows(scene.tables(), anomaly_groups(found), Config(report_ladders=3))

    assert drawn == [found[0].flows[0], found[1].flow, found[3].flow]


def test_the_display_filter_names_the_streams() -> None:
    view = _view(*checkout())

    assert view.cards[1].display_filter == "tcp.stream in {97,98}"
    assert view.cards[2].display_filter == "tcp.stream == 99"


def test_connections_with_findings_come_first_and_the_rest_is_counted() -> None:
    scene, found = checkout()

    view = _view(scene, found, Config(report_flows=40))

    tones = [bool(row.tone) for row in view.connections.rows]
    assert tones == [True] * 28 + [False] * 12
    assert view.connections.heading == "40 of 128 shown, the worst first; the tables hold all"


def test_a_stuck_connection_is_shown_with_its_state_and_how_long() -> None:
    scene, found = checkout()
    row = _view(scene, found).connections.rows[0]

    waited = scene.capture.last_ns - found[0].time_ns
    assert (row.verdict, row.tone) == ("CLOSE_WAIT", "high")
    assert abs(float(row.lasted.removesuffix(" s")) - waited / SECOND) < 1


def test_a_capture_without_packets_still_makes_a_report() -> None:
    scene = Scene(frames=0, segments=0, other=0, first_ns=-1, last_ns=-1, checksum=no_checksum)

    view = _view(scene, [])

    assert _said(view).startswith("There is no TCP connection in this capture.")
    assert view.connections.rows == ()


@pytest.mark.parametrize("span_ns", [0, 1, 1_000, 10**9, 10**18])
def test_any_span_of_time_can_be_drawn(span_ns: int) -> None:
    scene = Scene()
    scene.capture = dataclasses.replace(scene.capture, last_ns=scene.capture.first_ns + span_ns)
    _closed(scene, at=0.0)

    view = _view(scene, [])

    assert all(len(chart.x_ticks) <= 7 for chart in view.census.charts)
    for bar in view.connections.rows[0].lifelines.bars:
        assert 0 <= bar.x <= bar.x + bar.width <= view.connections.lines_width
