"""PI406 loss."""

from __future__ import annotations

import pytest

from pcapflow.anomalies.model import Severity
from tests.anomalies.cases import fires, spares
from tests.diagnosis.cases import OPEN, Connection, incidents, only, told
from tests.ladders import ISNS


def download(segments: int, lost: range) -> str:
    """A download of so many segments, of which some are sent again 220 ms after they were sent first."""
    rungs = [OPEN, "3 > P. 1:101 ack 1", "4 < . 1:1 ack 101"]
    ms = 10.0
    for number in range(segments):
        start = 1 + 1000 * number
        rungs.append(f"{ms:g} < . {start}:{start + 1000} ack 101 ")
        if number in lost:
            ms += 220
            rungs.append(f"{ms:g} < . {start}:{start + 1000} ack 101 ")
        rungs.append(f"{ms + 1:g} > . 101:101 ack {start + 1000}")
        ms += 5
    return "\n".join(rungs).replace("0 > S   0:0", "0 > S 0:0 mss 1000").replace("1 < S.  0:0", "1 < S. 0:0 mss 1000")


@fires("PI406")
@pytest.mark.parametrize("isn", ISNS.values(), ids=ISNS)
def test_a_share_of_lost_segments_is_told_with_its_direction_and_interval(isn: tuple[int, int]) -> None:
    found = incidents([Connection(download(80, range(0, 80, 5)))], isn=isn)

    loss = only(found, "loss")
    assert loss.headline.startswith("The path between 192.0.2.1 and 198.51.100.2 loses packets: 16.7% of the segments")
    assert "from 198.51.100.2 to 192.0.2.1 (16 of 96)" in loss.headline
    assert loss.blame.kind == "path"
    assert loss.severity is Severity.MEDIUM
    assert any("95% interval" in seen.text for seen in loss.why)


@spares("PI406")
def test_one_lost_segment_is_no_lossy_path() -> None:
    assert not told(incidents([Connection(download(80, range(40, 41)))]), "loss")


@spares("PI406")
def test_a_transfer_without_loss_is_quiet() -> None:
    assert incidents([Connection(download(80, range(0)))]) == []
