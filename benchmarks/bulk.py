"""Workload `bulk`: twenty long flows of full segments, with loss, retransmission and reordering."""

import heapq
import random
import struct
from collections.abc import Iterable
from typing import Final

from benchmarks.capture_file import CaptureWriter
from benchmarks.conversation import CLIENT, SERVER, Conversation
from benchmarks.frames import ACK, FIN, PSH, SEQ_MASK, Record, Sender, ethernet
from benchmarks.web import below

SNAP_LEN: Final = 128
WHOLE_SNAP_LEN: Final = 262_144

FLOWS: Final = 20
SEGMENT_LEN: Final = 1448

_START_US: Final = 1_700_000_000_000_000
_LOSS: Final = 0.05
_LOST_BEFORE_TAP: Final = 0.3
_REORDERED: Final = 0.05
_IN_FLIGHT: Final = 32  # segments
_GAP_US: Final = 12
_PORT: Final = 5201  # no dissector claims it
_RTT_US: Final = 8_000
_PACKETS_OF_ENDINGS: Final = FLOWS * 4
_SERVER_MAC: Final = bytes.fromhex("02005e000002")
_CLIENT_MAC: Final = bytes.fromhex("02005e000003")


def write_bulk(writer: CaptureWriter, seed: int, packets: int, *, whole: bool = False) -> int:
    """Fill a capture with downloads.

    The flows go on until the capture is about full, then sixteen close, two reset, two stay open.

    Args:
        writer: Takes the packets.
        seed: Decides everything.
        packets: At least so many; a round of each flow more at most.
        whole: Carry every payload byte instead of what the snap length keeps.

    Returns:
        The number of flows.
    """
    rng = random.Random(seed)
    payload = rng.randbytes(SEGMENT_LEN if whole else SNAP_LEN)
    downloads = [_Download(number, rng, payload) for number in range(FLOWS)]
    queue = [(download.talk.time_us, number) for number, download in enumerate(downloads)]
    heapq.heapify(queue)
    sent = 0
    while queue:
        _, number = heapq.heappop(queue)
        download = downloads[number]
        if sent < packets - _PACKETS_OF_ENDINGS:
            records = download.round()
            heapq.heappush(queue, (download.talk.time_us, number))
        else:
            records = download.end()
        sent += len(records)
        writer.add(records, queue[0][0] if queue else download.talk.time_us)
    return FLOWS


class _Download:
    """One flow: the server sends in rounds of a window, the client acknowledges a round trip later.

    Segments are numbered 0, 1, ... from the server's first byte; all are full.
    """

    def __init__(self, number: int, rng: random.Random, payload: bytes) -> None:
        self._number = number
        self._rng = rng
        self._payload = payload
        client_ip, server_ip = bytes([10, 30, 0, 1 + number]), bytes([192, 0, 2, 10])
        senders = (
            Sender(
                ethernet(_CLIENT_MAC, _SERVER_MAC, ipv6=False), client_ip, server_ip, 40_000 + number, _PORT, ttl=57
            ),
            Sender(ethernet(_SERVER_MAC, _CLIENT_MAC, ipv6=False), server_ip, client_ip, _PORT, 40_000 + number),
        )
        server_isn = SEQ_MASK - 100_000 if number == 0 else below(rng, SEQ_MASK + 1)
        start_us = _START_US + number * 1_013
        self.talk = Conversation(senders, (below(rng, SEQ_MASK + 1), server_isn), start_us)
        self._base = 0
        self._next_index = 0
        self._received = 0
        self._ahead: set[int] = set()
        self._holes: list[int] = []

    def round(self) -> list[Record]:
        """What passes the tap in one round trip; the first round opens the connection."""
        if self._base == 0:
            self._open()
        fresh = range(self._next_index, self._next_index + _IN_FLIGHT - len(self._holes))
        self._next_index = fresh.stop
        self._transmit([*self._holes, *fresh])
        return self._taken()

    def end(self) -> list[Record]:
        """Repair what is lost, then close, reset or stop."""
        while self._holes:
            self._transmit(self._holes)
        talk = self.talk
        if self._number < FLOWS - 4:
            talk.send(SERVER, FIN | ACK)
            talk.time_us += _RTT_US
            talk.send(CLIENT, FIN | ACK)
            talk.time_us += _GAP_US
            talk.send(SERVER)
        elif self._number < FLOWS - 2:
            talk.reset(CLIENT)
        return self._taken()

    def _taken(self) -> list[Record]:
        records, self.talk.records = self.talk.records, []
        return records

    def _open(self) -> None:
        talk = self.talk
        talk.syn(CLIENT)
        talk.time_us += _GAP_US
        talk.syn(SERVER)
        talk.time_us += _RTT_US
        talk.send(CLIENT)
        talk.time_us += _GAP_US
        talk.send(CLIENT, PSH | ACK, self._payload[:64])
        talk.time_us += _GAP_US
        self._base = talk.next_seq[SERVER]

    def _transmit(self, indexes: list[int]) -> None:
        """Send segments, lose and reorder some, and let the client acknowledge what arrived."""
        rng, talk = self._rng, self.talk
        arrived: list[int] = []
        for index in self._reordered(indexes):
            lost = rng.random() < _LOSS
            if not lost or rng.random() >= _LOST_BEFORE_TAP:
                seq = self._base + index * SEGMENT_LEN
                talk.send(SERVER, ACK, self._payload, seq=seq, payload_len=SEGMENT_LEN)
            if not lost:
                arrived.append(index)
            talk.time_us += _GAP_US
        talk.next_seq[SERVER] = (self._base + self._next_index * SEGMENT_LEN) & SEQ_MASK
        talk.time_us += _RTT_US
        self._acknowledge(arrived)
        missing = range(self._received, self._next_index)
        self._holes = [index for index in missing if index not in self._ahead]

    def _reordered(self, indexes: Iterable[int]) -> list[int]:
        order = list(indexes)
        for place in range(len(order) - 1):
            if self._rng.random() < _REORDERED:
                order[place], order[place + 1] = order[place + 1], order[place]
        return order

    def _acknowledge(self, arrived: list[int]) -> None:
        """Every second segment in order; at once, with SACK, while something is missing."""
        unacknowledged = 0
        for index in arrived:
            self._ahead.add(index)
            had_hole = len(self._ahead) > 1
            while self._received in self._ahead:
                self._ahead.remove(self._received)
                self._received += 1
            unacknowledged += 1
            if had_hole or self._ahead or unacknowledged == 2:
                self._ack(index)
                unacknowledged = 0
        if unacknowledged:
            self._ack(self._received)

    def _ack(self, latest: int) -> None:
        self.talk.send(CLIENT, ack=self._base + self._received * SEGMENT_LEN, sack=self._sack(latest))
        self.talk.time_us += _GAP_US

    def _sack(self, latest: int) -> bytes:
        """A SACK option of at most three blocks, the one with the latest segment first (RFC 2018)."""
        if not self._ahead:
            return b""
        blocks: list[tuple[int, int]] = []
        for index in sorted(self._ahead):
            if blocks and blocks[-1][1] == index:
                blocks[-1] = (blocks[-1][0], index + 1)
            else:
                blocks.append((index, index + 1))
        blocks.sort(key=lambda block: not block[0] <= latest < block[1])
        del blocks[3:]
        edges = [(self._base + edge * SEGMENT_LEN) & SEQ_MASK for block in blocks for edge in block]
        return struct.pack(f"!BBBB{len(edges)}I", 1, 1, 5, 2 + 4 * len(edges), *edges)
