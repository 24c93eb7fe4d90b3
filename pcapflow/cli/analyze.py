"""``pcapflow analyze``: one capture, or several one by one, with a report each."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pcapflow.cli.console import complain, show, tell, write
from pcapflow.cli.options import config_option, fail_on_option, quiet_option, reader_option
from pcapflow.cli.pipeline import analysed, configuration
from pcapflow.cli.statuses import EXIT_ANOMALIES, EXIT_UNREADABLE
from pcapflow.cli.streams import Streams
from pcapflow.cli.targets import plans_of
from pcapflow.errors import CaptureError
from pcapflow.text.escape import path_text

if TYPE_CHECKING:
    from pcapflow.export.csv import Form
    from pcapflow.gate import Gate
    from pcapflow.reader.open import Engine


@click.command()
@click.argument("captures", metavar="CAPTURE...", nargs=-1, required=True)
@click.option("-o", "--output", metavar="REPORT.html", help="The report; a directory when there are several captures.")
@click.option("--json", "json_file", metavar="FILE", help="Also JSON; - is standard output.")
@click.option("--tables", metavar="DIR", type=click.Path(path_type=Path), help="Also the six tables, as CSV.")
@click.option("--parquet", is_flag=True, help="The tables as Parquet (needs pyarrow).")
@reader_option
@click.option("--merge", is_flag=True, help="Read the captures as one, in order of time (a ring of files).")
@fail_on_option
@click.option("--anonymize", is_flag=True, help="Replace addresses, and the capture's name and hash, in every output.")
@click.option(
    "--jobs",
    "processes",
    metavar="N",
    type=click.IntRange(1, 2),
    help="Processes that follow the connections of one capture, 1 or 2; without it, 2 where it is large.",
)
@config_option
@click.option("--no-report", is_flag=True, help="Write no HTML report.")
@click.option("--no-payload", is_flag=True, help="Do not ask tshark what the connections said: headers alone count.")
@quiet_option
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
    no_payload: bool,
    quiet: bool,
) -> int:
    """Analyse captures: a summary here, a report beside it, tables and JSON if wanted.

    CAPTURE is a pcap or pcapng file, compressed or not; - reads standard input. Without -o the report of a.pcap
    is a.pcapflow.html in the current directory.
    """
    config = configuration(config_file)
    form: Form = "parquet" if parquet else "csv"
    streams = click.get_current_context().with_resource(Streams())
    plans = plans_of(captures, merge, output, json_file, tables, form, no_report)
    status = 0
    for plan in plans:
        shown = not quiet and "-" not in {plan.report, plan.json}
        outputs = [
            *(["pcapflow.export.terminal"] if shown else []),
            *(["pcapflow.report.html"] if plan.report is not None else []),
        ]
        inputs = streams.opened(plan.captures)
        # The summary shows nothing of it, and anonymous outputs must not.
        has_output = (plan.report, plan.json, plan.tables) != (None, None, None)
        asks = has_output and not no_payload and not anonymize
        try:
            analysis = analysed(inputs, reader, config, quiet, processes, outputs, payload=asks)
        except CaptureError as error:
            ended = streams.was_ended(inputs)
            complain(f"{path_text(error.path)}: interrupted before a capture came" if ended else str(error))
            status = status or EXIT_UNREADABLE
            continue
        if anonymize:
            from pcapflow.anonymize import anonymized

            analysis = anonymized(analysis)
        if shown:
            from pcapflow.export.terminal import print_summary

            show(functools.partial(print_summary, analysis))
        if plan.json is not None:
            write(plan.json, analysis.to_json(), None)
        if plan.tables is not None:
            from pcapflow.export.csv import write_tables

            write_tables(analysis, plan.tables, form)
            tell(f"tables: {path_text(plan.tables)}", quiet)
        if plan.report is not None:
            write(plan.report, analysis.to_html(), None if quiet else "report")
        if gate is not None and gate.matches_any(analysis.found):
            status = EXIT_ANOMALIES
        if len(plans) > 1 and not quiet:
            show(lambda out: out.write("\n"))
    return streams.status or status
