"""How connections end: who closed first, and how far each came, as codes and their names."""

from __future__ import annotations

from typing import Final

NOBODY: Final = 0
BY_CLIENT: Final = 1
BY_SERVER: Final = 2
BY_BOTH: Final = 3
CLOSED_BY_NAMES: Final = ("none", "client", "server", "both")
"""Who sent the first FIN or RST; both where their FINs crossed."""

OPEN: Final = 0
CLOSING: Final = 1
CLOSED_GRACEFULLY: Final = 2
ABORTED: Final = 3
REFUSED: Final = 4
UNANSWERED: Final = 5
HALF_OPEN: Final = 6
END_REASONS: Final = ("open", "closing", "closed", "aborted", "refused", "unanswered", "half-open")
