"""What makes a function a pattern.

A pattern looks at the whole capture (:class:`pcapflow.diagnosis.case.Case`) and returns the explanations that it has
for what it sees. Its docstring is its help text, shown by ``pcapflow rules CODE``; see :class:`PatternHelp` for its
parts. Adding a pattern takes one module in ``pcapflow/diagnosis/patterns/`` (it is found by itself, see
:mod:`pcapflow.diagnosis.catalogue`) with one decorated function, and captures where it is right and where it must not
be.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pcapflow.anomalies.docstrings import advice_of, parts_of
from pcapflow.diagnosis.case import Case
from pcapflow.diagnosis.model import Explanation

Explain = Callable[[Case], Sequence[Explanation]]


class PatternHelp(NamedTuple):
    """The parts of a pattern's docstring.

    Attributes:
        summary: its first sentence, what happened.
        seen: what must be seen in the capture.
        unless: what must not be seen, and what is told instead then.
        means: what it means for those who are concerned.
        do: what to do, as (side, advice) pairs.
        otherwise: what else it could be.
        source: the RFC clause, kernel function, manual or tool the pattern stands on.
    """

    summary: str
    seen: str
    unless: str
    means: str
    do: tuple[tuple[str, str], ...]
    otherwise: str
    source: str


class Pattern(NamedTuple):
    """One pattern of the catalogue; calling it looks for its incidents.

    Attributes:
        code: ``PI`` and three digits; the first is the family.
        name: the cause in a few words with hyphens.
        title: the cause as a heading.
        explain: the function itself.
    """

    code: str
    name: str
    title: str
    explain: Explain

    def __call__(self, case: Case) -> Sequence[Explanation]:  # noqa: D102
        return self.explain(case)

    @property
    def help(self) -> PatternHelp:
        """The parts of its docstring.

        Raises:
            ValueError: a part is missing or empty.
        """
        names = ("Seen", "Unless", "Means", "Else", "Source")
        parts = parts_of(inspect.getdoc(self.explain) or "", (*names, "Do"))
        return PatternHelp(
            parts["Summary"], parts["Seen"], parts["Unless"], parts["Means"], advice_of(parts["Do"]), parts["Else"],
            parts["Source"],
        )  # fmt: skip


def pattern(code: str, name: str, *, title: str) -> Callable[[Explain], Pattern]:
    """Makes a pattern of a function; its docstring must have the parts of :class:`PatternHelp`.

    Args:
        code: ``PI`` and three digits, of which the first is the family; see :class:`Pattern` for the others.
    """
    return functools.partial(Pattern, code, name, title)
