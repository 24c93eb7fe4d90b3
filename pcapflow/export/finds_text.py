"""The connections in which a text passes, as a table for people at a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from rich.text import Text

from pcapflow.export.terminal import console, grid
from pcapflow.tcp.states import CLIENT
from pcapflow.text.phrases import counted
from pcapflow.text.times import rfc3339

if TYPE_CHECKING:
    from pcapflow.payload.find import Finds
    from pcapflow.tables.table import Tables


def print_finds(tables: Tables, finds: Finds, stream: TextIO) -> None:
    """Prints a line for each connection and direction: where the text passed first, and the line that it is in."""
    table = grid(">flow", "client", "server", "direction", ">frame", "time", "what")
    for found in finds.found:
        frames = str(found.frame)
        if found.last_frame != found.frame:
            # It was cut apart: between these two.
            frames += f" to {found.last_frame}"
        table.add_row(
            str(found.flow),
            tables.client(found.flow),
            tables.server(found.flow),
            "client -> server" if found.endpoint == CLIENT else "server -> client",
            frames,
            rfc3339(found.time_ns),
            Text(found.around),
        )
    out = console(stream)
    out.print(table)
    if finds.more:
        out.print(Text(f"... and {counted(finds.more, 'more direction')} of connections"))
