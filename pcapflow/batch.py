"""Many captures: found in directories, analysed by several processes, each on its own and with a report of its own.

One capture that cannot be read, or that brings a process down, is listed with its reason and stops none of the rest.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pcapflow.errors import CaptureError, PcapflowError
from pcapflow.export.files import CAPTURE_SUFFIXES, PACKING_SUFFIXES, stem, unique_stems, write_text
from pcapflow.outcome import Outcome
from pcapflow.text.phrases import path_text
from pcapflow.version import __version__

if TYPE_CHECKING:
    from pcapflow.config import Config
    from pcapflow.reader.open import Engine

SUMMARY_SCHEMA: Final = "pcapflow-batch-1"
RESERVED_STEMS: Final = ("index", "summary")

_MAGICS: Final = {
    bytes.fromhex(magic)
    for magic in ("a1b2c3d4", "d4c3b2a1", "a1b23c4d", "4d3cb2a1", "a1b2cd34", "34cdb2a1", "0a0d0d0a")
}


def find_captures(paths: Iterable[str], output: Path) -> tuple[list[str], list[CaptureError]]:
    """Finds the captures among files and in directories.

    A file named by the user is taken as it is. In a directory, with all directories in it, files count whose name ends
    like a capture's or that begin with the magic number of one; ``output`` is left out, and links to directories are
    not followed.

    Returns:
        The captures, sorted and without repetition, and an error for each path that does not exist.
    """
    found: set[str] = set()
    missing = []
    for path in paths:
        if os.path.isdir(path):  # noqa: PTH112 -- the text is kept as the user wrote it
            found.update(_captures_below(path, output))
        elif os.path.lexists(path):
            found.add(path)
        else:
            missing.append(CaptureError(path, "no such file"))
    return sorted(found, key=os.fsencode), missing


def analyse_all(
    captures: Sequence[str], output: Path, *, reader: Engine, config: Config, jobs: int
) -> Iterator[Outcome]:
    """Analyses captures and writes ``NAME.html`` and ``NAME.json`` of each into ``output``; yields them as they end."""
    # The names of the index and the summary are taken: a capture called index.pcap becomes index-2.html.
    stems = unique_stems([*RESERVED_STEMS, *captures])[len(RESERVED_STEMS) :]
    work = dict(zip(captures, stems, strict=True))
    if jobs == 1 or len(captures) < 2:
        for path, name in work.items():
            yield analyse_one(path, name, output, reader, config)
        return
    broken = []
    # Workers are started fresh: a fork would copy whatever threads numpy has made.
    with ProcessPoolExecutor(min(jobs, len(captures)), mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(analyse_one, path, name, output, reader, config): path for path, name in work.items()}
        for future in as_completed(futures):
            try:
                yield future.result()
            except BrokenProcessPool:
                broken.append(futures[future])
    # A process that dies takes the others' work with it: each gets a second chance, in a process of its own.
    for path in broken:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            try:
                yield pool.submit(analyse_one, path, work[path], output, reader, config).result()
            except BrokenProcessPool:
                reason = "the process analysing it was killed, perhaps for want of memory"
                yield Outcome(path, work[path], "", reason, {})


def analyse_one(path: str, name: str, output: Path, reader: Engine, config: Config) -> Outcome:
    """Analyses one capture and writes its report and JSON; whatever goes wrong is part of the outcome."""
    from pcapflow.analysis import analyze
    from pcapflow.export.json import document

    try:
        analysis = analyze(path, reader=reader, config=config, jobs=1)
        members = document(analysis)
        report = f"{name}.html"
        write_text(output / report, analysis.to_html())
        write_text(output / f"{name}.json", json.dumps(members, indent=2, ensure_ascii=False) + "\n")
    except CaptureError as error:
        return Outcome(path, name, "", error.reason, {})
    except (PcapflowError, OSError, MemoryError) as error:
        return Outcome(path, name, "", str(error) or type(error).__name__, {})
    except Exception as error:  # noqa: BLE001 -- a fault of ours in one capture must not cost the others their reports
        return Outcome(path, name, "", f"pcapflow failed, which is a fault in it: {error!r}", {})
    return Outcome(path, name, report, "", members)


def write_index(outcomes: Sequence[Outcome], output: Path) -> Path:
    """Writes ``index.html`` and ``summary.json`` into ``output``; returns the path of the page.

    The summary has ``schema`` (``pcapflow-batch-1``), ``version`` and ``captures``: of each ``path``, ``report`` and
    ``json`` (file names, null after an error), ``error`` (null without), ``severity`` (the worst, null without
    anomalies), ``flows``, ``severities`` (connections that anomalies stand for) and ``codes`` (likewise).
    """
    from pcapflow.report.index import render_index

    captures = [_summary(outcome) for outcome in outcomes]
    members = {"schema": SUMMARY_SCHEMA, "version": __version__, "captures": captures}
    write_text(output / "summary.json", json.dumps(members, indent=2, ensure_ascii=False) + "\n")
    page = output / "index.html"
    write_text(page, render_index(outcomes))
    return page


def _summary(outcome: Outcome) -> dict[str, object]:
    codes: dict[str, int] = {}
    for anomaly in outcome.anomalies:
        codes[anomaly["code"]] = codes.get(anomaly["code"], 0) + anomaly["count"]
    figures = outcome.document.get("summary", {})
    return {
        "path": outcome.name,
        "report": path_text(outcome.report) or None,
        "json": path_text(f"{outcome.stem}.json") if outcome.report else None,
        "error": outcome.error or None,
        "severity": outcome.severity or None,
        "flows": figures.get("flows", 0),
        "severities": figures.get("severities", {}),
        "codes": codes,
    }


def _captures_below(directory: str, output: Path) -> Iterator[str]:
    outside = output.resolve()
    for folder, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if Path(folder, name).resolve() != outside]
        for name in names:
            path = Path(folder, name)
            if path.is_file() and (_named_like_a_capture(name) or _begins_like_a_capture(path)):
                yield str(path)


def _named_like_a_capture(name: str) -> bool:
    lower = name.lower()
    return lower.endswith(CAPTURE_SUFFIXES) or (lower.endswith(PACKING_SUFFIXES) and stem(lower) != _unpacked(lower))


def _unpacked(name: str) -> str:
    return next((name[: -len(suffix)] for suffix in PACKING_SUFFIXES if name.endswith(suffix)), name)


def _begins_like_a_capture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) in _MAGICS
    except OSError:
        return False
