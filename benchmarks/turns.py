"""Runs subjects on a capture in turns, and puts their figures in proportion."""

import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.measure import Outcome, run
from benchmarks.subjects import ARGUS, COUNT, ENGINE, TCPTRACE, TCPTRACE_LONG, TSHARK_CONV, WHOLE, Subject
from benchmarks.workloads import Generated

_READ_LEN: Final = 1 << 20

# The most time that the first may take, as a multiple of the second's.
TIME_GOALS: Final = {
    ("web", WHOLE, ARGUS): 0.6,
    ("web", WHOLE, TCPTRACE): 1 / 5,
    ("web", WHOLE, TCPTRACE_LONG): 1 / 5,
    ("web", WHOLE, TSHARK_CONV): 1 / 12,
    ("web", WHOLE, ENGINE): 2.0,
    ("web", ENGINE, COUNT): 4.0,
    ("bulk", WHOLE, ARGUS): 1.0,
    ("bulk", ENGINE, COUNT): 2.5,
    ("flood", WHOLE, ARGUS): 1 / 3,
    ("flood", WHOLE, ENGINE): 2.0,
    ("small", WHOLE, TSHARK_CONV): 1.5,
}
# The most memory pcapflow may take at scale 1, in MiB.
MEMORY_GOALS_MIB: Final = {"web": 200, "flood": 900}


@dataclass(frozen=True)
class Limits:
    """What one run may take: seconds, and bytes of address space a process."""

    timeout_s: float
    memory: int


@dataclass
class Series:
    """The runs of one subject on one capture.

    Attributes:
        subject: Its name.
        outcomes: One per turn, as long as it did not fail.
        error: Why it failed.
        listed: Connections or packets that the first run's output lists; None for no list.
    """

    subject: str
    outcomes: list[Outcome] = field(default_factory=list)
    error: str | None = None
    listed: int | None = None

    @property
    def seconds(self) -> float:
        """Median of the turns."""
        return statistics.median(outcome.seconds for outcome in self.outcomes)

    @property
    def cpu_seconds(self) -> float:
        """Median of the turns."""
        return statistics.median(outcome.cpu_seconds for outcome in self.outcomes)

    @property
    def peak_bytes(self) -> int:
        """Median of the turns."""
        return int(statistics.median(outcome.peak_bytes for outcome in self.outcomes))


@dataclass(frozen=True)
class Comparison:
    """One subject against another on one workload.

    Attributes:
        workload: Its name.
        subject: Who is measured.
        reference: Against whom.
        time: Median time over median time.
        low: The lowest ratio of any turn.
        high: The highest ratio of any turn.
        memory: Peak memory over peak memory.
        goal: What `time` may be at most; None where no goal is set.
    """

    workload: str
    subject: str
    reference: str
    time: float
    low: float
    high: float
    memory: float
    goal: float | None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without one."""
        return None if self.goal is None else self.time <= self.goal


def take_turns(
    subjects: Sequence[Subject],
    capture: Path,
    *,
    runs: int,
    limits: Limits,
    output: Path,
    tell: Callable[[str], None],
) -> list[Series]:
    """Run A B C, A B C, ...: what disturbs the machine for a while disturbs all alike.

    Args:
        subjects: Who runs; one that fails is left out of the later turns.
        capture: The file each reads; it is read once beforehand, so that all find it in memory.
        runs: Turns.
        limits: For each run.
        output: Receives standard output, anew in every run.
        tell: Called with each result, in a line.

    Returns:
        The series, in the order of `subjects`.
    """
    _warm(capture)
    all_series = {subject.name: Series(subject.name) for subject in subjects}
    for turn in range(runs):
        for subject in subjects:
            series = all_series[subject.name]
            if series.error is not None:
                continue
            outcome = run(
                subject.commands(capture),
                output,
                environment=subject.environment,
                directory=subject.directory,
                timeout_s=limits.timeout_s,
                memory_limit=limits.memory,
            )
            if outcome.error is not None:
                series.error = outcome.error
                tell(f"turn {turn + 1}  {subject.name}: {outcome.error}")
                continue
            series.outcomes.append(outcome)
            if turn == 0 and subject.counts is not None:
                series.listed = count_rows(output, subject)
            tell(f"turn {turn + 1}  {subject.name}: {outcome.seconds:.2f} s, {outcome.peak_bytes / 2**20:.0f} MiB")
    return list(all_series.values())


def compare(generated: Generated, series: Sequence[Series]) -> list[Comparison]:
    """Pcapflow whole and its engine against every peer, and the whole against the engine.

    Only series without an error take part.
    """
    done = {one.subject: one for one in series if one.error is None and one.outcomes}
    own = [name for name in (WHOLE, ENGINE) if name in done]
    comparisons = []
    for name in own:
        subject = done[name]
        for reference, other in done.items():
            if reference in {name, WHOLE}:
                continue
            turns = [a.seconds / b.seconds for a, b in zip(subject.outcomes, other.outcomes, strict=True)]
            comparisons.append(
                Comparison(
                    workload=generated.workload,
                    subject=name,
                    reference=reference,
                    time=subject.seconds / other.seconds,
                    low=min(turns),
                    high=max(turns),
                    memory=subject.peak_bytes / other.peak_bytes,
                    goal=TIME_GOALS.get((generated.workload, name, reference)),
                )
            )
    return comparisons


def count_rows(output: Path, subject: Subject) -> int:
    """How many lines of a subject's output stand for a connection, or a packet."""
    with output.open("rb") as lines:
        return sum(1 for line in lines if subject.row.search(line))


def _warm(capture: Path) -> None:
    with capture.open("rb", buffering=0) as file:
        while file.read(_READ_LEN):
            pass


def say(line: str) -> None:
    """Tell on standard error."""
    print(line, file=sys.stderr, flush=True)
