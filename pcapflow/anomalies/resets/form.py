"""What the form of a RST says of who sent it, and why: a host without a socket, a socket, or a device on the way.

Stacks differ. Linux, 4.4BSD, macOS and gVisor answer what finds no socket with a RST without ACK, lwIP with one that
has an ACK; old Windows also aborts without ACK. Data for a side that has closed is answered by Linux and 4.4BSD as if
there was no socket, by Windows, lwIP and gVisor with a RST that acknowledges it. The flags alone tell nothing then, but
what the RST's number answers does, and what of it goes on from its sender's segments before.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.lookup.columns import side
from pcapflow.anomalies.model import BoolArray, IntArray
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp.endings import NEXT_IP_ID, NOT_DRAWN, OTHER_TTL, SAME_TTL, SAME_WINDOW, STAMPED
from pcapflow.tcp.flags import ACK
from pcapflow.tcp.marks import KEEP_ALIVE
from pcapflow.tcp.owed import ANSWER
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import listed
from pcapflow.text.times import to_ns

OWN_IDLE_S: Final = 5.0
"""The shortest idle time-outs in use, those of web servers' keep-alive; a shorter pause before an abort is none."""
ANSWER_S: Final = 5.0
"""A reset within this time of the segment that broke a silence is taken for its answer."""
PUNCTUAL: Final = 20
"""Timers strike within one part in so many of their time."""
LEAST_INTERVAL_S: Final = 0.5
"""Keep-alives are seconds apart; what comes sooner may be as far apart as something else by chance."""


class Form(NamedTuple):
    """What the RSTs of some flows look like, in parallel columns.

    Attributes:
        passive: it answered a segment for which there is no socket.
        acknowledges: it alone acknowledges the data that came last, and may have drawn it.
        shut: its window is shut, or it bears no time stamp: the closed socket of Linux that is closed once more, with
            data in it, sends another.
        stamped: it bears a time stamp.
        own: it goes on from its sender's segment before it, as no device's does.
        other_ttl: it has another TTL than that.
    """

    passive: BoolArray
    acknowledges: BoolArray
    shut: BoolArray
    stamped: BoolArray
    own: BoolArray
    other_ttl: BoolArray


def forms(tables: Tables, flows: IntArray, sender_closed: BoolArray) -> Form:
    """The forms of the RSTs that ended these flows, whose senders had closed or not."""
    f = tables.flows
    flags, window, drew = f["reset_flags"][flows], f["reset_window"][flows], f["reset_drew_frame"][flows]
    has_ack, stamped = (flags & ACK) != 0, f["reset_options"][flows] == 1
    passive = ~has_ack & ~stamped & (drew != NOT_DRAWN)
    passive &= (window == 0) | (sender_closed & (f["reset_pending"][flows] > 0))
    goes_on = np.maximum(f["reset_continues"][flows].astype(np.int64), 0)
    return Form(
        passive=passive,
        acknowledges=has_ack & (drew > 0),
        shut=(window == 0) | ~stamped,
        stamped=stamped,
        own=((goes_on & SAME_TTL) != 0) & ((goes_on & (NEXT_IP_ID | SAME_WINDOW | STAMPED)) != 0),
        other_ttl=(goes_on & OTHER_TTL) != 0,
    )


class Silence(NamedTuple):
    """The silences that RSTs ended, in parallel columns.

    Attributes:
        idle_ns: the silence that the RST, or the segment it answers, broke; 0 where none was long.
        own: the RST broke it, nobody owed its sender an answer, and it is the sender's own.
    """

    idle_ns: IntArray
    own: BoolArray


def silences(
    tables: Tables, config: Config, flows: IntArray, senders: IntArray, usual: BoolArray, own: BoolArray
) -> Silence:
    """Which RSTs ended a silence: where the other side broke it, where it is a usual time-out, where it is the host's.

    Args:
        tables: of the capture.
        config: its settings.
        flows: flows with a RST.
        senders: who sent each.
        usual: where the silence before is about as long as a usual time-out.
        own: where the RST is the sender's own by its form, and both sides were open.
    """
    f = tables.flows
    silence, ended, when = f["idle_ns"][flows], f["idle_end_ns"][flows], f["reset_ns"][flows]
    answer = (f["idle_endpoint"][flows] != senders) & (when - ended <= to_ns(ANSWER_S))
    broke = ended == when
    # A client that waits for an answer, and resets, gives up waiting; so does who waits for an acknowledgment. What a
    # server waits for is the next request.
    waits = (f["idle_owed_by"][flows] == 1 - senders) & ((f["idle_owed"][flows] != ANSWER) | (senders == CLIENT))
    itself = broke & own & ~waits & (silence >= to_ns(OWN_IDLE_S))
    long = (silence >= to_ns(config.idle_s)) & (answer | (broke & usual))
    return Silence(np.where(long | itself, silence, 0), itself)


def own_signs(tables: Tables, flow: int) -> str:
    """What shows that a RST is its sender's own, in words."""
    bits = int(tables.flows["reset_continues"][flow])
    names = {SAME_TTL: "TTL", NEXT_IP_ID: "IP identification", SAME_WINDOW: "window", STAMPED: "time stamp"}
    return listed([name for bit, name in names.items() if bits & bit])


def probes_failed(tables: Tables, flows: IntArray, senders: IntArray) -> BoolArray:
    """Whether a RST came when the next of its sender's keep-alives was due: as far apart as the last two of these were.

    So they failed, though the answers to them may have passed the tap: they were lost behind it.
    """
    f, m = tables.flows, tables.marks
    sender = np.full(len(f), -1, dtype=np.int64)
    sender[flows] = senders
    rows = np.flatnonzero(m["mark"] == KEEP_ALIVE)
    rows = rows[
        (m["endpoint"][rows] == sender[m["flow"][rows]]) & (m["time_ns"][rows] < f["reset_ns"][m["flow"][rows]])
    ]
    if len(rows) < 2:
        return np.zeros(len(flows), dtype=bool)
    # The marks of a flow are in order: the last of each, and the one before.
    last = np.searchsorted(m["flow"][rows], flows, side="right") - 1
    before = np.maximum(last - 1, 0)
    two = (last >= 1) & (m["flow"][rows[last]] == flows) & (m["flow"][rows[before]] == flows)
    probed_ns, first_ns = m["time_ns"][rows[last]], m["time_ns"][rows[before]]
    apart_ns = probed_ns - first_ns
    silent = np.maximum(side(f, CLIENT, "data_ns"), side(f, SERVER, "data_ns"))[flows] < first_ns
    due = np.abs(f["reset_ns"][flows] - probed_ns - apart_ns) <= apart_ns // PUNCTUAL
    failed: BoolArray = two & silent & due & (apart_ns >= to_ns(LEAST_INTERVAL_S))
    return failed
