"""PF303 and PF304: resets that were ignored, and resets that neither end sent."""

from __future__ import annotations

import numpy as np

from pcapflow.anomalies.cite import in_frame, in_frames, proof
from pcapflow.anomalies.hits import Hit, per_flow
from pcapflow.anomalies.lookup.columns import cell, indices, side
from pcapflow.anomalies.lookup.timeline import Story, frames_of
from pcapflow.anomalies.model import LIKELY, Finding, Hits, Severity
from pcapflow.anomalies.resets.aborted import ALTERNATIVES
from pcapflow.anomalies.resets.causes import (
    CAUSES,
    INJECTED,
    resets,
)
from pcapflow.anomalies.resets.signs import signs_of
from pcapflow.anomalies.rule import Doubt, Lead, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, duration, listed


@rule(
    "PF303",
    "reset-ignored",
    title="Resets that were ignored",
    doubts=Doubt.DUPLICATES,
    lead=Lead("A reset of a connection to {server} was ignored", "Resets of connections to {server} are ignored"),
)
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

    def finding(story: Story, hit: Hit) -> Finding:
        flow = hit.flow
        ignored = story.marks(flow, marks.MARK_RESET_IGNORED)
        challenged = story.marks(flow, marks.MARK_CHALLENGE_ACK, after_ns=ignored[0].time_ns - 1)
        sender = ignored[0].endpoint
        off = ignored[0].value
        where = "beyond" if off > 0 else "below"
        far = f", whose sequence number lies {abs(off):,} {where} the one expected" if off else ""
        answer = f"; it was answered with a challenge ACK{in_frames(frames_of(challenged))}" if challenged else ""
        after = max(int(f["end_ns"][flow]) - ignored[-1].time_ns, 0)
        return Finding(
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

    return per_flow(tables, flows, finding, weight=number)


@rule(
    "PF304",
    "reset-injected",
    title="Resets from a third party",
    doubts=Doubt.GAPS | Doubt.DUPLICATES,
    lead=Lead("A third party reset a connection to {server}", "A third party resets connections to {server}"),
)
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

    def finding(_: Story, hit: Hit) -> Finding:
        row, flow, sender = hit
        reset = int(tables.flows["reset_frame"][flow])
        return Finding(
            severity=Severity.MEDIUM,
            flow=flow,
            time_ns=int(found.times_ns[rows[row]]),
            frames=proof([cell(tables.flows, flow, sender, "first_frame"), reset]),
            detail=(
                f"the RST in the name of {tables.name(flow, sender)}{in_frame(reset)} that ended its "
                f"connection with {tables.name(flow, 1 - sender)} is probably not its own: "
                f"{listed(signs_of(tables, flow, sender))}"
            ),
            cause=CAUSES[INJECTED],
            confidence=LIKELY,
            alternatives=ALTERNATIVES[INJECTED],
        )

    return per_flow(tables, found.flows[rows], finding, weight=found.signs[rows], endpoints=found.senders[rows])
