"""The pyshark engine: whatever Wireshark can read, as the batches that the native reader makes.

pyshark starts tshark and takes its output apart, frame by frame. It is asked for the fields of the headers alone, in
the newline-delimited JSON that pyshark calls EK: the quickest that pyshark has. Its default prints and parses all that
Wireshark knows of a packet. No packet is kept.

A TCP header is put together again from its fields and handed to the decoder, so that both engines share the reading of
options and the writing of rows. Reassembly of IP fragments, tunnels and the link layer are Wireshark's.

It runs in a thread with an event loop of its own: pyshark needs one, and its caller may already be inside another, as
in a notebook.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import json
import os
import queue
import shutil
import socket
import struct
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal

import pyshark
from packaging.version import Version
from pyshark.capture.capture import StopCapture
from pyshark.tshark.output_parser.tshark_ek import TsharkEkJsonParser
from pyshark.tshark.tshark import TSharkNotFoundException, get_process_path

from pcapflow.errors import CaptureError
from pcapflow.reader.decode.frame import Decoder
from pcapflow.reader.pcap import is_pcap
from pcapflow.reader.pcapng import LARGEST, is_pcapng
from pcapflow.reader.records import Records
from pcapflow.reader.segment_batch import CAPACITY, IS_IPV6, Batch
from pcapflow.reader.source import Source, open_source

Fields = dict[str, list[str]]
"""Wireshark's fields of one frame, ``_`` for ``.`` in their names, with the values in the order of the headers."""

INSTALL: Final = (
    "the pyshark engine needs tshark, which is not installed: `apt install tshark`, `dnf install wireshark-cli`, "
    "`brew install wireshark`, or https://www.wireshark.org/download.html"
)

MAX_SPOOLED_BYTES: Final = 64 << 30
"""What is copied at most from an input that tshark cannot open itself; hostile compression has no end."""

_FIELDS: Final = (
    "frame.number",
    "frame.time_epoch",
    "frame.len",
    "frame.cap_len",
    "frame.protocols",
    "vlan.id",
    "ieee8021ad.id",
    "ip.src",
    "ip.dst",
    "ip.id",
    "ip.ttl",
    "ipv6.src",
    "ipv6.dst",
    "ipv6.hlim",
    "icmp.type",
    "icmp.code",
    "icmpv6.type",
    "icmpv6.code",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.seq",
    "tcp.ack",
    "tcp.hdr_len",
    "tcp.flags",
    "tcp.window_size_value",
    "tcp.len",
    "tcp.options",
    "tcp.stream",
    "_ws.malformed",
)
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
_FRAMES_PER_CHUNK: Final = 512
_CHUNKS_AHEAD: Final = 8
_MAX_COMPLAINT: Final = 2000
_POLL_S: Final = 0.2
_EXIT_S: Final = 5.0
_RECORD_BYTES: Final = 16

_FOREIGN: Final = "read by Wireshark"
"""What a capture's format is called that only Wireshark knows; it does not tell the name of it."""

_QUOTE_WITH_STREAM: Final = 20
_QUOTE_WITHOUT_STREAM: Final = 8
_MIN_HEADER: Final = 20

_TUNNELS: Final = {
    "gre": "gre",
    "erspan": "erspan",
    "vxlan": "vxlan",
    "geneve": "geneve",
    "gtp": "gtp-u",
    "pppoes": "pppoe",
    "l2tp": "l2tp",
}
"""Wireshark's protocols whose payload is another network, by the native reader's names."""
_ICMP_ERRORS: Final = (3, 4, 5, 11, 12)


