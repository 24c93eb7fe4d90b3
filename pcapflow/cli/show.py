"""``pcapflow show``: one connection as a ladder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pcapflow.cli import console
from pcapflow.cli.options import config_option, reader_option
from pcapflow.cli.pipeline import analysed, configuration

if TYPE_CHECKING:
    from pcapflow.reader.open import Engine


@click.command()
@click.argument("capture")
@click.argument("flow", type=click.IntRange(0))
@reader_option
@config_option
def show(capture: str, flow: int, reader: Engine, config_file: Path | None) -> int:
    """Show one connection as a ladder, with every change of state and how it is known.

    FLOW is the connection's number, from 0, as summaries, tables and reports give it.
    """
    from pcapflow.export.ladder_text import print_ladder

    analysis = analysed((capture,), reader, configuration(config_file), quiet=False)
    flows = len(analysis.tables.flows)
    if flow >= flows:
        raise click.BadParameter(
            f"there is no flow {flow}: the capture has {flows} connections, numbered from 0", param_hint="FLOW"
        )
    console.show(lambda out: print_ladder(analysis, flow, out))
    return 0
