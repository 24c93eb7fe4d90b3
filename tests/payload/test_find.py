"""``pcapflow show --find``: the connections in which a text passes, by what a user sees and by exit status."""

from __future__ import annotations

import gzip
import io
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

import pcapflow
from fixtures.containers import Section, pcap
from pcapflow.cli.main import run
from pcapflow.errors import CaptureError
from pcapflow.payload import find
from pcapflow.payload.find import Finds, find_text
from tests.payload.conversations import START_NS, Talk, written
from tests.reader.frames import ACK, CLIENT, RST, SERVER, SYN, UDP, ethernet, ipv4, tcp, vxlan

TEXT = "request-4711"
MORE_FRAGMENTS = 0x2000


def found_in(path: Path, text: str = TEXT) -> Finds:
    """What is found in a capture."""
    return find_text(pcapflow.track(path), (path,), "auto", text.encode())


def places(path: Path, text: str = TEXT) -> list[tuple[int, int, int, int]]:
    """Flow, endpoint, first and last frame of each find."""
    return [(f.flow, f.endpoint, f.frame, f.last_frame) for f in found_in(path, text).found]


def cut_apart(talk: Talk) -> Talk:
    """A request whose text is cut over three segments, of which one is sent again and two come in the wrong order."""
    talk.open()
    talk.say(">", b"GET /?id=REQ")
    begun = talk.next[0]
    last = talk.frame(">", b"-4711 HTTP/1.1\r\n", seq=begun + 4)
    again = talk.frame(">", b"uest", seq=begun)
    talk.frames += [last, again, again]
    talk.next[0] = begun + 4 + 16
    talk.say("<", b"HTTP/1.1 200 OK\r\n\r\n")
    return talk


@pytest.mark.parametrize("ip", [4, 6])
@pytest.mark.parametrize("seq", [1000, 0xFFFF_FFF0], ids=["plain", "wrapped"])
def test_a_text_over_three_segments_out_of_order_and_sent_again(tmp_path: Path, ip: int, seq: int) -> None:
    path = written(tmp_path / "a.pcap", cut_apart(Talk(ip=ip, seq=(seq, 5000))).frames)
    # It is complete when the middle comes, which lets go of the end that has waited.
    assert places(path) == [(0, 0, 4, 5)]


def test_a_compressed_capture_is_read_as_well(tmp_path: Path) -> None:
    plain = written(tmp_path / "a.pcap", cut_apart(Talk()).frames)
    path = tmp_path / "a.pcap.gz"
    path.write_bytes(gzip.compress(plain.read_bytes()))
    assert places(path) == [(0, 0, 4, 5)]


def test_pcapng_of_several_link_types_is_read_as_well(tmp_path: Path) -> None:
    section = Section("<")
    section.interface(1)
    raw = section.interface(101)
    for number, frame in enumerate(cut_apart(Talk()).frames):
        # Every other frame came from an interface without a link layer.
        record = (START_NS + number * 1000, frame[14:] if number % 2 else frame)
        section.packet(record, raw if number % 2 else 0)
    path = tmp_path / "a.pcapng"
    path.write_bytes(section.to_bytes())
    assert places(path) == [(0, 0, 4, 5)]


def test_a_tunnel_is_no_obstacle(tmp_path: Path) -> None:
    frames = [ethernet(ipv4(vxlan(frame), UDP)) for frame in cut_apart(Talk()).frames]
    assert places(written(tmp_path / "a.pcap", frames)) == [(0, 0, 4, 5)]


