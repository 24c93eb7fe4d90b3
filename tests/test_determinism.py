"""No output depends on the machine: not on locale, time zone, hash seed, width of a window or order of files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from pcapflow.text.escape import path_text
from tests.samples import CLOSED, NO_FINAL_ACK, REFUSED, capture

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs file names of any bytes")

NAMES: Final = (
    b"a.pcap",
    b"B.pcap",
    "\u00fcn\u00ef\u2192\U0001f980.pcap".encode(),
    b"not-text-\xff.pcap",
    b"deep/a.pcap",
    b"deep/er/z.pcapng",
    b"deep/no-capture.pcap",
)
NO_CAPTURE: Final = NAMES[-1]

MACHINES: Final[dict[str, dict[str, str]]] = {
    "a server in UTC": {"LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "0", "COLUMNS": "80"},
    "a laptop in Chatham": {
        "LC_ALL": "de_DE.UTF-8",
        "LANG": "de_DE.UTF-8",
        "LANGUAGE": "de",
        "TZ": "Pacific/Chatham",
        "PYTHONHASHSEED": "4294967295",
        "COLUMNS": "200",
        "LINES": "10",
        "PYTHONUTF8": "1",
    },
    "a machine that knows ASCII alone": {
        "LC_ALL": "C",
        "LANG": "C",
        "TZ": "America/St_Johns",
        "PYTHONHASHSEED": "77",
        "COLUMNS": "20",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    },
    "a POSIX locale with another encoding of output": {
        "LC_ALL": "POSIX",
        "TZ": "UTC",
        "PYTHONHASHSEED": "random",
        "PYTHONUTF8": "0",
        "PYTHONIOENCODING": "latin-1",
    },
}


def make_captures(root: Path, *, backwards: bool) -> None:
    """The same captures, made in one order or the other."""
    for name in reversed(NAMES) if backwards else NAMES:
        path = root / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if name == NO_CAPTURE:
            path.write_bytes(b"GET / HTTP/1.1\r\n\r\n")
        else:
            capture(path, CLOSED, NO_FINAL_ACK, REFUSED)


def outputs(root: Path, variables: Mapping[str, str], *, backwards: bool) -> dict[bytes, bytes]:
    """Everything that the commands write about these captures, by name; what they print is among it."""
    root.mkdir()
    make_captures(root, backwards=backwards)
    inherited = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("LC_", "LANG")) and key not in {"TZ", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"}
    }
    environment = {**inherited, **variables}
    found: dict[bytes, bytes] = {}
    runs: dict[str, list[bytes]] = {
        "one": [b"analyze", NAMES[2], b"-o", b"one/r.html", b"--json", b"one/r.json", b"--tables", b"one"],
        "bytes": [b"analyze", NAMES[3], b"-o", b"bytes/r.html", b"--json", b"bytes/r.json", b"--tables", b"bytes"],
        "json": [b"analyze", NAMES[3], b"--no-report", b"--json", b"-"],
        "html": [b"analyze", NAMES[2], b"-o", b"-"],
        "show": [b"show", NAMES[2], b"1"],
        "states": [b"states", NAMES[2]],
        "rules": [b"rules"],
        "missing": [b"analyze", b"missing-\xfe\xc3\xbc.pcap"],
        "batch": [b"batch", b".", b"-o", b"out", b"--junit", b"j.xml", b"--sarif", b"s.sarif", b"--jobs", b"2"],
    }
    for name, arguments in runs.items():
        (root / name).mkdir(exist_ok=True)
        command = [os.fsencode(sys.executable), b"-m", b"pcapflow", *arguments]
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, check=False)
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        expected = {"missing": 3, "batch": 3}
        assert done.returncode == expected.get(name, 0), done.stderr.decode()
        found[f"{name} printed".encode()] = done.stdout
        found[f"{name} said".encode()] = done.stderr
    for folder, _, files in os.walk(os.fsencode(root)):
        for file in files:
            path = os.path.join(folder, file)  # noqa: PTH118 -- names of any bytes
            found[os.path.relpath(path, os.fsencode(root))] = Path(os.fsdecode(path)).read_bytes()
    return found


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[bytes, bytes]:
    root = tmp_path_factory.mktemp("machines") / "reference"
    return outputs(root, MACHINES["a server in UTC"], backwards=False)


@pytest.mark.parametrize("machine", [name for name in MACHINES if name != "a server in UTC"])
def test_outputs_are_the_same_bytes_on_every_machine(
    machine: str, reference: dict[bytes, bytes], tmp_path: Path
) -> None:
    found = outputs(tmp_path / "other", MACHINES[machine], backwards=True)
    assert sorted(found) == sorted(reference)
    differing = {name: (found[name], reference[name]) for name in found if found[name] != reference[name]}
    for name, (there, here) in differing.items():
        print(name, there[:2000], here[:2000], sep="\n")
    assert list(differing) == []


def test_outputs_are_utf_8_and_name_files_that_are_not(reference: dict[bytes, bytes]) -> None:
    """A name in another encoding is shown with escapes, and its report is linked by the bytes that it has."""
    for name, content in reference.items():
        if not name.endswith((b".pcap", b".pcapng")):
            content.decode("utf-8")
    assert json.loads(reference[b"bytes/r.json"])["capture"]["name"] == "not-text-\\xff.pcap"
    assert json.loads(reference[b"one/r.json"])["capture"]["name"] == "\u00fcn\u00ef\u2192\U0001f980.pcap"
    paths = [entry["path"] for entry in json.loads(reference[b"out/summary.json"])["captures"]]
    assert len(paths) == len(NAMES)
    assert re.search(r'href="not-text-_-[0-9a-f]{8}\.html"', reference[b"out/index.html"].decode())
    assert any(re.fullmatch(rb"out/not-text-_-[0-9a-f]{8}\.html", name) for name in reference)
    assert "not-text-%FF.pcap" in reference[b"s.sarif"].decode()
    assert reference[b"missing said"] == "pcapflow: missing-\\xfe\u00fc.pcap: no such file\n".encode()


def test_a_path_is_read_as_utf_8_with_escapes_for_the_rest() -> None:
    assert path_text(os.fsdecode("\u00fc".encode())) == "\u00fc"
    assert path_text(os.fsdecode(b"\xff")) == "\\xff"
    assert path_text(Path("a")) == "a"
    assert path_text("\ud800") == "\\ud800"
    assert path_text("a\udcffb\udcc3\udcbc") == "a\\xffb\u00fc"
