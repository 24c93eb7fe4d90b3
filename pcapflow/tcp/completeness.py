"""Bits of Wireshark's ``tcp.completeness``: which parts of a conversation a capture holds (packet-tcp.c)."""

from __future__ import annotations

from typing import Final

COMPLETE_SYN: Final = 1
COMPLETE_SYN_ACK: Final = 2
COMPLETE_ACK: Final = 4
COMPLETE_DATA: Final = 8
COMPLETE_FIN: Final = 16
COMPLETE_RST: Final = 32
COMPLETE_HANDSHAKE: Final = COMPLETE_SYN | COMPLETE_SYN_ACK | COMPLETE_ACK
