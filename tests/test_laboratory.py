"""The laboratory and the builder of the fixtures: their parts without a kernel, and what they have committed."""

from __future__ import annotations

import gzip
import itertools
import re
from pathlib import Path

import pytest

import pcapflow
from fixtures import build
from fixtures.builders import BUILDERS
from fixtures.captures import FORMATS, KERNEL, ROOT, SOURCES, VIEWS, format_capture, kernel_capture, kernel_truth
from fixtures.containers import gzip_stored, pcap
from fixtures.frames import (
    ACK,
    FIN,
    PSH,
    RST,
    SYN,
    Segment,
    checksum,
    ethernet,
    parse,
    parse_ip,
    quoted,
    read_pcap,
    tcp_packet,
    unreachable,
    write_pcap,
)
from fixtures.lab.namespaces import MACS, Side
from fixtures.lab.registry import Group
from fixtures.lab.run import all_scenarios, chosen
from fixtures.lab.score import compare
from fixtures.lab.trace import parse_trace
from fixtures.lab.truth import Event, Reset, Truth, paths
from fixtures.lab.wire import Wire, bare_ack, delay, drop, duplicate, inject, rewrite, sent_by
from fixtures.ladder import climb
from fixtures.renumber import WRAPPED_ISN, Renumberer

CLIENT, SERVER = Side.CLIENT, Side.SERVER
MS = 1_000_000
NAMES = [scenario.name for scenario in all_scenarios()]

# Undamaged formats that hold the one conversation and its ten segments.
WHOLE = [
    name
    for name in BUILDERS
    if not name.startswith("damage/")
    and name not in {"link/link_unknown.pcap", "link/link_raw.pcap", "pcap/pcap_no_packets.pcap"}
]


def segment(side: Side = CLIENT, *, flags: int = ACK, seq: int = 100, ack: int = 0, payload: bytes = b"") -> Segment:
    a, b = ("10.99.0.1", 40_000), ("10.99.0.2", 80)
    (src, sport), (dst, dport) = (a, b) if side is CLIENT else (b, a)
    return Segment(src, dst, sport, dport, seq=seq, ack=ack, flags=flags, payload=payload)


def frame(side: Side = CLIENT, **fields: object) -> bytes:
    made = segment(side, **fields)  # type: ignore[arg-type]
    return ethernet(tcp_packet(made), MACS[side], MACS[side.other])


def flush(wire: Wire, now_ns: int) -> list[tuple[Side, bytes]]:
    """Everything that leaves the wire until then."""
    left = []
    while leaving := wire.leave(now_ns):
        left.append(leaving)
    return left


# The wire


def test_a_frame_is_captured_at_both_ends_a_delay_apart() -> None:
    wire = Wire(delay_s=0.002)
    wire.enter(CLIENT, frame(), 1000)

    assert flush(wire, 1000 + 2 * MS - 1) == []
    assert flush(wire, 1000 + 2 * MS) == [(SERVER, frame())]
    assert wire.capture(CLIENT) == [(1000, frame())]
    assert wire.capture(SERVER) == [(1000 + 2 * MS, frame())]


def test_a_dropped_frame_is_in_the_capture_of_its_sender_only() -> None:
    wire = Wire()
    wire.on(sent_by(SERVER, having=FIN), drop, times=1)
    wire.enter(SERVER, frame(SERVER, flags=FIN | ACK), 0)
    wire.enter(SERVER, frame(SERVER, flags=FIN | ACK), 200 * MS)

    assert len(flush(wire, 300 * MS)) == 1
    assert len(wire.capture(SERVER)) == 2
    assert len(wire.capture(CLIENT)) == 1


def test_a_rule_skips_then_counts() -> None:
    """``skip=1, times=2``: the first passes, the next two are lost, the fourth passes."""
    wire = Wire(delay_s=0)
    wire.on(sent_by(CLIENT, data=True), drop, skip=1, times=2)
    for seq in range(4):
        wire.enter(CLIENT, frame(seq=seq, payload=b"x"), seq)

    passed = [parse(left) for _, left in flush(wire, 10)]

    assert [got.seq for got in passed if got] == [0, 3]


