"""Every sentence that patterns and rules say of the fixtures, in one text that a person reads from top to bottom.

``python -m tests.sentences`` writes it to ``tests/sentences.md``; ``tests/test_sentences.py`` compares. Sentences that
differ in figures, times and addresses alone have one *shape*, and stand there once, as said of the first fixture.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pcapflow
from fixtures.captures import BENIGN, PROGRAMS, ROOT, format_captures, kernel_captures
from pcapflow import PcapflowError
from pcapflow.anomalies.model import Anomaly
from pcapflow.anomalies.rule import Help, Rule
from pcapflow.diagnosis.catalogue import everything
from pcapflow.diagnosis.model import Incident
from pcapflow.diagnosis.pattern import Pattern
from pcapflow.tcp.states import SERVER
from pcapflow.text.phrases import sentence
from tests.anomalies.test_every_code_from_segments import SPEAKS, anomalies
from tests.ladders import ISNS

GOLDEN: Final = Path(__file__).with_name("sentences.md")
COMMAND: Final = "python -m tests.sentences"
_HEAD: Final = f"""\
<!-- made by `{COMMAND}`: do not edit -->

What pcapflow says of its fixtures, to be read from top to bottom. Sentences that differ in figures, times and addresses
alone stand here once, with the first fixture of which they are said and in how many others they have the same form.
Rules that no fixture shows are shown by the ladder of segments that tests them.
"""
_IPV4: Final = r"\d{1,3}(?:\.\d{1,3}){3}"
_IPV6: Final = r"\[[\da-f.]*:[\da-f:.]*\]|(?<![\w:])(?:[\da-f]{0,4}:){2,7}[\da-f]{0,4}(?![\w:])"
_MASKS: Final = tuple(
    (re.compile(pattern), mask)
    for pattern, mask in (
        (r"(this was said|this error came): .*", r"\1: W"),
        (r"(?:\d{4}-)?(?:\d\d-\d\d )?\d\d:\d\d:\d\d(?:\.\d+)?", "T"),
        (rf"(?:{_IPV4}|{_IPV6})(?::\d+)?", "A"),
        (r"\b(?:once|twice)\b", "N times"),
        (r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?(?!\w)", "N"),
        (r"N h N min|N min N s|N (?:ms|s|min|h|days)\b", "N s"),
        (r"N (?:B|kB|MB|GB|TB)\b", "N B"),
        (r"\bframe N", "frames N"),
        (r"N(?:, N)* (?:and|\.\.\.) N(?: more)?", "N"),
        (r"A(?:, A)* and (?:A|N more)", "A"),
    )
)


class Told(NamedTuple):
    """What is said of one capture; ``where`` names it."""

    where: str
    incidents: Sequence[Incident]
    anomalies: Sequence[Anomaly]


def shape(text: str) -> str:
    """The sentence without its figures, times and addresses: ``A sent N bytes`` of ``192.0.2.1 sent 1,448 bytes``."""
    for pattern, mask in _MASKS:
        text = pattern.sub(mask, text)
    return text


@functools.cache
def fixtures() -> tuple[Told, ...]:
    """What is said of every fixture that can be read, real programs first, without what connections said."""
    captures = (
        *sorted(PROGRAMS.glob("*.pcap")),
        *sorted(BENIGN.glob("*.pcap")),
        *kernel_captures(),
        *format_captures(),
    )
    return tuple(filter(None, map(_told, captures)))


def _told(path: Path, *, payload: bool = False) -> Told | None:
    try:
        found = pcapflow.analyze(path, reader="native", payload=payload)
    except PcapflowError:
        return None
    return Told(path.relative_to(ROOT).as_posix(), found.diagnosis, found.findings)


def _ladders(shown: frozenset[str]) -> Iterator[Told]:
    """What is said of the ladders of those rules that are not shown by now."""
    for case in SPEAKS:
        if case.code not in shown:
            found = [row for row in anomalies(case, ISNS["plain"]) if row.code == case.code]
            yield Told("the ladder of its test", [], found)


def text() -> str:
    """The whole text."""
    told = fixtures()
    told = (*told, *_ladders(frozenset(row.code for each in told for row in each.anomalies)))
    return "\n".join((_HEAD, *(line for entry in everything() for line in _chapter(entry, told))))


def _chapter(entry: Pattern | Rule, told: Sequence[Told]) -> Iterator[str]:
    yield f"## {entry.code} {entry.name}: {entry.title}\n"
    yield from _pattern(entry, told) if isinstance(entry, Pattern) else _rule(entry, told)


def _pattern(pattern: Pattern, told: Sequence[Told]) -> Iterator[str]:
    rows = [(each.where, row) for each in told for row in each.incidents if row.code == pattern.code]
    parts: tuple[tuple[str, Callable[[Incident], Iterable[str]]], ...] = (
        ("Headline", lambda row: [f"{row.headline} ({row.severity.label}, {row.confidence})"]),
        ("Whose", lambda row: [row.blame.text]),
        ("Why", lambda row: [sentence(seen.text) for seen in row.why]),
        ("Against", lambda row: map(sentence, row.against)),
        ("What to do", lambda row: [f"{step.side}: {sentence(step.text)}" for step in row.remedy]),
    )
    for title, said in parts:
        yield from _section(title, ((where, line) for where, row in rows for line in said(row)))


def _rule(rule: Rule, told: Sequence[Told]) -> Iterator[str]:
    if rule.lead:
        leads = (rule.lead.one, rule.lead.several, *(rule.lead.blameless or ()))
        yield "### Lead\n"
        yield from (f"- {lead}." for lead in dict.fromkeys(filter(None, leads)))
        yield ""
    rows = [(each.where, row) for each in told for row in each.anomalies if row.code == rule.code]
    for cause in sorted({row.cause for _, row in rows}):
        yield from _section(
            f"Of cause {cause}" if cause else "What was seen",
            ((where, _finding(row)) for where, row in rows if row.cause == cause),
        )
    yield from _help("Help", rule.help)
    for cause in rule.causes:
        yield from _help(f"Help for {cause}, where the server is named", rule.help_for(cause, SERVER))


def _help(title: str, said: Help) -> Iterator[str]:
    yield f"### {title}\n"
    yield f"- Means: {sentence(said.means)}"
    yield from (f"- {side}: {sentence(advice)}" for side, advice in said.do)
    if said.otherwise:
        yield f"- Else: {sentence(said.otherwise)}"
    yield ""


def _finding(row: Anomaly) -> str:
    """A finding: its sentence, how bad and how sure it is, and below it what else fits."""
    others = "".join(f"\n  - or: {sentence(other)}" for other in row.alternatives)
    return f"{sentence(row.detail)} ({row.severity.label}, {row.confidence}){others}"


def _section(title: str, lines: Iterable[tuple[str, str]]) -> Iterator[str]:
    """One line of each shape, under a title; nothing where there is none."""
    first: dict[str, str] = {}
    places: dict[str, dict[str, None]] = {}
    for where, line in lines:
        key = shape(line)
        first.setdefault(key, line)
        places.setdefault(key, {})[where] = None
    if first:
        yield f"### {title}\n"
    for key, line in first.items():
        where, *others = places[key]
        said, *below = line.split("\n")
        yield "\n".join((f"- {said} [{where}{f' and {len(others)} more' if others else ''}]", *below))
    if first:
        yield ""


if __name__ == "__main__":
    GOLDEN.write_text(text(), encoding="utf-8", newline="\n")
