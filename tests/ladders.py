"""Ladders: one text is the conversation that drives the machine, and what it must say of it.

     ms  segment              | client        | server
      0  > S   0:0            | SYN_SENT      |
      9  < S.  0:0   ack 1    | ESTABLISHED+  | SYN_RCVD+
     10  > .   1:1   ack 1    |               | ESTABLISHED?
     20  > F.  1:1   ack 1    | FIN_WAIT_1    | CLOSE_WAIT?
    500  end

The rungs are those of :mod:`fixtures.ladder`, and may go on with words and numbers: ``win`` (window field), ``id`` (IP
identification), ``ttl``, ``ts`` and ``ecr`` (time stamps), ``sack`` (left edge of a block, relative), and on a SYN
``scale`` (window scaling) and ``sackok`` (1: SACK is permitted). ``alert`` says that the payload is a TLS alert (1), or
may be one for all that the snap length left (2). ``end`` says when the capture ends; without it, it ends with the last
rung.

A cell holds the states that an endpoint entered on that rung, as the final tables date them, and how that is known:
nothing for ``sent``, ``+`` for ``proven``, ``?`` for ``assumed``. A fourth column is headed ``marks`` (those of the
state machine) or ``wireshark`` (Wireshark's). What differs is shown as a diff of two ladders.
"""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Final, TypeAlias

from fixtures.frames import ACK, Segment, ethernet, tcp_packet
from fixtures.ladder import START_NS
from fixtures.ladder import climb as read_rungs
from pcapflow.engine.collect import Collector
from pcapflow.engine.join import join
from pcapflow.reader.capture import Capture
from pcapflow.reader.segment_batch import (
    ALL_SHARDS,
    CAPACITY,
    COL_ACK,
    COL_DST_HI,
    COL_DST_LO,
    COL_FLAGS,
    COL_FRAME,
    COL_IP_ID,
    COL_PAYLOAD_LEN,
    COL_PORTS,
    COL_SACK_LEFT,
    COL_SACK_RIGHT,
    COL_SEQ,
    COL_SRC_HI,
    COL_SRC_LO,
    COL_SYN_OPTIONS,
    COL_TIME_NS,
    COL_TSECR,
    COL_TSVAL,
    COL_TTL,
    COL_TUNNEL,
    COL_VLAN,
    COL_WINDOW,
    COLUMNS,
    CUT_ALERT,
    IS_IPV6,
    TLS_ALERT,
    SegmentBatch,
)
from pcapflow.tables.table import Tables
from pcapflow.tcp.endings import END_REASONS
from pcapflow.tcp.marks import MARK_NAMES, PORT_REUSE
from pcapflow.tcp.states import BASIS_NAMES, ENDPOINT_NAMES, STATE_NAMES, TRANSITIONS
from pcapflow.tracker import FlowTable
from pcapflow.tracker.closed_queue import MAX_CLOSED

ISNS: Final = {"plain": (1000, 5000), "seq wraps": (2**32 - 1, 2**32 - 1)}
"""Every ladder is climbed from these initial sequence numbers of client and server."""

CLIENT: Final = ("192.0.2.1", 50_000)
SERVER: Final = ("198.51.100.2", 80)
RTO_NS: Final = 1_000_000_000

