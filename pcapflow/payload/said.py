"""What a connection said, in one short text and as typed facts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

NOBODY: Final = -1
"""In place of an endpoint."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one connection said, as far as a few of its frames tell. All text is printable and short.

    Attributes:
        flow: the connection.
        protocol: ``http``, ``http2``, ``tls``, ``postgres``, ``mysql``, ``redis``, ``smtp``, ``ftp``, ``imap``,
            ``ldap``, ``ssh`` or ``dns``.
        what: one short text, e.g. ``GET /health -> 200`` or ``tls db.internal: alert handshake_failure``.
        request: what the client asked, "" where no frame tells.
        request_frame: the frame it was in, 0 without.
        answer: what the server answered: a status, a version.
        answer_frame: likewise.
        error: the words of an error, without its code.
        error_code: its code as its protocol writes it: ``503``, ``53300``, ``1040``, ``NOAUTH``, an alert's number.
        error_by: who said it, 0 client, 1 server, -1 nobody.
        error_frame: likewise.
        server_name: the name that a TLS client asked for (RFC 6066, 3).
        version: of the protocol or program, as it was told: ``TLS 1.3``, ``OpenSSH_9.2``.
        offered: the highest version of TLS that a client offered, "" where its hello does not tell.
        no_certificate_frame: the frame in which a client of TLS that was asked for a certificate sent an empty list of
            them (RFC 5246, 7.4.6), 0 where none was seen; TLS 1.3 hides it.
        close_notify: the frames of TLS alert records that end each endpoint's stream, client's and server's, 0 where
            none was seen. Known by the type of the record: TLS 1.3 hides it once its handshake is encrypted
            (RFC 8446, 5.2), so none seen there proves nothing.
    """

    flow: int
    protocol: str
    what: str
    request: str = ""
    request_frame: int = 0
    answer: str = ""
    answer_frame: int = 0
    error: str = ""
    error_code: str = ""
    error_by: int = NOBODY
    error_frame: int = 0
    server_name: str = ""
    version: str = ""
    offered: str = ""
    no_certificate_frame: int = 0
    close_notify: tuple[int, int] = (0, 0)

    @property
    def frames(self) -> tuple[int, ...]:
        """The frames that these facts were read from, in order."""
        named = {self.request_frame, self.answer_frame, self.error_frame, *self.close_notify}
        return tuple(sorted(named - {0}))


@dataclasses.dataclass(frozen=True, slots=True)
class Payload:
    """What the connections of a capture said.

    Attributes:
        said: by flow; connections that were not asked, or whose protocol is none of those known, are missing.
        note: why there is less than there might be, and what to do about it; "" where nothing is missing.
        flows: connections that were looked at.
        frames: frames that were dissected.
    """

    said: Mapping[int, Said] = dataclasses.field(default_factory=dict)
    note: str = ""
    flows: int = 0
    frames: int = 0

    def what(self, flow: int) -> str:
        """The short text of a connection, "" without."""
        said = self.said.get(flow)
        return said.what if said else ""


NOTHING: Final = Payload()
"""Nobody asked."""
