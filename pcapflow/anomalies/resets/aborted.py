"""PF301: connections that a RST ended, and why it was sent."""

from __future__ import annotations

from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frame, in_frames, proof
from pcapflow.anomalies.hits import Hit, joined, per_flow, per_group
from pcapflow.anomalies.lookup.columns import among, cell
from pcapflow.anomalies.lookup.groups import group, server_keys
from pcapflow.anomalies.lookup.timeline import Story, frames_of
from pcapflow.anomalies.model import (
    CERTAIN,
    LIKELY,
    MANY,
    MAX_FLOWS,
    NOBODY,
    POSSIBLE,
    Confidence,
    Finding,
    Hits,
    IntArray,
    Severity,
)
from pcapflow.anomalies.opening.meetings import cleared_flows
from pcapflow.anomalies.opening.scans import scanned
from pcapflow.anomalies.resets.cause_help import ABORTED
from pcapflow.anomalies.resets.causes import (
    CAUSES,
    DATA_AFTER_CLOSE,
    FIREWALL_REJECT,
    IDLE_TIMEOUT,
    INJECTED,
    KEEPALIVE_TIMEOUT,
    LINGER_ZERO,
    NO_LISTENER,
    PROCESS_DIED,
    RETRANSMISSION_TIMEOUT,
    STRAY,
    UNKNOWN,
    UNREAD_DATA,
    Resets,
    foreign_ttl,
    resets,
)
from pcapflow.anomalies.resets.form import own_signs
from pcapflow.anomalies.rule import Doubt, Lead, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.states import FIN_TX, SERVER
from pcapflow.text.phrases import counted, duration, were

_TOLD_BY: Final = {INJECTED: "PF304", IDLE_TIMEOUT: "PF305"}
"""Causes that have a rule of their own: it tells of the reset, and the row of PF301 only names it."""
_SURE: Final[tuple[Confidence, ...]] = (POSSIBLE, LIKELY, CERTAIN)
SEVERAL: Final = 3
"""So many first requests that one server resets are no whim of theirs."""
_DID_LINGER: Final = "aborted on purpose (SO_LINGER 0)"
_DID_UNREAD: Final = "closed with data unread"
_LINGER: Final = "its application aborted on purpose (SO_LINGER 0)"
_UNREAD: Final = "its application closed with received data still unread"
_DIED: Final = "its process was killed"
_FORGOTTEN: Final = "its host knows no such connection any more, and answers with an ACK in its RST (lwIP)"
_BOX: Final = "a device in between sent the RST"
_FORGETFUL_BOX: Final = "a device in between forgot the connection and sent the RST"
ALTERNATIVES: Final[dict[int, tuple[str, ...]]] = {
    UNKNOWN: (_LINGER, _BOX),
    LINGER_ZERO: (_UNREAD, _DIED, _BOX),
    UNREAD_DATA: (_LINGER, _DIED, _BOX),
    DATA_AFTER_CLOSE: ("its process died or its host restarted", _FORGETFUL_BOX),
    NO_LISTENER: ("a firewall rejects the attempt with a RST",),
    PROCESS_DIED: ("its host restarted", _FORGETFUL_BOX),
    KEEPALIVE_TIMEOUT: (_LINGER,),
    RETRANSMISSION_TIMEOUT: (_LINGER,),
    FIREWALL_REJECT: ("nothing listens on that port",),
    IDLE_TIMEOUT: ("its host restarted meanwhile", _LINGER),
    INJECTED: ("a load balancer or proxy that answers for the endpoint",),
}
_BOXES: Final = (_BOX, _FORGETFUL_BOX)
_OLD_SYN: Final = ("it answered what an old duplicate SYN had drawn",)


