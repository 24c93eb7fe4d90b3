"""The layers of the package, and what its modules import: for the test of both, and for the picture in docs/."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pcapflow"

LAYERS = (
    ("text",),
    ("errors", "version"),
    ("tcp",),
    ("stacks",),
    ("config",),
    ("reader",),
    ("tracker",),
    ("tables",),
    ("engine",),
    ("anomalies",),
    ("payload",),
    ("diagnosis",),
    ("result", "outcome", "gate"),
    ("views",),
    ("report",),
    ("export",),
    ("analysis", "anonymize"),
    ("batch",),
    ("cli",),
    ("__main__",),
)
"""Modules and packages of ``pcapflow``, from the top of the house down; data flows the same way."""


def modules() -> list[Path]:
    """All modules but the package itself, which only names what is behind it."""
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def name_of(path: Path) -> str:
    """The dotted name of a module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def top_of(module: str) -> str:
    """The module or package at the top of ``pcapflow`` that a module is, or is inside of."""
    return module.split(".")[1]


def layer_of(module: str) -> int:
    """The number of the layer that a module of the package is in."""
    top = top_of(module)
    for number, names in enumerate(LAYERS):
        if top in names:
            return number
    raise AssertionError(f"{module} is in no layer: give it one in LAYERS")


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """What a file says."""
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def imports(path: Path) -> frozenset[str]:
    """The modules a file imports, anywhere in it: also for types alone, also deferred into functions."""
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


def imports_between() -> dict[str, set[str]]:
    """By module or package at the top of ``pcapflow``: those that it imports from."""
    used: dict[str, set[str]] = {name: set() for names in LAYERS for name in names}
    for path in modules():
        own = top_of(name_of(path))
        used[own] |= {top_of(name) for name in imports(path) if name.startswith("pcapflow.")} - {own}
    return used
