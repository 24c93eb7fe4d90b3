"""The report as one self-contained HTML page. It writes down what :mod:`pcapflow.report.view` computed, no more."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import jinja2
from markupsafe import Markup

from pcapflow.report.view import ReportView

if TYPE_CHECKING:
    from jinja2 import BaseLoader

_CHECKOUT: Final = Path(__file__).resolve().parents[2] / "reports" / "templates"


def render(view: ReportView) -> str:
    """The page: no network, no clock, readable without script; the same view gives the same text.

    Its content security policy lets in the page's own style and script, by their hashes, and nothing else.
    """
    environment = jinja2.Environment(
        loader=_loader(), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style = environment.get_template("report.css").render(looks=view.looks)
    script = environment.get_template("report.js").render()
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    return environment.get_template("report.html").render(
        view=view,
        style=Markup(style),  # noqa: S704 -- rendered from the project's own file
        script=Markup(script),  # noqa: S704 -- likewise
        policy=policy,
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _loader() -> BaseLoader:
    """The templates beside a checkout, or those of the installed package."""
    if (_CHECKOUT / "report.html").is_file():
        return jinja2.FileSystemLoader(_CHECKOUT)
    return jinja2.PackageLoader("pcapflow.templates", "")
