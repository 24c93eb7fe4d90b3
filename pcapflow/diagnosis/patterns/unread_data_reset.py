"""PI106: a side closes while data of its peer is unread, and so resets its own answer away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

import numpy as np

from pcapflow.anomalies.cite import in_frames, proof
from pcapflow.anomalies.lookup.columns import among, side
from pcapflow.anomalies.lookup.groups import group, host_keys, server_keys
from pcapflow.anomalies.lookup.timeline import last_times
from pcapflow.anomalies.model import LIKELY, POSSIBLE, BoolArray, Confidence, IntArray, Severity
from pcapflow.anomalies.resets.aborted import SEVERAL
from pcapflow.anomalies.resets.cause_help import WHICH_ABORT
from pcapflow.anomalies.resets.causes import (
    DATA_AFTER_CLOSE,
    LINGER_ZERO,
    PARTING_BYTES,
    REACTION_S,
    UNKNOWN,
    UNREAD_DATA,
    Resets,
    resets,
)
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.idle import closes
from pcapflow.diagnosis.model import Blame, Explanation, Observation, Remedy
from pcapflow.diagnosis.pattern import pattern
from pcapflow.diagnosis.settings import HTTP, settings_of
from pcapflow.tcp.states import ACK_OF_FIN_RX, CLIENT, ENDPOINT_NAMES, SERVER
from pcapflow.text.phrases import counted, duration, listed, were
from pcapflow.text.times import time_of_day, to_ns

_CONSEQUENCES: Final = ("PF301", "PF302", "PF208")
_MAX_GROUPS: Final = 200
_HTTP_ADVICE: Final = (
    "where it is nginx: `lingering_close on` (its default) and a larger `client_max_body_size`; as a proxy "
    "`proxy_request_buffering on`, so that what is behind it (gunicorn, uvicorn) gets the whole request"
)


class _Group(NamedTuple):
    """The resets of one side of one server or of one client.

    Attributes:
        sender: who reset, 0 client, 1 server.
        rows: of the resets.
        flows: the connections, in order of number.
        early: on which of them the peer still sent something large: a server had begun to answer by then, and a client
            had just got some of it.
        unanswered: on which of them the peer had spoken last, and not because it was still sending.
        unheard: bytes of the sender that its peer had not acknowledged when it was reset.
        filled: on which of them the sender's window was shut: its buffer was full of what it had not read.
        spoke: on which of them the sender had sent anything at all.
    """

    sender: int
    rows: IntArray
    flows: IntArray
    early: BoolArray
    unanswered: BoolArray
    unheard: IntArray
    filled: BoolArray
    spoke: BoolArray


@pattern("PI106", "unread-data-reset", title="A reset instead of a close, because data was unread")
def unread_data_reset(case: Case) -> Sequence[Explanation]:
    """A program closed a connection before it had read all that its peer sent, and its kernel sent a RST for a FIN.

    Seen: RSTs of a socket that still existed, from a side that had not read what the peer sent: it acknowledged data
        and did not answer, it answered while more was coming, or it closed and data was still on its way.
    Unless: the server was restarted or died at that moment (PI101, PI102), a device sent the RST, or the side had
        answered all that it was asked and nothing more was on its way.
    Means: what the peer had sent is lost, and with a RST the answer may be: a peer that is still sending gets an error
        from its next write, and many never look at what they have received.
    Do:
        Server: read the request to its end, or shut down the sending side first and drain the rest (lingering close).
        Client: read the answer also when sending fails; read to the end of the stream before closing.
    Else: a program that aborts on purpose (SO_LINGER 0) sends the same RST.
    Source: RFC 1122, 4.2.2.13; RFC 2525, 2.17; RFC 9112, 9.6 (lingering close); Linux tcp_close (data_was_unread).
    """
    found = resets(case.tables, case.config)
    return [_explanation(case, found, members) for members in _groups(case, found)[:_MAX_GROUPS]]


def _groups(case: Case, found: Resets) -> list[_Group]:
    """By server address and port where a server reset, by client address where a client did; the largest first."""
    f = case.tables.flows
    answered = np.where(found.senders == SERVER, side(f, SERVER, "data_ns")[found.flows], -1)
    at_once = (answered >= 0) & (found.times_ns - answered <= to_ns(REACTION_S))
    # A socket that has sent its FIN, hears nothing more and then sends a RST was closed with data in it.
    shut = (
        among(found.causes, (UNKNOWN, LINGER_ZERO))
        & found.sender_closed
        & ~found.passive
        & ~found.both_closed
        & (found.signs == 0)
    )
    # A server that resets right after its answer to more than a short request may not have read the rest of it.
    abrupt = (found.causes == LINGER_ZERO) & (found.senders == SERVER) & at_once & ~found.sender_closed
    abrupt &= side(f, CLIENT, "bytes")[found.flows] > np.maximum(side(f, CLIENT, "mss")[found.flows], 536)
    # One that got a request and never answers has not read it, or does not mean to; how soon it resets tells nothing.
    mute = (found.causes == LINGER_ZERO) & (found.senders == SERVER) & found.unanswered & ~found.sender_closed
    unread = (found.causes == UNREAD_DATA) | abrupt | shut | mute | _crossed(case, found)
    rows = np.flatnonzero(unread & ~found.foreign).astype(np.int64)
    keys = np.where(
        found.senders[rows] == SERVER,
        server_keys(case.tables)[found.flows[rows]],
        ~host_keys(case.tables, CLIENT)[found.flows[rows]],
    )
    return sorted(
        (_group(case, found, members) for members in group(rows, keys).at_least(1)), key=lambda g: -len(g.rows)
    )


def _crossed(case: Case, found: Resets) -> BoolArray:
    """Resets of a server that had sent its FIN in the middle of an exchange, for data that was on its way by then.

    What a client sends once it has acknowledged the FIN is another matter (a goodbye, or PI302), unless it was in the
    middle of sending then; and so is a request that meets the end of an idle connection (PI301).
    """
    crossed: BoolArray = (found.causes == DATA_AFTER_CLOSE) & found.sender_closed & (found.senders == SERVER)
    crossed &= (found.lost > 0) & ~found.farewell & (found.signs == 0)
    if not crossed.any():
        return crossed
    ends, f = closes(case.tables, case.config), case.tables.flows
    acked_ns = last_times(case.tables, SERVER, event=ACK_OF_FIN_RX)
    aware = ((acked_ns >= 0) & (ends.asked_ns >= acked_ns))[found.flows]
    began_before = found.lost > side(f, CLIENT, "after_fin")[found.flows]
    crossed &= (~aware | began_before) & ((ends.by == SERVER) & ~ends.is_idle)[found.flows]
    return crossed


def _group(case: Case, found: Resets, rows: IntArray) -> _Group:
    f = case.tables.flows
    sender = int(found.senders[rows[0]])
    flows = found.flows[rows]
    own, said = side(f, sender, "sent")[flows], side(f, sender, "bytes")[flows]
    acked = side(f, 1 - sender, "acked")[flows]
    unheard = np.clip(own - np.maximum(acked, 1) - found.sender_closed[rows], 0, said)
    peer_last = side(f, 1 - sender, "data_ns")[flows] >= side(f, sender, "data_ns")[flows]
    large = side(f, 1 - sender, "bytes")[flows] > 2 * np.maximum(side(f, 1 - sender, "mss")[flows], 536)
    filled = side(f, sender, "zero_frame")[flows] > 0
    if sender == SERVER:
        early = (said > 0) & large & (peer_last | (found.lost[rows] > 0))
    else:
        # A client has spoken before any answer: that its peer still sends is told by when it was last heard.
        since_ns = found.times_ns[rows] - side(f, SERVER, "data_ns")[flows]
        early = large & (found.lost[rows] > 0) & (since_ns <= to_ns(REACTION_S))
    return _Group(sender, rows, flows, early, peer_last & ~early, unheard, filled, said > 0)


def _is_grave(found: Resets, members: _Group) -> bool:
    """A client that gives up reading harms nobody, but where it surely closed on what was still coming."""
    rows = members.rows
    return bool(
        np.any((found.lost[rows] > 0) & (found.sure[rows] >= 1) & ~found.farewell[rows] & ~found.declined[rows])
    )


def _explanation(case: Case, found: Resets, members: _Group) -> Explanation:
    flow = int(members.flows[0])
    is_server = members.sender == SERVER
    who = case.tables.server(flow) if is_server else case.tables.ip(flow, CLIENT)
    when = found.times_ns[members.rows]
    order = np.argsort(-members.unheard, kind="stable")
    return Explanation(
        severity=_severity(found, members),
        confidence=_confidence(found, members),
        headline=_headline(case, found, members, who),
        blame=Blame("endpoint" if is_server else "host", who, "server" if is_server else "client"),
        start_ns=int(when.min()),
        end_ns=int(when.max()),
        flows=named(members.flows[order]),
        count=len(members.flows),
        hosts=(*case.hosts(members.flows, SERVER), *case.hosts(members.flows, CLIENT))[:20],
        explains=frozenset(case.anomalies_of(*_CONSEQUENCES, flows=np.sort(members.flows))),
        why=tuple(_why(case, found, members)),
        against=tuple(_against(found, members)),
        remedy=_remedy(case, found, members),
    )


def _severity(found: Resets, members: _Group) -> Severity:
    if members.sender == CLIENT:
        return Severity.LOW if _is_grave(found, members) else Severity.INFO
    rows = members.rows
    # A few bytes that cross the FIN of a server which had answered all before are a goodbye more often than a request.
    few = found.sender_closed[rows] & members.spoke & (found.lost[rows] > 0) & (found.lost[rows] <= PARTING_BYTES)
    waited = members.unanswered & ~found.receiver_closed[rows] & ~few
    harmful = waited.any() or members.unheard.any()
    several = len(members.flows) >= SEVERAL or _confidence(found, members) == LIKELY
    return Severity.MEDIUM if harmful and several else Severity.LOW


def _confidence(found: Resets, members: _Group) -> Confidence:
    sure = (found.causes[members.rows] == UNREAD_DATA) & (found.sure[members.rows] >= 1)
    # Who answers what has not come whole yet, and is gone before the rest arrives, has not read it.
    sure |= members.filled | (members.early & (found.lost[members.rows] > 0))
    sure |= found.causes[members.rows] == DATA_AFTER_CLOSE
    return LIKELY if 2 * int(np.count_nonzero(sure)) >= len(members.rows) else POSSIBLE


def _headline(case: Case, found: Resets, members: _Group, who: str) -> str:
    total = len(members.flows)
    when = time_of_day(int(found.times_ns[members.rows].min()))
    at, them = (f"at {when}", "it") if total == 1 else (f"since {when}", "them")
    peers = case.hosts(members.flows, 1 - members.sender).listed(2)
    connections, fate = counted(total, "connection"), _fate(found, members)
    if _confidence(found, members) == POSSIBLE:
        return f"{who} reset {connections}, as a close does while something that {peers} sent is unread, {at}: {fate}."
    return f"{who} closed {connections} without reading all that {peers} sent, and so reset {them}, {at}: {fate}."


def _fate(found: Resets, members: _Group) -> str:
    lost = int(found.lost[members.rows].sum())
    if members.sender == CLIENT:
        return f"at least {were(lost, 'byte')} lost" if lost else "nothing more was on its way to it"
    unanswered = int(np.count_nonzero(members.unanswered))
    # Who closes behind its words after it had answers to others may wait for none: they may have been a goodbye.
    # Where the server had sent its FIN, they close because it did.
    closed_first = found.receiver_closed[members.rows] & ~found.sender_closed[members.rows]
    left = int(np.count_nonzero(members.unanswered & closed_first & members.spoke))
    cut = int(np.count_nonzero((members.unheard > 0) & ~members.unanswered))
    arrived = len(members.flows) - unanswered - cut
    parts = [f"{counted(unanswered - left, 'request')} got no answer"] if unanswered > left else []
    if left:
        parts.append(f"{counted(left, 'client')} had closed after words that got no answer")
    if cut:
        parts.append(f"{counted(cut, 'answer')} had not arrived whole")
    if arrived:
        parts.append(f"{counted(arrived, 'answer')} had arrived just before")
    return listed(parts)


def _why(case: Case, found: Resets, members: _Group) -> Iterator[Observation]:
    who, other = ENDPOINT_NAMES[members.sender], ENDPOINT_NAMES[1 - members.sender]
    frames = case.frames("reset_frame", members.flows[:4])
    yield Observation(
        f"{were(len(members.flows), 'connection')} ended by a RST of the {who}{in_frames(frames)}", frames
    )  # fmt: skip
    lost = found.lost[members.rows]
    if lost.any():
        frames = case.frames("reset_frame", members.flows[lost > 0][:4])
        yield Observation(
            f"at least {were(int(lost.sum()), 'byte')} on the way from the {other} and not acknowledged, on "
            f"{counted(int(np.count_nonzero(lost)), 'connection')}{in_frames(frames)}", frames,
        )  # fmt: skip
    if members.early.any():
        flows = members.flows[members.early][:4]
        frames = proof(case.column("answer_frame")[flows].tolist()) if members.sender == SERVER else ()
        came = f"the {who} had begun to speak while data of the {other} still came"
        came = came if members.sender == SERVER else f"data of the {other} still came"
        yield Observation(f"on {int(np.count_nonzero(members.early))} of them {came}{in_frames(frames)}", frames)
    if members.filled.any():
        flows = members.flows[members.filled]
        frames = proof(side(case.tables.flows, members.sender, "zero_frame")[flows[:4]].tolist())
        yield Observation(
            f"on {len(flows)} of them the {who}'s window was shut: its buffer was full of what it had not read"
            f"{in_frames(frames)}", frames,
        )  # fmt: skip
    silent = members.flows[members.unanswered]
    if len(silent):
        frames = case.frames("reset_frame", silent[:4])
        yield Observation(
            f"on {len(silent)} of them the {other} had spoken last, and the {who} reset without another word"
            f"{in_frames(frames)}", frames,
        )  # fmt: skip
    spoke = members.flows[~members.unanswered]
    if len(spoke) and members.sender == SERVER:
        yield _answered(case, found, members)


def _answered(case: Case, found: Resets, members: _Group) -> Observation:
    spoke = ~members.unanswered
    flows = members.flows[spoke]
    since = found.times_ns[members.rows][spoke] - side(case.tables.flows, SERVER, "data_ns")[flows]
    lost = int(members.unheard[spoke].sum())
    heard = f"at least {were(lost, 'byte')} never acknowledged" if lost else "the client's kernel had all of it"
    frames = case.frames("reset_frame", flows[:4])
    text = f"the RST came {duration(int(np.median(since)))} (median) after the server's last byte, and {heard}"
    return Observation(text + in_frames(frames), frames)


def _against(found: Resets, members: _Group) -> Iterator[str]:
    if _confidence(found, members) == POSSIBLE or not found.lost[members.rows].any():
        yield "a program that aborts on purpose (SO_LINGER with a time of 0) sends the same RST"
    if members.sender == SERVER and members.unanswered.any():
        yield "a process that was killed, or a listener that was closed, with a request unread leaves the same RST"


def _remedy(case: Case, found: Resets, members: _Group) -> tuple[Remedy, ...]:
    who: Literal["Client", "Server"] = "Client" if members.sender == CLIENT else "Server"
    which = [Remedy(who, WHICH_ABORT)] if _confidence(found, members) == POSSIBLE else []
    if members.sender == CLIENT:
        what = "read to the end of the stream before close(), or say with shutdown(SHUT_WR) that it is done"
        return (*which, Remedy("Client", what))
    port = int(case.column("server_port")[members.flows[0]])
    drain = Remedy(
        "Server",
        "read the request to its end; or, after an early answer, shutdown(SHUT_WR), read and drop what still comes "
        "until the client closes (a few seconds at most), and only then close()",
    )
    at_client = Remedy("Client", "ask first (`Expect: 100-continue`), and read the answer also where sending failed")
    if settings_of(port) != HTTP:
        return (*which, drain, at_client)
    return (*which, drain, Remedy("Server", _HTTP_ADVICE), at_client)
