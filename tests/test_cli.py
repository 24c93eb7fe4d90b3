"""The command line as somebody at a shell meets it: what goes where, which exit status, and what bad input gives."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

import pcapflow
from pcapflow.cli.main import COMMANDS, cli, run
from tests.samples import CLOSED, NO_FINAL_ACK, REFUSED, SERVER_IP, capture

ESCAPE = "\x1b["


@dataclasses.dataclass
class Done:
    """How a command ended, and what it wrote."""

    status: int
    stdout: str
    stderr: str


class Shell:
    """Runs commands in this process, which is many times faster than starting one, in a directory of their own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.cd(home)

    def cd(self, directory: Path) -> None:
        self._monkeypatch.chdir(directory)

    def __call__(self, *arguments: str | Path, data: bytes | None = None) -> Done:
        if data is not None:
            self._monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
        self._capsys.readouterr()
        status = run([str(argument) for argument in arguments])
        written = self._capsys.readouterr()
        return Done(status, written.out, written.err)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(monkeypatch, capsys, tmp_path)


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    return capture(tmp_path / "closed.pcap", CLOSED)


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    return capture(tmp_path / "bad.pcap", CLOSED, NO_FINAL_ACK, REFUSED)


# What analyze writes


def test_a_report_is_written_where_it_is_run_and_said_so(shell: Shell, bad: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    shell.cd(here)
    done = shell("analyze", bad)
    assert done.status == 0
    assert done.stderr == "report: bad.pcapflow.html\n"
    assert [path.name for path in here.iterdir()] == ["bad.pcapflow.html"]
    assert "PF201" in done.stdout
    assert "PF201" in (here / "bad.pcapflow.html").read_text()


def test_the_summary_counts_and_names(shell: Shell, bad: Path) -> None:
    text = shell("analyze", bad, "--no-report").stdout
    assert "3 connections" in text
    assert re.search(r"PF201\s+missing-final-ack\s+1\s+1\s", text)
    assert re.search(r"PF102\s+connection-refused", text)
    assert re.search(r"LAST_ACK\s+-\s+1", text)
    assert ESCAPE not in text


def test_a_quiet_run_prints_nothing(shell: Shell, bad: Path, tmp_path: Path) -> None:
    done = shell("analyze", bad, "-q")
    assert (done.stdout, done.stderr) == ("", "")
    assert (tmp_path / "bad.pcapflow.html").is_file()


def test_json_on_standard_output_is_json_alone(shell: Shell, bad: Path) -> None:
    done = shell("analyze", bad, "--json", "-", "--no-report")
    document = json.loads(done.stdout)
    assert document["schema"] == "pcapflow-1"
    assert document["summary"]["flows"] == 3
    assert "PF201" in {anomaly["code"] for anomaly in document["anomalies"]}


def test_the_report_on_standard_output_is_the_report_alone(shell: Shell, bad: Path) -> None:
    done = shell("analyze", bad, "-o", "-")
    assert done.stdout.lower().startswith("<!doctype html>")


def test_standard_input_is_read_and_its_report_named_so(shell: Shell, bad: Path) -> None:
    done = shell("analyze", "-", data=bad.read_bytes())
    assert done.status == 0
    assert done.stderr == "report: stdin.pcapflow.html\n"
    assert "PF201" in done.stdout


def test_the_tables_are_written_as_csv(shell: Shell, bad: Path, tmp_path: Path) -> None:
    done = shell("analyze", bad, "--no-report", "--tables", "out")
    assert done.status == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "anomalies.csv",
        "flows.csv",
        "hosts.csv",
        "incidents.csv",
        "marks.csv",
        "transitions.csv",
    ]
    flows = (tmp_path / "out" / "flows.csv").read_text().splitlines()
    assert len(flows) == 4
    assert SERVER_IP in flows[1]