class WiresharkRecords(Records):
    """Reads one capture through pyshark.

    A quoted segment's ``payload_len`` is 20 where Wireshark counts it in a stream and 8 elsewhere, since Wireshark does
    not say how many bytes an ICMP error quotes.
    """

    # Set on the class too: __del__ runs even where the constructor stopped early.
    _tshark: _Tshark | None = None
    _spool: Path | None = None

    def __init__(self, item: str | os.PathLike[str] | IO[bytes], decoder: Decoder, size: int = -1) -> None:
        """Starts tshark and waits for its first frames; ``size`` is as for :func:`open_source`.

        Raises:
            CaptureError: tshark is not installed, the input cannot be read, or Wireshark does not know its format.
        """
        program = find_tshark()
        source = open_source(item, size)
        super().__init__(source, decoder, _format_of(source.head))
        self._size = source.size
        self._frame_bytes = 0
        self._name = source.name
        self._was_ended = False
        self._chunk: list[Fields] = []
        self._next = 0
        try:
            self._tshark = _Tshark(program, self._file(item, source))
            self._more_frames()
        except BaseException:
            self.close()
            raise
        finally:
            source.close()

    @property
    def position(self) -> int:
        """Bytes of the file read so far: at the end its size, before that a guess from the lengths of the frames."""
        if self._size < 0:
            return self._frame_bytes
        return self._size if self._done else min(self._frame_bytes, self._size)

    def fill(self, batch: Batch) -> bool:
        """See :meth:`Records.fill`."""
        while batch.seen < CAPACITY:
            if self._next == len(self._chunk) and not self._more_frames():
                return False
            fields = self._chunk[self._next]
            self._next += 1
            self._frame(fields, batch)
        return True

    def jump(self, offset: int, section: object, frames: int) -> bool:  # noqa: ARG002 -- tshark reads from the start
        """See :meth:`Records.jump`: tshark cannot be told where to begin."""
        return False

    def close(self) -> None:
        """Ends tshark and removes the copy it read; may be called at any time."""
        self._done = True
        if self._tshark is not None:
            self._tshark.close()
        if self._spool is not None:
            self._spool.unlink(missing_ok=True)
            self._spool = None

    def __del__(self) -> None:
        self.close()

    def _file(self, item: str | os.PathLike[str] | IO[bytes], source: Source) -> Path:
        """A file that tshark can open and read backwards as well: the input itself, or a copy."""
        if isinstance(item, (str, os.PathLike)) and source.name != "-" and _is_plain_file(source.name):
            return Path(source.name)
        handle, name = tempfile.mkstemp(prefix="pcapflow-", suffix=".cap")
        self._spool = Path(name)
        left = MAX_SPOOLED_BYTES
        try:
            with os.fdopen(handle, "wb") as copy:
                while left > 0 and (piece := source.read()):
                    copy.write(piece)
                    left -= len(piece)
        except OSError as error:
            raise CaptureError(source.name, f"cannot be copied for tshark to {name} ({error.strerror})") from error
        self._was_ended = source.was_ended
        if source.failure:
            self.truncated = source.failure
        elif left <= 0:
            self.truncated = f"only the first {MAX_SPOOLED_BYTES >> 30} GiB were read"
        return self._spool

    def _more_frames(self) -> bool:
        """Waits for the next frames; False at the end, which says whether the file ended early."""
        tshark = self._tshark
        if self._done or tshark is None:
            return False
        chunk = tshark.next_chunk()
        if chunk:
            self._chunk = chunk
            self._next = 0
            return True
        self._end(tshark)
        return False

    def _end(self, tshark: _Tshark) -> None:
        self._chunk = []
        self._next = 0
        frames = int(self.decoder.frames - self.frames_before)
        self.close()
        if tshark.failure is not None:
            raise CaptureError(self._name, f"pyshark failed ({tshark.failure})") from tshark.failure
        words = tshark.complaint.replace(str(tshark.path), Path(self._name).name)
        is_damaged = "cut short" in words or "damaged or corrupt" in words
        if not frames and (self.format == _FOREIGN or (tshark.status and not is_damaged)):
            reason = words or (_exit(tshark.status) if tshark.status else "it finds no frame in it")
            raise CaptureError(self._name, f"tshark cannot read it: {reason}")
        if tshark.status and not self.truncated and not (self._was_ended and is_damaged):
            self.truncated = f"tshark read up to frame {frames}: {words or _exit(tshark.status)}"

    def _frame(self, fields: Fields, batch: Batch) -> None:
        decoder = self.decoder
        number = int(self.frames_before) + _number(fields, "frame_number")
        while decoder.frames + 1 < number:
            decoder.frames += 1
            decoder.skip("pyshark", "output that cannot be parsed")
        time_ns = _time_ns(fields.get("frame_time_epoch", ["0"])[0])
        if time_ns < self._clock_ns or self._clock_ns < 0:
            self.note_timestamp(time_ns)
        self._clock_ns = time_ns
        self.last_ns = max(self.last_ns, time_ns)
        captured = _number(fields, "frame_cap_len")
        self._frame_bytes += captured + _RECORD_BYTES
        if _number(fields, "frame_len") > captured:
            self.cut_frames += 1
        decoder.frames = number
        layout = _layout(fields.get("frame_protocols", [""])[0])
        if layout.link and layout.link not in self.link_types and len(self.link_types) < 64:
            self.link_types.append(layout.link)
        try:
            if layout.kind == "tcp":
                _segment(fields, layout, time_ns, decoder, batch)
                return
            if layout.kind == "quote":
                _quote(fields, layout, time_ns, decoder, batch)
        except (LookupError, ValueError, OSError, struct.error):
            decoder.skip(layout.kind, "truncated or malformed")
            return
        if "_ws_malformed" in fields:
            decoder.skip("wireshark", "malformed")
        else:
            decoder.other += 1


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


