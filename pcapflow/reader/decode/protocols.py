"""The numbers by which one header names the next, and how a header function says what it found.

A header function looks at one header and returns ``next protocol << 16 | length of the header``: an EtherType, or for
what follows an IP header its IP protocol number; the two do not overlap, since EtherTypes begin at 0x600. Where the
frame ends with this header the function has counted it, and returns :data:`DONE`.

Source: the registries of IANA, "IEEE 802 Numbers" and "Protocol Numbers".
"""

from __future__ import annotations

from typing import Final

DONE: Final = -1
"""In place of a next protocol: the frame is decoded or counted, and its walk is over."""

M16: Final = 0xFFFF
M32: Final = 0xFFFF_FFFF

MIN_ETHERTYPE: Final = 0x600
"""Below this a field of EtherTypes holds a length or the number of an encapsulation (IEEE 802.3, 3.2.6)."""

ETHERTYPE_IPV4: Final = 0x0800
ETHERTYPE_TRANSPARENT_ETHERNET: Final = 0x6558
ETHERTYPE_VLAN: Final = 0x8100
ETHERTYPE_IPV6: Final = 0x86DD
ETHERTYPE_MPLS: Final = 0x8847
ETHERTYPE_MPLS_MULTICAST: Final = 0x8848
ETHERTYPE_PPPOE: Final = 0x8864
ETHERTYPE_QINQ: Final = 0x88A8
ETHERTYPE_ERSPAN_2: Final = 0x88BE
ETHERTYPE_ERSPAN_3: Final = 0x22EB
ETHERTYPE_OLD_QINQ: Final = 0x9100

PROTO_HOP_BY_HOP: Final = 0
PROTO_ICMP: Final = 1
PROTO_IPIP: Final = 4
PROTO_TCP: Final = 6
PROTO_UDP: Final = 17
PROTO_IPV6: Final = 41
PROTO_ROUTING: Final = 43
PROTO_FRAGMENT: Final = 44
PROTO_GRE: Final = 47
PROTO_AUTHENTICATION: Final = 51
PROTO_ICMPV6: Final = 58
PROTO_DESTINATION: Final = 60
PROTO_MOBILITY: Final = 135

PPP_IPV4: Final = 0x0021
PPP_IPV6: Final = 0x0057
