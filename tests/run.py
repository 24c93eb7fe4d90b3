"""Sets up and passes the tests, on a fresh machine with Python 3.11 or later alone: ``python3 tests/run.py``.

Makes ``.venv`` (the package as it is edited, interpreted) and ``.venv-compiled`` (a compiled wheel) in the checkout,
installs by apt what some tests use where it may, and runs ruff, mypy and the tests: those of the engine interpreted,
then all of them with the compiled wheel, which is what users install. Without a C compiler all run interpreted. Says
how many ran and were skipped. Exit status 0 when all is well, 1 when not.

Standard library only: it runs before anything is installed. Options are handed to every run of pytest.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import sysconfig
import time
import tomllib
import venv
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

ROOT: Final = Path(__file__).resolve().parents[1]
INTERPRETED: Final = ROOT / ".venv"
COMPILED: Final = ROOT / ".venv-compiled"
BIN: Final = "Scripts" if os.name == "nt" else "bin"

DIST: Final = COMPILED / "dist"

ENGINE: Final = ("tests/reader", "tests/tracker", "--ignore=tests/reader/test_wireshark.py")
"""The tests of what is compiled, which run with both builds. The pyshark engine is never compiled."""
PARALLEL: Final = ("-n", "auto", "--maxprocesses=4", "--dist=loadfile", "-m", "not alone")
ALONE: Final = ("-m", "alone")
UNWANTED: Final = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
"""What no step inherits: other sources than these, and the will to compile numpy and pandas anew in every process."""
NOTHING: Final = "0 ran, 0 skipped, 0 failed"

TOOLS: Final = {
    # program: Debian package
    "tshark": "tshark",
    "tcpdump": "tcpdump",
    "chromium": "chromium",
    "ip": "iproute2",
    "ethtool": "ethtool",
    "gcc": "gcc",
}
"""What some tests use; the test of a missing one skips and says so."""


@dataclasses.dataclass
class Step:
    """One step of the run, and how it ended."""

    name: str
    good: bool
    seconds: float
    note: str = ""


def main(options: Sequence[str]) -> int:
    """Runs every step, whatever the one before it said, and prints how each ended."""
    steps: list[Step] = []
    install_tools()
    make_environment(INTERPRETED, with_pip=True)
    # Bytecode is made of what is imported, when it is.
    if not step(steps, "install", pip("--no-compile", *requirements())):
        return finish(steps)
    checkout = pip("--no-deps", "--no-build-isolation", "--editable", ".")
    if not step(steps, "install, editable", checkout, {"PCAPFLOW_COMPILE": "0"}):
        return finish(steps)
    with ThreadPoolExecutor() as beside:
        compiled = beside.submit(install_compiled, steps)
        step(steps, "ruff", [tool(INTERPRETED, "ruff"), "check", "."])
        step(steps, "mypy --strict", [tool(INTERPRETED, "mypy")])
    environment, build = INTERPRETED, "interpreted"
    if compiled.result():
        tests(steps, "engine, interpreted", INTERPRETED, [*ENGINE, *PARALLEL], options)
        environment, build = COMPILED, "compiled"
    tests(steps, f"tests, {build}", environment, PARALLEL, options)
    tests(steps, f"tests, {build}, alone", environment, ALONE, options)
    return finish(steps)


def install_tools() -> None:
    """Installs missing programs by apt, where this machine has it and this user may."""
    missing = [package for program, package in TOOLS.items() if shutil.which(program) is None]
    if not missing:
        return
    if shutil.which("apt-get") is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        say(f"not installed, so what needs them is skipped: {', '.join(missing)}")
        return
    say(f"installing {', '.join(missing)}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], env=quiet, check=False)
    # One by one: a package that this release does not have must not keep the others out.
    for package in missing:
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
        done = subprocess.run(command, env=quiet, check=False, stdout=subprocess.DEVNULL)
        if done.returncode != 0:
            say(f"{package} could not be installed; what needs it is skipped")


def make_environment(directory: Path, *, with_pip: bool) -> None:
    """Makes a virtual environment, unless a usable one of this Python is there."""
    python = directory / BIN / "python"
    same = [str(python), "-c", f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]!r})"]
    if not python.exists() or subprocess.run(same, check=False).returncode != 0:
        venv.create(directory, clear=True, with_pip=with_pip)


def requirements() -> list[str]:
    """What building, running and testing the package needs, as pyproject.toml declares it."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = declared["project"]
    return [*declared["build-system"]["requires"], *project["dependencies"], *project["optional-dependencies"]["dev"]]


