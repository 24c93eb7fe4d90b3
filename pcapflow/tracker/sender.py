"""What the sender of a segment does: it sends data or a FIN, and moves on."""

from __future__ import annotations

from mypy_extensions import i64

from pcapflow.reader.segment_batch import TLS_ALERT
from pcapflow.tcp.marks import MARK_DATA_AFTER_CLOSE, MARK_DATA_AFTER_FIN, MARK_FIN_REPEATED
from pcapflow.tcp.seq import delta
from pcapflow.tcp.states import ACK_OF_FIN_RX, CLOSED, FIN_RX, FIN_TX, PROVEN, SENT, TIME_WAIT
from pcapflow.tracker.conversation import begin_close, speak
from pcapflow.tracker.counts import in_segments
from pcapflow.tracker.endpoint import DELAY_NS, Endpoint
from pcapflow.tracker.flow import Flow
from pcapflow.tracker.pending import NO_INFERENCE, InferredFin
from pcapflow.tracker.segment import COPY_NS, TapSegment


def is_copy_of(sent_ns: i64, ip_id: i64, tsval: i64, s: TapSegment) -> bool:
    """Whether a repeated SYN or FIN is a copy of the last one, which these describe, and no retransmission."""
    return s.time_ns - sent_ns < COPY_NS and s.ip_id == ip_id and s.tsval == tsval and (s.ip_id > 0 or s.tsval >= 0)


def data_sent(flow: Flow, x: Endpoint, y: Endpoint, s: TapSegment) -> None:
    """Data of ``x``, new or old."""
    end_rel: i64 = s.rel + s.payload_len
    if 0 <= x.inferred.rel < end_rel:
        # What was missing there was data.
        x.inferred = NO_INFERENCE
    new_bytes: i64 = end_rel - x.next_rel
    if new_bytes <= 0:
        return
    new_bytes = min(new_bytes, s.payload_len)
    speak(flow, x, y, s)
    if s.tls_alert:
        _says_goodbye(x, s)
    else:
        x.goodbye_rel = -1
    if x.fin_rel >= 0 and end_rel > x.fin_rel + 1:
        flow.mark(s.frame, s.time_ns, x, MARK_DATA_AFTER_FIN, end_rel - max(s.rel, x.fin_rel))
    if y.fin_rel >= 0:
        x.after_fin += new_bytes
    if y.state == CLOSED and y.last_row >= 0:
        flow.mark(s.frame, s.time_ns, x, MARK_DATA_AFTER_CLOSE, new_bytes)


def _says_goodbye(x: Endpoint, s: TapSegment) -> None:
    """A TLS alert is the last that it has sent so far; the one before may have been one too."""
    is_sure = s.tls_alert == TLS_ALERT
    if x.goodbye_rel < 0 or s.rel != x.next_rel:
        x.goodbye_rel = s.rel
        x.goodbye_is_sure = is_sure
    elif not is_sure:
        x.goodbye_is_sure = False


def fin_sent(flow: Flow, x: Endpoint, y: Endpoint, s: TapSegment) -> bool:
    """A FIN of ``x``, the first or once more.

    Returns:
        Whether it is on its way to ``y`` as a FIN; else it is an ACK that bears one.
    """
    fin_rel: i64 = s.rel + s.payload_len
    if fin_rel == x.fin_rel and x.fin_count > 0 and _is_ack(x, y, s):
        return False
    x.fin_count += 1
    if x.fin_count == 1 or fin_rel > x.fin_rel:
        x.fin_rel = fin_rel
    if x.fin_count == 1:
        x.acks_lost = 0
        x.longest_pause_ns = 0
        in_hole = x.hole_bytes > 0 and x.hole_start_rel <= fin_rel < x.hole_end_rel
        if fin_rel < x.next_rel and x.unseen > 0 and not in_hole:
            # Nothing follows a FIN: what was acknowledged from there on and had not passed was this FIN, and no byte,
            # or was never sent and somebody made that ACK up.
            x.unseen -= min(x.unseen, max(x.unseen_end_rel - fin_rel, 1))
        if fin_rel == x.inferred.rel >= 0:
            infer_fin(flow, x, PROVEN, s.ack_rel <= y.fin_rel)
        else:
            flow.take(x, FIN_TX, s.time_ns, s.frame, SENT)
        if flow.first_closer < 0:
            begin_close(flow, x, y, s.time_ns)
        elif s.ack_rel <= y.fin_rel and flow.first_closer != x.which and flow.reset.by < 0:
            flow.both_closed_first = True
    elif not s.is_copy and not is_copy_of(x.fin_sent_ns, x.fin_ip_id, x.fin_tsval, s):
        _fin_repeated(flow, x, s)
    x.fin_sent_ns = s.time_ns
    x.fin_ip_id = s.ip_id
    x.fin_tsval = s.tsval
    return True


