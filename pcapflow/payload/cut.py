"""The segments that tell what connections said, cut out by a second pass, and the small capture made of them.

Each segment is written anew under headers of our own: the link layer, tunnels and fragments around it are the reader's
matter and done with. So every connection can be given addresses of its own, and a server port that stands for the
protocol that its bytes begin like; Wireshark, which goes by ports, then knows it on any.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from pcapflow.engine.second_pass import Span, rows_of_flows
from pcapflow.payload.choose import MOST_EVIDENCE, Candidates, Sent, wants_more
from pcapflow.payload.stream import Piece
from pcapflow.reader.segment_batch import COL_FLAGS, COL_FRAME, COL_PAYLOAD_LEN, COL_SEQ, COL_TIME_NS
from pcapflow.tcp.flags import RST, SYN
from pcapflow.tcp.states import CLIENT, SERVER

if TYPE_CHECKING:
    from pcapflow.reader.open import Engine, Input
    from pcapflow.reader.waypoints import Waypoints
    from pcapflow.tables.table import Tables

REACH: Final = 4096
"""Frames read at either end of a connection, and of one in millions no more: its first words come soon after its
beginning, its last ones shortly before its end."""
MOST_BYTES: Final = 5 + (1 << 14)
"""Payload of a segment that is kept: the longest TLS record (RFC 8446, 5.1). Offload makes longer segments."""
_M32: Final = 0xFFFF_FFFF
_HALF: Final = 1 << 31
_NS_PER_S: Final = 1_000_000_000

FIRST_PORT: Final = 50_001
_CLIENT_PORT: Final = 40_000
_CLIENTS: Final = 0x0A00_0001
_SERVERS: Final = 0x0A80_0001
"""10.0.0.1 and 10.128.0.1: the address of the first client, and of its server."""
_NANOSECOND_MAGIC: Final = 0xA1B2_3C4D
_LINKTYPE_RAW: Final = 101
_HEADERS_BYTES: Final = 40
_PSH_ACK: Final = 0x18
_LONGEST: Final = 65_535 - _HEADERS_BYTES


class Excerpt(NamedTuple):
    """One connection in the small capture.

    Attributes:
        flow: the connection.
        protocols: what client and server speak, in Wireshark's words.
        sent: its segments in order of frames.
        whole: whether these are all that the server sent, and nothing of it came when the client had closed.
    """

    flow: int
    protocols: tuple[str, str]
    sent: Sequence[Sent]
    whole: bool = False


class Origin(NamedTuple):
    """Which segment a frame of the small capture is."""

    flow: int
    endpoint: int
    frame: int


def candidates_of(
    tables: Tables,
    inputs: Sequence[Input],
    engine: Engine,
    flows: Sequence[int],
    evidence: Mapping[int, Collection[int]],
    waypoints: Waypoints,
) -> dict[int, Candidates]:
    """The segments of some connections among which those are that tell most; the inputs are at their beginning.

    Args:
        tables: of the capture.
        inputs, engine, waypoints: how it is read once more.
        flows: the connections, in the order in which they are returned.
        evidence: frames that anomalies cite, by connection.

    Raises:
        CaptureError: the file cannot be read any more.
    """
    if not flows:
        return {}
    keepers = {flow: _Keeper(sorted(evidence.get(flow, ()))[:MOST_EVIDENCE]) for flow in flows}
    spans = _spans(tables, flows, {frame for keeper in keepers.values() for frame in keeper.cited})
    for flow, endpoint, row, data in rows_of_flows(tables, inputs, engine, flows, spans, waypoints, with_payload=True):
        if data and not row[COL_FLAGS] & RST:
            seq = (row[COL_SEQ] + 1) & _M32 if row[COL_FLAGS] & SYN else row[COL_SEQ]
            piece = Piece(seq, row[COL_PAYLOAD_LEN], data[:MOST_BYTES], row[COL_FRAME], row[COL_TIME_NS])
            keepers[flow].take(endpoint, piece)
    return {flow: keeper.candidates() for flow, keeper in keepers.items()}


def write_capture(path: Path, excerpts: Iterable[Excerpt]) -> tuple[list[Origin], dict[str, int]]:
    """Writes a pcap of raw IPv4 packets, in order of the capture's frames.

    Returns:
        Which segment each frame is, and the server port that stands for each protocol.
    """
    ports: dict[str, int] = {}
    frames: list[tuple[Origin, bytes]] = []
    for number, excerpt in enumerate(excerpts):
        for endpoint, sent in excerpt.sent:
            port = ports.setdefault(excerpt.protocols[endpoint], FIRST_PORT + len(ports))
            piece = filled(sent, excerpt.protocols[endpoint])
            frames.append((Origin(excerpt.flow, endpoint, piece.frame), _record(number, endpoint, piece, port)))
    frames.sort(key=lambda item: item[0].frame)
    header = struct.pack("=IHHiIII", _NANOSECOND_MAGIC, 2, 4, 0, 0, 1 << 18, _LINKTYPE_RAW)
    path.write_bytes(header + b"".join(record for _, record in frames))
    return [origin for origin, _ in frames], ports


def filled(piece: Piece, protocol: str) -> Piece:
    """A segment with something in place of what a snap length cut off, where tshark would not say a word without.

    It waits for the whole of a TLS record, which zeros make up for, and of a line of the Redis protocol, which then
    ends where it was cut. Of other protocols it tells what is there.
    """
    if len(piece.data) >= piece.length:
        return piece
    if protocol == "tls":
        return piece._replace(data=piece.data.ljust(min(piece.length, _LONGEST), b"\0"))
    if protocol == "resp":
        line = piece.data + b"\r\n"
        return piece._replace(data=line, length=len(line))
    return piece


def _record(number: int, endpoint: int, piece: Piece, port: int) -> bytes:
    """A segment as a record of a pcap, between the addresses of the connection of this number."""
    length = min(piece.length, _LONGEST)
    data = piece.data[:length]
    ends = ((_CLIENTS + number, _CLIENT_PORT), (_SERVERS + number, port))
    (source, source_port), (target, target_port) = ends if endpoint == CLIENT else ends[::-1]
    ip = struct.pack("!BBHHHBBHII", 0x45, 0, _HEADERS_BYTES + length, 0, 0x4000, 64, 6, 0, source, target)
    tcp = struct.pack("!HHIIBBHHH", source_port, target_port, piece.seq, 0, 0x50, _PSH_ACK, 0xFFFF, 0, 0)
    seconds, nanoseconds = divmod(piece.time_ns, _NS_PER_S)
    sizes = (_HEADERS_BYTES + len(data), _HEADERS_BYTES + length)
    return struct.pack("=IIII", seconds & _M32, nanoseconds, *sizes) + ip + tcp + data


def _spans(tables: Tables, flows: Sequence[int], frames: Iterable[int]) -> list[Span]:
    """The stretches of frames that are read: both ends of each connection, and what anomalies cite."""
    spans = [(frame, frame) for frame in frames]
    for flow in flows:
        first, last = int(tables.flows["first_frame"][flow]), int(tables.flows["last_frame"][flow])
        spans += [(first, min(first + REACH, last)), (max(last - REACH, first), last)]
    return spans


class _Keeper:
    """What is kept of one connection while it passes; ``cited`` are the frames that are kept wherever they are."""

    def __init__(self, cited: Sequence[int]) -> None:
        self.cited = frozenset(cited)
        self._heads: tuple[list[Piece], list[Piece]] = ([], [])
        self._lasts: list[Piece | None] = [None, None]
        self._evidence: list[Sent] = []
        self._next = [-1, -1]

    def take(self, endpoint: int, piece: Piece) -> None:
        """The next segment with payload."""
        if piece.frame in self.cited:
            self._evidence.append(Sent(endpoint, piece))
        expected = self._next[endpoint]
        behind = (expected - piece.seq) & _M32 if expected >= 0 else 0
        if 0 < behind < _HALF and behind >= piece.length:
            # Sent again, or a keep-alive.
            return
        self._next[endpoint] = (piece.seq + piece.length) & _M32
        if wants_more(self._heads[endpoint]):
            self._heads[endpoint].append(piece)
        else:
            self._lasts[endpoint] = piece

    def candidates(self) -> Candidates:
        """What is kept."""
        client, server = ([piece] if (piece := self._lasts[side]) else [] for side in (CLIENT, SERVER))
        return Candidates(self._heads, (client, server), self._evidence)
