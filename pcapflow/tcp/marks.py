"""The marks that a frame can carry: Wireshark's words first, then those of the state machine.

A mark is evidence, never a verdict: it says what was seen in one frame, and rules cite it.
Source of the first fifteen: ``tcp.analysis.*`` in Wireshark's User's Guide, "TCP Analysis".
"""

from __future__ import annotations

from typing import Final

RETRANSMISSION: Final = 0
FAST_RETRANSMISSION: Final = 1
SPURIOUS_RETRANSMISSION: Final = 2
OUT_OF_ORDER: Final = 3
DUPLICATE_ACK: Final = 4
LOST_SEGMENT: Final = 5
ACKED_UNSEEN: Final = 6
KEEP_ALIVE: Final = 7
KEEP_ALIVE_ACK: Final = 8
WINDOW_FULL: Final = 9
ZERO_WINDOW: Final = 10
ZERO_WINDOW_PROBE: Final = 11
ZERO_WINDOW_PROBE_ACK: Final = 12
WINDOW_UPDATE: Final = 13
PORT_REUSE: Final = 14

MARK_SYN_REPEATED: Final = 15
MARK_FIN_REPEATED: Final = 16
MARK_RESET: Final = 17
MARK_RESET_IGNORED: Final = 18
MARK_RESET_AFTER_CLOSE: Final = 19
MARK_CHALLENGE_ACK: Final = 20
MARK_DATA_AFTER_FIN: Final = 21
MARK_DATA_AFTER_CLOSE: Final = 22
MARK_DUPLICATE_PACKET: Final = 23
MARK_UNEXPECTED: Final = 24
MARK_ICMP_UNREACHABLE: Final = 25
MARK_TAKEN_BACK: Final = 26
MARK_RESET_OF_OLDER: Final = 27
MARK_DUPLICATE_SACK: Final = 28
MARK_ACKED_MISSING: Final = 29

MARK_NAMES: Final = (
    "retransmission",
    "fast-retransmission",
    "spurious-retransmission",
    "out-of-order",
    "duplicate-ack",
    "lost-segment",
    "acked-unseen",
    "keep-alive",
    "keep-alive-ack",
    "window-full",
    "zero-window",
    "zero-window-probe",
    "zero-window-probe-ack",
    "window-update",
    "port-reuse",
    "syn-repeated",
    "fin-repeated",
    "reset",
    "reset-ignored",
    "reset-after-close",
    "challenge-ack",
    "data-after-fin",
    "data-after-close",
    "duplicate-packet",
    "unexpected",
    "icmp-unreachable",
    "taken-back",
    "reset-of-older",
    "duplicate-sack",
    "acked-missing",
)
