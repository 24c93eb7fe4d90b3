"""The house has an order: a module imports only from rooms above it, and each heavy library has one door."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pcapflow"

ROOMS = (
    (
        "pcapflow",
        "pcapflow.errors",
        "pcapflow.config",
        "pcapflow.times",
        "pcapflow.phrases",
        "pcapflow.segments",
        "pcapflow.capture",
        "pcapflow.export.printable",
        "pcapflow.signals",
    ),
    (
        "pcapflow.workers",
        "pcapflow.tracker.states",
        "pcapflow.tracker.marks",
        "pcapflow.anomalies.model",
        "pcapflow.reader",
        "pcapflow.checksum",
    ),
    ("pcapflow.tracker",),
    ("pcapflow.tables", "pcapflow.collect", "pcapflow.zeek", "pcapflow.community_id"),
    ("pcapflow.anomalies",),
    ("pcapflow.summary", "pcapflow.outcome", "pcapflow.gate", "pcapflow.templating", "pcapflow.templates"),
    ("pcapflow.report",),
    ("pcapflow.second_pass", "pcapflow.export", "pcapflow.progress"),
    ("pcapflow.follow",),
    ("pcapflow.other_half",),
    ("pcapflow.engine",),
    ("pcapflow.analysis",),
    ("pcapflow.anonymize",),
    ("pcapflow.batch",),
    ("pcapflow.cli",),
    ("pcapflow.__main__",),
)
"""From the top of the house down; data flows the same way."""

DOORS = {
    "pandas": {"pcapflow.tables"},
    "pyshark": {"pcapflow.reader"},
    "jinja2": {"pcapflow.templating", "pcapflow.report"},
    "rich": {"pcapflow.export", "pcapflow.progress"},
    "click": {"pcapflow.cli"},
}
"""Which rooms may import which library."""

NAMED_ONLY = {("pcapflow.analysis", "pandas"), ("pcapflow.export.csv", "pandas")}
"""Imports under TYPE_CHECKING alone, of libraries that have their door elsewhere."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> int:
    """The number of the room a module is in: that of the longest name that it is or is inside of."""
    best, found = -1, ""
    for number, names in enumerate(ROOMS):
        for name in names:
            inside = module == name or (name != "pcapflow" and module.startswith(f"{name}."))
            if inside and len(name) > len(found):
                best, found = number, name
    assert best >= 0, f"{module} is in no room: give it one in ROOMS"
    return best


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def imports(path: Path) -> tuple[tuple[str, bool], ...]:
    """The modules a file imports, anywhere in it, and whether for their types alone."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[tuple[str, bool]]:
    tree = tree_of(path)
    guarded = {
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and isinstance(branch.test, ast.Name) and branch.test.id == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node in guarded
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_module = (ROOT / Path(*inner.split("."))).with_suffix(".py").exists()
                yield (inner if is_module else node.module), node in guarded


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_a_module_imports_only_from_its_room_and_those_above(path: Path) -> None:
    own = room_of(name_of(path))
    if path == PACKAGE / "__init__.py":
        # The front door names the rooms behind it and opens them when they are asked for.
        return
    used = [name for name, types_only in imports(path) if name.startswith("pcapflow") and not types_only]
    below = [name for name in used if room_of(name) > own]
    assert below == []


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_each_heavy_library_has_its_doors(path: Path) -> None:
    module = name_of(path)
    for name, types_only in imports(path):
        library = name.split(".")[0]
        doors = DOORS.get(library)
        if doors is None or (types_only and (module, library) in NAMED_ONLY):
            continue
        assert any(module == door or module.startswith(f"{door}.") for door in doors), f"{module} imports {library}"


def test_the_rooms_exist() -> None:
    for names in ROOMS:
        for name in names:
            path = ROOT / Path(*name.split("."))
            assert path.is_dir() or path.with_suffix(".py").is_file() or name == "pcapflow.templates", name


def test_the_tracker_never_prints_and_rules_never_read_packets() -> None:
    for path in modules():
        module = name_of(path)
        names = {name for name, _ in imports(path)}
        if module.startswith("pcapflow.anomalies"):
            assert not {name for name in names if name.startswith("pcapflow.reader")}, module
        if module.startswith(("pcapflow.tracker", "pcapflow.reader", "pcapflow.anomalies")):
            calls = {
                node.func.id
                for node in ast.walk(tree_of(path))
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            }
            assert "print" not in calls, module