def test_a_fragmented_segment_is_searched_whole(tmp_path: Path) -> None:
    talk = Talk().open()
    segment = tcp(b"x" * 100 + TEXT.encode() + b"y" * 100, sport=40_000, dport=7000, seq=1001, ack=5001)
    # In the midst of the text, which begins after 20 bytes of header and 100 others.
    at = (20 + 100 + 4) // 8 * 8
    talk.frames += [
        ethernet(ipv4(segment[:at], fragment=MORE_FRAGMENTS, ident=9)),
        ethernet(ipv4(segment[at:], fragment=at // 8, ident=9)),
    ]
    assert places(written(tmp_path / "a.pcap", talk.frames)) == [(0, 0, 5, 5)]


def test_both_directions_and_several_connections_are_named_once_each(tmp_path: Path) -> None:
    first, other, second = Talk().open(), Talk(client_port=40_001).open(), Talk(client_port=40_002).open()
    first.say(">", b"id=request-4711")
    first.say("<", b"you asked request-4711 and request-4711")
    first.say("<", b"request-4711 again")
    other.say(">", b"id=request-4712")
    second.say("<", b"REQUEST-4711")
    path = written(tmp_path / "a.pcap", [*first.frames, *other.frames, *second.frames])
    assert places(path) == [(0, 0, 4, 4), (0, 1, 5, 5), (2, 1, 14, 14)]


def test_ports_used_again_are_another_connection(tmp_path: Path) -> None:
    first, second = Talk().open(), Talk(seq=(9_000_000, 8_000_000))
    first.say(">", b"request-")
    first.say("<", flags=RST | ACK)
    second.open()
    second.say(">", b"4711")
    second.say(">", b" request-4711")
    path = written(tmp_path / "a.pcap", [*first.frames, *second.frames])
    assert places(path) == [(1, 0, 10, 10)]


def test_the_payload_of_a_rst_is_no_part_of_the_stream(tmp_path: Path) -> None:
    talk = Talk().open()
    talk.say(">", b"request-")
    talk.say(">", b"4711", flags=RST | ACK)
    assert places(written(tmp_path / "a.pcap", talk.frames)) == []


def test_data_in_a_syn_is_searched(tmp_path: Path) -> None:
    talk = Talk()
    talk.frames.append(talk.frame(">", b"request-", seq=1000, flags=SYN))
    talk.next[0] = 1009
    talk.say("<", flags=SYN | ACK)
    talk.say(">", b"4711")
    assert places(written(tmp_path / "a.pcap", talk.frames)) == [(0, 0, 1, 3)]


def test_what_an_icmp_error_quotes_is_not_searched(tmp_path: Path) -> None:
    talk = Talk().open()
    quoted = ipv4(tcp(b"request-4711", sport=40_000, dport=7000, seq=1001, ack=5001))
    talk.frames.append(ethernet(ipv4(bytes([3, 4, 0, 0, 0, 0, 0, 0]) + quoted, 1, src=SERVER, dst=CLIENT)))
    assert places(written(tmp_path / "a.pcap", talk.frames)) == []


def test_a_hole_at_the_end_of_the_capture_hides_nothing_behind_it(tmp_path: Path) -> None:
    talk = Talk().open()
    talk.say(">", b"abc")
    talk.next[0] += 10
    talk.say(">", b"request-4711")
    assert places(written(tmp_path / "a.pcap", talk.frames)) == [(0, 0, 5, 5)]


def test_many_finds_are_counted_beyond_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "MOST_FOUND", 3)
    frames = []
    for number in range(5):
        talk = Talk(client_port=40_000 + number).open()
        talk.say(">", b"request-4711")
        frames += talk.frames
    finds = found_in(written(tmp_path / "a.pcap", frames))
    assert (len(finds.found), finds.more) == (3, 2)


def test_streams_under_way_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "MOST_STREAMS", 4)
    frames, last = [], Talk(client_port=50_000).open()
    last.say(">", b"request-")
    for number in range(20):
        talk = Talk(client_port=40_000 + number).open()
        talk.say(">", b"hello")
        frames += talk.frames
    last.say(">", b"4711 request-4711")
    path = written(tmp_path / "a.pcap", [*last.frames[:4], *frames, last.frames[4]])
    assert places(path) == [(0, 0, 85, 85)]


# At the command line


