"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from pcapflow.gate import Gate

_F = TypeVar("_F", bound=Callable[..., Any])


def reader_option(command: _F) -> _F:
    """``--reader``."""
    return click.option(
        "--reader",
        type=click.Choice(["auto", "native", "pyshark"]),
        default="auto",
        show_default=True,
        help="Engine that decodes the capture; auto is native, and pyshark (tshark) for what only that knows.",
    )(command)


def config_option(command: _F) -> _F:
    """``--config``, as ``config_file``."""
    return click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Thresholds in TOML; without it pcapflow.toml or [tool.pcapflow] of pyproject.toml, where it is run.",
    )(command)


def _gate(ctx: click.Context, param: click.Parameter, value: str | None) -> Gate | None:
    if value is None:
        return None
    from pcapflow.gate import Gate

    try:
        return Gate.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def fail_on_option(command: _F) -> _F:
    """``--fail-on``, as ``gate``."""
    return click.option(
        "--fail-on",
        "gate",
        callback=_gate,
        metavar="SEVERITY|CODE[,...]",
        help="Exit with status 1 when there is an incident or anomaly this severe or worse (info, low, medium, high), "
        "or one with this code or name. Those of the capture itself (PI9xx, PF9xx) count by code alone.",
    )(command)


def quiet_option(command: _F) -> _F:
    """``--quiet``."""
    return click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors and what was asked for.")(command)
