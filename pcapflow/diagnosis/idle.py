"""Closes after silence: who closed, how long it had waited for a word, and whether one timer made many of them."""

from __future__ import annotations

import functools
from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.cite import proof
from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import among, indices, side
from pcapflow.anomalies.lookup.groups import group, group_keys, host_keys, server_numbers
from pcapflow.anomalies.lookup.timeline import Story, last_times, rows_with
from pcapflow.anomalies.model import MAX_FRAMES, BoolArray, IntArray
from pcapflow.anomalies.resets.causes import KEEPALIVE_TIMEOUT, RETRANSMISSION_TIMEOUT, resets
from pcapflow.config import Config
from pcapflow.diagnosis.figures import TOLERANCE_NS, TOLERANCE_SHARE, agreement
from pcapflow.diagnosis.settings import GREETING_PORTS, is_usual
from pcapflow.tables.moments import Moments
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.endings import BY_CLIENT, BY_SERVER
from pcapflow.tcp.flags import ACK
from pcapflow.tcp.states import ACK_OF_FIN_RX, CLIENT, FIN_TX, SERVER
from pcapflow.text.times import NS_PER_S, to_ns

MAX_GROUPS: Final = 200
"""Servers, or clients of a server, that a pattern looks at in turn: those with the most connections in question."""
GOODBYE_BYTES: Final = 64
"""A goodbye (close_notify of TLS, a QUIT) is no larger."""
KNOWN_NS: Final = 10_000_000
"""Who has known of a FIN for less than this may have looked before it came, and written after."""
_GOODBYE_NS: Final = 20_000_000
"""Who says goodbye sends its FIN within this time."""
_REPEATS: Final = (marks.RETRANSMISSION, marks.FAST_RETRANSMISSION, marks.SPURIOUS_RETRANSMISSION)
_AT_ONCE_NS: Final = 50_000_000
"""What a client says within this time of an answer, and before a long silence, may be the protocol's own: an
acknowledgment or a window of HTTP/2."""
_MULTIPLEXED_PORTS: Final = np.array([443, 8443, 9443, 50_051])
"""Ports where HTTP/2 is usual: the client often has the last word in it although it asks nothing."""
_MOMENT_NS: Final = 50_000_000
"""Closes that are no further apart may have one cause in common."""
_CHECK_NS: Final = NS_PER_S
"""Some programs look for idle connections once a second only (Redis, clientsCron)."""


_CLOSER: Final = np.full(256, -1, dtype=np.int64)
_CLOSER[[BY_CLIENT, BY_SERVER]] = CLIENT, SERVER
"""Of ``closed_by`` the one side that it names, -1 where it names none or both."""


