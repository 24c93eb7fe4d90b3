"""Wireshark's display filters for what is shown, so that a reader can look at the same packets there."""

from __future__ import annotations

from collections.abc import Sequence


def of_streams(streams: Sequence[int]) -> str:
    """The filter for connections by Wireshark's own numbers of them, e.g. ``tcp.stream == 4``; "" without any."""
    return _one_of("tcp.stream", streams)


def of_frames(frames: Sequence[int]) -> str:
    """The filter for single frames, e.g. ``frame.number in {3,7}``; "" without any."""
    return _one_of("frame.number", frames)


def _one_of(field: str, values: Sequence[int]) -> str:
    if not values:
        return ""
    return f"{field} == {values[0]}" if len(values) == 1 else f"{field} in {{{','.join(map(str, values))}}}"
