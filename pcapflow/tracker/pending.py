"""What few segments need: records made when a FIN, a RST or an ICMP error passes, and shared blanks until then.

An endpoint thus holds what every segment looks at. The blanks (:data:`NO_FIN`, :data:`NO_INFERENCE`, :data:`NO_RESET`,
:data:`NO_ICMP_ERROR`) say "none" in every field and are never written to: whoever writes calls ``own_incoming`` and its
like first.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64


@final
class IncomingFin:
    """The peer's FIN on its way to an endpoint. It has passed the tap; whether it arrived is to be shown.

    Attributes:
        seen_ns, frame: when and where it last passed, unproven; -1 none, or it has arrived.
        tsval: its time stamp then; -1 without.
        acks_own: it then acknowledged this endpoint's own FIN.
        earlier_ns, earlier_frame, earlier_tsval, earlier_acks_own: the pass before that one; -1 none.
        earlier_lost: this endpoint showed that the pass before had not arrived.
        again_ns, again_frame, again_acks_own: the first ACK that bore it once more; -1 none.
        was_bare: one of the passes before did not acknowledge this endpoint's own FIN.
        was_late: it arrived after the ACK of this endpoint's own FIN, as far as anyone can tell.
        proven_frame: the segment of this endpoint that showed that it had arrived; -1 none.
        own_acked_ns, own_acked_frame: an ACK of this endpoint's own FIN passed and waits behind this one; -1 none.
        gap_reported_ns: when this endpoint last sent something that showed that it lacked what it had been sent, or was
            sent what it lacked; -1 never.
        gap_filled_ns: when it was last sent something that it lacked before this FIN; -1 never.
        not_acked_ns: when it last sent something that does not acknowledge this FIN, which had passed; -1 never.
        not_acked_late: the FIN must have been there by then.
        not_acked_by_sack: a SACK block told then of a gap before the FIN.
    """

    def __init__(self) -> None:
        self.seen_ns: i64 = -1
        self.frame: i64 = -1
        self.tsval: i64 = -1
        self.earlier_ns: i64 = -1
        self.earlier_frame: i64 = -1
        self.earlier_tsval: i64 = -1
        self.again_ns: i64 = -1
        self.again_frame: i64 = -1
        self.proven_frame: i64 = -1
        self.own_acked_ns: i64 = -1
        self.own_acked_frame: i64 = -1
        self.gap_reported_ns: i64 = -1
        self.gap_filled_ns: i64 = -1
        self.not_acked_ns: i64 = -1
        self.acks_own = False
        self.earlier_acks_own = False
        self.again_acks_own = False
        self.earlier_lost = False
        self.was_bare = False
        self.was_late = False
        self.not_acked_late = False
        self.not_acked_by_sack = False


@final
class InferredFin:
    """A FIN of an endpoint that was lost before the tap, perhaps: a bare ACK stood above all it was seen to send.

    Attributes:
        rel: the number that the FIN would have, just below that ACK; -1 none.
        time_ns, frame: those of the ACK.
        is_alone: nothing else was missing there.
        is_unasked: that ACK answered nothing that its peer had repeated (it would bear a duplicate SACK then).
    """

    def __init__(self, rel: i64, time_ns: i64, frame: i64, is_alone: bool, is_unasked: bool) -> None:
        self.rel: i64 = rel
        self.time_ns: i64 = time_ns
        self.frame: i64 = frame
        self.is_alone = is_alone
        self.is_unasked = is_unasked


@final
class CountedReset:
    """The RST that ended a connection, in the words of the table of flows.

    Attributes:
        frame, time_ns: where and when; -1 none.
        by: who sent it, client or server; -1 none.
        flags, window, ttl: of its headers; -1 none.
        options: 1 with a time stamp, 0 without; -1 none.
        gap: its sequence number less what its receiver had acknowledged.
        pending: bytes of its receiver's payload that its sender had not acknowledged.
        drew_frame: the frame of the segment that it answers; -1 not known, 0 none: its sender did it by itself.
        continues: what of it goes on from its sender's segment before, as bits of :mod:`pcapflow.tcp.endings`.
        goodbye: whether its receiver ended with TLS alerts, and its sender lacks nothing before these, as a code of
            :mod:`pcapflow.tcp.endings`; -1 none.
    """

    def __init__(
        self,
        frame: i64,
        time_ns: i64,
        by: i64,
        flags: i64,
        window: i64,
        ttl: i64,
        options: i64,
        gap: i64,
        pending: i64,
        drew_frame: i64,
        continues: i64,
        goodbye: i64,
    ) -> None:
        self.frame: i64 = frame
        self.time_ns: i64 = time_ns
        self.by: i64 = by
        self.flags: i64 = flags
        self.window: i64 = window
        self.ttl: i64 = ttl
        self.options: i64 = options
        self.gap: i64 = gap
        self.pending: i64 = pending
        self.drew_frame: i64 = drew_frame
        self.continues: i64 = continues
        self.goodbye: i64 = goodbye


@final
class IcmpError:
    """An ICMP error that quotes a segment of a connection.

    Attributes:
        frame, time_ns: where and when; -1 none.
        hi, lo: the address it came from, in two halves.
    """

    def __init__(self, frame: i64, time_ns: i64, hi: i64, lo: i64) -> None:
        self.frame: i64 = frame
        self.time_ns: i64 = time_ns
        self.hi: i64 = hi
        self.lo: i64 = lo


NO_FIN: Final = IncomingFin()
NO_INFERENCE: Final = InferredFin(-1, -1, -1, False, False)
NO_RESET: Final = CountedReset(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1)
NO_ICMP_ERROR: Final = IcmpError(-1, -1, 0, 0)