class Closes:
    """How each connection was closed, in columns as long as ``flows``.

    Attributes:
        by: who closed first, CLIENT or SERVER; -1 nobody, or both at once.
        at_ns: when; -1 never.
        idle_ns: for how long the closer had heard and said nothing by then; -1 unknown.
        word_ns: when the last word before that silence passed, or the handshake ended; -1 unknown.
        asked_ns, said_ns: when the client, and the server, last sent new payload; -1 never.
        moments: other moments of the connections.
    """

    def __init__(self, tables: Tables, config: Config) -> None:
        self._tables = tables
        self._config = config
        f = tables.flows
        first = f["closed_by"]
        self.by: IntArray = _CLOSER[first]
        self.at_ns: IntArray = f["close_ns"]
        self.asked_ns, self.said_ns = side(f, CLIENT, "data_ns"), side(f, SERVER, "data_ns")
        self.moments = Moments(tables)
        quiet = self.moments.quiet_before_close_ns
        # A request that passed before the FIN or RST, and that the server had not got by then, is no word that it knew.
        idle = np.where(self._crossed_before_close, self.at_ns - self.said_ns, quiet)
        self.idle_ns: IntArray = np.where(self.by >= 0, idle, -1)
        # Closing words are the only words by which this silence differs from the one before the close.
        self._closing_words: BoolArray = (
            (quiet == f["pause_ns"]) & (f["pause_end_ns"] <= self.at_ns) & (self.at_ns - f["pause_end_ns"] <= NS_PER_S)
        )
        ended = np.where(self._closing_words, f["pause_end_ns"], self.at_ns)
        self.word_ns: IntArray = np.where(self.idle_ns >= 0, ended - self.idle_ns, -1)

    @functools.cached_property
    def request_lost(self) -> BoolArray:
        """The server never acknowledged the last of the client's payload."""
        f = self._tables.flows
        end = side(f, CLIENT, "sent") - (side(f, CLIENT, "fins") > 0)
        lost: BoolArray = (side(f, SERVER, "acked") < end) & (side(f, CLIENT, "bytes") > 0)
        return lost

    @functools.cached_property
    def answer_lost(self) -> BoolArray:
        """The client never acknowledged the last of the server's payload."""
        f = self._tables.flows
        lost: BoolArray = (side(f, CLIENT, "acked") < self.said_end) & (side(f, SERVER, "bytes") > 0)
        return lost

    @functools.cached_property
    def said_end(self) -> IntArray:
        """Where the server's payload ends, in its relative numbers."""
        f = self._tables.flows
        return side(f, SERVER, "sent") - (side(f, SERVER, "fins") > 0)

    @functools.cached_property
    def troubled(self) -> BoolArray:
        """Segments were sent again more than once in the silence before the close: it is the network's."""
        t = self._tables.marks
        rows = rows_with(self._tables, *_REPEATS)
        flows = t["flow"][rows]
        within = (t["time_ns"][rows] >= self.word_ns[flows]) & (t["time_ns"][rows] < self.at_ns[flows])
        troubled: BoolArray = np.bincount(flows[within], minlength=len(self.by)) > 1
        return troubled

    @functools.cached_property
    def _aborted(self) -> BoolArray:
        """The server closed by a RST of its own: none that answers what it has no connection for."""
        f = self._tables.flows
        aborted: BoolArray = (f["reset_by"] == SERVER) & (f["reset_ns"] == self.at_ns) & (f["reset_flags"] & ACK != 0)
        return aborted

    @functools.cached_property
    def _crossed_before_close(self) -> BoolArray:
        """The client's last words passed the tap before the server's FIN or RST, and reached the server after it."""
        f = self._tables.flows
        flows = indices((self.by == SERVER) & (self.said_ns >= 0))
        asked_ns, at_ns = self.asked_ns[flows], self.at_ns[flows]
        closed = (last_times(self._tables, SERVER, event=FIN_TX)[flows] == at_ns) | self._aborted[flows]
        found = closed & self.request_lost[flows] & (side(f, CLIENT, "after_fin")[flows] == 0)
        found &= (self.said_ns[flows] < asked_ns) & (asked_ns <= at_ns)
        # They are a request after a pause, and not the end of a long one that the server was reading.
        pause_end_ns = f["pause_end_ns"][flows]
        found &= (pause_end_ns <= asked_ns) & (asked_ns - pause_end_ns <= _AT_ONCE_NS)
        crossed = np.zeros(len(f), dtype=bool)
        crossed[flows[found]] = True
        return crossed

    @functools.cached_property
    def written_to(self) -> BoolArray:
        """The client wrote to a connection that the server had closed, and what it wrote was lost.

        Not a goodbye, after which it closes too.
        """
        f = self._tables.flows
        late_bytes = side(f, CLIENT, "after_fin")
        drew = (f["reset_by"] == SERVER) & (f["reset_ns"] >= self.asked_ns)
        fin = last_times(self._tables, CLIENT, event=FIN_TX)
        goodbye = (late_bytes <= GOODBYE_BYTES) & (fin >= self.asked_ns) & (fin - self.asked_ns <= _GOODBYE_NS)
        written: BoolArray = (self.by == SERVER) & (late_bytes > 0) & (drew | self.request_lost) & ~goodbye
        # Whoever had got a RST could not write any more.
        crossed_reset = (self.by == SERVER) & self._aborted & (self.asked_ns > self.at_ns)
        written |= crossed_reset | self._crossed_before_close
        return written

    @functools.cached_property
    def known_ns(self) -> IntArray:
        """For how long the client had acknowledged the server's FIN when it last wrote; -1 where it had not."""
        acked = last_times(self._tables, SERVER, event=ACK_OF_FIN_RX)
        return np.where((acked >= 0) & (self.asked_ns > acked), self.asked_ns - acked, -1)

    @functools.cached_property
    def client_waited_ns(self) -> IntArray:
        """The longest silence after which the client wrote again, whatever became of it; -1 none is known."""
        f = self._tables.flows
        waited = np.where((f["pause_ns"] != f["answer_ns"]) & ~self._closing_words, f["pause_ns"], -1)
        last = np.where(self.written_to & (self.word_ns >= 0), self.asked_ns - self.word_ns, -1)
        return np.maximum(waited, last)

    @functools.cached_property
    def outlived_ns(self) -> IntArray:
        """The longest silence that the connection outlived: words passed after it, and no close was in between; or -1.

        The time that the server took for an answer is none.
        """
        f = self._tables.flows
        outlived = (f["pause_ns"] != f["answer_ns"]) & ((self.at_ns < 0) | (f["pause_end_ns"] < self.at_ns))
        return np.where(outlived & ~self._closing_words, f["pause_ns"], -1)

    @functools.cached_property
    def owes(self) -> BoolArray:
        """The server owed an answer when the connection was closed: the client had the last word, or the answer came.

        A server that speaks first owes a greeting. What a client says at once after an answer may call for none in
        HTTP/2.
        """
        came = (self.at_ns >= 0) & (self.said_ns > self.at_ns)
        # What is written after the close is owed no answer.
        first_ns = side(self._tables.flows, CLIENT, "first_data_ns")
        before = (self.at_ns < 0) | (first_ns <= self.at_ns)
        asked = (self.asked_ns >= 0) & before & (self.word_ns >= 0) & (self.said_ns < self.word_ns)
        at_once = (self.said_ns >= 0) & (self.asked_ns - self.said_ns <= _AT_ONCE_NS)
        at_once &= among(self._tables.flows["server_port"].astype(np.int64), _MULTIPLEXED_PORTS)
        owes: BoolArray = came | (asked & ~at_once) | self._greeting_owed
        return owes

    @functools.cached_property
    def _greeting_owed(self) -> BoolArray:
        """Nothing was said until the client closed, and on others, or by its port, the server speaks first."""
        f = self._tables.flows
        asked, said = side(f, CLIENT, "first_data_ns"), side(f, SERVER, "first_data_ns")
        greets = (said >= 0) & ((asked < 0) | (said < asked))
        greets |= among(f["server_port"].astype(np.int64), np.array(GREETING_PORTS))
        mute: BoolArray = (self.by == CLIENT) & (self.asked_ns < 0) & (self.said_ns < 0)
        if not mute.any():
            return mute
        keys = server_numbers(self._tables)
        owed: BoolArray = mute & among(keys, keys[greets])
        return owed

    @functools.cached_property
    def is_idle(self) -> BoolArray:
        """Closed after a silence that is long enough for a time-out, and in which nobody owed an answer.

        Not by whoever had asked in vain whether its peer is still there, nor while something was not delivered.
        """
        idle: BoolArray = (self.idle_ns >= to_ns(self._config.timeout_s)) & ~self.owes
        idle &= ~self.troubled & (~self.answer_lost | self.written_to)
        found = resets(self._tables, self._config)
        idle[found.flows[among(found.causes, (KEEPALIVE_TIMEOUT, RETRANSMISSION_TIMEOUT))]] = False
        return idle


