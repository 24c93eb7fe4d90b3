"""PF3xx: resets, what they destroyed, and who really sent them."""

from __future__ import annotations

from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frame, in_frames, proof
from pcapflow.anomalies.lookup import SIDES, Story, cell, count_marks, frames_of, group, indices, server_keys, side
from pcapflow.anomalies.model import (
    CERTAIN,
    LIKELY,
    MANY,
    MAX_FLOWS,
    NOBODY,
    POSSIBLE,
    BoolArray,
    Confidence,
    Finding,
    Hits,
    IntArray,
    Severity,
)
from pcapflow.anomalies.resets import (
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
    UNKNOWN,
    UNREAD_DATA,
    USUAL_TIMEOUTS_S,
    Resets,
    resets,
    signs_of,
    usual_timeout,
)
from pcapflow.anomalies.rule import Doubt, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.states import CLIENT, FIN_TX, SERVER
from pcapflow.text.phrases import counted, duration, listed, were
from pcapflow.text.times import NS_PER_S, to_ns

CLOSE_NOTIFY_BYTES: Final = 64
"""A TLS alert that says goodbye is no larger; nobody misses it."""

_TOLD_BY: Final = {INJECTED: "PF304", IDLE_TIMEOUT: "PF305"}
"""Causes that have a rule of their own: it tells of the reset, and the row of PF301 only names it."""

_SURE: Final[tuple[Confidence, ...]] = (POSSIBLE, LIKELY, CERTAIN)

_LINGER: Final = "its application aborted on purpose (SO_LINGER 0)"
_UNREAD: Final = "its application closed with received data still unread"
_DIED: Final = "its process was killed"
_BOX: Final = "a device in between sent it"
_ALTERNATIVES: Final[dict[int, tuple[str, ...]]] = {
    UNKNOWN: (_LINGER, _BOX),
    LINGER_ZERO: (_UNREAD, _DIED, _BOX),
    UNREAD_DATA: (_LINGER, _DIED, _BOX),
    DATA_AFTER_CLOSE: (
        "its process died or its host restarted",
        "a device in between forgot the connection and sent it",
    ),
    NO_LISTENER: ("a firewall rejects with a RST",),
    PROCESS_DIED: ("its host restarted", "a device in between forgot the connection and sent it"),
    KEEPALIVE_TIMEOUT: (_LINGER,),
    RETRANSMISSION_TIMEOUT: (_LINGER,),
    FIREWALL_REJECT: ("nothing listens on that port",),
    IDLE_TIMEOUT: ("its host restarted meanwhile", _LINGER),
    INJECTED: ("a load balancer or proxy that answers for the endpoint",),
}


def _grade(found: Resets) -> IntArray:
    """The severity of each abort: by what it destroyed, and by whether somebody should do something."""
    cause = found.causes
    grave = (cause == UNREAD_DATA) & (found.senders == SERVER) & (found.sure >= 1)
    mild = np.isin(cause, (PROCESS_DIED, KEEPALIVE_TIMEOUT, RETRANSMISSION_TIMEOUT)) | (
        (found.lost > CLOSE_NOTIFY_BYTES) & ~found.refused
    )
    mild |= (cause == UNREAD_DATA) & (found.senders == SERVER)
    severity = np.where(grave, int(Severity.MEDIUM), np.where(mild, int(Severity.LOW), int(Severity.INFO)))
    return np.where(np.isin(cause, list(_TOLD_BY)), int(Severity.INFO), severity)


