"""tshark, by way of pyshark, dissects a small capture: the layers of each frame, within a time limit."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pcapflow.payload.layer import Layer
from pcapflow.reader.tshark.process import Order, Tshark, exit_words

LIMIT_S: Final = 5.0
"""How long tshark may take in all; then it is killed, and what it said until then counts."""

LAYERS: Final = ("tls", "http", "http2", "pgsql", "mysql", "resp", "smtp", "ftp", "imap", "ldap", "ssh", "dns")
"""The protocols whose fields are asked for, in Wireshark's words."""

_PREFERENCES: Final = {
    "tcp.check_checksum": "FALSE",
    "ip.check_checksum": "FALSE",
    # A hello of TLS may take several segments; the body of an answer is not all there, and would be waited for.
    "tcp.desegment_tcp_streams": "TRUE",
    "tls.desegment_ssl_records": "TRUE",
    "http.desegment_headers": "FALSE",
    "http.desegment_body": "FALSE",
}
_FRAMES_PER_CHUNK: Final = 16
_MOST_FIELDS: Final = 2000
_MOST_VALUES: Final = 64
_MOST_CHARACTERS: Final = 1000


class Dissection(NamedTuple):
    """What tshark said.

    Attributes:
        layers: by number of the frame in the small capture, from 1.
        fault: what went wrong, "" nothing.
    """

    layers: dict[int, list[Layer]]
    fault: str


def dissect(program: str, path: Path, ports: Mapping[str, int], limit_s: float = LIMIT_S) -> Dissection:
    """Has a capture dissected.

    Args:
        program: the path of tshark.
        path: the capture.
        ports: which port stands for which protocol.
        limit_s: seconds.
    """
    order = Order(
        parameters=("-J", " ".join(("frame", *LAYERS))),
        preferences=_PREFERENCES,
        decode_as={f"tcp.port=={port}": protocol for protocol, port in ports.items()},
        frames_per_chunk=_FRAMES_PER_CHUNK,
    )
    end = time.monotonic() + limit_s
    found: dict[int, list[Layer]] = {}
    tshark = Tshark(program, path, order)
    try:
        while chunk := tshark.next_chunk(max(end - time.monotonic(), 0)):
            for frame in chunk:
                _sort_in(frame, found)
    except TimeoutError:
        return Dissection(found, f"tshark took longer than {limit_s:g} s and was ended")
    finally:
        tshark.close()
    if tshark.failure is not None:
        return Dissection(found, f"pyshark failed ({type(tshark.failure).__name__})")
    if tshark.status:
        return Dissection(found, tshark.complaint or exit_words(tshark.status))
    return Dissection(found, "")


def _sort_in(frame: Mapping[str, Any], found: dict[int, list[Layer]]) -> None:
    numbers = _fields(frame.get("frame")).get("frame_frame_number", [])
    if not numbers or not numbers[0].isdecimal():
        return
    layers: list[Layer] = []
    for name, content in frame.items():
        if name in LAYERS:
            parts = content if isinstance(content, list) else [content]
            layers += [Layer(name, _fields(part, f"{name}_")) for part in parts[:_MOST_VALUES]]
    found[int(numbers[0])] = layers


def _fields(content: object, prefix: str = "") -> dict[str, list[str]]:
    """All fields of a layer, whatever they are nested in, in order; a layer's own name before each is left out."""
    found: dict[str, list[str]] = {}
    waiting: list[tuple[str, object]] = [("", content)]
    for _ in range(_MOST_FIELDS):
        if not waiting:
            break
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting += list(value.items())[::-1]
        elif isinstance(value, list):
            waiting += [(name, part) for part in value[:_MOST_VALUES]][::-1]
        elif value is not None and len(values := found.setdefault(name.removeprefix(prefix), [])) < _MOST_VALUES:
            values.append(str(value)[:_MOST_CHARACTERS])
    return found
