"""Frames as evidence: which of them a finding cites, and how its sentence names them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pcapflow.anomalies.model import MAX_FRAMES


def in_frame(frame: int) -> str:
    """`` (frame 812)``, or nothing where no frame is known."""
    return f" (frame {frame})" if frame > 0 else ""


def in_frames(frames: Sequence[int]) -> str:
    """`` (frames 3, 5 and 9)``; of more than four, the first three and the last."""
    if len(frames) < 2:
        return in_frame(frames[0]) if frames else ""
    if len(frames) > 4:
        return f" (frames {', '.join(map(str, frames[:3]))} ... {frames[-1]})"
    return f" (frames {', '.join(map(str, frames[:-1]))} and {frames[-1]})"


def proof(frames: Iterable[int]) -> tuple[int, ...]:
    """Frames as evidence: in order, each once, those that exist; of too many, the first ones and the last."""
    known = sorted({int(frame) for frame in frames if frame > 0})
    return tuple(known if len(known) <= MAX_FRAMES else [*known[: MAX_FRAMES - 1], known[-1]])
