"""The command line: parses, builds a configuration, calls the pipeline, hands the result to exporters.

Exit status: 0 done, 1 anomalies that ``--fail-on`` asks for, 2 usage, 3 an input could not be read (what was readable
is still reported; 1 wins, since it was asked for and is sure), 4 an output cannot be written, 70 a fault in pcapflow or
no memory, 130 interrupted, 143 terminated. Data goes to standard output, everything about the run to standard error.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import errno
import functools
import gc
import importlib
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TextIO, TypeVar

import click

from pcapflow import __version__
from pcapflow.config import Config, load_config
from pcapflow.errors import OUT_OF_MEMORY, CaptureError, ConfigError, OutputError, PcapflowError, fault_line
from pcapflow.export.files import check_directory, check_file, make_directory, write_text
from pcapflow.export.names import LONGEST_SUFFIX, output_stems
from pcapflow.export.printable import printable
from pcapflow.gate import Gate
from pcapflow.outcome import Outcome, interruption
from pcapflow.signals import Stop, Terminated

if TYPE_CHECKING:
    from pcapflow.analysis import Analysis
    from pcapflow.engine import Progress
    from pcapflow.export.csv import Form
    from pcapflow.reader.files import Engine

EXIT_ANOMALIES: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREADABLE: Final = 3
EXIT_OUTPUT: Final = 4
EXIT_FAULT: Final = 70
EXIT_INTERRUPTED: Final = 130
EXIT_TERMINATED: Final = 143

_STDOUT: Final = "standard output"
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_SLOW_WHEN_INTERPRETED_BYTES: Final = 20_000_000

_F = TypeVar("_F", bound=Callable[..., Any])


def _reader_option(command: _F) -> _F:
    return click.option(
        "--reader",
        type=click.Choice(["auto", "native", "pyshark"]),
        default="auto",
        show_default=True,
        help="Engine that decodes the capture; auto is native, and pyshark (tshark) for what only that knows.",
    )(command)


def _config_option(command: _F) -> _F:
    return click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Thresholds in TOML; without it pcapflow.toml or [tool.pcapflow] of pyproject.toml, where it is run.",
    )(command)


def _gate(ctx: click.Context, param: click.Parameter, value: str | None) -> Gate | None:
    try:
        return None if value is None else Gate.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def _fail_on_option(command: _F) -> _F:
    return click.option(
        "--fail-on",
        "gate",
        callback=_gate,
        metavar="SEVERITY|CODE[,...]",
        help="Exit with status 1 when there is an anomaly this severe or worse (info, low, medium, high), or one with "
        "this code or name. Those of the capture itself (PF9xx) count by code alone.",
    )(command)


def _quiet_option(command: _F) -> _F:
    return click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors and what was asked for.")(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="pcapflow %(version)s")
def cli() -> None:
    """Says why TCP connections in a packet capture did not end as they should."""


@cli.command()
@click.argument("captures", metavar="CAPTURE...", nargs=-1, required=True)
@click.option("-o", "--output", metavar="REPORT.html", help="The report; a directory when there are several captures.")
@click.option("--json", "json_file", metavar="FILE", help="Also JSON; - is standard output.")
@click.option("--tables", metavar="DIR", type=click.Path(path_type=Path), help="Also the four tables, as CSV.")
@click.option("--parquet", is_flag=True, help="The tables as Parquet (needs pyarrow).")
@_reader_option
@click.option("--merge", is_flag=True, help="Read the captures in this order as one (a ring of files).")
@_fail_on_option
@click.option("--anonymize", is_flag=True, help="Replace addresses, and the capture's name and hash, in every output.")
@click.option(
    "--jobs",
    "processes",
    metavar="N",
    type=click.IntRange(1, 2),
    help="Processes that follow the connections of one capture, 1 or 2; without it, 2 where it is large.",
)
@_config_option
@click.option("--no-report", is_flag=True, help="Write no HTML report.")
@_quiet_option
def analyze(
    captures: tuple[str, ...],
    output: str | None,
    json_file: str | None,
    tables: Path | None,
    parquet: bool,
    reader: Engine,
    merge: bool,
    gate: Gate | None,
    anonymize: bool,
    processes: int | None,
    config_file: Path | None,
    no_report: bool,
    quiet: bool,
) -> int:
    """Analyse captures: a summary here, a report beside it, tables and JSON if wanted.

    CAPTURE is a pcap or pcapng file, compressed or not; - reads standard input. Without -o the report of a.pcap
    is a.pcapflow.html in the current directory.
    """
    config = _config(config_file)
    form: Form = "parquet" if parquet else "csv"
    plans = _plans(captures, merge, output, json_file, tables, form, no_report)
    status = 0
    for plan in plans:
        shown = not quiet and "-" not in {plan.report, plan.json}
        outputs = [
            *(["pcapflow.export.terminal"] if shown else []),
            *(["pcapflow.report.html"] if plan.report is not None else []),
        ]
        try:
            analysis = _analyse(plan.captures, reader, config, quiet, processes, outputs)
        except CaptureError as error:
            _complain(str(error))
            status = status or EXIT_UNREADABLE
            continue
        if anonymize:
            from pcapflow.anonymize import anonymized

            analysis = anonymized(analysis)
        if shown:
            from pcapflow.export.terminal import print_summary

            _print(functools.partial(print_summary, analysis))
        if plan.json is not None:
            _write(plan.json, analysis.to_json(), None)
        if plan.tables is not None:
            from pcapflow.export.csv import write_tables

            write_tables(analysis, plan.tables, form)
            _tell(f"tables: {plan.tables}", quiet)
        if plan.report is not None:
            _write(plan.report, analysis.to_html(), None if quiet else "report")
        if gate is not None and gate.matches_any((a.code, a.severity.label) for a in analysis.findings):
            status = EXIT_ANOMALIES
        if len(plans) > 1 and not quiet:
            _print(lambda out: out.write("\n"))
    return status


@cli.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("-o", "--output", metavar="DIR", required=True, type=click.Path(path_type=Path), help="Where to write.")
@click.option("--jobs", metavar="N", type=click.IntRange(1), help="Processes; one for each processor without.")
@click.option("--junit", metavar="FILE", type=click.Path(path_type=Path), help="Also JUnit XML, for CI.")
@click.option("--sarif", metavar="FILE", type=click.Path(path_type=Path), help="Also SARIF, for code scanning.")
@_reader_option
@_fail_on_option
@_config_option
@_quiet_option
def batch(
    paths: tuple[str, ...],
    output: Path,
    jobs: int | None,
    junit: Path | None,
    sarif: Path | None,
    reader: Engine,
    gate: Gate | None,
    config_file: Path | None,
    quiet: bool,
) -> int:
    """Analyse every capture in directories: a report each, an index page, and one JSON summary.

    PATH is a capture, or a directory that is searched for captures with everything in it.
    """
    from pcapflow.batch import analyse_all, find_captures, outputs_of, stems_of, write_index
    from pcapflow.export.junit import to_junit
    from pcapflow.export.sarif import to_sarif
    from pcapflow.export.terminal import print_batch

    config = _config(config_file)
    captures, errors = find_captures(paths, output)
    for error in errors:
        _complain(str(error))
    if not captures and not errors:
        _complain(f"no capture in {', '.join(paths)}")
        return EXIT_UNREADABLE
    logs = [path for path in (junit, sarif) if path is not None]
    beside = [path for path in logs if path.parent.resolve() == output.resolve()]
    reports = [*outputs_of(stems_of(captures, beside).values(), output)]
    names = [path.name for path in (*reports, *beside)]
    if len(set(names)) < len(names) or (junit is not None and junit == sarif):
        raise click.UsageError("two outputs would be the same file; give --junit and --sarif other names")
    _check(reports, captures, directories=[output])
    make_directory(output)
    _check(logs, captures)
    outcomes = [Outcome(error.path, "", "", error.reason, {}) for error in errors]
    unread = {error.path for error in errors}
    processes = jobs or os.cpu_count() or 1
    with Stop() as stop:
        for outcome in analyse_all(
            captures, output, reader=reader, config=config, jobs=processes, stop=stop, others=beside
        ):
            outcomes.append(outcome)
            done = f"{len(outcomes) - len(errors)}/{len(captures)}"
            _tell(f"{done} {outcome.path}: {outcome.headline}", quiet or not sys.stderr.isatty())
        outcomes.sort(key=lambda outcome: outcome.path)
        left_out = sorted({*captures} - {outcome.path for outcome in outcomes})
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
        _print(lambda out: print_batch([(o.path, o.severity, o.headline) for o in outcomes], out))
    for outcome in outcomes:
        if outcome.error and outcome.path not in unread:
            _complain(f"{outcome.path}: {outcome.error}")
    _tell(f"index: {index}", quiet)
    if stop.signal:
        _complain(interruption(outcomes, left_out))
        return stop.status
    return _batch_status(outcomes, gate)


def _batch_status(outcomes: Sequence[Outcome], gate: Gate | None) -> int:
    if any(outcome.is_unwritten for outcome in outcomes):
        return EXIT_OUTPUT
    if gate is not None and any(gate.matches_any((a["code"], a["severity"]) for a in o.anomalies) for o in outcomes):
        return EXIT_ANOMALIES
    return EXIT_UNREADABLE if any(outcome.error for outcome in outcomes) else 0


@cli.command()
@click.argument("capture")
@click.option("--at", metavar="TIME", help="Seconds after the first frame, or a date and time; the end without it.")
@_reader_option
@_config_option
def states(capture: str, at: str | None, reader: Engine, config_file: Path | None) -> int:
    """Count endpoints by state, as `ss -s` would have on the hosts: at one moment, and at the peak."""
    from pcapflow.analysis import track
    from pcapflow.export.terminal import print_states
    from pcapflow.report.census import census, census_at
    from pcapflow.times import parse_time, rfc3339

    config = _config(config_file)
    tables = track(capture, reader=reader, config=config)
    first_ns, last_ns = tables.capture.first_ns, tables.capture.last_ns
    try:
        moment_ns = last_ns if at is None else parse_time(at, first_ns)
    except ValueError as error:
        raise click.BadParameter(
            f"{at!r} is neither seconds after the first frame nor a date and time", param_hint="--at"
        ) from error
    whole = census(tables, time_wait_s=config.msl2_s)
    counts = census_at(tables, moment_ns, time_wait_s=config.msl2_s)
    words = "at the end" if at is None else f"at {rfc3339(moment_ns)}"
    words += f", {(moment_ns - first_ns) / 1e9:.3f} s after the first frame"
    _print(lambda out: print_states(counts, whole.peak, whole.peak_ns, words, first_ns, out))
    return 0


@cli.command()
@click.argument("capture")
@click.argument("flow", type=click.IntRange(0))
@_reader_option
@_config_option
def show(capture: str, flow: int, reader: Engine, config_file: Path | None) -> int:
    """Show one connection as a ladder, with every change of state and how it is known.

    FLOW is the connection's number, from 0, as summaries, tables and reports give it.
    """
    from pcapflow.export.ladder import print_ladder

    analysis = _analyse((capture,), reader, _config(config_file), quiet=False)
    flows = len(analysis.tables.flows)
    if flow >= flows:
        raise click.BadParameter(
            f"there is no flow {flow}: the capture has {flows} connections, numbered from 0", param_hint="FLOW"
        )
    _print(lambda out: print_ladder(analysis, flow, out))
    return 0


@cli.command()
@click.argument("code", required=False)
def rules(code: str | None) -> int:
    """List what is looked for; with a CODE (PF201) or a name, all about that rule."""
    from pcapflow.anomalies.registry import rule_of
    from pcapflow.export.rules import print_rule, print_rules

    if code is None:
        _print(print_rules)
        return 0
    try:
        rule = rule_of(code)
    except KeyError as error:
        message = f"there is no rule {code!r}; `pcapflow rules` lists them"
        raise click.BadParameter(message, param_hint="CODE") from error
    _print(lambda out: print_rule(rule, out))
    return 0


def main() -> NoReturn:
    """Runs the command line and ends the process with its status."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            # It was closed when the program was started.
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 -- until the end
        elif isinstance(stream, io.TextIOWrapper):
            # A file name need not be text, and a terminal need not know every character.
            stream.reconfigure(errors="backslashreplace")
    # A command makes many objects and few cycles: by default the collector of those takes a twentieth of a short run.
    gc.set_threshold(100_000, 10, 10)
    # numpy's linear algebra starts a thread for each processor when it is imported, and nothing here uses it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _leave(run(sys.argv[1:]))


