"""What all tests share: which engine they run, and an environment in which child processes run the same one."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import pcapflow
from pcapflow.reader.open import is_compiled

# A test that starts `python -m pcapflow` elsewhere gets the package that is tested here, installed or not.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(Path(pcapflow.__file__).resolve().parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
)

# Hypothesis times every example; on a busy machine a pause of the scheduler's would be a failure.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


# Benchmarks measure by what Unix says of its processes.
collect_ignore = [] if importlib.util.find_spec("resource") else ["test_benchmarks.py"]


def pytest_report_header() -> list[str]:
    """Says which engine is tested, so that no run can be mistaken for the other, and what is left out."""
    engine = "compiled" if is_compiled() else "interpreted"
    left_out = [f"not on this system: {name}" for name in collect_ignore]
    return [f"pcapflow: {engine} engine, from {Path(pcapflow.__file__).parent}", *left_out]


@pytest.fixture(scope="session")
def compiled() -> bool:
    """Whether reader and tracker run as compiled modules."""
    return is_compiled()


@pytest.fixture(scope="session")
def tshark() -> str:
    """The path of tshark; skips where it is not installed."""
    path = shutil.which("tshark")
    if path is None:
        pytest.skip("tshark is not installed")
    return path
