"""Where the templates are, and how they are rendered: everything shown is escaped, nothing is guessed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import jinja2

if TYPE_CHECKING:
    from jinja2 import BaseLoader

_CHECKOUT: Final = Path(__file__).resolve().parents[1] / "reports" / "templates"


def environment() -> jinja2.Environment:
    """An environment that escapes by default and fails on a name that nobody set."""
    return jinja2.Environment(
        loader=_loader(), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def _loader() -> BaseLoader:
    """The templates of a checkout, where this is one, or those of the installed package."""
    if (_CHECKOUT / "report.html").is_file():
        return jinja2.FileSystemLoader(_CHECKOUT)
    return jinja2.PackageLoader("pcapflow.templates", "")
