"""SYNs with the number of a SYN before: copies of that one, or of a new connection.

Most hosts choose another initial sequence number for each connection. Small ones may not: lwIP adds its ticks of half a
second to the last one and nothing else (tcp_next_iss), and a port that is used again soon begins with the same number.
A late copy of the old SYN begins with it too, whether it is one that had passed or one that was sent again.

The two differ in when they were sent. A host that has left SYN_SENT never sends that SYN again (RFC 9293, 3.10.7), so
every copy was sent before all else of its connection, and its time stamp or IP identification, which most hosts count
up, is older than that of what came last. A SYN that bears a newer one begins a new connection. Where neither tells, it
is taken for a copy, as by Wireshark, to which a SYN with the same number is never of another stream.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from pcapflow.tcp.flags import SYN
from pcapflow.tcp.states import CLOSED, TIME_WAIT
from pcapflow.tracker.endpoint import Endpoint

UNKNOWN_AGE: Final = 0
"""The age of what tells none; it never is older than anything."""
OF_TSVAL: Final = 1 << 27
"""Set in an age that is a time stamp; one without is an IP identification."""
TSVAL_SHIFT: Final = 5
"""A time stamp is kept without its last bits, so that an age has 28 bits."""


def age_of_last(x: Endpoint) -> i64:
    """The age of the last that ``x`` sent, by which a SYN sent after it is known.

    Returns:
        An age, :data:`UNKNOWN_AGE` where ``x`` may still send its SYN again, or has not ended its connection.
    """
    if x.acked_rel < 1 or x.packets <= x.syn_count + x.rst_count:
        # Whoever is refused may try again with the same SYN, as Windows does; a RST may answer an ACK of old numbers.
        return UNKNOWN_AGE
    if x.fin_count == 0 and x.state != CLOSED and x.state != TIME_WAIT:
        # Where a proxy takes over, the same SYN goes on to another server.
        return UNKNOWN_AGE
    has_tsvals = x.timestamps == 1
    age: i64 = UNKNOWN_AGE
    if x.fin_count > 0:
        age = age_of(x.fin_ip_id, x.fin_tsval, has_tsvals)
    if x.previous_flags & SYN == 0:
        last: i64 = age_of(x.previous_ip_id, x.previous_tsval, has_tsvals)
        if age == UNKNOWN_AGE or is_older(age, last):
            age = last
    if is_older(age, age_of(x.syn_ip_id, x.syn_tsval, has_tsvals)):
        # They do not count up (the random identifications of OpenBSD and macOS).
        return UNKNOWN_AGE
    return age


def age_of(ip_id: i64, tsval: i64, has_tsvals: bool) -> i64:
    """The age of a segment: its time stamp where its sender uses these, else its IP identification, if it has one.

    Many send an identification of 0 with what cannot be fragmented (RFC 6864, 4.1).
    """
    if has_tsvals:
        if tsval < 0:
            return UNKNOWN_AGE
        return OF_TSVAL | tsval >> TSVAL_SHIFT
    if ip_id <= 0:
        return UNKNOWN_AGE
    return ip_id


def is_older(age: i64, than: i64) -> bool:
    """Whether a segment of an age was sent before one of another age, by numbers that count up and wrap."""
    if age == UNKNOWN_AGE or than == UNKNOWN_AGE or (age ^ than) & OF_TSVAL:
        return False
    half: i64 = 0x8000
    if age & OF_TSVAL:
        half = OF_TSVAL >> 1
    ahead: i64 = (than - age) & (2 * half - 1)
    return 0 < ahead < half


def is_sent_after(age: i64, ip_id: i64, tsval: i64) -> bool:
    """Whether a SYN was sent after what has this age."""
    return is_older(age, age_of(ip_id, tsval, age & OF_TSVAL != 0))
