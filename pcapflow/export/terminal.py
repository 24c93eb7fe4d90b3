"""The analysis for people at a terminal: what happened, the other anomalies by kind, the states at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TextIO

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from pcapflow.export.incidents_text import SEVERITY_STYLES, print_incidents
from pcapflow.tcp.states import CLIENT, SERVER, STATE_NAMES
from pcapflow.text.escape import printable
from pcapflow.text.phrases import counted, duration
from pcapflow.text.times import Clock
from pcapflow.views.summary import CodeCount, Summary, by_code, summarise

if TYPE_CHECKING:
    from rich.console import JustifyMethod

    from pcapflow.reader.capture import Capture
    from pcapflow.result import Result
    from pcapflow.views.census import Counts

_PIPED_WIDTH: Final = 1_000_000
"""Columns where the output is no terminal: a line is never cut or broken there, whoever started the program."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leaves it to the command line to decide what it means that nobody reads on; rich would end the process."""
        raise BrokenPipeError


def console(stream: TextIO) -> Console:
    """A console that colours only on a terminal, honours NO_COLOR, and obeys nothing inside a text."""
    width = None if stream.isatty() else _PIPED_WIDTH
    return _Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def grid(*headings: str) -> Grid:
    """A table without lines; a heading that begins with ``>`` has its column aligned to the right."""
    table = Grid(box=None, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    for heading in headings:
        side: JustifyMethod = "right" if heading.startswith(">") else "left"
        # Where a terminal is too narrow nothing is left out.
        table.add_column(heading.lstrip(">"), justify=side, overflow="fold")
    return table


def print_summary(result: Result, stream: TextIO) -> None:
    """Prints what is most worth knowing about a capture."""
    out = console(stream)
    summary = summarise(result.tables, result.findings)
    out.print(Text(printable(result.capture.name), style="bold"), Text(_capture_line(result.capture)), sep=": ")
    for line in _quality_lines(result.capture):
        out.print(Text(line, style="yellow"))
    out.print(_verdict(summary, len(result.diagnosis)))
    if result.diagnosis:
        print_incidents(result.diagnosis, Clock(result.capture.first_ns, result.capture.last_ns), out)
    alone = by_code(result.unexplained)
    if alone:
        out.print()
        if result.diagnosis:
            out.print(Text("Anomalies that no incident explains", style="bold"))
        out.print(_codes(alone))
    if summary.flows:
        out.print()
        out.print(_states(summary))


def print_states(counts: Counts, peak: Counts, peak_ns: Counts, moment: str, first_ns: int, stream: TextIO) -> None:
    """Prints a census of states as ``ss`` would have counted them on the clients and on the servers.

    Args:
        counts: endpoints per side and state at one moment, shape (2, 12).
        peak: the most there ever were, likewise.
        peak_ns: when that was.
        moment: the moment in words.
        first_ns: the beginning of the capture.
        stream: where to.
    """
    out = console(stream)
    out.print(Text(f"Endpoints by state {moment}", style="bold"))
    table = grid("state", ">clients", ">servers", ">peak, clients", ">at", ">peak, servers", ">at")
    for code, name in enumerate(STATE_NAMES):
        if not peak[:, code].any():
            continue
        cells = [name, *(_number(counts[side, code]) for side in (CLIENT, SERVER))]
        for side in (CLIENT, SERVER):
            cells.append(_number(peak[side, code]))
            cells.append(f"+{(int(peak_ns[side, code]) - first_ns) / 1e9:.3f} s" if peak[side, code] else "")
        table.add_row(*cells)
    if table.row_count:
        out.print(table)
    else:
        out.print(Text("no connection was in any state of the TCP life cycle"))


def print_batch(rows: Sequence[tuple[str, str, str]], stream: TextIO) -> None:
    """Prints a line per capture of a batch: its name, the worst severity ("" for none), what there is to say."""
    table = grid("capture", "worst", "what")
    for name, severity, text in rows:
        table.add_row(
            Text(printable(name)), Text(severity or "-", SEVERITY_STYLES.get(severity, "red")), Text(printable(text))
        )
    console(stream).print(table)


def _capture_line(capture: Capture) -> str:
    parts = [
        capture.format,
        f"{capture.frames:,} frames",
        f"{capture.segments:,} TCP segments",
        duration(capture.last_ns - capture.first_ns) if capture.last_ns >= 0 else "no time",
    ]
    engine = f"{capture.reader} reader" + ("" if capture.compiled else ", interpreted")
    return f"{', '.join(parts)} ({engine})"


def _quality_lines(capture: Capture) -> list[str]:
    lines = []
    if capture.truncated:
        lines.append(f"cut off: {printable(capture.truncated)}")
    if capture.dropped > 0:
        lines.append(f"incomplete: the capturing program lost {capture.dropped:,} packets")
    if capture.clock_steps:
        first = capture.first_clock_step_frame
        lines.append(f"clock: time goes back {capture.clock_steps:,} times, first at frame {first}")
    lines += [
        f"not decoded: {item.count:,} frames ({printable(item.layer)}: {printable(item.reason)}), "
        f"first frame {item.first_frame}"
        for item in capture.undecoded
    ]
    lines += [f"note: {printable(note)}" for note in capture.notes]
    if capture.evicted:
        lines.append(f"limit: {capture.evicted:,} connections were evicted to bound memory")
    return lines


def _verdict(summary: Summary, incidents: int) -> Text:
    if not summary.flows:
        return Text("no TCP connection in this capture")
    endings = ", ".join(f"{count:,} {reason}" for reason, count in summary.end_reasons.items())
    text = Text(f"{counted(summary.flows, 'connection')}: {endings}. ")
    named = [(label, count) for label, count in summary.severities.items() if count]
    if not named and not incidents:
        return text.append("Nothing to report.", style="green")
    if not named:
        return text.append(f"{counted(incidents, 'incident')}, no anomaly.")
    if incidents:
        text.append(f"{counted(incidents, 'incident')}; anomalies: ")
    else:
        text.append("Anomalies: ")
    for i, (label, count) in enumerate(named):
        text.append(", " if i else "").append(f"{count:,} {label}", style=SEVERITY_STYLES[label])
    return text.append(".")


def _codes(codes: Sequence[CodeCount]) -> Grid:
    table = grid("severity", "code", "anomaly", ">count", ">flow", ">frame", "the worst of them")
    for code in codes:
        worst = code.worst
        table.add_row(
            Text(code.severity.label, SEVERITY_STYLES[code.severity.label]),
            code.code,
            code.name,
            _number(code.count),
            str(worst.flow) if worst.flow >= 0 else "-",
            str(worst.frames[0]) if worst.frames else "-",
            Text(printable(worst.detail)),
        )
    return table


def _states(summary: Summary) -> Grid:
    table = grid("state at the end", ">clients", ">servers")
    for name in STATE_NAMES:
        client, server = (side.get(name, 0) for side in summary.states)
        if client or server:
            table.add_row(name, _number(client), _number(server))
    return table


def _number(value: int) -> str:
    return f"{int(value):,}" if value else "-"