def _is_ack(x: Endpoint, y: Endpoint, s: TapSegment) -> bool:
    """Whether a FIN that passed before is no repeat but the way in which ``x`` acknowledges what came meanwhile.

    Until its FIN is acknowledged, 4.4BSD and its heirs (macOS, iOS) set the flag, and the FIN's number, on each ACK
    (tcp_output, tcp_outflags): it acknowledges more, and it comes well before any retransmission time-out, since what
    had not heard of the FIN when it was sent arrives within a round trip.
    """
    if s.payload_len > 0 or s.ack_rel <= x.acked_rel:
        return False
    return s.time_ns - x.fin_sent_ns < DELAY_NS // 2 + max(x.rtt_ns, 0) + max(y.rtt_ns, 0)


def _fin_repeated(flow: Flow, x: Endpoint, s: TapSegment) -> None:
    """It would not repeat its FIN had the ACK of it arrived."""
    flow.mark(s.frame, s.time_ns, x, MARK_FIN_REPEATED, x.fin_count)
    fin = x.incoming
    if fin.own_acked_ns >= 0:
        fin.own_acked_ns = -1
        x.lost_ack(s.time_ns - x.fin_sent_ns)
    if x.state == TIME_WAIT and fin.was_late:
        # Nor is it in TIME_WAIT: the peer's FIN came before the ACK.
        fin.was_late = False
        seen_ns: i64 = flow.log.time_ns(x.last_row)
        seen_frame: i64 = x.take_back(flow.log)
        flow.take_back(x, s.frame, s.time_ns)
        flow.take(x, FIN_RX, seen_ns, seen_frame, PROVEN)
    elif x.unsure and x.last_event(flow.log) == ACK_OF_FIN_RX:
        flow.take_back(x, s.frame, s.time_ns)
        x.lost_ack(s.time_ns - x.fin_sent_ns)


def infer_fin(flow: Flow, x: Endpoint, basis: i64, crossed: bool) -> None:
    """A FIN that was lost before the tap, or overtaken, known by the number of the bare ACK that came after it.

    Where that ACK, or the FIN itself when it comes, does not cover the peer's FIN, the FINs crossed. So they did where
    that ACK was the first to cover it and answers no repeated segment: had the peer's come first, ours would have
    carried its ACK, and nothing had called for a second one.
    """
    log = flow.log
    found = x.inferred
    proven_frame: i64 = x.incoming.proven_frame
    if x.last_event(log) == FIN_RX and (
        crossed or proven_frame > found.frame or (proven_frame == found.frame and found.is_unasked)
    ):
        seen_ns: i64 = x.changed_ns
        seen_basis: i64 = log.basis(x.last_row)
        seen_frame: i64 = x.take_back(log)
        flow.take(x, FIN_TX, found.time_ns, found.frame, basis)
        flow.take(x, FIN_RX, seen_ns, seen_frame, seen_basis)
    else:
        flow.take(x, FIN_TX, found.time_ns, found.frame, basis)
    x.inferred = NO_INFERENCE


