"""PF302: data that a RST destroyed."""

from __future__ import annotations

from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frame, in_frames, proof
from pcapflow.anomalies.hits import Hit, per_flow
from pcapflow.anomalies.lookup.columns import cell
from pcapflow.anomalies.lookup.timeline import Story, frames_of
from pcapflow.anomalies.model import CERTAIN, LIKELY, NOBODY, Finding, Hits, Severity
from pcapflow.anomalies.resets.causes import (
    CAUSES,
    INJECTED,
    STRAY,
    UNREAD_DATA,
    resets,
)
from pcapflow.anomalies.rule import Doubt, Lead, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.states import CLIENT
from pcapflow.text.phrases import counted

CLOSE_NOTIFY_BYTES: Final = 64
"""A TLS alert that says goodbye is no larger; nobody misses it."""


@rule(
    "PF302",
    "abort-lost-data",
    title="Data lost in resets",
    doubts=Doubt.ONE_WAY | Doubt.GAPS,
    lead=Lead(
        "Data was lost when a connection to {server} was reset", "Data was lost in resets of connections to {server}"
    ),
)
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
    rows = np.flatnonzero(((found.lost > 0) | unread) & ~found.refused & (found.causes != STRAY))
    trifle = found.sender_closed & (found.lost <= CLOSE_NOTIFY_BYTES)
    severity = np.where(found.senders == CLIENT, int(Severity.LOW), int(Severity.MEDIUM))
    severity = np.where(trifle, int(Severity.INFO), severity)[rows]
    f = tables.flows

    def finding(story: Story, hit: Hit) -> Finding:
        _, flow, sender = hit
        row = int(rows[hit.row])
        lost = int(found.lost[row])
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
        return Finding(
            severity=Severity(int(severity[hit.row])),
            flow=flow,
            endpoint=NOBODY if found.causes[row] == INJECTED else sender,
            time_ns=int(found.times_ns[row]),
            frames=proof([*late, reset]),
            detail=detail,
            cause=CAUSES[int(found.causes[row])],
            confidence=CERTAIN if lost else LIKELY,
            alternatives=() if lost else ("the application had read everything and aborted on purpose",),
        )

    weight = severity * 1e12 + np.minimum(found.lost[rows], 10**11)
    return per_flow(tables, found.flows[rows], finding, weight=weight, endpoints=found.senders[rows])
