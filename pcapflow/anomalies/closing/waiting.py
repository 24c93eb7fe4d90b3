"""Endpoints that wait for their peer's FIN, or owe it theirs: what FIN_WAIT_2 and CLOSE_WAIT rules share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import SIDES, indices, side
from pcapflow.anomalies.lookup.timeline import (
    last_times,
)
from pcapflow.anomalies.model import IntArray, Severity
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp.flags import ACK
from pcapflow.tcp.states import CLOSE_WAIT, RST_RX
from pcapflow.text.times import to_ns

SHORT_WAIT_S = 10.0
"""Somebody who watches would not yet wonder about a close that takes less than this."""


class Waiting(NamedTuple):
    """Endpoints that wait in one state, to the end of the capture or until they leave it; parallel columns."""

    flows: IntArray
    endpoints: IntArray
    since_ns: IntArray
    waited_ns: IntArray


def wait_severity(waited_ns: IntArray, config: Config) -> IntArray:
    """Low for what is stuck by the setting, info below :data:`SHORT_WAIT_S`."""
    patience = min(to_ns(SHORT_WAIT_S), to_ns(config.stuck_s))
    return np.where(waited_ns >= patience, int(Severity.LOW), int(Severity.INFO))


def waiting_in(tables: Tables, config: Config, state: int, *, peer_data: bool) -> Waiting:
    """Who is in this state at the end, without new data from the side that owes a FIN, for long enough to be stuck.

    In a capture shorter than the threshold the wait to its end counts, once it is past the grace.

    ``state`` is FIN_WAIT_2, where the peer owes data or a FIN (``peer_data``), or CLOSE_WAIT, where the endpoint does.
    """
    f, end_ns = tables.flows, tables.capture.last_ns
    short = end_ns - tables.capture.first_ns < to_ns(config.stuck_s)
    patience = to_ns(config.close_grace_s if short else config.stuck_s)
    parts = []
    for endpoint in SIDES:
        here = side(f, endpoint, "state") == state
        if peer_data:
            # A FIN that passed here and did not arrive is no FIN that was not sent: PF201 tells of it.
            here = here & (side(f, 1 - endpoint, "fins") == 0)
        if not here.any():
            continue
        entered = last_times(tables, endpoint, new=state)
        since = np.maximum(entered, side(f, 1 - endpoint if peer_data else endpoint, "data_ns"))
        flows = indices(here & (entered >= 0) & (end_ns - since >= patience))
        parts.append(Waiting(flows, np.full(len(flows), endpoint), entered[flows], end_ns - since[flows]))
    if not parts:
        return _nobody()
    return Waiting(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _nobody() -> Waiting:
    nothing = np.zeros(0, dtype=np.int64)
    return Waiting(nothing, nothing, nothing, nothing)


@cached_per_tables
def unclosed(tables: Tables, config: Config) -> Waiting:
    """Endpoints in CLOSE_WAIT at the end of the capture whose application owes a close."""
    return waiting_in(tables, config, CLOSE_WAIT, peer_data=False)


@cached_per_tables
def ended_waits(tables: Tables, config: Config) -> Waiting:
    """Endpoints that owed a close for ``stuck_s`` or longer in CLOSE_WAIT, and left it by a late FIN or a RST.

    What ends in data and a FIN was a half-close whose answer took long. Only where the data drew a RST from nobody's
    socket had the other side given up meanwhile.
    """
    f = tables.flows
    parts = []
    for endpoint in SIDES:
        entered, left = (last_times(tables, endpoint, **{way: CLOSE_WAIT}) for way in ("new", "old"))
        flows = indices((entered >= 0) & (left - entered >= to_ns(config.stuck_s)))
        if not len(flows):
            continue
        began, ended = entered[flows], left[flows]
        reset = last_times(tables, endpoint, old=CLOSE_WAIT, event=RST_RX)[flows] == ended
        void = reset & (f["reset_ns"][flows] == ended) & ((f["reset_flags"][flows] & ACK) == 0)
        spoke = side(f, endpoint, "data_ns")[flows] > began
        pause_end = f["pause_end_ns"][flows]
        paused = np.where((pause_end > began) & (pause_end <= ended), pause_end, began)
        until = np.where(~spoke, ended, np.where(void, paused, began))
        long = until - began >= to_ns(config.stuck_s)
        flows, waited = flows[long], (until - began)[long]
        parts.append(Waiting(flows, np.full(len(flows), endpoint), entered[flows], waited))
    if not parts:
        return _nobody()
    return Waiting(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