@cached_per_tables
def closes(tables: Tables, config: Config) -> Closes:
    """How the connections of a capture were closed."""
    return Closes(tables, config)


class Timer(NamedTuple):
    """One time-out that ended many connections.

    Attributes:
        flows: those that it ended.
        low_ns, high_ns, median_ns: how long they had been idle.
        moments: at how many different times it struck.
    """

    flows: IntArray
    low_ns: int
    high_ns: int
    median_ns: int
    moments: int

    @property
    def reach_ns(self) -> int:
        """How far beyond those lengths it may still be the same."""
        return max(TOLERANCE_NS, round(self.median_ns * TOLERANCE_SHARE))


def timer(flows: IntArray, lengths_ns: IntArray, ends_ns: IntArray, *, may_check: bool = False) -> Timer | None:
    """The one time-out behind most of these ends; nothing where they do not agree, or might agree by chance.

    Connections that are used together and closed together agree in how long they were idle without any timer: only
    ends at different times count, three of them, or two where the length is a usual one.

    Args:
        flows: connections that one side ended after silence.
        lengths_ns, ends_ns: how long each had been idle, and when it was ended.
        may_check: the program may look for idle connections once a second only.
    """
    found = agreement(lengths_ns)
    if may_check and (found is None or 2 * len(found.members) < len(flows)):
        checked = agreement(lengths_ns, least=4, slack_ns=_CHECK_NS)
        if checked is not None and checked.low_ns >= 2 * (checked.high_ns - checked.low_ns) - TOLERANCE_NS:
            found = checked
    if found is None or 2 * len(found.members) < len(flows):
        return None
    moments = count_moments(ends_ns[found.members], lengths_ns[found.members])
    if moments < (2 if is_usual(found.median_ns) else 3):
        return None
    return Timer(flows[found.members], found.low_ns, found.high_ns, found.median_ns, moments)


