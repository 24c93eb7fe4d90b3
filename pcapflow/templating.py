"""Where the templates are, and how they are rendered: everything shown is escaped, nothing is guessed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import jinja2

_CHECKOUT: Final = Path(__file__).resolve().parents[1] / "reports" / "templates"
_INSTALLED: Final = Path(__file__).resolve().parent / "templates"


def environment() -> jinja2.Environment:
    """An environment that escapes by default and fails on a name that nobody set."""
    # Those of a checkout, where this is one, or those of the installed package.
    directory = _CHECKOUT if (_CHECKOUT / "report.html").is_file() else _INSTALLED
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(directory),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=_bytecode_cache(directory / "__pycache__"),
    )


def _bytecode_cache(directory: Path) -> jinja2.BytecodeCache | None:
    """Keeps compiled templates as Python keeps compiled modules: beside them, where it may write there.

    Compiling them takes as long as everything else that a small capture needs.
    """
    if sys.dont_write_bytecode:
        return None
    try:
        directory.mkdir(exist_ok=True)
    except OSError:
        return None
    return jinja2.FileSystemBytecodeCache(str(directory)) if os.access(directory, os.W_OK) else None
