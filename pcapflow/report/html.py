"""The report as one self-contained HTML page. It writes down what :mod:`pcapflow.report.page` computed, no more."""

from __future__ import annotations

from markupsafe import Markup

from pcapflow.report.ladder_choice import wanted_flows
from pcapflow.report.page import ReportView, build
from pcapflow.report.templating import environment, policy_source
from pcapflow.result import Result
from pcapflow.text.escape import encodable, printable
from pcapflow.views.groups import card_groups


def to_html(result: Result) -> str:
    """The report of a run: reads the capture once more for the segments of its ladders."""
    explained, groups = card_groups(result.findings, result.diagnosis)
    drawn = wanted_flows(result.tables, (*explained, *groups), result.config)
    evidence = {
        frame for anomaly in result.findings if anomaly.flow in drawn or anomaly.flow < 0 for frame in anomaly.frames
    }
    evidence.update(frame for incident in result.diagnosis for frame in incident.frames)
    segments = result.segments(drawn, frames=evidence)
    view = build(result.tables, result.findings, result.config, segments, result.diagnosis, result.payload)
    return render(view)


def render(view: ReportView) -> str:
    """The page: no network, no clock, readable without script; the same view gives the same text.

    Its content security policy lets in the page's own style and script, by their hashes, and nothing else.
    """
    templates = environment()
    style = templates.get_template("page.css").render(looks=view.looks)
    script = templates.get_template("page.js").render()
    policy = f"default-src 'none'; style-src {policy_source(style)}; script-src {policy_source(script)}"
    page = templates.get_template("page.html").render(
        view=view._replace(title=printable(view.title)),
        style=Markup(style),  # noqa: S704 -- rendered from the project's own file
        script=Markup(script),  # noqa: S704 -- likewise
        policy=policy,
    )
    return encodable(page)
