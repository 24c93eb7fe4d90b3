"""Outputs that cannot be written: a full disk, a read-only one, a directory in the way; and what killed runs leave."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pcapflow.export.files import atomic_path
from tests.processes import Running, run, slow_capture, until
from tests.samples import CLOSED, capture

FULL = Path("/dev/full")
needs_dev_full = pytest.mark.skipif(not FULL.is_char_device(), reason="there is no /dev/full")


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    return capture(tmp_path / "closed.pcap", CLOSED)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that holds a few kilobytes."""
    yield from mounted(tmp_path / "disk", "size=16k")


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A file system that even root cannot write to."""
    yield from mounted(tmp_path / "disk", "size=16k,ro")


def mounted(directory: Path, options: str) -> Iterator[Path]:
    directory.mkdir()
    mount = shutil.which("mount")
    if mount is None:
        pytest.skip("there is no mount here")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", options, "tmpfs", directory], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"this user may not mount: {done.stderr.strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", directory], check=True)


# Full


@needs_dev_full
@pytest.mark.parametrize("option", ["-o", "--json"])
def test_a_full_device_is_named(closed: Path, tmp_path: Path, option: str) -> None:
    report = () if option == "-o" else ("--no-report",)
    status, _, err = run(tmp_path, "analyze", closed, option, FULL, *report)
    assert (status, err) == (4, "pcapflow: /dev/full: cannot be written: no space left on device\n")


@needs_dev_full
@pytest.mark.parametrize(
    "arguments",
    [
        ["analyze", "closed.pcap", "--no-report"],
        ["analyze", "closed.pcap", "--json", "-", "--no-report"],
        ["analyze", "closed.pcap", "-o", "-"],
        ["batch", "closed.pcap", "-o", "out"],
        ["states", "closed.pcap"],
        ["show", "closed.pcap", "0"],
        ["rules"],
        ["--help"],
        ["--version"],
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("closed")
def test_a_full_standard_output_is_named(tmp_path: Path, arguments: list[str]) -> None:
    status, _, err = run(tmp_path, *arguments, stdout=FULL)
    assert (status, err) == (4, "pcapflow: standard output: cannot be written: no space left on device\n")


@pytest.mark.parametrize("what", ["report", "json", "tables", "batch"])
def test_a_full_disk_is_named_and_nothing_half_written_stays(
    closed: Path, tmp_path: Path, small_disk: Path, what: str
) -> None:
    # A page is left, for a file that has a name and not all of its content.
    (small_disk / "filler").write_bytes(b"x" * 12_000)
    arguments: dict[str, list[str | Path]] = {
        "report": ["analyze", closed, "-o", small_disk / "r.html"],
        "json": ["analyze", closed, "--no-report", "--json", small_disk / "r.json"],
        "tables": ["analyze", closed, "--no-report", "--tables", small_disk],
        "batch": ["batch", closed, "-o", small_disk],
    }
    if what in {"json", "tables"}:
        (small_disk / "more").write_bytes(b"x" * 4096)
    status, _, err = run(tmp_path, *arguments[what], "-q")
    assert status == 4
    assert str(small_disk) in err
    assert "no space left on device" in err
    assert ".pcapflow-" not in err
    assert err.count("\n") == err.count("pcapflow: ")
    assert not [path for path in small_disk.iterdir() if path.name.startswith(".") or path.suffix == ".html"]


# Known before the work begins


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["analyze", "gone.pcap", "-o", "no/r.html"], "no/r.html: cannot be written: there is no directory no"),
        (["analyze", "gone.pcap", "-o", "file/r.html"], "file/r.html: cannot be written: "),
        (["analyze", "gone.pcap", "--json", "no/r.json"], "no/r.json: cannot be written: there is no directory no"),
        (["analyze", "gone.pcap", "--tables", "file"], "file: cannot be written: is not a directory"),
        (["analyze", "gone.pcap", "--tables", "file/t"], "file/t: cannot be written: "),
        (["analyze", "gone.pcap", "--tables", "tables"], "tables/marks.csv: cannot be written: is a directory"),
        (["analyze", "gone.pcap", "-o", "file/"], "file: cannot be written: is not a directory"),
        (["analyze", "gone.pcap", "-o", "r" * 300], "r" * 300 + ": cannot be written: file name too long"),
        (["batch", "c.pcap", "-o", "file"], "file: cannot be written: is not a directory"),
        (["batch", "c.pcap", "-o", "o", "--junit", "no/j"], "no/j: cannot be written: there is no directory no"),
        (["batch", "c.pcap", "-o", "o", "--sarif", "no/s"], "no/s: cannot be written: there is no directory no"),
        (["batch", "c.pcap", "-o", "o", "--sarif", "tables"], "tables: cannot be written: is a directory"),
        (["batch", "c.pcap", "-o", "taken"], "taken/c.html: cannot be written: is a directory"),
        (["batch", "c.pcap", "-o", "index"], "index/index.html: cannot be written: is a directory"),
    ],
)
def test_what_is_known_before_is_said_before(tmp_path: Path, arguments: list[str], reason: str) -> None:
    capture(tmp_path / "c.pcap", CLOSED)
    (tmp_path / "file").touch()
    for directory in ("tables/marks.csv", "taken/c.html", "index/index.html"):
        (tmp_path / directory).mkdir(parents=True)
    before = sorted(tmp_path.rglob("*.json"))
    status, _, err = run(tmp_path, *arguments)
    # A capture that does not exist is not so much as looked for.
    assert (status, err.count("\n")) == (4, 1)
    assert err.startswith(f"pcapflow: {reason}")
    assert sorted(tmp_path.rglob("*.json")) == before


@pytest.mark.parametrize(
    "arguments",
    [["-o", "disk/r.html"], ["--tables", "disk"], ["--tables", "disk/t"], ["-o", "disk/"], ["--json", "disk/r.json"]],
)
@pytest.mark.usefixtures("read_only")
def test_a_read_only_directory_is_said_before(tmp_path: Path, arguments: list[str]) -> None:
    status, _, err = run(tmp_path, "analyze", "gone.pcap", *arguments)
    assert (status, err.count("\n")) == (4, 1)
    assert "the directory disk may not be written" in err


@pytest.mark.usefixtures("read_only")
def test_a_read_only_directory_is_said_before_a_batch(tmp_path: Path, closed: Path) -> None:
    status, _, err = run(tmp_path, "batch", closed, "-o", "disk/out")
    assert (status, err) == (4, "pcapflow: disk/out: cannot be written: the directory disk may not be written\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["analyze", "x.html", "-o", "x.html"],
        ["analyze", "x.html", "x.pcap", "-o", "./"],
        ["analyze", "x.html", "--no-report", "--json", "x.html"],
        ["analyze", "t/flows.csv", "--no-report", "--tables", "t"],
        ["batch", "x.pcap", "x.html", "-o", "."],
        ["batch", "x.html", "-o", "out", "--junit", "x.html"],
        ["batch", "x.html", "-o", "out", "--sarif", "x.html"],
    ],
    ids=" ".join,
)
def test_no_output_takes_the_place_of_a_capture(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "t").mkdir()
    paths = [capture(tmp_path / name, CLOSED) for name in ("x.html", "x.pcap", "t/flows.csv")]
    before = [path.read_bytes() for path in paths]
    status, _, err = run(tmp_path, *arguments)
    assert status == 2
    assert "is a capture itself and would be overwritten" in err
    assert [path.read_bytes() for path in paths] == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["batch", "closed.pcap", "-o", "out", "--junit", "x", "--sarif", "x"],
        ["batch", "closed.pcap", "-o", "out", "--sarif", "out/summary.json"],
        ["batch", "closed.pcap", "-o", "out", "--junit", "out/index.html"],
        ["analyze", "closed.pcap", "-o", "x", "--json", "x"],
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("closed")
def test_no_output_takes_the_place_of_another(tmp_path: Path, arguments: list[str]) -> None:
    assert run(tmp_path, *arguments)[0] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["closed.pcap"]


def test_standard_output_by_its_path_is_written_to_and_not_replaced(closed: Path, tmp_path: Path) -> None:
    stdout = Path("/dev/stdout")
    if not stdout.is_symlink():
        pytest.skip("there is no /dev/stdout")
    status, _, _ = run(tmp_path, "analyze", closed, "-q", "-o", stdout, stdout=tmp_path / "r.html")
    assert status == 0
    assert (tmp_path / "r.html").read_text(encoding="utf-8").endswith("</html>")
    assert stdout.is_symlink()


def test_a_link_stays_a_link(closed: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "r.html").symlink_to("elsewhere/real.html")
    assert run(tmp_path, "analyze", closed, "-q", "-o", "r.html")[0] == 0
    assert (tmp_path / "r.html").is_symlink()
    assert (tmp_path / "elsewhere" / "real.html").read_text(encoding="utf-8").endswith("</html>")


# What killed runs leave


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_what_a_killed_run_left_is_removed_by_the_next_and_what_is_written_stays(closed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    code = "import sys, time, pathlib; from pcapflow.export.files import atomic_path\n"
    code += "with atomic_path(pathlib.Path(sys.argv[1])) as path:\n"
    code += "    path.write_text('half'); print(flush=True); time.sleep(99)"
    writers = [
        subprocess.Popen([sys.executable, "-c", code, out / name], stdout=subprocess.PIPE) for name in ("a", "b")
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            writer.stdout.readline()
        (first, second) = out.iterdir()
        assert all(len(path.name) == len(".pcapflow-01234567.tmp") for path in (first, second))
        writers[0].send_signal(signal.SIGKILL)
        writers[0].wait()
        # Other people's files stay, whatever they are called.
        (out / ".pcapflow-notes.tmp").touch()
        (out / ".pcapflow-0123abcd.tmp").mkdir()
        assert run(tmp_path, "analyze", closed, "-o", "out/r.html", "-q")[0] == 0
        left = {path.name for path in out.iterdir()}
        assert left - {first.name, second.name} == {"r.html", ".pcapflow-notes.tmp", ".pcapflow-0123abcd.tmp"}
        assert len(left) == 4
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    assert run(tmp_path, "analyze", closed, "-o", "out/r.html", "-q")[0] == 0
    assert {path.name for path in out.iterdir()} == {"r.html", ".pcapflow-notes.tmp", ".pcapflow-0123abcd.tmp"}


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="the run is looked for in /proc")
def test_a_run_killed_while_it_writes_its_tables(tmp_path: Path) -> None:
    slow = slow_capture(tmp_path / "slow.pcap")
    out = tmp_path / "out"

    def left() -> list[Path]:
        return list(out.glob(".pcapflow-*.tmp"))

    with Running("analyze", slow, "--no-report", "--tables", out, "-q", cwd=tmp_path) as writing:

        def is_stopped_in_the_middle() -> bool:
            if not left():
                return False
            writing.process.send_signal(signal.SIGSTOP)
            until(lambda: writing.state() in "TZ")
            if left():
                return True
            writing.process.send_signal(signal.SIGCONT)
            return False

        until(is_stopped_in_the_middle)
        writing.process.kill()
        assert writing.end()[0] == -signal.SIGKILL
    assert len(left()) == 1
    assert len(list(out.glob("*.csv"))) < 5
    small = capture(tmp_path / "small.pcap", CLOSED)
    assert run(tmp_path, "analyze", small, "--no-report", "--tables", out, "-q")[0] == 0
    assert {path.name for path in out.iterdir()} == {
        f"{name}.csv" for name in ("flows", "transitions", "anomalies", "marks", "incidents", "hosts")
    }


def test_the_next_file_of_the_same_process_removes_nothing_that_is_written(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a") as first:
        first.write_text("a")
        with atomic_path(tmp_path / "b") as second:
            second.write_text("b")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "a", "b": "b"}
