"""PI403: a device on the path lost its table of connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.cite import in_frames, proof
from pcapflow.anomalies.lookup.columns import among, side
from pcapflow.anomalies.lookup.groups import group
from pcapflow.anomalies.lookup.timeline import Story
from pcapflow.anomalies.model import LIKELY, POSSIBLE, IntArray, Severity
from pcapflow.anomalies.resets.causes import resets
from pcapflow.anomalies.transfer.repeats import REPEATS
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.idle import closes
from pcapflow.diagnosis.model import Explanation, Observation, Remedy
from pcapflow.diagnosis.paths import MAX_PATHS, blamed, path_keys, path_of
from pcapflow.diagnosis.pattern import pattern
from pcapflow.diagnosis.silences import silences
from pcapflow.tables.moments import Moments
from pcapflow.tcp import marks
from pcapflow.tcp.endings import REFUSED, UNANSWERED
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, duration
from pcapflow.text.times import time_of_day, to_ns

_LATE: Final = 1.5
"""A silence this much longer than those that connections outlived before may be what the device minds (PI303)."""
_SHOWN: Final = 4
"""Connections whose repeats are cited."""


@pattern("PI403", "firewall-state-lost", title="A device lost its table of connections")
def firewall_state_lost(case: Case) -> Sequence[Explanation]:
    """Connections that were at work fell silent, or drew RSTs that are not their peer's, from one moment on.

    Seen: between the same hosts, connections on which something had been said a moment ago: what was sent next was
        never answered and sent again, or drew a RST with another TTL than the peer's; one moment fits them all, and
        connections that were opened afterwards work.
    Unless: those that were opened afterwards fail as well (PI401, PI402), the old ones go on after a while (PI402),
        they had been idle for longer than others outlived (PI303), or the RSTs have the peer's TTL (PI101).
    Means: a firewall, NAT or load balancer was restarted, failed over without its table, or had it flushed: it drops or
        rejects what belongs to connections that it does not know. Both ends think that all is well, and wait.
    Do:
        Network: look in the device's log at that time; let tables be shared in a fail-over (conntrackd, session
            synchronisation), and let it pick up connections in the middle or reset them.
        Client: TCP_USER_TIMEOUT or a time-out for answers ends what is dead early.
    Else: the address moved to another host, which knows nothing of these connections and drops what it is sent.
    Source: Linux nf_conntrack_tcp_loose; RFC 5382, 5; conntrackd(8).
    """
    lost = _find(case)
    if len(lost.flows) < 2:
        return ()
    paths = path_keys(case.tables)
    groups = group(np.arange(len(lost.flows), dtype=np.int64), paths[lost.flows]).at_least(2)
    explanations = []
    for rows in sorted(groups, key=len, reverse=True)[:MAX_PATHS]:
        everyone = np.flatnonzero(paths == paths[lost.flows[rows[0]]]).astype(np.int64)
        found = _judge(case, _in_one_moment(lost.take(rows)), everyone)
        if found is not None:
            explanations.append(found)
    return explanations


class _Lost(NamedTuple):
    """Connections that were found dead, in parallel columns.

    ``askers`` last heard their peer at ``heard_ns`` and asked at ``asked_ns``, in vain, or drew a foreign RST
    (``reset``).
    """

    flows: IntArray
    askers: IntArray
    heard_ns: IntArray
    asked_ns: IntArray
    reset: IntArray

    def take(self, rows: IntArray) -> _Lost:
        """Some of them."""
        return _Lost(*(column[rows] for column in self))


def _find(case: Case) -> _Lost:
    f = case.tables.flows
    silent = silences(case.tables, case.config)
    rows = np.flatnonzero((silent.back_ns < 0) & (silent.heard_ns >= 0))
    rows = rows[~among(silent.flows[rows], case.flows_of(case.anomalies_of("PF405")))]
    found = resets(case.tables, case.config)
    forged = np.flatnonzero((found.foreign | (found.signs > 1)) & ~found.opening)
    flows, askers = found.flows[forged], 1 - found.senders[forged]
    peer = np.where(askers == CLIENT, side(f, SERVER, "data_ns")[flows], side(f, CLIENT, "data_ns")[flows])
    own = np.where(askers == CLIENT, side(f, CLIENT, "data_ns")[flows], side(f, SERVER, "data_ns")[flows])
    asked = np.where((own > peer) & (own <= found.times_ns[forged]), own, found.times_ns[forged])
    lost = _Lost(
        np.concatenate((silent.flows[rows], flows)),
        np.concatenate((silent.askers[rows], askers)),
        np.concatenate((silent.heard_ns[rows], np.minimum(peer, asked))),
        np.concatenate((silent.asked_ns[rows], asked)),
        np.repeat([0, 1], [len(rows), len(flows)]),
    )
    # The peer had said something, so that the connection was at work; a full queue of a server ignores data as well.
    talked = np.where(lost.askers == CLIENT, side(f, SERVER, "bytes")[lost.flows], side(f, CLIENT, "bytes")[lost.flows])
    lost = lost.take(np.flatnonzero((talked > 0) & (lost.asked_ns - lost.heard_ns < to_ns(case.config.idle_s))))
    # Where both sides asked in vain the first of them tells.
    order = np.lexsort((lost.asked_ns, lost.flows))
    return lost.take(order[np.diff(lost.flows[order], prepend=-1) != 0])


def _in_one_moment(lost: _Lost) -> _Lost:
    """Those that one moment fits, the most that there are: after the last they heard, before the first they asked."""
    times = np.concatenate((lost.heard_ns, lost.asked_ns))
    steps = np.repeat([1, -1], len(lost.flows))
    order = np.lexsort((-steps, times))
    moment = int(times[order][np.argmax(np.cumsum(steps[order]))])
    return lost.take(np.flatnonzero((lost.heard_ns <= moment) & (lost.asked_ns >= moment)))


def _judge(case: Case, lost: _Lost, everyone: IntArray) -> Explanation | None:
    if len(lost.flows) < 2:
        return None
    f = case.tables.flows
    last = int(lost.asked_ns.max())
    heard = int(lost.heard_ns.max())
    others = everyone[~among(everyone, lost.flows)]
    opened = Moments(case.tables).established_ns
    after = others[(opened[others] > heard) & (side(f, SERVER, "bytes")[others] > 0)]
    after = after[np.argsort(opened[after], kind="stable")]
    if not len(after):
        return None
    back = int(opened[after[0]])
    failed = others[np.isin(f["end_reason"][others], (REFUSED, UNANSWERED))]
    if np.any((f["start_ns"][failed] >= heard) & (f["start_ns"][failed] <= max(back, last))):
        return None
    survived = others[(f["start_ns"][others] < heard) & (closes(case.tables, case.config).said_ns[others] > last)]
    if len(survived) >= len(lost.flows) or not _is_busy(case, lost, others):
        return None
    return _explanation(case, lost, after, survived)


def _is_busy(case: Case, lost: _Lost, others: IntArray) -> bool:
    """Whether connections between the two outlived silences about as long as those before the loss."""
    f = case.tables.flows
    gaps = np.sort(lost.asked_ns - lost.heard_ns)
    outlived = int(closes(case.tables, case.config).outlived_ns[others].max(initial=0))
    # Of the lost ones the longest is not kept; it was no shorter than the average of their pauses.
    pauses = np.maximum((f["turns"][lost.flows] - 1) // 2, 0)
    alive = lost.heard_ns - f["start_ns"][lost.flows]
    average = np.where(pauses > 0, alive // np.maximum(pauses, 1), 0)
    worked = max(outlived, int(average.max(initial=0)))
    return int(gaps[len(gaps) // 2]) <= max(_LATE * worked, to_ns(case.config.timeout_s))


def _explanation(case: Case, lost: _Lost, after: IntArray, survived: IntArray) -> Explanation:
    flows, tables = lost.flows, case.tables
    path = path_of(case, flows[:1])
    heard, asked = int(lost.heard_ns.max()), int(lost.asked_ns.min())
    end = int(case.column("end_ns")[flows].max())
    reset = int(np.count_nonzero(lost.reset))
    how = "drew RSTs that are not the peer's" if reset == len(flows) else "fell silent"
    return Explanation(
        severity=Severity.MEDIUM,
        confidence=POSSIBLE if len(survived) else LIKELY,
        headline=(
            f"Something on {path} lost its table of connections at {time_of_day(heard)}: "
            f"{counted(len(flows), 'connection')} that {'was' if len(flows) == 1 else 'were'} at work {how}, while "
            "those that were opened afterwards work."
        ),
        blame=blamed(path),
        start_ns=heard,
        end_ns=end,
        flows=named(flows),
        count=len(flows),
        hosts=(tables.ip(int(flows[0]), CLIENT), tables.ip(int(flows[0]), SERVER)),
        explains=frozenset(case.anomalies_of(flows=flows)),
        why=(
            *_deaths(case, lost),
            Observation(
                f"one moment fits all of them: the last answer came {duration(max(asked - heard, 0))} before the first "
                f"question that had none, and they had been silent for at most "
                f"{duration(int((lost.asked_ns - lost.heard_ns).max()))}"
            ),
            _works(case, after, heard),
        ),
        against=(f"{counted(len(survived), 'connection')} between the two went on through that moment",)
        if len(survived)
        else (),
        remedy=_remedy(path, heard, resets_them=reset > 0),
    )


def _deaths(case: Case, lost: _Lost) -> list[Observation]:
    """What became of what was sent: silence, and RSTs with their TTL."""
    found = []
    silent = np.flatnonzero(lost.reset == 0)
    if len(silent):
        story = Story(case.tables, lost.flows[silent[:_SHOWN]])
        cited = [
            mark.frame
            for row in silent[:_SHOWN].tolist()
            for mark in story.marks(int(lost.flows[row]), *REPEATS, marks.KEEP_ALIVE, endpoint=int(lost.askers[row]),
                                    after_ns=int(lost.heard_ns[row]))[:3]
        ]  # fmt: skip
        frames = proof(cited)
        found.append(
            Observation(
                f"on {counted(len(silent), 'connection')} what was sent from {time_of_day(int(lost.asked_ns.min()))} "
                f"on was never answered, and sent again{in_frames(frames)}",
                frames,
            )
        )
    reset = np.flatnonzero(lost.reset)
    if len(reset):
        flows, peers = lost.flows[reset], 1 - lost.askers[reset]
        ttls = np.where(peers == CLIENT, side(case.tables.flows, CLIENT, "ttl")[flows],
                        side(case.tables.flows, SERVER, "ttl")[flows])  # fmt: skip
        field = "TTL" if int(case.column("family")[flows[0]]) == 4 else "TTL (hop limit)"
        frames = case.frames("reset_frame", flows)
        found.append(
            Observation(
                f"on {counted(len(reset), 'connection')} it drew a RST in the name of "
                f"{case.tables.name(int(flows[0]), int(peers[0]))} whose {field} is "
                f"{int(case.column('reset_ttl')[flows[0]])} where that of its other segments is "
                f"{int(ttls[0])}{in_frames(frames)}",
                frames,
            )
        )
    return found


def _works(case: Case, after: IntArray, heard_ns: int) -> Observation:
    opened = Moments(case.tables).established_ns[after]
    frames = case.frames("first_frame", after)
    return Observation(
        f"{counted(len(after), 'connection')} between the same hosts that "
        f"{'was' if len(after) == 1 else 'were'} opened afterwards worked, the first "
        f"{duration(int(opened[0]) - heard_ns)} later{in_frames(frames)}",
        frames,
    )


def _remedy(path: str, heard_ns: int, *, resets_them: bool) -> tuple[Remedy, ...]:
    loose = "" if resets_them else (
        "; let it reject what it does not know by a RST instead of dropping it, or pick it up "
        "(`net.netfilter.nf_conntrack_tcp_loose=1` on Linux)"
    )  # fmt: skip
    return (
        Remedy("Network", f"look in the logs of the firewalls, NATs and load balancers on {path} at "
               f"{time_of_day(heard_ns)}: a restart, a fail-over, a new rule set, `conntrack -F`; share the table in a "
               f"fail-over (conntrackd, session synchronisation){loose}"),
        Remedy("Client", "connect anew and send again what had no answer; TCP_USER_TIMEOUT, or a time-out for answers, "
               "finds out in seconds and not in the 15 minutes of `net.ipv4.tcp_retries2`"),
    )  # fmt: skip
