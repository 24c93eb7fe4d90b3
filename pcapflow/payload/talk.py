"""One connection's dissected frames, in order, and how text of theirs is made fit to be shown."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from pcapflow.payload.layer import Layer
from pcapflow.text.escape import printable

MOST_CHARACTERS: Final = 120
"""Of the short text of a connection."""
MOST_OF_A_PART: Final = 80
"""Of a request, an answer or the words of an error."""
_SPACES: Final = re.compile(r"\s+")


class Heard(NamedTuple):
    """A layer of a frame: who sent it, and where."""

    endpoint: int
    frame: int
    layer: Layer


@dataclasses.dataclass(frozen=True, slots=True)
class Talk:
    """What was heard on one connection, in order of frames.

    Attributes:
        flow: the connection.
        heard: the layers that were dissected.
        greeting: the first bytes of the server, for words that Wireshark has no field for.
        whole: whether all that the server sent was dissected, and nothing of it came when the client had closed.
    """

    flow: int
    heard: tuple[Heard, ...]
    greeting: bytes = b""
    whole: bool = False

    def of(self, name: str) -> Iterator[Heard]:
        """The layers of this name."""
        return (heard for heard in self.heard if heard.layer.name == name)


def tidy(text: str, most: int = MOST_OF_A_PART) -> str:
    """Text of a capture on one line, printable and no longer than ``most`` characters."""
    # Cut before it is escaped too: an escape is several characters, and a hostile text may be all escapes.
    line = printable(_SPACES.sub(" ", text[: 2 * most]).strip())
    return line if len(line) <= most else f"{line[: most - 1]}…"
