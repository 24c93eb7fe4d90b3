"""What each cause of a reset means and what can be done about it, for PF301, PF302 and PF102."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pcapflow.anomalies.rule import CauseHelp

WHICH_ABORT: Final = (
    "on Linux `nstat -az TcpExtTCPAbortOnClose TcpExtTCPAbortOnData` on the host tells which it was: the first counts "
    "closes with unread data, the second aborts on purpose"
)
"""What tells the two aborts apart that look the same on the wire (Linux __tcp_close)."""
_READ_FIRST: Final = "read to the end of the stream before close()"
_DRAIN: Final = (
    f"{_READ_FIRST}; after an early answer call shutdown(SHUT_WR), read until the peer closes, and only then close() "
    "(`lingering_close on` of nginx)"
)
_REPEAT: Final = (
    "look whether a connection is still there before it is used again (the test on borrow of a pool), drop idle ones "
    "before the peer does, and send again what may be repeated"
)
_FOREIGN: Final = "find the device that answers in the endpoint's name by the TTL of its RST"
_KEEP_ALIVES: Final = (
    "send keep-alives before its time-out (SO_KEEPALIVE with TCP_KEEPIDLE; `net.ipv4.tcp_keepalive_time` is 7200 s "
    "unless set)"
)

ABORTED: Final[Mapping[str, CauseHelp]] = {
    "unknown": CauseHelp(
        "the connection was torn down by a RST, and nothing in the capture tells why.",
        sender="look into the program's log of that moment; on Linux `nstat -az 'TcpExtTCPAbort*'` counts aborts by "
        "their reason.",
        network=f"if the endpoint did not send it, {_FOREIGN}.",
    ),
    "linger-zero": CauseHelp(
        "a program tore the connection down instead of closing it: SO_LINGER with a time of 0 does that, and health "
        "checks use it. Where there was data to read, a close that leaves it unread sends the same RST.",
        sender="if that is not meant, do not set SO_LINGER to 0 (`setSoLinger(true, 0)` of Java, `SetLinger(0)` of Go, "
        f"`option nolinger` of haproxy); {WHICH_ABORT}.",
        receiver="take the RST for an end without an answer: what it had sent may not have been read.",
    ),
    "unread-data": CauseHelp(
        "a program closed the connection with received data still unread, and its kernel sent a RST in place of a FIN. "
        "The RST also destroys what the other side had received and not read yet. An abort on purpose sends the same "
        "RST; only a window that was shut proves that data was unread.",
        sender=f"{_DRAIN}; {WHICH_ABORT}.",
        receiver="read the answer even where sending has failed; for large requests ask first "
        "(`Expect: 100-continue` of HTTP).",
    ),
    "data-after-close": CauseHelp(
        "data came for a connection of which its receiver had no socket any more, and the kernel answered with a RST: "
        "its program had closed while the data was on its way, or long before the sender used the connection again. "
        "Where no close was seen, its process may have ended or a device have forgotten the connection.",
        sender="nothing, if it was meant to close; a server that ends idle connections should wait for longer than its "
        "clients pause.",
        receiver=f"{_REPEAT}.",
    ),
    "no-listener": CauseHelp(
        "the host is up and the path works both ways, but no program listens on that port and address.",
        sender="start the program, or let it listen on that address: `ss -ltn` shows who listens where, and who is "
        "bound to 127.0.0.1 refuses everybody else.",
        receiver="check address and port; if they are right, try again later, since it may be starting.",
        network="if the program does listen, look for a firewall that rejects with a RST.",
    ),
    "process-died": CauseHelp(
        "the host answers as if it had no such connection, and refuses new ones: the program that had it is gone.",
        sender="find out how it ended: `journalctl -k` (OOM killer, segfault), `coredumpctl list`, the log of "
        "its supervisor.",
        receiver="connect again with growing pauses, and send again what may be repeated.",
    ),
    "keepalive-timeout": CauseHelp(
        "one side's keep-alives were not answered, and it gave the connection up: that is what they are for.",
        sender="nothing; connect again.",
        receiver="see whether its host was up and could be reached at that time.",
        network="look for a firewall or NAT that forgot the idle connection; keep-alives must come before its "
        "time-out.",
    ),
    "retransmission-timeout": CauseHelp(
        "what one side sent was repeated and never acknowledged, and it gave the connection up.",
        sender="connect again; TCP_USER_TIMEOUT sets how long it tries.",
        receiver="see whether its host was up at that time.",
        network="see whether routes or firewall states between the two changed at that time.",
    ),
    "firewall-reject": CauseHelp(
        "the RST that refused the attempt has another TTL than the server's other packets: a firewall sent it.",
        network="look on the devices between the two for the rule that rejects with a RST (`reject with tcp reset`), "
        "and accept what should pass.",
    ),
    "idle-timeout": CauseHelp(
        "after a silence one side ended the connection, or it or a device between the two no longer knew it.",
        sender=f"if it closes idle connections itself, raise its time-out; else {_KEEP_ALIVES}.",
        receiver=f"{_KEEP_ALIVES}, or drop idle connections earlier.",
        network="raise the idle time-out of the NAT, firewall or load balancer between the two.",
    ),
    "injected": CauseHelp(
        "a device between the two, or an attacker, ended the connection in the name of one side. Neither is to blame.",
        network=f"{_FOREIGN}, and look into its log of that moment; a capture at both ends shows where the RST arose.",
    ),
}
"""By the names of :data:`pcapflow.anomalies.resets.causes.CAUSES`; what belongs to no connection has PF306."""

REFUSED: Final[Mapping[str, CauseHelp]] = {cause: ABORTED[cause] for cause in ("no-listener", "firewall-reject")}

LOST_DATA: Final[Mapping[str, CauseHelp]] = {
    "unread-data": CauseHelp(
        "a program closed or aborted the connection before it had read all that was sent to it. What was not "
        "acknowledged is lost for certain; what was acknowledged may have been unread.",
        sender=f"{_DRAIN}; {WHICH_ABORT}.",
        receiver="take nothing for done that was not answered; send it again where it may be repeated.",
    ),
    "data-after-close": CauseHelp(
        "data was sent on a connection that the other side had closed or no longer knew, and nobody read it.",
        sender="if it closes on purpose while its peer may still send, nothing; else close after the peer has.",
        receiver=f"{_REPEAT}.",
    ),
    "injected": CauseHelp(
        "a RST that is probably not the endpoint's own ended the connection with data on its way.",
        network=f"{_FOREIGN}, and look into its log of that moment.",
    ),
}
