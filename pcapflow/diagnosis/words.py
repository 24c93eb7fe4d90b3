"""What connections said, as evidence of an incident."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pcapflow.anomalies.cite import in_frames
from pcapflow.diagnosis.model import Observation
from pcapflow.payload.said import Payload, Said
from pcapflow.text.phrases import counted, number

_MOST_TEXTS: Final = 2
_MOST_FRAMES: Final = 6


def said_on(payload: Payload, flows: Iterable[int]) -> list[Observation]:
    """What was said most often on these connections: errors, or else what was asked.

    Args:
        payload: what connections said, as far as somebody asked.
        flows: the connections of an incident.
    """
    heard = [said for flow in flows if (said := payload.said.get(flow)) and said.frames]
    errors = [said for said in heard if said.error]
    chosen = errors or heard
    by_text: dict[str, list[Said]] = {}
    for said in chosen:
        by_text.setdefault(said.what, []).append(said)
    often = sorted(by_text.items(), key=lambda item: -len(item[1]))[:_MOST_TEXTS]
    return [_observation(text, members, len(heard), is_error=bool(errors)) for text, members in often]


def _observation(text: str, members: list[Said], total: int, *, is_error: bool) -> Observation:
    frames = tuple(
        sorted(said.error_frame or said.answer_frame or said.request_frame for said in members)[:_MOST_FRAMES]
    )
    whole = {1: "the one connection", 2: "both connections"}.get(total, f"all {number(total)} connections")
    share = whole if len(members) == total else f"{number(len(members))} of the {counted(total, 'connection')}"
    what = "the error that was sent" if is_error else "what was said"
    return Observation(f"{what} on {share} whose payload was read: {text}{in_frames(frames)}", frames)
