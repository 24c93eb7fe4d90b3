"""The Community ID of a connection, by which other tools' records of it are found."""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pcapflow.tables.table import Table

_PROTO_TCP: Final = 6
_MASK: Final = 0xFFFF_FFFF_FFFF_FFFF


def community_ids(flows: Table) -> list[str]:
    """The Community ID, version 1 with seed 0, of every flow (github.com/corelight/community-id-spec)."""
    family = flows["family"].tolist()
    sides: list[list[tuple[bytes, int]]] = []
    for side in ("client", "server"):
        high, low = flows[f"{side}_hi"].tolist(), flows[f"{side}_lo"].tolist()
        ports = flows[f"{side}_port"].tolist()
        sides.append([(_packed(f, h, n), port) for f, h, n, port in zip(family, high, low, ports, strict=True)])
    return [_community_id(client, server) for client, server in zip(*sides, strict=True)]


def _community_id(one: tuple[bytes, int], other: tuple[bytes, int]) -> str:
    (low, low_port), (high, high_port) = sorted((one, other))
    text = struct.pack("!H", 0) + low + high + struct.pack("!BBHH", _PROTO_TCP, 0, low_port, high_port)
    # The specification names SHA-1; nothing here depends on its strength.
    return "1:" + base64.b64encode(hashlib.sha1(text, usedforsecurity=False).digest()).decode("ascii")


def _packed(family: int, high: int, low: int) -> bytes:
    if family == 4:
        return struct.pack("!I", low)
    return struct.pack("!QQ", high & _MASK, low & _MASK)
