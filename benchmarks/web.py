"""Workload `web`: many short connections, interleaved, closed in all the usual ways."""

import itertools
import random
import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable
from typing import Final, TypeAlias

from benchmarks.capture_file import CaptureWriter
from benchmarks.conversation import CLIENT, SERVER, Conversation
from benchmarks.frames import ACK, FIN, PSH, SEQ_MASK, Record, Sender, ethernet

SNAP_LEN: Final = 262_144

_START_US: Final = 1_700_000_000_000_000
_MEAN_INTERVAL_US: Final = 1000
_CLIENTS: Final = 4096
_FIRST_PORT: Final = 32_768
_PORTS: Final = 28_232
_SERVICES: Final = ((1, 443), (2, 443), (3, 443), (4, 443), (5, 8443), (6, 8443))
_POOL_LEN: Final = 65_536
_MAX_PAYLOAD: Final = 700
_ROUTER_MAC: Final = bytes.fromhex("02005e000001")
_SERVER_MAC: Final = bytes.fromhex("02005e000002")
_VLAN: Final = 120
_FIRST_RTO_US: Final = 200_000
_SYN_RTO_US: Final = 1_000_000
_TLS_RECORD: Final = struct.Struct("!BHH")
_APPLICATION_DATA: Final = (23, 0x0303)

_REFUSED: Final = 0.01
_UNANSWERED: Final = 0.005
_RETRANSMITS: Final = 0.03
_LONG_REQUEST: Final = 0.25
_MORE_EXCHANGES: Final = 2.85  # so one to three, three a little less often


def write_web(writer: CaptureWriter, seed: int) -> int:
    """Fill a capture with short connections, about 25 packets each.

    Args:
        writer: Takes the packets until its limit.
        seed: Decides everything.

    Returns:
        The number of connections that begin before the capture ends.
    """
    rng = random.Random(seed)
    pool = rng.randbytes(_POOL_LEN)
    start_us = _START_US
    starts = array("q")
    while not writer.full:
        starts.append(start_us)
        records = _Visit(len(starts), start_us, rng, pool).run()
        start_us += 1 + below(rng, 2 * _MEAN_INTERVAL_US)
        writer.add(records, start_us)
    return bisect_right(starts, writer.last_us)


def below(rng: random.Random, limit: int) -> int:
    """An integer in [0, limit), from `random()` alone, the one method whose output no Python version changes."""
    return int(rng.random() * limit)


class _Visit:
    """One client's connection: opened, a few requests answered, ended."""

    def __init__(self, number: int, start_us: int, rng: random.Random, pool: bytes) -> None:
        self._rng = rng
        self._pool = pool
        self._rtt_us = 2_000 + below(rng, 60_000)
        self._think_us = 100 + below(rng, 3_000)
        timestamps = rng.random() < 0.9
        senders = _senders(number, rng, padded=not timestamps)
        isn = (below(rng, SEQ_MASK + 1), below(rng, SEQ_MASK + 1))
        self.talk = Conversation(senders, isn, start_us, timestamps=timestamps)

    def run(self) -> list[Record]:
        """All that passes the tap, in time order."""
        luck = self._rng.random()
        if luck < _REFUSED:
            self._refused()
        elif luck < _REFUSED + _UNANSWERED:
            self._unanswered()
        else:
            self._open()
            for _ in range(1 + int(self._rng.random() * _MORE_EXCHANGES)):
                self._exchange()
            self._pick_ending()(self)
        return self.talk.records

    def wait_client(self) -> None:
        """The client's next segment answers the server's last: a round trip away."""
        self.talk.time_us += self._rtt_us + below(self._rng, 500)

    def wait_server(self) -> None:
        """The server is near the tap."""
        self.talk.time_us += self._think_us + below(self._rng, 500)

    def wait(self, time_us: int) -> None:
        """Let time pass."""
        self.talk.time_us += time_us

    def _pick_ending(self) -> "_Ending":
        return _ENDINGS[bisect_right(_UP_TO, self._rng.random())][1]

    def payload(self, least: int, most: int) -> bytes:
        """One TLS record of application data, so that a dissector finds nothing to complain about."""
        body_len = least + below(self._rng, most - least)
        start = below(self._rng, _POOL_LEN - _MAX_PAYLOAD)
        return _TLS_RECORD.pack(*_APPLICATION_DATA, body_len) + self._pool[start : start + body_len]

    def _refused(self) -> None:
        self.talk.syn(CLIENT)
        self.wait_server()
        self.talk.refuse()

    def _unanswered(self) -> None:
        for attempt in range(3):
            self.talk.syn(CLIENT)
            self.wait(_SYN_RTO_US << attempt)

    def _open(self) -> None:
        self.talk.syn(CLIENT)
        self.wait_server()
        self.talk.syn(SERVER)
        self.wait_client()
        self.talk.send(CLIENT)

    def _exchange(self) -> None:
        """A request of one or two segments, a response of several, acknowledged in pairs."""
        rng, talk = self._rng, self.talk
        for _ in range(2 if rng.random() < _LONG_REQUEST else 1):
            self.wait(40)
            talk.send(CLIENT, PSH | ACK, self.payload(150, 500))
        self.wait_server()
        talk.send(SERVER)
        self.wait_server()
        lost = below(rng, 3) if rng.random() < _RETRANSMITS else -1
        ends: list[int] = []
        for index in range(4 + below(rng, 3)):
            self.wait(20 + below(rng, 80))
            seq, payload = talk.next_seq[SERVER], self.payload(150, _MAX_PAYLOAD)
            talk.send(SERVER, PSH | ACK, payload)
            if index == lost:
                again = (seq, payload)
            ends.append(talk.next_seq[SERVER])
        self.wait_client()
        if lost >= 0:
            talk.send(CLIENT, ack=again[0])
            self.wait(_FIRST_RTO_US)
            talk.send(SERVER, PSH | ACK, again[1], seq=again[0])
            self.wait_client()
            talk.send(CLIENT)
            return
        for end in ends[1::2]:
            talk.send(CLIENT, ack=end)
            self.wait(30 + below(rng, 60))
        if len(ends) % 2:
            talk.send(CLIENT)
            self.wait(30)


