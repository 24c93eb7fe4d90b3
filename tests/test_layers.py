"""The layout shows the way of a packet: a module imports only from layers above it.

Imports for types alone and imports deferred into functions count like all others, so there can be no circle.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.layers import LAYERS, PACKAGE, ROOT, imports, layer_of, modules, name_of, tree_of

ALLOWED_IMPORTS = {
    "pandas": {"pcapflow.export.frames"},
    "pyshark": {"pcapflow.reader.tshark"},
    "jinja2": {"pcapflow.report.templating"},
    "rich": {"pcapflow.export", "pcapflow.cli"},
    "click": {"pcapflow.cli"},
}
"""Which modules may import which library."""

PUBLIC_API = "pcapflow"
"""The package itself only names what is behind it, and fetches it when it is asked for (PEP 562)."""


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


def test_the_map_in_the_readme_is_that_of_the_layers() -> None:
    """Its rows name the layers from the top down, each with all that is in it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text[text.index("| layer |") :].split("\n\n")[0]
    rows = [re.findall(r"`([a-z_]+)/?`", line.split("|")[1]) for line in table.splitlines()[2:]]
    assert [tuple(row) for row in rows] == [names for names in LAYERS if names != ("__main__",)]
