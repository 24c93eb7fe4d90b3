"""Where the outputs of ``analyze`` go, decided and checked before the work begins."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from pcapflow.export.files import check_directory, check_file, make_directory
from pcapflow.export.names import LONGEST_SUFFIX, output_stems
from pcapflow.text.escape import path_text

if TYPE_CHECKING:
    from pcapflow.export.csv import Form


class Plan(NamedTuple):
    """One analysis: the captures that are read as one, and where its outputs go; ``-`` is standard output."""

    captures: tuple[str, ...]
    report: str | None
    json: str | None
    tables: Path | None


def plans_of(
    captures: tuple[str, ...],
    merge: bool,
    output: str | None,
    json_file: str | None,
    tables: Path | None,
    form: Form,
    no_report: bool,
) -> list[Plan]:
    """What ``analyze`` has to do; makes sure that the outputs can be written, as far as that can be told before."""
    jobs = [captures] if merge else [(capture,) for capture in captures]
    names = output_stems(job[0] for job in jobs)
    several = len(jobs) > 1
    plans = []
    for job in jobs:
        name = names[job[0]]
        report = None if no_report else _target(output, several, f"{name}.html", f"{name}{LONGEST_SUFFIX}")
        json_target = _target(json_file, several, f"{name}.json", None)
        if report is not None and report == json_target:
            raise click.UsageError(f"{path_text(report)} would hold both the report and the JSON")
        plans.append(Plan(job, report, json_target, tables / name if several and tables else tables))
    for plan in plans:
        check_outputs(
            [Path(target) for target in (plan.report, plan.json) if target is not None and target != "-"], captures
        )
        if plan.tables is not None:
            from pcapflow.export.csv import check_form, table_paths

            check_form(form)
            check_outputs(table_paths(plan.tables, form), captures, [plan.tables])
    return plans


def _target(option: str | None, several: bool, inside: str, default: str | None) -> str | None:
    """Where one capture's output goes: the file named, or a file in the directory named, or the default."""
    if option is None:
        return default
    if option == "-":
        if several:
            raise click.UsageError("several captures cannot share standard output; name a directory, or use --merge")
        return option
    if os.path.isdir(option) or option.endswith(("/", os.sep)):  # noqa: PTH112 -- a name that is too long is no directory
        check_directory(Path(option))
        make_directory(Path(option))
        return str(Path(option) / inside)
    if several:
        shown = path_text(option)
        raise click.UsageError(f"{shown} would hold several captures; name a directory ({shown}/), or use --merge")
    return option


def check_outputs(outputs: Sequence[Path], captures: Sequence[str], directories: Sequence[Path] = ()) -> None:
    """Tells what is known to fail before the work begins; files in ``directories`` may wait for these to be made."""
    for directory in directories:
        check_directory(directory)
    for output in outputs:
        if output.parent.exists() or output.parent not in directories:
            check_file(output)
    there = [output for output in outputs if output.exists()]
    inputs = {_identity(Path(capture)) for capture in captures if there and capture != "-" and Path(capture).exists()}
    for output in there:
        if _identity(output) in inputs:
            raise click.UsageError(f"{path_text(output)} is a capture itself and would be overwritten")


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
