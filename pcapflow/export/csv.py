"""A directory of tables: all six, as CSV or Parquet, with the columns of the public data frames."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from pcapflow.errors import PcapflowError
from pcapflow.export.files import atomic_path, make_directory
from pcapflow.text.escape import printable

if TYPE_CHECKING:
    from pcapflow.export.frames import Frame
    from pcapflow.result import Result

TABLES: Final = ("flows", "transitions", "anomalies", "marks", "incidents", "hosts")

_WORDS: Final = ("frames", "anomalies", "hosts")
"""Columns of lists whose items hold no blank."""
_SENTENCES: Final = ("alternatives", "why", "against", "remedy")

Form = Literal["csv", "parquet"]


def write_tables(result: Result, directory: Path, form: Form = "csv") -> list[Path]:
    """Writes the tables into a directory, which is made if need be; :data:`TABLES` names them.

    In CSV times are in UTC with nanoseconds, a value that is absent is empty, and lists are joined by spaces, and
    those of sentences by semicolons.

    Returns:
        The files, in the order above.

    Raises:
        PcapflowError: Parquet is asked for and pyarrow is not installed.
        OutputError: the directory or a file in it cannot be written.
    """
    from pcapflow.export.frames import frames

    check_form(form)
    make_directory(directory)
    paths = table_paths(directory, form)
    for table, path in zip(frames(result).values(), paths, strict=True):
        frame = _shown(table) if form == "parquet" else _as_text(_shown(table))
        with atomic_path(path) as temporary:
            if form == "parquet":
                frame.to_parquet(temporary, engine="pyarrow", index=False)
            else:
                frame.to_csv(temporary, index=False, lineterminator="\n")
    return paths


def check_form(form: Form) -> None:
    """Makes sure that tables can be written in this form.

    Raises:
        PcapflowError: Parquet is asked for and pyarrow is not installed.
    """
    if form == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise PcapflowError("Parquet needs pyarrow: pip install 'pcapflow[parquet]'")


def table_paths(directory: Path, form: Form) -> list[Path]:
    """The files that :func:`write_tables` writes."""
    return [directory / f"{name}.{form}" for name in TABLES]


def _shown(frame: Frame) -> Frame:
    """The frame with escapes for what a file name put into a sentence and no encoding has."""
    sentences = [name for name in ("detail", "headline") if name in frame.columns]
    return frame.assign(**{name: frame[name].map(printable) for name in sentences})


def _as_text(frame: Frame) -> Frame:
    """The frame with times and lists as the text that CSV has for them."""
    texts: dict[str, Any] = {}
    for name in frame.columns:
        if name in _WORDS:
            texts[name] = [" ".join(map(str, items)) for items in frame[name]]
        elif name in _SENTENCES:
            texts[name] = frame[name].map("; ".join)
        elif str(frame[name].dtype).startswith("datetime64"):
            texts[name] = np.datetime_as_string(frame[name].to_numpy(dtype="datetime64[ns]"), unit="ns", timezone="UTC")
    return frame.assign(**texts)