def _leave(status: int) -> NoReturn:
    """Ends the process without taking apart what it made, which takes a sixth of a short run."""
    # Whatever was written to standard output was flushed there, and what failed was said.
    atexit._run_exitfuncs()  # noqa: SLF001 -- as the interpreter does
    os._exit(status)


def run(arguments: Sequence[str]) -> int:
    """Runs one command; returns its exit status and raises nothing that an input can cause."""
    try:
        result = cli.main(args=list(arguments), prog_name="pcapflow", standalone_mode=False)
    except click.ClickException as error:
        text = io.StringIO()
        error.show(text)
        for line in text.getvalue().rstrip("\n").split("\n"):
            _to_stderr(line)
        return EXIT_USAGE
    except ConfigError as error:
        _complain(str(error))
        return EXIT_USAGE
    except OutputError as error:
        _complain(str(error))
        return EXIT_OUTPUT
    except PcapflowError as error:
        _complain(str(error))
        return EXIT_UNREADABLE
    except (KeyboardInterrupt, click.Abort) as error:
        if isinstance(error.__cause__, EOFError):
            # click takes it for the end of what somebody types, and nothing here asks.
            _complain(fault_line(error.__cause__))
            return EXIT_FAULT
        _complain("interrupted")
        return EXIT_INTERRUPTED
    except Terminated:
        _complain("terminated")
        return EXIT_TERMINATED
    except MemoryError:
        _complain(OUT_OF_MEMORY)
        return EXIT_FAULT
    except SystemExit:
        # click ends the process so where nobody reads its help to the end.
        return 0
    except Exception as error:  # noqa: BLE001 -- whatever it is, its status must not be the gate's
        if isinstance(error, OSError) and error.filename is None and error.errno in _FULL:
            # Help and version, which click prints itself.
            _complain(str(OutputError.of(_STDOUT, error)))
            return EXIT_OUTPUT
        _complain(fault_line(error))
        return EXIT_FAULT
    return result if isinstance(result, int) else 0


