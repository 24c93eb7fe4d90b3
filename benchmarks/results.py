"""The results as JSON, with the seconds, and as Markdown tables, with ratios only."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.growth import FACTORS, Growth, fit_line, ratios
from benchmarks.subjects import ENGINE, WHOLE, Missing
from benchmarks.turns import MEMORY_GOALS_MIB, Comparison, Series
from benchmarks.workloads import Generated

_MIB: Final = 2**20


@dataclass(frozen=True)
class Measured:
    """One workload: the capture, the runs, and what they say."""

    generated: Generated
    series: list[Series]
    comparisons: list[Comparison]


@dataclass
class Results:
    """All that one run of the benchmarks found.

    Attributes:
        runs: Turns per workload.
        scale: Times the workloads' sizes.
        compiled_modules: Of the measured pcapflow; None where it cannot be imported.
        floor_bytes: Memory that every program shows at least, since the harness held it.
        missing: Peers that could not run, and why.
        measured: One per workload.
        growth: One per workload and subject, where growth was asked for.
    """

    runs: int
    scale: float
    compiled_modules: int | None
    floor_bytes: int
    missing: list[Missing] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    growth: list[Growth] = field(default_factory=list)

    def to_json(self) -> str:
        """Everything, indented."""
        return json.dumps(self._plain(), indent=2) + "\n"

    def to_markdown(self) -> str:
        """Tables for a document: ratios and memory, no seconds."""
        parts = [self._heading()]
        if any(one.comparisons for one in self.measured):
            parts.append(_time_table([row for one in self.measured for row in one.comparisons]))
        if any(series.outcomes for one in self.measured for series in one.series):
            parts.append(_memory_table(self.measured, goals=self.scale == 1))
        if self.growth:
            parts.append(_growth_table(self.growth))
        faults = [f"- {one.name}: {one.reason}." for one in self.missing]
        for one in self.measured:
            faults += [f"- {s.subject} on {one.generated.workload}: {s.error}." for s in one.series if s.error]
        if faults:
            parts.append("Not measured:\n\n" + "\n".join(faults))
        return "\n\n".join(parts) + "\n"

    def write(self, directory: Path) -> None:
        """Write `results.json` and `results.md`."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "results.json").write_text(self.to_json(), encoding="utf-8")
        (directory / "results.md").write_text(self.to_markdown(), encoding="utf-8")

    def _heading(self) -> str:
        state = {None: "not importable", 0: "interpreted"}.get(self.compiled_modules, "compiled")
        return (
            f"Scale {self.scale:g}, medians of {self.runs}; pcapflow is {state}. "
            f"No program can show less than {self.floor_bytes / _MIB:.0f} MiB."
        )

    def _plain(self) -> dict[str, Any]:
        return {
            "machine": {
                "system": platform.platform(),
                "python": platform.python_version(),
                "processors": os.cpu_count(),
            },
            "runs": self.runs,
            "scale": self.scale,
            "compiled_modules": self.compiled_modules,
            "floor_bytes": self.floor_bytes,
            "missing": [asdict(one) for one in self.missing],
            "measured": [
                {
                    "capture": asdict(one.generated),
                    "series": [_plain_series(series) for series in one.series],
                    "comparisons": [asdict(row) | {"met": row.met} for row in one.comparisons],
                }
                for one in self.measured
            ],
            "growth": [
                asdict(one)
                | {
                    "time_line": asdict(fit_line(one.packets, one.seconds)),
                    "memory_line": asdict(fit_line(one.packets, one.peak_bytes)),
                }
                for one in self.growth
            ],
        }


def _plain_series(series: Series) -> dict[str, Any]:
    plain = asdict(series)
    if series.outcomes:
        plain["median"] = {
            "seconds": series.seconds,
            "cpu_seconds": series.cpu_seconds,
            "peak_bytes": series.peak_bytes,
        }
    return plain


def _time_table(rows: Sequence[Comparison]) -> str:
    lines = [
        "| workload | measured | against | time | lowest to highest turn | memory | goal (time) | |",
        "|---|---|---|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        goal = "" if row.goal is None else f"{row.goal:.3g}"
        verdict = {None: "", True: "met", False: "missed"}[row.met]
        lines.append(
            f"| {row.workload} | {row.subject} | {row.reference} | {row.time:.3f} | {row.low:.3f} to {row.high:.3f} "
            f"| {row.memory:.2f} | {goal} | {verdict} |"
        )
    return "\n".join(lines)


def _memory_table(measured: Sequence[Measured], *, goals: bool) -> str:
    lines = [
        "| workload | packets | connections | program | peak memory, MiB | lists | |",
        "|---|---:|---:|---|---:|---:|---|",
    ]
    for one in measured:
        for series in one.series:
            if series.error or not series.outcomes:
                continue
            peak = series.peak_bytes / _MIB
            goal = MEMORY_GOALS_MIB.get(one.generated.workload) if goals and series.subject in (WHOLE, ENGINE) else None
            verdict = "" if goal is None else f"goal {goal}: {'met' if peak < goal else 'missed'}"
            listed = "" if series.listed is None else f"{series.listed}"
            lines.append(
                f"| {one.generated.workload} | {one.generated.packets} | {one.generated.connections} "
                f"| {series.subject} | {peak:.0f} | {listed} | {verdict} |"
            )
    return "\n".join(lines)


def _growth_table(rows: Sequence[Growth]) -> str:
    sizes = ", ".join(f"{factor}x" for factor in FACTORS)
    lines = [
        f"| workload | measured | time at {sizes} | bend | memory at {sizes} | bend |",
        "|---|---|---|---:|---|---:|",
    ]
    for row in rows:
        times = ", ".join(f"{ratio:.2f}" for ratio in ratios(row.seconds))
        peaks = ", ".join(f"{ratio:.2f}" for ratio in ratios(row.peak_bytes))
        time_bend, memory_bend = fit_line(row.packets, row.seconds).bend, fit_line(row.packets, row.peak_bytes).bend
        lines.append(f"| {row.workload} | {row.subject} | {times} | {time_bend:.1%} | {peaks} | {memory_bend:.1%} |")
    return "\n".join(lines)
