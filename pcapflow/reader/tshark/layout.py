"""What Wireshark's list of protocols says of a frame: which of a field's values belong to its TCP header."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final, Literal

from pcapflow.reader.decode.tunnels import ERSPAN, GENEVE, GRE, GTPU, IP_IN_IP, L2TP, PPPOE, VXLAN, VXLAN_GPE

_TUNNELS: Final = {
    "gre": GRE,
    "erspan": ERSPAN,
    "vxlan": VXLAN,
    "geneve": GENEVE,
    "gtp": GTPU,
    "pppoes": PPPOE,
    "l2tp": L2TP,
}
"""Wireshark's protocols whose payload is another network, by the native decoder's names."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What a list of protocols says about a frame, and which of a field's values belong to its TCP header.

    Attributes:
        kind: whether the frame carries a segment, or an ICMP error that quotes one.
        link: Wireshark's name of the outermost protocol.
        ip: ``ip`` or ``ipv6``, the header directly around TCP.
        ip_at: how many of the same kind lie outside it.
        vlan: the field of the innermost tag, "" without.
        vlan_at: how many tags of the same kind lie outside it.
        tunnel: name of the innermost tunnel, "" without.
        icmp_at: how many ICMP headers lie outside the one that quotes.
    """

    kind: Literal["tcp", "quote", "other"]
    link: str
    ip: str = ""
    ip_at: int = 0
    vlan: str = ""
    vlan_at: int = 0
    tunnel: str = ""
    icmp_at: int = 0


@functools.lru_cache(maxsize=1024)
def layout_of(protocols: str) -> Layout:
    """Walks Wireshark's ``frame.protocols``, outermost first, to the first TCP header."""
    names = protocols.split(":")
    link = names[0]
    seen: dict[str, int] = {}
    ip = vlan = tunnel = ""
    named_since_ip = False
    for at, name in enumerate(names):
        before = names[at - 1] if at else ""
        if before == "udp" and name in ("ip", "ipv6", "eth", "mpls"):
            # VXLAN-GPE is the one tunnel that is not in the list.
            tunnel = VXLAN_GPE
            named_since_ip = True
        if name in ("ip", "ipv6"):
            if ip and not named_since_ip:
                tunnel = IP_IN_IP if before.partition(".")[0] in ("ip", "ipv6") else before
            ip = name
            named_since_ip = False
        elif name in _TUNNELS:
            tunnel = _TUNNELS[name]
            named_since_ip = True
        elif name == "mpls":
            named_since_ip = True
        elif name in ("vlan", "ieee8021ad"):
            vlan = f"{name}_id"
        elif name in ("icmp", "icmpv6"):
            if names[at + 2 : at + 3] == ["tcp"] and names[at + 1] in ("ip", "ipv6"):
                quoted = names[at + 1]
                return Layout("quote", link, quoted, seen.get(quoted, 0), icmp_at=seen.get(name, 0))
            return Layout("other", link)
        elif name == "tcp" and ip:
            vlan_at = seen.get(vlan.removesuffix("_id"), 1) - 1
            return Layout("tcp", link, ip, seen[ip] - 1, vlan, vlan_at, tunnel)
        seen[name] = seen.get(name, 0) + 1
    return Layout("other", link)
