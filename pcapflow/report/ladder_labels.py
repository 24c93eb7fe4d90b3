"""The words of a ladder diagram: over and under each arrow, and in place of what is left out."""

from __future__ import annotations

from typing import Final

from pcapflow.tcp.flags import ACK, FIN, RST, SYN
from pcapflow.tcp.marks import MARK_ICMP_UNREACHABLE, MARK_NAMES, MARK_RESET, WINDOW_UPDATE
from pcapflow.text.phrases import counted, duration, size
from pcapflow.views.ladder_rows import LadderRow, flag_words

_LABEL_CHARS: Final = 35
_SILENCE_NS: Final = 1_000_000_000
_LAST_SILENCE_NS: Final = 100_000_000
_SAID_BY_ARROW: Final = frozenset({MARK_RESET, WINDOW_UPDATE})
"""Marks that need no note, because the label over the arrow says the same."""


def is_icmp(row: LadderRow) -> bool:
    """Whether the frame is no segment but an ICMP error about one, which that one's sender is told."""
    return row.segment is None and not row.transitions and MARK_ICMP_UNREACHABLE in row.marks


def label(row: LadderRow) -> tuple[str, str]:
    """What stands over an arrow: the kind of segment, and its relative numbers as far as there is room."""
    segment = row.segment
    flags = _main_flags(row.flags)
    if segment is None:
        return "ICMP" if is_icmp(row) else flags or "segment", ""
    if segment.payload_len:
        name = " ".join(filter(None, (flags.replace("ACK", "").strip(), size(segment.payload_len))))
    else:
        name = flags or "no flags"
    ends = f"{segment.rel_seq}:{segment.rel_seq + segment.payload_len}"
    seq = ends if segment.payload_len or row.flags & SYN else str(segment.rel_seq)
    if row.flags & (SYN | FIN | RST) == 0 and not segment.payload_len:
        seq = ""
    ack = f"ack {segment.rel_ack}" if segment.rel_ack >= 0 and row.flags & ACK else ""
    window = "win 0" if segment.window == 0 and not row.flags & (SYN | RST) else ""
    for parts in ((seq, ack, window), (str(segment.rel_seq) if seq else "", ack, window), (ack, window), (window,)):
        numbers = " ".join(filter(None, parts))
        if len(name) + len(numbers) < _LABEL_CHARS:
            break
    return name, numbers


def _main_flags(flags: int) -> str:
    """``SYN ACK``, ``FIN``, ``RST``, ``ACK``: the ACK of a FIN or a RST goes without saying, PSH too."""
    if flags & SYN and flags & ACK:
        return flag_words(SYN | ACK)
    return flag_words(flags & (SYN | FIN | RST)) or flag_words(flags & ACK)


def note(row: LadderRow) -> str:
    """What is odd about a frame: the names of its marks, each once; "" without any."""
    return ", ".join(dict.fromkeys(MARK_NAMES[mark] for mark in row.marks if mark not in _SAID_BY_ARROW))


def gap(ns: int, hidden: int | None) -> str:
    """What lies between two rungs: a silence, segments that are not drawn, or "" for nothing worth a line.

    Args:
        ns: the time between them.
        hidden: the number of segments between them, None where it is not known.
    """
    if hidden:
        return f"... {duration(ns)}, {counted(hidden, 'segment')}"
    if ns < _SILENCE_NS:
        return ""
    return f"... {duration(ns)}" + (" of silence" if hidden == 0 else "")


def later_segments(ns: int, count: int) -> str:
    """What follows the last rung before the connection falls silent; "" where nothing does."""
    return f"... {duration(ns)}, {counted(count, 'more segment')}" if count else ""


def last_silence(ns: int) -> str:
    """How a connection that has not ended stands when the capture does, this long after its last segment."""
    return f"silence for {duration(ns)}, to the capture's end" if ns >= _LAST_SILENCE_NS else "the capture ends here"
