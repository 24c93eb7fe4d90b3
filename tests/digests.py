"""What an analysis of a capture comes to, in a few digests: to compare two builds of the engine without keeping tables.

``python -m tests.digests CAPTURE...`` prints, as JSON, whether the engine is compiled and the digests of each capture.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from pcapflow import PcapflowError, analyze
from pcapflow.capture import no_checksum
from pcapflow.reader.files import is_compiled


def digests(captures: Iterable[Path]) -> dict[str, dict[str, str]]:
    """By capture: a digest of each column of flows, transitions and marks, of the anomalies and of the capture's facts.

    Of a capture that cannot be read it is what the error says.
    """
    return {str(path): _digests(path) for path in captures}


def _digests(path: Path) -> dict[str, str]:
    try:
        analysis = analyze(path, reader="native")
    except PcapflowError as error:
        return {"error": f"{type(error).__name__}: {error}"}
    tables = analysis.tables
    found = {
        f"{table.name}.{name}": _digest(column.tolist())
        for table in (tables.flows, tables.transitions, tables.marks)
        for name, column in table.columns.items()
    }
    found["anomalies"] = _digest([dataclasses.asdict(finding) for finding in analysis.findings])
    facts = dataclasses.replace(tables.capture, compiled=False, checksum=no_checksum)
    found["capture"] = _digest([dataclasses.asdict(facts), tables.capture.sha256])
    return found


def _digest(values: object) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


if __name__ == "__main__":
    json.dump({"compiled": is_compiled(), "digests": digests(map(Path, sys.argv[1:]))}, sys.stdout)
