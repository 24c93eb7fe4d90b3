"""Patterns and rules for people at a terminal: the list, and one of them with all that its help says."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TextIO

from rich.text import Text

from pcapflow.anomalies.catalogue import catalogue as rules
from pcapflow.diagnosis.catalogue import catalogue as patterns
from pcapflow.diagnosis.pattern import Pattern, PatternHelp
from pcapflow.export.terminal import console, grid
from pcapflow.text.phrases import sentence

if TYPE_CHECKING:
    from rich.console import Console

    from pcapflow.anomalies.rule import Rule

_LINE: Final = 100
"""Columns that prose takes at most: longer lines are hard to follow."""


def print_rules(stream: TextIO) -> None:
    """Prints all patterns and rules: code, name, and the first sentence of each."""
    out = console(stream)
    for heading, entries in (("Patterns: what happened", patterns()), ("Rules: what is odd", rules())):
        table = grid("code", "name", "what it is")
        for entry in entries:
            table.add_row(entry.code, entry.name, Text(entry.help.summary))
        out.print(Text(heading, style="bold"))
        out.print(table)
        out.print()


def print_entries(entries: Sequence[Rule | Pattern], stream: TextIO) -> None:
    """Prints some of them: what each is and means, what to do, what else it could be, and where that is written."""
    out = console(stream)
    for place, entry in enumerate(entries):
        if place:
            out.print()
        _print_entry(entry, out)


def _print_entry(entry: Rule | Pattern, out: Console) -> None:
    text = entry.help
    out.print(Text.assemble((f"{entry.code} {entry.name}", "bold"), f"  {entry.title}"))
    causes = {} if isinstance(entry, Pattern) else entry.causes
    evidence = (("Seen", text.seen), ("Unless", text.unless)) if isinstance(text, PatternHelp) else ()
    parts = [
        ("", text.summary),
        *evidence,
        ("Means", text.means),
        *((f"Cause {name}", sentence(own.means)) for name, own in causes.items()),
        *((f"Do, {side.lower()}", advice) for side, advice in text.do),
        ("Or else", text.otherwise),
        ("Source", text.source),
    ]
    for heading, part in parts:
        out.print()
        if heading:
            out.print(Text(heading, style="bold"))
        indent = "  " if heading else ""
        out.print(textwrap.fill(part, min(out.width, _LINE), initial_indent=indent, subsequent_indent=indent))