_Ending: TypeAlias = Callable[[_Visit], None]


def _client_closes(visit: _Visit) -> None:
    visit.wait(500)
    visit.talk.send(CLIENT, FIN | ACK)
    visit.wait_server()
    visit.talk.send(SERVER)
    visit.wait_server()
    visit.talk.send(SERVER, FIN | ACK)
    visit.wait_client()
    visit.talk.send(CLIENT)


def _client_closes_in_three(visit: _Visit) -> None:
    visit.wait(500)
    visit.talk.send(CLIENT, FIN | ACK)
    visit.wait_server()
    visit.talk.send(SERVER, FIN | ACK)
    visit.wait_client()
    visit.talk.send(CLIENT)


def _server_closes(visit: _Visit) -> None:
    visit.wait(5_000)
    visit.talk.send(SERVER, FIN | ACK)
    visit.wait_client()
    visit.talk.send(CLIENT)
    visit.wait(200)
    visit.talk.send(CLIENT, FIN | ACK)
    visit.wait_server()
    visit.talk.send(SERVER)


def _fins_cross(visit: _Visit) -> None:
    talk = visit.talk
    visit.wait(500)
    client_fin = talk.next_seq[CLIENT]
    talk.send(SERVER, FIN | ACK)
    visit.wait(300)
    talk.send(CLIENT, FIN | ACK, ack=talk.next_seq[SERVER] - 1)
    visit.wait_server()
    talk.send(SERVER)
    visit.wait_client()
    talk.send(CLIENT, seq=client_fin + 1)


def _client_resets(visit: _Visit) -> None:
    visit.wait(500)
    visit.talk.reset(CLIENT)


def _server_resets_when_idle(visit: _Visit) -> None:
    visit.wait(1_500_000)
    visit.talk.reset(SERVER)


def _client_closes_too_early(visit: _Visit) -> None:
    """Data that crosses the client's FIN finds no socket."""
    visit.wait(500)
    visit.talk.send(CLIENT, FIN | ACK)
    visit.wait(100)
    visit.talk.send(SERVER, PSH | ACK, visit.payload(150, 500))
    visit.wait_client()
    visit.talk.reset(CLIENT, passive=True)


def _stays_open(visit: _Visit) -> None:
    visit.wait(500)


def _server_never_closes(visit: _Visit) -> None:
    visit.wait(500)
    visit.talk.send(CLIENT, FIN | ACK)
    visit.wait_server()
    visit.talk.send(SERVER)


def _final_ack_missing(visit: _Visit) -> None:
    visit.wait(500)
    visit.talk.send(SERVER, FIN | ACK)
    visit.wait_client()
    visit.talk.send(CLIENT, FIN | ACK)
    fin = visit.talk.next_seq[CLIENT] - 1
    for attempt in range(4):
        visit.wait(_FIRST_RTO_US << attempt)
        visit.talk.send(CLIENT, FIN | ACK, seq=fin)


_ENDINGS: Final[tuple[tuple[float, _Ending], ...]] = (
    (0.33, _client_closes),
    (0.15, _client_closes_in_three),
    (0.38, _server_closes),
    (0.01, _fins_cross),
    (0.03, _client_resets),
    (0.02, _server_resets_when_idle),
    (0.01, _client_closes_too_early),
    (0.01, _server_never_closes),
    (0.01, _final_ack_missing),
    (0.05, _stays_open),
)
_UP_TO: Final = list(itertools.accumulate(share for share, _ in _ENDINGS[:-1]))


def _senders(number: int, rng: random.Random, *, padded: bool) -> tuple[Sender, Sender]:
    """Client and server of connection `number`: no two connections share both addresses and ports.

    The first 4096 x 28232 connections differ in client address or port; the IP version and the
    VLAN belong to the client, so that one client is always seen the same way.
    """
    client = number % _CLIENTS
    port = _FIRST_PORT + (number // _CLIENTS) % _PORTS
    host, service = _SERVICES[below(rng, len(_SERVICES))]
    ipv6 = client % 10 < 3
    vlan = _VLAN if client % 7 == 0 else None
    client_ip = (b"\x0a\x14" if not ipv6 else bytes.fromhex("20010db800140000000000000000")) + client.to_bytes(2, "big")
    server_ip = (b"\xc0\x00\x02" if not ipv6 else bytes.fromhex("20010db8000200000000000000000000")[:15]) + bytes(
        [host]
    )
    inward = ethernet(_ROUTER_MAC, _SERVER_MAC, ipv6=ipv6, vlan=vlan)
    outward = ethernet(_SERVER_MAC, _ROUTER_MAC, ipv6=ipv6, vlan=vlan)
    return (
        Sender(inward, client_ip, server_ip, port, service, ttl=52, padded=padded),
        Sender(outward, server_ip, client_ip, service, port, ttl=64),
    )
