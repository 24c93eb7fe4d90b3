"""From dissected layers to one short text per connection, and to facts that have a type."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Final

from pcapflow.payload.lines import dns, smtp, ssh
from pcapflow.payload.logins import ftp, imap, ldap
from pcapflow.payload.said import Said
from pcapflow.payload.stores import mysql, postgres, redis
from pcapflow.payload.talk import MOST_CHARACTERS, Talk, tidy
from pcapflow.payload.web import http, http2, tls
from pcapflow.tcp.states import CLIENT, SERVER

_TELLERS: Final[dict[str, Callable[[Talk], Said | None]]] = {
    "pgsql": postgres,
    "mysql": mysql,
    "resp": redis,
    "smtp": smtp,
    "ftp": ftp,
    "imap": imap,
    "ldap": ldap,
    "ssh": ssh,
    "http2": http2,
    "http": http,
    "dns": dns,
    "tls": tls,
}
"""By Wireshark's name of the protocol, those first that may have TLS inside."""
_ONE_INSIDE_THE_OTHER: Final = {"tls", "postgres"}


def said(talk: Talk) -> Said | None:
    """What one connection said; nothing where its frames tell nothing.

    Where the server answers in another protocol than it was asked in, that is the error: a browser speaks HTTP to a
    port of TLS, or a client speaks TLS to a port of HTTP.
    """
    asked = _of_side(talk, CLIENT)
    answered = _of_side(talk, SERVER)
    if asked is None or answered is None:
        return _told(talk)
    protocols = {asked.protocol, answered.protocol}
    if len(protocols) == 1 or protocols == _ONE_INSIDE_THE_OTHER:
        return _told(talk)
    return dataclasses.replace(
        asked,
        what=tidy(f"{tidy(asked.what)}: answered with {answered.what.removeprefix('http -> ')}", MOST_CHARACTERS),
        answer=answered.what,
        answer_frame=answered.answer_frame or answered.error_frame,
        error=tidy(f"answered in {answered.protocol}"),
        error_code=answered.error_code,
        error_by=SERVER,
        error_frame=answered.error_frame or answered.answer_frame,
    )


def _told(talk: Talk) -> Said | None:
    """In the first protocol that tells something; in the first at all where none does."""
    names = {heard.layer.name for heard in talk.heard}
    texts = [words for name, tell in _TELLERS.items() if name in names and (words := tell(talk))]
    return next((words for words in texts if words.frames), texts[0] if texts else None)


def _of_side(talk: Talk, endpoint: int) -> Said | None:
    heard = tuple(heard for heard in talk.heard if heard.endpoint == endpoint)
    return _told(Talk(talk.flow, heard, talk.greeting))
