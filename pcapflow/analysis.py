"""The whole pipeline and the Python API: a capture in, tables, anomalies and a report out.

``analyze`` reads the capture, follows its connections, and applies the rules; what it returns makes data frames and
the report when they are asked for, so that a caller pays only for what it uses.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import importlib
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from pcapflow.config import Config
from pcapflow.reader.files import Engine, Input
from pcapflow.reader.waypoints import Waypoints

if TYPE_CHECKING:
    import pandas as pd

    from pcapflow.anomalies.model import Anomaly
    from pcapflow.capture import Capture
    from pcapflow.engine import Progress
    from pcapflow.segments import Segment
    from pcapflow.tables import Tables

SEGMENTS_PER_FLOW: Final = 400


@dataclasses.dataclass
class Analysis:
    """One capture, analysed.

    Attributes:
        tables: flows, transitions and marks as typed columns, and the capture's metadata.
        findings: the anomalies, worst first.
        config: the thresholds that were used.
        inputs: what was read; a second pass over it draws the ladders.
        reader: the engine that was asked for.
        waypoints: where a second pass can go on without reading what lies before.
    """

    tables: Tables
    findings: list[Anomaly]
    config: Config
    inputs: tuple[Input, ...]
    reader: Engine = "auto"
    waypoints: Waypoints = dataclasses.field(default_factory=Waypoints)

    @property
    def capture(self) -> Capture:
        """Metadata of the capture, and how far its evidence can be trusted."""
        return self.tables.capture

    @functools.cached_property
    def flows(self) -> pd.DataFrame:
        """A row per connection; columns in :func:`pcapflow.tables.flows_frame`."""
        from pcapflow.tables import flows_frame

        return flows_frame(self.tables)

    @functools.cached_property
    def transitions(self) -> pd.DataFrame:
        """A row per change of state; columns in :func:`pcapflow.tables.transitions_frame`."""
        from pcapflow.tables import transitions_frame

        return transitions_frame(self.tables)

    @functools.cached_property
    def marks(self) -> pd.DataFrame:
        """A row per noteworthy frame; columns in :func:`pcapflow.tables.marks_frame`."""
        from pcapflow.tables import marks_frame

        return marks_frame(self.tables)

    @functools.cached_property
    def anomalies(self) -> pd.DataFrame:
        """A row per anomaly, worst first; columns in :func:`pcapflow.tables.anomalies_frame`."""
        from pcapflow.tables import anomalies_frame

        return anomalies_frame(self.findings)

    def segments(
        self, flows: Collection[int], limit: int = SEGMENTS_PER_FLOW, frames: Collection[int] = ()
    ) -> dict[int, list[Segment]]:
        """Reads the capture again for the segments of a few connections.

        Args:
            flows: numbers of the connections.
            limit: segments kept of each: the first and the last half of them.
            frames: frames that are kept whatever the limit.

        Returns:
            The segments of each connection in order of frames; nothing where the input cannot be read twice
            (standard input, a closed file, a file that is gone).
        """
        from pcapflow.second_pass import read_segments

        return read_segments(self.tables, self.inputs, self.reader, flows, limit, frozenset(frames), self.waypoints)

    def to_html(self) -> str:
        """The report: one self-contained HTML page."""
        from pcapflow.report.html import render
        from pcapflow.report.ladder import wanted_flows
        from pcapflow.report.view import build

        drawn = wanted_flows(self.tables, self.findings, self.config)
        evidence = {
            frame for anomaly in self.findings if anomaly.flow in drawn or anomaly.flow < 0 for frame in anomaly.frames
        }
        return render(build(self.tables, self.findings, self.config, self.segments(drawn, frames=evidence)))

    def to_json(self) -> str:
        """The capture, its figures and its anomalies as JSON; :mod:`pcapflow.export.json` describes the members."""
        from pcapflow.export.json import to_json

        return to_json(self)


def analyze(
    path: Input | Sequence[Input],
    *,
    reader: Engine = "auto",
    config: Config | None = None,
    progress: Progress | None = None,
    jobs: int | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> Analysis:
    """Reads a capture, follows both endpoints of every TCP connection, and applies the rules.

    Args:
        path: a path, ``"-"`` for standard input, a binary file, or a list of these: a ring of files, read in the
            order given as one capture.
        reader: ``native``, ``pyshark``, or ``auto``, which is native and falls back to pyshark for formats and link
            types that only Wireshark knows.
        config: thresholds; the defaults without.
        progress: is told now and then how far reading has come.
        jobs: processes that follow the connections, 1 or 2; see :func:`pcapflow.engine.run`.
        meanwhile: is called where this process would only wait for a second one, if there is one: the time to import
            what will be done with the result.

    Raises:
        CaptureError: the input cannot be read as a capture; what was cut off short is read as far as it goes.
    """
    from pcapflow.engine import run

    config = config or Config()
    inputs = _inputs(path)

    def prepare() -> None:
        importlib.import_module("pcapflow.anomalies.run")
        if meanwhile is not None:
            meanwhile()

    with _collector_paused():
        tables, waypoints = run(inputs, reader, config, progress, jobs, prepare)
        from pcapflow.anomalies.run import find_anomalies

        findings = find_anomalies(tables, config)
    return Analysis(tables, findings, config, inputs, reader, waypoints)


def track(
    path: Input | Sequence[Input],
    *,
    reader: Engine = "auto",
    config: Config | None = None,
    progress: Progress | None = None,
    jobs: int | None = None,
) -> Tables:
    """Reads a capture and follows its connections, without applying any rule; arguments as for :func:`analyze`."""
    from pcapflow.engine import run

    with _collector_paused():
        return run(_inputs(path), reader, config or Config(), progress, jobs)[0]


def _inputs(path: Input | Sequence[Input]) -> tuple[Input, ...]:
    if isinstance(path, (str, os.PathLike)) or hasattr(path, "read"):
        return (path,)  # type: ignore[return-value]
    inputs = tuple(path)
    if not inputs:
        raise ValueError("analyze() needs at least one capture")
    return inputs


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Stops the cyclic garbage collector: a loop that makes millions of objects in no cycle only pays for it."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
