"""What one reset tells: who sent it, what it answered, what it destroyed, and the likeliest reason for it.

Theory of operation. Linux sends two kinds of resets. A *passive* one answers a segment for which there is no socket
(``tcp_v4_send_reset``): its sequence number is that segment's ACK, it has no ACK flag, no options and a window of 0. An
*active* one is sent by a socket that is being destroyed (``tcp_send_active_reset``): RST and ACK, at snd.nxt, a live
window and the connection's options. Which of the kernel's reasons is behind an active reset does not show in it;
what shows is who spoke last, whether the peer's bytes had been acknowledged, and what had been going on before. Where
two reasons fit, the likelier one is named and the other stands beside it.

Source: Linux net/ipv4/tcp_ipv4.c, tcp_output.c, tcp.c (``__tcp_close``) and ``enum sk_rst_reason``.
"""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np

from pcapflow.anomalies.capture_quality import quality
from pcapflow.anomalies.lookup import (
    SIDES,
    among,
    cell,
    count_marks,
    group,
    host_keys,
    indices,
    last_rows,
    last_times,
    remembered,
    server_keys,
    side,
)
from pcapflow.anomalies.model import BoolArray, IntArray
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.states import CLIENT, FIN_TX, RST_RX, RST_TX, SERVER, SYN_RCVD, SYN_SENT
from pcapflow.text.times import NS_PER_S, to_ns

FLAG_ACK: Final = 0x10

CAUSES: Final = (
    "unknown",
    "linger-zero",
    "unread-data",
    "data-after-close",
    "no-listener",
    "process-died",
    "keepalive-timeout",
    "retransmission-timeout",
    "firewall-reject",
    "idle-timeout",
    "injected",
)
(
    UNKNOWN,
    LINGER_ZERO,
    UNREAD_DATA,
    DATA_AFTER_CLOSE,
    NO_LISTENER,
    PROCESS_DIED,
    KEEPALIVE_TIMEOUT,
    RETRANSMISSION_TIMEOUT,
    FIREWALL_REJECT,
    IDLE_TIMEOUT,
    INJECTED,
) = range(len(CAUSES))

USUAL_TIMEOUTS_S: Final = (60, 120, 180, 240, 300, 350, 600, 900, 1800, 3600, 7200)
"""Defaults of load balancers, NATs and firewalls: 60 (AWS ALB, nginx), 240 (Azure), 350 (AWS NLB and NAT gateway),
300 and 900 (others), 3600 (many stateful firewalls), 7200 (the Linux keep-alive, RFC 5382's least for NAT is 7440)."""

REACTION_S: Final = 0.005
"""How soon after data arrived an abort can be a reaction to it."""

ANSWER_S: Final = 5.0
"""A reset within this time of the segment that broke a silence is taken for its answer."""


@dataclasses.dataclass(frozen=True)
class Resets:
    """Accepted resets, one per flow that had one, in parallel columns.

    Attributes:
        flows: the flows.
        senders: which endpoint's address each came from.
        times_ns: when it passed.
        passive: it answered a segment for which there is no socket.
        opening: it came before the handshake was over.
        refused: it refused the SYN.
        both_closed: both sides had sent a FIN before it.
        sender_closed: its sender had sent a FIN before it.
        lost: bytes of data towards its sender that its sender never acknowledged.
        signs: independent signs that it is not its sender's own.
        idle_ns: the silence that it, or the segment it answers, broke; 0 where none was long.
        causes: index into :data:`CAUSES`.
        sure: 2 certain, 1 likely, 0 possible.
    """

    flows: IntArray
    senders: IntArray
    times_ns: IntArray
    passive: BoolArray
    opening: BoolArray
    refused: BoolArray
    both_closed: BoolArray
    sender_closed: BoolArray
    lost: IntArray
    signs: IntArray
    idle_ns: IntArray
    causes: IntArray
    sure: IntArray