@rule("PF301", "aborted", title="Connections ended by a reset", doubts=Doubt.GAPS)
def aborted(tables: Tables, config: Config) -> Hits:
    """A RST that its receiver accepted ended the connection.

    Means: the connection was not closed but torn down; what was on its way or unread is gone. The row's cause says
        why: linger-zero (the application asked for it), unread-data (it closed with data unread), data-after-close
        (data came for a socket that was gone), no-listener, process-died, keepalive-timeout, retransmission-timeout,
        firewall-reject, idle-timeout, injected, or unknown. Most causes are inferred; the confidence says how well.
    Do:
        Client: if it sent the RST and data was lost, read to the end of the stream before closing, or shut down first.
        Server: likewise; a server that does not read the whole request before it answers and closes destroys its
            answer.
        Network: for idle-timeout set keep-alives shorter than the device's time-out; for injected or firewall-reject
            find the device.
    Else: between 15 and 25 in 100 real connections contain a RST, most of them harmless: where nothing was lost this is
        information. So is a RST that another rule tells of (PF304 injected, PF305 idle-timeout). A RST after both FINs
        is cosmetic and not told.
    Source: RFC 9293, 3.5.2 and 3.10.7.4; RFC 2525, 2.17; Linux enum sk_rst_reason.
    """
    found = resets(tables, config)
    severity = _grade(found)
    told = np.flatnonzero(~found.refused & ~(found.both_closed & (found.lost == 0)))
    # A refusal has a row of its own (PF102); here the resets of one server are one line.
    refusals = np.flatnonzero(found.refused)
    servers = group(refusals, server_keys(tables)[found.flows[refusals]])
    weight = severity[told] * 1e12 + np.minimum(found.lost[told], 10**11)

    def describe(positions: IntArray) -> list[Finding]:
        single = told[positions[positions < len(told)]]
        story = Story(tables, found.flows[single])
        return [
            _abort(tables, story, found, int(told[p]), Severity(int(severity[told[p]])))
            if p < len(told)
            else _refusals(tables, found, servers.of(p - len(told)))
            for p in positions.tolist()
        ]

    return Hits(
        np.concatenate((found.flows[told], np.full(len(servers), MANY))),
        describe,
        np.concatenate((weight, np.full(len(servers), 0.0))),
    )


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
        alternatives=_ALTERNATIVES[cause],
        count=len(flows),
        flows=tuple(flows[:MAX_FLOWS].tolist()),
    )


def _abort(tables: Tables, story: Story, found: Resets, row: int, severity: Severity) -> Finding:
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
        frames += [*frames_of(late), int(f["reset_drew_frame"][flow])]
        what = f"data of {other}{in_frames(frames_of(late))}" if late or lost else f"a segment of {other}"
        why = (
            f"it had closed{in_frame(fin)}, and {what} found no socket there"
            if fin
            else "it answers as if it had no such connection; its own FIN or an earlier RST was not seen"
        )
    else:
        why = _why(tables, found, row)
        if cause in (KEEPALIVE_TIMEOUT, RETRANSMISSION_TIMEOUT):
            heard = cell(f, flow, receiver, "last_ns")
            kinds = (marks.KEEP_ALIVE, marks.RETRANSMISSION, marks.FAST_RETRANSMISSION, marks.ZERO_WINDOW_PROBE)
            frames += frames_of(story.marks(flow, *kinds, endpoint=sender, after_ns=heard))
        if cause == IDLE_TIMEOUT:
            frames.append(int(f["idle_frame"][flow]))
    loss = f"; at least {were(lost, 'byte')} lost that {other} had sent" if lost else "; no data was on its way to it"
    since = duration(max(when - int(f["start_ns"][flow]), 0))
    return Finding(
        severity=severity,
        flow=flow,
        endpoint=NOBODY if cause == INJECTED else sender,
        time_ns=when,
        frames=proof(frames),
        detail=f"a RST from {who}{in_frame(reset)} ended the connection with {other} after {since}: {why}{loss}",
        cause=CAUSES[cause],
        confidence=_SURE[int(found.sure[row])],
        alternatives=() if found.sure[row] == 2 else _ALTERNATIVES[cause],
    )


def _why(tables: Tables, found: Resets, row: int) -> str:
    flow, sender, cause = int(found.flows[row]), int(found.senders[row]), int(found.causes[row])
    other = tables.name(flow, 1 - sender)
    if cause == INJECTED:
        return "it is probably not that endpoint's own (see PF304)"
    if cause == IDLE_TIMEOUT:
        return f"it came after {duration(int(found.idle_ns[row]))} of silence (see PF305)"
    if cause == UNREAD_DATA and not found.lost[row]:
        answered = "had sent nothing itself" if not cell(tables.flows, flow, sender, "bytes") else "did not answer it"
        return f"it had acknowledged data of {other} and {answered}, so it probably closed without reading it"
    if cause == LINGER_ZERO and found.sure[row]:
        return f"it sent no FIN, and nothing of {other} was left for it to read"
    if cause == UNKNOWN and found.opening[row]:
        return "it came before the handshake was complete"
    if cause == UNKNOWN and not cell(tables.flows, flow, 1 - sender, "packets"):
        return f"the capture holds nothing of {other}, and so does not show why"
    return {
        UNKNOWN: "the capture does not show why",
        LINGER_ZERO: f"it had acknowledged all data of {other} and sent no FIN",
        UNREAD_DATA: f"it closed while data of {other} was still on its way or unread",
        PROCESS_DIED: "it answers as if it had no such connection, and it refuses new ones",
        KEEPALIVE_TIMEOUT: f"its keep-alives got no answer from {other}",
        RETRANSMISSION_TIMEOUT: f"what it repeated was not acknowledged by {other}",
    }[cause]


