"""Why each change of state is known, in words that name the frames, so that a verdict can be followed by hand.

The tracker stores no proofs. What proves a transition is looked up here among the connection's segments, by the rules
that :mod:`pcapflow.tracker.flow` applied. Where the segment that proves it was left out of a long connection, the
reason is given without a frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from pcapflow.tables.segments import Segment
from pcapflow.tcp.flags import FIN, SYN
from pcapflow.tcp.marks import MARK_FIN_REPEATED, MARK_SYN_REPEATED, MARK_TAKEN_BACK
from pcapflow.tcp.states import (
    ACK_OF_FIN_RX,
    ACK_OF_SYN_RX,
    ENDPOINT_NAMES,
    FIN_RX,
    FIN_TX,
    MIDSTREAM,
    PROVEN,
    RST_RX,
    RST_TX,
    SENT,
    SYN_ACK_RX,
    SYN_RX,
    SYN_TX,
)

if TYPE_CHECKING:
    from pcapflow.tables.table import Tables

_WORDS: Final = {
    SYN_TX: "SYN",
    SYN_RX: "SYN",
    SYN_ACK_RX: "SYN-ACK",
    ACK_OF_SYN_RX: "ACK",
    FIN_TX: "FIN",
    FIN_RX: "FIN",
    ACK_OF_FIN_RX: "ACK",
    RST_TX: "RST",
    RST_RX: "RST",
}
"""What an endpoint sent or got, by event."""


def reasons(tables: Tables, flow: int, segments: Sequence[Segment], rto_ns: int) -> list[str]:
    """Why each transition of a connection is known.

    Args:
        tables: the tables.
        flow: the connection.
        segments: its segments in order of frames, as far as they are at hand.
        rto_ns: a segment this shortly before the capture's end may have arrived without any sign of it.

    Returns:
        One text for each row of ``tables.transitions_of(flow)``.
    """
    t = tables.transitions
    rows = tables.transitions_of(flow)
    texts = []
    for at, row in enumerate(rows):
        endpoint, event, basis, frame = (int(t[name][row]) for name in ("endpoint", "event", "basis", "frame"))
        if basis == SENT:
            texts.append(f"frame {frame} is its own {_WORDS[event]}")
        elif basis == PROVEN:
            texts.append(_proof(segments, endpoint, event, frame))
        else:
            later = [int(t["event"][other]) for other in rows[at + 1 :] if t["endpoint"][other] == endpoint]
            left_ns = tables.capture.last_ns - int(t["time_ns"][row])
            repeated = _repeated(tables, flow, endpoint, int(t["time_ns"][row]))
            texts.append(_assumption(event, frame, later, repeated=repeated, late=left_ns < rto_ns))
    return texts


def withdrawals(tables: Tables, flow: int, segments: Sequence[Segment]) -> Iterator[tuple[int, str]]:
    """The assumptions that did not hold: the frame that showed it, and what it showed."""
    senders = {segment.frame: segment.endpoint for segment in segments}
    m = tables.marks
    rows = tables.marks_of(flow)
    for row in rows:
        if m["mark"][row] != MARK_TAKEN_BACK:
            continue
        frame, endpoint, value = (int(m[name][row]) for name in ("frame", "endpoint", "value"))
        kinds = {int(m["mark"][other]) for other in rows if m["frame"][other] == frame}
        did = "goes on as before"
        if MARK_FIN_REPEATED in kinds:
            did = "repeats its FIN"
        elif MARK_SYN_REPEATED in kinds:
            did = "repeats its SYN-ACK"
        what = f"frame {value}" if value > 0 else "what had passed before"
        then = "was not its own" if senders.get(value) == endpoint else "had not reached it, or not yet"
        yield frame, f"the {ENDPOINT_NAMES[endpoint]} {did}: {what} {then}"


def _proof(segments: Sequence[Segment], endpoint: int, event: int, frame: int) -> str:
    if event in (SYN_TX, FIN_TX):
        return _unseen(event, frame)
    cause = next((segment for segment in segments if segment.frame == frame), None)
    word = _WORDS.get(event, "segment")
    if cause is not None and cause.endpoint == endpoint:
        return f"no {word} passed here, but it could not have sent frame {frame} without one"
    own = [segment for segment in segments if segment.endpoint == endpoint and segment.frame > frame]
    if event == ACK_OF_FIN_RX:
        reason = _acknowledged_with(segments, own, endpoint, frame)
    elif event == ACK_OF_SYN_RX:
        reason = _beyond_the_handshake(own)
    else:
        reason = _acknowledgement(own, word, 1 if event in (SYN_RX, SYN_ACK_RX) else _fin_end(segments, 1 - endpoint))
    return reason or "a later segment of its own could not have been sent otherwise"


def _unseen(event: int, frame: int) -> str:
    """A SYN or FIN that was sent and did not pass the tap."""
    if event == SYN_TX:
        return f"its SYN did not pass here, but frame {frame} answers one"
    return f"its FIN did not pass here, but frame {frame} shows that its number is taken"


def _end(segment: Segment) -> int:
    """The number that acknowledges all of a segment."""
    return segment.rel_seq + segment.payload_len + bool(segment.flags & SYN) + bool(segment.flags & FIN)


def _fin_end(segments: Iterable[Segment], endpoint: int) -> int:
    """The number that acknowledges the FIN of this endpoint, -1 if that is not at hand."""
    return max((_end(s) for s in segments if s.endpoint == endpoint and s.flags & FIN), default=-1)


def _acknowledgement(own: Iterable[Segment], word: str, number: int) -> str:
    found = next((segment for segment in own if segment.rel_ack >= number > 0), None)
    return f"its own frame {found.frame} acknowledges that {word} (ack {found.rel_ack})" if found else ""


def _beyond_the_handshake(own: Iterable[Segment]) -> str:
    """What an endpoint does that only the ACK of its SYN allows or explains."""
    for segment in own:
        if segment.payload_len:
            return f"its own frame {segment.frame} carries data, which it sends only once that ACK has come"
        if segment.flags & FIN:
            return f"its own frame {segment.frame} is a FIN, which it sends only once that ACK has come"
        if segment.rel_ack > 1:
            return (
                f"its own frame {segment.frame} acknowledges what came with or after that ACK (ack {segment.rel_ack})"
            )
    return ""


def _acknowledged_with(segments: Sequence[Segment], own: Sequence[Segment], endpoint: int, frame: int) -> str:
    """A segment of the peer's that acknowledges this endpoint's FIN, and is itself acknowledged."""
    fin_end = _fin_end(segments, endpoint)
    for carrier in segments:
        if carrier.frame < frame or carrier.endpoint == endpoint or not carrier.rel_ack >= fin_end > 0:
            continue
        if _end(carrier) == carrier.rel_seq:
            continue
        for segment in own:
            if segment.frame > carrier.frame and segment.rel_ack >= _end(carrier):
                what = "it" if carrier.frame == frame else f"frame {carrier.frame}, which says the same"
                return f"its own frame {segment.frame} acknowledges {what} (ack {segment.rel_ack})"
    return ""


def _repeated(tables: Tables, flow: int, endpoint: int, after_ns: int) -> bool:
    """Whether the endpoint repeated a SYN or FIN after this time."""
    m = tables.marks
    return any(
        m["mark"][row] in (MARK_SYN_REPEATED, MARK_FIN_REPEATED)
        and m["endpoint"][row] == endpoint
        and m["time_ns"][row] > after_ns
        for row in tables.marks_of(flow)
    )


def _assumption(event: int, frame: int, later: Sequence[int], *, repeated: bool, late: bool) -> str:
    if event == MIDSTREAM:
        return f"frame {frame} is the first here, and no SYN came before it: it was open already"
    if event in (SYN_TX, FIN_TX):
        return _unseen(event, frame)
    passed = f"frame {frame} passed here"
    if event == RST_RX:
        return f"{passed} and fits what it expects; nothing answers a RST, and nothing contradicts that it arrived"
    if event in (ACK_OF_FIN_RX, ACK_OF_SYN_RX) and not repeated:
        what = "FIN" if event == ACK_OF_FIN_RX else "SYN-ACK"
        return f"{passed}; no answer would show that it arrived, but its {what} was not repeated after it"
    if later[:1] == [RST_RX]:
        return f"{passed} before the RST whose number lies beyond it"
    if late:
        return f"{passed} too shortly before the end of the capture to be answered or repeated"
    return f"{passed}, and nothing contradicts that it arrived"
