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

NO_GOODBYE: Final = 0
GOODBYE: Final = 1
PERHAPS_GOODBYE: Final = 2
"""Whether what a RST's receiver sent ended with TLS alerts, and the RST's sender lacks nothing before these: it does
not, it does, or it may, since the snap length cut a payload of that length off."""

NOT_DRAWN: Final = 0
"""In place of the frame that drew a RST: nothing did, its sender still had a socket and reset by itself."""

SAME_TTL: Final = 1
OTHER_TTL: Final = 2
NEXT_IP_ID: Final = 4
OTHER_IP_ID: Final = 8
SAME_WINDOW: Final = 16
STAMPED: Final = 32
"""What of a RST goes on from its sender's segment before it, as bits: time to live, IP identification, a window that is
not shut; and that it bears a time stamp. Of a sender that said nothing before none is set."""
