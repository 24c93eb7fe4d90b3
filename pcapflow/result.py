"""What a run over one capture came to: tables, anomalies, incidents, and what a second pass over it needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

from pcapflow.payload.said import NOTHING, Payload
from pcapflow.reader.waypoints import Waypoints

# Types only: numpy may start threads when it is imported, and a process that has any cannot be forked for the engine.
if TYPE_CHECKING:
    from pcapflow.anomalies.model import Anomaly
    from pcapflow.config import Config
    from pcapflow.diagnosis.model import Incident
    from pcapflow.reader.capture import Capture
    from pcapflow.reader.open import Engine, Input
    from pcapflow.tables.segments import Segment
    from pcapflow.tables.table import Tables

SEGMENTS_PER_FLOW: Final = 400


@dataclasses.dataclass
class Result:
    """One capture, analysed.

    Attributes:
        tables: flows, transitions and marks as typed columns, and the capture's metadata.
        findings: the anomalies, worst first.
        config: the thresholds that were used.
        inputs: what was read; a second pass over it draws the ladders.
        reader: the engine that was asked for.
        waypoints: where a second pass can go on without reading what lies before.
        payload: what connections said; nothing where nobody asked.
        diagnosis: the incidents, worst first: the causes behind the anomalies.
    """

    tables: Tables
    findings: list[Anomaly]
    config: Config
    inputs: tuple[Input, ...]
    reader: Engine = "auto"
    waypoints: Waypoints = dataclasses.field(default_factory=Waypoints)
    payload: Payload = NOTHING
    diagnosis: list[Incident] = dataclasses.field(default_factory=list)

    @property
    def capture(self) -> Capture:
        """Metadata of the capture, and how far its evidence can be trusted."""
        return self.tables.capture

    @property
    def found(self) -> list[tuple[str, str]]:
        """Code and severity of every incident and anomaly, as a gate asks for them."""
        incidents = [(incident.code, incident.severity.label) for incident in self.diagnosis]
        return incidents + [(anomaly.code, anomaly.severity.label) for anomaly in self.findings]

    @property
    def unexplained(self) -> list[Anomaly]:
        """The anomalies that belong to no incident, worst first."""
        from pcapflow.diagnosis.model import unexplained

        return unexplained(self.findings, self.diagnosis)

    def ask(self, flows: Sequence[int] | None = None) -> None:
        """Reads the capture again, as far as need be, for what connections said, and sets ``payload``.

        Args:
            flows: the connections to ask; without it those that anomalies name, and the first others.
        """
        from pcapflow.payload.read import read_payload

        self.payload = read_payload(self.tables, self.findings, self.inputs, self.reader, self.waypoints, flows)

    def segments(
        self, flows: Collection[int], limit: int = SEGMENTS_PER_FLOW, frames: Collection[int] = ()
    ) -> dict[int, list[Segment]]:
        """Reads the capture again for the segments of a few connections.

        Args:
            flows: numbers of the connections.
            limit: segments kept of each: the first and the last half of them.
            frames: frames that are kept whatever the limit.

        Returns:
            The segments of each connection in order of frames; nothing where the input cannot be read twice
            (standard input, a closed file, a file that is gone).
        """
        from pcapflow.engine.reread import read_segments

        return read_segments(self.tables, self.inputs, self.reader, flows, limit, frozenset(frames), self.waypoints)
