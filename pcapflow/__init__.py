"""Why did this TCP connection not end as it should? Endpoint states, verdicts and a report, from a packet capture.

    >>> import pcapflow
    >>> analysis = pcapflow.analyze("capture.pcap")
    >>> analysis.anomalies[["code", "name", "flow", "detail"]]

Importing the package costs next to nothing; numpy comes with the first analysis and pandas with the first data frame.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from pcapflow.version import __version__

if TYPE_CHECKING:
    from pcapflow.analysis import Analysis, analyze, track
    from pcapflow.config import Config, load_config
    from pcapflow.errors import CaptureError, ConfigError, OutputError, PcapflowError

__all__ = [
    "Analysis",
    "CaptureError",
    "Config",
    "ConfigError",
    "OutputError",
    "PcapflowError",
    "__version__",
    "analyze",
    "load_config",
    "track",
]

_HOMES: Final = {
    "Analysis": "pcapflow.analysis",
    "CaptureError": "pcapflow.errors",
    "Config": "pcapflow.config",
    "ConfigError": "pcapflow.errors",
    "OutputError": "pcapflow.errors",
    "PcapflowError": "pcapflow.errors",
    "analyze": "pcapflow.analysis",
    "load_config": "pcapflow.config",
    "track": "pcapflow.analysis",
}


def __getattr__(name: str) -> Any:
    """Fetches a public name from its module when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
