"""tshark at work: started and read by pyshark, in a thread with an event loop of its own.

pyshark needs an event loop, and its caller may already be inside another, as in a notebook.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import queue
import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pyshark
from packaging.version import Version
from pyshark.capture.capture import StopCapture
from pyshark.tshark.output_parser.tshark_ek import TsharkEkJsonParser
from pyshark.tshark.tshark import TSharkNotFoundException, get_process_path

from pcapflow.errors import CaptureError
from pcapflow.reader.tshark.fields import FIELDS, Fields

HOW_TO_INSTALL: Final = (
    "`apt install tshark`, `dnf install wireshark-cli`, `brew install wireshark`, or "
    "https://www.wireshark.org/download.html"
)
INSTALL: Final = f"the pyshark engine needs tshark, which is not installed: {HOW_TO_INSTALL}"

_PREFERENCES: Final = {
    # Numbers as on the wire, and no analysis of streams: the tracker does that.
    "tcp.relative_sequence_numbers": "FALSE",
    "tcp.analyze_sequence_numbers": "FALSE",
    "tcp.desegment_tcp_streams": "FALSE",
    "tcp.check_checksum": "FALSE",
    # What is Wireshark's default, whatever the user's profile says.
    "ip.defragment": "TRUE",
    "ip.check_checksum": "FALSE",
    "ip.tso_support": "TRUE",
    "ipv6.defragment": "TRUE",
}
_CHUNKS_AHEAD: Final = 8
_MAX_COMPLAINT: Final = 2000
_POLL_S: Final = 0.2
_EXIT_S: Final = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """What tshark is asked for.

    Attributes:
        parameters: of its command line.
        preferences: by name; they go before the user's.
        decode_as: protocols by criterion, as of its option ``-d``.
        frames_per_chunk: frames that are handed on at once.
    """

    parameters: Sequence[str]
    preferences: Mapping[str, str]
    decode_as: Mapping[str, str] = dataclasses.field(default_factory=dict)
    frames_per_chunk: int = 512


HEADERS: Final = Order([word for field in FIELDS for word in ("-e", field)], _PREFERENCES)
"""The fields that segments are made of."""


def find_tshark() -> str:
    """The path of tshark.

    Raises:
        CaptureError: it is not installed; says how to get it.
    """
    found = shutil.which("tshark")
    if found is not None:
        return found
    try:
        return str(get_process_path())
    except (TSharkNotFoundException, OSError, LookupError, ValueError) as error:
        raise CaptureError("tshark", INSTALL) from error


class FieldParser(TsharkEkJsonParser):  # type: ignore[misc]
    """pyshark's parser of EK output, for a list of fields in place of layers."""

    def _parse_single_packet(self, packet: bytes) -> Fields | None:
        try:
            layers = json.loads(packet)["layers"]
        except (ValueError, LookupError):
            # The frame is missed by its number, and counted there.
            return None
        return layers if isinstance(layers, dict) else None


class FieldCapture(pyshark.FileCapture):  # type: ignore[misc]
    """pyshark's capture, yielding the fields of each frame; keeps what tshark says on standard error.

    Attributes:
        said: lines of tshark's standard error.
        status: tshark's exit status once it has ended.
    """

    def __init__(self, program: str, path: Path, order: Order, loop: asyncio.AbstractEventLoop) -> None:
        self.said: list[str] = []
        self.status = 0
        self._program = program
        super().__init__(
            path,
            keep_packets=False,
            use_ek=True,
            eventloop=loop,
            override_prefs=dict(order.preferences),
            decode_as=dict(order.decode_as),
            custom_parameters=list(order.parameters),
        )

    def _get_tshark_path(self) -> str:
        return self._program

    def _get_tshark_version(self) -> Version:
        # pyshark asks whether tshark knows EK, which came with 2.2 in 2016: starting tshark once more would cost more
        # than many a capture.
        return Version("3.0.0")

    def _created_new_process(
        self,
        parameters: Sequence[str],  # noqa: ARG002 -- as pyshark calls it
        process: asyncio.subprocess.Process,
        process_name: str = "TShark",  # noqa: ARG002 -- likewise
    ) -> None:
        # pyshark gives up one that has ended already, before it is heard what it has to say.
        self._running_processes.add(process)

    def _setup_tshark_output_parser(self) -> FieldParser:
        return FieldParser()

    async def _handle_process_stderr_forever(self, stderr: asyncio.StreamReader) -> None:
        size = 0
        while line := await stderr.read(_MAX_COMPLAINT):
            size += len(line)
            if size <= _MAX_COMPLAINT:
                self.said.append(line.decode(errors="replace"))

    async def _cleanup_subprocess(self, process: asyncio.subprocess.Process) -> None:
        # pyshark kills a tshark that has closed its output but not ended yet, and its status with it.
        if self._eof_reached:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(process.wait(), _EXIT_S)
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            # asyncio knows of an end only when the pipes have ended too: one that is full is not read on, and one
            # that another process holds does not end.
            for number in (1, 2):
                if pipe := process._transport.get_pipe_transport(number):  # type: ignore[attr-defined]  # noqa: SLF001
                    pipe.close()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(process.wait(), _EXIT_S)
        self.status = process.returncode or 0


