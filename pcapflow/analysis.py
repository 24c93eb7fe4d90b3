"""The whole pipeline and the Python API: a capture in, tables, anomalies, incidents and a report out.

``analyze`` reads the capture, follows its connections, applies the rules, and diagnoses what they found; what it
returns makes data frames and the report when they are asked for, so that a caller pays only for what it uses.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from pcapflow.config import Config
from pcapflow.reader.members import in_order_of_time
from pcapflow.reader.open import Engine, Input
from pcapflow.result import Result

if TYPE_CHECKING:
    from pcapflow.engine.run import Progress
    from pcapflow.export.frames import Frame
    from pcapflow.tables.table import Tables


class Analysis(Result):
    """One capture, analysed; data frames and renderings of it are made when they are asked for."""

    @functools.cached_property
    def flows(self) -> Frame:
        """A row per connection; columns in :func:`pcapflow.export.frames.flows_frame`."""
        from pcapflow.export.frames import flows_frame

        return flows_frame(self.tables, self.payload)

    @functools.cached_property
    def transitions(self) -> Frame:
        """A row per change of state; columns in :func:`pcapflow.export.frames.transitions_frame`."""
        from pcapflow.export.frames import transitions_frame

        return transitions_frame(self.tables)

    @functools.cached_property
    def marks(self) -> Frame:
        """A row per noteworthy frame; columns in :func:`pcapflow.export.frames.marks_frame`."""
        from pcapflow.export.frames import marks_frame

        return marks_frame(self.tables)

    @functools.cached_property
    def anomalies(self) -> Frame:
        """A row per anomaly, worst first; columns in :func:`pcapflow.export.frames.anomalies_frame`."""
        from pcapflow.export.frames import anomalies_frame

        return anomalies_frame(self.findings)

    @functools.cached_property
    def incidents(self) -> Frame:
        """A row per incident, worst first; columns in :func:`pcapflow.export.frames.incidents_frame`."""
        from pcapflow.export.frames import incidents_frame

        return incidents_frame(self.diagnosis)

    @functools.cached_property
    def hosts(self) -> Frame:
        """A row per host, the busiest first; columns in :func:`pcapflow.export.frames.hosts_frame`."""
        from pcapflow.export.frames import hosts_frame

        return hosts_frame(self.tables, self.config)

    def to_html(self) -> str:
        """The report: one self-contained HTML page."""
        from pcapflow.report.html import to_html

        return to_html(self)

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
    payload: bool = False,
) -> Analysis:
    """Reads a capture, follows both endpoints of every TCP connection, applies the rules, and diagnoses.

    Args:
        path: a path, ``"-"`` for standard input, a binary file, or a list of these: a ring of files, read in
            order of time as one capture.
        reader: ``native``, ``pyshark``, or ``auto``, which is native and falls back to pyshark for formats and link
            types that only Wireshark knows.
        config: thresholds; the defaults without.
        progress: is told now and then how far reading has come.
        jobs: processes that follow the connections, 1 or 2; see :func:`pcapflow.engine.run`.
        meanwhile: is called where this process would only wait for a second one, if there is one: the time to import
            what will be done with the result.
        payload: whether tshark, where it is installed, dissects a few frames for what connections said
            (:class:`~pcapflow.payload.said.Payload`); it takes a second.

    Raises:
        CaptureError: the input cannot be read as a capture; what was cut off short is read as far as it goes.
    """
    from pcapflow.engine.run import run

    config = config or Config()
    inputs = _inputs(path, reader)

    def prepare() -> None:
        importlib.import_module("pcapflow.anomalies.run")
        importlib.import_module("pcapflow.diagnosis.run").catalogue()
        if meanwhile is not None:
            meanwhile()

    with _collector_paused():
        tables, waypoints = run(inputs, reader, config, progress, jobs, prepare)
        from pcapflow.anomalies.run import find_anomalies
        from pcapflow.diagnosis.run import diagnose

        findings = find_anomalies(tables, config)
        found = Analysis(tables, findings, config, inputs, reader, waypoints)
        if payload:
            found.ask()
        found.diagnosis = diagnose(tables, findings, config, found.payload)
    return found


def track(
    path: Input | Sequence[Input],
    *,
    reader: Engine = "auto",
    config: Config | None = None,
    progress: Progress | None = None,
    jobs: int | None = None,
) -> Tables:
    """Reads a capture and follows its connections, without applying any rule; arguments as for :func:`analyze`."""
    from pcapflow.engine.run import run

    with _collector_paused():
        return run(_inputs(path, reader), reader, config or Config(), progress, jobs)[0]


def _inputs(path: Input | Sequence[Input], reader: Engine) -> tuple[Input, ...]:
    """What is to be read, in order of time.

    Raises:
        CaptureError: one of several files cannot be read, or is named twice.
    """
    if isinstance(path, (str, os.PathLike)) or hasattr(path, "read"):
        return (path,)  # type: ignore[return-value]
    inputs = tuple(path)
    if not inputs:
        raise ValueError("analyze() needs at least one capture")
    return in_order_of_time(inputs, reader)


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
