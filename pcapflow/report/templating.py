"""Where the templates are, and how they are rendered: everything shown is escaped, and an unknown name is an error."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import jinja2

if TYPE_CHECKING:
    from jinja2.bccache import Bucket

_CHECKOUT: Final = Path(__file__).resolve().parents[2] / "reports" / "templates"
_INSTALLED: Final = Path(__file__).resolve().parents[1] / "templates"


@functools.cache
def environment() -> jinja2.Environment:
    """An environment that escapes by default and fails on a name that nobody set; it keeps compiled templates."""
    # Those of a checkout, where this is one, or those of the installed package.
    directory = _CHECKOUT if (_CHECKOUT / "page.html").is_file() else _INSTALLED
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(directory),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=_bytecode_cache(),
    )


def policy_source(text: str) -> str:
    """A style or script as a content security policy lets it in: by its hash (CSP Level 3, 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


class _Cache(jinja2.FileSystemBytecodeCache):
    def dump_bytecode(self, bucket: Bucket) -> None:
        # A full disk is no reason to give no report.
        with contextlib.suppress(OSError):
            super().dump_bytecode(bucket)


def _bytecode_cache() -> jinja2.BytecodeCache | None:
    """Keeps compiled templates from run to run, in a directory of the user's own among the temporary files.

    Compiling them takes as long as everything else that a small capture needs.
    """
    if sys.dont_write_bytecode:
        return None
    try:
        return _Cache()
    except (OSError, RuntimeError):
        # There is no such directory, or it is not only the user's.
        return None
