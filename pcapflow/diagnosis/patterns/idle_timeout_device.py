"""PI303: a device on the path forgets connections that are idle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.cite import in_frames, proof
from pcapflow.anomalies.lookup.columns import among, distinct, indices
from pcapflow.anomalies.lookup.groups import group, group_keys, host_keys, server_keys
from pcapflow.anomalies.lookup.timeline import Story
from pcapflow.anomalies.model import LIKELY, POSSIBLE, IntArray, Severity
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.dead_connections import ASKS_AGAIN, Dead, find_dead, joined, longest_outlived
from pcapflow.diagnosis.idle import closes, count_moments, largest
from pcapflow.diagnosis.idle_words import lengths
from pcapflow.diagnosis.model import MAX_HOSTS, Blame, Explanation, Observation, Remedy
from pcapflow.diagnosis.pattern import pattern
from pcapflow.diagnosis.settings import Settings, device_of
from pcapflow.tcp.endings import REFUSED, UNANSWERED
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, duration
from pcapflow.text.times import NS_PER_S, time_of_day, to_ns

_NEAR: Final = 5
"""A silence that was outlived is told as harmless where half of the fatal one is at most so many times as long."""


@pattern("PI303", "idle-timeout-device", title="Something on the path forgets idle connections")
def idle_timeout_device(case: Case) -> Sequence[Explanation]:
    """A device between two hosts forgets connections that are idle for a certain time, without a word to either.

    Seen: after a silence what one side sends is not answered and sent again, or draws a RST that has another TTL than
        the peer's segments or that the peer had no reason for; other connections between the same hosts work
        afterwards. Every silence that a connection between them outlived was shorter.
    Unless: the peer had sent its FIN (its own idle time-out), nothing between the two works afterwards or attempts to
        connect failed meanwhile (a host or path that is down, a restart), or longer silences were outlived.
    Means: a NAT, firewall or load balancer drops its entry of a connection after so long a silence. The two ends still
        think it is there; whoever speaks first waits in vain, often for minutes, or is reset.
    Do:
        Client: send keep-alives more often than that, or drop idle connections earlier.
        Server: likewise.
        Network: raise the device's idle time-out, or let it reset both ends when it drops an entry.
    Else: the peer restarted or crashed within the silence and was back before it ended.
    Source: RFC 5382, 5 (REQ-5, time-outs of NATs); Linux nf_conntrack_tcp_timeout_established.
    """
    dead = find_dead(case.tables, case.config)
    if not len(dead.flows):
        return ()
    pairs = group_keys(host_keys(case.tables, CLIENT), host_keys(case.tables, SERVER))
    concerned = indices(among(pairs, pairs[dead.flows]))
    everyone = {int(pairs[flows[0]]): flows for flows in group(concerned, pairs[concerned]).at_least(1)}
    judged = []
    for rows in largest(group(np.arange(len(dead.flows), dtype=np.int64), pairs[dead.flows]).at_least(1)):
        chosen = dead.take(rows)
        found = _judge(case, chosen, everyone[int(pairs[chosen.flows[0]])])
        if found is not None:
            judged.append(found)
    return [_explanation(case, found) for found in _merged(case, judged)]


class _Judged(NamedTuple):
    """What the connections between some hosts show.

    ``everyone`` are all of these connections, ``after`` those that worked after the first was found dead; ``worked_ns``
    is the longest silence that did no harm; ``sure`` says that the hosts were there all the time.
    """

    dead: Dead
    everyone: IntArray
    after: IntArray
    worked_ns: int
    sure: bool


def _judge(case: Case, dead: Dead, everyone: IntArray) -> _Judged | None:
    """What the connections between two hosts show, some of which were found dead; nothing where it is another cause."""
    f = case.tables.flows
    ends = closes(case.tables, case.config)
    others = everyone[~among(everyone, dead.flows)]
    first = int(dead.asked_ns.min())
    established = ends.moments.established_ns
    after = np.union1d(everyone[established[everyone] > first], others[ends.said_ns[others] > first])
    if not len(after):
        return None
    back = int(np.where(established[after] > first, established[after], ends.said_ns[after]).min())
    failed = everyone[among(f["end_reason"][everyone], (REFUSED, UNANSWERED))]
    if np.any((f["start_ns"][failed] >= first) & (f["start_ns"][failed] <= back)):
        return None
    worked = longest_outlived(case.tables, dead, others)
    if worked >= int(dead.idle_ns.min()):
        return None
    # One of them was used while another was dead already, or a third was all the time.
    rounds = int((dead.asked_ns - dead.idle_ns).max()) >= first
    servers = server_keys(case.tables)
    bridged = (f["start_ns"][others] < first) & (ends.said_ns[others] > first)
    sure = rounds or bool(np.any(bridged & among(servers[others], servers[dead.flows])))
    if not sure and dead.reset.all() and not dead.foreign.any():
        # A peer that restarted answers so as well.
        return None
    return _Judged(dead, everyone, after, worked, sure)


def _merged(case: Case, judged: list[_Judged]) -> list[_Judged]:
    """What several hosts have in common with one is one cause, where no silence of one contradicts another's."""
    if len(judged) < 2:
        return judged
    first = np.array([found.dead.flows[0] for found in judged])
    keys = [host_keys(case.tables, endpoint)[first] for endpoint in (SERVER, CLIENT)]
    fewer = min(keys, key=distinct)
    merged = []
    for members in group(np.arange(len(judged), dtype=np.int64), fewer).at_least(1):
        parts = [judged[member] for member in members.tolist()]
        worked = max(part.worked_ns for part in parts)
        if worked >= min(int(part.dead.idle_ns.min()) for part in parts):
            merged.extend(parts)
            continue
        everyone, after = np.concatenate([p.everyone for p in parts]), np.concatenate([p.after for p in parts])
        dead = joined([part.dead for part in parts])
        merged.append(_Judged(dead, everyone, after, worked, any(part.sure for part in parts)))
    return merged


