"""What connections said, as observations of an incident."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pcapflow.anomalies.cite import in_frames, proof
from pcapflow.anomalies.model import IntArray
from pcapflow.diagnosis.case import Case
from pcapflow.diagnosis.model import Observation
from pcapflow.payload.said import Said
from pcapflow.tcp.states import SERVER
from pcapflow.text.phrases import counted

_LOOKED_AT: Final = 200
"""Connections of an incident that are looked up: no more are ever asked what they said."""
_MOST: Final = 2
"""Different words that are told."""


def exchanges(case: Case, flows: IntArray) -> Iterator[Observation]:
    """What was asked and answered on these connections, the most frequent first; nothing where nobody asked."""
    yield from _told(_by_text(case, flows, errors=False))


def errors(case: Case, flows: IntArray) -> Iterator[Observation]:
    """What the server said was wrong on these connections, the most frequent first."""
    yield from _told(_by_text(case, flows, errors=True))


def _by_text(case: Case, flows: IntArray, *, errors: bool) -> dict[str, list[Said]]:
    found: dict[str, list[Said]] = {}
    for flow in flows[:_LOOKED_AT].tolist():
        said = case.payload.said.get(flow)
        if said is not None and (not errors or (said.error_by == SERVER and said.error_frame)):
            text = f"{said.error_code} {said.error}".strip() if errors else said.what
            if text:
                found.setdefault(text, []).append(said)
    return found


def _told(found: dict[str, list[Said]]) -> Iterator[Observation]:
    for text, all_said in sorted(found.items(), key=lambda item: -len(item[1]))[:_MOST]:
        frames = proof(frame for said in all_said[:_MOST] for frame in said.frames)
        yield Observation(f"{counted(len(all_said), 'connection')} said `{text}`{in_frames(frames)}", frames)
