"""The report as plain data: everything that is shown, computed here once, so that a renderer only writes it down.

The order of the fields of :class:`ReportView` is the order of the page.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from pcapflow.anomalies.model import Anomaly
from pcapflow.config import Config
from pcapflow.report import lifelines as lines
from pcapflow.report.census_chart import CensusView, census_view
from pcapflow.report.colours import STATE_LOOKS, StateLook
from pcapflow.report.ladder import Ladder, ladder, wanted_flows
from pcapflow.report.quality import Quality, quality, vantage
from pcapflow.report.rich_text import Rich, rich
from pcapflow.report.rule_texts import Advice, RuleText, rule_text
from pcapflow.report.verdict import Verdict, flows_to_same_servers, side_words, verdict
from pcapflow.tables.segments import Segment
from pcapflow.tables.table import Tables
from pcapflow.tcp.endings import CLOSED_BY_NAMES, END_REASONS
from pcapflow.tcp.states import CLOSE_WAIT, CLOSING, FIN_WAIT_2, LAST_ACK, SYN_RCVD
from pcapflow.text.phrases import counted, duration, listed, number, sentence, shortened, size
from pcapflow.text.times import Clock, day_and_time
from pcapflow.version import __version__
from pcapflow.views.census import census
from pcapflow.views.groups import Group, blamed, gathered

_ROWS_PER_CARD: Final = 12
_ALTERNATIVES: Final = 5
_NAME_CHARS: Final = 22
_STUCK: Final = frozenset({SYN_RCVD, FIN_WAIT_2, CLOSE_WAIT, CLOSING, LAST_ACK})
_STREAMS_PER_FILTER: Final = 20


class Instance(NamedTuple):
    """One more connection of a finding: when it began or went wrong.

    ``ladder`` is there where one is drawn below the row; an ``anchor`` without it leads to where it is drawn.
    """

    anchor: str
    who: str
    at: str
    detail: str
    ladder: Ladder | None


class Card(NamedTuple):
    """One finding: the ladder of its worst connection, what it means, and its other connections."""

    anchor: str
    severity: str
    title: str
    where: str
    code: str
    name: str
    side: str
    confidence: str
    open: bool
    detail: Rich
    cause: str
    ladder: Ladder | None
    ladder_anchor: str
    means: Rich
    advice: tuple[Advice, ...]
    otherwise: Rich
    alternatives: tuple[str, ...]
    display_filter: str
    instances_title: str
    instances: tuple[Instance, ...]
    more: str


class Connection(NamedTuple):
    """A row of the connections table; ``tone`` is the severity of its worst anomaly, or ""."""

    flow: int
    anchor: str
    client: str
    server: str
    client_name: str
    server_name: str
    started: str
    bytes_sent: str
    bytes_received: str
    verdict: str
    lasted: str
    tone: str
    closed_by: str
    lifelines: lines.Lifelines
    rtt_ms: str
    retransmitted: str
    states: str


class Filter(NamedTuple):
    """A chip over the connections table: what it says, and the text or property that rows must have."""

    text: str
    value: str


class Connections(NamedTuple):
    """The connections that are shown, and in words how many are not."""

    heading: str
    rows: tuple[Connection, ...]
    filters: tuple[Filter, ...]
    from_time: str
    to_time: str
    lines_width: float = lines.WIDTH
    lines_height: float = lines.HEIGHT
    bar_height: float = lines.BAR_HEIGHT


class Fact(NamedTuple):
    """A line of the footer."""

    name: str
    value: str


class ReportView(NamedTuple):
    """One report."""

    title: str
    meta: tuple[str, ...]
    sha256: str
    verdict: Verdict
    quality: Quality
    cards: tuple[Card, ...]
    notices: tuple[Card, ...]
    census: CensusView
    connections: Connections
    looks: tuple[StateLook, ...]
    facts: tuple[Fact, ...]
    version: str


def build(
    tables: Tables,
    anomalies: Sequence[Anomaly],
    config: Config,
    segments: Mapping[int, Sequence[Segment]] | None = None,
) -> ReportView:
    """Computes everything a report shows.

    Args:
        tables: of one capture.
        anomalies: worst first.
        config: the thresholds that were used.
        segments: of the connections that :func:`pcapflow.report.ladder.wanted_flows` names, as far as they could be
            collected.
    """
    capture = tables.capture
    clock = Clock(capture.first_ns, capture.last_ns)
    findings = gathered(anomalies)
    drawn = wanted_flows(tables, anomalies, config)
    shown = _shown_flows(tables, findings, config)
    ladders = {
        flow: ladder(
            tables,
            flow,
            evidence=frozenset().union(*(f.frames_of(flow) for f in findings)),
            segments=(segments or {}).get(flow, ()),
        )
        for flow in drawn
    }
    texts = {f.worst.code: rule_text(f.worst.code, f.worst.name) for f in findings}
    state = quality(tables, anomalies)
    cards = _cards(tables, findings, texts, ladders, clock)
    titles = {code: text.title for code, text in texts.items()}
    return ReportView(
        title=capture.name,
        meta=_meta(tables),
        verdict=verdict(tables, findings, titles, clock, doubtful=not state.good),
        quality=state,
        cards=tuple(card for card in cards if card.severity != "info"),
        notices=tuple(card for card in cards if card.severity == "info"),
        census=census_view(census(tables, time_wait_s=config.msl2_s), clock, config.msl2_s),
        connections=_connections(tables, findings, shown, frozenset(ladders), clock, config),
        looks=STATE_LOOKS,
        version=__version__,
        # Last, since it may still be on its way.
        sha256=capture.sha256,
        facts=_facts(tables, config),
    )


def _meta(tables: Tables) -> tuple[str, ...]:
    capture = tables.capture
    items = []
    if capture.frames:
        first, last = day_and_time(capture.first_ns), day_and_time(capture.last_ns)
        same_day = first[:10] == last[:10]
        span = duration(capture.last_ns - capture.first_ns)
        items.append(f"{first} to {last[11:] if same_day else last} UTC ({span})")
    items += [counted(capture.frames, "packet"), counted(len(tables.flows), "TCP connection"), vantage(tables)]
    return tuple(item for item in items if item)


def _cards(
    tables: Tables,
    findings: Sequence[Group],
    texts: Mapping[str, RuleText],
    ladders: Mapping[int, Ladder],
    clock: Clock,
) -> tuple[Card, ...]:
    cards = []
    used: set[int] = set()  # a connection with two findings is drawn once, where it weighs most
    for index, finding in enumerate(findings):
        worst, text = finding.worst, texts[finding.worst.code]
        first = next((flow for flow in finding.flows if flow in ladders and flow not in used), -1)
        if first >= 0:
            used.add(first)
        instances = _instances(tables, finding, first, used, ladders, clock)
        cards.append(
            Card(
                anchor=f"finding-{index + 1}",
                severity=worst.severity.label,
                title=text.title,
                where=_where(tables, finding),
                code=worst.code,
                name=worst.name,
                side=side_words(worst.endpoint),
                confidence=worst.confidence,
                open=index == 0 and worst.severity.label != "info",
                detail=rich(sentence(worst.detail)),
                cause=worst.cause,
                ladder=ladders.get(first),
                ladder_anchor=f"ladder-{first}",
                means=text.means,
                advice=text.advice,
                otherwise=text.otherwise,
                alternatives=tuple(dict.fromkeys(other for a in finding.anomalies for other in a.alternatives))[
                    :_ALTERNATIVES
                ],
                display_filter=_display_filter(tables, finding),
                instances_title="The others" if first >= 0 else "Where",
                instances=instances,
                more=_more(finding, first, instances),
            )
        )
    return tuple(cards)


def _instances(
    tables: Tables, group: Group, first: int, used: set[int], ladders: Mapping[int, Ladder], clock: Clock
) -> tuple[Instance, ...]:
    """The connections of a group beyond the one that its card draws."""
    own = {a.flow: a for a in group.anomalies if a.flow >= 0}
    instances = []
    others = [flow for flow in group.flows if flow != first]
    for flow in [flow for i, flow in enumerate(others) if i < _ROWS_PER_CARD or flow in ladders]:
        drawn = ladders.get(flow) if flow not in used else None
        if drawn is not None:
            used.add(flow)
        instances.append(
            Instance(
                anchor=f"ladder-{flow}" if flow in ladders else "",
                who=f"{tables.client(flow)} to {tables.server(flow)}",
                at=clock.text(own[flow].time_ns if flow in own else int(tables.flows["start_ns"][flow])),
                detail=sentence(own[flow].detail) if flow in own else "",
                ladder=drawn,
            )
        )
    return tuple(instances)


def _more(group: Group, first: int, instances: Sequence[Instance]) -> str:
    hidden = group.count - len(instances) - (first >= 0)
    return f"and {counted(hidden, 'more connection')}; the tables hold all" if instances and hidden > 0 else ""


def _where(tables: Tables, finding: Group) -> str:
    if not finding.flows:
        return ""
    who = blamed(tables, finding)
    total = flows_to_same_servers(tables, finding)
    places = listed(who, 2)
    if finding.count == 1:
        return f"1 connection, {places}"
    if len(who) == 1 and finding.worst.endpoint >= 0 and total >= finding.count:
        return f"{number(finding.count)} of {number(total)} on {places}"
    return f"{counted(finding.count, 'connection')}, {places}"


def _display_filter(tables: Tables, finding: Group) -> str:
    if finding.flows:
        streams = sorted({int(tables.flows["stream"][flow]) for flow in finding.flows[:_STREAMS_PER_FILTER]})
        if len(streams) == 1:
            return f"tcp.stream == {streams[0]}"
        return f"tcp.stream in {{{','.join(map(str, streams))}}}"
    frames = finding.worst.frames[:_STREAMS_PER_FILTER]
    if not frames:
        return ""
    return f"frame.number in {{{','.join(map(str, frames))}}}" if len(frames) > 1 else f"frame.number == {frames[0]}"


def _shown_flows(tables: Tables, findings: Sequence[Group], config: Config) -> list[int]:
    """The connections of the table: those with findings, worst first, then the others in order."""
    most = config.report_flows
    chosen = dict.fromkeys(flow for f in findings for flow in f.flows if flow < len(tables.flows))
    for flow in range(min(len(tables.flows), most + len(chosen))):
        if len(chosen) >= most:
            break
        chosen.setdefault(flow)
    return list(chosen)[:most]


def _connections(
    tables: Tables,
    findings: Sequence[Group],
    shown: Sequence[int],
    anchored: frozenset[int],
    clock: Clock,
    config: Config,
) -> Connections:
    worst: dict[int, Anomaly] = {}
    for finding in findings:
        for flow in finding.flows:
            worst.setdefault(flow, finding.worst)
    rows = tuple(
        _connection(tables, flow, f, worst.get(flow), clock, config, drawn=flow in anchored)
        for flow, f in zip(shown, tables.flows.rows(shown), strict=True)
    )
    total = len(tables.flows)
    with_findings = sum(flow in worst for flow in shown)
    heading = counted(total, "connection")
    if len(shown) < total:
        heading = f"{number(len(shown))} of {number(total)} shown, the worst first; the tables hold all"
    filters = [Filter(f"with findings ({number(with_findings)})", "finding"), Filter(f"all ({number(len(shown))})", "")]
    if with_findings in {0, len(shown)}:
        filters = filters[1:]
    filters += [Filter(server, server) for server in _frequent([row.server for row in rows if row.tone])[:2]]
    stuck = _frequent([word for row in rows if row.tone for word in row.states.split()])
    filters += [Filter(word, word) for word in stuck if word not in {"CLOSED", "TIME_WAIT", "LISTEN", "UNKNOWN"}][:2]
    return Connections(
        heading=heading,
        rows=rows,
        filters=tuple(filters),
        from_time=clock.text(tables.capture.first_ns),
        to_time=clock.text(tables.capture.last_ns),
    )


def _connection(
    tables: Tables,
    flow: int,
    f: Mapping[str, int],
    anomaly: Anomaly | None,
    clock: Clock,
    config: Config,
    *,
    drawn: bool,
) -> Connection:
    rtts = [f[name] for name in ("client_rtt_ns", "server_rtt_ns") if f[name] >= 0]
    looks = (STATE_LOOKS[f["client_state"]], STATE_LOOKS[f["server_state"]])
    transitions = tables.transitions.rows(tables.transitions_of(flow))
    time_wait_ns = round(config.msl2_s * 1e9)
    said, lasted = END_REASONS[f["end_reason"]], ""
    if anomaly is not None:
        said, lasted = _said(anomaly, transitions, tables.capture.last_ns, time_wait_ns)
    client, server = tables.client(flow), tables.server(flow)
    return Connection(
        flow=flow,
        anchor=f"ladder-{flow}" if drawn else "",
        client=client,
        server=server,
        client_name=shortened(client, _NAME_CHARS),
        server_name=shortened(server, _NAME_CHARS),
        started=clock.text(f["start_ns"]),
        bytes_sent=size(f["client_bytes"]),
        bytes_received=size(f["server_bytes"]),
        verdict=said,
        lasted=lasted,
        tone=anomaly.severity.label if anomaly is not None else "",
        closed_by=CLOSED_BY_NAMES[f["closed_by"]],
        lifelines=lines.lifelines(transitions, tables.capture.first_ns, tables.capture.last_ns, time_wait_ns),
        rtt_ms=_milliseconds(sum(rtts)) if rtts else "",
        retransmitted=number(f["client_retransmitted"] + f["server_retransmitted"]),
        states=" ".join(look.name for look in looks),
    )


def _said(
    anomaly: Anomaly, transitions: Sequence[Mapping[str, int]], end_ns: int, time_wait_ns: int
) -> tuple[str, str]:
    """The verdict on one connection in a few words: the state it is stuck in and for how long, or the rule's name."""
    for endpoint in (1, 0) if anomaly.endpoint < 0 else (anomaly.endpoint,):
        stays = lines.stays(transitions, endpoint, end_ns, time_wait_ns)
        if stays and stays[-1].state in _STUCK and stays[-1].to_ns == end_ns:
            return STATE_LOOKS[stays[-1].state].name, duration(end_ns - stays[-1].from_ns)
    return anomaly.name.replace("-", " "), ""


