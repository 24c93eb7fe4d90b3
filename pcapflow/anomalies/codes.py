"""What the code of a rule tells by itself; light, for those who have nothing of an anomaly but its code."""

from __future__ import annotations

from typing import Final

CAPTURE_FAMILY: Final = "PF9"
"""How the codes of rules begin that speak of the capture, not of the connections in it: cut off, packets missing."""


def is_about_capture(code: str) -> bool:
    """Whether a rule speaks of the capture, and not of the connections in it."""
    return code.startswith(CAPTURE_FAMILY)
