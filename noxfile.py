"""Every check of the project. ``nox`` runs what CI runs; ``nox -s quick`` is for the time between two edits.

All sessions share two environments in the checkout: ``.venv`` (the package as it is edited, interpreted) and
``.venv-compiled`` (a compiled wheel, and the packages of the other). They are made when a session needs them, and made
anew when what they were made from has changed. Missing programs are installed by apt, where this machine has it and
this user may. Options after ``--`` go to pytest.

The last lines say how each step ended, and how many tests passed, failed and were skipped in all.
"""

from __future__ import annotations

import atexit
import dataclasses
import functools
import hashlib
import os
import shutil
import subprocess
import sysconfig
import time
import tomllib
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import nox

ROOT: Final = Path(__file__).resolve().parent
INTERPRETED: Final = ROOT / ".venv"
COMPILED: Final = ROOT / ".venv-compiled"
DIST: Final = COMPILED / "dist"
BIN: Final = "Scripts" if os.name == "nt" else "bin"
LOCK: Final = ROOT / "requirements-dev.txt"

ENGINE: Final = ("tests/reader", "tests/tracker", "--cov=pcapflow.reader", "--cov=pcapflow.tracker")
"""The tests of the packages that are compiled, which run with both builds."""
PARALLEL: Final = ("-n", "auto", "--maxprocesses=4", "--dist=loadfile", "-m", "not alone")
ALONE: Final = ("-m", "alone")
SUITE: Final = ("tests", "fixtures", "benchmarks")
"""What tests import of the checkout: all but the package itself."""
SOURCES: Final = ("pcapflow", "reports/templates", "setup.py", "pyproject.toml", "README.md", "LICENSE")
"""What the distributions are made from."""
NOT_QUICK: Final = (
    "tests/diagnosis/test_kernel.py",
    "tests/kernel",
    "tests/reader/test_hostile.py",
    "tests/reader/test_wireshark.py",
    "tests/report/test_browser.py",
    "tests/test_batch.py",
    "tests/test_benchmarks.py",
    "tests/test_determinism.py",
    "tests/test_engine.py",
    "tests/stacks",
    "tests/test_stream_interrupts.py",
    "tests/test_laboratory.py",
    "tests/test_second_pass.py",
    "tests/test_wireshark_marks.py",
    "tests/test_wireshark_streams.py",
)
"""What the time between two edits is too short for: tests that start many processes, and those of large captures."""
UNWANTED: Final = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
"""What no step inherits: other sources than these, and the will to compile numpy and pandas anew in every process."""

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
STACK_TOOLS: Final = {
    # program, or a file by its path: Debian package
    "dpkg-source": "dpkg-dev",
    "pkg-config": "pkg-config",
    "/usr/include/glib-2.0": "libglib2.0-dev",
    "go": "golang-go",
    "/usr/share/gocode/src/gvisor.dev": "golang-gvisor-gvisor-dev",
}
"""What other TCP stacks are built with (``fixtures/stacks``), by tests that are marked ``alone``."""

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "engine", "tests", "alone"]


@dataclasses.dataclass
class Step:
    """One step, and how it ended; of a run of pytest, how many tests did."""

    name: str
    good: bool = False
    seconds: float = 0
    note: str = ""
    passed: int = 0
    failed: int = 0
    skipped: int = 0


STEPS: Final[list[Step]] = []


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff, its formatter, and the workflows of CI."""
    interpreted(session)
    run(session, "ruff check", "ruff", "check", ".")
    run(session, "ruff format", "ruff", "format", "--check", ".")
    workflows = sorted(map(str, (ROOT / ".github" / "workflows").glob("*.yml")))
    run(session, "workflows", "check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows)
    # Offline: what asks other machines is left out.
    run(session, "workflows, safety", "zizmor", "--offline", "--quiet", "--no-progress", *workflows)


@nox.session
def types(session: nox.Session) -> None:
    """Types, strictly, of package, tests, fixtures and benchmarks."""
    interpreted(session)
    run(session, "mypy --strict", "mypy")


@nox.session
def engine(session: nox.Session) -> None:
    """The engine's tests interpreted, as it runs where nothing is compiled, and which of its branches they took."""
    install_tools()
    interpreted(session)
    pytest(session, "engine, interpreted", INTERPRETED, [*ENGINE, *PARALLEL])


@nox.session
def tests(session: nox.Session) -> None:
    """All tests but those marked ``alone``, with the compiled wheel that users install."""
    environment, build = best_build(session)
    pytest(session, f"tests, {build}", environment, PARALLEL)


@nox.session
def alone(session: nox.Session) -> None:
    """The tests that listen to live kernels or measure, and want no others beside them."""
    environment, build = best_build(session)
    install_tools(stacks=True)
    pytest(session, f"tests, {build}, alone", environment, ALONE)


@nox.session
def coverage(session: nox.Session) -> None:
    """All tests but those marked ``alone`` interpreted, and which branches of the package they took."""
    install_tools()
    interpreted(session)
    pytest(session, "coverage", INTERPRETED, [*PARALLEL, "--cov"])


