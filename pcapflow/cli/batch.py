"""``pcapflow batch``: every capture in directories, with an index of their reports."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pcapflow.batch.stop import Stop
from pcapflow.cli.console import complain, show, tell
from pcapflow.cli.options import config_option, fail_on_option, quiet_option, reader_option
from pcapflow.cli.pipeline import configuration
from pcapflow.cli.statuses import EXIT_ANOMALIES, EXIT_OUTPUT, EXIT_UNREADABLE
from pcapflow.cli.targets import check_outputs
from pcapflow.export.files import make_directory, write_text
from pcapflow.gate import Gate
from pcapflow.outcome import Outcome, interruption
from pcapflow.text.escape import path_text

if TYPE_CHECKING:
    from pcapflow.reader.open import Engine


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("-o", "--output", metavar="DIR", required=True, type=click.Path(path_type=Path), help="Where to write.")
@click.option("--jobs", metavar="N", type=click.IntRange(1), help="Processes; one for each processor without.")
@click.option("--junit", metavar="FILE", type=click.Path(path_type=Path), help="Also JUnit XML, for CI.")
@click.option("--sarif", metavar="FILE", type=click.Path(path_type=Path), help="Also SARIF, for code scanning.")
@click.option("--payload", is_flag=True, help="Also what the connections said, by tshark: a second more per capture.")
@reader_option
@fail_on_option
@config_option
@quiet_option
def batch(
    paths: tuple[str, ...],
    output: Path,
    jobs: int | None,
    junit: Path | None,
    sarif: Path | None,
    payload: bool,
    reader: Engine,
    gate: Gate | None,
    config_file: Path | None,
    quiet: bool,
) -> int:
    """Analyse every capture in directories: a report each, an index page, and one JSON summary.

    PATH is a capture, or a directory that is searched for captures with everything in it.
    """
    from pcapflow.batch.run import analyse_all, find_captures, outputs_of, stems_of, write_index
    from pcapflow.export.junit import to_junit
    from pcapflow.export.sarif import to_sarif
    from pcapflow.export.terminal import print_batch

    config = configuration(config_file)
    captures, errors = find_captures(paths, output)
    for error in errors:
        complain(str(error))
    if not captures and not errors:
        complain(f"no capture in {', '.join(map(path_text, paths))}")
        return EXIT_UNREADABLE
    logs = [path for path in (junit, sarif) if path is not None]
    beside = [path for path in logs if path.parent.resolve() == output.resolve()]
    reports = [*outputs_of(stems_of(captures, beside).values(), output)]
    names = [path.name for path in (*reports, *beside)]
    if len(set(names)) < len(names) or (junit is not None and junit == sarif):
        raise click.UsageError("two outputs would be the same file; give --junit and --sarif other names")
    check_outputs(reports, captures, directories=[output])
    make_directory(output)
    check_outputs(logs, captures)
    outcomes = [Outcome(error.path, "", "", error.reason, {}) for error in errors]
    unread = {error.path for error in errors}
    processes = jobs or os.cpu_count() or 1
    with Stop() as stop:
        for outcome in analyse_all(
            captures,
            output,
            reader=reader,
            config=config,
            jobs=processes,
            stop=stop,
            others=beside,
            say=complain,
            payload=payload,
        ):
            outcomes.append(outcome)
            done = f"{len(outcomes) - len(errors)}/{len(captures)}"
            tell(f"{done} {outcome.name}: {outcome.headline}", quiet or not sys.stderr.isatty())
        outcomes.sort(key=lambda outcome: os.fsencode(outcome.path))
        left_out = sorted({*captures} - {outcome.path for outcome in outcomes}, key=os.fsencode)
        index = write_index(outcomes, output, left_out)
        if junit is not None:
            text = to_junit(outcomes, gate or Gate("high"), left_out)
            stop.check()
            write_text(junit, text)
        if sarif is not None:
            text = to_sarif(outcomes, left_out)
            stop.check()
            write_text(sarif, text)
        stop.check()
    if not quiet:
        show(lambda out: print_batch([(o.name, o.severity, o.headline) for o in outcomes], out))
    for outcome in outcomes:
        if outcome.error and outcome.path not in unread:
            complain(f"{outcome.name}: {outcome.error}")
    tell(f"index: {path_text(index)}", quiet)
    if stop.signal:
        complain(interruption(outcomes, left_out))
        return stop.status
    return _batch_status(outcomes, gate)


def _batch_status(outcomes: Sequence[Outcome], gate: Gate | None) -> int:
    if any(outcome.is_unwritten for outcome in outcomes):
        return EXIT_OUTPUT
    if gate is not None and any(gate.matches_any(o.found) for o in outcomes):
        return EXIT_ANOMALIES
    return EXIT_UNREADABLE if any(outcome.error for outcome in outcomes) else 0
