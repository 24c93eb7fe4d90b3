"""Tables made by hand, for tests of the report: connections as a few events each."""

from __future__ import annotations

import dataclasses
import ipaddress
from typing import Any

import numpy as np

from pcapflow.anomalies.model import Anomaly, Severity
from pcapflow.reader.capture import Capture
from pcapflow.tables.schema import FLOWS, MARKS, TRANSITIONS
from pcapflow.tables.segments import Segment
from pcapflow.tables.table import Table, Tables
from pcapflow.tcp import marks as m
from pcapflow.tcp import states as s
from pcapflow.tcp.endings import END_REASONS
from pcapflow.tcp.flags import ACK, FIN, PSH, RST, SYN

START_NS = 1_795_269_731_000_000_000  # 2026-11-21 14:02:11 UTC
SECOND = 1_000_000_000
ABSENT = (
    "_rtt_ns", "_first_frame", "_last_ns", "_data_ns", "_acked", "_wscale", "_ttl", "pause_ns", "pause_end_ns",
    "answer_ns", "answer_frame", "close_ns", "quiet_ns", "idle_owed_by",
)  # fmt: skip
"""Columns that hold -1 until something is told."""


def capture(**changes: Any) -> Capture:
    """A clean capture of 269 s; ``changes`` replace fields."""
    fields: dict[str, Any] = {
        "paths": ("checkout-api.pcapng",),
        "name": "checkout-api.pcapng",
        "size_bytes": 31_415_926,
        "format": "pcapng",
        "reader": "native",
        "compiled": True,
        "link_types": ("Ethernet",),
        "frames": 48_211,
        "segments": 48_190,
        "other": 21,
        "first_ns": START_NS,
        "last_ns": START_NS + 269 * SECOND,
        "snaplen": 262_144,
        "cut_frames": 0,
        "truncated": "",
        "undecoded": (),
        "dropped": 0,
        "clock_steps": 0,
        "first_clock_step_frame": 0,
        "checksum": lambda: "9f2c" + "0a" * 29 + "b3e1",
    }
    return Capture(**(fields | changes))


class Scene:
    """Collects connections; frames are numbered in the order in which they are added."""

    def __init__(self, **changes: Any) -> None:
        self.capture = capture(**changes)
        self.flows: list[dict[str, int]] = []
        self.transitions: list[tuple[int, ...]] = []
        self.marks: list[tuple[int, ...]] = []
        self.segments: dict[int, list[Segment]] = {}
        self.frame = 0

    def connection(self, client: str, server: str, at: float, **changes: int) -> SceneConnection:
        """Begins a connection ``at`` seconds after the start of the capture."""
        flow = len(self.flows)
        row = dict.fromkeys(FLOWS, 0)
        for name in row:
            if name.endswith(ABSENT):
                row[name] = -1
        for side, text in (("client", client), ("server", server)):
            host, port = text.rsplit(":", 1)
            address = ipaddress.ip_address(host.strip("[]"))
            high, low = divmod(int(address), 2**64)
            row |= {
                f"{side}_hi": high - 2**64 * (high >= 2**63),
                f"{side}_lo": low - 2**64 * (low >= 2**63),
                f"{side}_port": int(port),
            }
            row["family"] = address.version
        row |= {"flow": flow, "stream": flow, "vlan": -1, "server_state": s.LISTEN, "start_ns": self.ns(at)}
        row |= {"history_1": 0, "history_2": 0, "client_rtt_ns": 300_000, "server_rtt_ns": 800_000, **changes}
        for name in FLOWS:
            if name.startswith("reset_"):
                row[name] = -1
        self.flows.append(row)
        self.segments[flow] = []
        return SceneConnection(self, flow, at)

    def ns(self, at: float) -> int:
        """Seconds after the start as a time stamp."""
        return self.capture.first_ns + round(at * SECOND)

    def tables(self) -> Tables:
        """Everything added so far."""
        flows = {name: np.array([row[name] for row in self.flows], dtype=dtype) for name, dtype in FLOWS.items()}
        moves = sorted(self.transitions, key=lambda row: row[4])
        marks = sorted(self.marks)
        return Tables(
            flows=Table("flows", FLOWS, flows),
            transitions=Table("transitions", TRANSITIONS, _columns(TRANSITIONS, moves)),
            marks=Table("marks", MARKS, _columns(MARKS, marks)),
            capture=self.capture,
        )


def _columns(schema: Any, rows: list[tuple[int, ...]]) -> dict[str, Any]:
    return {name: np.array([row[i] for row in rows], dtype=dtype) for i, (name, dtype) in enumerate(schema.items())}


