"""The command line as a program: its commands, and the exit status of whatever happens.

Each command has a file beside this one. :mod:`pcapflow.cli.statuses` lists the statuses; README.md tells users.
"""

from __future__ import annotations

import atexit
import errno
import gc
import importlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

import click

from pcapflow.batch.stop import Terminated
from pcapflow.cli.console import STDOUT, complain, to_stderr
from pcapflow.cli.statuses import (
    EXIT_FAULT,
    EXIT_INTERRUPTED,
    EXIT_OUTPUT,
    EXIT_TERMINATED,
    EXIT_UNREADABLE,
    EXIT_USAGE,
)
from pcapflow.errors import OUT_OF_MEMORY, ConfigError, OutputError, PcapflowError, fault_line
from pcapflow.version import __version__

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What a system says of standard output that takes no more."""


COMMANDS: Final = ("analyze", "batch", "rules", "show", "states")
"""Each has a module of its name beside this one, which holds a click command of that name."""


class _Commands(click.Group):
    """Imports the command that is run, and no other: start-up is most of the time that a small capture takes."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- as click calls it
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 -- likewise
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"pcapflow.cli.{cmd_name}"), cmd_name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="pcapflow %(version)s")
def cli() -> None:
    """Says why TCP connections in a packet capture did not end as they should."""


def main() -> NoReturn:
    """Runs the command line and ends the process with its status."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            # It was closed when the program was started.
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 -- until the end
        elif isinstance(stream, io.TextIOWrapper):
            # A terminal need not know every character; what is written elsewhere is UTF-8, as all files are.
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace", newline="\n")
    # A command makes many objects and few cycles: by default the collector of those takes a twentieth of a short run.
    gc.set_threshold(100_000, 10, 10)
    # numpy's linear algebra starts a thread for each processor when it is imported, and nothing here uses it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _leave(run(sys.argv[1:]))


def _leave(status: int) -> NoReturn:
    """Ends the process without taking apart what it made, which takes a sixth of a short run."""
    # Whatever was written to standard output was flushed there, and what failed was said.
    atexit._run_exitfuncs()  # noqa: SLF001 -- as the interpreter does
    os._exit(status)


def run(arguments: Sequence[str]) -> int:
    """Runs one command; returns its exit status and raises nothing that an input can cause."""
    try:
        result = cli.main(args=list(arguments), prog_name="pcapflow", standalone_mode=False)
    except click.ClickException as error:
        text = io.StringIO()
        error.show(text)
        for line in text.getvalue().rstrip("\n").split("\n"):
            to_stderr(line)
        return EXIT_USAGE
    except ConfigError as error:
        complain(str(error))
        return EXIT_USAGE
    except OutputError as error:
        complain(str(error))
        return EXIT_OUTPUT
    except PcapflowError as error:
        complain(str(error))
        return EXIT_UNREADABLE
    except (KeyboardInterrupt, click.Abort) as error:
        if isinstance(error.__cause__, EOFError):
            # click takes it for the end of what somebody types, and nothing here asks.
            complain(fault_line(error.__cause__))
            return EXIT_FAULT
        complain("interrupted")
        return EXIT_INTERRUPTED
    except Terminated:
        complain("terminated")
        return EXIT_TERMINATED
    except MemoryError:
        complain(OUT_OF_MEMORY)
        return EXIT_FAULT
    except SystemExit:
        # click ends the process so where nobody reads its help to the end.
        return 0
    except Exception as error:  # noqa: BLE001 -- whatever it is, its status must not be the gate's
        if isinstance(error, OSError) and error.filename is None and error.errno in _FULL:
            # Help and version, which click prints itself.
            complain(str(OutputError.of(STDOUT, error)))
            return EXIT_OUTPUT
        complain(fault_line(error))
        return EXIT_FAULT
    return result if isinstance(result, int) else 0