def test_matches_look_at_sender_flags_data_and_port() -> None:
    fin, data, ack = segment(flags=FIN | ACK), segment(payload=b"x"), segment()

    assert sent_by(CLIENT, having=FIN)(CLIENT, fin)
    assert not sent_by(SERVER, having=FIN)(CLIENT, fin)
    assert not sent_by(CLIENT, lacking=FIN)(CLIENT, fin)
    assert sent_by(data=True)(SERVER, data)
    assert not sent_by(data=True)(SERVER, ack)
    assert sent_by(port=80)(CLIENT, ack)
    assert not sent_by(port=81)(CLIENT, ack)
    assert [bare_ack(CLIENT)(CLIENT, s) for s in (fin, data, ack)] == [False, False, True]


def test_a_delayed_frame_is_overtaken() -> None:
    wire = Wire(delay_s=0.001)
    wire.on(sent_by(data=True), delay(0.01), times=1)
    wire.enter(CLIENT, frame(payload=b"data"), 0)
    wire.enter(CLIENT, frame(flags=FIN | ACK, seq=104), 0)

    passed = [parse(left) for _, left in flush(wire, 20 * MS)]

    assert [got.has(FIN) for got in passed if got] == [True, False]
    assert wire.longest_ns == 11 * MS


def test_copies_follow_the_original_and_not_a_lost_one() -> None:
    wire = Wire(delay_s=0.001)
    wire.on(sent_by(CLIENT), duplicate(0.002, copies=2))
    wire.on(sent_by(CLIENT, having=RST), drop)
    wire.on(sent_by(CLIENT, having=RST), duplicate())
    wire.enter(CLIENT, frame(), 0)
    wire.enter(CLIENT, frame(flags=RST), 0)

    assert [flush(wire, at * MS) for at in (1, 2, 3, 4, 5)] == [
        [(SERVER, frame())],
        [],
        [(SERVER, frame())],
        [],
        [(SERVER, frame())],
    ]


def test_a_third_party_overtakes_and_reaches_one_side_only() -> None:
    wire = Wire(delay_s=0.002)
    forged = tcp_packet(segment(SERVER, flags=RST))
    wire.on(sent_by(CLIENT, having=SYN), inject(CLIENT, lambda _: forged), drop)
    wire.enter(CLIENT, frame(flags=SYN), 0)

    assert flush(wire, 1 * MS) == [(CLIENT, ethernet(forged, MACS[SERVER], MACS[CLIENT]))]
    assert flush(wire, 10 * MS) == []
    assert wire.capture(SERVER) == []


def test_a_rewritten_frame_enters_as_it_was_and_leaves_changed() -> None:
    wire = Wire()
    wire.on(sent_by(CLIENT), rewrite(lambda _: frame(seq=7)))
    wire.enter(CLIENT, frame(seq=1), 0)
    flush(wire, 5 * MS)

    assert [parse(f) for _, f in wire.capture(CLIENT)] == [segment(seq=1)]
    assert [parse(f) for _, f in wire.capture(SERVER)] == [segment(seq=7)]


def test_what_is_not_tcp_does_not_cross() -> None:
    wire = Wire(delay_s=0)
    wire.enter(CLIENT, b"\xff" * 60, 0)

    assert flush(wire, MS) == []
    assert wire.capture(CLIENT) == []


# Frames


