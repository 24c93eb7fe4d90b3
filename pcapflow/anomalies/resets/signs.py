"""Signs that a RST is not its sender's own, and silences that a device's time-out would make."""

from __future__ import annotations

from typing import Final

import numpy as np

from pcapflow.anomalies.lookup.columns import cell, side
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


def signs_of(tables: Tables, flow: int, sender: int) -> list[str]:
    """The signs that this flow's reset is not its sender's own, in words."""
    masks = _sign_masks(tables, np.array([flow]), np.array([sender]))
    f = tables.flows
    texts = (
        f"its TTL is {f['reset_ttl'][flow]} where that of the sender's other packets is {cell(f, flow, sender, 'ttl')}",
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
