"""The package installs, in every way it can be: compiled, from an sdist without a compiler, editable, not at all."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.samples import NO_FINAL_ACK, capture

ROOT = Path(__file__).resolve().parents[1]
PACKED = ("pcapflow", "reports", "pyproject.toml", "setup.py", "README.md", "LICENSE")
NO_INDEX = ("Could not find a version", "Failed to establish", "Temporary failure in name resolution")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the project is made of, apart from the checkout and without anything that was built in it."""
    target = tmp_path_factory.mktemp("source")
    ignore = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd")
    for name in PACKED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=ignore)
        else:
            shutil.copy(ROOT / name, target / name)
    return target


@pytest.fixture(scope="module")
def dist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an sdist and a wheel made from it: what nox has built, or built now."""
    if given := os.environ.get("PCAPFLOW_DIST"):
        return Path(given)
    target = tmp_path_factory.mktemp("dist")
    run_quietly([sys.executable, "-m", "build", "--outdir", target, source], {"PCAPFLOW_COMPILE": "1"})
    return target


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the package's dependencies and setuptools, and not the package."""
    place = tmp_path_factory.mktemp("venv")
    venv.create(place, with_pip=True)
    interpreter = place / "bin" / "python"
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (setuptools,) = (need for need in declared["build-system"]["requires"] if need.startswith("setuptools"))
    pip(interpreter, "install", "--no-compile", setuptools, *declared["project"]["dependencies"])
    return interpreter


def pip(interpreter: Path, *arguments: str | Path, env: Mapping[str, str] | None = None) -> str:
    """Runs pip; what it printed."""
    return run_quietly([interpreter, "-m", "pip", "--disable-pip-version-check", *arguments], env or {})


def run_quietly(command: Sequence[str | Path], env: Mapping[str, str]) -> str:
    """Runs a command that may install something; skips where there is no package index to be reached."""
    done = subprocess.run(
        command, env={**clean_environment(), **env}, capture_output=True, text=True, check=False, timeout=1800
    )
    if done.returncode != 0 and any(sign in done.stdout + done.stderr for sign in NO_INDEX):
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def clean_environment() -> dict[str, str]:
    """The environment without a path to the checkout."""
    return {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "PCAPFLOW_COMPILE"}}


def analyse(interpreter: Path, place: Path) -> tuple[str, str, bool]:
    """Analyses a capture with no other program on the path: the report, the summary, whether it ran compiled."""
    place.mkdir(exist_ok=True)
    capture(place / "a.pcap", NO_FINAL_ACK)
    environment = {**clean_environment(), "PATH": str(interpreter.parent)}
    done = subprocess.run(
        [interpreter.parent / "pcapflow", "analyze", "a.pcap", "--no-payload"],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    code = "from pcapflow.reader.open import is_compiled; print(is_compiled())"
    compiled = subprocess.run(
        [interpreter, "-c", code], cwd=place, env=environment, capture_output=True, text=True, check=True
    )
    return (place / "a.pcapflow.html").read_text(encoding="utf-8"), done.stdout, compiled.stdout.strip() == "True"


def test_a_compiled_wheel_and_every_other_way_give_the_same_report(
    source: Path, dist: Path, python: Path, tmp_path: Path
) -> None:
    """One test, since each way replaces the one before it in the same environment, and building takes its time."""
    if shutil.which("gcc") is None and shutil.which("cc") is None:
        pytest.skip("no C compiler")
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"pcapflow/templates/page.html", "pcapflow/templates/index.html", "pcapflow/py.typed"} <= set(names)
    assert not any(name.startswith(("tests", "fixtures", "reports", "benchmarks")) for name in names)
    pip(python, "install", "--no-deps", wheel)
    report, summary, compiled = analyse(python, tmp_path / "with compiled wheel")
    assert compiled
    assert "PF201" in summary

    # CC=/bin/false is a machine whose compiler does not work, or that has none. The build is isolated: that it comes
    # as far as the compiler shows that the sdist and the declared requirements are all that compiling needs.
    said = pip(python, "install", "--no-deps", "--force-reinstall", "--verbose", sdist, env={"CC": "/bin/false"})
    assert "not compiled" in said
    assert "/bin/false" in said
    pure_report, pure_summary, compiled = analyse(python, tmp_path / "without a compiler")
    assert not compiled
    assert same_but_for_the_engine(pure_report) == same_but_for_the_engine(report)
    assert same_but_for_the_engine(pure_summary) == same_but_for_the_engine(summary)

    pip(python, "uninstall", "--yes", "pcapflow")
    pip(python, "install", "--no-deps", "--no-build-isolation", "--editable", source)
    editable_report, _, compiled = analyse(python, tmp_path / "editable")
    assert not compiled, "compiled modules would shadow the sources that are being edited"
    assert editable_report == pure_report

    pip(python, "uninstall", "--yes", "pcapflow")
    checkout = subprocess.run(
        [python, "-m", "pcapflow", "analyze", tmp_path / "editable" / "a.pcap", "--no-payload", "-o", "-"],
        cwd=source,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert same_but_for_the_path(checkout.stdout) == same_but_for_the_path(pure_report)


def same_but_for_the_engine(text: str) -> str:
    return text.replace(", interpreted", "").replace(", compiled", "")


def same_but_for_the_path(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if "a.pcap" not in line)


def test_the_versions_agree() -> None:
    import pcapflow

    assert importlib.metadata.version("pcapflow") == pcapflow.version.__version__


def test_the_modules_that_are_not_compiled_are_modules() -> None:
    assigned = {
        statement.target.id: ast.literal_eval(statement.value)
        for statement in ast.parse((ROOT / "setup.py").read_text(encoding="utf-8")).body
        if isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and statement.target.id in {"COMPILED_FOLDERS", "INTERPRETED"}
        and statement.value is not None
    }
    folders, named = assigned["COMPILED_FOLDERS"], assigned["INTERPRETED"]
    assert folders
    assert named
    assert [folder for folder in folders if not list((ROOT / "pcapflow" / folder).glob("*.py"))] == []
    assert [name for name in named if not (ROOT / "pcapflow" / name).is_file()] == []
    assert [name for name in named if not name.startswith(tuple(f"{folder}/" for folder in folders))] == []
