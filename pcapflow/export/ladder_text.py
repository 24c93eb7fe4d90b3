"""One connection as a ladder of text: who sent what, and which state that put each endpoint in, and how it is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TextIO

from rich.table import Table as Grid
from rich.text import Text

from pcapflow.export.incidents_text import SEVERITY_STYLES
from pcapflow.export.terminal import console, grid
from pcapflow.tables.segments import Segment
from pcapflow.tcp.endings import END_REASONS
from pcapflow.tcp.marks import MARK_NAMES
from pcapflow.tcp.states import BASIS_NAMES, CLIENT, ENDPOINT_NAMES, EVENT_NAMES, SERVER, STATE_NAMES
from pcapflow.text.escape import printable
from pcapflow.text.phrases import duration
from pcapflow.text.times import rfc3339
from pcapflow.views import display_filter
from pcapflow.views.ladder_rows import flag_words, ladder_rows, packets_of
from pcapflow.views.proofs import reasons, withdrawals

if TYPE_CHECKING:
    from pcapflow.anomalies.model import Anomaly
    from pcapflow.diagnosis.model import Incident
    from pcapflow.result import Result
    from pcapflow.tables.table import Tables

SEGMENTS_SHOWN: Final = 200


def print_ladder(result: Result, flow: int, stream: TextIO) -> None:
    """Prints the segments of one connection with both states, each transition and its reason, and what went wrong."""
    out = console(stream)
    tables = result.tables
    anomalies = [anomaly for anomaly in result.findings if flow == anomaly.flow or flow in anomaly.flows]
    out.print(_heading(tables, flow, result.payload.what(flow)))
    wanted = {frame for anomaly in anomalies for frame in anomaly.frames}
    wanted |= {int(frame) for frame in tables.transitions["frame"][tables.transitions_of(flow)]}
    segments = result.segments([flow], SEGMENTS_SHOWN, wanted).get(flow, [])
    out.print()
    if segments:
        out.print(_rungs(tables, flow, segments))
    else:
        out.print(Text("The segments are not shown: this input cannot be read a second time."))
    out.print()
    out.print(_transitions(tables, flow, reasons(tables, flow, segments, round(result.config.rto_s * 1e9))))
    for frame, text in withdrawals(tables, flow, segments):
        out.print(Text(f"Taken back at frame {frame}: {text}."))
    for incident in _incidents_of(result, flow):
        out.print()
        out.print(_incident(incident))
    for anomaly in anomalies:
        out.print()
        out.print(_anomaly(anomaly))


def _heading(tables: Tables, flow: int, what: str) -> Text:
    (row,) = tables.flows.rows([flow])
    text = Text(f"Flow {flow}", style="bold")
    text.append(f"  client {tables.client(flow)}, server {tables.server(flow)}\n", style="not bold")
    text.append(
        f"{END_REASONS[row['end_reason']]}; {packets_of(tables, flow)} segments in "
        f"{duration(row['end_ns'] - row['start_ns'])} from {rfc3339(row['start_ns'])}, frames {row['first_frame']} to "
        f"{row['last_frame']}; Wireshark: {display_filter.of_streams([row['stream']])}",
        style="not bold",
    )
    if what:
        text.append(f"\nsaid: {what}", style="not bold")
    return text


def _rungs(tables: Tables, flow: int, segments: Sequence[Segment]) -> Grid:
    rows = ladder_rows(tables, flow, segments)
    start_ns = int(tables.flows["start_ns"][flow])
    table = grid(">frame", ">ms", "client", "segment", "server", "marks")
    hidden = packets_of(tables, flow) - len(segments)
    # The second pass keeps the first half without a gap; what it left out begins after that.
    gap_at = SEGMENTS_SHOWN - SEGMENTS_SHOWN // 2 if hidden > 0 else -1
    for i, segment in enumerate(segments):
        if i == gap_at:
            table.add_row("", "", "", f"... {hidden} segments are left out from here on ...", "", "")
        row = rows[segment.frame]
        table.add_row(
            str(segment.frame),
            f"{(segment.time_ns - start_ns) / 1e6:.3f}",
            ", ".join(row.states_entered(CLIENT)),
            _arrow(segment),
            ", ".join(row.states_entered(SERVER)),
            Text(", ".join(MARK_NAMES[mark] for mark in row.marks), style="yellow"),
        )
    return table


def _arrow(segment: Segment) -> str:
    text = f"{flag_words(segment.flags) or 'no flags'}  seq {segment.rel_seq}"
    if segment.rel_ack >= 0:
        text += f" ack {segment.rel_ack}"
    if segment.payload_len:
        text += f" len {segment.payload_len}"
    return f"{text} -->" if segment.endpoint == CLIENT else f"<-- {text}"


def _transitions(tables: Tables, flow: int, why: Sequence[str]) -> Grid:
    table = grid(">frame", "endpoint", "from", "to", "because of", "basis", "known because")
    for row, reason in zip(tables.transitions.rows(tables.transitions_of(flow)), why, strict=True):
        table.add_row(
            str(row["frame"]),
            ENDPOINT_NAMES[row["endpoint"]],
            STATE_NAMES[row["old"]],
            STATE_NAMES[row["new"]],
            EVENT_NAMES[row["event"]],
            BASIS_NAMES[row["basis"]],
            reason,
        )
    return table


def _incidents_of(result: Result, flow: int) -> list[Incident]:
    """The incidents that a connection is part of, worst first."""
    return [incident for incident in result.diagnosis if flow in incident.flows]


def _incident(incident: Incident) -> Text:
    label = incident.severity.label
    text = Text()
    text.append(f"{label}  ", style=SEVERITY_STYLES[label])
    text.append(f"{incident.code} {incident.pattern}", style="bold")
    return text.append(f" ({incident.confidence}, {printable(incident.blame.text)}): {printable(incident.headline)}")


def _anomaly(anomaly: Anomaly) -> Text:
    label = anomaly.severity.label
    text = Text()
    text.append(f"{label}  ", style=SEVERITY_STYLES[label])
    text.append(f"{anomaly.code} {anomaly.name}", style="bold")
    cause = f", cause {anomaly.cause}" if anomaly.cause else ""
    text.append(f" ({anomaly.confidence}{cause}): {printable(anomaly.detail)}")
    if anomaly.alternatives:
        text.append(f"\n      or: {printable('; or '.join(anomaly.alternatives))}")
    if anomaly.frames:
        frames = f"frame{'s' if len(anomaly.frames) > 1 else ''} {', '.join(map(str, anomaly.frames))}"
        text.append(f"\n      {frames}; pcapflow rules {anomaly.code} explains it")
    return text
