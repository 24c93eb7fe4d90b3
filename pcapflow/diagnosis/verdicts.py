"""Whether an event of silence is a path that was out, a host that is down, or one that was restarted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from pcapflow.anomalies.lookup.columns import side
from pcapflow.diagnosis.case import Case
from pcapflow.diagnosis.event_words import askers_of, concerned
from pcapflow.diagnosis.events import Event
from pcapflow.diagnosis.icmp_messages import messages
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.times import to_ns

_NO_ROUTE: Final = {4: (3 << 8 | 0, 3 << 8 | 6, 11 << 8), 6: (1 << 8, 3 << 8)}
"""Types and codes of ICMP errors that speak of a network and not of a host: no route, or a loop."""


def is_path(case: Case, event: Event, events: Sequence[Event]) -> bool:
    """Whether a lasting silence is that of a path: several hosts fell silent for the same askers, or ICMP says so."""
    if len(together(case, event, events)) > 1:
        return True
    errors = messages(case, concerned(case, event), after_ns=event.since_ns)
    return any(message.value in _NO_ROUTE[message.family] for message in errors)


def together(case: Case, event: Event, events: Sequence[Event]) -> list[Event]:
    """The events of the same askers that began, and ended, in the same moment as this one, which is among them."""
    near = to_ns(case.config.host_moment_s)
    askers = set(askers_of(case, event))
    return [
        other
        for other in events
        if (other.back_ns < 0) == (event.back_ns < 0)
        and abs(other.asked_ns - event.asked_ns) <= near
        and abs(other.back_ns - event.back_ns) <= near
        and askers & set(askers_of(case, other))
    ]


def forgot(case: Case, event: Event) -> bool:
    """Whether the host, when it was back, answered by RSTs what belonged to the connections of before."""
    f = case.tables.flows
    flows, peers = event.silent.flows, 1 - event.silent.askers
    said = np.where(peers == CLIENT, side(f, CLIENT, "data_ns")[flows], side(f, SERVER, "data_ns")[flows])
    reset = (f["reset_by"][flows] == peers) & (f["reset_ns"][flows] >= event.silent.last_ns)
    return bool(np.any(reset & (said < event.silent.asked_ns)))
