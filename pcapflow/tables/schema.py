"""The columns of the tables: by name, with the type of their numbers. Every table is checked against its schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pcapflow.tcp.states import ENDPOINT_NAMES

Column = npt.NDArray[Any]
Schema = Mapping[str, type[np.generic]]

_SIDE: Final[Schema] = {
    "packets": np.int64,
    "bytes": np.int64,
    "retransmitted": np.int64,
    "data_segments": np.int64,
    "data_segments_again": np.int64,
    "largest": np.int64,
    "rtt_ns": np.int64,
    "syns": np.int32,
    "fins": np.int32,
    "rsts": np.int32,
    "first_frame": np.int64,
    "last_ns": np.int64,
    "data_ns": np.int64,
    "first_data_ns": np.int64,
    "sent": np.int64,
    "acked": np.int64,
    "after_fin": np.int64,
    "unseen": np.int64,
    "mss": np.int32,
    "wscale": np.int32,
    "ttl": np.int32,
    "timestamps": np.int32,
    "syn_form": np.int32,
    "clock_hz": np.int32,
    "zero_ns": np.int64,
    "zero_frame": np.int64,
}

FLOWS: Final[Schema] = {
    "flow": np.int64,
    "stream": np.int64,
    "family": np.uint8,
    "client_hi": np.int64,
    "client_lo": np.int64,
    "server_hi": np.int64,
    "server_lo": np.int64,
    "client_port": np.int32,
    "server_port": np.int32,
    "vlan": np.int32,
    "tunnel": np.int32,
    "first_frame": np.int64,
    "last_frame": np.int64,
    "start_ns": np.int64,
    "end_ns": np.int64,
    "client_state": np.uint8,
    "server_state": np.uint8,
    "closed_by": np.uint8,
    "end_reason": np.uint8,
    "completeness": np.uint8,
    "midstream": np.uint8,
    "roles_assumed": np.uint8,
    "history_1": np.int64,
    "history_2": np.int64,
    "idle_ns": np.int64,
    "idle_end_ns": np.int64,
    "idle_frame": np.int64,
    "idle_endpoint": np.int32,
    "idle_owed": np.uint8,
    "idle_owed_by": np.int32,
    "pause_ns": np.int64,
    "pause_end_ns": np.int64,
    "answer_ns": np.int64,
    "answer_frame": np.int64,
    "turns": np.int64,
    "close_ns": np.int64,
    "quiet_ns": np.int64,
    "reset_frame": np.int64,
    "reset_ns": np.int64,
    "reset_by": np.int32,
    "reset_flags": np.int32,
    "reset_window": np.int32,
    "reset_ttl": np.int32,
    "reset_options": np.int32,
    "reset_gap": np.int64,
    "reset_pending": np.int64,
    "reset_drew_frame": np.int64,
    "reset_goodbye": np.int32,
    "reset_continues": np.int32,
    "icmp_frame": np.int64,
    "icmp_hi": np.int64,
    "icmp_lo": np.int64,
    **{f"{side}_{name}": dtype for side in ENDPOINT_NAMES for name, dtype in _SIDE.items()},
}
"""A row per connection, in order of first frame. ``*_hi`` and ``*_lo`` are the two halves of an address; ``sent`` and
``acked`` are relative sequence numbers (the SYN is 0); -1 stands for "none" wherever a value can be absent.
``data_segments`` counts payload in units of the MSS, whatever the card merged, and ``data_segments_again`` those of
them that were sent again; ``largest`` is the most payload of a record with new data, which a card may have merged of
several segments. ``reset_goodbye`` is a code of :mod:`pcapflow.tcp.endings`, and ``reset_continues`` bits of it; a RST
that nothing drew has a ``reset_drew_frame`` of 0. ``icmp_*`` are of the first
ICMP error since the side whose segments it speaks of last heard its peer: its frame, and the address it came from.

``syn_form`` is ``window | order << 16`` of a side's first SYN: the window as on the wire, and the number of the order
of its options (:mod:`pcapflow.tcp.syn_options`). ``clock_hz`` is how quickly the clock of its time stamps ticks.

``first_data_ns`` and ``data_ns`` are when a side first and last sent payload that had not passed before. ``idle_*``
tell of the longest time without any segment, and ``pause_*`` of the longest without new payload, which keep-alives do
not end. ``close_ns`` is the first FIN or RST, ``quiet_ns`` for how long no payload had passed then. What follows from
these is in :mod:`pcapflow.tables.moments`."""

TRANSITIONS: Final[Schema] = {
    "flow": np.int64,
    "endpoint": np.uint8,
    "old": np.uint8,
    "new": np.uint8,
    "time_ns": np.int64,
    "frame": np.int64,
    "event": np.uint8,
    "basis": np.uint8,
}
"""A row per change of state, in time order; codes index the name tuples of :mod:`pcapflow.tcp.states`."""

MARKS: Final[Schema] = {
    "flow": np.int64,
    "frame": np.int64,
    "time_ns": np.int64,
    "endpoint": np.uint8,
    "mark": np.uint8,
    "value": np.int64,
}
"""A row per noteworthy frame, by flow and frame; ``mark`` indexes :data:`pcapflow.tcp.marks.MARK_NAMES`."""