def _milliseconds(ns: int) -> str:
    ms = ns / 1e6
    return f"{ms:.2f}" if ms < 1 else f"{ms:.1f}" if ms < 100 else f"{ms:,.0f}"


def _frequent(words: Sequence[str]) -> list[str]:
    tally: dict[str, int] = {}
    for word in words:
        tally[word] = tally.get(word, 0) + 1
    return sorted(tally, key=lambda word: (-tally[word], word))


def _facts(tables: Tables, config: Config) -> tuple[Fact, ...]:
    capture = tables.capture
    engine = f"{capture.reader}, {'compiled' if capture.compiled else 'interpreted'}"
    held = capture.format + (f" ({', '.join(capture.link_types)})" if capture.link_types else "")
    settings = [(field.name, getattr(config, field.name)) for field in dataclasses.fields(config)]
    thresholds = ", ".join(f"{name[:-2]} {value:g} s" for name, value in settings if name.endswith("_s"))
    limits = ", ".join(f"{name} {number(value)}" for name, value in settings if isinstance(value, int))
    facts = [
        Fact("made by", f"pcapflow {__version__} (engine: {engine})"),
        Fact("capture", f"{held}, {number(capture.size_bytes)} bytes" if capture.size_bytes >= 0 else held),
        Fact("frames", f"{number(capture.frames)}, of them {counted(capture.segments, 'TCP segment')}"),
        Fact("sha256", capture.sha256),
        Fact("thresholds", thresholds),
        Fact("limits", limits),
    ]
    return tuple(fact for fact in facts if fact.value)