@rule("PF302", "abort-lost-data", title="Data lost in resets", doubts=Doubt.ONE_WAY | Doubt.GAPS)
def abort_lost_data(tables: Tables, config: Config) -> Hits:
    """A reset destroyed data that was on its way to its sender, or that its sender had received and not read.

    Means: the peer of the RST's sender sent bytes that the sender's application never got. The number is the least:
        what the sender had not acknowledged. Bytes it acknowledged and did not read are lost too, but cannot be
        counted.
    Do:
        Client: if it reset the connection, read to the end of the stream before closing.
        Server: if it reset the connection, call shutdown() and drain the input before close(); else the reset may also
            destroy the answer it has just sent.
    Else: a client that gives up a download loses only what it no longer wanted; a few bytes after its FIN are usually a
        TLS close_notify. Both have little weight here.
    Source: RFC 2525, 2.17 (failure to RST on close with data pending); RFC 1122, 4.2.2.13.
    """
    found = resets(tables, config)
    unread = (found.causes == UNREAD_DATA) & (found.sure >= 1)
    rows = np.flatnonzero(((found.lost > 0) | unread) & ~found.refused)
    trifle = found.sender_closed & (found.lost <= CLOSE_NOTIFY_BYTES)
    severity = np.where(found.senders == CLIENT, int(Severity.LOW), int(Severity.MEDIUM))
    severity = np.where(trifle, int(Severity.INFO), severity)[rows]
    f = tables.flows

    def describe(positions: IntArray) -> list[Finding]:
        story = Story(tables, found.flows[rows[positions]])
        told = []
        for p in positions.tolist():
            row = int(rows[p])
            flow, sender, lost = int(found.flows[row]), int(found.senders[row]), int(found.lost[row])
            who, other = tables.name(flow, sender), tables.name(flow, 1 - sender)
            reset = int(f["reset_frame"][flow])
            late = frames_of(story.marks(flow, marks.MARK_DATA_AFTER_CLOSE, endpoint=1 - sender))
            if lost:
                was, is_ = ("was", "is") if lost == 1 else ("were", "are")
                detail = (
                    f"at least {counted(lost, 'byte')} that {other} had sent{in_frames(late)} {was} not acknowledged "
                    f"by {who} when its RST{in_frame(reset)} ended the connection, and {is_} lost"
                )
            else:
                total = cell(f, flow, 1 - sender, "bytes")
                detail = (
                    f"at least 1 of the {counted(total, 'byte')} that {other} had sent was probably unread when "
                    f"{who} reset the connection{in_frame(reset)}: its kernel had acknowledged them all"
                )
            told.append(
                Finding(
                    severity=Severity(int(severity[p])),
                    flow=flow,
                    endpoint=NOBODY if found.causes[row] == INJECTED else sender,
                    time_ns=int(found.times_ns[row]),
                    frames=proof([*late, reset]),
                    detail=detail,
                    cause=CAUSES[int(found.causes[row])],
                    confidence=CERTAIN if lost else LIKELY,
                    alternatives=() if lost else ("the application had read everything and aborted on purpose",),
                )
            )
        return told

    return Hits(found.flows[rows], describe, severity * 1e12 + np.minimum(found.lost[rows], 10**11))


