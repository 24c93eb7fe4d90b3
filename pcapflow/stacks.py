"""TCP stacks: the habits that no packet shows, by name, and the SYNs by which a stack is guessed.

What differs by stack and shows on the wire is measured (:mod:`pcapflow.anomalies.lookup.habits`). How long TIME_WAIT
lasts does not show, nor which ports a host would still take: the configuration names the stack, or the defaults of
Linux are assumed, and what was assumed is said.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from pcapflow.tcp import syn_options


class Stack(NamedTuple):
    """What a stack does where nobody configured it otherwise.

    Attributes:
        title: how people call it.
        time_wait_s: how long TIME_WAIT lasts.
        first_port, last_port: the ports it takes for its own connections.
        initial_rto_s: after how long it repeats its first SYN.
        source: where these figures are from.
    """

    title: str
    time_wait_s: float
    first_port: int
    last_port: int
    initial_rto_s: float
    source: str

    @property
    def ports(self) -> int:
        """How many ports it has for connections to one server."""
        return self.last_port - self.first_port + 1


STACKS: Final = {
    "linux": Stack(
        "Linux", 60, 32_768, 60_999, 1,
        "TCP_TIMEWAIT_LEN and TCP_TIMEOUT_INIT in include/net/tcp.h; net.ipv4.ip_local_port_range",
    ),
    "windows": Stack(
        "Windows", 120, 49_152, 65_535, 1,
        "TcpTimedWaitDelay since Windows Vista; netsh int ipv4 show dynamicport tcp; InitialRto in Get-NetTCPSetting",
    ),
    "windows-xp": Stack("Windows XP", 240, 1025, 5000, 3, "TcpTimedWaitDelay, MaxUserPort and TcpInitialRtt"),
    "macos": Stack("macOS", 30, 49_152, 65_535, 1, "net.inet.tcp.msl (15 s), net.inet.ip.portrange.first and .last"),
    "freebsd": Stack(
        "FreeBSD", 60, 10_000, 65_535, 1,
        "net.inet.tcp.msl (30 s), net.inet.ip.portrange.first and .last, net.inet.tcp.rexmit_initial",
    ),
    "openbsd": Stack("OpenBSD", 60, 1024, 49_151, 3, "TCPTV_MSL; net.inet.ip.portfirst and .portlast"),
    "solaris": Stack("Solaris", 60, 32_768, 65_535, 1, "ipadm: _time_wait_interval, smallest_anon_port"),
    "lwip": Stack("lwIP", 120, 49_152, 65_535, 3, "TCP_MSL, TCP_LOCAL_PORT_RANGE_START, LWIP_TCP_RTO_TIME"),
    "gvisor": Stack("gVisor", 60, 16_000, 65_535, 1, "DefaultTCPTimeWaitTimeout; ports.FirstEphemeral; InitialRTO"),
}  # fmt: skip
"""By the name that the configuration uses."""
ASSUMED: Final = "linux"


class Signature(NamedTuple):
    """A SYN as a stack sends it.

    Attributes:
        stack: what it is called to people.
        order: of its options, from :mod:`pcapflow.tcp.syn_options`.
        ttl: with which its packets begin.
        windows: windows that it offers as a rule, as on the wire; empty: it depends on the MSS and on its memory.
        source: where it was seen.
        scale: the window scale that it always offers with this window, by which it is told from another stack; -1 any.
    """

    stack: str
    order: int
    ttl: int
    windows: tuple[int, ...]
    source: str
    scale: int = -1


_MEASURED: Final = "captures of such hosts in public test suites"
_LABORATORY: Final = "the laboratory of stacks"
_P0F: Final = "p0f 3, fingerprints of SYNs (M. Zalewski)"

SIGNATURES: Final = (
    # netstack orders its options as Linux does, but Linux never offers so small a scale with this window.
    Signature("gVisor", syn_options.LINUX, 64, (29_200,), _LABORATORY, scale=1),
    Signature("Linux", syn_options.LINUX, 64, (), "the laboratory of kernels"),
    Signature("Linux", syn_options.LINUX_WITHOUT_TIMESTAMPS, 64, (), "the laboratory of kernels"),
    Signature("Linux", syn_options.LINUX_WITHOUT_SCALE, 64, (), _P0F),
    Signature("Linux", syn_options.LINUX_AND_MORE, 64, (), "MPTCP's MP_CAPABLE, in public captures"),
    Signature(
        "Linux", syn_options.LINUX_FAST_OPEN, 64, (), "TCP Fast Open, tcp_options_write in net/ipv4/tcp_output.c"
    ),
    Signature("Windows", syn_options.WINDOWS, 128, (8192, 64_240, 65_535), _MEASURED),
    Signature("Windows", syn_options.WINDOWS_AND_TIMESTAMPS, 128, (8192, 64_240, 65_535), _MEASURED),
    Signature("Windows", syn_options.FREEBSD, 128, (8192, 64_240, 65_535), _MEASURED),
    Signature("Windows XP", syn_options.WINDOWS_WITHOUT_SCALE, 128, (16_384, 64_240, 65_535), _MEASURED),
    Signature("macOS or iOS", syn_options.MACOS, 64, (65_535,), _MEASURED),
    Signature("FreeBSD", syn_options.FREEBSD, 64, (65_535,), _P0F),
    Signature("OpenBSD", syn_options.OPENBSD, 64, (16_384,), _P0F),
    Signature("4.4BSD", syn_options.BSD_44, 64, (), "RFC 1323's layout, in public captures"),
    Signature("PyTCP", syn_options.PYTCP_AND_MORE, 64, (65_535,), _LABORATORY),
    Signature("PyTCP", syn_options.PYTCP, 64, (65_535,), _LABORATORY),
    Signature("lwIP", syn_options.MSS_ONLY, 255, (), _LABORATORY),
)
"""The first that fits is taken; several stacks may send the same SYN."""

WIDE_WINDOW: Final = 60_000
"""Where a window depends on the memory, it is the largest that the field holds, less what is no whole segment."""

INITIAL_TTLS: Final = (32, 64, 128, 255)
"""Stacks begin with one of these; a packet that passed routers has less."""


def initial_ttl(ttl: int) -> int:
    """With which of these a packet began that has this time to live now."""
    return next(each for each in INITIAL_TTLS if ttl <= each or each == INITIAL_TTLS[-1])


class Syn(NamedTuple):
    """What a SYN shows of its sender.

    Attributes:
        order: of its options; 0 unknown.
        ttl: with which its packet began.
        window: as on the wire.
        scale: the window scale that it offers; -1 none.
        is_whole: the window is a multiple of the MSS that it offers.
    """

    order: int
    ttl: int
    window: int
    scale: int
    is_whole: bool

    def words(self) -> str:
        """``mss,sackOK,ts,nop,ws, window 64240, TTL 64``."""
        options = syn_options.order_text(self.order) or "no options, or in no known order"
        return f"{options}, window {self.window}, TTL {self.ttl}"


def signature_of(syn: Syn) -> Signature | None:
    """The first signature with this order of options and this TTL, one with the same window before others.

    The window of a SYN-ACK may be any, and the options of one are those of the SYN that it answers.
    """
    options = syn_options.ORDERS[syn.order]
    fitting = [
        each
        for each in SIGNATURES
        if syn.order > 0
        and each.order == options
        and each.ttl == syn.ttl
        and (each.scale < 0 or (each.scale == syn.scale and has_window(each, syn)))
    ]
    return next((each for each in fitting if has_window(each, syn)), next(iter(fitting), None))


def has_window(signature: Signature, syn: Syn) -> bool:
    """Whether the window is one that the stack offers."""
    if signature.windows:
        return syn.window in signature.windows
    return syn.is_whole or syn.window >= WIDE_WINDOW
