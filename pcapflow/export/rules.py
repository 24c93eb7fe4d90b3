"""The catalogue of rules for people at a terminal: the list, and one rule with all that its help says."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final, TextIO

from rich.text import Text

from pcapflow.anomalies.catalogue import catalogue
from pcapflow.export.terminal import console, grid

if TYPE_CHECKING:
    from pcapflow.anomalies.rule import Rule

_LINE: Final = 100
"""Columns that prose takes at most: longer lines are hard to follow."""


def print_rules(stream: TextIO) -> None:
    """Prints all rules: code, name, and the first sentence of each."""
    table = grid("code", "name", "what it is")
    for rule in catalogue():
        table.add_row(rule.code, rule.name, Text(rule.help.summary))
    console(stream).print(table)


def print_rule(rule: Rule, stream: TextIO) -> None:
    """Prints one rule: what it is, what it means, what to do, what else it could be, and where that is written."""
    out = console(stream)
    out.print(Text.assemble((f"{rule.code} {rule.name}", "bold"), f"  {rule.title}"))
    parts = [
        ("", rule.help.summary),
        ("Means", rule.help.means),
        *((f"Do, {side.lower()}", advice) for side, advice in rule.help.do),
        ("Or else", rule.help.otherwise),
        ("Source", rule.help.source),
    ]
    for heading, text in parts:
        out.print()
        if heading:
            out.print(Text(heading, style="bold"))
        indent = "  " if heading else ""
        out.print(textwrap.fill(text, min(out.width, _LINE), initial_indent=indent, subsequent_indent=indent))