@rule("PF303", "reset-ignored", title="Resets that were ignored", doubts=Doubt.DUPLICATES)
def reset_ignored(tables: Tables, config: Config) -> Hits:
    """A RST was not accepted by its receiver, and the connection went on.

    Means: the RST's sequence number was outside the receiver's window, or inside but not exact, which a modern TCP only
        answers with a challenge ACK. It may be a stray of an older connection, or somebody's guess.
    Do:
        Client: nothing; the connection is intact.
        Server: nothing.
        Network: many of these at one service are an attempt to break its connections blindly; look where they come
            from.
    Else: resets that answer segments of an earlier connection on the same ports look the same.
    Source: RFC 9293, 3.5.3; RFC 5961, 3.
    """
    del config
    f = tables.flows
    t = tables.marks
    rows = np.flatnonzero(t["mark"] == marks.MARK_RESET_IGNORED)
    # The RST of an endpoint that had to send another is told with the end of the connection.
    rows = rows[(f["reset_frame"][t["flow"][rows]] <= 0) | (f["reset_by"][t["flow"][rows]] != t["endpoint"][rows])]
    # That it was ignored shows only in what its receiver sent afterwards.
    receivers = np.where(t["endpoint"][rows] == CLIENT, SERVER, CLIENT)
    later = np.where(
        receivers == CLIENT,
        side(f, CLIENT, "last_ns")[t["flow"][rows]],
        side(f, SERVER, "last_ns")[t["flow"][rows]],
    )
    counts = np.bincount(t["flow"][rows[later > t["time_ns"][rows]]], minlength=len(f))
    flows = indices(counts > 0)
    number = counts[flows]

    def describe(positions: IntArray) -> list[Finding]:
        story = Story(tables, flows[positions])
        found = []
        for p in positions.tolist():
            flow = int(flows[p])
            ignored = story.marks(flow, marks.MARK_RESET_IGNORED)
            challenged = story.marks(flow, marks.MARK_CHALLENGE_ACK, after_ns=ignored[0].time_ns - 1)
            sender = ignored[0].endpoint
            off = ignored[0].value
            far = f", {counted(abs(off), 'byte')} {'beyond' if off > 0 else 'before'} what was expected" if off else ""
            answer = f"; it was answered with a challenge ACK{in_frames(frames_of(challenged))}" if challenged else ""
            after = max(int(f["end_ns"][flow]) - ignored[-1].time_ns, 0)
            found.append(
                Finding(
                    severity=Severity.LOW,
                    flow=flow,
                    time_ns=ignored[0].time_ns,
                    frames=proof([*frames_of(ignored), *frames_of(challenged)]),
                    detail=(
                        f"{tables.name(flow, 1 - sender)} ignored {counted(len(ignored), 'RST')} from "
                        f"{tables.name(flow, sender)}{in_frames(frames_of(ignored))}{far}; the connection went on for "
                        f"{duration(after)}{answer}"
                    ),
                    alternatives=("a stray of an earlier connection on the same ports", "a forged RST"),
                )
            )
        return found

    return Hits(flows, describe, number)


@rule("PF304", "reset-injected", title="Resets from a third party", doubts=Doubt.GAPS | Doubt.DUPLICATES)
def reset_injected(tables: Tables, config: Config) -> Hits:
    """At least two independent signs say that a RST was not sent by the endpoint whose address it bears.

    Means: a device between the two, or an attacker, ended the connection in the name of one side: a firewall, an
        intrusion prevention system, a proxy, a censor. Neither endpoint is to blame.
    Do:
        Client: capture at both ends and compare: a RST that arrives at one end and never left the other settles it.
        Server: likewise.
        Network: look into the logs of the devices on the path for this connection and time.
    Else: one sign alone is never told. Load balancers and paths of different lengths change the TTL, and a proxy that
        answers for the server sends resets of its own by design.
    Source: Weaver, Sommer, Paxson: Detecting Forged TCP Reset Packets (NDSS 2009); RFC 7323, 3.2.
    """
    found = resets(tables, config)
    rows = np.flatnonzero((found.signs >= 2) & ~found.refused)

    def describe(positions: IntArray) -> list[Finding]:
        told = []
        for row in rows[positions].tolist():
            flow, sender = int(found.flows[row]), int(found.senders[row])
            reset = int(tables.flows["reset_frame"][flow])
            told.append(
                Finding(
                    severity=Severity.MEDIUM,
                    flow=flow,
                    time_ns=int(found.times_ns[row]),
                    frames=proof([cell(tables.flows, flow, sender, "first_frame"), reset]),
                    detail=(
                        f"the RST in the name of {tables.name(flow, sender)}{in_frame(reset)} that ended its "
                        f"connection with {tables.name(flow, 1 - sender)} is probably not its own: "
                        f"{listed(signs_of(tables, flow, sender))}"
                    ),
                    cause=CAUSES[INJECTED],
                    confidence=LIKELY,
                    alternatives=_ALTERNATIVES[INJECTED],
                )
            )
        return told

    return Hits(found.flows[rows], describe, found.signs[rows])


