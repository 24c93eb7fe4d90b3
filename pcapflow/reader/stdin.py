"""Standard input as a source of bytes.

Not compiled: the interpreter looks for Ctrl-C between its steps, compiled code does not.
"""

from __future__ import annotations

import io
import sys
from typing import cast, final


@final
class StandardInput:
    """Gives what the pipe holds. A read that goes on until it has all it asked for hears no Ctrl-C in between."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most ``size``; empty at the end."""
        return cast("io.BufferedReader", sys.stdin.buffer).read1(size)
