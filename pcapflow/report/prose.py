"""Sentences of the report whose marked-up parts a template sets as code, and what the catalogue says about a rule."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

from pcapflow.anomalies.catalogue import known_rule
from pcapflow.anomalies.model import Anomaly
from pcapflow.diagnosis.model import Blame
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.escape import printable
from pcapflow.text.phrases import sentence

_UNIT: Final = re.compile(r"(?<=\d) (?=(?:ms|s|min|h|B|kB|MB)\b)")

_WORD_CHARS: Final = 30
"""A piece of code that fits into the narrowest column."""


class Span(NamedTuple):
    """A piece of running text; ``code`` is set in the fixed-width face, ``word`` likewise and on one line."""

    text: str
    kind: Literal["plain", "code", "word"] = "plain"


Prose = tuple[Span, ...]
"""Running text, cut into its plain and its code pieces."""


class Advice(NamedTuple):
    """What one side can do."""

    who: str
    text: Prose


class RuleText(NamedTuple):
    """One rule in words: what it is called, what it means, what to do, and what else it could be."""

    title: str
    means: Prose
    advice: tuple[Advice, ...]
    otherwise: Prose


def prose(text: str) -> Prose:
    """Cuts a text at its backquotes: what stands between a pair of them is code; what cannot be shown is escaped.

    No line ends between a figure and its unit.
    """
    pieces = printable(text).split("`")
    if len(pieces) % 2 == 0:  # an unpaired backquote is a character like any other
        pieces[-2:] = ["`".join(pieces[-2:])]
    return tuple(
        Span(piece, "word" if len(piece) <= _WORD_CHARS else "code")
        if i % 2
        else Span(_UNIT.sub("\N{NO-BREAK SPACE}", piece))
        for i, piece in enumerate(pieces)
        if piece
    )


def blame_words(blame: Blame) -> str:
    """Whose an incident is."""
    return "neither side at fault" if blame.kind == "nobody" else blame.text


def rule_text(found: Anomaly) -> RuleText:
    """The words of an anomaly's rule, for its cause and side.

    A rule that is not in the catalogue is called by its name, and nothing is added.
    """
    rule = known_rule(found.code)
    if rule is None:
        return RuleText(found.name.replace("-", " ").capitalize(), (), (), ())
    text = rule.help_for(found.cause, found.endpoint)
    return RuleText(
        title=rule.title,
        means=prose(sentence(text.means)),
        advice=tuple(Advice(who, prose(sentence(advice))) for who, advice in text.do),
        otherwise=prose(sentence(text.otherwise)),
    )


def side_words(endpoint: int) -> str:
    """Whose side a rule puts a fault on; -1 stands for neither."""
    return {CLIENT: "on the client's side", SERVER: "on the server's side"}.get(endpoint, "neither side alone")
