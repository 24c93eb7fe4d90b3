"""Many captures: found in directories, analysed by several processes, each on its own and with a report of its own.

One capture that cannot be read, or that brings a process down, is listed with its reason and stops none of the rest.
"""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pcapflow.batch.stop import Stop
from pcapflow.batch.workers import Lost, run_in_workers
from pcapflow.errors import OUT_OF_MEMORY, CaptureError, OutputError, PcapflowError, fault_line
from pcapflow.export.files import atomic_path, remove_abandoned, write_text
from pcapflow.export.names import is_capture_name, output_stems
from pcapflow.outcome import Outcome
from pcapflow.report.templating import environment
from pcapflow.text.escape import path_text, printable
from pcapflow.version import __version__

if TYPE_CHECKING:
    from pcapflow.config import Config
    from pcapflow.reader.open import Engine

SUMMARY_SCHEMA: Final = "pcapflow-batch-1"
RESERVED_STEMS: Final = ("index", "summary")
_KILLED: Final = "the process analysing it was killed, perhaps for want of memory"
_KINDS: Final = {stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket"}


@dataclasses.dataclass(frozen=True, slots=True)
class _Job:
    """What is the same for every capture of a batch; calling it with the path and the stem of one analyses that."""

    output: Path
    reader: Engine
    config: Config
    payload: bool

    def __call__(self, task: tuple[str, str], before_writing: Callable[[], object]) -> Outcome:
        return analyse_one(
            *task, self.output, self.reader, self.config, payload=self.payload, before_writing=before_writing
        )


def find_captures(paths: Iterable[str], output: Path) -> tuple[list[str], list[CaptureError]]:
    """Finds the captures among files and in directories.

    A file named by the user is taken as it is. In a directory, with all directories in it, files count whose name ends
    like a capture's or that begin with the magic number of one; ``output`` is left out, and links to directories are
    not followed. Pipes, devices and sockets are never opened: a batch would wait for them for ever.

    Returns:
        The captures, sorted and without repetition, and an error for each path that does not exist or is no file.
    """
    found: set[str] = set()
    errors: dict[str, CaptureError] = {}
    for path in paths:
        try:
            mode = os.stat(path).st_mode  # noqa: PTH116 -- the text is kept as the user wrote it
        except OSError as error:
            errors[path] = CaptureError.of(path, error)
            continue
        if stat.S_ISDIR(mode):
            found.update(_captures_below(path, output))
        elif stat.S_ISREG(mode):
            found.add(path)
        else:
            errors[path] = CaptureError(path, f"is a {_KINDS.get(stat.S_IFMT(mode), 'device')}; batch reads files")
    return sorted(found, key=os.fsencode), list(errors.values())


def stems_of(captures: Iterable[str], others: Sequence[Path] = ()) -> dict[str, str]:
    """What the names of each capture's report and JSON begin with, by path; ``others`` will lie beside them."""
    return output_stems(captures, [*RESERVED_STEMS, *(path.stem for path in others)])


def outputs_of(stems: Iterable[str], output: Path) -> Iterator[Path]:
    """The files that a batch writes into ``output``."""
    for name in (*RESERVED_STEMS, *stems):
        yield output / f"{name}.html"
        yield output / f"{name}.json"


def analyse_all(
    captures: Sequence[str],
    output: Path,
    *,
    reader: Engine,
    config: Config,
    jobs: int,
    stop: Stop | None = None,
    others: Sequence[Path] = (),
    say: Callable[[str], object] | None = None,
    payload: bool = False,
) -> Iterator[Outcome]:
    """Analyses captures and writes ``STEM.html`` and ``STEM.json`` of each into ``output``; yields them as they end.

    Other processes do it, one where there is one capture: when ``stop`` notes a signal they are ended at once, but for
    those that write already, and no more than what is written is yielded.

    Args:
        captures: their paths.
        output: a directory that exists.
        reader: see :func:`pcapflow.analysis.analyze`.
        config: thresholds.
        jobs: processes.
        stop: notes the signals; without it Ctrl-C raises as it does everywhere.
        others: files that will lie beside the reports; no capture's get their names.
        say: is told in a line where there are fewer processes than there might be, and why.
        payload: see :func:`pcapflow.analysis.analyze`.
    """
    stems = stems_of(captures, others)
    job = _Job(output, reader, config, payload)
    remove_abandoned(output)
    try:
        for (path, name), outcome in run_in_workers(job, stems.items(), jobs, stop or Stop(), environment, say):
            yield Outcome(path, name, "", _KILLED, {}) if isinstance(outcome, Lost) else outcome
    finally:
        # Of the processes that were ended while they wrote.
        remove_abandoned(output)


def analyse_one(
    path: str,
    name: str,
    output: Path,
    reader: Engine,
    config: Config,
    *,
    payload: bool = False,
    before_writing: Callable[[], object] | None = None,
) -> Outcome:
    """Analyses one capture and writes its report and JSON; whatever goes wrong is part of the outcome.

    Args:
        path, name: the capture, and what the names of its outputs begin with.
        output, reader, config, payload: see :func:`analyse_all`.
        before_writing: is called when both outputs are made and nothing is written; nothing will be if it raises.
    """
    try:
        from pcapflow.analysis import analyze
        from pcapflow.export.json import document

        analysis = analyze(path, reader=reader, config=config, jobs=1, payload=payload)
        members = document(analysis)
        page, data = analysis.to_html(), _json(members)
        if before_writing is not None:
            before_writing()
        _write_both(output / name, page, data)
    except CaptureError as error:
        return Outcome(path, name, "", error.reason, {})
    except OutputError as error:
        return Outcome(path, name, "", str(error), {}, is_unwritten=True)
    except PcapflowError as error:
        return Outcome(path, name, "", str(error), {})
    except MemoryError:
        return Outcome(path, name, "", OUT_OF_MEMORY, {})
    except Exception as error:  # noqa: BLE001 -- a fault of ours in one capture must not cost the others their reports
        return Outcome(path, name, "", fault_line(error), {})
    return Outcome(path, name, f"{name}.html", "", members)


def write_index(outcomes: Sequence[Outcome], output: Path, left_out: Sequence[str] = ()) -> Path:
    r"""Writes ``index.html`` and ``summary.json`` into ``output``; returns the path of the page.

    The summary has ``schema`` (``pcapflow-batch-1``), ``version``, ``captures`` and ``left_out`` (paths of those that
    were not analysed because the batch was interrupted). Of each capture it has ``path``, ``report`` and ``json`` (file
    names, null after an error), ``error`` (null without), ``severity`` (the worst, null without anomalies), ``flows``,
    ``severities`` (connections that anomalies stand for) and ``codes`` (likewise). In paths and errors ``\xff`` is a
    byte that is not UTF-8.

    Raises:
        OutputError: one of them cannot be written.
    """
    from pcapflow.report.index import render_index

    members = {
        "schema": SUMMARY_SCHEMA,
        "version": __version__,
        "captures": [_summary(outcome) for outcome in outcomes],
        "left_out": [path_text(path) for path in left_out],
    }
    write_text(output / "summary.json", _json(members))
    page = output / "index.html"
    write_text(page, render_index(outcomes, left_out))
    return page


def _json(members: Mapping[str, object]) -> str:
    return json.dumps(members, indent=2, ensure_ascii=False) + "\n"


def _write_both(base: Path, report: str, document: str) -> None:
    """Writes ``BASE.html`` and ``BASE.json``: both appear when both are whole, so that one is not left alone."""
    page, data = (base.with_name(f"{base.name}.{suffix}") for suffix in ("html", "json"))
    with atomic_path(data) as temporary_data:
        temporary_data.write_text(document, encoding="utf-8", newline="\n")
        with atomic_path(page) as temporary_page:
            temporary_page.write_text(report, encoding="utf-8", newline="\n")


def _summary(outcome: Outcome) -> dict[str, object]:
    codes: dict[str, int] = {}
    for anomaly in outcome.anomalies:
        codes[anomaly["code"]] = codes.get(anomaly["code"], 0) + anomaly["count"]
    figures = outcome.document.get("summary", {})
    incidents = [
        {name: incident[name] for name in ("code", "pattern", "severity", "headline")} for incident in outcome.incidents
    ]
    return {
        "path": outcome.name,
        "report": path_text(outcome.report) or None,
        "json": path_text(f"{outcome.stem}.json") if outcome.report else None,
        "error": printable(outcome.error) or None,
        "severity": outcome.severity or None,
        "flows": figures.get("flows", 0),
        "severities": figures.get("severities", {}),
        "codes": codes,
        "incidents": incidents,
    }


def _captures_below(directory: str, output: Path) -> Iterator[str]:
    outside = output.resolve()
    for folder, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if Path(folder, name).resolve() != outside]
        for name in names:
            path = Path(folder, name)
            if path.is_file() and (is_capture_name(name) or _begins_like_a_capture(path)):
                yield str(path)


def _begins_like_a_capture(path: Path) -> bool:
    # They come late: few names do not tell.
    from pcapflow.reader.pcap import is_pcap
    from pcapflow.reader.pcapng import is_pcapng

    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError:
        return False
    return is_pcap(head) or is_pcapng(head)
