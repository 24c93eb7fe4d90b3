"""What an analysis of a capture comes to, in a few digests: to compare two builds of the engine without keeping tables.

``python -m tests.digests [--jobs N] CAPTURE...`` prints, as JSON, whether the engine is compiled, how many captures
were read by two processes, and the digests of each.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from pcapflow import PcapflowError, analyze
from pcapflow.config import Config
from pcapflow.engine import second_process
from pcapflow.reader.capture import no_checksum
from pcapflow.reader.open import Input, is_compiled


def digests(captures: Iterable[Path], jobs: int = 1) -> dict[str, dict[str, str]]:
    """By capture: a digest of each column of flows, transitions and marks, of the anomalies and of the capture's facts.

    Of a capture that cannot be read it is what the error says.
    """
    return {str(path): _digests(path, jobs) for path in captures}


def _digests(path: Path, jobs: int) -> dict[str, str]:
    try:
        analysis = analyze(path, reader="native", jobs=jobs)
    except PcapflowError as error:
        return {"error": f"{type(error).__name__}: {error}"}
    tables = analysis.tables
    found = {
        f"{table.name}.{name}": _digest(column.tolist())
        for table in (tables.flows, tables.transitions, tables.marks)
        for name, column in table.columns.items()
    }
    found["anomalies"] = _digest([dataclasses.asdict(finding) for finding in analysis.findings])
    facts = dataclasses.asdict(dataclasses.replace(tables.capture, compiled=False, checksum=no_checksum))
    found["capture"] = _digest(facts | {"checksum": tables.capture.sha256})
    return found


def _digest(values: object) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


class _Counted(second_process.SecondProcess):
    """Counts how often a second process is started."""

    started = 0

    def __init__(self, inputs: Sequence[Input], sizes: Sequence[int], config: Config) -> None:
        super().__init__(inputs, sizes, config)
        _Counted.started += 1


def _main(arguments: list[str]) -> None:
    jobs = 1
    if arguments[:1] == ["--jobs"]:
        jobs = int(arguments[1])
        del arguments[:2]
    second_process.SecondProcess = _Counted  # type: ignore[misc]
    found = digests(map(Path, arguments), jobs)
    json.dump({"compiled": is_compiled(), "in_two": _Counted.started, "digests": found}, sys.stdout)


if __name__ == "__main__":
    _main(sys.argv[1:])
