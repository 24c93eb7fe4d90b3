"""``pcapflow states``: endpoints by state, as ``ss -s`` would have counted them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pcapflow.cli.console import show
from pcapflow.cli.options import config_option, reader_option
from pcapflow.cli.pipeline import configuration

if TYPE_CHECKING:
    from pcapflow.reader.open import Engine


@click.command()
@click.argument("capture")
@click.option("--at", metavar="TIME", help="Seconds after the first frame, or a date and time; the end without it.")
@reader_option
@config_option
def states(capture: str, at: str | None, reader: Engine, config_file: Path | None) -> int:
    """Count endpoints by state, as `ss -s` would have on the hosts: at one moment, and at the peak."""
    from pcapflow.analysis import track
    from pcapflow.export.terminal import print_states
    from pcapflow.text.times import parse_time, rfc3339
    from pcapflow.views.census import census, census_at

    config = configuration(config_file)
    tables = track(capture, reader=reader, config=config)
    first_ns, last_ns = tables.capture.first_ns, tables.capture.last_ns
    try:
        moment_ns = last_ns if at is None else parse_time(at, first_ns)
    except ValueError as error:
        raise click.BadParameter(
            f"{at!r} is neither seconds after the first frame nor a date and time", param_hint="--at"
        ) from error
    whole = census(tables, config)
    counts = census_at(tables, moment_ns, config)
    words = "at the end" if at is None else f"at {rfc3339(moment_ns)}"
    words += f", {(moment_ns - first_ns) / 1e9:.3f} s after the first frame"
    show(lambda out: print_states(counts, whole.peak, whole.peak_ns, words, first_ns, out))
    return 0