def _grade(found: Resets, first_requests: IntArray) -> IntArray:
    """The severity of each abort: by what it destroyed, and by whether somebody should do something."""
    cause = found.causes
    by_server = (cause == UNREAD_DATA) & (found.senders == SERVER) & ~found.foreign & ~found.farewell
    grave = by_server & ((found.sure >= 1) | (found.unanswered & ~found.receiver_closed))
    mild = among(cause, (PROCESS_DIED, KEEPALIVE_TIMEOUT, RETRANSMISSION_TIMEOUT)) | (
        (found.lost > 0) & ~found.farewell & ~found.declined & ~found.refused
    )
    mild |= by_server | (first_requests >= SEVERAL)
    severity = np.where(grave, int(Severity.MEDIUM), np.where(mild, int(Severity.LOW), int(Severity.INFO)))
    return np.where(among(cause, list(_TOLD_BY)), int(Severity.INFO), severity)


@rule(
    "PF301",
    "aborted",
    title="Connections ended by a reset",
    doubts=Doubt.GAPS,
    lead=Lead(
        "{who} aborted a connection",
        "{who} [aborts|abort] connections",
        blameless=("A connection to {server} was reset", "Connections to {server} are reset"),
    ),
    causes=ABORTED,
)
def aborted(tables: Tables, config: Config) -> Hits:
    """A RST that its receiver accepted ended the connection.

    Means: the connection was not closed but torn down; what was on its way or unread is gone. The row's cause says
        why. Most causes are inferred; the confidence says how well. unread-data and linger-zero look the same on
        the wire: unless a shut window or a connection without data proves one of them, the likelier is named, with
        the other beside it. A RST with another TTL than its sender's other packets is laid at nobody's door.
    Do:
        Client: if it sent the RST and data was lost, read to the end of the stream before closing, or shut down first.
        Server: likewise; a server that does not read the whole request before it answers and closes destroys its
            answer.
        Network: for idle-timeout set keep-alives shorter than the device's time-out; for injected or firewall-reject
            find the device.
    Else: between 15 and 25 in 100 real connections contain a RST, most of them harmless: where nothing was lost this is
        information. So is a RST that another rule tells of (PF304 injected, PF305 idle-timeout), and one by which a
        host ends what was idle for some time. A RST after both FINs is cosmetic and not reported, unless the FIN was
        repeated in vain; one that answers a segment of no known connection, or a probe, aborted nothing (PF306 and
        PF109 tell of these). Stacks reset in different forms: a RST without ACK that nothing drew is an abort (old
        Windows), and one with ACK that alone acknowledges data for a side that had closed tells of data-after-close
        (Windows, lwIP, gVisor), as one without ACK does elsewhere.
    Source: RFC 9293, 3.5.2 and 3.10.7.4; RFC 2525, 2.17; Linux enum sk_rst_reason.
    """
    found = resets(tables, config)
    alike = _first_requests(tables, found)
    severity = _grade(found, alike)
    # A stray (PF306) and a probe (PF109) are no connections that could be aborted.
    counts = (found.causes != STRAY) & ~scanned(tables, config)[found.flows]
    cosmetic = found.both_closed & (found.lost == 0) & (found.causes != RETRANSMISSION_TIMEOUT)
    reported = np.flatnonzero(counts & ~found.refused & ~cosmetic)
    # A refusal has a row of its own (PF102); here the resets of one server are one line.
    refusals = np.flatnonzero(counts & found.refused)
    servers = group(refusals, server_keys(tables)[found.flows[refusals]])
    weight = severity[reported] * 1e12 + np.minimum(found.lost[reported], 10**11)

    def finding(story: Story, hit: Hit) -> Finding:
        row = int(reported[hit.row])
        return _abort(tables, story, found, row, Severity(int(severity[row])), int(alike[row]))

    def refused(server: int) -> Finding:
        return _refusals(tables, found, servers.of(server))

    return joined(
        per_flow(tables, found.flows[reported], finding, weight=weight),
        per_group(range(len(servers)), refused, weight=np.zeros(len(servers))),
    )


def _first_requests(tables: Tables, found: Resets) -> IntArray:
    """For each abort of a first request, by a server that had answered nothing, how many the same server made so."""
    number = np.zeros(len(found.flows), dtype=np.int64)
    by_itself = among(found.causes, (LINGER_ZERO, UNREAD_DATA, UNKNOWN)) & ~found.opening
    rows = np.flatnonzero(found.unanswered & (found.senders == SERVER) & by_itself & ~found.refused)
    for members in group(rows, server_keys(tables)[found.flows[rows]]).at_least(SEVERAL):
        number[members] = len(members)
    return number