@pytest.mark.parametrize(("src", "dst"), [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")])
def test_a_segment_survives_the_wire_format(src: str, dst: str) -> None:
    made = Segment(
        src, dst, 1, 65_535, seq=2**32 - 1, ack=5, flags=PSH | ACK, window=9, options=bytes(8), payload=b"odd"
    )

    assert parse(ethernet(tcp_packet(made), bytes(6), bytes(6))) == made


def test_checksums_are_those_of_the_specifications() -> None:
    """Summing a header or segment together with its checksum gives zero."""
    packet = tcp_packet(segment(payload=b"abc"))

    assert checksum(packet[:20]) == 0
    assert checksum(packet[12:20] + b"\0\x06" + len(packet[20:]).to_bytes(2, "big") + packet[20:]) == 0


@pytest.mark.parametrize("length", range(54))
def test_a_cut_frame_is_no_segment(length: int) -> None:
    assert parse(frame()[:length]) is None


def test_an_icmp_error_quotes_the_segment() -> None:
    packet = unreachable("10.99.0.254", segment(flags=SYN), code=10)

    assert (packet[9], packet[20:22]) == (1, b"\x03\x0a")
    assert checksum(packet[20:]) == 0
    assert parse_ip(packet[28:]) == segment(flags=SYN)


def test_captures_are_read_as_written(tmp_path: Path) -> None:
    records = [(1_700_000_000_123_456_789, frame()), (1_700_000_001_000_000_000, frame(flags=FIN))]
    write_pcap(tmp_path / "a.pcap", records)

    assert read_pcap(tmp_path / "a.pcap") == records


def test_sequence_numbers_move_together_and_checksums_fit() -> None:
    """Both sides begin at the wanted number, and acknowledgments and SACK blocks move with what they speak of."""
    sack = b"\x01\x01\x05\x0a" + (5011).to_bytes(4, "big") + (5021).to_bytes(4, "big")
    rungs = climb(
        "0 > S 0:0\n 1 < S. 0:0 ack 1\n 2 > . 1:1 ack 1", client=("10.99.0.1", 40_000), server=("10.99.0.2", 80)
    )
    frames = [ethernet(tcp_packet(rung.segment), bytes(6), bytes(6)) for rung in rungs]
    last = Segment("10.99.0.1", "10.99.0.2", 40_000, 80, seq=1001, ack=5001, flags=ACK, options=sack)
    frames.append(ethernet(tcp_packet(last), bytes(6), bytes(6)))
    renumber = Renumberer(WRAPPED_ISN)
    for each in frames:
        renumber.learn(each)

    moved = [parse(renumber.frame(each)) for each in frames]

    assert [(m.seq, m.ack) for m in moved if m] == [(WRAPPED_ISN, 0), (WRAPPED_ISN, 0), (0, 0), (0, 0)]
    assert moved[3] is not None
    assert moved[3].options[4:] == (10).to_bytes(4, "big") + (20).to_bytes(4, "big")
    packet = renumber.frame(frames[1])[14:]
    assert checksum(packet[12:20] + b"\0\x06" + len(packet[20:]).to_bytes(2, "big") + packet[20:]) == 0


@pytest.mark.parametrize("router", ["10.99.0.254", "fd99::254"])
def test_what_an_icmp_error_quotes_moves_with_the_segment(router: str) -> None:
    ends = ("10.99.0.1", "10.99.0.2") if "." in router else ("fd99::1", "fd99::2")
    sent = [Segment(*ends, 40_000, 80, seq=7, flags=SYN), Segment(*ends, 40_000, 80, seq=8, ack=3, flags=ACK)]
    syn = ethernet(tcp_packet(sent[0]), bytes(6), bytes(6))
    errors = [ethernet(unreachable(router, each, code=1), bytes(6), bytes(6)) for each in sent]
    renumber = Renumberer(WRAPPED_ISN)
    renumber.learn(syn)

    moved = [renumber.frame(each) for each in errors]

    quotes = [quoted(each) for each in moved]
    assert [(q.src, q.dport, q.seq, q.ack) for q in quotes if q] == [
        (ends[0], 80, WRAPPED_ISN, 0),
        (ends[0], 80, 0, 3),
    ]
    for each in moved:
        if "." in router:
            assert checksum(each[34:]) == 0
        else:
            assert checksum(each[22:54] + len(each[54:]).to_bytes(4, "big") + b"\0\0\0\x3a" + each[54:]) == 0
    assert quoted(syn) is None
    assert quoted(errors[0][:60]) is None


def test_a_ladder_is_read_as_it_stands() -> None:
    syn, data = climb(" ms  segment\n  0 > S 0:0\n 1.5 < P. 1:11 ack 1\n", isn=(2**32 - 1, 7))

    assert (syn.segment.seq, syn.segment.flags, syn.segment.sport) == (2**32 - 1, SYN, 50_000)
    assert (data.segment.seq, data.segment.ack, len(data.segment.payload)) == (8, 0, 10)
    assert data.time_ns - syn.time_ns == 1_500_000
    with pytest.raises(ValueError, match="not a rung"):
        climb("0 > X 0:0")


# The kernel's words

V4 = "family=AF_INET protocol=IPPROTO_TCP"
ADDRESSES = "saddr=10.99.0.1 daddr=10.99.0.2 saddrv6=::ffff:10.99.0.1 daddrv6=::ffff:10.99.0.2"
TRACE = f"""\
# tracer: nop
  python3-1 [000] ..s2.  10.000100: inet_sock_set_state: {V4} sport=40000 dport=80 \
{ADDRESSES} oldstate=TCP_CLOSE newstate=TCP_SYN_SENT
  <idle>-0  [001] ..s2.  10.002300: tcp_send_reset: skbaddr=00000000a skaddr=0000000000000000 src=10.99.0.2:80 \
dest=10.99.0.1:40000 state=UNKNOWN reason=NO_SOCKET
  python3-1 [000] ..s2.  10.004400: inet_sock_set_state: {V4} sport=40000 dport=80 \
{ADDRESSES} oldstate=TCP_SYN_SENT newstate=TCP_CLOSE
  python3-9 [000] ..s2.  10.005000: inet_sock_set_state: {V4} sport=40000 dport=443 \
{ADDRESSES} oldstate=TCP_CLOSE newstate=TCP_SYN_SENT
  python3-9 [000] ..s2.  10.006000: inet_sock_set_state: {V4} sport=40009 dport=80 \
{ADDRESSES} oldstate=TCP_FIN_WAIT1 newstate=TCP_CLOSE
"""


def test_a_trace_becomes_events_and_resets() -> None:
    """Other ports are left out, and so is the end of a connection that began before the trace."""
    events, resets = parse_trace(TRACE.splitlines(), {"10.99.0.1", "10.99.0.2"}, {80}, clock_offset_s=1000.0)

    assert events == [
        Event(1010.0001, "10.99.0.1", 40_000, "10.99.0.2", 80, "CLOSE", "SYN_SENT"),
        Event(1010.0044, "10.99.0.1", 40_000, "10.99.0.2", 80, "SYN_SENT", "CLOSE"),
    ]
    assert resets == [Reset(1010.0023, "10.99.0.2", 80, "10.99.0.1", 40_000, "UNKNOWN", "NO_SOCKET")]


def test_a_trace_in_ipv6_form_names_its_addresses() -> None:
    line = (
        "  x-1 [000] ..s2.  1.000000: tcp_send_reset: skbaddr=0 skaddr=0 src=[fd99::2]:80 dest=[fd99::1]:9 "
        "state=TCP_CLOSE reason=TCP_STATE"
    )

    _, resets = parse_trace([line], {"fd99::2"}, {80}, 0)

    assert [(r.src, r.sport, r.dst, r.dport) for r in resets] == [("fd99::2", 80, "fd99::1", 9)]


def test_paths_are_split_where_a_port_is_used_again() -> None:
    def event(old: str, new: str) -> Event:
        return Event(0.0, "a", 1, "b", 2, old, new)

    steps = ["CLOSE", "SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "CLOSE", "SYN_SENT", "CLOSE"]
    found = paths([event(old, new) for old, new in itertools.pairwise(steps)])

    assert [[state for _, state in path] for path in found["a", 1, "b", 2]] == [
        ["SYN_SENT", "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "CLOSED"],
        ["SYN_SENT", "CLOSED"],
    ]


@pytest.mark.parametrize(
    ("kernel", "inferred", "fin_seen", "verdict"),
    [
        ("SYN_SENT ESTABLISHED", "SYN_SENT ESTABLISHED", True, "equal"),
        ("SYN_RCVD ESTABLISHED", "LISTEN SYN_RCVD ESTABLISHED", True, "equal"),
        ("FIN_WAIT_1 FIN_WAIT_2 CLOSED", "FIN_WAIT_1 FIN_WAIT_2 TIME_WAIT", True, "equal"),
        ("FIN_WAIT_1 FIN_WAIT_2 CLOSED", "FIN_WAIT_1 FIN_WAIT_2", True, "equal"),
        ("FIN_WAIT_1 FIN_WAIT_2 CLOSED", "FIN_WAIT_1 FIN_WAIT_2 CLOSED", True, "equal"),
        ("FIN_WAIT_1 FIN_WAIT_2 CLOSED", "FIN_WAIT_1", True, "differs"),
        ("FIN_WAIT_1 FIN_WAIT_2", "FIN_WAIT_1 FIN_WAIT_2 TIME_WAIT", True, "differs"),
        ("FIN_WAIT_1 CLOSING CLOSED", "FIN_WAIT_1 FIN_WAIT_2 TIME_WAIT", True, "differs"),
        ("SYN_SENT CLOSED", "SYN_SENT", True, "equal but for a silent end"),
        ("SYN_SENT ESTABLISHED", "SYN_SENT", True, "differs"),
        ("ESTABLISHED CLOSE_WAIT", "ESTABLISHED CLOSE_WAIT CLOSED", True, "differs"),
        ("ESTABLISHED FIN_WAIT_1 CLOSED", "ESTABLISHED", False, "equal up to an unseen FIN"),
        ("ESTABLISHED FIN_WAIT_1 CLOSED", "ESTABLISHED", True, "differs"),
    ],
)
def test_verdict_on_a_path(kernel: str, inferred: str, fin_seen: bool, verdict: str) -> None:
    assert compare(kernel.split(), inferred.split(), fin_seen=fin_seen) == verdict


def test_a_truth_is_read_as_written(tmp_path: Path) -> None:
    truth = Truth("x", [Event(1.5, "a", 1, "b", 2, "CLOSE", "SYN_SENT")], [Reset(2.5, "b", 2, "a", 1, "S", "R")], 0.25)
    truth.write(tmp_path / "x.truth.json")

    assert Truth.read(tmp_path / "x.truth.json") == truth


# Scenarios


def test_the_scenarios_cover_every_way_to_open_close_abort_and_reuse() -> None:
    groups = {
        group: [s for s in all_scenarios() if s.group == group]
        for group in ("opening", "closing", "aborting", "reusing", "random")
    }

    assert len(NAMES) == len(set(NAMES)) >= 40
    assert all(groups.values())
    assert {s.family for s in groups["opening"]} == {4, 6}
    assert any(s.sysctls.get("tcp_timestamps") == 0 for s in groups["closing"])


def test_a_scenario_must_say_what_it_shows() -> None:
    with pytest.raises(ValueError, match="does not say"):
        Group("x").scenario()(lambda _: None)


def test_scenarios_are_chosen_by_pattern() -> None:
    assert {s.name for s in chosen(["open_normal*"])} >= {"open_normal", "open_normal_ipv6"}
    assert [s.name for s in chosen([])] == NAMES
    with pytest.raises(LookupError, match="nonsense"):
        chosen(["nonsense"])


# What is committed


def test_synthetic_fixtures_and_the_index_are_as_they_would_be_made_now() -> None:
    assert build.differences() == []


def test_the_index_names_every_file_and_nothing_else() -> None:
    """Read as a person reads it: the folder in the heading, the name in the first column."""
    endings = {
        "kernel": (".client.pcap", ".server.pcap", ".truth.json"),
        "formats": ("",),
        "benign": (".pcap",),
        "programs": (".pcap",),
    }
    named, folder = [], ""
    for line in build.INDEX.read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"##+ `([\w/]+)/`", line):
            folder = heading[1]
        elif folder == "stacks/captures":
            # A row stands for several files there; ``tests/stacks/test_committed.py`` knows which.
            continue
        elif (row := re.match(r"\| ([\w.]+) \|", line)) and row[1] not in ("name", "file"):
            named += [f"{folder}/{row[1]}{ending}" for ending in endings[folder.partition("/")[0]]]

    there = [path for family in endings for path in (ROOT / family).rglob("*") if path.is_file()]
    captures = [path.relative_to(ROOT).as_posix() for path in there if path.suffix not in SOURCES]
    assert sorted(named) == sorted(captures)
    assert len(named) > 500


def test_every_scenario_is_committed_and_nothing_else_is() -> None:
    parts = ("client.pcap", "server.pcap", "truth.json")
    expected = {f"{scenario.group}/{scenario.name}.{part}" for scenario in all_scenarios() for part in parts}

    assert {str(path.relative_to(KERNEL)) for path in KERNEL.rglob("*") if path.is_file()} == expected


@pytest.mark.parametrize("name", NAMES)
def test_a_truth_and_its_captures_speak_of_the_same_connections(name: str) -> None:
    """Every endpoint that a kernel spoke of passed the tap on its own side, within the time of the capture."""
    truth = Truth.read(kernel_truth(name))
    assert truth.scenario == name
    for view, address_end in zip(VIEWS, ("1", "2"), strict=True):
        records = read_pcap(kernel_capture(name, view))
        times = [time_ns for time_ns, _ in records]
        assert times == sorted(times)
        segments = [found for _, each in records if (found := parse(each))]
        seen = {(s.src, s.sport, s.dst, s.dport) for s in segments} | {
            (s.dst, s.dport, s.src, s.sport) for s in segments
        }
        for endpoint, found_paths in paths(truth.events).items():
            if endpoint[0].endswith(address_end):
                assert endpoint in seen
                assert found_paths[0][0][0] <= times[-1] / 1e9 + truth.delay_s + 0.01


def test_the_gzip_that_is_made_here_is_gzip() -> None:
    data = bytes(range(256)) * 600

    assert gzip.decompress(gzip_stored(data)) == data
    assert gzip.decompress(gzip_stored(b"")) == b""


@pytest.mark.parametrize("name", WHOLE)
def test_the_conversation_is_the_same_in_every_format(name: str) -> None:
    """Whatever the container, the states passed through are those of the plain pcap, at the same frames' events."""
    plain = pcapflow.analyze(format_capture("pcap_microseconds_little_endian.pcap"), reader="native")
    other = pcapflow.analyze(FORMATS / name, reader="native")

    columns = ["endpoint", "old", "new", "event", "basis"]
    assert other.transitions[columns].to_dict("list") == plain.transitions[columns].to_dict("list")
    assert len(plain.transitions) >= 10
    lengths = ["client_packets", "server_packets", "client_bytes", "server_bytes"]
    assert other.flows[lengths].to_dict("list") == plain.flows[lengths].to_dict("list")


def test_pcap_writes_what_the_laboratory_writes(tmp_path: Path) -> None:
    """Two writers, one format: the builder's nanosecond pcap equals the laboratory's."""
    records = [(5, frame()), (7_000_000_001, frame(flags=FIN))]
    write_pcap(tmp_path / "a.pcap", records)

    assert (tmp_path / "a.pcap").read_bytes() == pcap(records, nanoseconds=True)