class Tshark:
    """tshark at work in a thread of its own, a few chunks of frames ahead.

    Attributes:
        path: the file it reads.
        complaint: what it said against the file, "" nothing.
        status: its exit status.
        failure: what went wrong in pyshark itself.
    """

    def __init__(self, program: str, path: Path, order: Order = HEADERS) -> None:
        """Starts it.

        Raises:
            CaptureError: the system gives no thread.
        """
        self.path = path
        self.complaint = ""
        self.status = 0
        self.failure: Exception | None = None
        self._program = program
        self._order = order
        self._chunks: queue.Queue[Sequence[Fields]] = queue.Queue(_CHUNKS_AHEAD)
        self._chunk: list[Fields] = []
        self._closing = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._reading: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="pcapflow-tshark", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._loop.close()
            raise CaptureError(str(path), f"tshark cannot be started: {error}") from error

    def next_chunk(self, timeout_s: float | None = None) -> list[Fields]:
        """The next frames; empty when there are no more.

        Raises:
            TimeoutError: none came for so long.
        """
        try:
            return list(self._chunks.get(timeout=timeout_s))
        except queue.Empty as error:
            raise TimeoutError from error

    def close(self) -> None:
        """Ends tshark, wherever it is, and waits until it is gone."""
        self._closing.set()
        with contextlib.suppress(RuntimeError):
            # The loop may be closed already.
            self._loop.call_soon_threadsafe(self._cancel)
        self._thread.join()

    def _cancel(self) -> None:
        if self._reading is not None:
            self._reading.cancel()

    def _run(self) -> None:
        loop = self._loop
        try:
            capture = FieldCapture(self._program, self.path, self._order, loop)
            # Ending tshark is no part of the task that may be cancelled.
            self._reading = loop.create_task(capture.packets_from_tshark(self._take, close_tshark=False))
            try:
                with contextlib.suppress(asyncio.CancelledError):
                    loop.run_until_complete(self._reading)
            finally:
                loop.run_until_complete(capture.close_async())
                self.status = capture.status
                self.complaint = _complaint("".join(capture.said))
        except Exception as error:  # noqa: BLE001 - whatever pyshark raises is told in the caller's thread
            self.failure = error
        finally:
            loop.close()
            self._put(self._chunk)
            if self._chunk:
                self._put([])

    def _take(self, fields: Fields) -> None:
        self._chunk.append(fields)
        if len(self._chunk) == self._order.frames_per_chunk:
            chunk, self._chunk = self._chunk, []
            self._put(chunk)
        if self._closing.is_set():
            raise StopCapture

    def _put(self, chunk: list[Fields]) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(queue.Full):
                self._chunks.put(chunk, timeout=_POLL_S)
                return


def _complaint(said: str) -> str:
    """What tshark says against the file, on one line, without its name and its remark on running as root."""
    _, _, words = said.partition("tshark: ")
    return " ".join(words.split())


def exit_words(status: int) -> str:
    """How tshark ended, as the end of a sentence."""
    return f"it was ended by signal {-status}" if status < 0 else f"it ended with status {status}"
