"""Signs that a RST is not its sender's own, and silences that a device's time-out would make."""

from __future__ import annotations

from typing import Final

import numpy as np

from pcapflow.anomalies.lookup.columns import cell, indices, side
from pcapflow.anomalies.lookup.groups import group, host_keys
from pcapflow.anomalies.model import BoolArray, IntArray
from pcapflow.tables.table import Tables
from pcapflow.tcp.flags import ACK
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.times import NS_PER_S

USUAL_TIMEOUTS_S: Final = (60, 120, 180, 240, 300, 350, 600, 900, 1800, 3600, 7200)
"""Defaults of load balancers, NATs and firewalls: 60 (AWS ALB, nginx), 240 (Azure), 350 (AWS NLB and NAT gateway),
300 and 900 (others), 3600 (many stateful firewalls), 7200 (the Linux keep-alive, RFC 5382's least for NAT is 7440)."""


def usual_timeout(silence_ns: IntArray) -> BoolArray:
    """Whether a silence is within 2 % (or 2 s) of one of :data:`USUAL_TIMEOUTS_S`."""
    fits = np.zeros(len(silence_ns), dtype=bool)
    for seconds in USUAL_TIMEOUTS_S:
        fits |= np.abs(silence_ns - seconds * NS_PER_S) <= max(2, seconds // 50) * NS_PER_S
    return fits


def usual_ttls(tables: Tables, flows: IntArray) -> IntArray:
    """For each of these flows the TTL that its server's packets have when they are not resets.

    -1 where no such packet was seen, or where they differ: then nothing can be said of a RST's.
    """
    f = tables.flows
    hosts = host_keys(tables, SERVER)
    speaks = indices((side(f, SERVER, "ttl") >= 0) & (side(f, SERVER, "packets") > side(f, SERVER, "rsts")))
    servers = group(speaks, hosts[speaks])
    if not len(servers) or not len(flows):
        return np.full(len(flows), -1, dtype=np.int64)
    ttls = side(f, SERVER, "ttl")[servers.members]
    least, most = (how.reduceat(ttls, servers.starts[:-1]) for how in (np.minimum, np.maximum))
    usual = np.where(least == most, least, -1)
    known = hosts[servers.members[servers.starts[:-1]]]
    place = np.minimum(np.searchsorted(known, hosts[flows]), len(known) - 1)
    return np.where(known[place] == hosts[flows], usual[place], -1)


def foreign_ttl(tables: Tables, flows: IntArray, refused: BoolArray) -> BoolArray:
    """Which refusals came with another TTL than the server has elsewhere."""
    foreign = np.zeros(len(flows), dtype=bool)
    usual = usual_ttls(tables, flows[refused])
    reset = tables.flows["reset_ttl"][flows[refused]]
    foreign[refused] = (usual >= 0) & (reset >= 0) & (usual != reset)
    return foreign


def signs_of(tables: Tables, flow: int, sender: int) -> list[str]:
    """The signs that this flow's reset is not its sender's own, in words."""
    masks = _sign_masks(tables, np.array([flow]), np.array([sender]))
    f = tables.flows
    texts = (
        f"its TTL is {f['reset_ttl'][flow]} (of the sender's other packets: {cell(f, flow, sender, 'ttl')})",
        "it carries no time stamp although the connection uses them",
        "its sender went on sending new data after it",
    )
    return [text for text, mask in zip(texts, masks, strict=True) if mask[0]]


def injection_signs(tables: Tables, flows: IntArray, senders: IntArray) -> IntArray:
    """How many independent signs say that a reset is not its sender's own."""
    signs: IntArray = np.sum(_sign_masks(tables, flows, senders), axis=0, dtype=np.int64)
    return signs


def _sign_masks(tables: Tables, flows: IntArray, senders: IntArray) -> list[BoolArray]:
    f = tables.flows

    def of(endpoints: IntArray, column: str) -> IntArray:
        return np.where(endpoints == CLIENT, side(f, CLIENT, column)[flows], side(f, SERVER, column)[flows])

    ttl, usual = f["reset_ttl"][flows], of(senders, "ttl")
    seen = of(senders, "packets") > of(senders, "rsts")
    # A RST with the ACK flag comes from a socket, and a Linux socket that uses time stamps puts one on it; a passive
    # RST never has one.
    active = (f["reset_flags"][flows] & ACK) != 0
    stamped = (of(senders, "timestamps") == 1) & (of(1 - senders, "timestamps") == 1)
    return [
        (ttl >= 0) & (usual >= 0) & (ttl != usual) & seen,
        active & stamped & (f["reset_options"][flows] == 0) & seen,
        of(senders, "data_ns") > f["reset_ns"][flows],
    ]
