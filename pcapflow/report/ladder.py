"""Ladder diagrams: where each line and word of the drawing stands.

Only what proves the story is drawn (:mod:`pcapflow.report.ladder_choice`); what is left out is a named gap. All
coordinates are computed here, in the units of the SVG's view box; the template only writes them down.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from pcapflow.report import ladder_labels as labels
from pcapflow.report.ladder_choice import drawn_rows
from pcapflow.tables.segments import Segment
from pcapflow.tables.table import Tables
from pcapflow.tcp.states import ASSUMED, CLIENT, CLOSED, SERVER, STATE_NAMES, TIME_WAIT
from pcapflow.text.phrases import shortened
from pcapflow.views.ladder_rows import LadderRow, packets_of

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
_LINE_WIDTH: Final = 3.0

_NOTE_CHARS: Final = 44
_NAME_CHARS: Final = 30


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


class Stretch(NamedTuple):
    """A part of an endpoint's vertical line, in the colour of its state; -1 before the first."""

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
    stretches: tuple[Stretch, ...]
    gaps: tuple[Gap, ...]
    assumed: bool
    label: str
    frame_x: float = FRAME_X
    time_x: float = TIME_X
    client_x: float = CLIENT_X
    server_x: float = SERVER_X
    middle_x: float = MIDDLE_X


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
    complete = len(segments) >= packets_of(tables, flow)
    drawing = _Drawing(int(tables.flows["start_ns"][flow]), evidence)
    previous: LadderRow | None = None
    for row in drawn_rows(tables, flow, segments, evidence):
        if previous is not None:
            hidden = sum(previous.frame < s.frame < row.frame for s in segments) if complete else None
            drawing.add_gap(labels.gap(row.time_ns - previous.time_ns, hidden))
        drawing.add_rung(row)
        previous = row
    if previous is not None:
        _add_end(drawing, tables, flow, previous, segments)
    return drawing.finished(tables, flow)


def _add_end(drawing: _Drawing, tables: Tables, flow: int, last: LadderRow, segments: Sequence[Segment]) -> None:
    """Names what follows the last rung: segments that are not drawn, and silence unless the connection has ended."""
    hidden = [s for s in segments if s.frame > last.frame]
    drawing.add_gap(labels.later_segments(hidden[-1].time_ns - last.time_ns if hidden else 0, len(hidden)))
    if not all(int(tables.flows[f"{side}_state"][flow]) in {CLOSED, TIME_WAIT} for side in ("client", "server")):
        last_ns = max(int(tables.flows["end_ns"][flow]), last.time_ns)
        drawing.add_gap(labels.last_silence(tables.capture.last_ns - last_ns))


class _Drawing:
    """Grows downwards: keeps the height reached so far and what was drawn."""

    def __init__(self, start_ns: int, evidence: frozenset[int]) -> None:
        self._start_ns = start_ns
        self._evidence = evidence
        self._y = _TOP
        self._rungs: list[Rung] = []
        self._dots: list[StateDot] = []
        self._gaps: list[Gap] = []

    def add_rung(self, row: LadderRow) -> None:
        """Draws one segment with the changes of state that happen at it."""
        y1, y2 = self._y, self._y + _SLOPE
        x1, x2 = (CLIENT_X, SERVER_X) if row.endpoint == CLIENT else (SERVER_X, CLIENT_X)
        if labels.is_icmp(row):
            x1, x2 = MIDDLE_X, x1  # a router, or the other host, told the one whose segment it quotes
        note = labels.note(row)
        tall = 0.0
        for endpoint in (CLIENT, SERVER):
            moves = [move for move in row.transitions if move["endpoint"] == endpoint]
            for i, move in enumerate(moves):
                at = (y1 if endpoint == row.endpoint else y2) + i * _EXTRA_STATE
                self._dots.append(_dot(endpoint, at, move["new"], assumed=move["basis"] == ASSUMED))
            tall = max(tall, (len(moves) - 1) * _EXTRA_STATE)
        name, numbers = labels.label(row)
        self._rungs.append(
            Rung(
                frame=row.frame,
                time=f"{(row.time_ns - self._start_ns) / 1e9:.4f}",
                time_y=y1 + 3.5,
                x1=x1,
                y1=y1,
                x2=x2,
                y2=y2,
                head=_head(x1, y1, x2, y2),
                label_y=(y1 + y2) / 2 - 4,
                name=name,
                numbers=numbers,
                note=shortened(note, _NOTE_CHARS),
                note_y=(y1 + y2) / 2 + 11,
                evidence=row.frame in self._evidence,
            )
        )
        self._y += _RUNG + max(tall, _NOTE if note else 0.0)

    def add_gap(self, text: str) -> None:
        """Leaves room for a line that says what is not drawn; "" takes none."""
        if text:
            self._gaps.append(Gap(self._y + 1, text))
            self._y += _GAP

    def finished(self, tables: Tables, flow: int) -> Ladder:
        """The whole picture, with the lines that connect what was added."""
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
            stretches=(*_stretches(self._dots, CLIENT_X, end), *_stretches(self._dots, SERVER_X, end)),
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


def _stretches(dots: Iterable[StateDot], x: float, end: float) -> list[Stretch]:
    """One endpoint's line, cut where its state changes."""
    stretches: list[Stretch] = []
    top, state = _TOP - 12, -1
    for dot in (*(dot for dot in dots if dot.x == x), None):
        bottom = end if dot is None else dot.y
        if bottom > top:
            stretches.append(Stretch(x - _LINE_WIDTH / 2, top, _LINE_WIDTH, round(bottom - top, 1), state))
        if dot is not None:
            top, state = dot.y, dot.state
    return stretches


def _head(x1: float, y1: float, x2: float, y2: float) -> str:
    """The triangle at the arrow's tip, a dot's radius before the line."""
    way = 1 if x2 > x1 else -1
    slope = (y2 - y1) / abs(x2 - x1)
    tip_x, tip_y = x2 - way * 5, y2 - 5 * slope
    back_x, back_y = tip_x - way * _ARROW, tip_y - _ARROW * slope
    return f"{tip_x:.1f},{tip_y:.1f} {back_x:.1f},{back_y - 3.6:.1f} {back_x:.1f},{back_y + 3.6:.1f}"
