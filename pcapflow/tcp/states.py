"""The states of a TCP endpoint and the transitions between them, as data.

Theory of operation. A segment on the wire is cut into atomic events, each from the point of view of one endpoint:
something it sent (``SYN_TX``) or something that reached it (``FIN_RX``). One event takes one edge of
:data:`TRANSITIONS`; a segment that means two things (a FIN that also acknowledges ours) is two events, so no edge
ever has to know about combinations. An event without an edge changes nothing: it is recorded as a mark.

Two rules hold. Every change of state goes through :data:`TRANSITIONS`; documents and diagrams are made from it.
And this file knows nothing of sequence numbers or of what was proven: the guards that decide *whether* an event
happened are in :mod:`pcapflow.tracker.endpoint`.

Source: RFC 9293, 3.3.2 (the state diagram) and 3.10.7 (segment arrives); RFC 1122, 4.2.2.13 (closing).
"""

from __future__ import annotations

from typing import Final

CLOSED: Final = 0
LISTEN: Final = 1
SYN_SENT: Final = 2
SYN_RCVD: Final = 3
ESTABLISHED: Final = 4
FIN_WAIT_1: Final = 5
FIN_WAIT_2: Final = 6
CLOSE_WAIT: Final = 7
CLOSING: Final = 8
LAST_ACK: Final = 9
TIME_WAIT: Final = 10
UNKNOWN: Final = 11
"""Nothing that this endpoint sent or answered has been seen, so nothing is said about it."""

STATE_NAMES: Final = (
    "CLOSED",
    "LISTEN",
    "SYN_SENT",
    "SYN_RCVD",
    "ESTABLISHED",
    "FIN_WAIT_1",
    "FIN_WAIT_2",
    "CLOSE_WAIT",
    "CLOSING",
    "LAST_ACK",
    "TIME_WAIT",
    "UNKNOWN",
)
N_STATES: Final = 12

SYN_TX: Final = 0
SYN_RX: Final = 1
SYN_ACK_RX: Final = 2
ACK_OF_SYN_RX: Final = 3
FIN_TX: Final = 4
FIN_RX: Final = 5
ACK_OF_FIN_RX: Final = 6
RST_TX: Final = 7
RST_RX: Final = 8
MIDSTREAM: Final = 9
"""The capture began, or the endpoint was first seen, after the handshake."""

EVENT_NAMES: Final = (
    "SYN sent",
    "SYN received",
    "SYN-ACK received",
    "ACK of SYN received",
    "FIN sent",
    "FIN received",
    "ACK of FIN received",
    "RST sent",
    "RST received",
    "seen mid-stream",
)
N_EVENTS: Final = 10

SENT: Final = 0
PROVEN: Final = 1
ASSUMED: Final = 2
BASIS_NAMES: Final = ("sent", "proven", "assumed")
"""How a transition is known: the endpoint's own segment, a later segment of its own, or nothing that could show it."""

CLIENT: Final = 0
SERVER: Final = 1
ENDPOINT_NAMES: Final = ("client", "server")

TRANSITIONS: Final[dict[tuple[int, int], int]] = {
    # open
    (CLOSED, SYN_TX): SYN_SENT,
    (UNKNOWN, SYN_TX): SYN_SENT,
    (LISTEN, SYN_RX): SYN_RCVD,
    (SYN_SENT, SYN_ACK_RX): ESTABLISHED,
    (SYN_SENT, SYN_RX): SYN_RCVD,  # the SYNs crossed (RFC 9293, 3.5, figure 8)
    (SYN_RCVD, ACK_OF_SYN_RX): ESTABLISHED,
    (UNKNOWN, MIDSTREAM): ESTABLISHED,
    # close
    (ESTABLISHED, FIN_TX): FIN_WAIT_1,
    (ESTABLISHED, FIN_RX): CLOSE_WAIT,
    (SYN_RCVD, FIN_TX): FIN_WAIT_1,
    (SYN_RCVD, FIN_RX): CLOSE_WAIT,  # RFC 9293, 3.10.7.4: the FIN is looked at in SYN-RECEIVED too
    (FIN_WAIT_1, ACK_OF_FIN_RX): FIN_WAIT_2,
    (FIN_WAIT_1, FIN_RX): CLOSING,
    (FIN_WAIT_2, FIN_RX): TIME_WAIT,
    (CLOSING, ACK_OF_FIN_RX): TIME_WAIT,
    (CLOSE_WAIT, FIN_TX): LAST_ACK,
    (LAST_ACK, ACK_OF_FIN_RX): CLOSED,
    # abort; from CLOSED there is nothing left to abort, and a listener has no connection yet (RFC 9293, 3.10.7.2)
    (UNKNOWN, RST_TX): CLOSED,
    **{
        (state, event): CLOSED
        for state in (
            SYN_SENT,
            SYN_RCVD,
            ESTABLISHED,
            FIN_WAIT_1,
            FIN_WAIT_2,
            CLOSE_WAIT,
            CLOSING,
            LAST_ACK,
            TIME_WAIT,
        )
        for event in (RST_TX, RST_RX)
    },
}

BEGINNINGS: Final[dict[int, int]] = {
    SYN_TX: CLOSED,
    SYN_RX: LISTEN,
    RST_TX: CLOSED,  # no socket answers what comes to a port that nobody listens on
}
"""By the first event that is known of an endpoint: the state it must have been in before it. It is no transition."""

NO_EDGE: Final = -1
BEGINS_IN: Final = [BEGINNINGS.get(event, UNKNOWN) for event in range(N_EVENTS)]
"""BEGINNINGS as a flat list, indexed by the event."""
EDGES: Final = [TRANSITIONS.get((state, event), NO_EDGE) for state in range(N_STATES) for event in range(N_EVENTS)]
"""TRANSITIONS as one flat list, indexed by ``state * N_EVENTS + event``, for the compiled machine."""
