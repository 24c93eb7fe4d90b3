"""IP addresses as text: one way to write each, whatever the version of Python."""

from __future__ import annotations

import functools
import ipaddress
from typing import Final

_M32: Final = 0xFFFF_FFFF
_M64: Final = 0xFFFF_FFFF_FFFF_FFFF
_MAPPED: Final = 0xFFFF
"""The upper 96 bits of an IPv4 address in its IPv6 form, ``::ffff:0:0/96`` (RFC 4291, 2.5.5.2)."""


@functools.lru_cache(1 << 14)
def address_text(family: int, high: int, low: int) -> str:
    """The text of an address, as RFC 5952 recommends.

    Args:
        family: 4 or 6.
        high, low: its two 64-bit halves, signed or not; an IPv4 address is the lower 32 bits of ``low``.
    """
    if family == 4:
        return str(ipaddress.IPv4Address(low & _M32))
    value = (high & _M64) << 64 | low & _M64
    if value >> 32 == _MAPPED:
        # Section 5 asks for the mixed notation here; Python writes it from 3.13 on.
        return f"::ffff:{ipaddress.IPv4Address(value & _M32)}"
    return str(ipaddress.IPv6Address(value))


def address_number(text: str) -> tuple[int, int] | None:
    """The family (4 or 6) and the number of an address; nothing for what is no address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return address.version, int(address)


def host_and_port(address: str, port: int) -> str:
    """``192.0.2.1:80``, or ``[2001:db8::1]:80``: an IPv6 address stands in brackets (RFC 5952, 6)."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