@nox.session
def quick(session: nox.Session) -> None:
    """For the time between two edits: half a minute of tests, in the environment as it is."""
    if not (INTERPRETED / BIN).exists():
        interpreted(session)
    chosen = [*PARALLEL[:-1], "not alone and not slow", *map("--ignore={}".format, NOT_QUICK)]
    pytest(session, "quick", INTERPRETED, chosen)


@nox.session(venv_backend="venv")
def lock(session: nox.Session) -> None:
    """Writes the versions that development uses, with their hashes; the options are uv's, e.g. ``--upgrade``."""
    session.install("uv")
    declared = Path(session.create_tmp()) / "requirements.in"
    declared.write_text("\n".join(requirements()), encoding="utf-8")
    session.run(
        "uv", "pip", "compile", str(declared), "--universal", "--python-version=3.11", "--generate-hashes",
        "--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links", "--quiet",
        f"--output-file={LOCK}",
        *session.posargs,
    )  # fmt: skip


def run(session: nox.Session, name: str, program: str, *arguments: str, extra: Mapping[str, str] | None = None) -> None:
    """Runs a program of the interpreted environment in the checkout, and notes how it ended."""
    with noted(name):
        call(session, INTERPRETED, program, *arguments, extra=extra)


def pytest(session: nox.Session, name: str, environment: Path, chosen: Sequence[str]) -> None:
    """Runs pytest in an environment, and notes how many tests there were."""
    results = environment / "results.xml"
    results.unlink(missing_ok=True)
    arguments = ["-P", "-m", "pytest", "-q", f"--junitxml={results}"]
    extra = {}
    if environment == COMPILED:
        # The checkout must stay off the path, or its sources would be tested; fixtures and tests are still needed.
        arguments += ["-o", f"pythonpath={linked_suite()}"]
        extra = {"PCAPFLOW_DIST": str(DIST)}
    with noted(name) as step:
        try:
            # Status 5: an option may choose among the tests, and leave none of these.
            ends = (0, 5) if session.posargs else (0,)
            call(session, environment, "python", *arguments, *chosen, *session.posargs, extra=extra, ends=ends)
        finally:
            count(step, results)


def call(
    session: nox.Session,
    environment: Path,
    program: str,
    *arguments: str,
    extra: Mapping[str, str] | None = None,
    ends: Sequence[int] = (0,),
    quiet: bool = False,
) -> None:
    """Runs a program of an environment; ``quiet`` prints its output only when it fails."""
    path = program_of(environment, program)
    if path is None:
        session.error(f"{program} is not in {environment.name}; remove that directory, and it is made anew")
    variables: dict[str, str | None] = {**dict.fromkeys(UNWANTED), **(extra or {})}
    with session.chdir(ROOT):
        session.run(path, *arguments, env=variables, external=True, success_codes=ends, silent=quiet)


@contextmanager
def noted(name: str) -> Iterator[Step]:
    """Notes how long a step took and whether it ended well."""
    step = Step(name)
    STEPS.append(step)
    started = time.monotonic()
    try:
        yield step
        step.good = True
    finally:
        step.seconds = time.monotonic() - started


def count(step: Step, results: Path) -> None:
    """How many tests passed, failed and were skipped, from pytest's own record."""
    suite = ET.parse(results).getroot().find("testsuite") if results.exists() else None
    if suite is None:
        step.note = "no result"
        return
    total, skipped, failures, errors = (int(suite.get(key, "0")) for key in ("tests", "skipped", "failures", "errors"))
    step.failed, step.skipped = failures + errors, skipped
    step.passed = total - step.skipped - step.failed
    step.note = f"{step.passed} passed, {step.failed} failed, {step.skipped} skipped"


@atexit.register
def summary() -> None:
    """Prints how every step ended, and a line for all tests together."""
    if not STEPS:
        return
    print()
    for step in STEPS:
        note = f"  {step.note}" if step.note else ""
        print(f"{'ok  ' if step.good else 'FAIL'} {step.name:26} {step.seconds:6.1f} s{note}")
    passed, failed, skipped = (sum(getattr(step, kind) for step in STEPS) for kind in ("passed", "failed", "skipped"))
    if passed or failed or skipped:
        print(f"\n{passed} passed, {failed} failed, {skipped} skipped", flush=True)


@functools.cache
def install_tools(*, stacks: bool = False) -> None:
    """Installs missing programs by apt, where this machine has it and this user may; once a run."""
    missing = [
        package
        for tool, package in (STACK_TOOLS if stacks else TOOLS).items()
        if not (shutil.which(tool) or (Path(tool).is_absolute() and Path(tool).exists()))
    ]
    if not missing:
        return
    if shutil.which("apt-get") is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        print(f"not installed, so what needs them is skipped: {', '.join(missing)}")
        return
    print(f"installing {', '.join(missing)}")
    silent = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], env=silent, check=False)
    # One by one: a package that this release does not have must not keep the others out.
    for package in missing:
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
        done = subprocess.run(command, env=silent, check=False, stdout=subprocess.DEVNULL)
        if done.returncode != 0:
            print(f"{package} could not be installed; what needs it is skipped")