def count_moments(ends_ns: IntArray, lengths_ns: IntArray) -> int:
    """At how many different times something ended that had lasted for these lengths of time.

    Ends without a gap between them are one time, but for those that go on for longer than what they end had lasted.
    """
    if not len(ends_ns):
        return 0
    apart = max(_MOMENT_NS, min(2 * int(np.ptp(lengths_ns)), TOLERANCE_NS))
    ordered = np.sort(ends_ns)
    edges = np.flatnonzero(np.diff(ordered) > apart)
    first, last = ordered[np.concatenate(([0], edges + 1))], ordered[np.concatenate((edges, [len(ordered) - 1]))]
    return int(np.sum(1 + (last - first) // max(NS_PER_S, int(np.median(lengths_ns)))))


class IdleEnd(NamedTuple):
    """What one side does with its idle connections.

    Attributes:
        everyone: all connections between the same.
        closed: those that it closed after silence.
        timer: the time-out that it shows; None where it shows none.
        outlived: connections that were idle for longer than that, and went on.
    """

    everyone: IntArray
    closed: IntArray
    timer: Timer | None
    outlived: IntArray


@cached_per_tables
def idle_ends(tables: Tables, config: Config, endpoint: int) -> list[IdleEnd]:
    """What each server, or each client with each server, does with idle connections; the busiest few of them.

    Where as many connections outlive a longer silence, nothing ends them after this one.
    """
    ends = closes(tables, config)
    keys = server_numbers(tables)
    if endpoint == CLIENT:
        keys = group_keys(host_keys(tables, CLIENT), keys)
    closed = indices(ends.is_idle & (ends.by == endpoint))
    groups = largest(group(closed, keys[closed]).at_least(1))
    if not groups:
        return []
    concerned = indices(among(keys, np.array([keys[flows[0]] for flows in groups])))
    peers = {int(keys[flows[0]]): flows for flows in group(concerned, keys[concerned]).at_least(1)}
    found = []
    for flows in groups:
        everyone = peers[int(keys[flows[0]])]
        struck = timer(flows, ends.idle_ns[flows], ends.at_ns[flows], may_check=endpoint == SERVER)
        outlived = everyone[:0]
        if struck is not None:
            outlived = everyone[ends.outlived_ns[everyone] > struck.high_ns + struck.reach_ns]
            if len(outlived) >= len(struck.flows):
                struck = None
        found.append(IdleEnd(everyone, flows, struck, outlived))
    return found


def by_time_out(idle: IdleEnd, ends: Closes, flows: IntArray) -> BoolArray:
    """Which of these closes its time-out made; where it shows none, those of a usual length that came alone."""
    lengths = ends.idle_ns[flows]
    if idle.timer is not None:
        reach = idle.timer.reach_ns
        return (lengths >= idle.timer.low_ns - reach) & (lengths <= idle.timer.high_ns + reach)
    usual = np.array([is_usual(length) for length in lengths.tolist()], dtype=bool)
    return usual & came_alone(idle, ends, flows)


def came_alone(idle: IdleEnd, ends: Closes, flows: IntArray) -> BoolArray:
    """Which of these closes are not one of several in one moment, as when a server stops."""
    moments = np.sort(ends.at_ns[idle.closed])
    first = np.searchsorted(moments, ends.at_ns[flows] - 2 * _MOMENT_NS)
    last = np.searchsorted(moments, ends.at_ns[flows] + 2 * _MOMENT_NS, side="right")
    alone: BoolArray = last - first <= 1
    return alone


def largest(groups: list[IntArray]) -> list[IntArray]:
    """The groups with the most members, at most :data:`MAX_GROUPS`."""
    return sorted(groups, key=len, reverse=True)[:MAX_GROUPS]


def close_frames(tables: Tables, flows: IntArray, endpoint: int) -> tuple[int, ...]:
    """The frames in which this endpoint closed the first few of these connections: its FIN, or else its RST."""
    few = flows[:MAX_FRAMES]
    story = Story(tables, few)
    resets = tables.flows["reset_frame"][few].tolist()
    fins = [story.frame(flow, endpoint, event=FIN_TX) for flow in few.tolist()]
    return proof(fin or reset for fin, reset in zip(fins, resets, strict=True))
