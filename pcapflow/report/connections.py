"""The table of connections: a row each, with both endpoints' lives as bars, and filters over the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from pcapflow.anomalies.lookup.habits import time_wait_ns
from pcapflow.anomalies.severity import Severity
from pcapflow.config import Config
from pcapflow.payload.said import NOTHING, Payload
from pcapflow.report import lifelines as lines
from pcapflow.report.colours import STATE_LOOKS
from pcapflow.report.instances import ladder_anchor
from pcapflow.tables.table import Tables
from pcapflow.tcp.endings import CLOSED_BY_NAMES, END_REASONS
from pcapflow.tcp.states import (
    CLIENT,
    CLOSE_WAIT,
    CLOSING,
    ENDPOINT_NAMES,
    FIN_WAIT_2,
    LAST_ACK,
    SERVER,
    STATE_NAMES,
    SYN_RCVD,
)
from pcapflow.text.phrases import counted, duration, number, shortened, size
from pcapflow.text.times import Clock, to_ns

_NAME_CHARS: Final = 22
_STUCK: Final = frozenset({SYN_RCVD, FIN_WAIT_2, CLOSE_WAIT, CLOSING, LAST_ACK})
_FILTERS_OF_A_KIND: Final = 2
_NOT_FILTERED: Final = frozenset({"CLOSED", "TIME_WAIT", "LISTEN", "UNKNOWN"})


class Remark(NamedTuple):
    """What is said of some connections: the name of a pattern or rule, how much it matters, and whose side it is on."""

    flows: Sequence[int]
    name: str
    severity: Severity
    endpoint: int


class Connection(NamedTuple):
    """A row of the connections table.

    ``tone`` is the severity of what we say of it first, or ""; ``what`` is what it said itself, or "".
    """

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
    what: str


class Filter(NamedTuple):
    """A chip over the connections table: what it says, and the text or property that rows must have."""

    text: str
    value: str


class Connections(NamedTuple):
    """The connections that are shown, and in words how many are not.

    ``note`` says why it is not told what they said, or not of all; ``has_words`` is whether it is told of any.
    """

    heading: str
    rows: tuple[Connection, ...]
    note: str
    has_words: bool
    filters: tuple[Filter, ...]
    from_time: str
    to_time: str
    lines_width: float = lines.WIDTH
    lines_height: float = lines.HEIGHT
    bar_height: float = lines.BAR_HEIGHT


def connections(
    tables: Tables,
    remarks: Sequence[Remark],
    drawn: Iterable[int],
    clock: Clock,
    config: Config,
    payload: Payload = NOTHING,
) -> Connections:
    """The rows of the table: connections of which something is said first.

    Args:
        tables: of the capture.
        remarks: what is said of them, the most important first.
        drawn: connections that have a ladder on the page.
        clock: says times.
        config: how many rows there may be, and how long TIME_WAIT lasts.
        payload: what connections said.
    """
    shown = _shown_flows(tables, remarks, config.report_flows)
    anchored = frozenset(drawn)
    worst: dict[int, Remark] = {}
    for remark in remarks:
        for flow in remark.flows:
            worst.setdefault(flow, remark)
    rows = tuple(
        _connection(tables, row, worst.get(flow), clock, config, payload.what(flow), drawn=flow in anchored)
        for flow, row in zip(shown, tables.flows.rows(shown), strict=True)
    )
    total = len(tables.flows)
    heading = counted(total, "connection")
    if len(shown) < total:
        heading = f"{number(len(shown))} of {number(total)} shown, the worst first; the tables hold all"
    return Connections(
        heading=heading,
        rows=rows,
        note=payload.note,
        has_words=any(row.what for row in rows),
        filters=_filters(rows),
        from_time=clock.text(tables.capture.first_ns),
        to_time=clock.text(tables.capture.last_ns),
    )


def _shown_flows(tables: Tables, remarks: Sequence[Remark], most: int) -> list[int]:
    """The connections of the table: those of which something is said, worst first, then the others in order."""
    chosen = dict.fromkeys(flow for remark in remarks for flow in remark.flows if flow < len(tables.flows))
    for flow in range(min(len(tables.flows), most + len(chosen))):
        if len(chosen) >= most:
            break
        chosen.setdefault(flow)
    return list(chosen)[:most]


def _filters(rows: Sequence[Connection]) -> tuple[Filter, ...]:
    """Chips for the rows with anomalies, for all, and for the servers and states that are most frequent among them."""
    bad = [row for row in rows if row.tone]
    filters = [Filter(f"with findings ({number(len(bad))})", "finding"), Filter(f"all ({number(len(rows))})", "")]
    if len(bad) in {0, len(rows)}:
        filters = filters[1:]
    servers = _frequent(row.server for row in bad)
    states = _frequent(name for row in bad for name in row.states.split() if name not in _NOT_FILTERED)
    return (*filters, *(Filter(word, word) for word in (*servers, *states)))


def _frequent(words: Iterable[str]) -> list[str]:
    tally = {word: times for word, times in Counter(words).items() if times > 1}
    return sorted(tally, key=lambda word: (-tally[word], word))[:_FILTERS_OF_A_KIND]


def _connection(
    tables: Tables,
    row: Mapping[str, int],
    remark: Remark | None,
    clock: Clock,
    config: Config,
    what: str,
    *,
    drawn: bool,
) -> Connection:
    """The row of one connection of the ``flows`` table; ``remark`` is what we say of it, ``what`` is what it said."""
    flow, capture = row["flow"], tables.capture
    rtts = [row[f"{side}_rtt_ns"] for side in ENDPOINT_NAMES if row[f"{side}_rtt_ns"] >= 0]
    transitions = tables.transitions.rows(tables.transitions_of(flow))
    time_waits = [int(time_wait_ns(tables, config, endpoint)[flow]) for endpoint in (CLIENT, SERVER)]
    verdict, lasted = END_REASONS[row["end_reason"]], ""
    if remark is not None:
        verdict, lasted = _verdict(remark, transitions, capture.last_ns, time_waits, config)
    client, server = tables.client(flow), tables.server(flow)
    return Connection(
        flow=flow,
        anchor=ladder_anchor(flow) if drawn else "",
        client=client,
        server=server,
        client_name=shortened(client, _NAME_CHARS),
        server_name=shortened(server, _NAME_CHARS),
        started=clock.text(row["start_ns"]),
        bytes_sent=size(row["client_bytes"]),
        bytes_received=size(row["server_bytes"]),
        verdict=verdict,
        lasted=lasted,
        tone=remark.severity.label if remark is not None else "",
        closed_by=CLOSED_BY_NAMES[row["closed_by"]],
        lifelines=lines.lifelines(transitions, capture.first_ns, capture.last_ns, time_waits),
        rtt_ms=_milliseconds(sum(rtts)) if rtts else "",
        retransmitted=number(row["client_retransmitted"] + row["server_retransmitted"]),
        states=" ".join(STATE_NAMES[row[f"{side}_state"]] for side in ENDPOINT_NAMES),
        what=what,
    )


def _verdict(
    remark: Remark,
    transitions: Sequence[Mapping[str, int]],
    end_ns: int,
    time_waits: Sequence[int],
    config: Config,
) -> tuple[str, str]:
    """The verdict on one connection in a few words: the state it is stuck in and for how long, or the remark's name."""
    least_ns = to_ns(config.close_grace_s)
    for endpoint in (SERVER, CLIENT) if remark.endpoint < 0 else (remark.endpoint,):
        stays = lines.stays(transitions, endpoint, end_ns, time_waits[endpoint])
        if not stays or stays[-1].state not in _STUCK or stays[-1].to_ns != end_ns:
            continue
        if (lasted_ns := end_ns - stays[-1].from_ns) >= least_ns:
            return STATE_LOOKS[stays[-1].state].name, duration(lasted_ns)
    return remark.name.replace("-", " "), ""


def _milliseconds(ns: int) -> str:
    ms = ns / 1e6
    return f"{ms:.2f}" if ms < 1 else f"{ms:.1f}" if ms < 100 else f"{ms:,.0f}"