@dataclass(frozen=True, slots=True)
class _Layout:
    """What a list of protocols says about a frame, and which of a field's values belong to its TCP header.

    Attributes:
        kind: whether the frame carries a segment, or an ICMP error that quotes one.
        link: Wireshark's name of the outermost protocol.
        ip: ``ip`` or ``ipv6``, the header directly around TCP.
        ip_at: how many of the same kind lie outside it.
        vlan: the field of the innermost tag, "" without.
        vlan_at: how many tags of the same kind lie outside it.
        tunnel: name of the innermost tunnel, "" without.
        icmp_at: how many ICMP headers lie outside the one that quotes.
    """

    kind: Literal["tcp", "quote", "other"]
    link: str
    ip: str = ""
    ip_at: int = 0
    vlan: str = ""
    vlan_at: int = 0
    tunnel: str = ""
    icmp_at: int = 0


@functools.lru_cache(maxsize=1024)
def _layout(protocols: str) -> _Layout:
    """Walks Wireshark's ``frame.protocols``, outermost first, to the first TCP header."""
    names = protocols.split(":")
    link = names[0]
    seen: dict[str, int] = {}
    ip = vlan = tunnel = ""
    named_since_ip = False
    for at, name in enumerate(names):
        before = names[at - 1] if at else ""
        if before == "udp" and name in ("ip", "ipv6", "eth", "mpls"):
            # VXLAN-GPE is the one tunnel that is not in the list.
            tunnel = "vxlan-gpe"
            named_since_ip = True
        if name in ("ip", "ipv6"):
            if ip and not named_since_ip:
                tunnel = "ip-in-ip" if before.partition(".")[0] in ("ip", "ipv6") else before
            ip = name
            named_since_ip = False
        elif name in _TUNNELS:
            tunnel = _TUNNELS[name]
            named_since_ip = True
        elif name == "mpls":
            named_since_ip = True
        elif name in ("vlan", "ieee8021ad"):
            vlan = f"{name}_id"
        elif name in ("icmp", "icmpv6"):
            if names[at + 2 : at + 3] == ["tcp"] and names[at + 1] in ("ip", "ipv6"):
                quoted = names[at + 1]
                return _Layout("quote", link, quoted, seen.get(quoted, 0), icmp_at=seen.get(name, 0))
            return _Layout("other", link)
        elif name == "tcp" and ip:
            vlan_at = seen.get(vlan.removesuffix("_id"), 1) - 1
            return _Layout("tcp", link, ip, seen[ip] - 1, vlan, vlan_at, tunnel)
        seen[name] = seen.get(name, 0) + 1
    return _Layout("other", link)