def move_on(flow: Flow, x: Endpoint, y: Endpoint, s: TapSegment) -> None:
    """Follows how far ``x`` has come in its sequence numbers, and which of them have not passed."""
    if x.unseen > 0 and s.payload_len > 0:
        _captured_late(x, s)
    if s.end_rel > x.next_rel:
        _new_numbers(x, y, s)
    elif s.end_rel > s.rel:
        _old_numbers(flow, x, y, s)


def _captured_late(x: Endpoint, s: TapSegment) -> None:
    """Takes what passes after its ACK, as where a capture mixes up its two directions, off what it seemed to lack."""
    filled: i64 = min(s.end_rel, x.unseen_end_rel) - max(s.rel, x.unseen_start_rel)
    if filled <= 0:
        return
    x.unseen -= min(filled, x.unseen)
    if s.rel <= x.unseen_start_rel:
        x.unseen_start_rel = s.end_rel
    elif s.end_rel >= x.unseen_end_rel:
        x.unseen_end_rel = s.rel


def _new_numbers(x: Endpoint, y: Endpoint, s: TapSegment) -> None:
    if s.rel > x.next_rel and x.packets > 1:
        if x.hole_bytes == 0:
            x.hole_start_rel = x.next_rel
            x.hole_ns = s.time_ns
        x.hole_end_rel = s.rel
        x.hole_bytes += s.rel - x.next_rel
        if s.payload_len == 0 and x.fin_rel < 0:
            is_unasked = s.sack_left < 0 and (y.fin_count < 2 or (x.permits_sack and y.permits_sack))
            if y.fin_count >= 2 and s.tsecr >= 0 and y.fin_tsval >= 0 and delta(s.tsecr, y.fin_tsval) < 0:
                # It answers the repeated FIN, and echoes the first: that had arrived, and been answered in vain. Not
                # all stacks send duplicate SACKs.
                is_unasked = False
            x.inferred = InferredFin(s.rel - 1, s.time_ns, s.frame, s.rel == x.next_rel + 1, is_unasked)
    x.next_rel = s.end_rel
    if x.timed_rel < 0:
        x.timed_rel = s.end_rel
        x.timed_ns = s.time_ns


def _old_numbers(flow: Flow, x: Endpoint, y: Endpoint, s: TapSegment) -> None:
    if x.timed_rel >= 0 and s.rel < x.timed_rel and not s.is_copy:
        # Which of the two an ACK answers cannot be known (Karn's algorithm, RFC 6298, 3).
        x.timed_rel = -1
    fin = y.incoming
    if (
        s.payload_len > 0
        and fin.seen_ns >= 0
        and s.rel >= y.acked_rel
        and (x.hole_bytes > 0 or fin.gap_reported_ns >= fin.seen_ns)
    ):
        # A FIN that arrived before data counts when the hole is filled (RFC 9293, 3.10.7.4).
        fin.gap_reported_ns = s.time_ns
        fin.gap_filled_ns = s.time_ns
    if x.hole_bytes > 0:
        filled: i64 = min(s.end_rel, x.hole_end_rel) - max(s.rel, x.hole_start_rel)
        if filled > 0:
            x.hole_bytes = max(x.hole_bytes - filled, 0)
            if s.payload_len > 0 and s.seq != x.again_seq and _answers_report(x, y, s):
                # It was lost before the tap, and is seen here once only.
                x.again_seq = s.seq
                x.data_segments_again += in_segments(flow, filled)


def _answers_report(x: Endpoint, y: Endpoint, s: TapSegment) -> bool:
    """Whether a segment that fills a gap was sent again, and not overtaken on its way or in the capture.

    Then ``y`` had reported the gap, which takes it as long as it takes to reach ``y``, and it comes later than any
    answer of ``x`` could.
    """
    if y.acked_rel < x.hole_start_rel or y.last_ns < x.hole_ns:
        return False
    return y.rtt_ns >= 0 and s.time_ns - x.hole_ns >= y.rtt_ns
