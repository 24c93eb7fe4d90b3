"""Why each connection that a RST ended was reset: judged once, for all rules that ask."""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np

from pcapflow.anomalies.capture_quality import quality
from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import SIDES, among, everywhere, indices, side
from pcapflow.anomalies.lookup.groups import server_keys
from pcapflow.anomalies.lookup.strays import strays
from pcapflow.anomalies.lookup.timeline import count_marks, last_rows, last_times
from pcapflow.anomalies.model import BoolArray, IntArray
from pcapflow.anomalies.resets.form import Form, forms, probes_failed, silences
from pcapflow.anomalies.resets.signs import injection_signs, usual_timeout
from pcapflow.anomalies.resets.ttl import foreign_ttls, usual_ttls
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp import marks
from pcapflow.tcp.endings import GOODBYE, PERHAPS_GOODBYE
from pcapflow.tcp.states import CLIENT, FIN_TX, RST_RX, RST_TX, SERVER, SYN_RCVD, SYN_SENT
from pcapflow.text.times import to_ns

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
    "stray",
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
    STRAY,
) = range(len(CAUSES))
REACTION_S: Final = 0.005
"""How soon after data arrived an abort can be a reaction to it."""
PARTING_BYTES: Final = 64
"""A client that has closed declines what follows, and so little is its server's farewell: 221 of SMTP and FTP, GOAWAY
of HTTP/2."""


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
        receiver_closed: its receiver had.
        unanswered: its sender had got data, and never sent any.
        lost: bytes of data towards its sender that its sender never acknowledged.
        farewell: nothing but a TLS alert is lost or can be unread, a close_notify as a rule.
        declined: its sender, a client, had closed, and so little came afterwards that nobody misses it.
        usual_ttls: the TTL of its sender's other packets, -1 where it is not known.
        foreign: its own TTL is one that its sender has nowhere else.
        signs: independent signs that it is not its sender's own.
        idle_ns: the silence that it, or the segment it answers, broke; 0 where none was long.
        itself: it broke a silence by itself, and is its sender's own and no device's.
        acknowledges: it alone acknowledges the data that came last, and may have drawn it.
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
    receiver_closed: BoolArray
    unanswered: BoolArray
    lost: IntArray
    farewell: BoolArray
    declined: BoolArray
    usual_ttls: IntArray
    foreign: BoolArray
    signs: IntArray
    idle_ns: IntArray
    itself: BoolArray
    acknowledges: BoolArray
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


@cached_per_tables
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
    fin_ns = np.stack([last_times(tables, e, event=FIN_TX)[flows] for e in SIDES])
    closed = (fin_ns >= 0) & (fin_ns <= when)
    pick = np.arange(len(flows))
    sender_closed, receiver_closed = closed[senders, pick], closed[receivers, pick]
    lost = np.maximum(f["reset_pending"][flows], 0)
    form = forms(tables, flows, sender_closed)
    syn_sent = last_rows(tables, endpoint=CLIENT, old=SYN_SENT, event=RST_RX)[flows] >= 0
    syn_rcvd = np.any(
        [last_rows(tables, endpoint=SERVER, old=SYN_RCVD, event=e)[flows] >= 0 for e in (RST_RX, RST_TX)], axis=0
    )
    refused = syn_sent & (senders == SERVER)

    usual_silence = usual_timeout(f["idle_ns"][flows])
    both_open = ~sender_closed & ~receiver_closed & ~(syn_sent | syn_rcvd) & (lost == 0)
    idle, itself = silences(tables, config, flows, senders, usual_silence, form.own & both_open)
    signs = injection_signs(tables, flows, senders)
    usual = usual_ttls(tables, flows, senders)
    # Where more speaks against its sender than the TTL, PF304 tells of it.
    foreign = foreign_ttls(tables, flows, senders, usual) & (signs < 2)
    goodbye = f["reset_goodbye"][flows]
    # Where the snap length left no more than its length, who had closed is taken to have missed a close_notify.
    by_length = (goodbye == PERHAPS_GOODBYE) & sender_closed
    found = Resets(
        flows=flows,
        senders=senders,
        times_ns=when,
        passive=form.passive,
        opening=syn_sent | syn_rcvd,
        refused=refused,
        both_closed=sender_closed & receiver_closed,
        sender_closed=sender_closed,
        receiver_closed=receiver_closed,
        unanswered=(_of(tables, flows, receivers, "bytes") > 0) & ~(_of(tables, flows, senders, "bytes") > 0),
        lost=lost,
        farewell=(goodbye == GOODBYE) | by_length,
        declined=(senders == CLIENT) & sender_closed & (lost <= PARTING_BYTES),
        usual_ttls=usual,
        foreign=foreign,
        signs=signs,
        idle_ns=idle,
        itself=itself,
        acknowledges=form.acknowledges,
        causes=everywhere(UNKNOWN, len(flows)),
        sure=everywhere(0, len(flows)),
    )
    causes, sure = _causes(tables, config, found, form, fin_ns[senders, pick])
    # What a device on the way may have sent says nothing of the side whose address it bears.
    return dataclasses.replace(found, causes=causes, sure=np.where(foreign, 0, sure))