def _segment(fields: Fields, layout: _Layout, time_ns: int, decoder: Decoder, batch: Batch) -> None:
    """Puts the TCP header together and has the decoder write its row."""
    header_len = _number(fields, "tcp_hdr_len") if "tcp_hdr_len" in fields else 0
    ack = flags = window = 0
    if "tcp_window_size_value" in fields:
        ack, window = _number(fields, "tcp_ack"), _number(fields, "tcp_window_size_value")
        flags = _number(fields, "tcp_flags") & 0xFFF
    elif not 0 < header_len < _MIN_HEADER:
        decoder.skip("tcp", "truncated header")
        return
    header = struct.pack(
        "!HHIIHHI",
        _number(fields, "tcp_srcport"),
        _number(fields, "tcp_dstport"),
        _number(fields, "tcp_seq"),
        ack,
        header_len << 10 | flags,
        window,
        0,
    )
    if header_len > len(header):
        # Where the snap length left none of them tshark prints words in place of bytes.
        with contextlib.suppress(ValueError):
            options = bytes.fromhex(fields.get("tcp_options", [""])[0].replace(":", ""))
            header += options[: header_len - len(header)]
    # Without a length Wireshark found the header longer than its packet, and so will the decoder.
    wire_len = header_len + _number(fields, "tcp_len") if "tcp_len" in fields else 0
    src_hi, src_lo, dst_hi, dst_lo = _addresses(fields, layout)
    is_ipv6 = layout.ip == "ipv6"
    decoder.segment(
        header,
        0,
        len(header),
        wire_len,
        src_hi,
        src_lo,
        dst_hi,
        dst_lo,
        IS_IPV6 if is_ipv6 else 0,
        -1 if is_ipv6 else _number(fields, "ip_id", layout.ip_at),
        _number(fields, "ipv6_hlim" if is_ipv6 else "ip_ttl", layout.ip_at),
        _number(fields, layout.vlan, layout.vlan_at) if layout.vlan else -1,
        decoder.tunnel_index(layout.tunnel),
        time_ns,
        batch,
    )


def _quote(fields: Fields, layout: _Layout, time_ns: int, decoder: Decoder, batch: Batch) -> None:
    """The segment quoted in an ICMP error, as the decoder writes it; an ICMPv6 error has a type below 128."""
    is_ipv6 = layout.ip == "ipv6"
    icmp = "icmpv6" if is_ipv6 else "icmp"
    kind = _number(fields, f"{icmp}_type", layout.icmp_at)
    if kind >= 128 if is_ipv6 else kind not in _ICMP_ERRORS:
        return
    head = struct.pack("!HHI", *(_number(fields, name) for name in ("tcp_srcport", "tcp_dstport", "tcp_seq")))
    src_hi, src_lo, dst_hi, dst_lo = _addresses(fields, layout)
    decoder.quote(
        head,
        0,
        _QUOTE_WITH_STREAM if "tcp_stream" in fields else _QUOTE_WITHOUT_STREAM,
        src_hi,
        src_lo,
        dst_hi,
        dst_lo,
        IS_IPV6 if is_ipv6 else 0,
        kind << 8 | _number(fields, f"{icmp}_code", layout.icmp_at),
        time_ns,
        batch,
    )


def _addresses(fields: Fields, layout: _Layout) -> tuple[int, int, int, int]:
    source, target = fields[f"{layout.ip}_src"][layout.ip_at], fields[f"{layout.ip}_dst"][layout.ip_at]
    if layout.ip == "ip":
        return 0, *struct.unpack("!I", socket.inet_aton(source)), 0, *struct.unpack("!I", socket.inet_aton(target))
    halves = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, target)
    src_hi, src_lo, dst_hi, dst_lo = struct.unpack("!qqqq", halves)
    return src_hi, src_lo, dst_hi, dst_lo


def _number(fields: Fields, name: str, at: int = 0) -> int:
    """A field's value; tshark prints some in hexadecimal."""
    return int(fields[name][at], 0)


