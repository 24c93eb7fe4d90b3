"""Marks in Wireshark's words are Wireshark's: against ``tcp.analysis.*`` of tshark, on real captures.

Left out, with the reason, is where we differ on purpose (docs/wireshark.md):

- ISNs of 2**32-1, where Wireshark takes the next number, 0, for "not known yet";
- streams with a SYN that the other side merely challenged, where Wireshark counts the challenge to the new connection;
- segments that are no segments: quotes in ICMP errors, several headers in a frame, headers that are cut off.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Final

from fixtures.captures import kernel_captures
from pcapflow.analysis import track
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp.marks import FAST_RETRANSMISSION, MARK_NAMES, PORT_REUSE, RETRANSMISSION, SPURIOUS_RETRANSMISSION
from tests.wireshark import fields, merge, sample

FIELDS: Final = (
    "retransmission",
    "fast_retransmission",
    "spurious_retransmission",
    "out_of_order",
    "duplicate_ack",
    "lost_segment",
    "ack_lost_segment",
    "keep_alive",
    "keep_alive_ack",
    "window_full",
    "zero_window",
    "zero_window_probe",
    "zero_window_probe_ack",
    "window_update",
    "reused_ports",
)
"""Wireshark's name of every mark, in the order of their codes."""
FEW: Final = 20
"""Fewer than this of a mark say nothing of percentages."""
SHARE: Final = 0.99

_DIFFERENT: Final = re.compile(r"by_kernel|_challenged|half_open_recovered|old_syn_late|reuse_in_close_wait")


def test_every_mark_of_wiresharks_has_its_field() -> None:
    assert len(FIELDS) == PORT_REUSE + 1
    ours = [name.replace("-", "_") for name in MARK_NAMES[: len(FIELDS)]]
    renamed = {"ack_lost_segment": "acked_unseen", "reused_ports": "port_reuse"}
    assert [renamed.get(name, name) for name in FIELDS] == ours


def test_marks_are_wiresharks(tshark: str, tmp_path: Path) -> None:
    """At least 99 % of ours are Wireshark's, and 99 % of Wireshark's are ours: all together, and of each kind."""
    captures = sample(1) + [path for path in kernel_captures() if not _DIFFERENT.search(path.name)][::3]
    merged = tmp_path / "merged.pcap"
    merge(captures, merged)
    names = ["frame.number", "frame.time_epoch", "tcp.stream", "frame.protocols", "tcp.len"]
    names += [f"tcp.analysis.{name}" for name in FIELDS]
    theirs: dict[int, set[int]] = {}
    newest: dict[str, float] = {}
    held_twice: set[str] = set()
    for number, when, stream, protocols, length, *analysis in fields(tshark, merged, names):
        words = protocols.split(":")
        if ";" in stream or "icmp" in words or "icmpv6" in words or not length:
            continue
        # Two of the captures may hold the same connection. Once merged, its second copy comes when the first has long
        # been closed and written, with captures of other years in between: no capture of one tap is like that.
        if float(when) < newest.get(stream, 0.0) - 1.0:
            held_twice.add(stream)
        newest[stream] = float(when)
        if stream in held_twice:
            continue
        marks = {code for code, value in enumerate(analysis) if value}
        if marks & {FAST_RETRANSMISSION, SPURIOUS_RETRANSMISSION}:
            # Wireshark calls these a retransmission besides.
            marks.discard(RETRANSMISSION)
        theirs[int(number)] = marks

    tables = track(merged, config=Config(marks_per_flow=10**9))
    ours = _marks(tables)

    both, only_ours, only_theirs = Counter[int](), Counter[int](), Counter[int]()
    examples: dict[int, list[int]] = defaultdict(list)
    for frame, marks in theirs.items():
        both.update(marks & ours[frame])
        only_ours.update(ours[frame] - marks)
        only_theirs.update(marks - ours[frame])
        for code in marks ^ ours[frame]:
            examples[code].append(frame)
    print(f"\n{'mark':26} {'both':>6} {'ours':>5} {'theirs':>6}  precision  recall  of {len(captures)} captures")
    for code, name in enumerate(FIELDS):
        precision, recall = _shares(both[code], only_ours[code], only_theirs[code])
        print(
            f"{name:26} {both[code]:6} {only_ours[code]:5} {only_theirs[code]:6}  {precision:9.2%} {recall:7.2%}"
            f"  {examples[code][:8] or ''}"
        )
    total = _shares(both.total(), only_ours.total(), only_theirs.total())
    print(f"all: precision {total[0]:.3%}, recall {total[1]:.3%}")

    assert both.total() > 100
    assert min(total) >= SHARE
    for code, name in enumerate(FIELDS):
        if both[code] + only_theirs[code] >= FEW:
            assert min(_shares(both[code], only_ours[code], only_theirs[code])) >= SHARE, name


def _marks(tables: Tables) -> defaultdict[int, set[int]]:
    found: defaultdict[int, set[int]] = defaultdict(set)
    for frame, code in zip(tables.marks["frame"], tables.marks["mark"], strict=True):
        if code <= PORT_REUSE:
            found[int(frame)].add(int(code))
    return found


def _shares(both: int, only_ours: int, only_theirs: int) -> tuple[float, ...]:
    """Precision and recall; 1 where there is nothing to find."""
    return tuple(both / (both + odd) if both + odd else 1.0 for odd in (only_ours, only_theirs))
