"""What a command prints: data to standard output, everything about the run to standard error."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, TextIO

from pcapflow.errors import OutputError
from pcapflow.export.files import write_text
from pcapflow.text.escape import path_text, printable

STDOUT: Final = "standard output"


def write(target: str, text: str, what: str | None) -> None:
    """Writes an output to a file, or to standard output; ``what`` names it in a line on standard error, if wanted."""
    if target == "-":
        if isinstance(sys.stdout, io.TextIOWrapper):
            # Whatever a terminal would have: this is a file's content.
            sys.stdout.reconfigure(encoding="utf-8")
        show(lambda out: out.write(text))
        return
    write_text(Path(target), text)
    tell(f"{what}: {path_text(target)}", quiet=what is None)


def show(write_to: Callable[[TextIO], object]) -> None:
    """Writes data to standard output; a reader that has gone away (``| head``) is no fault.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        write_to(sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered goes nowhere, or the interpreter complains when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        raise OutputError.of(STDOUT, error) from error


def tell(text: str, quiet: bool = False) -> None:
    """Says something about the run."""
    if not quiet:
        to_stderr(text)


def complain(text: str) -> None:
    """Says what is wrong, on one line."""
    to_stderr(f"pcapflow: {text}")


def to_stderr(text: str) -> None:
    """Prints a line to standard error."""
    # Without a standard error there is nobody to tell.
    with contextlib.suppress(OSError):
        print(printable(text), file=sys.stderr, flush=True)  # noqa: T201