def test_several_captures_get_a_report_each_and_a_bad_one_stops_none(
    shell: Shell, bad: Path, closed: Path, tmp_path: Path
) -> None:
    done = shell("analyze", bad, "missing.pcap", closed)
    assert done.status == 3
    assert "pcapflow: missing.pcap: no such file\n" in done.stderr
    assert (tmp_path / "bad.pcapflow.html").is_file()
    assert (tmp_path / "closed.pcapflow.html").is_file()


def test_several_captures_cannot_share_one_file(shell: Shell, bad: Path, closed: Path, tmp_path: Path) -> None:
    for option in ("-o", "--json"):
        done = shell("analyze", bad, closed, option, "one")
        assert done.status == 2
        assert "one" in done.stderr
        assert not (tmp_path / "one").exists()


def test_several_captures_share_a_directory(shell: Shell, bad: Path, closed: Path, tmp_path: Path) -> None:
    done = shell("analyze", bad, closed, "-o", "out/", "--json", "out/", "--tables", "out")
    assert done.status == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "bad",
        "bad.html",
        "bad.json",
        "closed",
        "closed.html",
        "closed.json",
    ]


def test_a_ring_of_files_is_one_capture(shell: Shell, tmp_path: Path) -> None:
    whole = capture(tmp_path / "whole.pcap", CLOSED).read_bytes()
    cut = 24
    for _ in range(5):
        cut += 16 + int.from_bytes(whole[cut + 8 : cut + 12], "little")
    (tmp_path / "ring0.pcap").write_bytes(whole[:cut])
    (tmp_path / "ring1.pcap").write_bytes(whole[:24] + whole[cut:])
    done = shell("analyze", "ring0.pcap", "ring1.pcap", "--merge", "--json", "-", "--no-report")
    document = json.loads(done.stdout)
    assert document["summary"]["end_reasons"] == {"closed": 1}
    assert document["capture"]["frames"] == 10


def test_anonymous_outputs_name_no_address_and_no_file(shell: Shell, bad: Path, tmp_path: Path) -> None:
    done = shell("analyze", bad, "--anonymize", "-o", "r.html", "--json", "r.json", "--tables", "t")
    assert done.status == 0
    texts = [path.read_text() for path in (tmp_path / "r.html", tmp_path / "r.json", *(tmp_path / "t").iterdir())]
    for text in (*texts, done.stdout):
        assert SERVER_IP not in text
        assert "bad.pcap" not in text
    assert "10.0.0.1" in texts[0]
    assert "LAST_ACK" in texts[0]


def test_the_capture_is_never_overwritten(shell: Shell, bad: Path) -> None:
    before = bad.read_bytes()
    done = shell("analyze", bad, "-o", "bad.pcap")
    assert done.status == 2
    assert bad.read_bytes() == before


def test_an_output_that_cannot_be_written_is_one_line(shell: Shell, bad: Path) -> None:
    done = shell("analyze", bad, "-q", "-o", "no/such/directory/r.html")
    assert done.status == 4
    assert done.stderr.count("\n") == 1
    assert "no/such/directory" in done.stderr


# Exit status


@pytest.mark.parametrize(("severity", "status"), [("high", 0), ("medium", 1), ("low", 1), ("info", 1)])
def test_anomalies_at_or_above_fail_on(shell: Shell, bad: Path, severity: str, status: int) -> None:
    assert shell("analyze", bad, "--no-report", "-q", "--fail-on", severity).status == status


@pytest.mark.parametrize(
    ("gate", "status"), [("PF201", 1), ("missing-final-ack", 1), ("high,pf102", 1), ("PF202,high", 0)]
)
def test_single_rules_fail_however_mild(shell: Shell, bad: Path, gate: str, status: int) -> None:
    assert shell("analyze", bad, "--no-report", "-q", "--fail-on", gate).status == status