def interpreted(session: nox.Session) -> None:
    """Makes ``.venv`` with what the lock file names, and the checkout as an editable package."""
    state = digest([LOCK, ROOT / "pyproject.toml"])
    if is_made_from(INTERPRETED, state):
        return
    with noted("install"):
        make_environment(INTERPRETED, with_pip=True)
        pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        # Bytecode is made of what is imported, when it is.
        call(session, INTERPRETED, "python", *pip, "--no-compile", "--require-hashes", "--requirement", str(LOCK))
        checkout = ("--no-deps", "--no-build-isolation", "--editable", ".")
        call(session, INTERPRETED, "python", *pip, *checkout, extra={"PCAPFLOW_COMPILE": "0"})
    made_from(INTERPRETED, state)


def best_build(session: nox.Session) -> tuple[Path, str]:
    """The compiled build, or without a C compiler that works the interpreted one."""
    install_tools()
    interpreted(session)
    state = digest([LOCK, *(ROOT / source for source in SOURCES)])
    if not is_made_from(COMPILED, state):
        install_compiled(session)
        made_from(COMPILED, state)
    if is_compiled():
        return COMPILED, "compiled"
    session.warn("no C compiler that works: all tests run interpreted")
    return INTERPRETED, "interpreted"


def install_compiled(session: nox.Session) -> None:
    """Builds an sdist, a compiled wheel from it, and installs the wheel in ``.venv-compiled``."""
    with noted("build"):
        make_environment(COMPILED, with_pip=False)
        # What an earlier run built would be taken for this one's.
        shutil.rmtree(DIST, ignore_errors=True)
        build = ("-m", "build", "--no-isolation", "--outdir", str(DIST))
        call(session, INTERPRETED, "python", *build, extra={"PCAPFLOW_COMPILE": "1"}, quiet=True)
        # The dependencies are the other environment's: a path file adds its packages, but not the checkout, which only
        # a path file over there would.
        packages = packages_of(COMPILED)
        (packages / "dependencies.pth").write_text(f"{packages_of(INTERPRETED)}\n", encoding="utf-8")
        python = program_of(COMPILED, "python")
        wheels = map(str, DIST.glob("*.whl"))
        into = ("-m", "pip", "--python", str(python), "install", "--quiet", "--force-reinstall", "--no-deps")
        call(session, INTERPRETED, "python", *into, *wheels)


def make_environment(directory: Path, *, with_pip: bool) -> None:
    """Makes a virtual environment with this Python, unless there is one."""
    python = program_of(directory, "python")
    if python is None or subprocess.run([python, "-c", ""], check=False).returncode != 0:
        venv.create(directory, clear=True, with_pip=with_pip)


def is_made_from(directory: Path, state: str) -> bool:
    """Whether an environment is there and was made from this."""
    note = directory / "made-from"
    return note.exists() and note.read_text(encoding="utf-8") == state


def made_from(directory: Path, state: str) -> None:
    """Notes what an environment was made from."""
    (directory / "made-from").write_text(state, encoding="utf-8")


def digest(paths: Sequence[Path]) -> str:
    """Tells apart the states of files and of directories with all that is in them, and the versions of Python."""
    found = hashlib.sha256(sysconfig.get_config_var("py_version").encode())
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    for file in files:
        if file.is_file() and "__pycache__" not in file.parts:
            found.update(f"{file.relative_to(ROOT)}\n{file.stat().st_size}\n".encode())
            found.update(file.read_bytes())
    return found.hexdigest()


def requirements() -> list[str]:
    """What building, running and testing the package needs, as pyproject.toml declares it."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = declared["project"]
    return [*declared["build-system"]["requires"], *project["dependencies"], *project["optional-dependencies"]["dev"]]


def program_of(environment: Path, name: str) -> str | None:
    """The path of a program of an environment, where it is there."""
    return shutil.which(name, path=str(environment / BIN))


def packages_of(environment: Path) -> Path:
    """The directory of an environment's packages."""
    variables = {"base": str(environment), "platbase": str(environment)}
    return Path(sysconfig.get_path("purelib", "venv", variables))


def is_compiled() -> bool:
    """Whether the package in ``.venv-compiled`` has its compiled modules."""
    code = "import pcapflow.tcp.states as m, sys; sys.exit(m.__file__.endswith('.py'))"
    python = program_of(COMPILED, "python")
    # -I keeps the checkout, where nothing is compiled, off the path.
    return python is not None and subprocess.run([python, "-I", "-c", code], check=False).returncode == 0


def linked_suite() -> Path:
    """A directory with links to what tests import of the checkout."""
    suite = COMPILED / "suite"
    suite.mkdir(exist_ok=True)
    for name in SUITE:
        link = suite / name
        if not link.is_symlink():
            link.symlink_to(ROOT / name, target_is_directory=(ROOT / name).is_dir())
    return suite
