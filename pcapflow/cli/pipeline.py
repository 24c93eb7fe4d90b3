"""Runs the pipeline for a command, with a progress bar where somebody is there to see it."""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pcapflow.cli.console import tell
from pcapflow.config import Config, load_config

if TYPE_CHECKING:
    from pcapflow.analysis import Analysis
    from pcapflow.engine.run import Progress
    from pcapflow.reader.open import Engine, Input

SLOW_WHEN_INTERPRETED_BYTES: Final = 20_000_000


def configuration(path: Path | None) -> Config:
    """The thresholds of a file, or of those that are looked for where the command is run."""
    return load_config(path, search=Path.cwd())


def analysed(
    captures: Sequence[Input],
    reader: Engine,
    config: Config,
    quiet: bool,
    processes: int | None = None,
    outputs: Sequence[str] = (),
    *,
    payload: bool = False,
) -> Analysis:
    """Analyses captures as one.

    Args:
        captures, reader, config, processes, payload: as for :func:`pcapflow.analysis.analyze`.
        quiet: whether nothing is told of the run.
        outputs: modules that will be needed then, to be imported in spare time.
    """
    from pcapflow.analysis import analyze as pipeline
    from pcapflow.engine.run import total_bytes
    from pcapflow.reader.open import is_compiled

    if not quiet and not is_compiled() and total_bytes(captures) > SLOW_WHEN_INTERPRETED_BYTES:
        tell(
            "the engine is not compiled and many times slower for it; "
            "a C compiler and `pip install --force-reinstall --no-binary pcapflow pcapflow` mend that"
        )
    with _progress(quiet) as progress:
        return pipeline(
            list(captures),
            reader=reader,
            config=config,
            progress=progress,
            jobs=processes,
            meanwhile=functools.partial(_import, outputs),
            payload=payload,
        )


def _import(modules: Sequence[str]) -> None:
    for module in modules:
        importlib.import_module(module)


@contextlib.contextmanager
def _progress(quiet: bool) -> Iterator[Progress | None]:
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from pcapflow.cli.progress import Bar

    with Bar(sys.stderr) as bar:
        yield bar.update
