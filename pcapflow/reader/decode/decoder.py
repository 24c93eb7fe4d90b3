"""What the layers of a frame share: the facts that its headers gave so far, and the counts of all frames."""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from pcapflow.reader.decode.fragments import Fragments
from pcapflow.reader.decode.link import ETHERTYPE_NOT_IP, UNKNOWN_LINK_TYPE

MAX_HEADERS: Final = 32
"""Headers walked in one frame, extension headers and tunnels included; real traffic stays below ten."""
MAX_REASONS: Final = 256
"""Distinct reasons kept for undecoded frames; hostile input could otherwise invent them without end."""

NO_TUNNEL: Final = ""


@final
class Decoder:
    """Decodes the frames of one capture; keeps what spans frames: fragments, tunnels, counts.

    The header functions of this package take it as their first argument. What a header says is written here, and read
    where a row of the batch is made: native attributes cost less than passing all of them through every layer.

    Attributes:
        frames: frames given so far; the number of the newest.
        segments: TCP segments met, whether or not their shard has rows in the batch.
        other: frames understood as something other than TCP.
        skips: ``(layer, reason)`` to ``[count, first frame]`` of what could not be decoded.
        tunnels: names of the tunnels met, ``""`` first; a segment's ``tunnel`` indexes it.
        fragments: the fragmented datagrams under way.
        time_ns: time stamp of the current frame.
        headers: its headers met so far, extension headers and tunnels included.
        limit: offset at which the current packet ends, or would have ended had all of it been captured: payload
            lengths are taken from here, bytes are not.
        vlan: identifier of its innermost VLAN tag, -1 without.
        tunnel: index in ``tunnels`` of its innermost tunnel, 0 without.
        src_hi, src_lo, dst_hi, dst_lo: addresses of the innermost IP header, as in the columns of a batch.
        facts: ``IS_IPV6`` or 0.
        ip_id: its identification, -1 for IPv6.
        ttl: its time to live or hop limit.
    """

    def __init__(self) -> None:
        self.frames: i64 = 0
        self.segments: i64 = 0
        self.other: i64 = 0
        self.skips: dict[tuple[str, str], list[int]] = {}
        self.tunnels: list[str] = [NO_TUNNEL]
        self.fragments = Fragments()
        self._tunnel_ids: dict[str, int] = {NO_TUNNEL: 0}

        self.time_ns: i64 = 0
        self.headers: i64 = 0
        self.limit: i64 = 0
        self.vlan: i64 = -1
        self.tunnel: i64 = 0
        self.src_hi: i64 = 0
        self.src_lo: i64 = 0
        self.dst_hi: i64 = 0
        self.dst_lo: i64 = 0
        self.facts: i64 = 0
        self.ip_id: i64 = -1
        self.ttl: i64 = 0

    def copy(self) -> Decoder:
        """Another one that has seen the same frames, and shares nothing with this one."""
        other = Decoder()
        other.frames = self.frames
        other.segments = self.segments
        other.other = self.other
        other.skips = {key: entry.copy() for key, entry in self.skips.items()}
        other.tunnels = self.tunnels.copy()
        other.fragments = self.fragments.copy()
        other._tunnel_ids = self._tunnel_ids.copy()
        return other

    def skip(self, layer: str, reason: str) -> None:
        """Counts the current frame as undecoded."""
        key = (layer, reason)
        entry = self.skips.get(key)
        if entry is not None:
            entry[0] += 1
        elif len(self.skips) < MAX_REASONS:
            self.skips[key] = [1, int(self.frames)]
        else:
            self.skips.setdefault(("frame", "other reasons"), [0, int(self.frames)])[0] += 1

    def skip_link(self, code: i64, link_type: i64) -> None:
        """Counts the current frame by what :func:`pcapflow.reader.decode.link.link_header` returned for it."""
        if code == ETHERTYPE_NOT_IP:
            self.other += 1
        elif code == UNKNOWN_LINK_TYPE:
            self.skip("link", f"link type {link_type}")
        else:
            self.skip("link", "truncated header")

    def enter_tunnel(self, name: str) -> None:
        """Notes the tunnel around the rest of the current frame: its name is new in ``tunnels`` when first met."""
        known = self._tunnel_ids.get(name)
        if known is None:
            known = len(self.tunnels)
            self._tunnel_ids[name] = known
            self.tunnels.append(name)
        self.tunnel = known

    def finish(self) -> None:
        """Counts the datagrams whose fragments never became whole."""
        for first_frame in self.fragments.unfinished():
            entry = self.skips.setdefault(("ip", "fragments without their datagram"), [0, first_frame])
            entry[0] += 1