def _of(tables: Tables, flows: IntArray, endpoints: IntArray, column: str) -> IntArray:
    """A per-side column of these flows, for each of the side that ``endpoints`` names."""
    by_side = [side(tables.flows, endpoint, column)[flows] for endpoint in SIDES]
    return np.where(endpoints == CLIENT, by_side[CLIENT], by_side[SERVER])


def _causes(
    tables: Tables, config: Config, found: Resets, form: Form, closed_ns: IntArray
) -> tuple[IntArray, IntArray]:
    """The cause of each reset, and how sure that is: what ``found`` does not have yet.

    Args:
        tables: of the capture.
        config: its settings.
        found: what is known of the resets.
        form: what they look like.
        closed_ns: when the sender of each had sent a FIN, -1 where it had not.

    Returns:
        Indices into :data:`CAUSES`; 2 certain, 1 likely, 0 possible.
    """
    f = tables.flows
    flows, senders, when, lost = found.flows, found.senders, found.times_ns, found.lost
    passive, sender_closed, idle = found.passive, found.sender_closed, found.idle_ns
    spoke_ns, heard_ns = (_of(tables, flows, endpoints, "data_ns") for endpoints in (senders, 1 - senders))
    spoke, heard = (_of(tables, flows, endpoints, "bytes") > 0 for endpoints in (senders, 1 - senders))
    repeated = _repeated(tables, flows, senders)
    # What the tap sees late by a round trip is no delay of the sender's.
    at_once = when - heard_ns - np.maximum(_of(tables, flows, 1 - senders, "rtt_ns"), 0) <= to_ns(REACTION_S)
    window = f["reset_window"][flows]
    rules = (
        # (fits, cause, how sure); the first that fits is taken.
        (found.refused & found.foreign, FIREWALL_REJECT, 0),
        (found.refused, NO_LISTENER, 1),
        (found.signs >= 2, INJECTED, 1),
        (strays(tables, config)[flows], STRAY, 1),
        # What its receiver had sent and acknowledged is not to be seen: any reason fits.
        (quality(tables).unheard[flows], UNKNOWN, 0),
        (sender_closed & passive, DATA_AFTER_CLOSE, 2),
        (~passive & (repeated["keep-alive"] >= 2), KEEPALIVE_TIMEOUT, 1),
        (~passive & (repeated["retransmission"] >= 3), RETRANSMISSION_TIMEOUT, 1),
        (~passive & probes_failed(tables, flows, senders), KEEPALIVE_TIMEOUT, 1),
        ((idle > 0) & (f["idle_endpoint"][flows] != senders), IDLE_TIMEOUT, 1),
        (found.itself & (idle >= to_ns(config.idle_s)), IDLE_TIMEOUT, 1),
        (idle > 0, IDLE_TIMEOUT, 0),
        (found.opening & passive, UNKNOWN, 0),
        (passive & _listener_gone(tables, flows, senders, found.refused), PROCESS_DIED, 1),
        (passive, DATA_AFTER_CLOSE, 0),
        # Active from here on. Whoever closed first and then resets still had a socket, with data in it or on its way.
        (sender_closed & form.acknowledges & form.shut & at_once, DATA_AFTER_CLOSE, np.where(window == 0, 1, 0)),
        # Whoever closes with data unread sends no FIN at all, unless it had closed by half; that stack stamps its RST.
        (sender_closed & ~form.stamped & (lost > 0), DATA_AFTER_CLOSE, 0),
        (sender_closed & (lost > 0), UNREAD_DATA, 1),
        # Nothing came between its FIN and its RST that could have made it change its mind.
        (sender_closed & (when - closed_ns <= to_ns(REACTION_S)), LINGER_ZERO, np.where(heard, 0, 1)),
        (sender_closed, UNKNOWN, 0),
        # Nobody resets because of unread data when there was none to read.
        (~heard, LINGER_ZERO, 1),
        (_buffer_full(tables, flows, senders, heard_ns), UNREAD_DATA, 2),
        # From here on no packet tells the two apart: the kernel has acknowledged what its application may have read.
        # Who has answered since has read some of it at least.
        (spoke_ns >= heard_ns, LINGER_ZERO, 0),
        (lost > 0, UNREAD_DATA, 0),
        # Who resets the moment that data arrives was reading, or it would not have known.
        (at_once, LINGER_ZERO, 0),
        # A client that got its answer has read it, more often than not; a server that gave none has not read.
        (spoke & (senders == CLIENT), LINGER_ZERO, 0),
        (np.ones(len(flows), dtype=bool), UNREAD_DATA, 0),
    )
    conditions = [fits for fits, _, _ in rules]
    sure = np.select(conditions, [np.asarray(sure, dtype=np.int64) for _, _, sure in rules])
    return np.select(conditions, [np.int64(cause) for _, cause, _ in rules]), sure


