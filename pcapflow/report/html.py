"""The report as one self-contained HTML page. It writes down what :mod:`pcapflow.report.view` computed, no more."""

from __future__ import annotations

import base64
import hashlib

from markupsafe import Markup

from pcapflow.export.printable import encodable, printable
from pcapflow.report.view import ReportView
from pcapflow.templating import environment


def render(view: ReportView) -> str:
    """The page: no network, no clock, readable without script; the same view gives the same text.

    Its content security policy lets in the page's own style and script, by their hashes, and nothing else.
    """
    templates = environment()
    style = templates.get_template("report.css").render(looks=view.looks)
    script = templates.get_template("report.js").render()
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    page = templates.get_template("report.html").render(
        view=view._replace(title=printable(view.title)),
        style=Markup(style),  # noqa: S704 -- rendered from the project's own file
        script=Markup(script),  # noqa: S704 -- likewise
        policy=policy,
    )
    return encodable(page)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
