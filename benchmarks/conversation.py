"""One TCP connection as a tap near the server sees it: sequence numbers, ACKs, time stamps, times."""

from collections.abc import Sequence
from typing import Final

from benchmarks.frames import ACK, FIN, RST, SEQ_MASK, SYN, Record, Sender, syn_options, timestamp_option

CLIENT: Final = 0
SERVER: Final = 1

_WINDOW: Final = 501
_SYN_WINDOW: Final = 64240
_WINDOW_SCALE: Final = 7


class Conversation:
    """Two endpoints that send segments; what they send is in `records`, in time order.

    Attributes:
        time_us: The time of the next segment.
        records: The segments so far.
        next_seq: Per endpoint, the sequence number of its next new byte.
    """

    __slots__ = ("_clock", "_isn", "_mss", "_senders", "_timestamps", "_ts_seen", "next_seq", "records", "time_us")

    def __init__(
        self, senders: Sequence[Sender], isn: Sequence[int], time_us: int, *, mss: int = 1460, timestamps: bool = True
    ) -> None:
        """Nothing is sent yet.

        Args:
            senders: Client and server.
            isn: Initial sequence number of each.
            time_us: When the first segment passes.
            mss: What both announce.
            timestamps: Whether both use RFC 7323 time stamps.
        """
        self._senders = senders
        self._isn = isn
        self._mss = mss
        self._timestamps = timestamps
        self._clock = (isn[CLIENT] >> 4, isn[SERVER] >> 4)
        self._ts_seen = [0, 0]
        self.next_seq = list(isn)
        self.time_us = time_us
        self.records: list[Record] = []

    def acked(self, who: int) -> int:
        """The acknowledgment number by which `who` has everything its peer sent."""
        return self.next_seq[1 - who]

    def _stamp(self, who: int) -> tuple[int, int]:
        value = (self._clock[who] + self.time_us // 1000) & SEQ_MASK
        echo = self._ts_seen[1 - who]
        self._ts_seen[who] = value
        return value, echo

    def syn(self, who: int) -> None:
        """Send, or send again, a SYN; it is a SYN-ACK when the peer has sent its own."""
        answers = self.next_seq[1 - who] != self._isn[1 - who]
        options = syn_options(self._mss, _WINDOW_SCALE, self._stamp(who) if self._timestamps else None)
        ack = self.next_seq[1 - who] if answers else 0
        flags = SYN | ACK if answers else SYN
        self.records.append(self._senders[who].record(self.time_us, self._isn[who], ack, flags, _SYN_WINDOW, options))
        self.next_seq[who] = (self._isn[who] + 1) & SEQ_MASK

    def send(
        self,
        who: int,
        flags: int = ACK,
        payload: bytes = b"",
        *,
        seq: int | None = None,
        ack: int | None = None,
        sack: bytes = b"",
        payload_len: int | None = None,
    ) -> None:
        """Send one segment.

        Args:
            who: `CLIENT` or `SERVER`.
            flags: TCP flags; a FIN takes a sequence number.
            payload: The payload that is captured.
            seq: Where it is not new: the sequence number; `next_seq` then stays.
            ack: Where not all is acknowledged: the acknowledgment number.
            sack: A SACK option, padded to a multiple of 4 bytes.
            payload_len: Length of the payload on the wire where it is more than was captured.
        """
        options = timestamp_option(*self._stamp(who)) if self._timestamps else b""
        at = self.next_seq[who] if seq is None else seq
        upto = self.next_seq[1 - who] if ack is None else ack
        self.records.append(
            self._senders[who].record(self.time_us, at, upto, flags, _WINDOW, options + sack, payload, payload_len)
        )
        if seq is None:
            size = len(payload) if payload_len is None else payload_len
            self.next_seq[who] = (at + size + (flags & FIN)) & SEQ_MASK

    def refuse(self) -> None:
        """The server's reset in answer to a SYN: no socket listens."""
        self.records.append(self._senders[SERVER].record(self.time_us, 0, self.next_seq[CLIENT], RST | ACK, 0))

    def reset(self, who: int, *, passive: bool = False) -> None:
        """Abort at the next sequence number.

        Args:
            who: `CLIENT` or `SERVER`.
            passive: As a host without a socket answers: no ACK, no window.
        """
        seq = self.next_seq[who]
        if passive:
            record = self._senders[who].record(self.time_us, seq, 0, RST, 0)
        else:
            record = self._senders[who].record(self.time_us, seq, self.next_seq[1 - who], RST | ACK, _WINDOW)
        self.records.append(record)