def install_compiled(steps: list[Step]) -> bool:
    """Builds an sdist, a compiled wheel from it, and installs the wheel; whether it is compiled indeed.

    Quiet unless something fails, since other steps run beside it.
    """
    make_environment(COMPILED, with_pip=False)
    # What an earlier run built would be taken for this one's.
    shutil.rmtree(DIST, ignore_errors=True)
    build = [tool(INTERPRETED, "python"), "-m", "build", "--no-isolation", "--outdir", str(DIST)]
    if not step(steps, "build", build, {"PCAPFLOW_COMPILE": "1"}, quiet=True):
        return False
    # The dependencies are the other environment's: a path file adds its packages, but not the checkout, which only a
    # path file over there would.
    (packages_of(COMPILED) / "dependencies.pth").write_text(f"{packages_of(INTERPRETED)}\n", encoding="utf-8")
    wheels = map(str, DIST.glob("*.whl"))
    into = ["--python", tool(COMPILED, "python"), "install", "--quiet", "--force-reinstall", "--no-deps"]
    if not step(steps, "install, compiled", [tool(INTERPRETED, "python"), "-m", "pip", *into, *wheels], quiet=True):
        return False
    if not is_compiled(COMPILED):
        steps.append(Step("tests, compiled", good=True, seconds=0, note="skipped: no C compiler that works"))
        return False
    return True


def packages_of(environment: Path) -> Path:
    """The directory of an environment's packages."""
    variables = {"base": str(environment), "platbase": str(environment)}
    return Path(sysconfig.get_path("purelib", "venv", variables))


def is_compiled(environment: Path) -> bool:
    """Whether the package installed there has its compiled modules."""
    code = "import pcapflow.tcp.states as m, sys; sys.exit(m.__file__.endswith('.py'))"
    # -I keeps the checkout, where nothing is compiled, off the path.
    return subprocess.run([tool(environment, "python"), "-I", "-c", code], check=False).returncode == 0


def tests(steps: list[Step], name: str, environment: Path, chosen: Sequence[str], options: Sequence[str]) -> None:
    """Runs pytest in an environment and notes how many tests there were."""
    results = environment / "results.xml"
    results.unlink(missing_ok=True)
    command = [tool(environment, "python"), "-P", "-m", "pytest", "-q", f"--junitxml={results}"]
    if environment == COMPILED:
        # The checkout must stay off the path, or its sources would be tested; fixtures and tests are still needed.
        command += ["-o", f"pythonpath={linked_suite()}"]
    built = {"PCAPFLOW_DIST": str(DIST)} if environment == COMPILED else {}
    step(steps, name, [*command, *chosen, *options], built)
    steps[-1].note = counts(results)
    # An option may choose among the tests, and leave none of these.
    steps[-1].good |= bool(options) and steps[-1].note == NOTHING


def linked_suite() -> Path:
    """A directory with links to what tests import of the checkout, all but the package itself."""
    suite = COMPILED / "suite"
    suite.mkdir(exist_ok=True)
    for name in ("tests", "fixtures", "benchmarks"):
        link = suite / name
        if not link.exists():
            link.symlink_to(ROOT / name, target_is_directory=True)
    return suite


def counts(results: Path) -> str:
    """How many tests ran, were skipped, and failed, from pytest's own record."""
    if not results.exists():
        return "no result"
    suite = ET.parse(results).getroot().find("testsuite")
    if suite is None:
        return "no result"
    total, skipped, failures, errors = (int(suite.get(key, "0")) for key in ("tests", "skipped", "failures", "errors"))
    return f"{total - skipped} ran, {skipped} skipped, {failures + errors} failed"


def step(
    steps: list[Step],
    name: str,
    command: Sequence[str],
    extra: Mapping[str, str] | None = None,
    *,
    quiet: bool = False,
) -> bool:
    """Runs one command in the checkout and notes how it ended; ``quiet`` prints its output only when it fails."""
    say(name)
    started = time.monotonic()
    environment = {key: value for key, value in os.environ.items() if key not in UNWANTED} | dict(extra or {})
    output = subprocess.PIPE if quiet else None
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, stdout=output, stderr=subprocess.STDOUT)
    if quiet and done.returncode != 0:
        print(done.stdout.decode(errors="replace"))
    steps.append(Step(name, done.returncode == 0, time.monotonic() - started))
    return steps[-1].good


def pip(*arguments: str) -> list[str]:
    """The command that installs something into the environment that has pip."""
    return [tool(INTERPRETED, "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]


def tool(environment: Path, name: str) -> str:
    """A program of an environment."""
    return str(environment / BIN / name)


def finish(steps: Sequence[Step]) -> int:
    """Prints how every step ended; the exit status."""
    print()
    for done in steps:
        note = f"  {done.note}" if done.note else ""
        print(f"{'ok  ' if done.good else 'FAIL'} {done.name:26} {done.seconds:6.1f} s{note}")
    return 0 if all(done.good for done in steps) else 1


def say(text: str) -> None:
    """Prints a heading at once, before the output of what it announces."""
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