_WORD = re.compile(r"\b(win|id|ttl|ts|ecr|sack|scale|sackok|alert) (\d+)")
_ALERTS: Final = (0, TLS_ALERT, CUT_ALERT)
_SIGNS = {"sent": "", "proven": "+", "assumed": "?"}


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One row of a batch: a segment, and what :class:`~fixtures.frames.Segment` has only as bytes of options."""

    time_ns: int
    segment: Segment
    tsval: int = -1
    tsecr: int = -1
    sack_left: int = -1
    syn_options: int = 0
    flags: int = 0
    tunnel: int = 0


@dataclasses.dataclass(frozen=True)
class Story:
    """What the machine made of a ladder.

    Attributes:
        rows: The segments, in order; the first is frame 1.
        tables: The tables of the tracker.
    """

    rows: Sequence[Row]
    tables: Tables

    @cached_property
    def ends(self) -> list[tuple[str, str]]:
        """The states of client and server at the end, of every flow."""
        flows = self.tables.flows
        both = zip(flows["client_state"], flows["server_state"], strict=True)
        return [(STATE_NAMES[client], STATE_NAMES[server]) for client, server in both]

    @property
    def reasons(self) -> list[str]:
        """How every flow ended."""
        return [END_REASONS[code] for code in self.tables.flows["end_reason"]]

    def flow(self, column: str) -> int:
        """A column of the only flow."""
        (value,) = self.tables.flows[column]
        return int(value)

    def states(self, frame: int) -> tuple[str, str]:
        """The cells of one frame."""
        cells = ["", ""]
        steps = self.tables.transitions
        for at in (steps["frame"] == frame).nonzero()[0]:
            sign = _SIGNS[BASIS_NAMES[steps["basis"][at]]]
            cells[steps["endpoint"][at]] += f" {STATE_NAMES[steps['new'][at]]}{sign}"
        return cells[0].strip(), cells[1].strip()

    def marks(self, frame: int, *, wireshark: bool = False) -> str:
        """The marks of one frame: the state machine's, or Wireshark's."""
        marks = self.tables.marks
        names = [int(code) for code in marks["mark"][marks["frame"] == frame]]
        return " ".join(MARK_NAMES[code] for code in sorted(names) if (code <= PORT_REUSE) == wireshark)

    def moment(self, endpoint: str, state: str) -> float:
        """When an endpoint entered a state for the first time, in milliseconds of the ladder."""
        steps = self.tables.transitions
        chosen = (steps["endpoint"] == ENDPOINT_NAMES.index(endpoint)) & (steps["new"] == STATE_NAMES.index(state))
        return float(steps["time_ns"][chosen][0] - START_NS) / 1_000_000

    def marked(self, name: str) -> list[tuple[int, str, int]]:
        """Frame, endpoint and value of every mark of this name."""
        marks = self.tables.marks
        chosen = (marks["mark"] == MARK_NAMES.index(name)).nonzero()[0]
        return [
            (int(marks["frame"][at]), ENDPOINT_NAMES[marks["endpoint"][at]], int(marks["value"][at])) for at in chosen
        ]

    def records(self) -> list[tuple[int, bytes]]:
        """The segments as records of a capture."""
        macs = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
        return [(row.time_ns, ethernet(tcp_packet(row.segment), *macs)) for row in self.rows]


Climb: TypeAlias = Callable[[str], Story]


def follow(text: str, isn: tuple[int, int] = (1000, 5000)) -> Story:
    """Drives the machine with the rungs of a ladder, and leaves it to the caller to ask what it says.

    Raises:
        ValueError: A line is no rung.
    """
    rows: list[Row] = []
    last_ns = 0
    for line in text.splitlines():
        rung = line.split("|")[0]
        if rung.split()[1:] == ["end"]:
            last_ns = START_NS + round(float(rung.split()[0]) * 1_000_000)
        elif rung.strip():
            rows.append(_row(rung, isn))
    story = Story(rows, run(rows, last_ns=last_ns))
    check_chains(story.tables)
    assert (story.tables.transitions["frame"] > 0).all()
    return story


def climb(text: str, isn: tuple[int, int] = (1000, 5000)) -> Story:
    """Drives the machine with a ladder and compares what it says with the ladder's cells.

    Raises:
        AssertionError: It says something else; the message is a diff.
        ValueError: A line is no rung.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    heading = [cell.strip() for cell in lines[0].split("|")]
    story = follow("\n".join(lines[1:]), isn)

    expected, found, frame = [], [], 0
    width = max(len(line.split("|")[0].strip()) for line in lines)
    for line in lines:
        rung, *cells = (cell.strip() for cell in line.split("|"))
        if line is lines[0] or rung.split()[1:] == ["end"]:
            actual = cells
        else:
            frame += 1
            actual = [*story.states(frame)]
            if len(heading) > 3:
                actual.append(story.marks(frame, wireshark=heading[3] == "wireshark"))
        expected.append(_line(rung, cells, len(heading), width))
        found.append(_line(rung, actual, len(heading), width))
    if expected != found:
        raise AssertionError("the ladder says (-), the machine says (+):\n" + "\n".join(difflib.ndiff(expected, found)))
    return story


def run(
    rows: Iterable[Row],
    *,
    last_ns: int = 0,
    marks_per_flow: int = 1000,
    max_open_flows: int = 1 << 20,
    rows_per_batch: int = CAPACITY,
    table: FlowTable | None = None,
    shards: Sequence[int] = (ALL_SHARDS,),
) -> Tables:
    """Feeds segments to a flow table, or to one for each of these shards, and finishes it."""
    collectors = [
        Collector(table or FlowTable(marks_per_flow, max_open_flows, RTO_NS, MAX_CLOSED, shard)) for shard in shards
    ]
    batch = SegmentBatch()
    for frame, row in enumerate(rows, 1):
        _fill(batch, row, frame)
        if batch.size == rows_per_batch:
            for collector in collectors:
                collector.consume(batch)
            batch.clear()
    for collector in collectors:
        collector.consume(batch)
    return join([collector.finish(last_ns) for collector in collectors], _NO_CAPTURE)