def _explanation(case: Case, judged: _Judged) -> Explanation:
    dead, flows = judged.dead, judged.dead.flows
    clients, servers = case.hosts(flows, CLIENT), case.hosts(flows, SERVER)
    shortest, longest = int(dead.idle_ns.min()), int(dead.idle_ns.max())
    first = int(dead.asked_ns.min())
    path = f"the path between {clients.listed(2)} and {servers.listed(2)}"
    span = duration(shortest) if duration(shortest) == duration(longest) else f"{duration(shortest)} or more"
    bounds = f"at most {duration(shortest)}"
    if judged.worked_ns >= to_ns(case.config.timeout_s):
        bounds = f"between {duration(judged.worked_ns)} and {duration(shortest)}"
    peer = (servers if dead.senders[0] == CLIENT else clients).listed(2)
    return Explanation(
        severity=Severity.MEDIUM,
        confidence=LIKELY if judged.sure else POSSIBLE,
        headline=(
            f"Something on {path} forgets idle connections: {len(flows)} of "
            f"{counted(len(judged.everyone), 'connection')} were dead when they were used again after {span} of "
            f"silence, since {time_of_day(first)}, while others worked."
        ),
        blame=Blame("path", path),
        start_ns=first,
        end_ns=int(case.column("end_ns")[flows].max()),
        flows=named(flows),
        count=len(flows),
        hosts=(*clients, *servers)[:MAX_HOSTS],
        explains=frozenset(case.anomalies_of(flows=flows)),
        why=(*_observations(case, dead), *_limits(case, judged, bounds, shortest)),
        against=() if judged.sure else (f"{peer} restarted within the silence and was back before it ended",),
        remedy=_remedies(case.settings(int(flows[0])), path, bounds, _harmless(judged)),
    )


def _limits(case: Case, judged: _Judged, bounds: str, shortest_ns: int) -> tuple[Observation, ...]:
    outlived = (
        f"no connection between these hosts outlived a silence of more than {duration(judged.worked_ns)}"
        if judged.worked_ns
        else "no connection between these hosts is seen to outlive a silence"
    )
    return (
        Observation(f"the time-out is {bounds}{device_of(shortest_ns)}: {outlived}"),
        Observation(
            f"{counted(len(judged.after), 'connection')} between the same hosts worked after that, the first of them "
            f"to {case.tables.server(int(judged.after[0]))}"
        ),
    )


def _harmless(judged: _Judged) -> int:
    """A silence that does no harm: the longest that was outlived, or half of the shortest that was not."""
    half = max(int(judged.dead.idle_ns.min()) // 2, NS_PER_S // 2)
    return judged.worked_ns if 0 < half <= _NEAR * judged.worked_ns else half


def _remedies(settings: Settings, path: str, bounds: str, harmless_ns: int) -> tuple[Remedy, ...]:
    short = duration(harmless_ns)
    return (
        Remedy(
            "Client",
            f"send keep-alives after {short} of silence or earlier: {settings.keep_alive}; or drop connections that "
            f"are idle for that long: {settings.client_idle}",
        ),
        Remedy(
            "Server",
            f"likewise: SO_KEEPALIVE with TCP_KEEPIDLE of {short}, or the default for all of the host, "
            f"`net.ipv4.tcp_keepalive_time` (7200 s unless set)",
        ),
        Remedy(
            "Network",
            f"raise the idle time-out of the NAT, firewall or load balancer on {path}, which is {bounds} now "
            f"(`net.netfilter.nf_conntrack_tcp_timeout_established` on Linux), or let it send RSTs to both ends when "
            f"it drops an entry",
        ),
    )


def _observations(case: Case, dead: Dead) -> list[Observation]:
    """What became of the segments that broke the silences."""
    found = []
    times = count_moments(dead.asked_ns, dead.idle_ns)
    often = f", at {times} different times" if times > 1 else ""
    silent = np.flatnonzero(~dead.reset)
    if len(silent):
        story = Story(case.tables, dead.flows[silent[:4]])
        again = [
            mark.frame
            for row in silent[:4].tolist()
            for mark in story.marks(
                int(dead.flows[row]),
                *ASKS_AGAIN,
                endpoint=int(dead.senders[row]),
                after_ns=int(dead.asked_ns[row]) - 1,
            )[:3]
        ]
        frames = proof(again)
        found.append(
            Observation(
                f"on {counted(len(silent), 'connection')}{often}, what was sent after "
                f"{lengths(dead.idle_ns[silent])} of silence was never answered, and sent again{in_frames(frames)}",
                frames,
            )
        )
    reset = np.flatnonzero(dead.reset)
    if len(reset):
        frames = case.frames("reset_frame", dead.flows[reset])
        flow, peer = int(dead.flows[reset[0]]), 1 - int(dead.senders[reset[0]])
        ttl = ""
        if dead.foreign[reset].any():
            flow = int(dead.flows[np.flatnonzero(dead.foreign)[0]])
            usual = int(case.column("client_ttl" if peer == CLIENT else "server_ttl")[flow])
            ttl = f"; the TTL of the RST is {int(case.column('reset_ttl')[flow])}, that of the peer's segments {usual}"
        found.append(
            Observation(
                f"on {counted(len(reset), 'connection')}{often}, what was sent after {lengths(dead.idle_ns[reset])} of "
                f"silence drew a RST in the name of {case.tables.name(flow, peer)}, which had not "
                f"closed{ttl}{in_frames(frames)}",
                frames,
            )
        )
    return found
