"""An output is one file: a function that takes a result and returns text, and reads its figures from the views."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

import pcapflow
from fixtures.captures import kernel_capture
from pcapflow.analysis import Analysis
from pcapflow.export.files import write_text
from pcapflow.report.page import build
from pcapflow.result import Result

MODULE = '''
"""Markdown: the figures of a capture and its anomalies as a list."""

from __future__ import annotations

from pcapflow.result import Result
from pcapflow.text.phrases import counted
from pcapflow.views.groups import anomaly_groups, blamed
from pcapflow.views.summary import summarise


def to_markdown(result: Result) -> str:
    """The capture as a page of Markdown."""
    summary = summarise(result.tables, result.findings)
    endings = ", ".join(f"{count} {reason}" for reason, count in summary.end_reasons.items())
    lines = [f"# {result.capture.name}", "", f"{counted(summary.flows, 'connection')}: {endings}", ""]
    for code in summary.codes:
        lines.append(f"- {code.severity.label} {code.code} ({code.count}): {code.worst.detail}")
    for group in anomaly_groups(result.findings):
        lines.append(f"- {group.worst.code}: {', '.join(blamed(result.tables, group))}")
    return "\\n".join(lines) + "\\n"
'''


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return pcapflow.analyze(kernel_capture("close_wait_leak", "server"))


@pytest.fixture
def to_markdown(tmp_path: Path) -> Callable[[Result], str]:
    """The renderer, from a module written as somebody would who adds an output."""
    path = tmp_path / "markdown.py"
    path.write_text(MODULE, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("markdown_of_this_test", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast("Callable[[Result], str]", module.to_markdown)


def test_an_output_needs_only_a_result(
    analysis: Analysis, to_markdown: Callable[[Result], str], tmp_path: Path
) -> None:
    result = Result(analysis.tables, analysis.findings, analysis.config, analysis.inputs)
    target = tmp_path / "a.md"

    write_text(target, to_markdown(result))

    text = target.read_text(encoding="utf-8")
    assert text.startswith("# close_wait_leak.server.pcap\n")
    for anomaly in analysis.findings:
        assert anomaly.code in text


def test_its_figures_are_those_of_the_json_and_of_the_report(
    analysis: Analysis, to_markdown: Callable[[Result], str]
) -> None:
    text = to_markdown(analysis)

    document = json.loads(analysis.to_json())
    endings = ", ".join(f"{count} {reason}" for reason, count in document["summary"]["end_reasons"].items())
    assert f"{document['summary']['flows']} connections: {endings}\n" in text
    view = build(analysis.tables, analysis.findings, analysis.config)
    (card,) = (card for card in view.cards if card.code == "PF204")
    (count,) = (a["count"] for a in document["anomalies"] if a["code"] == "PF204")
    assert f"- {card.severity} PF204 ({count}): " in text
    assert card.where.startswith(f"{count} of ")
    assert card.where.endswith(text.partition("- PF204: ")[2].splitlines()[0])