def _refusals(tables: Tables, found: Resets, members: IntArray) -> Finding:
    flows = found.flows[members]
    first = int(flows[0])
    cause = int(np.bincount(found.causes[members]).argmax())
    return Finding(
        severity=Severity.INFO,
        flow=first if len(flows) == 1 else MANY,
        endpoint=SERVER if cause == NO_LISTENER else NOBODY,
        time_ns=int(found.times_ns[members].min()),
        frames=proof(tables.flows["reset_frame"][flows[:8]].tolist()),
        detail=f"{tables.server(first)} refused {counted(len(flows), 'connection attempt')} with a RST (see PF102)",
        cause=CAUSES[cause],
        confidence=_SURE[int(found.sure[members].min())],
        alternatives=ALTERNATIVES[cause],
        count=len(flows),
        flows=tuple(flows[:MAX_FLOWS].tolist()),
    )


def _abort(tables: Tables, story: Story, found: Resets, row: int, severity: Severity, alike: int) -> Finding:
    f = tables.flows
    flow, sender, cause = int(found.flows[row]), int(found.senders[row]), int(found.causes[row])
    receiver = 1 - sender
    reset, when = int(f["reset_frame"][flow]), int(found.times_ns[row])
    fin = story.frame(flow, sender, event=FIN_TX)
    who, other = tables.name(flow, sender), tables.name(flow, receiver)
    lost = int(found.lost[row])
    frames = [reset, fin]
    late = story.marks(flow, marks.MARK_DATA_AFTER_CLOSE, endpoint=receiver)
    if cause == DATA_AFTER_CLOSE:
        drew = int(f["reset_drew_frame"][flow])
        frames += [*frames_of(late), drew]
        came = frames_of(late) or ([drew] if found.acknowledges[row] else [])
        what = f"data of {other}{in_frames(came)}" if late or lost else f"a segment of {other}"
        nobody = "found nobody to read it: nothing acknowledged it before the RST"
        why = (
            f"it had closed{in_frame(fin)}, and {what} {nobody if found.acknowledges[row] else 'found no socket there'}"
            if fin
            else "it answers as if it had no such connection; its own FIN or an earlier RST was not seen"
        )
    elif cause == LINGER_ZERO and found.sender_closed[row]:
        why = f"it had closed{in_frame(fin)} a moment before, and aborted on purpose (SO_LINGER 0)"
        why += "" if found.sure[row] else " or with data unread, which look the same"
    else:
        why = _why(tables, found, row)
        if cause in (KEEPALIVE_TIMEOUT, RETRANSMISSION_TIMEOUT):
            heard = cell(f, flow, receiver, "last_ns")
            kinds = (marks.KEEP_ALIVE, marks.RETRANSMISSION, marks.FAST_RETRANSMISSION, marks.ZERO_WINDOW_PROBE)
            frames += frames_of(story.marks(flow, *kinds, endpoint=sender, after_ns=heard))
        if cause == IDLE_TIMEOUT:
            frames.append(int(f["idle_frame"][flow]))
    others = _alternatives(found, row)
    if flow in cleared_flows(tables):
        why = "it made room for its next connection on the same ports (see PF107)"
        others = _OLD_SYN if others else ()
    since = duration(max(when - int(f["start_ns"][flow]), 0))
    reset_by = f"{who} reset its connection with {other}{in_frame(reset)}"
    if cause == INJECTED or found.foreign[row]:
        reset_by = f"a RST in the name of {who}{in_frame(reset)} ended its connection with {other}"
    return Finding(
        severity=severity,
        flow=flow,
        endpoint=NOBODY if cause == INJECTED or found.foreign[row] else sender,
        time_ns=when,
        frames=proof(frames),
        detail=(
            f"{reset_by} after {since}: {why}{foreign_ttl(tables, found, row)}{_loss(found, row, other)}"
            f"{_others(tables, flow, alike)}"
        ),
        cause=CAUSES[cause],
        confidence=_SURE[int(found.sure[row])],
        alternatives=others,
    )


