"""PI303: a device on the path forgets connections that are idle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.cite import in_frames, proof
from pcapflow.anomalies.lookup.columns import SIDES, among, indices, side
from pcapflow.anomalies.lookup.groups import group, group_keys, host_keys, server_keys
from pcapflow.anomalies.lookup.timeline import Story, count_marks, last_times
from pcapflow.anomalies.model import LIKELY, POSSIBLE, BoolArray, IntArray, Severity
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.idle import closes, count_moments, largest
from pcapflow.diagnosis.idle_words import lengths
from pcapflow.diagnosis.model import Blame, Explanation, Observation, Remedy
from pcapflow.diagnosis.pattern import pattern
from pcapflow.diagnosis.settings import device_of, settings_of
from pcapflow.tcp import marks
from pcapflow.tcp.endings import REFUSED, UNANSWERED
from pcapflow.tcp.flags import ACK
from pcapflow.tcp.states import CLIENT, FIN_TX, SERVER
from pcapflow.text.phrases import counted, duration
from pcapflow.text.times import NS_PER_S, time_of_day, to_ns

_ASKS_AGAIN: Final = (
    marks.RETRANSMISSION,
    marks.FAST_RETRANSMISSION,
    marks.SPURIOUS_RETRANSMISSION,
    marks.KEEP_ALIVE,
    marks.MARK_FIN_REPEATED,
)
_ANSWER_NS: Final = NS_PER_S
"""A RST within this time of the segment that broke a silence is its answer."""


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
    lost = _find(case)
    if not len(lost.flows):
        return ()
    pairs = group_keys(host_keys(case.tables, CLIENT), host_keys(case.tables, SERVER))
    concerned = indices(among(pairs, np.unique(pairs[lost.flows])))
    everyone = {int(pairs[flows[0]]): flows for flows in group(concerned, pairs[concerned]).at_least(1)}
    explanations = []
    for rows in largest(group(np.arange(len(lost.flows), dtype=np.int64), pairs[lost.flows]).at_least(1)):
        chosen = lost.take(rows)
        found = _judge(case, chosen, everyone[int(pairs[chosen.flows[0]])])
        if found is not None:
            explanations.append(found)
    return explanations


class _Lost(NamedTuple):
    """Connections that were found dead after a silence, in parallel columns.

    ``senders`` broke the silence of ``idle_ns`` at ``asked_ns``; ``foreign`` tells which drew a RST with another TTL
    than the peer's, ``reset`` which drew any.
    """

    flows: IntArray
    senders: IntArray
    idle_ns: IntArray
    asked_ns: IntArray
    reset: BoolArray
    foreign: BoolArray

    def take(self, rows: IntArray) -> _Lost:
        """Some of them."""
        return _Lost(self.flows[rows], self.senders[rows], self.idle_ns[rows], self.asked_ns[rows], self.reset[rows],
                     self.foreign[rows])  # fmt: skip


def _find(case: Case) -> _Lost:
    f = case.tables.flows
    known = (f["midstream"] > 0) | (closes(case.tables, case.config).moments.established_ns >= 0)
    parts = []
    for sender in SIDES:
        asked = _asked_in_vain(case, sender)
        silent = asked - side(f, 1 - sender, "last_ns")
        reset, reset_idle, foreign = _drew_reset(case, sender)
        idle = np.where(reset, reset_idle, np.where(asked >= 0, silent, -1))
        flows = indices(known & (idle >= to_ns(case.config.timeout_s)))
        when = np.where(reset, f["reset_ns"], asked)[flows]
        parts.append(_Lost(flows, np.full(len(flows), sender), idle[flows], when, reset[flows], foreign[flows]))
    both = _Lost(
        np.concatenate([part.flows for part in parts]),
        np.concatenate([part.senders for part in parts]),
        np.concatenate([part.idle_ns for part in parts]),
        np.concatenate([part.asked_ns for part in parts]),
        np.concatenate([part.reset for part in parts]),
        np.concatenate([part.foreign for part in parts]),
    )
    # Where both sides ask in vain, the first tells how long the silence was.
    order = np.lexsort((both.asked_ns, both.flows))
    first = order[np.diff(both.flows[order], prepend=-1) != 0]
    return both.take(first)


def _asked_in_vain(case: Case, sender: int) -> IntArray:
    """When this side first sent something after the last segment of its peer, and sent it again in vain; or -1."""
    f, t = case.tables.flows, case.tables.marks
    heard, said = side(f, 1 - sender, "last_ns"), side(f, sender, "data_ns")
    never = np.iinfo(np.int64).max
    probes = np.full(len(f), never, dtype=np.int64)
    rows = np.flatnonzero((t["mark"] == marks.KEEP_ALIVE) & (t["endpoint"] == sender))
    rows = rows[t["time_ns"][rows] > heard[t["flow"][rows]]]
    np.minimum.at(probes, t["flow"][rows], t["time_ns"][rows])
    fin = last_times(case.tables, sender, event=FIN_TX)
    first = probes
    for moments in (np.where(f["pause_end_ns"] <= said, f["pause_end_ns"], -1), said, fin):
        first = np.minimum(first, np.where(moments > heard, moments, never))
    # Whoever gives up asking may say so by a RST.
    unreset = (f["reset_frame"] <= 0) | (f["reset_by"] == sender)
    asked = np.where((first < never) & (heard >= 0) & unreset, first, -1)
    peer_closed = last_times(case.tables, 1 - sender, event=FIN_TX) >= 0
    again = count_marks(case.tables, *_ASKS_AGAIN, endpoint=sender, after_ns=asked) >= 2
    return np.where(again & ~peer_closed, asked, -1)


def _drew_reset(case: Case, sender: int) -> tuple[BoolArray, IntArray, BoolArray]:
    """Which connections a RST ended when this side broke a silence, how long that was, and whether its TTL is foreign.

    A RST with a foreign TTL may also break the silence itself.
    """
    f = case.tables.flows
    peer = 1 - sender
    usual, ttl = side(f, peer, "ttl"), f["reset_ttl"]
    foreign: BoolArray = (f["reset_by"] == peer) & (usual >= 0) & (ttl >= 0) & (usual != ttl)
    passive = (f["reset_flags"] & ACK == 0) & (f["reset_window"] == 0)
    asked = (side(f, sender, "data_ns") >= f["idle_end_ns"]) | (
        count_marks(case.tables, marks.KEEP_ALIVE, endpoint=sender, after_ns=f["idle_end_ns"] - 1) > 0
    )
    answers = asked & (f["idle_endpoint"] == sender) & (f["reset_ns"] >= f["idle_end_ns"])
    answers &= f["reset_ns"] - f["idle_end_ns"] <= _ANSWER_NS
    by_itself = foreign & (f["idle_frame"] == f["reset_frame"])
    reset: BoolArray = (f["reset_by"] == peer) & ((answers & (foreign | passive)) | by_itself)
    for endpoint in SIDES:
        reset &= last_times(case.tables, endpoint, event=FIN_TX) < 0
    return reset, f["idle_ns"], foreign & reset


def _judge(case: Case, lost: _Lost, everyone: IntArray) -> Explanation | None:
    """What the connections between two hosts show, some of which were found dead; nothing where it is another cause."""
    f = case.tables.flows
    ends = closes(case.tables, case.config)
    others = everyone[~among(everyone, lost.flows)]
    first = int(lost.asked_ns.min())
    established = ends.moments.established_ns
    later = everyone[(established[everyone] > first)]
    after = np.union1d(later, others[ends.said_ns[others] > first])
    if not len(after):
        return None
    back = int(np.where(established[after] > first, established[after], ends.said_ns[after]).min())
    failed = everyone[np.isin(f["end_reason"][everyone], (REFUSED, UNANSWERED))]
    if np.any((f["start_ns"][failed] >= first) & (f["start_ns"][failed] <= back)):
        return None
    worked = _longest_outlived(case, lost, others)
    if worked >= int(lost.idle_ns.min()):
        return None
    heard = np.where(lost.senders == CLIENT, side(f, SERVER, "last_ns")[lost.flows], f["client_last_ns"][lost.flows])
    heard = np.where(lost.reset, lost.asked_ns - lost.idle_ns, heard)
    rounds = int(heard.max()) >= first
    bridged = bool(np.any((f["start_ns"][others] < first) & (ends.said_ns[others] > first)
                          & (server_keys(case.tables)[others] == server_keys(case.tables)[lost.flows[0]])))  # fmt: skip
    if not (rounds or bridged or lost.foreign.any()) and lost.reset.all():
        # A peer that restarted answers so as well.
        return None
    sure = rounds or bridged
    return _explanation(case, lost, everyone, after, worked, sure=sure)


def _longest_outlived(case: Case, lost: _Lost, others: IntArray) -> int:
    """The longest silence between the two that did no harm: of other connections, and of these before; 0 unknown.

    Of these the longest is not kept, but it was no shorter than their average.
    """
    f = case.tables.flows
    outlived = closes(case.tables, case.config).outlived_ns[others]
    alive = lost.asked_ns - lost.idle_ns - f["start_ns"][lost.flows]
    pauses = (f["turns"][lost.flows] - 1) // 2
    average = np.where(pauses > 0, alive // np.maximum(pauses, 1), 0)
    return max(int(outlived.max(initial=0)), int(average.max(initial=0)))


def _explanation(
    case: Case, lost: _Lost, everyone: IntArray, after: IntArray, worked: int, *, sure: bool
) -> Explanation:
    tables, flows = case.tables, lost.flows
    client, server = tables.ip(int(flows[0]), CLIENT), tables.ip(int(flows[0]), SERVER)
    settings = settings_of(int(case.column("server_port")[flows[0]]))
    shortest, longest = int(lost.idle_ns.min()), int(lost.idle_ns.max())
    first, last = int(lost.asked_ns.min()), int(case.column("end_ns")[flows].max())
    bounds = f"at most {duration(shortest)}"
    if worked >= to_ns(case.config.timeout_s):
        bounds = f"between {duration(worked)} and {duration(shortest)}"
    path = f"the path between {client} and {server}"
    span = duration(shortest) if duration(shortest) == duration(longest) else f"{duration(shortest)} or more"
    half = max(shortest // 2, NS_PER_S // 2)
    return Explanation(
        severity=Severity.MEDIUM,
        confidence=LIKELY if sure else POSSIBLE,
        headline=(
            f"Something on {path} forgets connections that are idle for {span}: {len(flows)} of "
            f"{counted(len(everyone), 'connection')} were dead when they were used again, since {time_of_day(first)}, "
            f"while others worked."
        ),
        blame=Blame("path", path),
        start_ns=first,
        end_ns=last,
        flows=named(flows),
        count=len(flows),
        hosts=(client, server),
        explains=frozenset(case.anomalies_of(flows=flows)),
        why=(
            *_observations(case, lost),
            Observation(
                f"the time-out is {bounds}{device_of(shortest)}: "
                + (
                    f"no connection between the two outlived a silence of more than {duration(worked)}"
                    if worked
                    else "no connection between the two is seen to outlive a silence"
                )
            ),
            Observation(
                f"{counted(len(after), 'connection')} between the same hosts worked after that, the first of them "
                f"to {tables.server(int(after[0]))}"
            ),
        ),
        against=(f"{server if lost.senders[0] == CLIENT else client} restarted within the silence and was back",)
        if not sure
        else (),
        remedy=(
            Remedy("Client", f"send keep-alives after {duration(half)} of silence or earlier: {settings.keep_alive}; "
                   f"or drop connections that are idle for as long: {settings.client_idle}"),
            Remedy("Server", f"likewise: SO_KEEPALIVE with TCP_KEEPIDLE of {duration(half)}, or the default for all of "
                   f"the host, `net.ipv4.tcp_keepalive_time` (7200 s unless set)"),
            Remedy("Network", f"raise the idle time-out of the NAT, firewall or load balancer on {path}, which is "
                   f"{bounds} now (`net.netfilter.nf_conntrack_tcp_timeout_established` on Linux), or let it send RSTs "
                   f"to both ends when it drops an entry"),
        ),
    )  # fmt: skip


def _observations(case: Case, lost: _Lost) -> list[Observation]:
    """What became of the segments that broke the silences."""
    found = []
    silent = np.flatnonzero(~lost.reset)
    if len(silent):
        story = Story(case.tables, lost.flows[silent[:4]])
        again = [
            mark.frame
            for row in silent[:4].tolist()
            for mark in story.marks(
                int(lost.flows[row]),
                *_ASKS_AGAIN,
                endpoint=int(lost.senders[row]),
                after_ns=int(lost.asked_ns[row]) - 1,
            )[:3]
        ]
        frames = proof(again)
        found.append(
            Observation(
                f"on {counted(len(silent), 'connection')} what was sent after {lengths(lost.idle_ns[silent])} of "
                f"silence was never answered, and sent again{in_frames(frames)}",
                frames,
            )
        )
    reset = np.flatnonzero(lost.reset)
    if len(reset):
        frames = case.frames("reset_frame", lost.flows[reset])
        flow, peer = int(lost.flows[reset[0]]), 1 - int(lost.senders[reset[0]])
        ttl = ""
        if lost.foreign[reset].any():
            flow = int(lost.flows[np.flatnonzero(lost.foreign)[0]])
            usual = int(case.column("client_ttl" if peer == CLIENT else "server_ttl")[flow])
            ttl = f", whose TTL is {int(case.column('reset_ttl')[flow])} where that of the peer's segments is {usual}"
        found.append(
            Observation(
                f"on {counted(len(reset), 'connection')} a RST ended {lengths(lost.idle_ns[reset])} of silence in the "
                f"name of {case.tables.name(flow, peer)}, which had not closed{ttl}{in_frames(frames)}",
                frames,
            )
        )
    times = count_moments(lost.asked_ns, lost.idle_ns)
    if times > 1:
        found.append(Observation(f"that happened at {times} different times"))
    return found
