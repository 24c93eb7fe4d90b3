"""PF306: segments of no known connection, which are answered by a RST."""

from __future__ import annotations

import numpy as np

from pcapflow.anomalies.cite import in_frame, proof
from pcapflow.anomalies.hits import per_group
from pcapflow.anomalies.lookup.columns import distinct, indices, side
from pcapflow.anomalies.lookup.groups import group, host_keys
from pcapflow.anomalies.lookup.strays import strays
from pcapflow.anomalies.model import LIKELY, MANY, MAX_FLOWS, BoolArray, Finding, Hits, IntArray, Severity
from pcapflow.anomalies.opening.scans import scanned
from pcapflow.anomalies.rule import Lead, rule
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted


@rule(
    "PF306",
    "stray-segment",
    title="Segments of no known connection",
    lead=Lead("A segment of no known connection reached {server}", "Segments of no known connections reach {server}"),
)
def stray_segment(tables: Tables, config: Config) -> Hits:
    """A segment without data belongs to no connection of the capture, and a RST answered it.

    Means: whoever got it knows nothing of such a connection, and says so, as the standard asks. No connection was
        aborted by that: it had ended before, or there never was one.
    Do:
        Client: nothing, as long as there are few.
        Server: nothing.
        Network: many of them from one host are probes (told as a scan, PF109), or a device that sends on for
            connections which it no longer has.
    Else: a connection from before the capture that one side has forgotten looks the same while it is idle; with its
        next data it is told as aborted (PF301).
    Source: RFC 9293, 3.10.7.1 (a segment that comes for no connection).
    """
    flows = indices(strays(tables, config) & ~scanned(tables, config))
    from_client = _from_client(tables, flows)
    senders = np.where(from_client, host_keys(tables, CLIENT)[flows], host_keys(tables, SERVER)[flows])
    hosts = group(flows, senders)

    def finding(host: int) -> Finding:
        return _stray(tables, hosts.of(host))

    return per_group(range(len(hosts)), finding, weight=hosts.sizes() if len(flows) else [])


def _from_client(tables: Tables, flows: IntArray) -> BoolArray:
    """Whether the client sent what drew the RST; where that was not captured, it is whom the RST was sent to."""
    f = tables.flows
    found: BoolArray = side(f, SERVER, "rsts")[flows] > 0
    return found


def _stray(tables: Tables, members: IntArray) -> Finding:
    f = tables.flows
    first = int(members[0])
    sender = CLIENT if _from_client(tables, members[:1])[0] else SERVER
    other = 1 - sender
    frames = [int(frame) for name in ("first_frame", "last_frame") for frame in f[name][members[:6]]]
    sent = int((f["client_packets"] + f["server_packets"] - f["client_rsts"] - f["server_rsts"])[members].sum())
    begin, end = (in_frame(int(f[name][first])) for name in ("first_frame", "last_frame"))
    segments, who = counted(sent, "segment"), tables.name(first, sender)
    if len(members) > 1:
        by_server = _from_client(tables, members)
        hosts = [host_keys(tables, endpoint)[members] for endpoint in (SERVER, CLIENT)]
        text = (
            f"{tables.ip(first, sender)} sent {segments} of {len(members):,} connections that the capture does not "
            f"know, and {counted(distinct(np.where(by_server, *hosts)), 'host')} answered with RSTs"
        )
    elif sent:
        text = (
            f"{who} sent {segments}{begin} of a connection that the capture does not know, and "
            f"{tables.name(first, other)} answered with a RST{end}"
        )
    else:
        text = (
            f"{tables.name(first, other)} sent a RST{begin} to {who}, and the capture holds nothing else between these "
            "ports"
        )
    return Finding(
        severity=Severity.INFO,
        flow=first if len(members) == 1 else MANY,
        time_ns=int(f["start_ns"][members].min()),
        frames=proof(frames),
        detail=text,
        cause="stray",
        confidence=LIKELY,
        alternatives=("a connection from before the capture that one side has forgotten", "a probe"),
        count=len(members),
        flows=tuple(members[:MAX_FLOWS].tolist()),
    )
