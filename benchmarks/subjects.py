"""What is measured: pcapflow whole, its engine alone, and the peers this machine has."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent

WHOLE: Final = "pcapflow"
ENGINE: Final = "pcapflow engine"
COUNT: Final = "libpcap count"
ARGUS: Final = "argus with ra"
TCPTRACE: Final = "tcptrace"
TCPTRACE_LONG: Final = "tcptrace long"
TSHARK_CONV: Final = "tshark conv"
TSHARK_FIELDS: Final = "tshark fields"
PEERS: Final = (COUNT, ARGUS, TCPTRACE, TCPTRACE_LONG, TSHARK_CONV, TSHARK_FIELDS)

# Reads the capture given as its argument into the logged columns, and stops there.
ENGINE_CODE: Final = "import sys; from pcapflow.analysis import track; track(sys.argv[1])"

_TSHARK_FIELDS: Final = (
    "frame.number",
    "frame.time_epoch",
    "tcp.stream",
    "tcp.completeness",
    "tcp.analysis.retransmission",
    "tcp.analysis.fast_retransmission",
    "tcp.analysis.spurious_retransmission",
    "tcp.analysis.out_of_order",
    "tcp.analysis.duplicate_ack",
    "tcp.analysis.lost_segment",
    "tcp.analysis.ack_lost_segment",
    "tcp.analysis.keep_alive",
    "tcp.analysis.window_full",
    "tcp.analysis.zero_window",
    "tcp.analysis.reused_ports",
)

_RA_LINE: Final = re.compile(rb" tcp ")
_TCPTRACE_LINE: Final = re.compile(rb"^\s*\d+: ")
_TCPTRACE_LONG_LINE: Final = re.compile(rb"^TCP connection \d+:")
_TSHARK_CONV_LINE: Final = re.compile(rb"<->")
_ANY_LINE: Final = re.compile(rb"")


@dataclass(frozen=True)
class Subject:
    """A command, or a pipe of them, that reads one capture.

    Attributes:
        name: As in the tables.
        commands: From a capture's path to the commands of the pipe.
        counts: What `listed` counts in the output: connections or packets; None where it lists nothing.
        row: A line of standard output that counts.
        environment: Variables set for the commands.
        directory: Where the commands run.
    """

    name: str
    commands: Callable[[Path], list[list[str]]]
    counts: str | None = None
    row: re.Pattern[bytes] = _ANY_LINE
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path = ROOT


@dataclass(frozen=True)
class Missing:
    """A peer that cannot run here, and why."""

    name: str
    reason: str


def pcapflow_subjects(work: Path, python: str | None) -> list[Subject]:
    """Make the subjects of pcapflow: the whole, and its engine alone.

    Args:
        work: Where the report goes.
        python: Interpreter of an environment that has pcapflow installed; None means this
            interpreter and this checkout.
    """
    environment = {"PYTHONPATH": str(ROOT)} if python is None else {}
    directory = ROOT if python is None else work
    interpreter = python or sys.executable
    report = str(work / "report.html")
    return [
        Subject(
            WHOLE,
            lambda path: [[interpreter, "-m", "pcapflow", "analyze", str(path), "-o", report, "--no-payload"]],
            environment=environment,
            directory=directory,
        ),
        Subject(
            ENGINE,
            lambda path: [[interpreter, "-c", ENGINE_CODE, str(path)]],
            environment=environment,
            directory=directory,
        ),
    ]


def compiled_modules(python: str | None) -> int | None:
    """How many compiled modules the measured pcapflow has; None where it cannot be imported."""
    code = (
        "import pathlib, pcapflow; root = pathlib.Path(pcapflow.__file__).parent;"
        "print(sum(1 for end in ('so', 'pyd') for _ in root.rglob('*.' + end)))"
    )
    environment = {"PYTHONPATH": str(ROOT)} if python is None else None
    done = subprocess.run(
        [python or sys.executable, "-c", code], env=environment, cwd="/", capture_output=True, text=True, check=False
    )
    return int(done.stdout) if done.returncode == 0 else None


def find_peer(name: str, work: Path) -> Subject | Missing:
    """The peer called `name`, ready to run, or why it cannot."""
    if name == COUNT:
        return _build_count(work)
    programs = {ARGUS: ("argus", "ra"), TCPTRACE: ("tcptrace",), TCPTRACE_LONG: ("tcptrace",)}.get(name, ("tshark",))
    absent = [program for program in programs if shutil.which(program) is None]
    if absent:
        return Missing(name, f"not installed: {', '.join(absent)}")
    return _INSTALLED[name]


def _build_count(work: Path) -> Subject | Missing:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return Missing(COUNT, "no C compiler")
    program = work / "count"
    source = Path(__file__).with_name("count.c")
    done = subprocess.run(
        [compiler, "-O2", "-o", str(program), str(source), "-lpcap"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        return Missing(COUNT, f"does not compile: {said[0] if said else 'no message'}")
    return Subject(COUNT, lambda path: [[str(program), str(path)]])


_INSTALLED: Final = {
    subject.name: subject
    for subject in (
        Subject(
            ARGUS,
            lambda path: [["argus", "-X", "-r", str(path), "-w", "-"], ["ra", "-X", "-n", "-r", "-"]],
            counts="connections",
            row=_RA_LINE,
        ),
        Subject(TCPTRACE, lambda path: [["tcptrace", "-n", str(path)]], counts="connections", row=_TCPTRACE_LINE),
        Subject(
            TCPTRACE_LONG,
            lambda path: [["tcptrace", "-n", "-l", "-r", str(path)]],
            counts="connections",
            row=_TCPTRACE_LONG_LINE,
        ),
        Subject(
            TSHARK_CONV,
            lambda path: [["tshark", "-n", "-q", "-z", "conv,tcp", "-r", str(path)]],
            counts="connections",
            row=_TSHARK_CONV_LINE,
        ),
        Subject(
            TSHARK_FIELDS,
            lambda path: [
                ["tshark", "-n", "-r", str(path), "-T", "fields", *(x for name in _TSHARK_FIELDS for x in ("-e", name))]
            ],
            counts="packets",
        ),
    )
}