def told(path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Status and outputs of ``pcapflow show``."""
    capsys.readouterr()
    status = run(["show", str(path), *arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_a_find_is_a_line_with_all_that_leads_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "a.pcap", cut_apart(Talk()).frames)
    status, out, err = told(path, capsys, "--find", TEXT)
    assert (status, err) == (0, "")
    head, line = out.splitlines()
    assert head.split() == ["flow", "client", "server", "direction", "frame", "time", "what"]
    assert re.split(r"  +", line.strip()) == [
        "0",
        "192.0.2.1:40000",
        "198.51.100.2:7000",
        "client -> server",
        "4 to 5",
        "2026-01-02T03:00:00.003000000Z",
        "?id=REQuest-4711 HTTP/1.1",
    ]


def test_a_text_that_passes_nowhere_has_a_status_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "a.pcap", cut_apart(Talk()).frames)
    status, out, err = told(path, capsys, "--find", "request-4712")
    assert (status, out, err) == (5, "", "the text passes in no connection\n")


def test_nothing_of_a_capture_reaches_a_terminal_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    talk = Talk().open()
    talk.say(">", b"\x1b]0;title\x07[bold]\xff\xe2\x80\xaerequest-4711\xc2\x9b31m\xfe\x1b[2J")
    path = written(tmp_path / "a.pcap", talk.frames)
    status, out, _ = told(path, capsys, "--find", TEXT)
    assert status == 0
    assert out.rstrip().endswith(r"[bold]\xff\u202erequest-4711\u009b31m\xfe")
    _, out, _ = told(path, capsys, "--find", "\x1b[2J")
    assert out.rstrip().endswith(r"\x1b[2J")
    assert out.replace("\n", "").isprintable()


def test_a_long_line_is_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    talk = Talk().open()
    talk.say(">", b"\xff" * 600 + b"request-4711" + b"\xff" * 600)
    _, out, _ = told(written(tmp_path / "a.pcap", talk.frames), capsys, "--find", TEXT)
    assert len(out.splitlines()[1]) < 250
    assert "request-4711" in out


def test_bytes_that_are_no_text_can_be_looked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    talk = Talk().open()
    talk.say(">", "größe".encode())
    status, out, _ = told(written(tmp_path / "a.pcap", talk.frames), capsys, "--find", "Größe")
    assert status == 0
    assert "größe" in out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "name a FLOW, or a text with --find"),
        (("0", "--find", "a"), "name a FLOW, or a text with --find"),
        (("--find", ""), "1 to 1000 bytes"),
        (("--find", "x" * 1001), "1 to 1000 bytes"),
    ],
)
def test_wrong_usage_is_said(
    arguments: tuple[str, ...], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "a.pcap", Talk().open().frames)
    status, out, err = told(path, capsys, *arguments)
    assert (status, out) == (2, "")
    assert complaint in err


def test_an_input_that_cannot_be_read_twice_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.pcap", cut_apart(Talk()).frames)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(path.read_bytes())))
    status, out, err = told(Path("-"), capsys, "--find", TEXT)
    assert (status, out) == (3, "")
    assert "cannot be read a second time" in err


def test_a_capture_that_tshark_reads_has_no_bytes_to_search(tmp_path: Path, tshark: str) -> None:
    del tshark
    path = written(tmp_path / "a.pcap", cut_apart(Talk()).frames)
    tables = pcapflow.track(path, reader="pyshark")
    with pytest.raises(CaptureError, match="native reader"):
        find_text(tables, (path,), "pyshark", b"x")


def test_a_flow_of_a_snapped_capture_is_searched_as_far_as_it_was_captured(tmp_path: Path) -> None:
    talk = Talk().open()
    talk.say(">", b"request-4711 " + b"x" * 200)
    talk.say(">", b"y" * 200 + b"request-4712")
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap([(START_NS + n, frame) for n, frame in enumerate(talk.frames)], snaplen=100))
    assert places(path) == [(0, 0, 4, 4)]
    assert places(path, "request-4712") == []
