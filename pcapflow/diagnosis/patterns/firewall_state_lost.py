"""PI403: a device that lost its table of connections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.cite import in_frames, proof
from pcapflow.anomalies.lookup.columns import among, chosen
from pcapflow.anomalies.lookup.groups import group
from pcapflow.anomalies.model import LIKELY, IntArray, Severity
from pcapflow.anomalies.resets.causes import resets
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.idle import closes
from pcapflow.diagnosis.model import Explanation, Observation, Remedy
from pcapflow.diagnosis.paths import MAX_PATHS, blamed, path_keys, path_of
from pcapflow.diagnosis.pattern import pattern
from pcapflow.diagnosis.silences import silences
from pcapflow.tcp.completeness import COMPLETE_ACK, COMPLETE_SYN_ACK
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, duration, number, were
from pcapflow.text.times import time_of_day, to_ns, to_the_millisecond

_USUAL_PAUSES: Final = 3
"""A pause of so many times the usual one is no pause of a connection at work."""
_CONSEQUENCES: Final = ("PF205", "PF301", "PF302", "PF304", "PF305", "PF402", "PF403", "PF404")


class _Cut(NamedTuple):
    """Connections that no longer passed, in parallel columns.

    Attributes:
        flows: the connections, each once.
        heard_ns: when each was last heard to work.
        asked_ns: when each was first found not to.
        by_reset: whether RSTs of a device said so, in place of silence.
    """

    flows: IntArray
    heard_ns: IntArray
    asked_ns: IntArray
    by_reset: bool


@pattern("PI403", "firewall-state-lost", title="A firewall forgot the connections that it let through")
def firewall_state_lost(case: Case) -> Sequence[Explanation]:
    """Busy connections between two hosts stopped working in one moment, while new ones between them open and work.

    Seen: several connections of one pair of hosts that were at work up to one moment, and of which no segment gets
        through any more, or draws a RST with a TTL that is not the peer's; and connections of the same pair that are
        opened afterwards and answered.
    Unless: new connections fail as well (then the path or the host is down), the connections had been idle for longer
        than they used to be (then their time in the table was over, PI303), as many went on through that moment, or
        the RSTs bear the TTL of the peer (then it was restarted).
    Means: a firewall, NAT or load balancer was restarted, failed over without its table, or had it flushed or
        overflow: it takes segments of connections whose beginning it has not seen for invalid.
    Do:
        Network: look what the device did at that moment; synchronise its table with its stand-by (conntrackd, state
            sync), or let it pick up connections in the middle (`nf_conntrack_tcp_loose=1`).
        Client: shorter time-outs for answers, and a new connection on failure.
    Else: a change of route to a device that does not know the connections.
    Source: Linux nf_conntrack_tcp_loose, nf_conntrack_proto_tcp.c; RFC 5382, 5; RFC 2979.
    """
    keys = path_keys(case.tables)
    explanations: list[Explanation] = []
    for cut in (_silent(case), _reset(case)):
        paths = group(np.arange(len(cut.flows), dtype=np.int64), keys[cut.flows]).at_least(2)
        for rows in sorted(paths, key=len, reverse=True)[:MAX_PATHS]:
            explanations += _explanations(case, _taken(cut, rows), keys)
    return explanations


def _taken(cut: _Cut, rows: IntArray) -> _Cut:
    return _Cut(cut.flows[rows], cut.heard_ns[rows], cut.asked_ns[rows], cut.by_reset)


def _silent(case: Case) -> _Cut:
    """Connections at work on which one side asked in vain for good."""
    found = silences(case.tables, case.config)
    busy = (found.back_ns < 0) & (found.heard_ns >= 0)
    busy &= _at_work(case, found.flows, found.heard_ns, found.asked_ns)
    busy &= (case.column("server_bytes")[found.flows] > 0) & (case.column("client_bytes")[found.flows] > 0)
    rows = np.flatnonzero(busy)
    # Both sides of one connection may ask: the first counts.
    flows, first = np.unique(found.flows[rows], return_index=True)
    return _Cut(flows, found.heard_ns[rows][first], found.asked_ns[rows][first], by_reset=False)


def _reset(case: Case) -> _Cut:
    """Connections at work that were ended by a RST with another TTL than the side whose address it bears."""
    found = resets(case.tables, case.config)
    heard = chosen(case.tables.flows.take(found.flows), found.senders, "data_ns")
    rows = np.flatnonzero(
        found.foreign & ~found.refused & ~found.opening & ~found.sender_closed & (heard >= 0) & (heard < found.times_ns)
    )
    rows = rows[_at_work(case, found.flows[rows], heard[rows], found.times_ns[rows])]
    return _Cut(found.flows[rows], heard[rows], found.times_ns[rows], by_reset=True)


def _at_work(case: Case, flows: IntArray, heard_ns: IntArray, asked_ns: IntArray) -> np.ndarray:
    """Whether the pause before each was found dead was one that it had made before: it had not been idle."""
    f = case.tables.flows
    exchanges = np.maximum(f["turns"][flows] // 2, 1)
    usual = np.maximum((heard_ns - f["start_ns"][flows]) // exchanges, to_ns(case.config.timeout_s))
    at_work: np.ndarray = asked_ns - heard_ns <= _USUAL_PAUSES * usual
    return at_work


def _explanations(case: Case, cut: _Cut, keys: IntArray) -> Iterator[Explanation]:
    # The moment before which the most of them worked, and after which they did not.
    times = np.concatenate((cut.heard_ns, cut.asked_ns))
    steps = np.repeat([1, -1], len(cut.flows))
    order = np.lexsort((-steps, times))
    moment = int(times[order][np.argmax(np.cumsum(steps[order]))])
    cut = _taken(cut, np.flatnonzero((cut.heard_ns <= moment) & (cut.asked_ns >= moment)))
    if len(cut.flows) < 2:
        return
    since, until = int(cut.heard_ns.max()), int(cut.asked_ns.min())
    f = case.tables.flows
    path = np.flatnonzero(keys == keys[cut.flows[0]])
    later = path[f["start_ns"][path] > until]
    opened = (f["completeness"][later] & (COMPLETE_SYN_ACK | COMPLETE_ACK)) == COMPLETE_SYN_ACK | COMPLETE_ACK
    works = later[opened & (f["server_bytes"][later] > 0)]
    if not len(works) or 2 * len(works) < len(later):
        return
    others = path[~among(path, cut.flows)]
    went_on = (f["start_ns"][others] < since) & (closes(case.tables, case.config).said_ns[others] > cut.asked_ns.max())
    if np.count_nonzero(went_on) >= len(cut.flows):
        return
    yield _explanation(case, cut, works, since, until)


def _explanation(case: Case, cut: _Cut, works: IntArray, since: int, until: int) -> Explanation:
    flows = cut.flows
    path = path_of(case, flows)
    how = "drew RSTs that the peer had not sent" if cut.by_reset else "got no answer any more"
    new = case.frames("first_frame", works[:4])
    soonest = int(case.column("start_ns")[works].min())
    return Explanation(
        severity=Severity.MEDIUM,
        confidence=LIKELY,
        headline=(
            f"A device on {path} forgot {counted(len(flows), 'connection')} at {time_of_day(until)}: they were busy, "
            f"and from one moment on {how}, while new ones between the same hosts worked."
        ),
        blame=blamed(path),
        start_ns=since,
        end_ns=int(case.column("end_ns")[flows].max()),
        flows=named(flows),
        count=len(flows),
        hosts=(*case.hosts(flows, CLIENT), *case.hosts(flows, SERVER))[:20],
        explains=frozenset(case.anomalies_of(*_CONSEQUENCES, flows=flows)),
        why=(
            _stopped(case, cut, since, until),
            Observation(
                f"{were(len(works), 'connection')} opened between the same hosts after that and answered, the first "
                f"{duration(soonest - until)} later{in_frames(new)}",
                new,
            ),
        ),
        against=("a change of route to a device that does not know the connections",),
        remedy=(
            Remedy(
                "Network",
                f"find out what firewalls, NATs and balancers on {path} did at {time_of_day(until)} (restart, "
                "failover, flush, table full); synchronise their tables (conntrackd), or let them pick up connections "
                "in the middle (`nf_conntrack_tcp_loose=1`)",
            ),
            Remedy("Client", "let requests time out sooner and try again over a new connection: those worked"),
        ),
    )


def _stopped(case: Case, cut: _Cut, since: int, until: int) -> Observation:
    f = case.tables.flows
    all_of = f"{number(len(cut.flows))} connections"
    last, first_in_vain = to_the_millisecond(since), to_the_millisecond(until)
    if not cut.by_reset:
        frames = proof(case.frames("last_frame", cut.flows[:6]))
        text = f"{all_of} were answered until {last}, and none of them from {first_in_vain} on"
        return Observation(f"{text}{in_frames(frames)}", frames)
    frames = proof(case.frames("reset_frame", cut.flows[:6]))
    first = int(cut.flows[0])
    sender = int(f["reset_by"][first])
    usual = int(f["server_ttl" if sender == SERVER else "client_ttl"][first])
    text = (
        f"{all_of} were answered until {last}, and from {first_in_vain} on by RSTs with the TTL "
        f"{int(f['reset_ttl'][first])}; the other packets of {case.tables.ip(first, sender)} have {usual}"
    )
    return Observation(f"{text}{in_frames(frames)}", frames)