@dataclasses.dataclass
class SceneConnection:
    """One connection; every method returns the number of the frame that it adds."""

    scene: Scene
    flow: int
    at: float
    sent: list[int] = dataclasses.field(default_factory=lambda: [0, 0])

    @property
    def row(self) -> dict[str, int]:
        return self.scene.flows[self.flow]

    def segment(self, endpoint: int, flags: int, length: int = 0, after: float = 0.0, *, again: bool = False) -> int:
        """One segment; ``again`` repeats the sequence number of the one before."""
        self.at += after
        scene, side = self.scene, ("client", "server")[endpoint]
        scene.frame += 1
        advance = length + bool(flags & SYN) + bool(flags & FIN)
        seq = self.sent[endpoint] - (advance if again else 0)
        peer = self.sent[1 - endpoint]
        time_ns = scene.ns(self.at)
        scene.segments[self.flow].append(
            Segment(scene.frame, time_ns, endpoint, flags, seq, peer if flags & ACK else -1, length, 502)
        )
        if not again:
            self.sent[endpoint] += advance
        self.row["first_frame"] = self.row["first_frame"] or scene.frame
        self.row["last_frame"], self.row["end_ns"] = scene.frame, time_ns
        self.row[f"{side}_packets"] += 1
        self.row[f"{side}_bytes"] += length
        return scene.frame

    def move(self, endpoint: int, new: int, event: int, basis: int = s.SENT) -> None:
        """A change of state at the last frame."""
        side = ("client", "server")[endpoint]
        old = self.row[f"{side}_state"]
        self.row[f"{side}_state"] = new
        self.scene.transitions.append(
            (self.flow, endpoint, old, new, self.scene.ns(self.at), self.scene.frame, event, basis)
        )

    def mark(self, endpoint: int, mark: int, value: int = 0) -> None:
        """A mark on the last frame."""
        self.scene.marks.append((self.flow, self.scene.frame, self.scene.ns(self.at), endpoint, mark, value))

    def handshake(self) -> None:
        self.segment(s.CLIENT, SYN)
        self.move(s.CLIENT, s.SYN_SENT, s.SYN_TX)
        self.move(s.SERVER, s.SYN_RCVD, s.SYN_RX, s.PROVEN)
        self.segment(s.SERVER, SYN | ACK, after=0.0008)
        self.move(s.CLIENT, s.ESTABLISHED, s.SYN_ACK_RX, s.PROVEN)
        self.segment(s.CLIENT, ACK, after=0.0003)
        self.move(s.SERVER, s.ESTABLISHED, s.ACK_OF_SYN_RX, s.PROVEN)
        self.row["completeness"] = 7

    def exchange(self, request: int = 412, response: int = 1247, more: int = 4) -> None:
        """A request and a response, and some more segments with data."""
        self.segment(s.CLIENT, PSH | ACK, request, after=0.0009)
        self.segment(s.SERVER, PSH | ACK, response, after=0.0074)
        for _ in range(more):
            self.segment(s.CLIENT, ACK, after=0.02)
            self.segment(s.SERVER, PSH | ACK, 1448, after=0.3)

    def fin(self, endpoint: int, after: float = 0.1) -> int:
        """A FIN that is acknowledged."""
        frame = self.segment(endpoint, FIN | ACK, after=after)
        self.row["closed_by"] = self.row["closed_by"] or endpoint + 1
        own = self.row[("client_state", "server_state")[endpoint]]
        self.move(endpoint, s.LAST_ACK if own == s.CLOSE_WAIT else s.FIN_WAIT_1, s.FIN_TX)
        peer = self.row[("client_state", "server_state")[1 - endpoint]]
        new = {s.ESTABLISHED: s.CLOSE_WAIT, s.FIN_WAIT_2: s.TIME_WAIT}[peer]
        self.move(1 - endpoint, new, s.FIN_RX, s.PROVEN)
        self.segment(1 - endpoint, ACK, after=0.0412)
        own = self.row[("client_state", "server_state")[endpoint]]
        if own == s.LAST_ACK:
            self.move(endpoint, s.CLOSED, s.ACK_OF_FIN_RX, s.ASSUMED)
            self.row["end_reason"] = END_REASONS.index("closed")
        else:
            self.move(endpoint, s.FIN_WAIT_2, s.ACK_OF_FIN_RX, s.PROVEN)
            self.row["end_reason"] = END_REASONS.index("closing")
        return frame

    def reset(self, endpoint: int, after: float = 0.1) -> int:
        frame = self.segment(endpoint, RST | ACK, after=after)
        self.mark(endpoint, m.MARK_RESET)
        self.row["closed_by"] = self.row["closed_by"] or endpoint + 1
        self.row["end_reason"] = END_REASONS.index("aborted")
        self.move(endpoint, s.CLOSED, s.RST_TX)
        self.move(1 - endpoint, s.CLOSED, s.RST_RX, s.ASSUMED)
        return frame