def test_faults_of_the_capture_fail_by_code_alone(shell: Shell, closed: Path) -> None:
    closed.write_bytes(closed.read_bytes()[:-20])
    assert shell("analyze", closed, "--no-report", "-q", "--fail-on", "PF904").status == 1
    # The end that is missing is no fault of a host's.
    assert shell("analyze", closed, "--no-report", "-q", "--fail-on", "high").status == 0


def test_what_fired_is_not_hidden_by_what_cannot_be_read(shell: Shell, bad: Path) -> None:
    orders: list[list[str | Path]] = [[bad, "gone.pcap"], ["gone.pcap", bad]]
    for order in orders:
        done = shell("analyze", *order, "--no-report", "-q", "--fail-on", "medium")
        assert (done.status, done.stderr) == (1, "pcapflow: gone.pcap: no such file\n")


def test_a_word_that_is_no_gate_is_told_what_there_is(shell: Shell, bad: Path) -> None:
    done = shell("analyze", bad, "--fail-on", "hihg")
    assert done.status == 2
    assert "severities are info, low, medium, high; codes are PI101, " in done.stderr


def test_a_clean_capture_never_fails(shell: Shell, closed: Path) -> None:
    assert shell("analyze", closed, "--no-report", "-q", "--fail-on", "info").status == 0


@pytest.mark.parametrize(
    "arguments",
    [[], ["analyze"], ["nonsense"], ["analyze", "x", "--fail-on", "bad"], ["batch", "x"], ["show", "x", "y"]],
    ids=" ".join,
)
def test_wrong_usage_is_status_2(shell: Shell, arguments: Sequence[str]) -> None:
    done = shell(*arguments)
    assert done.status == 2
    assert "Usage" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_setting_is_wrong_usage(shell: Shell, bad: Path, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("stuck_minutes = 3\n")
    done = shell("analyze", bad, "--config", "own.toml")
    assert done.status == 2
    assert "stuck_minutes" in done.stderr


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
def test_bad_input_is_one_clear_line_and_status_3(shell: Shell, kind: str, command: list[str], tmp_path: Path) -> None:
    path = unreadable(kind, tmp_path)
    if kind == "forbidden" and os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    done = shell(*command, path.name, *(["0"] if command == ["show"] else []))
    assert done.status == 3
    assert done.stdout == ""
    assert done.stderr.startswith(f"pcapflow: {kind}: ")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.glob("*.html")) == []


def test_a_capture_cut_off_is_analysed_as_far_as_it_goes(shell: Shell, closed: Path) -> None:
    closed.write_bytes(closed.read_bytes()[:-20])
    done = shell("analyze", closed, "--json", "-", "--no-report")
    assert done.status == 0
    document = json.loads(done.stdout)
    assert document["capture"]["frames"] == 9
    assert "PF904" in {anomaly["code"] for anomaly in document["anomalies"]}


def test_a_file_name_cannot_command_the_terminal(shell: Shell, tmp_path: Path) -> None:
    name = "evil\x1b[2J\nname.pcap"
    capture(tmp_path / name, CLOSED)
    done = shell("analyze", name)
    assert done.status == 0
    assert "\x1b" not in done.stdout + done.stderr
    assert shell("analyze", "gone\x1b[2J").stderr == "pcapflow: gone\\x1b[2J: no such file\n"


# Terminals, pipes and signals


def on_a_terminal(arguments: Sequence[str], cwd: Path, env: dict[str, str]) -> str:
    """What the program writes when its standard output is a terminal."""
    pty = pytest.importorskip("pty", reason="needs pseudo-terminals")
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


def test_a_report_has_the_permissions_of_any_file(shell: Shell, closed: Path, tmp_path: Path) -> None:
    shell("analyze", closed, "-q")
    (tmp_path / "other").touch()
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("closed.pcapflow.html", "other")}
    assert len(modes) == 1


# The other commands


