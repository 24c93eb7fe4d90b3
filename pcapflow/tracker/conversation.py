"""The conversation of the two programs: who speaks, how long answers take, and who owes the next word."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from pcapflow.tcp.owed import ACKNOWLEDGMENT, ANSWER, CLOSE, NOTHING
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.tracker.endpoint import Endpoint
from pcapflow.tracker.flow import Flow
from pcapflow.tracker.segment import TapSegment

CLOSING_WORDS_NS: Final = 1_000_000_000
"""What an endpoint says unasked this shortly before it closes says that it closes: a close_notify of TLS, a goodbye.
Some wait a round trip for the peer's own before they send the FIN."""


def speak(flow: Flow, x: Endpoint, y: Endpoint, s: TapSegment) -> None:
    """Takes new payload of ``x``; an answer begins where ``y`` had spoken last."""
    time_ns: i64 = s.time_ns
    spoke_ns: i64 = x.data_ns
    if spoke_ns < 0:
        x.first_data_ns = time_ns
    if y.data_ns > spoke_ns:
        spoke_ns = y.data_ns
    if spoke_ns >= 0 and time_ns - spoke_ns > flow.pause_ns:
        flow.pause_ns = time_ns - spoke_ns
        flow.pause_end_ns = time_ns
    if flow.speaker != x.which:
        if flow.speaker >= 0:
            flow.turns += 1
            if x.which == SERVER and time_ns - y.data_ns > flow.answer_ns:
                flow.answer_ns = time_ns - y.data_ns
                flow.answer_frame = s.frame
        flow.speaker = x.which
    x.data_ns = time_ns


def begin_close(flow: Flow, x: Endpoint, y: Endpoint, time_ns: i64) -> None:
    """The first FIN or RST is one of ``x``: notes that, and for how long the programs had been silent.

    Closing words do not end that silence: where ``x`` broke the longest pause just before this, was not asked for it
    and got no answer to it, it is that pause. A program's idle time-out is its longest pause, or it had struck before.
    """
    flow.first_closer = x.which
    flow.close_ns = time_ns
    spoke_ns: i64 = x.data_ns
    if y.data_ns > spoke_ns:
        spoke_ns = y.data_ns
    if spoke_ns < 0:
        return
    flow.quiet_ns = 0
    if time_ns > spoke_ns:
        flow.quiet_ns = time_ns - spoke_ns
    broken_ns: i64 = flow.pause_end_ns
    is_answer = x.which == SERVER and flow.answer_ns == flow.pause_ns
    if (
        0 <= broken_ns <= x.data_ns
        and y.data_ns < broken_ns
        and time_ns - broken_ns <= CLOSING_WORDS_NS
        and not is_answer
        and flow.pause_ns > flow.quiet_ns
    ):
        flow.quiet_ns = flow.pause_ns


def do_not_close(flow: Flow) -> None:
    """The RST that began the close was none of the endpoint's own."""
    flow.first_closer = -1
    flow.close_ns = -1
    flow.quiet_ns = -1


def owed(flow: Flow) -> i64:
    """What is owed before the next segment passes, and by whom: a code of :mod:`pcapflow.tcp.owed` times two, plus the
    endpoint.

    What was sent and not acknowledged comes first; then the FIN of an endpoint whose peer has sent one; then the answer
    to whoever sent payload last. That may be the client's next request, which nothing calls for, or more of what the
    server is saying: where an answer ends is not seen. Nothing is where one direction was not captured.
    """
    client = flow.client
    server = flow.server
    if flow.ended_ns >= 0 or _passes_elsewhere(client, server) or _passes_elsewhere(server, client):
        return NOTHING
    by_server = client.packets > 0 and server.acked_rel < client.next_rel
    if server.packets > 0 and client.acked_rel < server.next_rel:
        if by_server and client.last_frame > server.last_frame:
            return ACKNOWLEDGMENT << 1 | SERVER
        return ACKNOWLEDGMENT << 1 | CLIENT
    if by_server:
        return ACKNOWLEDGMENT << 1 | SERVER
    if client.fin_count > 0 or server.fin_count > 0:
        if client.fin_count > 0 and server.fin_count > 0:
            return NOTHING
        return CLOSE << 1 | (SERVER if client.fin_count > 0 else CLIENT)
    if flow.speaker < 0:
        return NOTHING
    return ANSWER << 1 | (SERVER if flow.speaker == CLIENT else CLIENT)


def _passes_elsewhere(x: Endpoint, y: Endpoint) -> bool:
    """Whether ``y`` acknowledges what ``x`` sent and none of it was captured: what ``x`` says next would not be."""
    return x.packets == 0 and y.acked_rel >= 0