@rule("PF305", "idle-timeout-reset", title="Connections lost after long silence", doubts=Doubt.GAPS | Doubt.CLOCK)
def idle_timeout_reset(tables: Tables, config: Config) -> Hits:
    """The first packet after a long silence drew a RST, or nothing at all.

    Means: while the connection was idle, something on the way or at the other end forgot it: a load balancer, a NAT or
        a firewall with an idle time-out. The endpoints did not know and went on as before.
    Do:
        Client: send keep-alives more often than the time-out (`net.ipv4.tcp_keepalive_time` is 7200 s by default,
            longer than nearly every device's time-out), or let its pool drop idle connections earlier.
        Server: likewise, with SO_KEEPALIVE and TCP_KEEPIDLE.
        Network: raise the device's idle time-out, or let it send resets to both sides when it forgets a connection.
    Else: a host that restarted meanwhile looks the same. Where the silence is near one of the usual defaults it is
        named.
    Source: RFC 5382, 5 (NAT time-outs); defaults as documented by the makers of load balancers and firewalls.
    """
    f = tables.flows
    found = resets(tables, config)
    by_reset = np.flatnonzero(found.causes == IDLE_TIMEOUT)
    void = _into_the_void(tables, config)
    flows = np.concatenate((found.flows[by_reset], void))
    silence = f["idle_ns"][flows]

    def describe(positions: IntArray) -> list[Finding]:
        story = Story(tables, flows[positions])
        told = []
        for p in positions.tolist():
            flow = int(flows[p])
            speaker = int(f["idle_endpoint"][flow])
            first, quiet = int(f["idle_frame"][flow]), int(f["idle_ns"][flow])
            usual = bool(usual_timeout(np.array([quiet]))[0])
            # Who breaks its own silence with a RST may follow a time-out of its application.
            itself = p < len(by_reset) and int(f["reset_frame"][flow]) == first
            likeness = f", about the usual time-out of {_nearest(quiet)} s" if usual else ""
            if p < len(by_reset):
                reset = int(f["reset_frame"][flow])
                outcome = (
                    "was a RST" if itself else f"drew a RST{in_frame(reset)} from {tables.name(flow, 1 - speaker)}"
                )
                when, frames = int(f["reset_ns"][flow]), [first, reset]
            else:
                again = story.marks(flow, *_REPEATS, endpoint=speaker, after_ns=int(f["idle_end_ns"][flow]))
                outcome = (
                    f"was not answered, nor were {counted(len(again), 'repeat')} of it{in_frames(frames_of(again))}"
                )
                when, frames = int(f["idle_end_ns"][flow]), [first, *frames_of(again)]
            told.append(
                Finding(
                    severity=Severity.MEDIUM if usual and not itself else Severity.LOW,
                    flow=flow,
                    time_ns=when,
                    frames=proof(frames),
                    detail=(
                        f"after {duration(quiet)} of silence{likeness}, the first segment from "
                        f"{tables.name(flow, speaker)}{in_frame(first)} {outcome}"
                    ),
                    cause=CAUSES[IDLE_TIMEOUT],
                    confidence=LIKELY if usual and not itself else POSSIBLE,
                    alternatives=(
                        ("a time-out of its own application",)
                        if itself
                        else (f"{tables.name(flow, 1 - speaker)} restarted or its process died meanwhile",)
                    ),
                )
            )
        return told

    itself = f["reset_frame"][flows] == f["idle_frame"][flows]
    return Hits(flows, describe, np.where(usual_timeout(silence) & ~itself, 1, 0))


_REPEATS: Final = (marks.RETRANSMISSION, marks.FAST_RETRANSMISSION, marks.SPURIOUS_RETRANSMISSION, marks.KEEP_ALIVE)


def _into_the_void(tables: Tables, config: Config) -> IntArray:
    """Flows whose first segment after a long silence was repeated and never answered by anything."""
    f = tables.flows
    quiet = (f["idle_ns"] >= to_ns(config.idle_s)) & (f["reset_frame"] <= 0)
    if not quiet.any():
        return np.zeros(0, dtype=np.int64)
    unheard: BoolArray = np.zeros(len(f), dtype=bool)
    for endpoint in SIDES:
        peer_silent = (side(f, 1 - endpoint, "packets") > 0) & (side(f, 1 - endpoint, "last_ns") < f["idle_end_ns"])
        again = count_marks(tables, *_REPEATS, endpoint=endpoint, after_ns=f["idle_end_ns"])
        unheard |= (f["idle_endpoint"] == endpoint) & peer_silent & (again >= 2)
    return indices(quiet & unheard)


def _nearest(silence_ns: int) -> int:
    return min(USUAL_TIMEOUTS_S, key=lambda seconds: abs(silence_ns - seconds * NS_PER_S))
