"""Bytes of a frame in, rows of a batch of segments out.

:mod:`frame` walks through the headers of a frame: :mod:`link`, VLAN tags, :mod:`ip` and :mod:`tunnels`, and ends at
:mod:`segment` (a TCP header) or :mod:`icmp` (a quoted one). All of them share one :mod:`decoder`, which keeps what the
headers of the current frame say and counts what the frames came to.
"""
