"""Ladder diagrams: which segments of a connection tell its story, and where each line and word of the drawing stands.

Only what proves the story is drawn: changes of state, the frames that the anomalies cite, and a little around them.
What is left out is a named gap. All coordinates are computed here, in the units of the SVG's view box; the template
only writes them down.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from pcapflow.anomalies.model import Anomaly
from pcapflow.config import Config
from pcapflow.tables.segments import Segment
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks as m
from pcapflow.tcp.flags import ACK, FIN, RST, SYN
from pcapflow.tcp.states import (
    ACK_OF_FIN_RX,
    ACK_OF_SYN_RX,
    ASSUMED,
    CLIENT,
    CLOSED,
    FIN_RX,
    FIN_TX,
    MIDSTREAM,
    RST_RX,
    RST_TX,
    SERVER,
    STATE_NAMES,
    SYN_ACK_RX,
    SYN_RX,
    SYN_TX,
    TIME_WAIT,
)
from pcapflow.text.phrases import counted, duration, shortened, size
from pcapflow.views.groups import gathered

WIDTH: Final = 520.0
FRAME_X: Final = 46.0
TIME_X: Final = 108.0
CLIENT_X: Final = 200.0
SERVER_X: Final = 434.0
STATE_GAP: Final = 10.0
MIDDLE_X: Final = (CLIENT_X + SERVER_X) / 2

_TOP: Final = 48.0
_SLOPE: Final = 7.0
_RUNG: Final = 27.0
_NOTE: Final = 12.0
_EXTRA_STATE: Final = 13.0
_GAP: Final = 21.0
_ARROW: Final = 8.0
_LIFE_WIDTH: Final = 3.0

MOST_RUNGS: Final = 18
_SILENCE_NS: Final = 1_000_000_000
_LABEL_CHARS: Final = 35
_NAME_CHARS: Final = 30

_TELLING: Final = frozenset(
    {
        m.MARK_SYN_REPEATED,
        m.MARK_FIN_REPEATED,
        m.MARK_RESET,
        m.MARK_RESET_IGNORED,
        m.MARK_RESET_AFTER_CLOSE,
        m.MARK_CHALLENGE_ACK,
        m.MARK_DATA_AFTER_FIN,
        m.MARK_DATA_AFTER_CLOSE,
        m.MARK_ICMP_UNREACHABLE,
        m.MARK_TAKEN_BACK,
        m.ZERO_WINDOW,
        m.PORT_REUSE,
    }
)
"""Marks that deserve a rung of their own; the others are named where their frame is drawn anyway."""

_SILENT: Final = frozenset({m.MARK_RESET, m.WINDOW_UPDATE})
"""Marks that the arrow already says."""

_SENT_BY_SELF: Final = frozenset({SYN_TX, FIN_TX, RST_TX})
_EVENT_FLAGS: Final[Mapping[int, int]] = {
    SYN_TX: SYN,
    SYN_RX: SYN,
    SYN_ACK_RX: SYN | ACK,
    ACK_OF_SYN_RX: ACK,
    FIN_TX: FIN | ACK,
    FIN_RX: FIN | ACK,
    ACK_OF_FIN_RX: ACK,
    RST_TX: RST,
    RST_RX: RST,
}
_MARK_FLAGS: Final[Mapping[int, int]] = {
    m.MARK_SYN_REPEATED: SYN,
    m.MARK_FIN_REPEATED: FIN | ACK,
    m.MARK_RESET: RST,
    m.MARK_RESET_IGNORED: RST,
    m.MARK_RESET_AFTER_CLOSE: RST,
}


class Rung(NamedTuple):
    """One segment: a sloping arrow, what it says, and when.

    Attributes:
        frame, time: as shown at the left; ``time_y`` is their base line.
        x1, y1, x2, y2: the arrow from its sender to its receiver.
        head: the points of the arrow's head.
        label_y: base line of the label over the arrow.
        name: what kind of segment, e.g. ``SYN ACK`` or ``412 B``.
        numbers: relative sequence and acknowledgement numbers, "" where they are unknown.
        note: what is odd about it, in Wireshark's words, "" without; ``note_y`` is its base line.
        evidence: whether an anomaly cites this frame.
    """

    frame: int
    time: str
    time_y: float
    x1: float
    y1: float
    x2: float
    y2: float
    head: str
    label_y: float
    name: str
    numbers: str
    note: str
    note_y: float
    evidence: bool


class StateDot(NamedTuple):
    """An endpoint enters a state: a dot on its line and the name beside it; hollow where it is only assumed."""

    x: float
    y: float
    text_x: float
    text_y: float
    anchor: str
    state: int
    name: str
    assumed: bool


class Life(NamedTuple):
    """A stretch of an endpoint's vertical line, in the colour of its state; -1 before the first."""

    x: float
    y: float
    width: float
    height: float
    state: int


