"""PI402: the path between hosts was out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.lookup.timeline import Story
from pcapflow.anomalies.model import LIKELY, POSSIBLE, Severity
from pcapflow.anomalies.transfer.repeats import REPEATS
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.event_words import (
    asked_in_vain,
    askers_of,
    concerned,
    count_attempts,
    heard_by_others,
    is_established,
    last_heard,
    others_heard,
    peer_of,
)
from pcapflow.diagnosis.events import Event, events_of
from pcapflow.diagnosis.hosts import Hosts
from pcapflow.diagnosis.icmp_messages import Message, messages, observed, senders
from pcapflow.diagnosis.model import Explanation, Observation, Remedy
from pcapflow.diagnosis.paths import blamed, path_between
from pcapflow.diagnosis.pattern import pattern
from pcapflow.diagnosis.verdicts import forgot, is_path, together
from pcapflow.text.phrases import counted, duration, listed
from pcapflow.text.times import time_of_day

_LOOKED_AT: Final = 200
"""Connections of which the last question in vain is looked for."""


@pattern("PI402", "path-down", title="The path between hosts was out")
def path_down(case: Case) -> Sequence[Explanation]:
    """All connections between the same hosts or networks fell silent in one moment, and recovered together or not.

    Seen: on several connections what one side sent was not answered in the same time, and sent again with growing
        pauses, while nothing came from the other side on any connection; then all of them went on. Or nothing came any
        more, of several hosts or by the word of a router (network unreachable), or from a host that others still hear.
    Unless: one host is silent to everybody (PI401), it came back without its connections (PI101, PI401), or new
        connections between the same hosts work at once while old ones stay silent (PI403).
    Means: a link, a route or a device between the two was out. TCP survives outages of minutes; what is lost is time,
        and it is longer than the outage, since the pauses between two tries double.
    Do:
        Network: look for what changed on the path at this time: links, routes, spanning tree, fail-over of a firewall.
        Client: a time-out for requests that is longer than the outage would have survived it.
    Else: the host stood still for that long: it was suspended, moved to other hardware, or starved.
    Source: RFC 9293, 3.8.1; RFC 6298, 5.5 (the pauses double); Linux tcp_retries2.
    """
    events = events_of(case)
    explanations, seen = [], set[int]()
    for place, event in enumerate(events):
        if place in seen or not _is_out(case, event, events):
            continue
        parts = [other for other in together(case, event, events) if _is_out(case, other, events)]
        seen.update(events.index(part) for part in parts)
        explanations.append(_explanation(case, parts))
    return explanations


def _is_out(case: Case, event: Event, events: Sequence[Event]) -> bool:
    if not is_established(case, event):
        return False
    if event.back_ns >= 0:
        return not forgot(case, event)
    return event.scope == "path" or is_path(case, event, events)


def _explanation(case: Case, parts: list[Event]) -> Explanation:
    event = max(parts, key=lambda part: len(part.flows))
    flows = np.concatenate([concerned(case, part) for part in parts])
    flows = flows[np.sort(np.unique(flows, return_index=True)[1])]
    peer_names = dict.fromkeys(peer_of(case, part) for part in parts)
    peers, askers = Hosts(list(peer_names), len(peer_names)), askers_of(case, *parts)
    since, asked = min(part.since_ns for part in parts), min(part.asked_ns for part in parts)
    back = event.back_ns
    errors = messages(case, flows, after_ns=since)
    router = f" (router {senders(errors)[0]})" if senders(errors) else ""
    path = path_between(askers, peers)
    others = others_heard(case, event).without(peers)
    attempts = sum(count_attempts(case, part, concerned(case, part)) for part in parts)
    what = [counted(len(flows) - attempts, "connection")] if len(flows) > attempts else []
    what += [counted(attempts, "attempt")] if attempts else []
    outage = _bounds(case, parts) if back >= 0 else None
    return Explanation(
        severity=Severity.MEDIUM if back >= 0 or event.scope == "path" else Severity.HIGH,
        confidence=LIKELY if back >= 0 or errors or len(peers) > 1 else POSSIBLE,
        headline=_headline(path, what, asked, case.tables.capture.last_ns, errors, outage),
        blame=blamed(f"{path}{router}"),
        start_ns=since,
        end_ns=back if back >= 0 else case.tables.capture.last_ns,
        flows=named(event.first_asked(flows)),
        count=len(flows),
        hosts=(*peers, *askers)[:20],
        explains=frozenset(case.anomalies_of(flows=flows)),
        why=(
            *(found for part in parts[:3] for found in (last_heard(case, part), *asked_in_vain(case, part))),
            *observed(case, errors),
            *_recovery(parts, outage),
            *_not_affected(others, heard_by_others(case, event)),
        ),
        against=_against(peers, back, errors),
        remedy=_remedy(path, senders(errors), asked, outage),
    )


class _Outage(NamedTuple):
    """How long a path was out that came back.

    Attributes:
        least_ns: from the first question without an answer to the last one, at least 0.
        most_ns: from when the other side was last heard until it was heard again.
        last_ns, frame: the last question without an answer; -1 and 0 where none is known.
        waited_ns: how long the connection waited that waited longest.
    """

    least_ns: int
    most_ns: int
    last_ns: int
    frame: int
    waited_ns: int


def _bounds(case: Case, parts: list[Event]) -> _Outage:
    last = (-1, 0)
    for part in parts:
        silent = part.silent.take(np.arange(min(len(part.silent.flows), _LOOKED_AT)))
        story = Story(case.tables, silent.flows)
        for flow, asker, final_ns in zip(*(column.tolist() for column in (silent.flows, silent.askers, silent.last_ns)),
                                         strict=True):  # fmt: skip
            # The last of a connection is the one that was answered.
            vain = [mark for mark in story.marks(flow, *REPEATS, endpoint=asker) if mark.time_ns < final_ns]
            last = max([last, *((mark.time_ns, mark.frame) for mark in vain[-1:])])
    asked, since = min(part.asked_ns for part in parts), min(part.since_ns for part in parts)
    back = max(parts, key=lambda part: len(part.flows)).back_ns
    waited = max(int((part.silent.back_ns - part.silent.asked_ns).max()) for part in parts)
    return _Outage(max(last[0] - asked, 0), back - since, *last, waited)


def _headline(
    path: str,
    what: list[str],
    asked_ns: int,
    end_ns: int,
    errors: Sequence[Message],
    outage: _Outage | None,
) -> str:
    begin = f"{path[0].upper()}{path[1:]}"
    if outage is not None:
        least = f", for {duration(outage.least_ns)} at least" if outage.least_ns else ""
        return (
            f"{begin} was out from {time_of_day(asked_ns)} on{least}: {listed(what)} had no answer for up to "
            f"{duration(outage.waited_ns)}, and then went on."
        )
    said = ""
    if senders(errors):
        router = senders(errors)[0]
        said = f" (the router {router} says: {next(message.text for message in errors if message.sender == router)})"
    return (
        f"{begin} has been out since {time_of_day(asked_ns)}{said}: {listed(what)} had no answer in the "
        f"{duration(end_ns - asked_ns)} to the end of the capture."
    )


def _recovery(parts: list[Event], outage: _Outage | None) -> list[Observation]:
    if outage is None:
        return []
    answered = np.concatenate([part.silent.back_ns for part in parts])
    found = []
    if outage.frame:
        found.append(
            Observation(
                f"the path itself was out for {duration(outage.least_ns)} at least, until the last try without an "
                f"answer (frame {outage.frame}), and {duration(outage.most_ns)} at most; connections wait longer "
                "than it lasts, because the pauses between two tries double",
                (outage.frame,),
            )
        )
    found.append(Observation(f"all of them recovered within {duration(int(np.ptp(answered)))} of one another"))
    return found


def _not_affected(others: Hosts, hearing: Hosts) -> list[Observation]:
    found = []
    if others:
        found.append(Observation(f"other hosts were heard by the same askers meanwhile: {others.listed(4)}"))
    if hearing:
        found.append(Observation(f"other hosts heard it meanwhile: {hearing.listed(4)}"))
    return found


def _against(peers: Sequence[str], back_ns: int, errors: Sequence[Message]) -> tuple[str, ...]:
    # A router that knows no way to a network does not speak of the host.
    if len(peers) > 1 or any(message.text == "network unreachable" for message in errors):
        return ()
    if back_ns >= 0:
        return (f"{peers[0]} may have stood still meanwhile: suspended, moved to other hardware, or starved",)
    return (f"{peers[0]} may be down itself",)


def _remedy(path: str, routers: Sequence[str], asked_ns: int, outage: _Outage | None) -> tuple[Remedy, ...]:
    first = f", at {routers[0]} first" if routers else ""
    if outage is not None:
        wait = f"a request time-out above {duration(outage.waited_ns)} survives such an outage; "
    else:
        wait = "give requests a time-out, so that they fail while somebody still waits for them; "
    return (
        Remedy("Network", f"find out what changed on {path} at {time_of_day(asked_ns)}{first}: links, routes "
               "(`ip monitor route`, the routing protocol's log), spanning tree, fail-over of a firewall"),
        Remedy("Client", f"{wait}TCP_USER_TIMEOUT and keep-alives notice connections that stay silent"),
    )  # fmt: skip
