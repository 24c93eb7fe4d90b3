"""Help texts are docstrings: how one is cut into its parts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

SIDES: Final = ("Client", "Server", "Network", "Capture")
"""Who can be advised."""

_ADVICE: Final = re.compile(rf"^ *({'|'.join(SIDES)}): ", re.MULTILINE)


def parts_of(docstring: str, names: Sequence[str]) -> dict[str, str]:
    """A docstring's parts by their names, and under ``Summary`` what stands before the first.

    A part begins a line with its name and a colon. Line ends become blanks, but for ``Do``, which
    :func:`advice_of` takes apart.

    Raises:
        ValueError: a part is missing or empty.
    """
    pieces = re.split(rf"^({'|'.join(names)}):[ \n]", docstring, flags=re.MULTILINE)
    found = {"Summary": pieces[0], **dict(zip(pieces[1::2], pieces[2::2], strict=True))}
    missing = [name for name in ("Summary", *names) if not found.get(name, "").strip()]
    if missing:
        raise ValueError(f"a docstring lacks {', '.join(missing)}")
    return {name: text if name == "Do" else _one_line(text) for name, text in found.items()}


def advice_of(part: str) -> tuple[tuple[str, str], ...]:
    """The part ``Do`` as (side, advice) pairs; a line ``Client: ...`` begins each.

    Raises:
        ValueError: it names no side of :data:`SIDES`, or one without advice.
    """
    pieces = _ADVICE.split(part)
    advice = tuple((side, _one_line(text)) for side, text in zip(pieces[1::2], pieces[2::2], strict=True))
    if not advice or not all(text for _, text in advice):
        raise ValueError("a docstring lacks advice")
    return advice


def _one_line(text: str) -> str:
    return " ".join(text.split())
