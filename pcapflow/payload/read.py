"""What the connections of a capture said: chosen, cut out, dissected and put into words."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pcapflow.engine.second_pass import rewind
from pcapflow.errors import CaptureError
from pcapflow.payload.choose import Candidates, Sent, asked_flows, chosen, named_flows
from pcapflow.payload.cut import Excerpt, candidates_of, write_capture
from pcapflow.payload.guess import guessed
from pcapflow.payload.said import Payload
from pcapflow.tcp.endings import BY_BOTH, BY_CLIENT
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.escape import printable

if TYPE_CHECKING:
    from pcapflow.anomalies.model import Anomaly
    from pcapflow.reader.open import Engine, Input
    from pcapflow.reader.waypoints import Waypoints
    from pcapflow.tables.table import Tables

_M32: Final = 0xFFFF_FFFF
NO_TSHARK: Final = "What the connections said (requests, answers, errors) is told where tshark is installed: "
_NOT_TWICE: Final = "What the connections said is not told: this input cannot be read a second time."
_NOT_NATIVE: Final = "What the connections said is not told: this capture can be read by tshark only."


def read_payload(
    tables: Tables,
    findings: Sequence[Anomaly],
    inputs: Sequence[Input],
    engine: Engine,
    waypoints: Waypoints,
    flows: Sequence[int] | None = None,
) -> Payload:
    """Reads the capture once more, as far as need be, and has tshark dissect a few hundred frames of it.

    It takes a second as a rule, and five at most besides the reading. Nothing that goes wrong is raised: the note says
    what is missing.

    Args:
        tables: of the capture.
        findings: its anomalies, worst first; the connections that they name are asked first.
        inputs, engine, waypoints: how the capture is read once more.
        flows: the connections to ask, in place of those that are named or shown.
    """
    if not len(tables.flows):
        return Payload()
    if tables.capture.reader != "native":
        return Payload(note=_NOT_NATIVE)
    # pyshark and asyncio take a while to import.
    from pcapflow.reader.tshark.process import HOW_TO_INSTALL, find_tshark

    try:
        program = find_tshark()
    except CaptureError:
        return Payload(note=f"{NO_TSHARK}{HOW_TO_INSTALL}.")
    if not rewind(inputs):
        return Payload(note=_NOT_TWICE)
    named = named_flows(findings, len(tables.flows))
    asked = asked_flows(named, len(tables.flows)) if flows is None else list(flows)
    try:
        candidates = candidates_of(tables, inputs, engine, asked, named, waypoints)
    except CaptureError:
        return Payload(note=_NOT_TWICE, flows=len(asked))
    return _dissected(program, _excerpts(tables, candidates, named), len(asked))


def _excerpts(tables: Tables, candidates: Mapping[int, Candidates], named: Mapping[int, object]) -> list[Excerpt]:
    """The segments to dissect; connections whose protocol nobody knows have none, and leave room for others."""
    ports = tables.flows["server_port"]
    protocols = {flow: guessed(_first_bytes(of_flow), int(ports[flow])) for flow, of_flow in candidates.items()}
    known = {flow: of_flow for flow, of_flow in candidates.items() if any(protocols[flow])}
    return [
        Excerpt(flow, protocols[flow], sent, _is_whole(tables, flow, known[flow], sent))
        for flow, sent in chosen(known, named).items()
    ]


def _is_whole(tables: Tables, flow: int, candidates: Candidates, sent: Sequence[Sent]) -> bool:
    """Whether all that the server sent is chosen, and nothing of it came when the client had closed."""
    pieces = [*candidates.heads[SERVER], *candidates.lasts[SERVER]]
    follows = all((one.seq + one.length) & _M32 == after.seq for one, after in itertools.pairwise(pieces))
    taken = {each.piece.frame for each in sent if each.endpoint == SERVER}
    f = tables.flows
    left_ns = int(f["close_ns"][flow]) if int(f["closed_by"][flow]) in {BY_CLIENT, BY_BOTH} else -1
    in_time = all(left_ns < 0 or piece.time_ns < left_ns for piece in pieces)
    return follows and in_time and all(piece.frame in taken for piece in pieces)


def _first_bytes(candidates: Candidates) -> tuple[bytes, bytes]:
    client, server = (candidates.heads[side][0].data if candidates.heads[side] else b"" for side in (CLIENT, SERVER))
    return client, server


def _greeting(excerpt: Excerpt) -> bytes:
    return next((sent.piece.data for sent in excerpt.sent if sent.endpoint == SERVER), b"")


def _dissected(program: str, excerpts: Sequence[Excerpt], asked: int) -> Payload:
    """What the excerpts say."""
    if not excerpts:
        return Payload(flows=asked)
    from pcapflow.payload.dissect import dissect
    from pcapflow.payload.talk import Heard, Talk
    from pcapflow.payload.words import said

    try:
        with tempfile.TemporaryDirectory(prefix="pcapflow-") as directory:
            path = Path(directory, "excerpt.pcap")
            origins, ports = write_capture(path, excerpts)
            layers, fault = dissect(program, path, ports)
    except OSError as error:
        return Payload(note=f"What the connections said is not told: {error.strerror or error}.", flows=asked)
    heard: dict[int, list[Heard]] = {}
    for number, origin in enumerate(origins, 1):
        for layer in layers.get(number, ()):
            heard.setdefault(origin.flow, []).append(Heard(origin.endpoint, origin.frame, layer))
    greetings = {excerpt.flow: _greeting(excerpt) for excerpt in excerpts}
    whole = {excerpt.flow: excerpt.whole for excerpt in excerpts}
    talks = (Talk(flow, tuple(heard[flow]), greetings[flow], whole[flow]) for flow in heard)
    words_of = {talk.flow: words for talk in talks if (words := said(talk))}
    note = f"What the connections said is not told, or only in part: {printable(fault[:200])}." if fault else ""
    return Payload(words_of, note, asked, len(origins))