class Gap(NamedTuple):
    """What is left out between two rungs, or after the last."""

    y: float
    text: str


class Ladder(NamedTuple):
    """One connection, drawn; everything is in units of the view box ``width`` by ``height``."""

    flow: int
    stream: int
    client: str
    server: str
    client_name: str
    server_name: str
    width: float
    height: float
    rungs: tuple[Rung, ...]
    dots: tuple[StateDot, ...]
    lives: tuple[Life, ...]
    gaps: tuple[Gap, ...]
    assumed: bool
    label: str
    frame_x: float = FRAME_X
    time_x: float = TIME_X
    client_x: float = CLIENT_X
    server_x: float = SERVER_X
    middle_x: float = MIDDLE_X


@dataclasses.dataclass(slots=True)
class _Step:
    """A segment that may be drawn, gathered from whatever knows of it."""

    frame: int
    time_ns: int
    endpoint: int
    flags: int
    segment: Segment | None = None
    moves: list[Mapping[str, int]] = dataclasses.field(default_factory=list)
    marks: list[int] = dataclasses.field(default_factory=list)
    weight: int = 0


def wanted_flows(tables: Tables, anomalies: Sequence[Anomaly], config: Config) -> list[int]:
    """The connections that get a ladder, worst first: one of each finding, then more of each in turn.

    Their segments are what a second pass over the capture should collect.
    """
    queues = [list(finding.flows) for finding in gathered(anomalies)]
    wanted: dict[int, None] = {}
    for place in range(max(map(len, queues), default=0)):
        for queue in queues:
            if len(wanted) >= config.report_ladders:
                return list(wanted)
            if place < len(queue) and queue[place] < len(tables.flows):
                wanted[queue[place]] = None
    return list(wanted)


def ladder(
    tables: Tables,
    flow: int,
    *,
    evidence: frozenset[int],
    segments: Sequence[Segment] = (),
) -> Ladder:
    """Draws one connection.

    Args:
        tables: of the capture.
        flow: the connection.
        evidence: frames that an anomaly cites.
        segments: its segments in order of frames, all or some; without any, the ladder is drawn from transitions
            and marks alone.
    """
    transitions = tables.transitions.rows(tables.transitions_of(flow))
    steps = _steps(tables, flow, transitions, segments)
    packets = int(tables.flows["client_packets"][flow] + tables.flows["server_packets"][flow])
    complete = len(segments) >= packets
    shown = _chosen(steps, evidence)
    pen = _Pen(int(tables.flows["start_ns"][flow]), evidence)
    for i, step in enumerate(shown):
        if i:
            earlier = shown[i - 1]
            pen.gap(step.time_ns - earlier.time_ns, _between(segments, earlier.frame, step.frame) if complete else -1)
        pen.rung(step)
    if shown:
        ended = all(int(tables.flows[f"{side}_state"][flow]) in {CLOSED, TIME_WAIT} for side in ("client", "server"))
        hidden = [s for s in segments if s.frame > shown[-1].frame]
        pen.trailer(shown[-1].time_ns, hidden, int(tables.flows["end_ns"][flow]), tables.capture.last_ns, quiet=ended)
    return pen.finished(tables, flow)


def _steps(
    tables: Tables, flow: int, transitions: Sequence[Mapping[str, int]], segments: Sequence[Segment]
) -> dict[int, _Step]:
    """Everything known of each frame, by frame."""
    steps = {s.frame: _Step(s.frame, s.time_ns, s.endpoint, s.flags, s) for s in segments}
    for row in transitions:
        own = row["event"] in _SENT_BY_SELF or row["event"] == MIDSTREAM
        sender = row["endpoint"] if own else SERVER - row["endpoint"]
        step = steps.setdefault(row["frame"], _Step(row["frame"], row["time_ns"], sender, 0))
        if step.segment is None:
            step.flags |= _EVENT_FLAGS.get(row["event"], 0)
        step.moves.append(row)
    for row in tables.marks.rows(tables.marks_of(flow)[: 4 * MOST_RUNGS]):
        if row["frame"] not in steps and row["mark"] not in _TELLING:
            continue
        step = steps.setdefault(row["frame"], _Step(row["frame"], row["time_ns"], row["endpoint"], 0))
        if step.segment is None:
            step.flags |= _MARK_FLAGS.get(row["mark"], 0)
        step.marks.append(row["mark"])
    return steps


