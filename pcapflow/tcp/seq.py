"""Arithmetic on sequence numbers, which are 32 bits wide and wrap (RFC 9293, 3.4)."""

from __future__ import annotations

from mypy_extensions import i64


def delta(a: i64, b: i64) -> i64:
    """How far ``a`` lies ahead of ``b``, from -2**31 to 2**31-1; both are raw 32-bit numbers."""
    return ((a - b + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000


def unwrap(raw: i64, isn: i64, near: i64) -> i64:
    """The relative 64-bit number of a raw one: the one closest to ``near``, which is relative to ``isn`` too."""
    return near + delta(raw, (isn + near) & 0xFFFF_FFFF)
