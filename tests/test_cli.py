"""The command line as somebody at a shell meets it: what goes where, which exit status, and what bad input gives."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

import pcapflow
from pcapflow.cli import cli
from tests.samples import CLOSED, NO_FINAL_ACK, REFUSED, SERVER_IP, capture

ESCAPE = "\x1b["


def run(
    *arguments: str | Path, cwd: Path, data: bytes | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "pcapflow", *map(str, arguments)],
        cwd=cwd,
        input=data,
        env={**os.environ, **(env or {})},
        capture_output=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    return capture(tmp_path / "closed.pcap", CLOSED)


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    return capture(tmp_path / "bad.pcap", CLOSED, NO_FINAL_ACK, REFUSED)


# What analyze writes


def test_a_report_is_written_where_it_is_run_and_said_so(bad: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    done = run("analyze", bad, cwd=here)
    assert done.returncode == 0
    assert done.stderr == b"report: bad.pcapflow.html\n"
    assert [path.name for path in here.iterdir()] == ["bad.pcapflow.html"]
    assert b"PF201" in done.stdout
    assert "PF201" in (here / "bad.pcapflow.html").read_text()


def test_the_summary_counts_and_names(bad: Path, tmp_path: Path) -> None:
    text = run("analyze", bad, "--no-report", cwd=tmp_path).stdout.decode()
    assert "3 connections" in text
    assert re.search(r"PF201\s+missing-final-ack\s+1\s+1\s", text)
    assert re.search(r"PF102\s+connection-refused", text)
    assert re.search(r"LAST_ACK\s+-\s+1", text)
    assert ESCAPE not in text


def test_a_quiet_run_prints_nothing(bad: Path, tmp_path: Path) -> None:
    done = run("analyze", bad, "-q", cwd=tmp_path)
    assert (done.stdout, done.stderr) == (b"", b"")
    assert (tmp_path / "bad.pcapflow.html").is_file()


def test_json_on_standard_output_is_json_alone(bad: Path, tmp_path: Path) -> None:
    done = run("analyze", bad, "--json", "-", "--no-report", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert document["schema"] == "pcapflow-1"
    assert document["summary"]["flows"] == 3
    assert "PF201" in {anomaly["code"] for anomaly in document["anomalies"]}


def test_the_report_on_standard_output_is_the_report_alone(bad: Path, tmp_path: Path) -> None:
    done = run("analyze", bad, "-o", "-", cwd=tmp_path)
    assert done.stdout.lower().startswith(b"<!doctype html>")


def test_standard_input_is_read_and_its_report_named_so(bad: Path, tmp_path: Path) -> None:
    done = run("analyze", "-", cwd=tmp_path, data=bad.read_bytes())
    assert done.returncode == 0
    assert done.stderr == b"report: stdin.pcapflow.html\n"
    assert b"PF201" in done.stdout


def test_the_tables_are_written_as_csv(bad: Path, tmp_path: Path) -> None:
    done = run("analyze", bad, "--no-report", "--tables", "out", cwd=tmp_path)
    assert done.returncode == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "anomalies.csv",
        "flows.csv",
        "marks.csv",
        "transitions.csv",
    ]
    flows = (tmp_path / "out" / "flows.csv").read_text().splitlines()
    assert len(flows) == 4
    assert SERVER_IP in flows[1]


def test_several_captures_get_a_report_each_and_a_bad_one_stops_none(bad: Path, closed: Path, tmp_path: Path) -> None:
    done = run("analyze", bad, "missing.pcap", closed, cwd=tmp_path)
    assert done.returncode == 3
    assert b"pcapflow: missing.pcap: no such file\n" in done.stderr
    assert (tmp_path / "bad.pcapflow.html").is_file()
    assert (tmp_path / "closed.pcapflow.html").is_file()


def test_several_captures_cannot_share_one_file(bad: Path, closed: Path, tmp_path: Path) -> None:
    for option in ("-o", "--json"):
        done = run("analyze", bad, closed, option, "one", cwd=tmp_path)
        assert done.returncode == 2
        assert b"one" in done.stderr
        assert not (tmp_path / "one").exists()


def test_several_captures_share_a_directory(bad: Path, closed: Path, tmp_path: Path) -> None:
    done = run("analyze", bad, closed, "-o", "out/", "--json", "out/", "--tables", "out", cwd=tmp_path)
    assert done.returncode == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "bad",
        "bad.html",
        "bad.json",
        "closed",
        "closed.html",
        "closed.json",
    ]


def test_a_ring_of_files_is_one_capture(tmp_path: Path) -> None:
    whole = capture(tmp_path / "whole.pcap", CLOSED).read_bytes()
    cut = 24
    for _ in range(5):
        cut += 16 + int.from_bytes(whole[cut + 8 : cut + 12], "little")
    (tmp_path / "ring0.pcap").write_bytes(whole[:cut])
    (tmp_path / "ring1.pcap").write_bytes(whole[:24] + whole[cut:])
    done = run("analyze", "ring0.pcap", "ring1.pcap", "--merge", "--json", "-", "--no-report", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert document["summary"]["end_reasons"] == {"closed": 1}
    assert document["capture"]["frames"] == 10


def test_anonymous_outputs_name_no_address_and_no_file(bad: Path, tmp_path: Path) -> None:
    done = run("analyze", bad, "--anonymize", "-o", "r.html", "--json", "r.json", "--tables", "t", cwd=tmp_path)
    assert done.returncode == 0
    texts = [path.read_text() for path in (tmp_path / "r.html", tmp_path / "r.json", *(tmp_path / "t").iterdir())]
    for text in (*texts, done.stdout.decode()):
        assert SERVER_IP not in text
        assert "bad.pcap" not in text
    assert "10.0.0.1" in texts[0]
    assert "LAST_ACK" in texts[0]


def test_the_capture_is_never_overwritten(bad: Path, tmp_path: Path) -> None:
    before = bad.read_bytes()
    done = run("analyze", bad, "-o", "bad.pcap", cwd=tmp_path)
    assert done.returncode == 2
    assert bad.read_bytes() == before


def test_an_output_that_cannot_be_written_is_one_line(bad: Path, tmp_path: Path) -> None:
    done = run("analyze", bad, "-q", "-o", "no/such/directory/r.html", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert b"no/such/directory" in done.stderr


# Exit status


@pytest.mark.parametrize(("severity", "status"), [("high", 1), ("medium", 1), ("low", 1), ("info", 1)])
def test_anomalies_at_or_above_fail_on(bad: Path, tmp_path: Path, severity: str, status: int) -> None:
    assert run("analyze", bad, "--no-report", "-q", "--fail-on", severity, cwd=tmp_path).returncode == status


def test_a_clean_capture_never_fails(closed: Path, tmp_path: Path) -> None:
    assert run("analyze", closed, "--no-report", "-q", "--fail-on", "info", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [[], ["analyze"], ["nonsense"], ["analyze", "x", "--fail-on", "bad"], ["batch", "x"], ["show", "x", "y"]],
    ids=" ".join,
)
def test_wrong_usage_is_status_2(arguments: Sequence[str], tmp_path: Path) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert b"Usage" in done.stdout + done.stderr
    assert b"Traceback" not in done.stderr


def test_a_wrong_setting_is_wrong_usage(bad: Path, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("stuck_minutes = 3\n")
    done = run("analyze", bad, "--config", "own.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert b"stuck_minutes" in done.stderr


# Bad input


def unreadable(kind: str, directory: Path) -> Path:
    path = directory / kind
    if kind == "directory":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("GET / HTTP/1.1\r\n\r\n" * 10)
    elif kind == "short":
        path.write_bytes(b"\xd4")
    elif kind == "forbidden":
        capture(path, CLOSED)
        path.chmod(0)
    return path


@pytest.mark.parametrize("kind", ["directory", "empty", "text", "short", "missing", "forbidden"])
@pytest.mark.parametrize("command", [["analyze"], ["states"], ["show"]])
def test_bad_input_is_one_clear_line_and_status_3(kind: str, command: list[str], tmp_path: Path) -> None:
    path = unreadable(kind, tmp_path)
    if kind == "forbidden" and os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    done = run(*command, path.name, *(["0"] if command == ["show"] else []), cwd=tmp_path)
    assert done.returncode == 3
    assert done.stdout == b""
    assert done.stderr.startswith(f"pcapflow: {kind}: ".encode())
    assert done.stderr.count(b"\n") == 1
    assert list(tmp_path.glob("*.html")) == []


def test_a_capture_cut_off_is_analysed_as_far_as_it_goes(closed: Path, tmp_path: Path) -> None:
    closed.write_bytes(closed.read_bytes()[:-20])
    done = run("analyze", closed, "--json", "-", "--no-report", cwd=tmp_path)
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert document["capture"]["frames"] == 9
    assert "PF904" in {anomaly["code"] for anomaly in document["anomalies"]}


def test_a_file_name_cannot_command_the_terminal(tmp_path: Path) -> None:
    name = "evil\x1b[2J\nname.pcap"
    capture(tmp_path / name, CLOSED)
    done = run("analyze", name, cwd=tmp_path)
    assert done.returncode == 0
    assert b"\x1b" not in done.stdout + done.stderr
    assert run("analyze", "gone\x1b[2J", cwd=tmp_path).stderr == b"pcapflow: gone\\x1b[2J: no such file\n"


# Terminals, pipes and signals


def on_a_terminal(arguments: Sequence[str], cwd: Path, env: dict[str, str]) -> str:
    """What the program writes when its standard output is a terminal."""
    main, side = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "FORCE_COLOR"}}
    with subprocess.Popen(
        [sys.executable, "-m", "pcapflow", *arguments],
        cwd=cwd,
        stdout=side,
        stderr=subprocess.DEVNULL,
        env={**environment, "TERM": "xterm-256color", **env},
    ) as process:
        os.close(side)
        pieces = []
        while True:
            try:
                piece = os.read(main, 65536)
            except OSError:  # Linux says EIO when the other side is closed
                break
            if not piece:
                break
            pieces.append(piece)
        process.wait(timeout=60)
    os.close(main)
    return b"".join(pieces).decode()


def test_colours_only_on_a_terminal_that_wants_them(bad: Path, tmp_path: Path) -> None:
    arguments = ["analyze", str(bad), "--no-report"]
    assert ESCAPE in on_a_terminal(arguments, tmp_path, {})
    plain = on_a_terminal(arguments, tmp_path, {"NO_COLOR": "1"})
    assert "PF201" in plain
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", plain)


def test_a_reader_that_goes_away_is_no_fault(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "pcapflow", "rules"], cwd=tmp_path, stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert done.returncode == 0
    assert done.stderr == b""


def test_an_interrupted_run_ends_with_a_line_and_leaves_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "pcapflow", "analyze", "-"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(capture(tmp_path / "a.pcap", CLOSED).read_bytes())
        process.stdin.flush()
        time.sleep(2)  # it has started, read all there is, and waits for more
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert process.stderr.read() == b"pcapflow: interrupted\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.pcap"]


def test_a_report_has_the_permissions_of_any_file(closed: Path, tmp_path: Path) -> None:
    run("analyze", closed, "-q", cwd=tmp_path)
    (tmp_path / "other").touch()
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("closed.pcapflow.html", "other")}
    assert len(modes) == 1


# The other commands


def test_states_counts_at_the_end_and_at_a_moment(bad: Path, tmp_path: Path) -> None:
    end = run("states", bad, cwd=tmp_path).stdout.decode()
    assert re.search(r"LAST_ACK\s+-\s+1", end)
    assert re.search(r"TIME_WAIT\s+2\s+-", end) or re.search(r"TIME_WAIT\s+\d", end)
    middle = run("states", bad, "--at", "0.003", cwd=tmp_path).stdout.decode()
    assert re.search(r"ESTABLISHED\s+1\s+1", middle)
    same = run("states", bad, "--at", "2026-01-02T03:00:00.003Z", cwd=tmp_path).stdout.decode()
    assert same == middle
    assert run("states", bad, "--at", "noon", cwd=tmp_path).returncode == 2


def test_show_draws_the_connection_and_explains_each_transition(bad: Path, tmp_path: Path) -> None:
    text = run("show", bad, "1", cwd=tmp_path).stdout.decode()
    assert re.search(r"SYN\s+seq 0 -->", text)
    assert re.search(r"server\s+CLOSE_WAIT\s+LAST_ACK\s+FIN sent\s+sent", text)
    assert "PF201 missing-final-ack" in text
    assert "tcp.stream == 1" in text


def test_show_says_which_flows_there_are(bad: Path, tmp_path: Path) -> None:
    done = run("show", bad, "3", cwd=tmp_path)
    assert done.returncode == 2
    assert b"the capture has 3 connections, numbered from 0" in done.stderr


def test_rules_lists_the_catalogue_and_explains_one(tmp_path: Path) -> None:
    assert b"PF201" in run("rules", cwd=tmp_path).stdout
    by_code, by_name = (run("rules", name, cwd=tmp_path).stdout for name in ("pf201", "missing-final-ack"))
    assert by_code == by_name
    assert b"Means" in by_code
    assert run("rules", "PF000", cwd=tmp_path).returncode == 2


def test_the_version_is_the_packages(tmp_path: Path) -> None:
    assert run("--version", cwd=tmp_path).stdout == f"pcapflow {pcapflow.__version__}\n".encode()


# Start-up


def modules_after(code: str, cwd: Path) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], cwd=cwd, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_importing_the_package_costs_next_to_nothing(tmp_path: Path) -> None:
    loaded = modules_after("import pcapflow", tmp_path)
    assert not loaded & {"numpy", "pandas", "jinja2", "rich", "click", "pyshark"}


def test_a_command_imports_only_what_it_uses(closed: Path, tmp_path: Path) -> None:
    code = f"from pcapflow.cli import run; run(['analyze', {str(closed)!r}, '--no-report', '-q'])"
    loaded = modules_after(code, tmp_path)
    assert "numpy" in loaded
    assert not loaded & {"pandas", "jinja2", "rich", "pyshark"}
    assert "pandas" not in modules_after(code.replace(", '--no-report'", ""), tmp_path)


# Documents


def test_every_command_and_option_is_in_the_readme() -> None:
    text = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
    for name, command in cli.commands.items():
        assert f"pcapflow {name}" in text
        for parameter in command.params:
            longest = max(parameter.opts, key=len)
            if longest.startswith("--"):
                assert f"`{longest}" in text, f"{name} {longest} is not described"


def test_every_option_in_the_readme_exists() -> None:
    text = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
    known = {option for command in cli.commands.values() for parameter in command.params for option in parameter.opts}
    described = set(re.findall(r"`(--[a-z-]+)", text))
    assert described - known <= {"--help", "--version"}
