"""The flags of a TCP header as on the wire (RFC 9293, 3.1; RFC 3168; RFC 3540)."""

from __future__ import annotations

from typing import Final

FIN: Final = 0x001
SYN: Final = 0x002
RST: Final = 0x004
PSH: Final = 0x008
ACK: Final = 0x010
URG: Final = 0x020
TCP_FLAGS: Final = 0x1FF
"""All nine, those of explicit congestion notification among them."""
