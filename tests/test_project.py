"""The project's own files agree with one another: lock file, recipes, sessions, hooks, workflows."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT: Final = Path(__file__).resolve().parents[1]
LOCK: Final = ROOT / "requirements-dev.txt"
PAGES: Final = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def declared() -> dict[str, Any]:
    return tomllib.loads(text("pyproject.toml"))


def sessions() -> set[str]:
    """The functions of noxfile.py that are sessions, which is not imported: it would take part in this run."""
    found = set()
    for node in ast.parse(text("noxfile.py")).body:
        if isinstance(node, ast.FunctionDef) and any("session" in ast.unparse(mark) for mark in node.decorator_list):
            found.add(node.name)
    return found


def test_the_lock_file_has_what_the_project_asks_for() -> None:
    """Run ``nox -s lock`` when this fails."""
    project = declared()["project"]
    wanted = [
        *declared()["build-system"]["requires"],
        *project["dependencies"],
        *project["optional-dependencies"]["dev"],
    ]
    locked: dict[str, list[Version]] = {}
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", text("requirements-dev.txt"), flags=re.MULTILINE):
        locked.setdefault(canonicalize_name(name), []).append(Version(version))
    for item in map(Requirement, wanted):
        versions = locked.get(canonicalize_name(item.name), [])
        assert versions, item
        assert all(item.specifier.contains(version, prereleases=True) for version in versions), item


def test_the_lock_file_pins_by_hash_and_names_no_place() -> None:
    content = text("requirements-dev.txt")
    entries = re.split(r"\n(?=\S)", content.strip())
    assert len(entries) > 20
    for entry in entries:
        assert re.match(r"[\w.-]+==\S+( ; [^\\]+)? \\\n", entry), entry[:80]
        assert "--hash=sha256:" in entry
    assert "://" not in content
    assert not re.search(r"^\s*-(-index|-extra-index|-find|i |f |r )", content, flags=re.MULTILINE)


def test_contributing_lists_the_sessions() -> None:
    listed = set(re.findall(r"^\| `(\w+)` \|", text("CONTRIBUTING.md"), flags=re.MULTILINE))
    assert listed == sessions()


@pytest.mark.parametrize("name", PAGES)
def test_files_that_are_named_exist(name: str) -> None:
    page = text(name)
    named = re.findall(r"`((?:pcapflow|tests|fixtures|docs|benchmarks|reports|\.ci|\.github)/[\w./-]+)`", page)
    linked = [link for link in re.findall(r"\]\(([^)#]+)\)", page) if "://" not in link]
    for path in [*named, *linked]:
        assert (ROOT / path).exists(), path


def test_sessions_that_are_named_exist() -> None:
    workflows = "".join(path.read_text(encoding="utf-8") for path in (ROOT / ".github" / "workflows").glob("*.yml"))
    places = [*map(text, PAGES), text(".pre-commit-config.yaml"), text("pyproject.toml"), workflows]
    named = {
        session
        for place in places
        for found in re.findall(r"(?:nox|\.ci/run) -s ((?:\w+ ?)+)", place)
        for session in found.split()
        if session not in {"takes", "makes"}
    }
    assert {"quick", "engine", "coverage"} <= named <= sessions()


def test_every_recipe_has_numbered_steps() -> None:
    _, _, recipes = text("CONTRIBUTING.md").partition("## Recipes")
    parts = re.split(r"^### ", recipes, flags=re.MULTILINE)[1:]
    titles = [part.splitlines()[0] for part in parts]
    wanted = ["A rule", "A link layer", "An output", "A command", "A scenario", "A column of `flows`"]
    assert [title for title in titles if title in wanted] == wanted
    for part in parts:
        if part.splitlines()[0] in wanted:
            numbers = [int(number) for number in re.findall(r"^(\d+)\. ", part, flags=re.MULTILINE)]
            assert numbers == list(range(1, len(numbers) + 1))
            assert len(numbers) >= 3


def test_the_changelog_has_an_unreleased_part_and_known_kinds_of_change() -> None:
    page = text("CHANGELOG.md")
    parts = re.findall(r"^## (.*)$", page, flags=re.MULTILINE)
    assert parts[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", part) for part in parts[1:])
    kinds = set(re.findall(r"^### (.*)$", page, flags=re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_hooks_fetch_nothing() -> None:
    hooks = text(".pre-commit-config.yaml")
    assert re.findall(r"repo: (\S+)", hooks) == ["local"]
    assert set(re.findall(r"language: (\S+)", hooks)) == {"system"}
    for tool in ("ruff check", "ruff format", "mypy"):
        assert f"entry: .venv/bin/{tool}" in hooks


def test_branches_are_measured() -> None:
    run = declared()["tool"]["coverage"]["run"]
    assert run["branch"] is True
    assert run["source"] == ["pcapflow"]


def test_wheels_are_tried_for_being_compiled() -> None:
    """``setup.py`` goes on without a compiler, which must not pass unnoticed where wheels are made."""
    command = declared()["tool"]["cibuildwheel"]["test-command"]
    module = re.search(r"import (pcapflow[\w.]+) as", command)
    assert module is not None
    setup = text("setup.py")
    _, folder, *rest = module[1].split(".")
    assert f'"{folder}"' in setup[setup.index("COMPILED_FOLDERS") : setup.index("INTERPRETED")]
    assert f'"{folder}/{"/".join(rest)}.py"' not in setup
    assert (ROOT / command.split("{project}/")[1].split()[0]).exists()
