"""From tables and anomalies to a report: :func:`build` computes it as plain data, :func:`render` writes it as HTML."""

from __future__ import annotations

from pcapflow.report.html import render
from pcapflow.report.page import ReportView, build

__all__ = ["ReportView", "build", "render"]