def _chosen(steps: Mapping[int, _Step], evidence: frozenset[int]) -> list[_Step]:
    """The steps worth a rung, in order of frames: states first, then evidence, then odd frames, then context."""
    ordered = sorted(steps.values(), key=lambda step: step.frame)
    context = 2  # the first segments with data, one exchange, show that the connection worked
    for i, step in enumerate(ordered):
        if step.moves:
            step.weight = 5
        elif step.frame in evidence:
            step.weight = 4
        elif _TELLING.intersection(step.marks):
            step.weight = 3
        elif context and step.segment is not None and step.segment.payload_len:
            step.weight, context = 2, context - 1
        elif i in {0, len(ordered) - 1}:
            step.weight = 1
    worthy = sorted((step for step in ordered if step.weight), key=lambda step: (-step.weight, step.frame))
    return sorted(worthy[:MOST_RUNGS], key=lambda step: step.frame)


def _between(segments: Iterable[Segment], first: int, last: int) -> int:
    return sum(first < s.frame < last for s in segments)


class _Pen:
    """Draws downwards: keeps the height reached so far and what was drawn."""

    def __init__(self, start_ns: int, evidence: frozenset[int]) -> None:
        self._start_ns = start_ns
        self._evidence = evidence
        self._y = _TOP
        self._rungs: list[Rung] = []
        self._dots: list[StateDot] = []
        self._gaps: list[Gap] = []

    def rung(self, step: _Step) -> None:
        y1, y2 = self._y, self._y + _SLOPE
        x1, x2 = (CLIENT_X, SERVER_X) if step.endpoint == CLIENT else (SERVER_X, CLIENT_X)
        note = ", ".join(dict.fromkeys(m.MARK_NAMES[mark] for mark in step.marks if mark not in _SILENT))
        tall = 0.0
        for endpoint in (CLIENT, SERVER):
            moves = [row for row in step.moves if row["endpoint"] == endpoint]
            for i, row in enumerate(moves):
                at = (y1 if endpoint == step.endpoint else y2) + i * _EXTRA_STATE
                self._dots.append(_dot(endpoint, at, row["new"], assumed=row["basis"] == ASSUMED))
            tall = max(tall, (len(moves) - 1) * _EXTRA_STATE)
        name, numbers = _label(step)
        self._rungs.append(
            Rung(
                frame=step.frame,
                time=f"{(step.time_ns - self._start_ns) / 1e9:.4f}",
                time_y=y1 + 3.5,
                x1=x1,
                y1=y1,
                x2=x2,
                y2=y2,
                head=_head(x1, y1, x2, y2),
                label_y=(y1 + y2) / 2 - 4,
                name=name,
                numbers=numbers,
                note=shortened(note, 44),
                note_y=(y1 + y2) / 2 + 11,
                evidence=step.frame in self._evidence,
            )
        )
        self._y += _RUNG + max(tall, _NOTE if note else 0.0)

    def gap(self, ns: int, hidden: int) -> None:
        """Names what lies between two rungs: nothing, a silence, or segments (-1: an unknown number)."""
        if hidden > 0:
            self._note(f"... {duration(ns)}, {counted(hidden, 'segment')}")
        elif ns >= _SILENCE_NS:
            self._note(f"... {duration(ns)}" + (" of silence" if hidden == 0 else ""))

    def trailer(
        self, last_shown_ns: int, hidden: Sequence[Segment], flow_end_ns: int, capture_end_ns: int, *, quiet: bool
    ) -> None:
        """Names what follows the last rung, unless the connection has properly ended."""
        if hidden:
            self._note(f"... {duration(hidden[-1].time_ns - last_shown_ns)}, {counted(len(hidden), 'more segment')}")
        silence = capture_end_ns - max(flow_end_ns, last_shown_ns)
        if quiet:
            return
        if silence >= _SILENCE_NS // 10:
            self._note(f"silence for {duration(silence)}, to the capture's end")
        else:
            self._note("the capture ends here")

    def _note(self, text: str) -> None:
        self._gaps.append(Gap(self._y + 1, text))
        self._y += _GAP

    def finished(self, tables: Tables, flow: int) -> Ladder:
        end = self._y + 4
        client, server = tables.client(flow), tables.server(flow)
        assumed = any(dot.assumed for dot in self._dots)
        path = {
            x: " > ".join(dot.name for dot in self._dots if dot.x == x) or "no state seen" for x in (CLIENT_X, SERVER_X)
        }
        return Ladder(
            flow=flow,
            stream=int(tables.flows["stream"][flow]),
            client=client,
            server=server,
            client_name=shortened(client, _NAME_CHARS),
            server_name=shortened(server, _NAME_CHARS),
            width=WIDTH,
            height=end + (20 if assumed else 8),
            rungs=tuple(self._rungs),
            dots=tuple(self._dots),
            lives=(*_lives(self._dots, CLIENT_X, end), *_lives(self._dots, SERVER_X, end)),
            gaps=tuple(self._gaps),
            assumed=assumed,
            label=f"Ladder of connection {flow}: client {client} passes {path[CLIENT_X]}; "
            f"server {server} passes {path[SERVER_X]}",
        )


