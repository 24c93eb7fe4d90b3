"""The benchmark's captures are sound and repeatable, and its figures are what was run."""

import hashlib
import itertools
import json
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.growth import Growth, fit_line, ratios
from benchmarks.measure import Outcome, run
from benchmarks.results import Measured, Results
from benchmarks.subjects import ARGUS, COUNT, ENGINE, PEERS, TSHARK_CONV, WHOLE, Missing, Subject, find_peer
from benchmarks.turns import Limits, Series, compare, count_rows, take_turns
from benchmarks.web import below
from benchmarks.workloads import Generated, generate, read_note, write_note

SCALED = ("web", "bulk", "flood")
PACKETS = 4000
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def records(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Time in microseconds, length on the wire, captured bytes; read without the project's reader."""
    data = path.read_bytes()
    assert struct.unpack_from("<I", data)[0] == 0xA1B2C3D4
    at = 24
    while at < len(data):
        seconds, micros, captured, wire = struct.unpack_from("<4I", data, at)
        yield seconds * 1_000_000 + micros, wire, data[at + 16 : at + 16 + captured]
        at += 16 + captured
    assert at == len(data)


def tcp_header(frame: bytes) -> tuple[bytes, int, bytes]:
    """Source, destination and ports as one key; payload length by the IP header; the TCP header on."""
    at = 14
    if frame[12:14] == b"\x81\x00":
        at += 4
    if frame[at] >> 4 == 4:
        (total,) = struct.unpack_from("!H", frame, at + 2)
        key, tcp, tcp_len = frame[at + 12 : at + 24], at + 20, total - 20
    else:
        (tcp_len,) = struct.unpack_from("!H", frame, at + 4)
        key, tcp = frame[at + 8 : at + 44], at + 40
    return key, tcp_len - (frame[tcp + 12] >> 4) * 4, frame[tcp:]


@pytest.mark.parametrize("workload", SCALED)
def test_the_same_seed_gives_the_same_bytes(workload: str, tmp_path: Path) -> None:
    first, again, other = (tmp_path / name for name in ("first", "again", "other"))
    made = generate(workload, PACKETS, first)
    generate(workload, PACKETS, again)
    generate(workload, PACKETS, other, seed=2)

    assert digest(first) == digest(again)
    assert digest(first) != digest(other)
    assert made.size == first.stat().st_size


@pytest.mark.parametrize("workload", SCALED)
def test_a_capture_holds_the_packets_it_says_in_time_order(workload: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    made = generate(workload, PACKETS, path)
    times = [time for time, _, _ in records(path)]

    assert len(times) == made.packets
    assert times == sorted(times)
    if workload == "bulk":
        assert PACKETS <= made.packets <= PACKETS * 1.1
    else:
        assert made.packets == PACKETS


@pytest.mark.parametrize("workload", SCALED)
def test_connections_are_counted_as_the_syns_tell(workload: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    made = generate(workload, PACKETS, path)
    opened = {
        key for key, _, tcp in (tcp_header(frame) for _, _, frame in records(path)) if tcp[13] & (SYN | ACK) == SYN
    }

    assert made.connections == len(opened)


@pytest.mark.parametrize("workload", SCALED)
def test_lengths_on_the_wire_agree_with_the_ip_header(workload: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    generate(workload, PACKETS, path)
    for _, wire, frame in records(path):
        _, payload_len, tcp = tcp_header(frame)
        headers = len(frame) - len(tcp) + (tcp[12] >> 4) * 4
        assert wire == headers + payload_len or (wire == 60 and headers + payload_len < 60)
        assert len(frame) == min(wire, 128) if workload == "bulk" else len(frame) == wire


def test_whole_frames_of_bulk_carry_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    generate("bulk", PACKETS, path, whole=True)

    assert all(len(frame) == wire for _, wire, frame in records(path))
    assert max(wire for _, wire, _ in records(path)) == 1514


def test_web_mixes_versions_tags_and_endings(tmp_path: Path) -> None:
    """About 25 packets a connection, of 200 to 300 bytes; every kind of end is there."""
    path = tmp_path / "a.pcap"
    made = generate("web", 40_000, path)
    frames = [(wire, frame) for _, wire, frame in records(path)]
    flags = [tcp_header(frame)[2][13] for _, frame in frames]
    tagged = sum(frame[12:14] == b"\x81\x00" for _, frame in frames)
    ipv6 = sum(frame[14 + 4 * (frame[12:14] == b"\x81\x00")] >> 4 == 6 for _, frame in frames)

    assert 23 < made.packets / made.connections < 27
    assert 200 < sum(wire for wire, _ in frames) / len(frames) < 300
    assert 0.05 < tagged / len(frames) < 0.25
    assert 0.2 < ipv6 / len(frames) < 0.4
    assert 0.03 < sum(bool(flag & RST) for flag in flags) / made.connections < 0.15
    assert 1.5 < sum(bool(flag & FIN) for flag in flags) / made.connections < 2


def test_bulk_retransmits_and_wraps(tmp_path: Path) -> None:
    """About one data segment in twenty is sent again; the first flow's numbers pass 2**32."""
    path = tmp_path / "a.pcap"
    generate("bulk", 40_000, path)
    data = [(key, tcp[4:8]) for key, size, tcp in (tcp_header(f) for _, _, f in records(path)) if size == 1448]
    repeated = len(data) - len(set(data))
    firsts = [seq for key, seq in data if key == data[0][0]]

    assert 0.02 < repeated / len(data) < 0.06
    assert any(
        later < earlier and earlier[0] == 0xFF and later[0] == 0 for earlier, later in itertools.pairwise(firsts)
    )


def test_flood_answers_half_of_sources_that_never_come_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    generate("flood", 30_000, path)
    segments = [tcp_header(frame) for _, _, frame in records(path)]
    syns = [key for key, _, tcp in segments if tcp[13] == SYN]
    answers = [key for key, _, tcp in segments if tcp[13] == SYN | ACK]

    assert len(set(syns)) == len(syns)
    assert len(syns) + len(answers) == len(segments)
    assert 0.48 < len(answers) / len(syns) < 0.52


@pytest.mark.parametrize("workload", SCALED)
def test_tshark_finds_nothing_malformed(workload: str, tmp_path: Path) -> None:
    """Right IPv4 checksums, whole headers, and payloads that no dissector stumbles over."""
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    path = tmp_path / "a.pcap"
    made = generate(workload, PACKETS, path)
    fields = ("tcp.stream", "_ws.malformed", "ip.checksum.status", "_ws.expert.severity")
    command = ["tshark", "-n", "-r", str(path), "-o", "ip.check_checksum:TRUE", "-T", "fields"]
    done = subprocess.run(
        [*command, *(word for field in fields for word in ("-e", field))], capture_output=True, text=True, check=True
    )
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    error_severity = "8388608"

    assert len(rows) == made.packets
    assert all(stream for stream, *_ in rows)
    assert not any(malformed for _, malformed, *_ in rows)
    assert {checksum for _, _, checksum, _ in rows} <= {"", "1"}
    assert not any(error_severity in severities.split(",") for *_, severities in rows)


def test_below_stays_inside() -> None:
    rng = random.Random(3)
    assert {below(rng, 4) for _ in range(200)} == {0, 1, 2, 3}


def test_a_note_without_its_capture_counts_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    made = generate("web", 100, path)
    assert read_note(path) is None
    write_note(made, path)
    assert read_note(path) == made
    path.unlink()
    assert read_note(path) is None


def run_python(tmp_path: Path, *codes: str, timeout_s: float = 60, memory_limit: int = 1 << 33) -> Outcome:
    commands = [[sys.executable, "-c", code] for code in codes]
    return run(
        commands, tmp_path / "out", environment={}, directory=tmp_path, timeout_s=timeout_s, memory_limit=memory_limit
    )


@pytest.mark.alone
def test_a_run_measures_time_memory_and_the_pipe(tmp_path: Path) -> None:
    """60 MiB in the first process and 30 MiB in the second add up; the time is the sleep's at least."""
    first = "import time; held = b'x' * (60 << 20); time.sleep(0.3); print('through')"
    second = "import sys; held = b'x' * (30 << 20); print(sys.stdin.read().upper())"
    outcome = run_python(tmp_path, first, second)

    assert outcome.error is None
    assert outcome.seconds >= 0.3
    assert outcome.peak_bytes > 90 << 20
    assert (tmp_path / "out").read_text().strip() == "THROUGH"


@pytest.mark.alone
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the kernel does not tell set sizes")
def test_children_at_work_beside_their_parent_count(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time; held = b'x' * (50 << 20);"
        "subprocess.run([sys.executable, '-c', 'import time; held = b\"x\" * (50 << 20); time.sleep(0.6)'])"
    )
    assert run_python(tmp_path, code).peak_bytes > 100 << 20


def test_a_failing_command_tells_its_status_and_last_words(tmp_path: Path) -> None:
    outcome = run_python(tmp_path, "import sys; print('first', file=sys.stderr); sys.exit('the last words')")
    assert outcome.error == "exit 1: the last words"


def test_a_command_that_hangs_is_stopped(tmp_path: Path) -> None:
    outcome = run_python(tmp_path, "import time; time.sleep(60)", timeout_s=0.2)
    assert outcome.error == "stopped after 0.2 s"
    assert outcome.seconds < 30


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits another process")
def test_a_command_that_takes_too_much_memory_fails_alone(tmp_path: Path) -> None:
    code = "import time; time.sleep(0.3); held = b'x' * (4 << 30)"
    outcome = run_python(tmp_path, code, memory_limit=1 << 30)
    assert outcome.error == "exit 1: MemoryError"


def _always(command: list[str]) -> Callable[[Path], list[list[str]]]:
    return lambda _: [command]


def test_subjects_take_turns_and_a_failure_is_not_repeated(tmp_path: Path) -> None:
    capture = tmp_path / "a.pcap"
    capture.write_bytes(b"")
    log = tmp_path / "log"
    note = f"open({str(log)!r}, 'a').write"
    good = [Subject(name, _always([sys.executable, "-c", f"{note}({name!r})"])) for name in "AB"]
    bad = Subject("C", _always([sys.executable, "-c", f"{note}('C'); raise SystemExit('no')"]))
    said: list[str] = []
    series = take_turns(
        [good[0], bad, good[1]], capture, runs=2, limits=Limits(60, 1 << 33), output=tmp_path / "out", tell=said.append
    )

    assert log.read_text() == "ACBAB"
    assert [(one.subject, len(one.outcomes), one.error) for one in series] == [
        ("A", 2, None),
        ("C", 0, "exit 1: no"),
        ("B", 2, None),
    ]
    assert len(said) == 5


def outcome(seconds: float, mib: int = 100) -> Outcome:
    return Outcome(seconds, seconds, mib << 20, None)


def test_a_comparison_is_median_over_median_with_its_goal() -> None:
    web = Generated("web", 1, 1, 1, 1)
    series = [
        Series(WHOLE, [outcome(3), outcome(1), outcome(2)]),
        Series(ENGINE, [outcome(1), outcome(1), outcome(1)]),
        Series(ARGUS, [outcome(4, 50), outcome(4, 50), outcome(5, 50)]),
        Series(TSHARK_CONV, error="exit 2: no"),
    ]
    rows = {(row.subject, row.reference): row for row in compare(web, series)}

    assert set(rows) == {(WHOLE, ENGINE), (WHOLE, ARGUS), (ENGINE, ARGUS)}
    against_argus = rows[WHOLE, ARGUS]
    assert (against_argus.time, against_argus.low, against_argus.high) == (0.5, 0.25, 0.75)
    assert against_argus.memory == 2
    assert (against_argus.goal, against_argus.met) == (0.6, True)
    assert rows[ENGINE, ARGUS].met is None


def test_results_hold_seconds_in_json_and_none_in_the_tables() -> None:
    series = [Series(WHOLE, [outcome(12.345, 250)]), Series(ARGUS, [outcome(12.345 * 2)], listed=7)]
    web = Generated("web", 2_000_000, 79_000, 1, 1)
    failed = Series(ENGINE, error="exit 1: ImportError: x")
    results = Results(1, 1.0, 0, 20 << 20, [Missing(COUNT, "no C compiler")])
    results.measured.append(Measured(web, [*series, failed], compare(web, series)))
    results.growth.append(Growth("web", WHOLE, (1, 2, 4, 8), (10.0, 20.0, 40.0, 80.0), (5, 5, 5, 5)))
    text = results.to_markdown()
    plain = json.loads(results.to_json())

    assert "12.3" not in text
    assert "| web | pcapflow | argus with ra | 0.500 | 0.500 to 0.500 | 2.50 | 0.6 | met |" in text
    assert "| 250 |  | goal 200: missed |" in text
    assert "| web | pcapflow | 1.00, 2.00, 4.00, 8.00 | 0.0% | 1.00, 1.00, 1.00, 1.00 | 0.0% |" in text
    assert "- libpcap count: no C compiler." in text
    assert "- pcapflow engine on web: exit 1: ImportError: x." in text
    assert plain["measured"][0]["series"][0]["median"]["seconds"] == 12.345
    assert plain["growth"][0]["time_line"]["bend"] == pytest.approx(0)


def test_a_line_is_straight_or_bent() -> None:
    straight = fit_line((1, 2, 4, 8), (3.0, 5.0, 9.0, 17.0))
    assert (straight.base, straight.slope, straight.bend) == pytest.approx((1, 2, 0))
    assert fit_line((1, 2, 4, 8), (1.0, 4.0, 16.0, 64.0)).bend > 1
    assert ratios((2.0, 3.0)) == (1, 1.5)


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_reads_the_capture_and_lists_what_is_in_it(name: str, tmp_path: Path) -> None:
    """A peer that skipped the work would make a meaningless ratio."""
    peer = find_peer(name, tmp_path)
    if isinstance(peer, Missing):
        pytest.skip(f"{name}: {peer.reason}")
    capture = tmp_path / "a.pcap"
    made = generate("web", PACKETS, capture)
    output = tmp_path / "out"
    outcome = run(
        peer.commands(capture), output, environment={}, directory=tmp_path, timeout_s=120, memory_limit=1 << 34
    )

    assert outcome.error is None
    if peer.counts is None:
        assert output.read_text().startswith(f"{made.packets} packets")
    else:
        wanted = made.connections if peer.counts == "connections" else made.packets
        assert count_rows(output, peer) == pytest.approx(wanted, rel=0.01)


def test_a_peer_that_is_not_installed_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    reasons = {name: find_peer(name, tmp_path) for name in PEERS}

    assert all(isinstance(peer, Missing) for peer in reasons.values())
    assert reasons[COUNT] == Missing(COUNT, "no C compiler")
    assert reasons[ARGUS] == Missing(ARGUS, "not installed: argus, ra")


def test_the_generate_command_writes_a_capture(tmp_path: Path) -> None:
    path, same = tmp_path / "a.pcap", tmp_path / "b.pcap"
    command = [sys.executable, "-m", "benchmarks", "generate", "web", "--packets", "500", "-o", str(path)]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=True)
    made = generate("web", 500, same)

    assert done.stdout.strip() == f"{path}: 500 packets, {made.connections} connections, {made.size} bytes"
    assert digest(path) == digest(same)


def test_an_unknown_peer_is_named() -> None:
    command = [sys.executable, "-m", "benchmarks", "--peers", "bro"]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert "unknown peer 'bro'" in done.stderr


def test_the_whole_command_measures_and_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in that only opens the capture: every size is measured, the large ones are not kept."""
    stand_in = Subject(WHOLE, lambda path: [[sys.executable, "-c", f"open({str(path)!r}, 'rb').close()"]])
    monkeypatch.setattr("benchmarks.__main__.WORK", tmp_path / "work")
    monkeypatch.setattr("benchmarks.__main__.pcapflow_subjects", lambda *_: [stand_in])
    options = ["--workload", "web", "--scale", "0.0005", "--runs", "2", "--peers", "none", "--growth"]
    status = main([*options, "--out", str(tmp_path / "results")])
    plain = json.loads((tmp_path / "results" / "results.json").read_text())

    assert status == 0
    assert plain["growth"][0]["packets"] == [1000, 2000, 4000, 8000]
    assert len(plain["measured"][0]["series"][0]["outcomes"]) == 2
    assert [path.suffix for path in sorted((tmp_path / "work").iterdir())] == [".json", ".pcap"]


def test_the_whole_command_fails_with_pcapflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Subject(ENGINE, _always([sys.executable, "-c", "raise SystemExit('broken')"]))
    monkeypatch.setattr("benchmarks.__main__.WORK", tmp_path / "work")
    monkeypatch.setattr("benchmarks.__main__.pcapflow_subjects", lambda *_: [broken])
    status = main(["--workload", "small", "--peers", "none", "--engine-only", "--out", str(tmp_path / "results")])

    assert status == 1
    assert "pcapflow engine on small: exit 1: broken." in (tmp_path / "results" / "results.md").read_text()


def test_an_interpreter_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--python", "no/such/python"])

    assert ended.value.code == 2
    assert "no/such/python: no such program" in capsys.readouterr().err
