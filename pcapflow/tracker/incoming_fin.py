"""A FIN on its way: when it counts as arrived, and in which order with the ACK of the endpoint's own FIN."""

from __future__ import annotations

from mypy_extensions import i64

from pcapflow.tcp.states import ACK_OF_FIN_RX, ASSUMED, FIN_RX, FIN_WAIT_1
from pcapflow.tracker.endpoint import Endpoint
from pcapflow.tracker.flow import Flow


def fin_arrived(flow: Flow, x: Endpoint, basis: i64, is_late: bool) -> None:
    """The peer's FIN reached ``x``, late if after the ACK that waits behind it; the two are sorted in."""
    fin = x.incoming
    seen_ns: i64 = max(fin.seen_ns, fin.gap_reported_ns)
    if fin.own_acked_ns >= 0 and fin.gap_filled_ns > fin.own_acked_ns:
        # A hole before the FIN was still open when the ACK came.
        is_late = True
    fin.was_late = is_late and not fin.acks_own
    if x.state == FIN_WAIT_1 and (fin.acks_own or is_late):
        # The FIN brought the ACK along: the ACK is looked at first (RFC 9293, 3.10.7.4). An earlier FIN had passed
        # without it; that one arrived and its answer was lost, or it was lost: nobody here can know.
        if fin.was_bare:
            basis = ASSUMED
        if fin.own_acked_ns >= 0:
            flow.take(x, ACK_OF_FIN_RX, fin.own_acked_ns, fin.own_acked_frame, basis)
        else:
            flow.take(x, ACK_OF_FIN_RX, seen_ns, fin.frame, basis)
        fin.own_acked_ns = -1
    flow.take(x, FIN_RX, seen_ns, fin.frame, basis)
    waiting_ack_arrived(flow, x)
    fin.seen_ns = -1
    fin.earlier_ns = -1
    fin.was_bare = False


def waiting_ack_arrived(flow: Flow, x: Endpoint) -> None:
    """The ACK of the FIN of ``x``, if one waits behind the peer's unproven FIN, waits no longer."""
    fin = x.incoming
    if fin.own_acked_ns >= 0:
        flow.take(x, ACK_OF_FIN_RX, fin.own_acked_ns, fin.own_acked_frame, ASSUMED)
        fin.own_acked_ns = -1


def fin_was_lost(x: Endpoint) -> bool:
    """Whether ``x`` showed that the FIN of its peer which passed last had not reached it.

    It sent something without acknowledging it when the FIN must have been there, or told of a gap before it (SACK) that
    nothing has filled since.
    """
    fin = x.incoming
    return (fin.not_acked_late and fin.not_acked_ns >= fin.seen_ns) or (
        fin.not_acked_by_sack and fin.gap_reported_ns == fin.not_acked_ns
    )


def fin_waits_again(flow: Flow, x: Endpoint, y: Endpoint, ack_rel: i64) -> bool:
    """Takes back that the FIN of ``y`` had arrived, where a RST made that likely and this ACK does not cover it."""
    if not x.unsure or x.last_event(flow.log) != FIN_RX or ack_rel > y.fin_rel:
        return False
    fin = x.own_incoming()
    fin.seen_ns = flow.log.time_ns(x.last_row)
    fin.frame = x.take_back(flow.log)
    return True
