"""The documents: what is made of the code is current, and the scenarios they name exist."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from fixtures.captures import kernel_truth
from pcapflow.tcp.states import RST_RX, RST_TX, STATE_NAMES, TRANSITIONS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
"""A link of Markdown to a file; its path is the group."""


@pytest.fixture
def make_diagram() -> ModuleType:
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("make_diagram", DOCS / "make_diagram.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["states.md", "layers.md", "hosts.md"])
def test_a_diagram_is_that_of_the_code(make_diagram: ModuleType, name: str) -> None:
    """Run ``python docs/make_diagram.py`` when this fails."""
    assert make_diagram.updated(name) == (DOCS / name).read_text(encoding="utf-8")


def test_the_diagram_has_every_edge_but_resets(make_diagram: ModuleType) -> None:
    drawn = set(re.findall(r"^ +(\w+) --> (\w+):", make_diagram.states(), flags=re.MULTILINE))

    edges = {(old, new) for (old, event), new in TRANSITIONS.items() if event not in (RST_TX, RST_RX)}
    wanted = {(STATE_NAMES[old], STATE_NAMES[new]) for old, new in edges}
    assert drawn == wanted


@pytest.mark.parametrize("name", ["states.md", "wireshark.md"])
def test_scenarios_that_are_named_exist(name: str) -> None:
    page = (DOCS / name).read_text(encoding="utf-8")

    named = re.findall(r"`(?:fixtures/kernel/(\w+)/)?((?:open|close|abort|reuse|random_loss)_\w+)`", page)
    assert len(named) > 3
    assert "`fixtures/kernel/" not in re.sub(r"`fixtures/kernel/\w+/\w+`|`fixtures/kernel/`", "", page)
    for family, scenario in named:
        assert kernel_truth(scenario).is_file()
        assert family in ("", kernel_truth(scenario).parent.name)


def links(page: Path) -> set[Path]:
    """The files that a page in Markdown links to."""
    return {(page.parent / target).resolve() for target in LINK.findall(page.read_text(encoding="utf-8"))}


def test_every_page_of_the_documentation_is_linked_where_one_begins() -> None:
    pages = set(DOCS.glob("*.md"))
    assert len(pages) > 3
    assert pages <= links(ROOT / "README.md") | links(ROOT / "CONTRIBUTING.md")


def test_links_lead_to_files_that_are_there() -> None:
    pages = [*ROOT.glob("*.md"), *DOCS.glob("*.md"), ROOT / "benchmarks" / "README.md"]
    assert [(page.name, str(target)) for page in pages for target in links(page) if not target.exists()] == []