def _dot(endpoint: int, y: float, state: int, *, assumed: bool) -> StateDot:
    x = CLIENT_X if endpoint == CLIENT else SERVER_X
    away = -STATE_GAP if endpoint == CLIENT else STATE_GAP
    anchor = "end" if endpoint == CLIENT else "start"
    return StateDot(x, y, x + away, y + 3.5, anchor, state, STATE_NAMES[state], assumed)


def _lives(dots: Iterable[StateDot], x: float, end: float) -> list[Life]:
    """One endpoint's line, cut where its state changes."""
    lives: list[Life] = []
    top, state = _TOP - 12, -1
    for dot in (*(dot for dot in dots if dot.x == x), None):
        bottom = end if dot is None else dot.y
        if bottom > top:
            lives.append(Life(x - _LIFE_WIDTH / 2, top, _LIFE_WIDTH, round(bottom - top, 1), state))
        if dot is not None:
            top, state = dot.y, dot.state
    return lives


def _head(x1: float, y1: float, x2: float, y2: float) -> str:
    """The triangle at the arrow's tip, a dot's radius before the line."""
    way = 1 if x2 > x1 else -1
    slope = (y2 - y1) / abs(x2 - x1)
    tip_x, tip_y = x2 - way * 5, y2 - 5 * slope
    back_x, back_y = tip_x - way * _ARROW, tip_y - _ARROW * slope
    return f"{tip_x:.1f},{tip_y:.1f} {back_x:.1f},{back_y - 3.6:.1f} {back_x:.1f},{back_y + 3.6:.1f}"


def _label(step: _Step) -> tuple[str, str]:
    """The words over an arrow: the kind of segment, and its relative numbers as far as there is room."""
    segment = step.segment
    flags = flag_names(step.flags)
    if segment is None:
        return flags or "segment", ""
    if segment.payload_len:
        name = " ".join(filter(None, (flags.replace("ACK", "").strip(), size(segment.payload_len))))
    else:
        name = flags or "no flags"
    ends = f"{segment.rel_seq}:{segment.rel_seq + segment.payload_len}"
    seq = ends if segment.payload_len or step.flags & SYN else str(segment.rel_seq)
    if step.flags & (SYN | FIN | RST) == 0 and not segment.payload_len:
        seq = ""
    ack = f"ack {segment.rel_ack}" if segment.rel_ack >= 0 and step.flags & ACK else ""
    window = "win 0" if segment.window == 0 and not step.flags & (SYN | RST) else ""
    for parts in ((seq, ack, window), (str(segment.rel_seq) if seq else "", ack, window), (ack, window), (window,)):
        numbers = " ".join(filter(None, parts))
        if len(name) + len(numbers) < _LABEL_CHARS:
            break
    return name, numbers


def flag_names(flags: int) -> str:
    """``SYN ACK``, ``FIN``, ``RST``, ``ACK``: the ACK of a FIN or a RST goes without saying, PSH too."""
    if flags & SYN and flags & ACK:
        return "SYN ACK"
    names = [name for bit, name in ((SYN, "SYN"), (FIN, "FIN"), (RST, "RST")) if flags & bit]
    return " ".join(names) or ("ACK" if flags & ACK else "")
