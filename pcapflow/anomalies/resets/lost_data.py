"""PF302: data that a RST destroyed."""

from __future__ import annotations

import numpy as np

from pcapflow.anomalies.cite import in_frame, in_frames, proof
from pcapflow.anomalies.hits import Hit, per_flow
from pcapflow.anomalies.lookup.columns import stream_bytes
from pcapflow.anomalies.lookup.timeline import Story, frames_of
from pcapflow.anomalies.model import CERTAIN, LIKELY, NOBODY, POSSIBLE, Confidence, Finding, Hits, Severity
from pcapflow.anomalies.resets.cause_help import LOST_DATA
from pcapflow.anomalies.resets.causes import (
    CAUSES,
    INJECTED,
    STRAY,
    UNREAD_DATA,
    foreign_ttl,
    resets,
)
from pcapflow.anomalies.rule import Doubt, Lead, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.endings import PERHAPS_GOODBYE
from pcapflow.tcp.states import CLIENT
from pcapflow.text.phrases import counted


@rule(
    "PF302",
    "abort-lost-data",
    title="Data lost in resets",
    doubts=Doubt.ONE_WAY | Doubt.GAPS,
    lead=Lead(
        "Data was lost when a connection to {server} was reset", "Data was lost in resets of connections to {server}"
    ),
    causes=LOST_DATA,
)
def abort_lost_data(tables: Tables, config: Config) -> Hits:
    """A reset destroyed data that was on its way to its sender, or that its sender had received and not read.

    Means: the peer of the RST's sender sent bytes that the sender's application never got. The number is the least:
        what the sender had not acknowledged. Bytes it acknowledged and did not read are lost too, but cannot be
        counted, and whether it left any is seldom to be seen: an abort on purpose looks the same.
    Do:
        Client: if it reset the connection, read to the end of the stream before closing.
        Server: if it reset the connection, call shutdown() and drain the input before close(); else the reset may also
            destroy the answer it has just sent.
    Else: a client that gives up a download loses only what it no longer wanted, and nobody misses a TLS close_notify,
        which is known by its record (by its length where the snap length cut that off), nor what a server says in a few
        bytes to a client that has closed. All have little weight here.
    Source: RFC 2525, 2.17 (failure to RST on close with data pending); RFC 1122, 4.2.2.13.
    """
    found = resets(tables, config)
    # A request that was acknowledged and never answered is lost, if its server had not read it.
    unread = (found.sure >= 1) | (found.unanswered & ~found.receiver_closed & ~found.foreign)
    unread &= (found.causes == UNREAD_DATA) & ~found.farewell
    rows = np.flatnonzero(((found.lost > 0) | unread) & ~found.refused & (found.causes != STRAY))
    mild = (found.senders == CLIENT) | ((found.lost == 0) & (found.sure == 0))
    severity = np.where(mild, int(Severity.LOW), int(Severity.MEDIUM))
    severity = np.where(found.farewell | found.declined, int(Severity.INFO), severity)[rows]
    f = tables.flows
    by_length = f["reset_goodbye"][found.flows] == PERHAPS_GOODBYE

    def finding(story: Story, hit: Hit) -> Finding:
        _, flow, sender = hit
        row = int(rows[hit.row])
        lost = int(found.lost[row])
        who, other = tables.name(flow, sender), tables.name(flow, 1 - sender)
        reset = int(f["reset_frame"][flow])
        late = frames_of(story.marks(flow, marks.MARK_DATA_AFTER_CLOSE, endpoint=1 - sender))
        confidence: Confidence = CERTAIN
        if found.farewell[row]:
            known = "their number is that of" if by_length[row] else "they are"
            confidence = POSSIBLE if by_length[row] else CERTAIN
            detail = (
                f"{counted(lost, 'byte')} that {other} had sent last{in_frames(late)} were not acknowledged by {who} "
                f"when its RST{in_frame(reset)} ended the connection; {known} a TLS alert, a close_notify as a rule"
            )
        elif lost:
            was, is_ = ("was", "is") if lost == 1 else ("were", "are")
            how = f"{was} not acknowledged by {who} when its RST{in_frame(reset)} ended the connection"
            if found.acknowledges[row] and found.sender_closed[row]:
                how = f"came when {who} had closed, {was} not acknowledged before its RST{in_frame(reset)}"
            detail = f"at least {counted(lost, 'byte')} that {other} had sent{in_frames(late)} {how}, and {is_} lost"
        else:
            confidence = (POSSIBLE, LIKELY, CERTAIN)[int(found.sure[row])]
            how = "" if found.sure[row] == 2 else "probably " if found.sure[row] else "perhaps "
            total = stream_bytes(f, flow, 1 - sender)
            some, them = f"some of the {counted(total, 'byte')} that {other} had sent were", "them all"
            if total == 1:
                some, them = f"the 1 byte that {other} had sent was", "it"
            detail = (
                f"when {who} reset the connection{in_frame(reset)}, {some} {how}unread: its kernel had acknowledged "
                f"{them}"
            )
        return Finding(
            severity=Severity(int(severity[hit.row])),
            flow=flow,
            endpoint=NOBODY if found.causes[row] == INJECTED or found.foreign[row] else sender,
            time_ns=int(found.times_ns[row]),
            frames=proof([*late, reset]),
            detail=f"{detail}{foreign_ttl(tables, found, row)}",
            cause=CAUSES[int(found.causes[row])],
            confidence=confidence,
            alternatives=()
            if lost or confidence == CERTAIN
            else ("the application had read everything and aborted on purpose",),
        )

    weight = severity * 1e12 + np.minimum(found.lost[rows], 10**11)
    return per_flow(tables, found.flows[rows], finding, weight=weight, endpoints=found.senders[rows])