def _time_ns(text: str) -> int:
    """Nanoseconds of a time stamp: seconds with a fraction, or from Wireshark 4.2 on a date of RFC 3339."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    is_date = "T" in whole
    seconds = int(datetime.datetime.fromisoformat(f"{whole}+00:00").timestamp()) if is_date else int(whole)
    return min(max(seconds * 1_000_000_000 + int(fraction[:9].ljust(9, "0") or "0"), 0), LARGEST)


class _FieldParser(TsharkEkJsonParser):  # type: ignore[misc]
    """pyshark's parser of EK output, for a list of fields in place of layers."""

    def _parse_single_packet(self, packet: bytes) -> Fields | None:
        try:
            layers = json.loads(packet)["layers"]
        except (ValueError, LookupError):
            # The frame is missed by its number, and counted there.
            return None
        return layers if isinstance(layers, dict) else None


class _FieldCapture(pyshark.FileCapture):  # type: ignore[misc]
    """pyshark's capture, yielding the fields of each frame; keeps what tshark says on standard error.

    Attributes:
        said: lines of tshark's standard error.
        status: tshark's exit status once it has ended.
    """

    def __init__(self, program: str, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.said: list[str] = []
        self.status = 0
        self._program = program
        selection = [word for field in _FIELDS for word in ("-e", field)]
        super().__init__(
            path,
            keep_packets=False,
            use_ek=True,
            eventloop=loop,
            override_prefs=_PREFERENCES,
            custom_parameters=selection,
        )

    def _get_tshark_path(self) -> str:
        return self._program

    def _get_tshark_version(self) -> Version:
        # pyshark asks whether tshark knows EK, which came with 2.2 in 2016: starting tshark once more would cost more
        # than many a capture.
        return Version("3.0.0")

    def _setup_tshark_output_parser(self) -> _FieldParser:
        return _FieldParser()

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
            if process.stdout is not None:
                # asyncio knows of an end only when the pipes have ended too, and one that is full is not read on.
                await process.stdout.read()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(process.wait(), _EXIT_S)
        self.status = process.returncode or 0


class _Tshark:
    """tshark at work in a thread of its own, a few chunks of frames ahead.

    Attributes:
        path: the file it reads.
        complaint: what it said against the file, "" nothing.
        status: its exit status.
        failure: what went wrong in pyshark itself.
    """

    def __init__(self, program: str, path: Path) -> None:
        self.path = path
        self.complaint = ""
        self.status = 0
        self.failure: Exception | None = None
        self._program = program
        self._chunks: queue.Queue[Sequence[Fields]] = queue.Queue(_CHUNKS_AHEAD)
        self._chunk: list[Fields] = []
        self._closing = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._reading: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="pcapflow-tshark", daemon=True)
        self._thread.start()

    def next_chunk(self) -> list[Fields]:
        """The next frames; empty when there are no more."""
        return list(self._chunks.get())

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
            capture = _FieldCapture(self._program, self.path, loop)
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
        if len(self._chunk) == _FRAMES_PER_CHUNK:
            chunk, self._chunk = self._chunk, []
            self._put(chunk)
        if self._closing.is_set():
            raise StopCapture

    def _put(self, chunk: list[Fields]) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(queue.Full):
                self._chunks.put(chunk, timeout=_POLL_S)
                return


def _format_of(head: bytes) -> str:
    if is_pcap(head):
        return "pcap"
    return "pcapng" if is_pcapng(head) else _FOREIGN


def _is_plain_file(name: str) -> bool:
    """Whether tshark can open it: a pipe can only be read once, and tshark knows neither bzip2 nor xz."""
    path = Path(name)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(6)
    return not head.startswith((b"BZh", b"\xfd7zXZ\x00"))


def _complaint(said: str) -> str:
    """What tshark says against the file, on one line, without its name and its remark on running as root."""
    _, _, words = said.partition("tshark: ")
    return " ".join(words.split())


def _exit(status: int) -> str:
    return f"it was ended by signal {-status}" if status < 0 else f"it ended with status {status}"
