"""PI408: a program does not read what it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frames, proof
from pcapflow.anomalies.lookup.columns import SIDES, side
from pcapflow.anomalies.lookup.groups import group, host_keys, server_keys
from pcapflow.anomalies.lookup.timeline import Story, count_marks, rows_with
from pcapflow.anomalies.model import CERTAIN, LIKELY, IntArray, Severity
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.model import Blame, Explanation, Observation, Remedy
from pcapflow.diagnosis.pattern import pattern
from pcapflow.tcp import marks
from pcapflow.tcp.states import CLIENT, CLOSE_WAIT, SERVER
from pcapflow.text.phrases import counted, duration
from pcapflow.text.times import time_of_day, to_ns

_EXPLAINED: Final = ("PF401",)
_NOT_CLOSED: Final = ("PF202", "PF203")
_SHUT: Final = (marks.ZERO_WINDOW, marks.ZERO_WINDOW_PROBE_ACK)
_LONG: Final = 5
"""A stall of so many times the length from which it is told holds somebody up who notices."""
_VERY_LONG: Final = 20
"""... and of so many where a client reads slowly and goes on: many do so on purpose."""
_SHOWN: Final = 4
"""Connections whose marks are cited."""


@pattern("PI408", "slow-reader", title="A program does not read what it is sent")
def slow_reader(case: Case) -> Sequence[Explanation]:
    """The program on one side did not read, its window closed, and the other side had to wait with its data.

    Seen: a receive window of 0 for a second or longer, on connections of one server's port or one client's host.
    Unless: the window opens again at once (a burst that was read a little late).
    Means: the network and the sender are fine: what holds them up is a program that is blocked, overloaded, or that
        reads slowly on purpose. Whoever sends to it waits, and ties up its memory.
    Do:
        Client: if it is the one that does not read, see what it does instead (a disk, a lock, a debugger, a paused
            download), e.g. with `py-spy dump`, `jstack` or `gdb -p`.
        Server: likewise; `ss -tn` shows its Recv-Q full meanwhile.
    Else: back-pressure on purpose, as in a player that has buffered enough, looks the same.
    Source: RFC 9293, 3.8.6; Linux tcp_select_window, tcp_send_probe0.
    """
    f = case.tables.flows
    least = to_ns(case.config.zero_window_s)
    explanations = []
    for reader in SIDES:
        flows = np.flatnonzero(side(f, reader, "zero_ns") >= least).astype(np.int64)
        keys = server_keys(case.tables) if reader == SERVER else host_keys(case.tables, CLIENT)
        explanations += [_explanation(case, each, reader) for each in group(flows, keys[flows]).at_least(1)]
    return explanations


def _explanation(case: Case, flows: IntArray, reader: int) -> Explanation:
    tables, f = case.tables, case.tables.flows
    flows = flows[np.argsort(-side(f, reader, "zero_ns")[flows], kind="stable")]
    stalls = side(f, reader, "zero_ns")[flows]
    lives = np.maximum(f["end_ns"][flows] - f["start_ns"][flows], 1)
    worst = int(flows[0])
    is_server = reader == SERVER
    who = tables.server(worst) if is_server else tables.ip(worst, CLIENT)
    waiting = case.hosts(flows, 1 - reader)
    start, end = _span(case, flows, reader)
    shut = _still_shut(case, flows, reader)
    longest = int(stalls[0])
    is_bad = longest >= (_LONG if is_server or len(shut) else _VERY_LONG) * to_ns(case.config.zero_window_s)
    idle = _left_open(case, flows, start) if is_server and len(shut) else np.zeros(0, dtype=np.int64)
    return Explanation(
        severity=Severity.MEDIUM if is_bad else Severity.LOW,
        confidence=CERTAIN if len(shut) else LIKELY,
        headline=(
            f"{'The server' if is_server else 'The client'} {who} {_stall(flows, shut, longest, start)}: "
            f"{waiting.listed(3)} had to wait."
        ),
        blame=Blame("endpoint", who, "server") if is_server else Blame("host", who, "client"),
        start_ns=start,
        end_ns=end,
        flows=named(flows),
        count=len(flows),
        hosts=(tables.ip(worst, reader), *waiting),
        explains=frozenset(
            case.anomalies_of(*_EXPLAINED, flows=flows)
            + (case.anomalies_of(*_NOT_CLOSED, flows=idle) if len(idle) else [])
        ),
        why=(
            *_observations(case, flows, reader),
            *_in_all(int(stalls.sum()), int(lives.sum()), len(flows)),
            *_stands_still(case, idle),
        ),
        against=("a reader that makes its sender wait on purpose (a paused download) looks the same",),
        remedy=(
            Remedy(
                "Server" if is_server else "Client",
                f"find out what the program {'that listens on ' + who if is_server else 'on ' + who} did from "
                f"{time_of_day(start)} on instead of reading: `ss -tnp` names it by its full Recv-Q, `ps` tells "
                "whether it is stopped (state T) or waits for a disk (D), a stack trace (`py-spy dump`, `jstack`, "
                "`gdb -p`) where it hangs; a larger buffer (`net.ipv4.tcp_rmem`) only postpones it",
            ),
            Remedy(
                "Client" if is_server else "Server",
                "do not let the sender wait for ever: "
                + ("`send_timeout` of nginx, `timeout client` of haproxy" if not is_server else
                   "a time-out for writing, or TCP_USER_TIMEOUT, which also ends connections whose window stays shut"),
            ),
        ),
    )  # fmt: skip


def _stall(flows: IntArray, shut: IntArray, longest_ns: int, start_ns: int) -> str:
    where = f"on {counted(len(flows), 'connection')}" if len(flows) > 1 else "on one connection"
    most = "up to " if len(flows) > 1 else ""
    if len(shut):
        return (
            f"stopped reading at {time_of_day(start_ns)} {where}, for {most}{duration(longest_ns)}, and had not begun "
            "again at the end"
        )
    return f"did not read for {most}{duration(longest_ns)} {where}, since {time_of_day(start_ns)}"


def _left_open(case: Case, flows: IntArray, start_ns: int) -> IntArray:
    """Connections that a server which stands still has not closed, though their clients have, since that time."""
    everyone = case.same_server(int(flows[0]))
    closed_ns = case.column("close_ns")[everyone]
    state = case.column("server_state")[everyone]
    waits = (state == CLOSE_WAIT) & (closed_ns >= start_ns - to_ns(case.config.close_grace_s))
    left: IntArray = everyone[waits]
    return left


def _stands_still(case: Case, idle: IntArray) -> list[Observation]:
    if not len(idle):
        return []
    frames = case.frames("first_frame", idle[:4])
    text = f"nor did it close {counted(len(idle), 'connection')} that the client had closed"
    return [Observation(f"{text}{in_frames(frames)}: the whole program seems to stand still", frames)]


def _in_all(stalled_ns: int, lived_ns: int, connections: int) -> list[Observation]:
    if connections == 1:
        return []
    return [Observation(f"that is {stalled_ns / lived_ns:.0%} of the time that all of these connections lasted")]


def _span(case: Case, flows: IntArray, reader: int) -> tuple[int, int]:
    story = Story(case.tables, flows[:_SHOWN])
    frames = side(case.tables.flows, reader, "zero_frame")
    starts = [
        mark.time_ns
        for flow in flows[:_SHOWN].tolist()
        for mark in story.marks(flow, *_SHUT, endpoint=reader)
        if mark.frame == int(frames[flow])
    ]
    start = min(starts, default=int(case.column("start_ns")[flows].min()))
    return start, int(case.column("end_ns")[flows].max())


def _still_shut(case: Case, flows: IntArray, reader: int) -> IntArray:
    """Those whose window was not opened again before they, or the capture, ended."""
    m = case.tables.marks
    last = np.full((2, len(case)), -1, dtype=np.int64)
    opened = (marks.WINDOW_UPDATE,)
    for place, kinds in enumerate((_SHUT, opened)):
        rows = rows_with(case.tables, *kinds)
        rows = rows[m["endpoint"][rows] == reader]
        last[place, m["flow"][rows]] = m["time_ns"][rows]
    shut: IntArray = flows[(last[0][flows] >= 0) & (last[1][flows] < last[0][flows])]
    return shut


def _observations(case: Case, flows: IntArray, reader: int) -> list[Observation]:
    tables, f = case.tables, case.tables.flows
    shown = flows[:_SHOWN]
    story = Story(tables, shown)
    found = []
    for flow in shown.tolist():
        shut = int(side(f, reader, "zero_frame")[flow])
        again = [mark.frame for mark in story.marks(flow, *_SHUT, endpoint=reader) if mark.frame > shut]
        frames = proof(
            [
                shut,
                *again[:2],
                *(mark.frame for mark in story.marks(flow, marks.ZERO_WINDOW_PROBE, endpoint=1 - reader)[:3]),
            ]
        )
        stalled, lived = int(side(f, reader, "zero_ns")[flow]), max(int(f["end_ns"][flow] - f["start_ns"][flow]), 1)
        found.append(
            Observation(
                f"{tables.name(flow, reader)} kept its window towards {tables.name(flow, 1 - reader)} at 0 for "
                f"{duration(stalled)}, {stalled / lived:.0%} of the time that the connection lasted{in_frames(frames)}",
                frames,
            )
        )
    probes = int(count_marks(tables, marks.ZERO_WINDOW_PROBE, endpoint=1 - reader)[flows].sum())
    if probes:
        found.append(Observation(f"the senders asked {counted(probes, 'time')} whether the window was open again"))
    return found
