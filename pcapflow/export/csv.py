"""A directory of tables: all four, as CSV or Parquet, with the columns of the public data frames."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pcapflow.errors import PcapflowError
from pcapflow.export.files import atomic_path

if TYPE_CHECKING:
    from pcapflow.export.frames import Frame
    from pcapflow.result import Result

Form = Literal["csv", "parquet"]


def write_tables(result: Result, directory: Path, form: Form = "csv") -> list[Path]:
    """Writes ``flows``, ``transitions``, ``anomalies`` and ``marks`` into a directory, which is made if need be.

    In CSV times are in UTC with nanoseconds, a value that is absent is empty, and lists are joined by spaces.

    Returns:
        The files, in the order above.

    Raises:
        PcapflowError: Parquet is asked for and pyarrow is not installed.
        OSError: the directory cannot be written.
    """
    if form == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise PcapflowError("Parquet needs pyarrow: pip install 'pcapflow[parquet]'")
    from pcapflow.export.frames import frames

    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, frame in frames(result).items():
        path = directory / f"{name}.{form}"
        with atomic_path(path) as temporary:
            if form == "parquet":
                frame.to_parquet(temporary, engine="pyarrow", index=False)
            else:
                _as_text(frame).to_csv(temporary, index=False, lineterminator="\n")
        paths.append(path)
    return paths


def _as_text(frame: Frame) -> Frame:
    """The frame with times and lists as the text that CSV has for them."""
    texts: dict[str, Any] = {}
    for name in frame.columns:
        if name == "frames":
            texts[name] = [" ".join(map(str, frames)) for frames in frame[name]]
        elif name == "alternatives":
            texts[name] = frame[name].map("; ".join)
        elif str(frame[name].dtype).startswith("datetime64"):
            texts[name] = np.datetime_as_string(frame[name].to_numpy(dtype="datetime64[ns]"), unit="ns", timezone="UTC")
    return frame.assign(**texts)