def test_states_counts_at_the_end_and_at_a_moment(shell: Shell, bad: Path) -> None:
    end = shell("states", bad).stdout
    assert re.search(r"LAST_ACK\s+-\s+1", end)
    assert re.search(r"TIME_WAIT\s+2\s+-", end) or re.search(r"TIME_WAIT\s+\d", end)
    middle = shell("states", bad, "--at", "0.003").stdout
    assert re.search(r"ESTABLISHED\s+1\s+1", middle)
    same = shell("states", bad, "--at", "2026-01-02T03:00:00.003Z").stdout
    assert same == middle
    assert shell("states", bad, "--at", "noon").status == 2


def test_show_draws_the_connection_and_explains_each_transition(shell: Shell, bad: Path) -> None:
    text = shell("show", bad, "1").stdout
    assert re.search(r"SYN\s+seq 0 -->", text)
    assert re.search(r"server\s+CLOSE_WAIT\s+LAST_ACK\s+FIN sent\s+sent", text)
    assert "PF201 missing-final-ack" in text
    assert "tcp.stream == 1" in text


def test_show_says_which_flows_there_are(shell: Shell, bad: Path) -> None:
    done = shell("show", bad, "3")
    assert done.status == 2
    assert "the capture has 3 connections, numbered from 0" in done.stderr


def test_rules_lists_the_catalogue_and_explains_one(shell: Shell) -> None:
    assert "PF201" in shell("rules").stdout
    by_code, by_name = (shell("rules", name).stdout for name in ("pf201", "missing-final-ack"))
    assert by_code == by_name
    assert "Means" in by_code
    assert shell("rules", "PF000").status == 2


def test_the_version_is_the_packages(shell: Shell) -> None:
    assert shell("--version").stdout == f"pcapflow {pcapflow.version.__version__}\n"


@pytest.mark.skipif(os.name != "posix", reason="needs a shell that closes streams")
@pytest.mark.parametrize("stream", [1, 2])
def test_a_stream_that_is_closed_is_written_to_nowhere(stream: int, closed: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    command = f"{shlex.quote(sys.executable)} -m pcapflow analyze {shlex.quote(str(closed))} -o {report} {stream}>&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)

    assert done.returncode == 0
    assert report.read_text(encoding="utf-8").endswith("</html>")
    assert ("1 connection" in done.stdout) == (stream == 2)
    assert ("report:" in done.stderr) == (stream == 1)


# Start-up


def modules_after(code: str, cwd: Path) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], cwd=cwd, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_importing_the_package_costs_next_to_nothing(tmp_path: Path) -> None:
    loaded = modules_after("import pcapflow", tmp_path)
    assert not loaded & {"numpy", "pandas", "jinja2", "rich", "click", "pyshark"}


def test_a_command_imports_only_what_it_uses(closed: Path, tmp_path: Path) -> None:
    code = f"from pcapflow.cli.main import run; run(['analyze', {str(closed)!r}, '--no-report', '-q'])"
    loaded = modules_after(code, tmp_path)
    assert "numpy" in loaded
    assert not loaded & {"pandas", "jinja2", "rich", "pyshark"}
    assert "pandas" not in modules_after(code.replace(", '--no-report'", ""), tmp_path)


# Documents


def commands() -> dict[str, click.Command]:
    context = click.Context(cli)
    found = {name: cli.get_command(context, name) for name in COMMANDS}
    return {name: command for name, command in found.items() if command is not None}


def test_every_command_and_option_is_in_the_readme() -> None:
    text = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
    for name, command in commands().items():
        assert f"pcapflow {name}" in text
        for parameter in command.params:
            longest = max(parameter.opts, key=len)
            if longest.startswith("--"):
                assert f"`{longest}" in text, f"{name} {longest} is not described"


def test_every_option_in_the_readme_exists() -> None:
    text = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
    known = {option for command in commands().values() for parameter in command.params for option in parameter.opts}
    described = set(re.findall(r"`(--[a-z-]+)", text))
    assert described - known <= {"--help", "--version"}
