"""Attempts to connect that a device rejected, or the host's own firewall: by a RST in the host's name, or by ICMP."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.lookup.columns import SIDES, indices, side, unique
from pcapflow.anomalies.lookup.groups import host_keys
from pcapflow.anomalies.model import IntArray
from pcapflow.anomalies.opening.icmp import NOT_OPENED, icmp_errors
from pcapflow.anomalies.opening.scans import scanned
from pcapflow.anomalies.resets.causes import resets
from pcapflow.diagnosis.case import Case
from pcapflow.diagnosis.icmp_messages import Message, messages
from pcapflow.tcp.states import CLIENT, SERVER

PROHIBITED: Final = {4: (3 << 8 | 9, 3 << 8 | 10, 3 << 8 | 13), 6: (1 << 8 | 1, 1 << 8 | 5, 1 << 8 | 6)}
"""Types and codes by which a filter says that it is one (RFC 1812, 5.2.7.1; RFC 4443, 3.1)."""
PORT_UNREACHABLE: Final = {4: 3 << 8 | 3, 6: 1 << 8 | 4}
"""What a filter says that rejects without more ado; the TCP of a host answers by a RST instead."""


_ANSWER_NS: Final = 1_000_000_000
"""A device answers what it does not let pass within this time; words that come so soon belong to the opening."""
_FORGED: Final = 2
"""One RST with another TTL may have taken another path."""

_NO_WAY: Final = {4: tuple(3 << 8 | code for code in (0, 1, 6, 7, 11, 12)), 6: (1 << 8 | 0, 1 << 8 | 3)}
"""What a router says that has no route, or does not find the host (RFC 1812, 5.2.7.1; RFC 4443, 3.1)."""


class Rejection(NamedTuple):
    """Connections to one host that were rejected by the same sender in the same way.

    Attributes:
        flows: the connections, in order of number.
        sender: the address of the ICMP messages; "" where RSTs with another TTL than the host's were drawn.
        icmp: the ICMP messages.
        opened: they had been opened, and what the client said then was rejected.
    """

    flows: IntArray
    sender: str
    icmp: tuple[Message, ...]
    opened: bool = False


def forged_refusals(case: Case) -> IntArray:
    """Attempts that were refused by a RST whose TTL is one that the server's host has nowhere else."""
    found = resets(case.tables, case.config)
    flows = found.flows[found.refused & found.foreign]
    return flows[~scanned(case.tables, case.config)[flows]]


def forged_answers(case: Case) -> IntArray:
    """Connections whose first words drew, in place of an answer, a RST with a TTL that the server has nowhere else.

    Later in a connection's life it may be a device that has forgotten it.
    """
    found = resets(case.tables, case.config)
    f = case.tables.flows
    flows = found.flows
    first_ns = side(f, CLIENT, "first_data_ns")[flows]
    mute = (side(f, SERVER, "bytes")[flows] == 0) & (side(f, CLIENT, "bytes")[flows] > 0)
    soon = (first_ns >= 0) & (found.times_ns >= first_ns) & (found.times_ns - first_ns <= _ANSWER_NS)
    soon &= first_ns - f["start_ns"][flows] <= _ANSWER_NS
    ours = found.foreign & (found.senders == SERVER) & ~found.refused & ~found.opening & mute & soon
    rejected = flows[ours]
    answers: IntArray = rejected[~scanned(case.tables, case.config)[rejected]]
    return answers


def rejections(case: Case) -> list[Rejection]:
    """All of a capture, those of one server's host and one sender together."""
    found = [Rejection(flows, "", ()) for flows in case.by_host(forged_refusals(case), SERVER).at_least(1)]
    answers = case.by_host(np.sort(forged_answers(case)), SERVER).at_least(_FORGED)
    found += [Rejection(flows, "", (), opened=True) for flows in answers]
    errors = icmp_errors(case.tables, case.config)
    flows = errors.flows[errors.fatal & ~scanned(case.tables, case.config)[errors.flows]]
    for each in case.by_host(np.sort(flows), SERVER).at_least(1):
        by_sender: dict[str, list[Message]] = {}
        first: dict[int, str] = {}
        for message in messages(case, each):
            # Of further messages about a connection the sender is not kept; it is the same as a rule.
            sender = first.setdefault(message.flow, message.sender)
            if sender and _rejects(case, message):
                by_sender.setdefault(sender, []).append(message)
        for sender, icmp in by_sender.items():
            members = unique(np.array([message.flow for message in icmp], dtype=np.int64))
            found.append(Rejection(members, sender, tuple(icmp)))
    return found


def unreachable_hosts(case: Case) -> list[Rejection]:
    """Attempts to connect to hosts that a router has no way to, and that nobody reaches, by the router that says so."""
    errors = icmp_errors(case.tables, case.config)
    unopened = (errors.outcomes == NOT_OPENED) & ~scanned(case.tables, case.config)[errors.flows]
    by_sender: dict[str, list[Message]] = {}
    first: dict[int, str] = {}
    for message in messages(case, np.sort(errors.flows[unopened])):
        sender = first.setdefault(message.flow, message.sender)
        lacks_way = message.value in _NO_WAY[message.family] and not _rejects(case, message)
        if sender and lacks_way and sender != case.tables.ip(message.flow, SERVER):
            by_sender.setdefault(sender, []).append(message)
    return [
        Rejection(unique(np.array([message.flow for message in icmp], dtype=np.int64)), sender, tuple(icmp))
        for sender, icmp in by_sender.items()
    ]


def _rejects(case: Case, message: Message) -> bool:
    """Whether it says that something filters, or says that a host cannot be reached which others reach."""
    if message.value in PROHIBITED[message.family] or message.value == PORT_UNREACHABLE[message.family]:
        return True
    if message.value >> 8 not in (3, 1) or (message.family == 4 and message.value == (3 << 8 | 4)):
        return False
    f = case.tables.flows
    peer = host_keys(case.tables, 1 - message.about)[message.flow]
    return any(
        np.any((host_keys(case.tables, endpoint) == peer) & (side(f, endpoint, "last_ns") > message.time_ns))
        for endpoint in SIDES
    )


def accepted(case: Case, flows: IntArray) -> IntArray:
    """All connections that the server's host of these accepted, on any port."""
    host = host_keys(case.tables, SERVER)
    syn_acks = side(case.tables.flows, SERVER, "syns") > 0
    return indices((host == host[flows[0]]) & syn_acks)
