"""Small tables made by hand: connections told as a few events, through the tracker's own table of transitions.

For what a ladder of segments cannot say in a few lines: columns, marks and captures of any quality.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from typing import Any

import numpy as np

from pcapflow.anomalies.model import Anomaly
from pcapflow.anomalies.run import find_anomalies
from pcapflow.config import Config
from pcapflow.diagnosis.model import Incident
from pcapflow.diagnosis.run import diagnose
from pcapflow.reader.capture import Capture
from pcapflow.tables.schema import FLOWS, MARKS, TRANSITIONS
from pcapflow.tables.table import Table, Tables
from pcapflow.tcp import marks as m
from pcapflow.tcp import states as s
from pcapflow.tcp.endings import END_REASONS

START_NS = 1_795_269_731_000_000_000  # 2026-11-21 14:02:11 UTC
SECOND = 1_000_000_000
HANDSHAKE = 1 | 2 | 4
DATA = 8

_ABSENT = (
    "_rtt_ns", "_first_frame", "_last_ns", "_data_ns", "_acked", "_mss", "_wscale", "_ttl", "_timestamps",
    "_syn_form", "_clock_hz", "_zero_frame", "pause_ns", "pause_end_ns", "answer_ns", "answer_frame",
    "close_ns", "quiet_ns",
)  # fmt: skip


def clean_capture(seconds: float, **changes: Any) -> Capture:
    """A capture without faults that lasts this long."""
    fields: dict[str, Any] = {
        "paths": ("told.pcap",),
        "name": "told.pcap",
        "size_bytes": 1000,
        "format": "pcap",
        "reader": "native",
        "compiled": False,
        "link_types": ("Ethernet",),
        "frames": 10_000,
        "segments": 10_000,
        "other": 0,
        "first_ns": START_NS,
        "last_ns": START_NS + round(seconds * SECOND),
        "snaplen": 65_535,
        "cut_frames": 0,
        "truncated": "",
        "undecoded": (),
        "dropped": 0,
        "clock_steps": 0,
        "first_clock_step_frame": 0,
    }
    return Capture(**(fields | changes))


class Told:
    """Collects connections; frames are numbered in the order in which they are told."""

    def __init__(self, seconds: float = 100.0, **changes: Any) -> None:
        self.capture = clean_capture(seconds, **changes)
        self.flows: list[Flow] = []
        self.steps: list[tuple[int, ...]] = []
        self.marks: list[tuple[int, ...]] = []
        self.frames = 0

    def frame(self) -> int:
        """The next frame number."""
        self.frames += 1
        return self.frames

    def flow(
        self, *, client: str = "10.0.0.1:1000", server: str = "10.0.0.5:80", at: float = 0.0, **columns: int
    ) -> Flow:
        """A connection of which nothing is told yet; ``columns`` override the table's."""
        flow = Flow(self, len(self.flows), client, server, at, columns)
        self.flows.append(flow)
        return flow

    def tables(self) -> Tables:
        """What was told, as tables."""
        steps = sorted(self.steps, key=lambda row: row[4])
        marks = sorted(self.marks, key=lambda row: row[:2])
        rows = [tuple(flow.row().values()) for flow in self.flows]
        return Tables(
            _table("flows", FLOWS, rows),
            _table("transitions", TRANSITIONS, steps),
            _table("marks", MARKS, marks),
            self.capture,
        )

    def anomalies(self, config: Config | None = None) -> list[Anomaly]:
        """What the catalogue says of it."""
        return find_anomalies(self.tables(), config or Config())

    def incidents(self, config: Config | None = None) -> list[Incident]:
        """What happened, as the patterns see it."""
        tables = self.tables()
        return diagnose(tables, find_anomalies(tables, config or Config()), config or Config())


