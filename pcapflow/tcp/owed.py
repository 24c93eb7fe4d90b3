"""What an endpoint owes while a connection is silent, as codes and their names."""

from __future__ import annotations

from typing import Final

NOTHING: Final = 0
ACKNOWLEDGMENT: Final = 1
ANSWER: Final = 2
CLOSE: Final = 3
OWED_NAMES: Final = ("nothing", "ack", "answer", "close")
"""An acknowledgment is owed by an endpoint's kernel, or by the path; answer and close by its program."""
