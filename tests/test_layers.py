"""The layout shows the way of a packet: a module imports only from layers above it.

Imports for types alone and imports deferred into functions count like all others, so there can be no circle.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pcapflow"

LAYERS = (
    ("errors", "config", "version"),
    ("text",),
    ("tcp",),
    ("reader",),
    ("tracker",),
    ("tables",),
    ("engine",),
    ("anomalies",),
    ("result", "outcome"),
    ("views",),
    ("report",),
    ("export",),
    ("analysis", "anonymize"),
    ("batch",),
    ("cli",),
    ("__main__",),
)
"""Modules and packages of ``pcapflow``, from the top of the house down; data flows the same way."""

PUBLIC_API = "pcapflow"
"""The package itself only names what is behind it, and fetches it when it is asked for (PEP 562)."""

ALLOWED_IMPORTS = {
    "pandas": {"pcapflow.export.frames"},
    "pyshark": {"pcapflow.reader.tshark"},
    "jinja2": {"pcapflow.report.templating"},
    "rich": {"pcapflow.export", "pcapflow.cli"},
    "click": {"pcapflow.cli"},
}
"""Which modules may import which library."""


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(module: str) -> int:
    """The number of the layer that a module of the package is in."""
    top = module.split(".")[1]
    for number, names in enumerate(LAYERS):
        if top in names:
            return number
    raise AssertionError(f"{module} is in no layer: give it one in LAYERS")


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def imports(path: Path) -> frozenset[str]:
    """The modules a file imports, anywhere in it."""
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if _is_module(inner) else node.module


def _is_module(name: str) -> bool:
    path = ROOT / Path(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_a_module_imports_only_from_its_layer_and_those_above(path: Path) -> None:
    own = layer_of(name_of(path))
    used = {name for name in imports(path) if name.split(".")[0] == "pcapflow"}
    assert PUBLIC_API not in used, "what is behind the public API imports from where things are"
    assert sorted(name for name in used if layer_of(name) > own) == []


def test_no_import_goes_round_in_a_circle() -> None:
    graph = {name_of(path): {name for name in imports(path) if name.startswith("pcapflow.")} for path in modules()}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail[trail.index(module) :], module])
        if module not in done:
            for used in sorted(graph[module] - {module}):
                visit(used, (*trail, module))
            done.add(module)

    for module in sorted(graph):
        visit(module, ())


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_each_heavy_library_is_imported_in_few_places(path: Path) -> None:
    module = name_of(path)
    for name in imports(path):
        allowed = ALLOWED_IMPORTS.get(name.split(".")[0])
        if allowed is not None:
            inside = any(module == place or module.startswith(f"{place}.") for place in allowed)
            assert inside, f"{module} imports {name}"


def test_the_layers_are_what_the_package_holds() -> None:
    there = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert there - {"__init__"} == {name for names in LAYERS for name in names}


def test_the_public_api_names_things_where_they_are() -> None:
    import pcapflow

    assert sorted(pcapflow.__all__) == dir(pcapflow)
    for name in pcapflow.__all__:
        assert getattr(pcapflow, name) is not None


def test_the_tracker_never_prints_and_rules_never_read_packets() -> None:
    for path in modules():
        module = name_of(path)
        if module.startswith("pcapflow.anomalies"):
            reading = {"pcapflow.reader", "pcapflow.engine"} - {"pcapflow.reader.capture"}
            assert not {name for name in imports(path) if name.startswith(tuple(reading))}, module
        if module.startswith(("pcapflow.tracker", "pcapflow.reader", "pcapflow.anomalies")):
            calls = {
                node.func.id
                for node in ast.walk(tree_of(path))
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            }
            assert "print" not in calls, module
