"""Ctrl-C and SIGTERM while a stream is read: real processes, real signals, and what is on disk afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from pcapflow.reader.stream import EndableStream
from tests.processes import as_at_a_shell, until
from tests.samples import CLOSED, capture

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals, process groups and named pipes")

PATIENCE_S = 60
FILE_HEADER, RECORD_HEADER = 24, 16
COMMAND = [sys.executable, "-m", "pcapflow", "analyze"]
OUTPUTS = ["-o", "r.html", "--json", "r.json", "--tables", "tables"]

TRICKLE = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_DFL)
out, data = sys.stdout.buffer, open(sys.argv[1], "rb").read()
size, sent = 24, 0
out.write(data[:24])
while size < len(data):
    end = size + 16 + int.from_bytes(data[size + 8 : size + 12], "little")
    out.write(data[size:end])
    out.flush()
    size, sent = end, sent + 1
    open(sys.argv[2], "w").write(str(sent))
    time.sleep(0.01)
time.sleep(600)
"""
"""Writes a capture record by record, notes how many it has written, and never closes its output."""


@pytest.fixture
def long(tmp_path: Path) -> Path:
    return capture(tmp_path / "long.pcap", *[CLOSED] * 1000)


@contextlib.contextmanager
def running(
    command: Sequence[str], cwd: Path, *, stdin: int | None = subprocess.PIPE, alone: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """A process with the default handlers, in a process group of its own if ``alone``; killed if it is left."""
    with subprocess.Popen(
        command,
        cwd=cwd,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=as_at_a_shell,  # noqa: PLW1509 -- it starts no thread and takes no lock
        process_group=0 if alone else None,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def wait_for(condition: Callable[[], object], what: str) -> None:
    until(condition, what, PATIENCE_S)


def unread(pipe: int) -> int:
    """Bytes that wait in a pipe."""
    import array
    import fcntl
    import termios

    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


def is_drunk_up(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process has taken all that was written to its standard input."""
    assert process.stdin is not None
    return unread(process.stdin.fileno()) == 0


def document(directory: Path) -> dict[str, object]:
    members: dict[str, object] = json.loads((directory / "r.json").read_text(encoding="utf-8"))
    return members


def check_outputs(directory: Path, frames: int) -> None:
    """All outputs are there, whole, with these frames, and say that the user ended the reading."""
    members = document(directory)
    found = members["capture"]
    assert isinstance(found, dict)
    assert found["frames"] == frames
    assert found["truncated"] == ""
    assert len(found["notes"]) == 1
    assert "ended by the user" in found["notes"][0]
    assert "PF904" not in json.dumps(members)
    page = (directory / "r.html").read_text(encoding="utf-8")
    assert page.rstrip().endswith("</html>")
    assert "ended by the user" in page
    assert {path.name for path in (directory / "tables").iterdir()} >= {"flows.csv", "transitions.csv"}
    assert list(directory.glob(".*")) == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_ends_the_reading_and_all_is_reported(
    long: Path, tmp_path: Path, number: int, status: int
) -> None:
    data = long.read_bytes()
    with running([*COMMAND, "-", *OUTPUTS], tmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(data)
        process.stdin.flush()
        wait_for(lambda: is_drunk_up(process), "all is read")
        process.send_signal(number)
        # The writer never closes: the reading ends all the same.
        assert process.wait(PATIENCE_S) == status
        text = process.stdout.read().decode()
    check_outputs(tmp_path, 10_000)
    assert "note: the reading was ended by the user" in text


def test_what_is_written_after_the_signal_is_still_taken(long: Path, tmp_path: Path) -> None:
    """As tcpdump does, which writes what it holds when the same Ctrl-C reaches it."""
    data = long.read_bytes()
    with running([*COMMAND, "-", *OUTPUTS], tmp_path) as process:
        assert process.stdin is not None
        process.stdin.write(data[: len(data) // 2])
        process.stdin.flush()
        wait_for(lambda: is_drunk_up(process), "the first half is read")
        process.send_signal(signal.SIGINT)
        process.stdin.write(data[len(data) // 2 :])
        process.stdin.close()
        assert process.wait(PATIENCE_S) == 130
    check_outputs(tmp_path, 10_000)


def test_half_a_record_in_the_pipe_is_no_fault_of_the_capture(long: Path, tmp_path: Path) -> None:
    data = long.read_bytes()
    with running([*COMMAND, "-", *OUTPUTS], tmp_path) as process:
        assert process.stdin is not None
        process.stdin.write(data[:-20])
        process.stdin.flush()
        wait_for(lambda: is_drunk_up(process), "all is read")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130
    check_outputs(tmp_path, 9_999)


def test_half_a_record_without_a_signal_is_a_capture_cut_off(long: Path, tmp_path: Path) -> None:
    command = [*COMMAND, "-", "--no-report", "--json", "r.json", "-q"]
    subprocess.run(command, cwd=tmp_path, input=long.read_bytes()[:-20], check=True)
    assert "PF904" in json.dumps(document(tmp_path))


@pytest.mark.parametrize("whom", ["the process group", "pcapflow alone"])
def test_a_pipeline_at_a_shell(long: Path, tmp_path: Path, whom: str) -> None:
    """What the writer wrote until it was ended, or until the stream was read no longer, is what is counted."""
    (tmp_path / "trickle.py").write_text(TRICKLE)
    script = (
        f"'{sys.executable}' trickle.py '{long}' sent | "
        f"sh -c 'echo $$ > pid; exec {sys.executable} -m pcapflow analyze - {' '.join(OUTPUTS)}'; "
        "echo $? > status"
    )
    with running(["sh", "-c", f"trap : INT; {script}"], tmp_path, stdin=subprocess.DEVNULL, alone=True) as shell:
        wait_for(lambda: (tmp_path / "sent").exists() and int((tmp_path / "sent").read_text() or 0) > 200, "records")
        before = int((tmp_path / "sent").read_text() or 0)
        if whom == "the process group":
            os.killpg(shell.pid, signal.SIGINT)
        else:
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGINT)
        shell.wait(PATIENCE_S)
    assert (tmp_path / "status").read_text() == "130\n"
    found = document(tmp_path)["capture"]
    assert isinstance(found, dict)
    sent = int((tmp_path / "sent").read_text())
    if whom == "the process group":
        # The last record may be written and not yet noted.
        assert found["frames"] - sent in {0, 1}
    else:
        # The writer goes on until the pipe has no reader any more.
        assert before <= found["frames"] <= sent + 1
    check_outputs(tmp_path, found["frames"])


def test_a_second_signal_stops_at_once_and_writes_nothing(long: Path, tmp_path: Path) -> None:
    with running([*COMMAND, "-", *OUTPUTS], tmp_path) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(long.read_bytes())
        process.stdin.flush()
        wait_for(lambda: is_drunk_up(process), "all is read")
        process.send_signal(signal.SIGINT)
        # The writer is not through, so the stream is still read.
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130
        assert process.stderr.read().endswith(b"pcapflow: interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == ["long.pcap"]


@pytest.mark.parametrize("begun", [b"", b"\xd4\xc3"], ids=["nothing came", "two bytes came"])
def test_a_signal_before_a_capture_came_is_one_line(tmp_path: Path, begun: bytes) -> None:
    with running([*COMMAND, "-", *OUTPUTS], tmp_path) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(begun)
        process.stdin.flush()
        # Once it has its standard input alone to wait for it hears the signal in a system call.
        wait_for(lambda: is_waiting(process.pid), "it waits")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130
        assert process.stderr.read() == b"pcapflow: -: interrupted before a capture came\n"
    assert list(tmp_path.iterdir()) == []


def is_waiting(pid: int) -> bool:
    """Whether a process has taken SIGTERM, and has had the time since to come to its first read."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        time.sleep(5)
        return True
    caught = next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("SigCgt"))
    if not int(caught, 16) >> signal.SIGTERM - 1 & 1:
        return False
    time.sleep(1.5)
    return True


def test_a_named_pipe_is_a_stream_too(long: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with running([*COMMAND, "pipe", *OUTPUTS], tmp_path) as process, pipe.open("wb") as writer:
        writer.write(long.read_bytes())
        writer.flush()
        wait_for(lambda: unread(writer.fileno()) == 0, "all is read")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130
    check_outputs(tmp_path, 10_000)


def test_a_named_pipe_that_nobody_writes_to_is_let_go(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with running([*COMMAND, "pipe", *OUTPUTS], tmp_path) as process:
        assert process.stderr is not None
        wait_for(lambda: is_waiting(process.pid), "it waits for a writer")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130
        assert process.stderr.read().endswith(b"pcapflow: interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_a_compressed_stream_that_is_ended_is_not_damaged(long: Path, tmp_path: Path) -> None:
    import gzip

    data = gzip.compress(long.read_bytes())
    with running([*COMMAND, "-", *OUTPUTS], tmp_path) as process:
        assert process.stdin is not None
        process.stdin.write(data[:-1000])
        process.stdin.flush()
        wait_for(lambda: is_drunk_up(process), "all is read")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130
    found = document(tmp_path)["capture"]
    assert isinstance(found, dict)
    assert 1000 < found["frames"] < 10_000
    check_outputs(tmp_path, found["frames"])


def test_pyshark_reports_what_a_stream_held_when_it_was_ended(long: Path, tmp_path: Path, tshark: str) -> None:
    del tshark
    data = long.read_bytes()[: FILE_HEADER + 200_000]
    with running([*COMMAND, "-", "--reader", "pyshark", *OUTPUTS], tmp_path) as process:
        assert process.stdin is not None
        process.stdin.write(data)
        process.stdin.flush()
        wait_for(lambda: is_drunk_up(process), "all is read")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130
    found = document(tmp_path)["capture"]
    assert isinstance(found, dict)
    assert found["frames"] > 1000
    check_outputs(tmp_path, found["frames"])


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="capturing needs root")
def test_tcpdump_into_pcapflow_and_ctrl_c(tmp_path: Path) -> None:
    if shutil.which("tcpdump") is None:
        pytest.skip("tcpdump is not installed")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        script = (
            f"trap : INT; tcpdump -i lo -s 256 -B 4096 -U -w - tcp port {port} 2> tcpdump.log | "
            f"sh -c 'echo $$ > pid; exec {sys.executable} -m pcapflow analyze - {' '.join(OUTPUTS)}'; echo $? > status"
        )
        with running(["sh", "-c", script], tmp_path, stdin=subprocess.DEVNULL, alone=True) as shell:
            log = tmp_path / "tcpdump.log"
            wait_for(lambda: log.exists() and log.read_text(), "tcpdump says something")
            wait_for(lambda: "listening on" in log.read_text() or shell.poll() is not None, "tcpdump listens")
            if "listening on" not in log.read_text():
                pytest.skip(f"tcpdump cannot capture here: {log.read_text().strip()}")
            for _ in range(20):
                with socket.create_connection(("127.0.0.1", port)) as client:
                    accepted, _ = server.accept()
                    client.sendall(b"hello")
                    accepted.close()
            # What tcpdump has not taken from the kernel by then it never will.
            time.sleep(2)
            wait_for(lambda: is_waiting(int((tmp_path / "pid").read_text())), "pcapflow waits for more")
            os.killpg(shell.pid, signal.SIGINT)
            shell.wait(PATIENCE_S)
    assert (tmp_path / "status").read_text() == "130\n"
    captured = [line for line in log.read_text().splitlines() if line.endswith(("packets captured", "packet captured"))]
    frames = int(captured[0].split()[0])
    assert frames >= 20 * 5
    check_outputs(tmp_path, frames)


def test_other_outputs_of_several_captures_are_written_too(long: Path, tmp_path: Path) -> None:
    with running([*COMMAND, "-", str(long), "-o", "out/", "-q"], tmp_path) as process:
        assert process.stdin is not None
        process.stdin.write(long.read_bytes())
        process.stdin.flush()
        wait_for(lambda: is_drunk_up(process), "all is read")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["long.html", "stdin.html"]


def test_the_python_api_leaves_signals_alone(tmp_path: Path) -> None:
    code = (
        "import pcapflow, signal\n"
        "before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)\n"
        "pcapflow.analyze('-')\n"
        "assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))\n"
    )
    data = capture(tmp_path / "a.pcap", CLOSED).read_bytes()
    subprocess.run([sys.executable, "-c", code], input=data, check=True)


def test_where_select_cannot_wait_the_signal_ends_the_read(tmp_path: Path) -> None:
    """On Windows select knows sockets alone; here it is made to."""
    code = (
        "import select, sys\n"
        "def select_of_sockets(*_): raise OSError(10038, 'not a socket')\n"
        "select.select = select_of_sockets\n"
        "from pcapflow.cli.main import run\n"
        "sys.exit(run(['analyze', '-', *sys.argv[1:]]))\n"
    )
    data = capture(tmp_path / "a.pcap", *[CLOSED] * 100).read_bytes()
    with running([sys.executable, "-c", code, *OUTPUTS], tmp_path) as process:
        assert process.stdin is not None
        process.stdin.write(data)
        process.stdin.flush()
        wait_for(lambda: is_drunk_up(process), "all is read")
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130
    check_outputs(tmp_path, 1000)


def test_a_stream_is_ended_from_another_thread_as_well(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    stream = EndableStream(str(pipe))
    got: list[bytes] = []

    def read() -> None:
        while piece := stream.read(100):
            got.append(piece)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    with pipe.open("wb", buffering=0) as writer:
        writer.write(b"one")
        wait_for(lambda: got, "a piece is read")
        stream.end()
        writer.write(b"two")
        reader.join(PATIENCE_S)
        assert not reader.is_alive()
    assert b"".join(got) == b"onetwo"
    assert stream.read(100) == b""
    stream.close()
    assert stream.closed