def checkout(**changes: Any) -> tuple[Scene, list[Anomaly]]:
    """A shop's server that leaks connections: 25 in CLOSE_WAIT, two idle resets, one lost final ACK, 100 good ones."""
    scene = Scene(**changes)
    leaks: list[tuple[int, int, float]] = []
    for i in range(97):
        connection = scene.connection(f"10.0.{3 + i % 5}.{10 + i}:{40000 + 97 * i}", "10.0.0.5:8080", 1.0 + 2.6 * i)
        connection.handshake()
        connection.exchange(400 + i, 1200 + 13 * i)
        if (i % 4 == 1 and i > 12) or i in {90, 92, 94, 96}:
            leaks.append((connection.flow, connection.fin(s.CLIENT, 1.5), connection.at))
        else:
            connection.fin(s.CLIENT, 2.0 + i % 7 * 3)
            connection.fin(s.SERVER, 0.02)
    found: list[Anomaly] = []
    flows = tuple(flow for flow, _, _ in leaks)
    first = leaks[0]
    found.append(
        Anomaly(
            code="PF204",
            name="close-wait-leak",
            severity=Severity.HIGH,
            endpoint=s.SERVER,
            time_ns=scene.ns(first[2]),
            frames=tuple(frame for _, frame, _ in leaks[:12]),
            detail=f"{len(leaks)} connections of 10.0.0.5:8080 acknowledged the client's FIN and never sent their own; "
            f"they pile up in CLOSE_WAIT to the end, the oldest for {269 - first[2]:.0f} s",
            count=len(leaks),
            flows=flows,
        )
    )
    idle = []
    for i in range(2):
        connection = scene.connection(f"10.0.0.5:{33120 + i}", "10.0.9.2:5432", 2.0 + i)
        connection.handshake()
        connection.exchange(64, 180, 1)
        connection.segment(s.CLIENT, PSH | ACK, 64, after=200.0)
        idle.append((connection.flow, connection.reset(s.SERVER, 0.0004), connection.at))
    found += [
        Anomaly(
            code="PF305",
            name="idle-timeout-reset",
            severity=Severity.MEDIUM,
            flow=flow,
            time_ns=scene.ns(at),
            frames=(frame - 1, frame),
            detail="the first segment after 200 s of silence drew a RST",
            cause="idle-timeout",
            confidence="likely",
            alternatives=("the server was restarted in between",),
            flows=(flow,),
        )
        for flow, frame, at in idle
    ]
    connection = scene.connection("10.0.3.40:58214", "10.0.0.5:8443", 100.0, server_retransmitted=2)
    connection.handshake()
    connection.exchange(1900, 5100, 2)
    connection.segment(s.SERVER, FIN | ACK, after=0.4)
    connection.row["closed_by"] = 2
    connection.move(s.SERVER, s.FIN_WAIT_1, s.FIN_TX)
    connection.move(s.CLIENT, s.CLOSE_WAIT, s.FIN_RX, s.PROVEN)
    connection.segment(s.CLIENT, FIN | ACK, after=0.01)
    connection.move(s.CLIENT, s.LAST_ACK, s.FIN_TX)
    connection.move(s.SERVER, s.FIN_WAIT_2, s.ACK_OF_FIN_RX, s.ASSUMED)
    connection.move(s.SERVER, s.TIME_WAIT, s.FIN_RX, s.ASSUMED)
    proof = [scene.frame]
    for wait in (0.2, 0.4):
        proof.append(connection.segment(s.CLIENT, FIN | ACK, after=wait, again=True))
        connection.mark(s.CLIENT, m.RETRANSMISSION)
        connection.mark(s.CLIENT, m.MARK_FIN_REPEATED, len(proof))
    found.append(
        Anomaly(
            code="PF201",
            name="missing-final-ack",
            severity=Severity.LOW,
            flow=connection.flow,
            time_ns=scene.ns(100.0),
            frames=tuple(proof),
            detail="the client sent its FIN 3 times and the final ACK never came",
            confidence="likely",
            alternatives=("the ACK was sent and only not captured",),
            flows=(connection.flow,),
        )
    )
    for i in range(28):
        connection = scene.connection(
            f"[2001:db8::{i + 1:x}]:{50000 + i}", "[2001:db8:85a3::8a2e:370:7334]:443", 5.0 + 9 * i
        )
        connection.handshake()
        connection.exchange(517, 4200, 3)
        connection.fin(s.SERVER, 1.0)
        connection.fin(s.CLIENT, 0.02)
    return scene, found
