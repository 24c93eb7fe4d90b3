"""Protocols of commands and replies: what was asked, what was answered, and what was refused first."""

from __future__ import annotations

from typing import Final

from pcapflow.payload.said import NOBODY, Said
from pcapflow.payload.talk import MOST_CHARACTERS, Talk, tidy
from pcapflow.tcp.states import CLIENT, SERVER

MOST_OF_A_COMMAND: Final = 20
"""Characters of the verb of a command: no known one is longer."""
_FIRST_ERROR: Final = 400
"""Of the replies in three digits: 4 and 5 begin those that refuse (RFC 959, 4.2.1; RFC 5321, 4.2.1)."""


def answered_by_code(talk: Talk, protocol: str, command: str, code: str, words: str) -> Said | None:
    """What was said in a protocol whose server answers commands by three digits and words, as SMTP and FTP.

    Args:
        talk: one connection.
        protocol: its name, Wireshark's too.
        command: Wireshark's field for the verb of a command.
        code: that for the three digits.
        words: that for what stands behind them.
    """
    asked: tuple[str, int] = ("", 0)
    first: tuple[str, str, int] | None = None
    fault: tuple[str, str, int] | None = None
    for heard in talk.of(protocol):
        layer = heard.layer
        if heard.endpoint == CLIENT:
            if (name := layer.first(command)) and fault is None:
                asked = tidy(name, MOST_OF_A_COMMAND), heard.frame
            continue
        digits = layer.first(code)
        if not digits.isdecimal():
            continue
        reply = tidy(digits), tidy(layer.first(words)), heard.frame
        first = first or reply
        if fault is None and int(digits) >= _FIRST_ERROR:
            fault = reply
    chosen = fault or first
    if chosen is None and not asked[0]:
        return None
    what = f"{protocol} {chosen[0]} {chosen[1]}" if chosen else f"{protocol} {asked[0]}"
    answer = (chosen[0], chosen[2]) if chosen else ("", 0)
    return exchanged(talk, protocol, what, asked, answer, fault)


def exchanged(
    talk: Talk,
    protocol: str,
    what: str,
    request: tuple[str, int],
    answer: tuple[str, int],
    fault: tuple[str, str, int] | None,
) -> Said:
    """A request and its answer, each with its frame; ``fault`` is code, words and frame of what the server refused."""
    return Said(
        flow=talk.flow,
        protocol=protocol,
        what=tidy(what, MOST_CHARACTERS),
        request=request[0],
        request_frame=request[1],
        answer=answer[0],
        answer_frame=answer[1],
        error=fault[1] if fault else "",
        error_code=fault[0] if fault else "",
        error_by=SERVER if fault else NOBODY,
        error_frame=fault[2] if fault else 0,
    )