def _senders(tables: Tables, flows: IntArray) -> IntArray:
    f, t, m = tables.flows, tables.transitions, tables.marks
    frames = f["reset_frame"]
    sender = np.full(len(f), -1, dtype=np.int64)
    for event, flip in ((RST_RX, True), (RST_TX, False)):
        rows = np.flatnonzero(t["event"] == event)
        rows = rows[t["frame"][rows] == frames[t["flow"][rows]]]
        ends = t["endpoint"][rows].astype(np.int64)
        sender[t["flow"][rows]] = 1 - ends if flip else ends
    rows = np.flatnonzero(m["mark"] == marks.MARK_RESET)
    rows = rows[m["frame"][rows] == frames[m["flow"][rows]]]
    sender[m["flow"][rows]] = m["endpoint"][rows]
    return sender[flows]


@remembered
def resets(tables: Tables, config: Config) -> Resets:
    """Reads every accepted reset of the capture."""
    f = tables.flows
    flows = indices(f["reset_frame"] > 0)
    if not len(flows):
        return _none()
    senders = _senders(tables, flows)
    flows, senders = flows[senders >= 0], senders[senders >= 0]
    receivers = 1 - senders
    when = f["reset_ns"][flows]

    def of(endpoints: IntArray, column: str) -> IntArray:
        return np.where(endpoints == CLIENT, side(f, CLIENT, column)[flows], side(f, SERVER, column)[flows])

    fin_ns = np.stack([last_times(tables, e, event=FIN_TX)[flows] for e in SIDES])
    closed = (fin_ns >= 0) & (fin_ns <= when)
    pick = np.arange(len(flows))
    sender_closed, receiver_closed = closed[senders, pick], closed[receivers, pick]
    pending = np.maximum(f["reset_pending"][flows], 0)
    lost = np.where(receiver_closed, np.maximum(pending - 1, 0), pending)
    passive = ((f["reset_flags"][flows] & FLAG_ACK) == 0) & (f["reset_window"][flows] == 0)
    passive &= f["reset_options"][flows] != 1
    syn_sent = last_rows(tables, endpoint=CLIENT, old=SYN_SENT, event=RST_RX)[flows] >= 0
    syn_rcvd = np.any(
        [last_rows(tables, endpoint=SERVER, old=SYN_RCVD, event=e)[flows] >= 0 for e in (RST_RX, RST_TX)], axis=0
    )
    refused = syn_sent & (senders == SERVER)

    spoke_ns, heard_ns = of(senders, "data_ns"), of(receivers, "data_ns")
    spoke = of(senders, "bytes") > 0
    heard = of(receivers, "bytes") > 0
    unanswered = _unanswered(tables, flows, senders)
    idle = _idle(tables, config, flows, senders, when)
    signs = injection_signs(tables, flows, senders)
    # What the tap sees late by a round trip is no delay of the sender's.
    reaction = when - heard_ns - np.maximum(of(receivers, "rtt_ns"), 0)

    rules = (
        # (fits, cause, how sure); the first that fits is taken.
        (refused & _foreign_ttl(tables, flows, refused), FIREWALL_REJECT, 0),
        (refused, NO_LISTENER, 1),
        (signs >= 2, INJECTED, 1),
        # What its receiver had sent and acknowledged is not to be seen: any reason fits.
        (quality(tables, config).unheard[flows], UNKNOWN, 0),
        (sender_closed & passive, DATA_AFTER_CLOSE, 2),
        (~passive & (unanswered["keep-alive"] >= 2), KEEPALIVE_TIMEOUT, 1),
        (~passive & (unanswered["retransmission"] >= 3), RETRANSMISSION_TIMEOUT, 1),
        ((idle > 0) & (f["idle_endpoint"][flows] != senders), IDLE_TIMEOUT, 1),
        (idle > 0, IDLE_TIMEOUT, 0),
        ((syn_sent | syn_rcvd) & passive, UNKNOWN, 0),
        (passive & _listener_gone(tables, flows, senders, refused), PROCESS_DIED, 1),
        (passive, DATA_AFTER_CLOSE, 0),
        # Active from here on. Whoever closed first and then resets still had a socket, with data in it or on its way.
        (sender_closed & (lost > 0), UNREAD_DATA, 1),
        (sender_closed, UNKNOWN, 0),
        # Nobody resets because of unread data when there was none to read.
        (~heard, LINGER_ZERO, 1),
        # Who has answered since has read what it answers.
        (spoke_ns >= heard_ns, LINGER_ZERO, 1),
        (lost > 0, UNREAD_DATA, 0),
        # Who resets the moment that data arrives was reading, or it would not have known.
        (reaction <= to_ns(REACTION_S), LINGER_ZERO, 0),
        # A client that got its answer has read it, more often than not; a server that gave none has not read.
        (spoke & (senders == CLIENT), LINGER_ZERO, 0),
        (~spoke & ~receiver_closed, UNREAD_DATA, 1),
        (np.ones(len(flows), dtype=bool), UNREAD_DATA, 0),
    )
    conditions = [fits for fits, _, _ in rules]
    return Resets(
        flows=flows,
        senders=senders,
        times_ns=when,
        passive=passive,
        opening=syn_sent | syn_rcvd,
        refused=refused,
        both_closed=sender_closed & receiver_closed,
        sender_closed=sender_closed,
        lost=lost,
        signs=signs,
        idle_ns=idle,
        causes=np.select(conditions, [np.int64(cause) for _, cause, _ in rules]),
        sure=np.select(conditions, [np.int64(sure) for _, _, sure in rules]),
    )


