"""Captures of what two programs say to one another, made byte by byte; TLS comes from the library that programs use."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from fixtures.containers import pcap
from tests.reader.frames import ACK, CLIENT, CLIENT6, SERVER, SERVER6, SYN, ethernet, ipv4, ipv6, tcp

Step = tuple[str, bytes]
"""Who speaks, ``>`` the client or ``<`` the server, and what."""

START_NS: Final = 1_767_322_800_000_000_000
MSS: Final = 1400
_M32: Final = 0xFFFF_FFFF
_PSH: Final = 8

TOO_MANY_CLIENTS: Final = b"sorry, too many clients already"


class Talk:
    """A connection under way, whose frames are made one by one."""

    def __init__(
        self, *, port: int = 7000, client_port: int = 40_000, seq: tuple[int, int] = (1000, 5000), ip: int = 4
    ) -> None:
        self.ports = (client_port, port)
        self.next = [seq[0], seq[1]]
        self.frames: list[bytes] = []
        self._ip = ip

    def frame(self, who: str, payload: bytes = b"", *, seq: int | None = None, flags: int = ACK | _PSH) -> bytes:
        """A frame of ``who``; without ``seq`` it goes on where the last one ended."""
        side = "><".index(who)
        if seq is None:
            seq = self.next[side]
            self.next[side] += len(payload) + bool(flags & SYN)
        segment = tcp(
            payload,
            sport=self.ports[side],
            dport=self.ports[1 - side],
            seq=seq & _M32,
            ack=self.next[1 - side] & _M32 if flags & ACK else 0,
            flags=flags,
        )
        if self._ip == 6:
            ends = ((CLIENT6, SERVER6), (SERVER6, CLIENT6))[side]
            return ethernet(ipv6(segment, src=ends[0], dst=ends[1]))
        ends = ((CLIENT, SERVER), (SERVER, CLIENT))[side]
        return ethernet(ipv4(segment, src=ends[0], dst=ends[1]))

    def say(self, who: str, payload: bytes = b"", *, seq: int | None = None, flags: int = ACK | _PSH) -> None:
        """Sends a frame."""
        self.frames.append(self.frame(who, payload, seq=seq, flags=flags))

    def open(self) -> Talk:
        """The handshake: frames 1 to 3."""
        self.say(">", flags=SYN)
        self.say("<", flags=SYN | ACK)
        self.say(">", flags=ACK)
        return self


def spoken(
    steps: Sequence[Step], *, port: int = 7000, client_port: int = 40_000, mss: int = MSS, seq: int = 1000
) -> list[bytes]:
    """The frames of a connection: the handshake, and what is said in segments of at most ``mss`` bytes."""
    talk = Talk(port=port, client_port=client_port, seq=(seq, 5000)).open()
    for who, payload in steps:
        for at in range(0, len(payload), mss):
            talk.say(who, payload[at : at + mss])
    return talk.frames


def written(path: Path, frames: Sequence[bytes], *, snaplen: int = 262_144) -> Path:
    """A capture of these frames, a millisecond apart; returns its path."""
    records = [(START_NS + number * 1_000_000, frame) for number, frame in enumerate(frames)]
    path.write_bytes(pcap(records, snaplen=snaplen))
    return path


# TLS, as OpenSSL speaks it

Setting = Callable[[ssl.SSLContext], object]


def as_it_comes(context: ssl.SSLContext) -> None:
    """The defaults of the library."""


def at_most_tls_1_2(context: ssl.SSLContext) -> None:
    """Speaks no TLS 1.3."""
    context.maximum_version = ssl.TLSVersion.TLSv1_2


def at_least_tls_1_3(context: ssl.SSLContext) -> None:
    """Speaks nothing older."""
    context.minimum_version = ssl.TLSVersion.TLSv1_3


def without_certificate(context: ssl.SSLContext) -> None:
    """TLS 1.2 between two that know one another by nothing."""
    at_most_tls_1_2(context)
    context.set_ciphers("AECDH-AES256-SHA:@SECLEVEL=0")


def tls_handshake(
    server: Setting, client: Setting, name: str | None = "db.internal", *, closed: bool = False
) -> list[Step]:
    """What client and server say until they agree, or one of them gives up; ``closed``, and how they say goodbye."""
    contexts = (ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    contexts[0].check_hostname = False
    contexts[0].verify_mode = ssl.CERT_NONE
    client(contexts[0])
    server(contexts[1])
    inputs, outputs = [ssl.MemoryBIO(), ssl.MemoryBIO()], [ssl.MemoryBIO(), ssl.MemoryBIO()]
    ends = [
        contexts[0].wrap_bio(inputs[0], outputs[0], server_hostname=name),
        contexts[1].wrap_bio(inputs[1], outputs[1], server_side=True),
    ]
    steps: list[Step] = []
    acts = [end.do_handshake for end in ends]
    for _ in range(4):
        for side in (0, 1):
            _try(acts[side])
            _hand_over(side, inputs, outputs, steps)
    if closed:
        for side in (0, 1):
            _try(ends[side].unwrap)
            _hand_over(side, inputs, outputs, steps)
    return steps


def _try(act: Callable[[], object]) -> None:
    try:
        act()
    except ssl.SSLError:
        # It waits for the other, or has given up: what it wrote tells.
        return


def _hand_over(side: int, inputs: list[ssl.MemoryBIO], outputs: list[ssl.MemoryBIO], steps: list[Step]) -> None:
    data = outputs[side].read()
    if data:
        steps.append(("><"[side], data))
        inputs[1 - side].write(data)


# PostgreSQL

SSL_REQUEST: Final = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


def postgres_startup(user: bytes, database: bytes) -> bytes:
    """The first message of a client."""
    body = b"\x00\x03\x00\x00user\0" + user + b"\0database\0" + database + b"\0\0"
    return (len(body) + 4).to_bytes(4, "big") + body


def postgres_error(severity: bytes, code: bytes, words: bytes, kind: bytes = b"E") -> bytes:
    """An ErrorResponse, or with kind ``N`` a NoticeResponse."""
    body = b"S" + severity + b"\0V" + severity + b"\0C" + code + b"\0M" + words + b"\0Fx.c\0L1\0Rf\0\0"
    return kind + (len(body) + 4).to_bytes(4, "big") + body


def postgres_query(text: bytes) -> bytes:
    """A simple query."""
    return b"Q" + (len(text) + 5).to_bytes(4, "big") + text + b"\0"


# MySQL


def mysql_packet(number: int, body: bytes) -> bytes:
    """A packet."""
    return len(body).to_bytes(3, "little") + bytes([number]) + body


MYSQL_GREETING: Final = mysql_packet(
    0,
    b"\x0a8.0.30\0\x08\0\0\0abcdefgh\0\xff\xf7\x08\x02\0\xff\x81\x15"
    + bytes(10)
    + b"abcdefghijkl\0mysql_native_password\0",
)
MYSQL_LOGIN: Final = mysql_packet(1, b"\x85\xa6\xff\x01\0\0\0\1\x21" + bytes(23) + b"app\0\0shop\0")
MYSQL_OK: Final = mysql_packet(2, b"\0\0\0\2\0\0\0")


def mysql_error(code: int, words: bytes, number: int = 0) -> bytes:
    """An ERR_Packet as it is before the handshake: without a state of SQL."""
    return mysql_packet(number, b"\xff" + code.to_bytes(2, "little") + words)
