"""What could not be decoded is counted."""

from __future__ import annotations

from pcapflow.reader.decode.decoder import MAX_REASONS, Decoder


def test_reasons_are_bounded_and_nothing_is_lost_from_the_sum() -> None:
    decoder = Decoder()
    for number in range(10 * MAX_REASONS):
        decoder.frames += 1
        decoder.skip("layer", f"reason {number}")
    assert len(decoder.skips) <= MAX_REASONS + 1
    assert sum(count for count, _ in decoder.skips.values()) == 10 * MAX_REASONS