def _alternatives(found: Resets, row: int) -> tuple[str, ...]:
    """What else fits an abort, the likeliest first."""
    if found.sure[row] == 2:
        return ()
    if found.itself[row] and found.causes[row] == IDLE_TIMEOUT:
        return ("its application aborted on purpose (SO_LINGER 0) for another reason",)
    cause = int(found.causes[row])
    others = [other for other in ALTERNATIVES[cause] if other != _UNREAD or not found.sure[row]]
    if found.acknowledges[row] and cause in (LINGER_ZERO, UNREAD_DATA):
        others.append(_FORGOTTEN)
    if cause == UNKNOWN and found.sender_closed[row]:
        others.insert(0, _UNREAD)
    if not found.foreign[row]:
        return tuple(others)
    # A foreign TTL makes a device the likeliest, whose reason some causes name.
    boxes = [other for other in others if other in _BOXES] or [_BOX]
    return (*boxes, *(other for other in others if other not in boxes))


def _loss(found: Resets, row: int, other: str) -> str:
    """What an abort destroyed, as the end of a sentence."""
    lost = int(found.lost[row])
    if not lost:
        return "; no data was on its way to it"
    if found.farewell[row]:
        return f"; of what {other} had sent only a TLS alert was lost, a close_notify as a rule"
    return f"; at least {were(lost, 'byte')} lost that {other} had sent"


def _others(tables: Tables, flow: int, alike: int) -> str:
    if not alike:
        return ""
    return f"; {tables.server(flow)} reset {counted(alike, 'first request')} so, without a byte of an answer"


def _why(tables: Tables, found: Resets, row: int) -> str:
    flow, sender, cause = int(found.flows[row]), int(found.senders[row]), int(found.causes[row])
    other = tables.name(flow, 1 - sender)
    if cause == INJECTED:
        return "the RST is probably not that endpoint's own (see PF304)"
    if cause == IDLE_TIMEOUT and found.itself[row]:
        return (
            f"the RST came after {duration(int(found.idle_ns[row]))} of silence and is the host's own "
            f"({own_signs(tables, flow)} go on from its segment before): its application ended what was idle"
        )
    if cause == IDLE_TIMEOUT:
        return f"the RST came after {duration(int(found.idle_ns[row]))} of silence (see PF305)"
    if cause == UNREAD_DATA and found.sure[row] == 2:
        return f"it had shut its receive window, so what {other} had sent was unread in its buffer"
    if cause in (UNREAD_DATA, LINGER_ZERO) and not found.sure[row]:
        had = f"it had acknowledged data of {other} and sent no FIN"
        if found.lost[row]:
            had = f"data of {other} was still on its way to it"
        elif found.unanswered[row]:
            had = f"it had acknowledged data of {other} and sent no data itself"
        order = (_DID_UNREAD, _DID_LINGER) if cause == UNREAD_DATA else (_DID_LINGER, _DID_UNREAD)
        return f"{had}; it {order[0]} or {order[1]}, which look the same"
    if cause == UNKNOWN and found.opening[row]:
        return "the RST came before the handshake was complete"
    if cause == UNKNOWN and found.sender_closed[row]:
        return "it had sent its FIN before, and the capture does not show why the RST followed"
    if cause == UNKNOWN and not cell(tables.flows, flow, 1 - sender, "packets"):
        return f"the capture holds nothing of {other}, and so does not show why"
    return {
        UNKNOWN: "the capture does not show why",
        LINGER_ZERO: f"it sent no FIN, and had got no data of {other} that it could have left unread",
        UNREAD_DATA: f"it closed while data of {other} was still on its way or unread",
        PROCESS_DIED: "it answers as if it had no such connection, and it refuses new ones",
        KEEPALIVE_TIMEOUT: f"its keep-alives got no answer from {other}",
        RETRANSMISSION_TIMEOUT: f"what it repeated was not acknowledged by {other}",
    }[cause]