@dataclasses.dataclass
class Flow:
    """One connection; its methods tell what happens, in order of time."""

    told: Told
    number: int
    client: str
    server: str
    at: float
    columns: dict[str, int]

    def __post_init__(self) -> None:
        """Begins with nothing seen."""
        self.states = [s.UNKNOWN, s.UNKNOWN]
        self.end = self.at

    def ns(self, at: float) -> int:
        """Seconds after the connection's start as a time stamp."""
        return START_NS + round((self.at + at) * SECOND)

    def _add(self, **columns: int) -> None:
        for name, value in columns.items():
            self.columns[name] = self.columns.get(name, 0) + value

    def _seen(self, endpoint: int, frame: int, at: float) -> None:
        name = s.ENDPOINT_NAMES[endpoint]
        self.columns.setdefault(f"{name}_first_frame", frame)
        self.columns.setdefault(f"{name}_ttl", 64)
        self.columns.setdefault("first_frame", frame)
        self.columns["last_frame"] = frame
        self.columns[f"{name}_last_ns"] = max(self.ns(at), self.columns.get(f"{name}_last_ns", -1))
        self.end = max(self.end, self.at + at)
        self._add(**{f"{name}_packets": 1})

    def step(self, endpoint: int, event: int, at: float, frame: int, basis: int = s.SENT) -> None:
        """One transition, as the tracker's table has it."""
        old = self.states[endpoint]
        new = s.TRANSITIONS[old, event]
        self.states[endpoint] = new
        self.told.steps.append((self.number, endpoint, old, new, self.ns(at), frame, event, basis))

    def syn(self, at: float = 0.0) -> Flow:
        """The client's SYN."""
        frame = self.told.frame()
        self._seen(s.CLIENT, frame, at)
        self._add(client_syns=1, client_sent=1, completeness=1)
        self.step(s.CLIENT, s.SYN_TX, at, frame)
        return self

    def syn_ack(self, at: float = 0.001) -> Flow:
        """The server's answer; it proves the SYN."""
        frame = self.told.frame()
        self._seen(s.SERVER, frame, at)
        self._add(server_syns=1, server_sent=1, completeness=2, server_acked=1)
        self.states[s.SERVER] = s.LISTEN
        self.step(s.SERVER, s.SYN_RX, at, frame, s.PROVEN)
        return self

    def ack(self, at: float = 0.002) -> Flow:
        """The client's ACK, which completes the handshake."""
        frame = self.told.frame()
        self._seen(s.CLIENT, frame, at)
        self._add(completeness=4, client_acked=1)
        self.step(s.CLIENT, s.SYN_ACK_RX, at, frame, s.PROVEN)
        self.step(s.SERVER, s.ACK_OF_SYN_RX, at, frame, s.ASSUMED)
        return self

    def opens(self) -> Flow:
        """The whole handshake, in 2 ms."""
        return self.syn().syn_ack().ack()

    def data(self, endpoint: int, at: float, size: int = 100, *, acked: bool = True) -> Flow:
        """A data segment, and its ACK."""
        name, peer = s.ENDPOINT_NAMES[endpoint], s.ENDPOINT_NAMES[1 - endpoint]
        self._seen(endpoint, self.told.frame(), at)
        self._add(**{f"{name}_bytes": size, f"{name}_sent": size, f"{name}_data_segments": 1})
        self.columns.setdefault(f"{name}_first_data_ns", self.ns(at))
        self.columns[f"{name}_data_ns"] = self.ns(at)
        self.columns["completeness"] = self.columns.get("completeness", 0) | DATA
        if self.columns.get(f"{peer}_fins", 0):
            self._add(**{f"{name}_after_fin": size})
        if acked:
            self._seen(1 - endpoint, self.told.frame(), at)
            self.columns[f"{peer}_acked"] = self.columns[f"{name}_sent"]
        return self

    def fin(self, endpoint: int, at: float) -> Flow:
        """A FIN, sent."""
        name = s.ENDPOINT_NAMES[endpoint]
        frame = self.told.frame()
        self._seen(endpoint, frame, at)
        self._add(**{f"{name}_fins": 1, f"{name}_sent": 1})
        self.step(endpoint, s.FIN_TX, at, frame)
        return self

    def takes_fin(self, endpoint: int, at: float) -> Flow:
        """The endpoint acknowledges its peer's FIN."""
        name, peer = s.ENDPOINT_NAMES[endpoint], s.ENDPOINT_NAMES[1 - endpoint]
        frame = self.told.frame()
        self._seen(endpoint, frame, at)
        self.columns[f"{name}_acked"] = self.columns[f"{peer}_sent"]
        self.step(endpoint, s.FIN_RX, at, frame, s.PROVEN)
        self.step(1 - endpoint, s.ACK_OF_FIN_RX, at, frame, s.ASSUMED)
        return self

    def closes(self, endpoint: int, at: float) -> Flow:
        """Four segments, this endpoint first."""
        self.fin(endpoint, at).takes_fin(1 - endpoint, at + 0.001)
        self.fin(1 - endpoint, at + 0.002).takes_fin(endpoint, at + 0.003)
        return self

    def mark(self, mark: int, endpoint: int, at: float, value: int = 0, *, counted: bool = True) -> Flow:
        """A marked frame; not ``counted`` where the frame was told already."""
        frame = self.told.frame()
        if counted:
            self._seen(endpoint, frame, at)
        if mark in (m.MARK_SYN_REPEATED, m.MARK_FIN_REPEATED):
            self._add(**{f"{s.ENDPOINT_NAMES[endpoint]}_{'syns' if mark == m.MARK_SYN_REPEATED else 'fins'}": 1})
        if mark == m.MARK_RESET_IGNORED:
            self._add(**{f"{s.ENDPOINT_NAMES[endpoint]}_rsts": 1})
        self.told.marks.append((self.number, frame, self.ns(at), endpoint, mark, value))
        return self

    def remark(self, mark: int, value: int = 0) -> Flow:
        """Another mark on the last marked frame."""
        flow, frame, time_ns, endpoint, _, _ = self.told.marks[-1]
        self.told.marks.append((flow, frame, time_ns, endpoint, mark, value))
        return self

    def reset(self, endpoint: int, at: float, *, passive: bool = False, pending: int = 0, **columns: int) -> Flow:
        """A RST that its receiver accepts."""
        name = s.ENDPOINT_NAMES[endpoint]
        frame = self.told.frame()
        self._seen(endpoint, frame, at)
        self._add(**{f"{name}_rsts": 1})
        self.told.marks.append((self.number, frame, self.ns(at), endpoint, m.MARK_RESET, pending))
        self.columns.setdefault("idle_endpoint", endpoint)
        self.columns |= {
            "reset_frame": frame,
            "reset_ns": self.ns(at),
            "reset_by": endpoint,
            "reset_flags": 0x04 if passive else 0x14,
            "reset_window": 0 if passive else 500,
            "reset_ttl": 64,
            "reset_options": 0,
            "reset_gap": 0,
            "reset_pending": pending,
            **columns,
        }
        for who, event in ((endpoint, s.RST_TX), (1 - endpoint, s.RST_RX)):
            if (self.states[who], event) in s.TRANSITIONS:
                self.step(who, event, at, frame, s.SENT if event == s.RST_TX else s.ASSUMED)
        return self

    def _end_reason(self) -> int:
        client, server = self.states
        if self.columns.get("reset_frame", -1) > 0:
            reason = "aborted" if self.columns.get("server_syns") else "refused"
        elif client == s.SYN_SENT and server == s.UNKNOWN:
            reason = "unanswered"
        elif server == s.SYN_RCVD:
            reason = "half-open"
        elif {client, server} <= {s.CLOSED, s.TIME_WAIT}:
            reason = "closed"
        else:
            reason = "closing" if self.columns.get("client_fins") or self.columns.get("server_fins") else "open"
        return END_REASONS.index(reason)

    def row(self) -> dict[str, int]:
        """Its row of ``flows``."""
        absent = {name for name in FLOWS if name.endswith(_ABSENT) or name.startswith(("reset_", "idle_", "icmp_"))}
        row = {name: -1 if name in absent else 0 for name in FLOWS}
        row |= {"flow": self.number, "stream": self.number, "vlan": -1, "start_ns": self.ns(0), "idle_owed": 0}
        row |= {"client_state": self.states[0], "server_state": self.states[1], "end_reason": self._end_reason()}
        row["end_ns"] = START_NS + round(self.end * SECOND)
        for side, text in (("client", self.client), ("server", self.server)):
            host, port = text.rsplit(":", 1)
            address = ipaddress.ip_address(host.strip("[]"))
            high, low = (half - 2**64 * (half >= 2**63) for half in divmod(int(address), 2**64))
            row |= {f"{side}_hi": high, f"{side}_lo": low, f"{side}_port": int(port), "family": address.version}
        return row | self.columns


def _table(name: str, schema: Any, rows: list[tuple[int, ...]]) -> Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    return Table(
        name,
        schema,
        {
            key: np.array(column, dtype=np.int64).astype(schema[key])
            for key, column in zip(schema, columns, strict=True)
        },
    )
