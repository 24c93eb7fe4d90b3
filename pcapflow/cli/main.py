"""The command line: parses, builds a configuration, calls the pipeline, hands the result to exporters.

Exit status: 0 done, 1 anomalies at or above ``--fail-on``, 2 usage, 3 an input could not be read (what was readable
is still reported), 130 interrupted, 143 ended by SIGTERM (what came on a stream until then is still reported). Data
goes to standard output, everything about the run to standard error.
"""

from __future__ import annotations

import atexit
import contextlib
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

from pcapflow.cli.interrupts import Streams, Terminated
from pcapflow.config import Config, load_config
from pcapflow.errors import CaptureError, ConfigError, PcapflowError
from pcapflow.export.files import unique_stems, write_text
from pcapflow.text.escape import printable
from pcapflow.version import __version__

if TYPE_CHECKING:
    from pcapflow.analysis import Analysis
    from pcapflow.engine.run import Progress
    from pcapflow.reader.open import Engine, Input

EXIT_ANOMALIES: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREADABLE: Final = 3
EXIT_INTERRUPTED: Final = 130
EXIT_TERMINATED: Final = 143

SEVERITIES: Final = ("info", "low", "medium", "high")
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


def _fail_on_option(command: _F) -> _F:
    return click.option(
        "--fail-on",
        type=click.Choice(SEVERITIES),
        help="Exit with status 1 when there is an anomaly of this severity or a worse one.",
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
    fail_on: str | None,
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
    streams = click.get_current_context().with_resource(Streams())
    jobs: list[Sequence[str]] = [captures] if merge else [(capture,) for capture in captures]
    names = unique_stems(job[0] for job in jobs)
    several = len(jobs) > 1
    status = 0
    for job, name in zip(jobs, names, strict=True):
        report = None if no_report else _target(output, several, f"{name}.html", f"{name}.pcapflow.html")
        json_target = _target(json_file, several, f"{name}.json", None)
        _refuse_to_overwrite(job, report, json_target)
        shown = not quiet and "-" not in {report, json_target}
        outputs = [
            *(["pcapflow.export.terminal"] if shown else []),
            *(["pcapflow.report.html"] if report is not None else []),
        ]
        inputs = streams.opened(job)
        try:
            analysis = _analyse(inputs, reader, config, quiet, processes, outputs)
        except CaptureError as error:
            ended = streams.was_ended(inputs)
            _complain(f"{error.path}: interrupted before a capture came" if ended else str(error))
            status = EXIT_UNREADABLE
            continue
        if anonymize:
            from pcapflow.anonymize import anonymized

            analysis = anonymized(analysis)
        if shown:
            from pcapflow.export.terminal import print_summary

            _print(functools.partial(print_summary, analysis))
        if json_target is not None:
            _write(json_target, analysis.to_json(), None)
        if tables is not None:
            from pcapflow.export.csv import write_tables

            directory = tables / name if several else tables
            write_tables(analysis, directory, "parquet" if parquet else "csv")
            _tell(f"tables: {directory}", quiet)
        if report is not None:
            _write(report, analysis.to_html(), None if quiet else "report")
        if fail_on is not None and status == 0:
            from pcapflow.views.summary import at_or_above

            status = EXIT_ANOMALIES if at_or_above(analysis.findings, fail_on) else 0
        if several and not quiet:
            _print(lambda out: out.write("\n"))
    return streams.status or status


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
    fail_on: str | None,
    config_file: Path | None,
    quiet: bool,
) -> int:
    """Analyse every capture in directories: a report each, an index page, and one JSON summary.

    PATH is a capture, or a directory that is searched for captures with everything in it.
    """
    from pcapflow.batch import analyse_all, find_captures, write_index
    from pcapflow.export.terminal import print_batch

    config = _config(config_file)
    captures, missing = find_captures(paths, output)
    for error in missing:
        _complain(str(error))
    if not captures and not missing:
        _complain(f"no capture in {', '.join(paths)}")
        return EXIT_UNREADABLE
    output.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for outcome in analyse_all(captures, output, reader=reader, config=config, jobs=jobs or os.cpu_count() or 1):
        outcomes.append(outcome)
        _tell(f"{len(outcomes)}/{len(captures)} {outcome.name}: {outcome.headline}", quiet or not sys.stderr.isatty())
    outcomes.sort(key=lambda outcome: os.fsencode(outcome.path))
    index = write_index(outcomes, output)
    if junit is not None:
        from pcapflow.export.junit import to_junit

        write_text(junit, to_junit(outcomes, fail_on or "high"))
    if sarif is not None:
        from pcapflow.export.sarif import to_sarif

        write_text(sarif, to_sarif(outcomes))
    if not quiet:
        _print(lambda out: print_batch([(o.name, o.severity, o.headline) for o in outcomes], out))
    for outcome in outcomes:
        if outcome.error:
            _complain(f"{outcome.name}: {outcome.error}")
    _tell(f"index: {index}", quiet)
    if missing or any(outcome.error for outcome in outcomes):
        return EXIT_UNREADABLE
    if fail_on is not None and any(outcome.at_or_above(fail_on) for outcome in outcomes):
        return EXIT_ANOMALIES
    return 0


