"""One look per state, wherever a state is drawn: census, ladders and lifelines all take it from here.

States of connections that end well have quiet tones, states that pile up have strong ones. The tones differ for the
three kinds of colour blindness too (a test computes it). No state is shown by its colour alone: a letter goes with
every colour, and the states that pile up have a pattern as well.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from pcapflow.tcp.states import STATE_NAMES


class StateLook(NamedTuple):
    """How one state looks.

    Attributes:
        name: RFC name with underscores.
        letter: one character that stands for it where there is no room for the name.
        light, dark: its tone on a light and on a dark page, ``#rrggbb``.
        ink_light, ink_dark: the tone of a letter set upon it.
        pattern: what is drawn over the tone: ``stripes``, ``backstripes``, ``dots``, ``cross`` or "" for nothing.
        ss: the word that ``ss`` uses.
    """

    name: str
    letter: str
    light: str
    dark: str
    ink_light: str
    ink_dark: str
    pattern: str
    ss: str


_BLACK: Final = "#15181c"
_WHITE: Final = "#ffffff"

STATE_LOOKS: Final = (
    StateLook("CLOSED", "-", "#e4e8ec", "#343b44", _BLACK, _WHITE, "", "CLOSED"),
    StateLook("LISTEN", "N", "#d3d9df", "#454e59", _BLACK, _WHITE, "", "LISTEN"),
    StateLook("SYN_SENT", "S", "#edd05a", "#f4dc70", _BLACK, _BLACK, "", "SYN-SENT"),
    StateLook("SYN_RCVD", "R", "#bd6f18", "#e2872a", _WHITE, _BLACK, "dots", "SYN-RECV"),
    StateLook("ESTABLISHED", "E", "#4fb782", "#43a976", _BLACK, _BLACK, "", "ESTAB"),
    StateLook("FIN_WAIT_1", "1", "#b5e3f3", "#bae4ee", _BLACK, _BLACK, "", "FIN-WAIT-1"),
    StateLook("FIN_WAIT_2", "2", "#3878d4", "#5584ea", _WHITE, _BLACK, "", "FIN-WAIT-2"),
    StateLook("CLOSE_WAIT", "W", "#b91f3f", "#ee3850", _WHITE, _BLACK, "stripes", "CLOSE-WAIT"),
    StateLook("CLOSING", "C", "#d588d4", "#da93d8", _BLACK, _BLACK, "cross", "CLOSING"),
    StateLook("LAST_ACK", "L", "#483274", "#864fa9", _WHITE, _WHITE, "backstripes", "LAST-ACK"),
    StateLook("TIME_WAIT", "T", "#979ea6", "#798189", _BLACK, _BLACK, "", "TIME-WAIT"),
    StateLook("UNKNOWN", "?", "#eef0f2", "#2a3037", _BLACK, _WHITE, "", "UNKNOWN"),
)
"""Indexed by state code, as :data:`pcapflow.tcp.states.STATE_NAMES`."""

if tuple(look.name for look in STATE_LOOKS) != STATE_NAMES:
    raise AssertionError("every state has one look, in the order of its code")
