"""In which order a SYN carries its options: each stack writes them in its own.

The order is written in octal digits, one an option: 1 NOP, 2 MSS, 3 window scale, 4 SACK permitted, 5 time stamps, 6
end of list, 7 any other. Linux's "MSS, SACK permitted, time stamps, NOP, window scale" is ``0o24513``.

Source: RFC 9293, 3.1 and 3.2; RFC 7323, 2 and 3; RFC 2018, 2.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

ORDER_NOP: Final = 1
ORDER_MSS: Final = 2
ORDER_WINDOW_SCALE: Final = 3
ORDER_SACK_PERMITTED: Final = 4
ORDER_TIMESTAMPS: Final = 5
ORDER_END: Final = 6
ORDER_OTHER: Final = 7

MSS_ONLY: Final = 0o2
LINUX: Final = 0o24513
LINUX_WITHOUT_TIMESTAMPS: Final = 0o211413
LINUX_WITHOUT_SCALE: Final = 0o245
LINUX_AND_MORE: Final = 0o245137
LINUX_FAST_OPEN: Final = 0o24513711
WINDOWS: Final = 0o213114
WINDOWS_WITHOUT_SCALE: Final = 0o2114
WINDOWS_AND_TIMESTAMPS: Final = 0o213115114
MACOS: Final = 0o21311546
FREEBSD: Final = 0o21345
OPENBSD: Final = 0o211413115
BSD_44: Final = 0o213115
PYTCP: Final = 0o24135
PYTCP_AND_MORE: Final = 0o24135711

ORDERS: Final[list[int]] = [
    0,
    MSS_ONLY,
    LINUX,
    LINUX_WITHOUT_TIMESTAMPS,
    LINUX_WITHOUT_SCALE,
    LINUX_AND_MORE,
    LINUX_FAST_OPEN,
    WINDOWS,
    WINDOWS_WITHOUT_SCALE,
    WINDOWS_AND_TIMESTAMPS,
    MACOS,
    FREEBSD,
    OPENBSD,
    BSD_44,
    PYTCP,
    PYTCP_AND_MORE,
    0o213,
    0o24,
    0o2115,
    0o2134,
    0o21346,
    0o213115411,
    0o231115,
    0o23145,
]
"""Orders that are seen. A SYN has the number of its order in this list, and 0 where its order is another or none."""
MOST_ORDERS: Final = 32
"""A number takes five bits of a batch's column ``syn_options``."""

_NAMES: Final = ("", "nop", "mss", "ws", "sackOK", "ts", "eol", "?")


def order_number(order: i64) -> i64:
    """The number of an order in :data:`ORDERS`; 0 where it is none of them."""
    if order == 0:
        return 0
    # The most frequent orders come first.
    for number in range(1, len(ORDERS)):
        if ORDERS[number] == order:
            return number
    return 0


def order_text(number: int) -> str:
    """``mss,sackOK,ts,nop,ws``: the options of an order, by their usual short names; empty for 0."""
    return ",".join(_NAMES[int(digit)] for digit in f"{ORDERS[number]:o}") if number > 0 else ""
