"""Every sentence that patterns and rules say of the fixtures, in one text that a person reads from top to bottom.

``python -m tests.sentences`` writes it to ``tests/sentences.md``. Sentences that differ in figures, times and addresses
alone have one *shape*, and stand there once, as said of the first fixture. The last part is what incidents say besides
where tshark reads the payload. ``tests/diagnosis/test_programs.py`` compares that part, ``tests/test_sentences.py`` all
before it.
"""

from __future__ import annotations

import difflib
import functools
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pcapflow
from fixtures.captures import BENIGN, PROGRAMS, ROOT, format_captures, kernel_captures
from pcapflow import PcapflowError
from pcapflow.anomalies.model import Anomaly
from pcapflow.anomalies.rule import Help, Rule
from pcapflow.diagnosis.catalogue import catalogue, everything
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
_HEAD_OF_WORDS: Final = """\
# What is said besides where tshark reads the payload

Of the captures of real programs, and only what stands nowhere above.
"""
_IPV4: Final = r"\d{1,3}(?:\.\d{1,3}){3}"
_IPV6: Final = r"\[[\da-f.]*:[\da-f:.]*\]|(?<![\w:])(?:[\da-f]{0,4}:){2,7}[\da-f]{0,4}(?![\w:])"
_MASKS: Final = tuple(
    (re.compile(pattern), mask)
    for pattern, mask in (
        (r"\b(read|said|came): .*", r"\1: W"),
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


def without_words(path: Path) -> Told:
    """What is said of a capture by its headers alone."""
    return _of(path)


def with_words(path: Path) -> Told:
    """What is said of a capture of a real program when tshark reads what connections said: a second or so for each."""
    return _of(path, payload=True)


def _told(path: Path) -> Told | None:
    try:
        return _of(path)
    except PcapflowError:
        return None


@functools.cache
def _of(path: Path, *, payload: bool = False) -> Told:
    found = pcapflow.analyze(path, reader="native", payload=payload)
    return Told(path.relative_to(ROOT).as_posix(), found.diagnosis, found.findings)


def _ladders(shown: frozenset[str]) -> Iterator[Told]:
    """What is said of the ladders of those rules that are not shown by now."""
    for case in SPEAKS:
        if case.code not in shown:
            found = [row for row in anomalies(case, ISNS["plain"]) if row.code == case.code]
            yield Told("the ladder of its test", [], found)


def text() -> str:
    """The text up to what takes tshark."""
    told = fixtures()
    told = (*told, *_ladders(frozenset(row.code for each in told for row in each.anomalies)))
    return "\n".join((_HEAD, *(line for entry in everything() for line in _chapter(entry, told))))


def text_of_words() -> str:
    """The rest: what incidents of real programs say with tshark that is said nowhere without it."""
    told = [with_words(path) for path in sorted(PROGRAMS.glob("*.pcap"))]
    lines = [_HEAD_OF_WORDS]
    for pattern in catalogue():
        if more := list(_pattern(pattern, told, known=fixtures())):
            lines += [f"## {pattern.code} {pattern.name}, with what was said\n", *more]
    return "\n".join(lines)


def kept() -> tuple[str, str]:
    """The two parts as they are committed."""
    before, head, after = GOLDEN.read_text(encoding="utf-8").partition(_HEAD_OF_WORDS)
    return before, head + after


def difference(was: str, now: str) -> str:
    """What a test says of two texts that differ: how, and what is to be done; nothing of equal ones."""
    changes = "\n".join(difflib.unified_diff(was.splitlines(), now.splitlines(), GOLDEN.name, "now", lineterm="", n=0))
    return changes and f"read what has changed, and run `{COMMAND}` to keep it:\n{changes}"


def _chapter(entry: Pattern | Rule, told: Sequence[Told]) -> Iterator[str]:
    yield f"## {entry.code} {entry.name}: {entry.title}\n"
    yield from _pattern(entry, told) if isinstance(entry, Pattern) else _rule(entry, told)


def _pattern(pattern: Pattern, told: Sequence[Told], known: Sequence[Told] = ()) -> Iterator[str]:
    """The sections of a pattern; ``known`` is what is not to be shown again."""
    rows, old = (
        [(each.where, row) for each in of for row in each.incidents if row.code == pattern.code] for of in (told, known)
    )
    parts: tuple[tuple[str, Callable[[Incident], Iterable[str]]], ...] = (
        ("Headline", lambda row: [f"{row.headline} ({row.severity.label}, {row.confidence})"]),
        ("Whose", lambda row: [row.blame.text]),
        ("Why", lambda row: [sentence(seen.text) for seen in row.why]),
        ("Against", lambda row: map(sentence, row.against)),
        ("What to do", lambda row: [f"{step.side}: {sentence(step.text)}" for step in row.remedy]),
    )
    for title, said in parts:
        shown = frozenset(shape(line) for _, row in old for line in said(row))
        yield from _section(title, ((where, line) for where, row in rows for line in said(row)), shown)


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


def _section(title: str, lines: Iterable[tuple[str, str]], shown: frozenset[str] = frozenset()) -> Iterator[str]:
    """One line of each shape that is not shown elsewhere, under a title; nothing where there is none."""
    first: dict[str, str] = {}
    places: dict[str, dict[str, None]] = {}
    for where, line in lines:
        key = shape(line)
        if key in shown:
            continue
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


def _main() -> None:
    words = text_of_words() if shutil.which("tshark") else kept()[1]
    GOLDEN.write_text(text() + words, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    _main()