def _config(path: Path | None) -> Config:
    return load_config(path, search=Path.cwd())


def _analyse(
    captures: Sequence[str],
    reader: Engine,
    config: Config,
    quiet: bool,
    processes: int | None = None,
    outputs: Sequence[str] = (),
) -> Analysis:
    """Analyses captures as one; ``outputs`` names modules that will be needed then, to be imported in spare time."""
    from pcapflow.analysis import analyze as pipeline
    from pcapflow.engine import total_bytes
    from pcapflow.reader.files import is_compiled

    if not quiet and not is_compiled() and total_bytes(captures) > _SLOW_WHEN_INTERPRETED_BYTES:
        _tell(
            "the engine is not compiled and many times slower for it; "
            "a C compiler and `pip install --force-reinstall --no-binary pcapflow pcapflow` mend that"
        )
    with _progress(quiet) as progress:
        return pipeline(
            list(captures),
            reader=reader,
            config=config,
            progress=progress,
            jobs=processes,
            meanwhile=functools.partial(_import, outputs),
        )


def _import(modules: Sequence[str]) -> None:
    for module in modules:
        importlib.import_module(module)


@contextlib.contextmanager
def _progress(quiet: bool) -> Iterator[Progress | None]:
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from pcapflow.progress import Bar

    with Bar(sys.stderr) as bar:
        yield bar.update


