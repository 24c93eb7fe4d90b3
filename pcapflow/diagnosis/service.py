"""What each connection shows of its server's service: when it was accepted, refused, answered, ended."""

from __future__ import annotations

import functools
from typing import Final

import numpy as np

from pcapflow.anomalies.lookup.columns import SIDES, among, side
from pcapflow.anomalies.lookup.groups import server_numbers
from pcapflow.anomalies.lookup.timeline import last_times
from pcapflow.anomalies.model import BoolArray, IntArray
from pcapflow.anomalies.resets.causes import FIREWALL_REJECT, INJECTED, Resets, resets
from pcapflow.config import Config
from pcapflow.tables.moments import Moments
from pcapflow.tables.table import Tables
from pcapflow.tcp.completeness import COMPLETE_SYN_ACK
from pcapflow.tcp.endings import BY_BOTH, BY_SERVER, UNANSWERED
from pcapflow.tcp.states import CLIENT, SERVER, SYN_ACK_RX
from pcapflow.text.times import to_ns

AFTER_ANSWER_NS: Final = 10_000_000
"""A server that closes within this time of its own last word closes because it has said everything."""


class Service:
    """Columns as long as ``flows``; times are nanoseconds since 1970, -1 stands for never."""

    def __init__(self, tables: Tables, config: Config) -> None:
        self.tables = tables
        self.config = config
        self._f = tables.flows
        self.rto_ns = to_ns(config.rto_s) * 9 // 10
        """A SYN-ACK later than this answers a SYN that had to be sent again."""
        self.last_ns = tables.capture.last_ns

    @property
    def span_ns(self) -> int:
        """How long the capture is."""
        return max(self.last_ns - int(self._f["start_ns"].min()), 1)

    @functools.cached_property
    def keys(self) -> IntArray:
        """Which server it was opened to, by number."""
        return server_numbers(self.tables)

    @functools.cached_property
    def _resets(self) -> Resets:
        return resets(self.tables, self.config)

    def _flagged(self, rows: BoolArray) -> BoolArray:
        """The connections of these resets, as a mask over all."""
        found = np.zeros(len(self._f), dtype=bool)
        found[self._resets.flows[rows]] = True
        return found

    @property
    def start_ns(self) -> IntArray:
        """When it began."""
        return self._f["start_ns"]

    @property
    def close_ns(self) -> IntArray:
        """When the first FIN or RST passed."""
        return self._f["close_ns"]

    @property
    def spoke_ns(self) -> IntArray:
        """When the server last sent payload."""
        return self._f["server_data_ns"]

    @property
    def refused_ns(self) -> IntArray:
        """When it was reset, for those that were refused."""
        return self._f["reset_ns"]

    @functools.cached_property
    def quiet_ns(self) -> IntArray:
        """How long no payload had passed when it was closed."""
        return Moments(self.tables).quiet_before_close_ns

    @property
    def pause_ns(self) -> IntArray:
        """The longest time without payload after which there was some again."""
        return self._f["pause_ns"]

    @functools.cached_property
    def accepted_ns(self) -> IntArray:
        """When the SYN-ACK passed, or at least the SYN that it answers."""
        answered = last_times(self.tables, CLIENT, event=SYN_ACK_RX)
        has_one = (self._f["completeness"] & COMPLETE_SYN_ACK) > 0
        return np.where(has_one, np.where(answered >= 0, answered, self.start_ns), -1)

    @functools.cached_property
    def is_heard(self) -> BoolArray:
        """The server had this connection: it accepted it, or had done so before the capture began."""
        began_before = (self._f["midstream"] > 0) & (side(self._f, SERVER, "bytes") > 0)
        heard: BoolArray = (self.accepted_ns >= 0) | began_before
        return heard

    @functools.cached_property
    def is_refused(self) -> BoolArray:
        """The host answered its SYN by a RST, as far as one can tell in its own name."""
        return self._flagged(self._resets.refused & (self._resets.causes != FIREWALL_REJECT))

    @functools.cached_property
    def is_silent(self) -> BoolArray:
        """Nobody answered its SYN."""
        alone = (self._f["end_reason"] == UNANSWERED) & (side(self._f, SERVER, "packets") == 0)
        return np.asarray(alone, dtype=bool)

    @functools.cached_property
    def is_ended(self) -> BoolArray:
        """The server ended it, by a FIN or a RST of its own."""
        r = self._resets
        foreign = self._flagged(among(r.causes, (INJECTED, FIREWALL_REJECT)) | (r.signs > 0) | r.foreign)
        by_server = among(self._f["closed_by"], (BY_SERVER, BY_BOTH)) & (self.close_ns >= 0)
        ended: BoolArray = by_server & self.is_heard & ~self.is_refused & ~foreign
        return ended

    @functools.cached_property
    def is_abrupt(self) -> BoolArray:
        """It was not closed right after an answer: it was idle, or an answer was owed."""
        trips = [np.maximum(side(self._f, endpoint, "rtt_ns"), 0) for endpoint in SIDES]
        # A server that waits for the client's ACK of its last word closes a round trip later.
        said_all = self.quiet_ns <= AFTER_ANSWER_NS + 2 * (trips[CLIENT] + trips[SERVER])
        return np.asarray(~said_all | self.is_cut, dtype=bool)

    @functools.cached_property
    def _is_reset(self) -> BoolArray:
        return self._flagged((self._resets.senders == SERVER) & ~self._resets.sender_closed)

    @functools.cached_property
    def is_cut(self) -> BoolArray:
        """The client had spoken last when the server ended it; not where that may have been a goodbye."""
        spoke, said = self._f["server_data_ns"], self._f["client_data_ns"]
        close = self.close_ns
        owed = (said > spoke) & (said <= close)
        # Who closes because of what it has just read was told to.
        cut: BoolArray = owed & self.is_ended & (self._is_reset | (close - said > AFTER_ANSWER_NS))
        return cut

    @functools.cached_property
    def is_unread(self) -> BoolArray:
        """It was reset before the server had sent a byte: as a rule it waited to be accepted."""
        unread: BoolArray = self._is_reset & (side(self._f, SERVER, "bytes") == 0) & self.is_ended
        return unread

    @functools.cached_property
    def is_forgotten(self) -> BoolArray:
        """The server's host answered as if it had no such connection, though it had not ended it."""
        r = self._resets
        by_host = (
            r.passive & (r.senders == SERVER) & ~r.sender_closed & ~r.opening & ~r.refused & ~r.foreign & (r.signs == 0)
        )
        forgotten: BoolArray = self._flagged(by_host) & (side(self._f, SERVER, "bytes") > 0)
        return forgotten

    @functools.cached_property
    def was_written_to(self) -> BoolArray:
        """The client sent more after the server had ended it."""
        late: BoolArray = self.is_ended & (side(self._f, CLIENT, "data_ns") > self.close_ns)
        return late

    def has_close_neighbour(self, flows: IntArray, window_ns: int) -> BoolArray:
        """Which of these were ended within this time of another one of the same server."""
        order = np.lexsort((self.close_ns[flows], self.keys[flows]))
        keys, times = self.keys[flows][order], self.close_ns[flows][order]
        near = (keys[1:] == keys[:-1]) & (times[1:] - times[:-1] <= window_ns)
        found = np.zeros(len(flows), dtype=bool)
        found[order[1:][near]] = True
        found[order[:-1][near]] = True
        return found

    def lost_bytes(self, flows: IntArray) -> int:
        """Bytes on their way to the server that these connections' resets destroyed."""
        r = self._resets
        members = np.zeros(len(self._f), dtype=bool)
        members[flows] = True
        return int(r.lost[members[r.flows] & (r.senders == SERVER)].sum())
