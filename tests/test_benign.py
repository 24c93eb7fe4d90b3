"""Ordinary clients and servers: the analysis of what they do raises no alarm."""

from __future__ import annotations

import pytest

import pcapflow
from fixtures.benign.record import recordings
from fixtures.captures import BENIGN
from fixtures.recording.record import MAX_BYTES
from fixtures.recording.room import Recording
from pcapflow.anomalies.model import Severity

RECORDINGS = recordings()


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)
def test_nothing_above_info_is_told_of_ordinary_traffic(recording: Recording) -> None:
    analysis = pcapflow.analyze(recording.path, reader="native")

    alarms = [f"{row.code} {row.detail}" for row in analysis.findings if row.severity > Severity.INFO]
    alarms += [f"{row.pattern} {row.headline}" for row in analysis.diagnosis if row.severity > Severity.INFO]
    assert alarms == []
    # Quiet, and not for want of anything to say: whole connections were followed to their end.
    assert len(analysis.flows) >= 1
    assert set(analysis.flows["client_state"]) | set(analysis.flows["server_state"]) <= {
        "ESTABLISHED",
        "TIME_WAIT",
        "CLOSED",
    }
    assert not analysis.capture.undecoded


def test_the_recordings_are_all_there_and_small() -> None:
    assert {path.name for path in BENIGN.glob("*.pcap")} == {recording.path.name for recording in RECORDINGS}
    assert max(recording.path.stat().st_size for recording in RECORDINGS) <= MAX_BYTES


def test_every_kind_of_place_is_recorded() -> None:
    assert {(recording.interface, recording.family) for recording in RECORDINGS} >= {
        ("lo", 4),
        ("lo", 6),
        ("eth0", 4),
        ("eth0", 6),
        ("any", 4),
    }