@dataclasses.dataclass(frozen=True, slots=True)
class _Plan:
    """One analysis: the captures that are read as one, and where its outputs go; ``-`` is standard output."""

    captures: tuple[str, ...]
    report: str | None
    json: str | None
    tables: Path | None


def _plans(
    captures: tuple[str, ...],
    merge: bool,
    output: str | None,
    json_file: str | None,
    tables: Path | None,
    form: Form,
    no_report: bool,
) -> list[_Plan]:
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
            raise click.UsageError(f"{report} would hold both the report and the JSON")
        plans.append(_Plan(job, report, json_target, tables / name if several and tables else tables))
    for plan in plans:
        _check([Path(target) for target in (plan.report, plan.json) if target is not None and target != "-"], captures)
        if plan.tables is not None:
            from pcapflow.export.csv import check_form, table_paths

            check_form(form)
            _check(table_paths(plan.tables, form), captures, [plan.tables])
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
        raise click.UsageError(f"{option} would hold several captures; name a directory ({option}/), or use --merge")
    return option


def _check(outputs: Sequence[Path], captures: Sequence[str], directories: Sequence[Path] = ()) -> None:
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
            raise click.UsageError(f"{output} is a capture itself and would be overwritten")


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _write(target: str, text: str, what: str | None) -> None:
    if target == "-":
        if isinstance(sys.stdout, io.TextIOWrapper):
            # Whatever a terminal would have: this is a file's content.
            sys.stdout.reconfigure(encoding="utf-8")
        _print(lambda out: out.write(text))
        return
    write_text(Path(target), text)
    _tell(f"{what}: {target}", quiet=what is None)


def _print(write: Callable[[TextIO], object]) -> None:
    """Writes data to standard output; a reader that has gone away (``| head``) is no fault.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        write(sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered goes nowhere, or the interpreter complains when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        raise OutputError.of(_STDOUT, error) from error


def _tell(text: str, quiet: bool = False) -> None:
    if not quiet:
        _to_stderr(text)


def _complain(text: str) -> None:
    _to_stderr(f"pcapflow: {text}")


def _to_stderr(text: str) -> None:
    # Without a standard error there is nobody to tell.
    with contextlib.suppress(OSError):
        print(printable(text), file=sys.stderr, flush=True)  # noqa: T201
