"""Which module makes which part of the page is written down, for every module and every template."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
REPORT = ROOT / "pcapflow" / "report"
VIEWS = ROOT / "pcapflow" / "views"
TEMPLATES = ROOT / "reports" / "templates"


def _names(folder: Path, *suffixes: str) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix in suffixes and path.name != "__init__.py"}


def test_every_module_and_template_has_its_row_and_every_row_its_file() -> None:
    named = set(re.findall(r"`(\w+\.(?:py|html|css|js))`", PAGE))

    assert named == _names(REPORT, ".py") | _names(VIEWS, ".py") | _names(TEMPLATES, ".html", ".css", ".js")


def test_a_template_that_writes_a_part_is_called_like_the_module_that_makes_it() -> None:
    rows = re.findall(r"\| `(\w+)\.py` \| `(\w+)\.html`", PAGE)

    assert len(rows) > 8
    assert {(module, template) for module, template in rows if module != template} == {("colours", "patterns")}


def test_the_parts_stand_on_the_page_in_the_order_of_the_document() -> None:
    included = re.findall(r'include "(\w+)\.html"', (TEMPLATES / "page.html").read_text(encoding="utf-8"))
    rows = re.findall(r"\| `(\w+)\.html`", PAGE)

    parts = [name for name in included if name != "patterns"]
    assert [name for name in rows if name in parts] == parts