def check_chains(tables: Tables) -> None:
    """Every endpoint's transitions follow on one another, along the edges of the table, up to its state at the end."""
    steps = tables.transitions
    state: dict[tuple[int, int], int] = {}
    for at in range(len(steps)):
        end = int(steps["flow"][at]), int(steps["endpoint"][at])
        old, new, event = (int(steps[name][at]) for name in ("old", "new", "event"))
        assert TRANSITIONS[old, event] == new
        assert steps["frame"][at] > 0
        assert state.get(end, old) == old
        state[end] = new
    for (flow, endpoint), last in state.items():
        assert tables.flows[f"{ENDPOINT_NAMES[endpoint]}_state"][flow] == last
    assert (steps["time_ns"][1:] >= steps["time_ns"][:-1]).all()


def _row(rung: str, isn: tuple[int, int], client: tuple[str, int] = CLIENT, server: tuple[str, int] = SERVER) -> Row:
    words = {name: int(value) for name, value in _WORD.findall(rung)}
    (plain,) = read_rungs(_WORD.sub("", rung), client=client, server=server, isn=isn)
    peer_isn = isn[1] if (plain.segment.src, plain.segment.sport) == client else isn[0]
    sack_left = (peer_isn + words["sack"]) % 2**32 if "sack" in words else -1
    segment = dataclasses.replace(
        plain.segment,
        window=words.get("win", plain.segment.window),
        ident=words.get("id", 0),
        ttl=words.get("ttl", plain.segment.ttl),
        options=_options(words, sack_left),
    )
    return Row(
        time_ns=plain.time_ns,
        segment=segment,
        tsval=words.get("ts", -1),
        tsecr=words.get("ecr", -1),
        sack_left=sack_left,
        syn_options=words.get("scale", -1) + 1 << 16 | words.get("sackok", 0) << 24,
        flags=_ALERTS[words.get("alert", 0)],
    )


def _options(words: dict[str, int], sack_left: int) -> bytes:
    """The TCP options that say the same in a capture (RFC 7323, 2.2 and 3.2; RFC 2018, 3)."""
    options = b""
    if "scale" in words:
        options += struct.pack("!4B", 1, 3, 3, words["scale"])
    if words.get("sackok"):
        options += struct.pack("!4B", 1, 1, 4, 2)
    if "ts" in words:
        options += struct.pack("!4BII", 1, 1, 8, 10, words["ts"], words.get("ecr", 0))
    if sack_left >= 0:
        options += struct.pack("!4BII", 1, 1, 5, 10, sack_left, (sack_left + 1) % 2**32)
    return options


def _fill(batch: SegmentBatch, row: Row, frame: int) -> None:
    batch.wants(row.time_ns, 0)
    cell, segment = int(batch.size) * COLUMNS, row.segment
    src_hi, src_lo = _halves(segment.src)
    dst_hi, dst_lo = _halves(segment.dst)
    values = {
        COL_FRAME: frame,
        COL_TIME_NS: row.time_ns,
        COL_SRC_HI: src_hi,
        COL_SRC_LO: src_lo,
        COL_DST_HI: dst_hi,
        COL_DST_LO: dst_lo,
        COL_PORTS: segment.sport << 16 | segment.dport,
        COL_SEQ: segment.seq,
        COL_ACK: segment.ack if segment.flags & ACK else 0,
        COL_FLAGS: segment.flags | row.flags | (IS_IPV6 if ":" in segment.src else 0),
        COL_WINDOW: segment.window,
        COL_PAYLOAD_LEN: len(segment.payload),
        COL_IP_ID: segment.ident,
        COL_TTL: segment.ttl,
        COL_VLAN: -1,
        COL_TUNNEL: row.tunnel,
        COL_SYN_OPTIONS: row.syn_options,
        COL_TSVAL: row.tsval,
        COL_TSECR: row.tsecr,
        COL_SACK_LEFT: row.sack_left,
        COL_SACK_RIGHT: row.sack_left,
    }
    for column, value in values.items():
        batch.cells[cell + column] = value
    batch.size += 1


def _halves(address: str) -> tuple[int, int]:
    value = int(ipaddress.ip_address(address))
    low = value & (1 << 64) - 1
    return _signed(value >> 64), _signed(low)


def _signed(half: int) -> int:
    return half - (1 << 64) if half >> 63 else half


def _line(rung: str, cells: Sequence[str], columns: int, width: int) -> str:
    padded = [*cells, *[""] * (columns - 1 - len(cells))]
    return (f"{rung:{width}}" + "".join(f" | {cell:24}" for cell in padded)).rstrip()


_NO_CAPTURE = Capture(
    paths=("ladder",),
    name="ladder",
    size_bytes=0,
    format="pcap",
    reader="native",
    compiled=False,
    link_types=("Ethernet",),
    frames=0,
    segments=0,
    other=0,
    first_ns=START_NS,
    last_ns=START_NS,
    snaplen=0,
    cut_frames=0,
    truncated="",
    undecoded=(),
    dropped=-1,
    clock_steps=0,
    first_clock_step_frame=0,
)
