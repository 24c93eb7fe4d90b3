"""Running text with pieces of code in it, as a template sets it."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Span(NamedTuple):
    """A piece of running text; ``code`` is set in the fixed-width face."""

    text: str
    kind: Literal["plain", "code"] = "plain"


Rich = tuple[Span, ...]


def rich(text: str) -> Rich:
    """Cuts a text at its backquotes: what stands between a pair of them is code."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:  # an unpaired backquote is a character like any other
        pieces[-2:] = ["`".join(pieces[-2:])]
    return tuple(Span(piece, "code" if odd else "plain") for i, piece in enumerate(pieces) if piece for odd in (i % 2,))
