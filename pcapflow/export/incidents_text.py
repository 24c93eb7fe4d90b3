"""Incidents for people at a terminal: what happened, why we say so, and what to do."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from rich.text import Text

from pcapflow.text.escape import printable
from pcapflow.text.phrases import counted

if TYPE_CHECKING:
    from rich.console import Console

    from pcapflow.diagnosis.model import Incident
    from pcapflow.text.times import Clock

SEVERITY_STYLES: Final = {"high": "bold red", "medium": "yellow", "low": "cyan", "info": "dim"}
_INDENT: Final = 8
"""Columns before every line but the first of an incident: as wide as the longest severity and two blanks."""
_LINE: Final = 100
"""Columns that prose takes at most on a terminal."""


def print_incidents(incidents: Sequence[Incident], clock: Clock, out: Console) -> None:
    """Prints incidents, worst first: headline, whose it is, what it rests on, what to do, what speaks against it."""
    width = min(out.width, _LINE) if out.is_terminal else out.width
    for incident in incidents:
        label = incident.severity.label
        first, *more = _wrapped(printable(incident.headline), width)
        out.print()
        out.print(Text.assemble((label.ljust(_INDENT), SEVERITY_STYLES[label]), (first, "bold")))
        for line in more:
            out.print(Text(" " * _INDENT + line, style="bold"))
        for heading, text in _lines(incident, clock):
            mark = f"{heading}: " if heading else ""
            for i, line in enumerate(_wrapped(mark + printable(text), width)):
                shown = Text(" " * _INDENT + line)
                if i == 0 and mark:
                    shown.stylize("bold", _INDENT, _INDENT + len(mark) - 1)
                out.print(shown)


def _lines(incident: Incident, clock: Clock) -> Iterator[tuple[str, str]]:
    start, end = clock.text(incident.start_ns), clock.text(incident.end_ns)
    when = start if start == end else f"{start} to {end}"
    whose = f"{incident.blame.text}, {incident.confidence}"
    yield "", f"{incident.code} {incident.pattern}, {whose}, {counted(incident.count, 'connection')}, {when}"
    for observation in incident.why:
        yield "Because", observation.text
    for step in incident.remedy:
        yield f"Do, {step.side.lower()}", step.text
    for text in incident.against:
        yield "But", text


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width - _INDENT, 20), break_long_words=False, break_on_hyphens=False) or [""]
