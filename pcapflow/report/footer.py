"""The footer: what made the report, and from what, so that it can be made again."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.text.phrases import counted, number
from pcapflow.version import __version__


class Fact(NamedTuple):
    """A line of the footer."""

    name: str
    value: str


def facts(tables: Tables, config: Config) -> tuple[Fact, ...]:
    """The lines of the footer; what is not known has none."""
    capture = tables.capture
    engine = f"{capture.reader}, {'compiled' if capture.compiled else 'interpreted'}"
    held = capture.format + (f" ({', '.join(capture.link_types)})" if capture.link_types else "")
    settings = [(field.name, getattr(config, field.name)) for field in dataclasses.fields(config)]
    thresholds = ", ".join(f"{name[:-2]} {value:g} s" for name, value in settings if name.endswith("_s"))
    limits = ", ".join(f"{name} {number(value)}" for name, value in settings if isinstance(value, int))
    lines = [
        Fact("made by", f"pcapflow {__version__} (engine: {engine})"),
        Fact("capture", f"{held}, {number(capture.size_bytes)} bytes" if capture.size_bytes >= 0 else held),
        Fact("frames", f"{number(capture.frames)}, of them {counted(capture.segments, 'TCP segment')}"),
        Fact("sha256", capture.sha256),
        Fact("thresholds", thresholds),
        Fact("limits", limits),
    ]
    return tuple(line for line in lines if line.value)
