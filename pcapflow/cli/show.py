"""``pcapflow show``: one connection as a ladder, or the connections in which a text passes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pcapflow.cli import console
from pcapflow.cli.options import config_option, reader_option
from pcapflow.cli.pipeline import analysed, configuration
from pcapflow.cli.statuses import EXIT_NOT_FOUND

if TYPE_CHECKING:
    from pcapflow.config import Config
    from pcapflow.reader.open import Engine


@click.command()
@click.argument("capture")
@click.argument("flow", type=click.IntRange(0), required=False)
@click.option("--find", "text", metavar="TEXT", help="Name the connections in which this text passes, in any case.")
@click.option("--no-payload", is_flag=True, help="Do not ask tshark what the connection said.")
@reader_option
@config_option
def show(
    capture: str, flow: int | None, text: str | None, no_payload: bool, reader: Engine, config_file: Path | None
) -> int:
    """Show one connection as a ladder, with every change of state and how it is known.

    FLOW is the connection's number, from 0, as summaries, tables and reports give it. --find tells numbers: those of
    the connections in which a text passes, a request's identifier or a host's name, also where segments cut it apart.
    """
    config = configuration(config_file)
    if (flow is None) == (text is None):
        raise click.UsageError("name a FLOW, or a text with --find")
    if text is not None:
        return _find(capture, text, reader, config)
    assert flow is not None
    return _ladder(capture, flow, reader, config, payload=not no_payload)


def _ladder(capture: str, flow: int, reader: Engine, config: Config, *, payload: bool) -> int:
    from pcapflow.export.ladder_text import print_ladder

    analysis = analysed((capture,), reader, config, quiet=False)
    flows = len(analysis.tables.flows)
    if flow >= flows:
        raise click.BadParameter(
            f"there is no flow {flow}: the capture has {flows} connections, numbered from 0", param_hint="FLOW"
        )
    if payload:
        analysis.ask([flow])
    console.show(lambda out: print_ladder(analysis, flow, out))
    return 0


def _find(capture: str, text: str, reader: Engine, config: Config) -> int:
    from pcapflow.analysis import track
    from pcapflow.export.finds_text import print_finds
    from pcapflow.payload.find import LONGEST_TEXT, find_text

    wanted = os.fsencode(text)
    if not 0 < len(wanted) <= LONGEST_TEXT:
        raise click.BadParameter(f"needs 1 to {LONGEST_TEXT} bytes of text", param_hint="--find")
    tables = track(capture, reader=reader, config=config)
    finds = find_text(tables, (capture,), reader, wanted)
    if not finds.found:
        console.tell("the text passes in no connection")
        return EXIT_NOT_FOUND
    console.show(lambda out: print_finds(tables, finds, out))
    return 0
