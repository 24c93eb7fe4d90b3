"""Applications that lose track of their sockets: several connections in CLOSE_WAIT that do not drain."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.capture_quality import quality
from pcapflow.anomalies.closing.waiting import unclosed
from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import SIDES, indices, side
from pcapflow.anomalies.lookup.groups import group, group_keys, host_keys, peak, server_keys
from pcapflow.anomalies.lookup.timeline import last_times
from pcapflow.anomalies.model import BoolArray, IntArray
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp.states import CLIENT, CLOSE_WAIT
from pcapflow.text.times import to_ns

TOGETHER_S: Final = 1.0
"""Connections that end within this, though they had waited for different times, end with their process."""


class Leak(NamedTuple):
    """Connections that one application does not close, or did not while it ran.

    Attributes:
        endpoint: which side it is.
        flows, since_ns, waited_ns: the connections, since when they are in CLOSE_WAIT, and for how long they had been
            silent at the end; those that waited longest first.
        total: connections of this application.
        at_end, peak: how many were in CLOSE_WAIT at the end, and at most.
        stuck: how many had waited for ``stuck_s``.
        end_ns, span_ns: when all ended in one moment, and within what time; -1 and 0 where they are still open.
    """

    endpoint: int
    flows: IntArray
    since_ns: IntArray
    waited_ns: IntArray
    total: int
    at_end: int
    peak: int
    stuck: int
    end_ns: int = -1
    span_ns: int = 0


class _Waits(NamedTuple):
    """The connections of one application that came into CLOSE_WAIT; ``left_ns`` of those that are still there is -1."""

    endpoint: int
    flows: IntArray
    entered_ns: IntArray
    left_ns: IntArray

    @property
    def gone(self) -> BoolArray:
        """Those that are not in CLOSE_WAIT any more."""
        gone: BoolArray = self.left_ns >= self.entered_ns
        return gone


@cached_per_tables
def leaks(tables: Tables, config: Config) -> list[Leak]:
    """Applications with several connections in CLOSE_WAIT that do not drain, or that ended only with them."""
    waiting = unclosed(tables, config)
    heard = ~quality(tables).unheard
    found = []
    for endpoint in SIDES:
        entered = last_times(tables, endpoint, new=CLOSE_WAIT)
        passed = indices((entered >= 0) & heard)
        if len(passed) < config.leak_flows:
            continue
        left = last_times(tables, endpoint, old=CLOSE_WAIT)
        owners = server_keys(tables)
        if endpoint == CLIENT:
            owners = group_keys(host_keys(tables, CLIENT), owners)
        waited = np.full(len(tables.flows), -1, dtype=np.int64)
        mine = waiting.endpoints == endpoint
        waited[waiting.flows[mine]] = waiting.waited_ns[mine]
        for flows in group(passed, owners[passed]).at_least(config.leak_flows):
            waits = _Waits(endpoint, flows, entered[flows], left[flows])
            leak = _open_still(tables, config, waits, waited[flows]) or _ended_together(tables, config, waits)
            if leak:
                found.append(leak._replace(total=int(np.count_nonzero(owners == owners[flows[0]]))))
    return found


def _open_still(tables: Tables, config: Config, waits: _Waits, waited: IntArray) -> Leak | None:
    """A leak that lasts to the end of the capture; ``waited`` is -1 where a connection is not stuck then."""
    gone = waits.gone
    longest_drained = int((waits.left_ns - waits.entered_ns)[gone].max()) if gone.any() else 0
    # In a short capture a slow but working close looks stuck; it is not where others took as long and closed.
    members = indices((waited >= to_ns(config.stuck_s)) | (waited > longest_drained))
    at_end = int(np.count_nonzero(~gone))
    return _leak(tables, config, waits, members, waited[members], at_end)


def _ended_together(tables: Tables, config: Config, waits: _Waits) -> Leak | None:
    """A leak that ended in one moment, as the connections of a process do that ends."""
    together = to_ns(TOGETHER_S)
    gone = indices(waits.gone)
    order = gone[np.argsort(waits.left_ns[gone], kind="stable")]
    left = waits.left_ns[order]
    sizes = np.searchsorted(left, left + together, side="right") - np.arange(len(left))
    if not len(sizes) or int(sizes.max()) < config.leak_flows:
        return None
    first = int(np.argmax(sizes))
    members = order[first : first + int(sizes[first])]
    end = int(left[first])
    entered = waits.entered_ns[members]
    # Words of farewell at that moment are no data that flowed meanwhile.
    spoke = side(tables.flows, waits.endpoint, "data_ns")[waits.flows[members]]
    since = np.where((spoke > entered) & (spoke < end - together), spoke, entered)
    waited = end - since
    drained = indices(waits.gone & (waits.left_ns < end))
    longest = int((waits.left_ns - waits.entered_ns)[drained].max()) if len(drained) else 0
    stuck = (waited >= to_ns(config.stuck_s)) | ((waited > longest) & (waited >= to_ns(config.close_grace_s)))
    members, waited = members[stuck], waited[stuck]
    # Closed by their peers in one moment, they end in one moment as well, after a while that is the same for all.
    if not len(members) or int(waited.max() - waited.min()) <= together:
        return None
    at_end = int(np.count_nonzero((waits.entered_ns < end) & (~waits.gone | (waits.left_ns >= end))))
    leak = _leak(tables, config, waits, members, waited, at_end)
    return leak and leak._replace(end_ns=end, span_ns=int(waits.left_ns[members].max()) - end)


def _leak(
    tables: Tables, config: Config, waits: _Waits, members: IntArray, waited: IntArray, at_end: int
) -> Leak | None:
    """The leak that these positions among the waits make, unless they are too few or most of the waits drain."""
    if len(members) < config.leak_flows:
        return None
    top, _ = peak(waits.entered_ns, np.where(waits.gone, waits.left_ns, tables.capture.last_ns + 1))
    if at_end * 2 < top:
        return None
    oldest = np.argsort(-waited, kind="stable")
    return Leak(
        waits.endpoint,
        waits.flows[members[oldest]],
        waits.entered_ns[members[oldest]],
        waited[oldest],
        total=0,
        at_end=at_end,
        peak=top,
        stuck=int(np.count_nonzero(waited >= to_ns(config.stuck_s))),
    )