def foreign_resets(tables: Tables, config: Config) -> BoolArray:
    """For each flow whether it was reset with a TTL that the RST's sender has nowhere else."""
    found = resets(tables, config)
    foreign = np.zeros(len(tables.flows), dtype=bool)
    foreign[found.flows[found.foreign]] = True
    return foreign


def foreign_ttl(tables: Tables, found: Resets, row: int) -> str:
    """What a RST's TTL says against its sender, as the end of a sentence; nothing where it says nothing."""
    if not found.foreign[row]:
        return ""
    flow = int(found.flows[row])
    return (
        f"; the RST's TTL is {tables.flows['reset_ttl'][flow]} where that of the other packets of "
        f"{tables.ip(flow, int(found.senders[row]))} is {found.usual_ttls[row]}: a device on the way may have sent it"
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
        receiver_closed=never,
        unanswered=never,
        lost=nothing,
        farewell=never,
        declined=never,
        usual_ttls=nothing,
        foreign=never,
        signs=nothing,
        idle_ns=nothing,
        itself=never,
        acknowledges=never,
        causes=nothing,
        sure=nothing,
    )


def _listener_gone(tables: Tables, flows: IntArray, senders: IntArray, refused: BoolArray) -> BoolArray:
    """Whether a server that knew nothing of a connection refused others as well: then its process is gone."""
    servers = server_keys(tables)[flows]
    gone: BoolArray = (senders == SERVER) & among(servers, servers[refused])
    return gone


def _buffer_full(tables: Tables, flows: IntArray, senders: IntArray, heard_ns: IntArray) -> BoolArray:
    """Whether the reset's sender had shut its window and not opened it since: what filled its buffer was unread."""
    m = tables.marks
    times = np.full((2, 2, len(tables.flows)), -1, dtype=np.int64)
    for which, mark in enumerate((marks.ZERO_WINDOW, marks.WINDOW_UPDATE)):
        rows = np.flatnonzero(m["mark"] == mark)
        # Of a repeated index the last assignment stays, and the marks of a flow are in order.
        times[which, m["endpoint"][rows], m["flow"][rows]] = m["time_ns"][rows]
    shut_ns, opened_ns = times[:, senders, flows]
    full: BoolArray = (shut_ns >= 0) & (shut_ns >= heard_ns) & (opened_ns < shut_ns)
    return full


def _repeated(tables: Tables, flows: IntArray, senders: IntArray) -> dict[str, IntArray]:
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
