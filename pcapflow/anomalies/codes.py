"""What a code tells by itself; light, for those who have nothing of an anomaly or incident but its code."""

from __future__ import annotations

from typing import Final

CAPTURE_FAMILIES: Final = ("PF9", "PI9")
"""How the codes of rules and patterns begin that speak of the capture, not of the connections in it: cut off, packets
missing."""


def is_about_capture(code: str) -> bool:
    """Whether a rule or pattern speaks of the capture, and not of the connections in it."""
    return code.startswith(CAPTURE_FAMILIES)
