"""Moments and durations of connections that follow from what was logged of them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from pcapflow.tables.schema import Column
from pcapflow.tcp.states import ACK_OF_SYN_RX, SERVER

if TYPE_CHECKING:
    from pcapflow.tables.table import Tables


class Moments:
    """Columns as long as ``flows``, of nanoseconds; -1 stands for none. Each is made once, when it is asked for."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._f = tables.flows

    @functools.cached_property
    def established_ns(self) -> Column:
        """When the ACK passed that completed the handshake: the one by which the server left SYN_RCVD."""
        steps = self._tables.transitions
        found = np.full(len(self._f), -1)
        for kind, rows in self._tables.transitions_by_kind.items():
            if kind.endpoint == SERVER and kind.event == ACK_OF_SYN_RX:
                found[steps["flow"][rows]] = steps["time_ns"][rows]
        return found

    @functools.cached_property
    def handshake_ns(self) -> Column:
        """Time from the first SYN to the ACK that completed the handshake, repeated SYNs and lost ACKs included.

        -1 where the connection began before the capture, or the handshake was never completed.
        """
        known = (self.established_ns >= 0) & (self._f["midstream"] == 0)
        return np.where(known, np.maximum(self.established_ns - self._f["start_ns"], 0), -1)

    @functools.cached_property
    def first_byte_ns(self) -> Column:
        """Time to first byte: from the client's first payload to the server's first payload after it.

        Where the server speaks first (SSH, SMTP, MySQL), from the end of the handshake to its first payload: it is for
        that the client waits. -1 where the server said nothing, or the beginning was not captured.
        """
        client, server = self._f["client_first_data_ns"], self._f["server_first_data_ns"]
        asked = np.where((client >= 0) & (client <= server), client, self.established_ns)
        return np.where((server >= 0) & (asked >= 0), np.maximum(server - asked, 0), -1)

    @functools.cached_property
    def quiet_before_close_ns(self) -> Column:
        """How long no payload had passed at the first FIN or RST; without any, for how long it was established.

        Closing words do not end this silence (:func:`pcapflow.tracker.conversation.begin_close`). -1 where nobody
        closed, or neither payload nor a handshake came before that.
        """
        close, quiet = self._f["close_ns"], self._f["quiet_ns"]
        is_mute = (quiet < 0) & (close >= 0) & (self.established_ns >= 0)
        return np.where(is_mute, np.maximum(close - self.established_ns, 0), quiet)