@cli.command()
@click.argument("capture")
@click.option("--at", metavar="TIME", help="Seconds after the first frame, or a date and time; the end without it.")
@_reader_option
@_config_option
def states(capture: str, at: str | None, reader: Engine, config_file: Path | None) -> int:
    """Count endpoints by state, as `ss -s` would have on the hosts: at one moment, and at the peak."""
    from pcapflow.analysis import track
    from pcapflow.export.terminal import print_states
    from pcapflow.text.times import parse_time, rfc3339
    from pcapflow.views.census import census, census_at

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
    from pcapflow.export.ladder_text import print_ladder

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
    from pcapflow.anomalies.catalogue import rule_of
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
            # A terminal need not know every character; what is written elsewhere is UTF-8, as all files are.
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace", newline="\n")
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
        error.show(sys.stderr)
        return EXIT_USAGE
    except ConfigError as error:
        _complain(str(error))
        return EXIT_USAGE
    except PcapflowError as error:
        _complain(str(error))
        return EXIT_UNREADABLE
    except (KeyboardInterrupt, click.Abort) as error:
        _complain("interrupted")
        return EXIT_TERMINATED if isinstance(error.__cause__, Terminated) else EXIT_INTERRUPTED
    except OSError as error:
        # What was read is checked where it is read: this is an output that cannot be written.
        _complain(f"{error.filename or 'output'}: cannot be written: {error.strerror or error}")
        return EXIT_USAGE
    return result if isinstance(result, int) else 0


def _config(path: Path | None) -> Config:
    return load_config(path, search=Path.cwd())


def _analyse(
    captures: Sequence[Input],
    reader: Engine,
    config: Config,
    quiet: bool,
    processes: int | None = None,
    outputs: Sequence[str] = (),
) -> Analysis:
    """Analyses captures as one; ``outputs`` names modules that will be needed then, to be imported in spare time."""
    from pcapflow.analysis import analyze as pipeline
    from pcapflow.engine.run import total_bytes
    from pcapflow.reader.open import is_compiled

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
    from pcapflow.cli.progress import Bar

    with Bar(sys.stderr) as bar:
        yield bar.update


def _target(option: str | None, several: bool, inside: str, default: str | None) -> str | None:
    """Where one capture's output goes: the file named, or a file in the directory named, or the default."""
    if option is None:
        return default
    if option == "-":
        if several:
            raise click.UsageError("several captures cannot share standard output; name a directory, or use --merge")
        return option
    if Path(option).is_dir() or option.endswith(("/", os.sep)):
        Path(option).mkdir(parents=True, exist_ok=True)
        return str(Path(option) / inside)
    if several:
        raise click.UsageError(f"{option} would hold several captures; name a directory ({option}/), or use --merge")
    return option


def _refuse_to_overwrite(captures: Sequence[str], *outputs: str | None) -> None:
    for output in outputs:
        if output is None or output == "-" or not Path(output).exists():
            continue
        for capture in captures:
            if capture != "-" and Path(capture).exists() and Path(capture).samefile(output):
                raise click.UsageError(f"{output} is the capture itself and would be overwritten")


def _write(target: str, text: str, what: str | None) -> None:
    if target == "-":
        _print(lambda out: out.write(text))
        return
    write_text(Path(target), text)
    _tell(f"{what}: {target}", quiet=what is None)


def _print(write: Callable[[TextIO], object]) -> None:
    """Writes data to standard output; a reader that has gone away (``| head``) is no fault."""
    try:
        write(sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered goes nowhere, or the interpreter complains when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(text: str, quiet: bool = False) -> None:
    if not quiet:
        _to_stderr(text)


def _complain(text: str) -> None:
    _to_stderr(f"pcapflow: {text}")


def _to_stderr(text: str) -> None:
    # Without a standard error there is nobody to tell.
    with contextlib.suppress(OSError):
        print(printable(text), file=sys.stderr, flush=True)  # noqa: T201