def _none() -> Resets:
    nothing, never = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
    return Resets(
        flows=nothing,
        senders=nothing,
        times_ns=nothing,
        passive=never,
        opening=never,
        refused=never,
        both_closed=never,
        sender_closed=never,
        lost=nothing,
        signs=nothing,
        idle_ns=nothing,
        causes=nothing,
        sure=nothing,
    )


def _listener_gone(tables: Tables, flows: IntArray, senders: IntArray, refused: BoolArray) -> BoolArray:
    """Whether a server that knew nothing of a connection refused others as well: then its process is gone."""
    servers = server_keys(tables)[flows]
    gone: BoolArray = (senders == SERVER) & among(servers, servers[refused])
    return gone


def _unanswered(tables: Tables, flows: IntArray, senders: IntArray) -> dict[str, IntArray]:
    """Keep-alives and repeats that the reset's sender sent since it last heard anything from its peer."""
    f = tables.flows
    kinds = {
        "keep-alive": (marks.KEEP_ALIVE,),
        "retransmission": (
            marks.RETRANSMISSION,
            marks.FAST_RETRANSMISSION,
            marks.SPURIOUS_RETRANSMISSION,
            marks.ZERO_WINDOW_PROBE,
        ),
    }
    found = {}
    for name, kind in kinds.items():
        by_side = [count_marks(tables, *kind, endpoint=e, after_ns=side(f, 1 - e, "last_ns"))[flows] for e in SIDES]
        found[name] = np.where(senders == CLIENT, by_side[CLIENT], by_side[SERVER])
    return found


def _idle(tables: Tables, config: Config, flows: IntArray, senders: IntArray, when: IntArray) -> IntArray:
    """The silence that ended in this reset, where the other side broke it or it is one of the usual time-outs."""
    f = tables.flows
    silence, ended = f["idle_ns"][flows], f["idle_end_ns"][flows]
    answer = (f["idle_endpoint"][flows] != senders) & (when - ended <= to_ns(ANSWER_S))
    itself = (ended == when) & usual_timeout(silence)
    return np.where((silence >= to_ns(config.idle_s)) & (answer | itself), silence, 0)


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


def _foreign_ttl(tables: Tables, flows: IntArray, refused: BoolArray) -> BoolArray:
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
    active = (f["reset_flags"][flows] & FLAG_ACK) != 0
    stamped = (of(senders, "timestamps") == 1) & (of(1 - senders, "timestamps") == 1)
    return [
        (ttl >= 0) & (usual >= 0) & (ttl != usual) & seen,
        active & stamped & (f["reset_options"][flows] == 0) & seen,
        of(senders, "data_ns") > f["reset_ns"][flows],
    ]
